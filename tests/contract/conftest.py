"""One set of HTTP cases through every backend."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway import Nextcloud, make_settings, running_gateway

BACKENDS = ("reference", "builtin")


@pytest.fixture(scope="session", params=BACKENDS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nextcloud]:
    """A gateway with nothing but `RAG_BACKEND` set."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    with running_gateway(make_settings(folder, rag_backend=request.param)) as nextcloud:
        yield nextcloud


@pytest.fixture
def nextcloud(served: Nextcloud) -> Nextcloud:
    """The gateway with an empty index."""
    served.forget_everything()
    return served
