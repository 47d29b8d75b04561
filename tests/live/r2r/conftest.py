from collections.abc import Iterator

import pytest

from .model_stub import ModelStub
from .server import R2RServer, r2r_server


@pytest.fixture(scope="session")
def r2r() -> Iterator[R2RServer]:
    """One R2R for all tests here. It keeps what they put into it: use names and ids of your own."""
    with r2r_server() as server:
        yield server


@pytest.fixture
def models(r2r: R2RServer) -> Iterator[ModelStub]:
    """The models of `r2r`, to make them fail; they work again afterwards."""
    yield r2r.models
    r2r.models.recover()
