"""One set of HTTP cases through every backend."""

from collections.abc import Iterator

import pytest

from tests.gateway import Nextcloud

from .backends import BACKENDS, gateway_of


@pytest.fixture(scope="package", params=BACKENDS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nextcloud]:
    """A gateway of each backend."""
    with gateway_of(request.param, tmp_path_factory.mktemp(request.param)) as nextcloud:
        yield nextcloud


@pytest.fixture
def nextcloud(served: Nextcloud) -> Nextcloud:
    """The gateway with an empty index."""
    served.forget_everything()
    return served
