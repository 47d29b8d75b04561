"""One set of HTTP cases through every backend."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from unittest.mock import patch

import pytest

from context_chat_backend.runtime import make_driver
from tests.fakes.r2r import r2r_server
from tests.gateway import Nextcloud, make_settings, running_gateway

BACKENDS = ("reference", "builtin", "r2r")


@pytest.fixture(scope="session", params=BACKENDS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nextcloud]:
    """A gateway with nothing but `RAG_BACKEND` set, and what that backend cannot do without."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    settings = make_settings(folder, rag_backend=request.param)
    with surroundings(request.param) as environment:
        with patch.dict(os.environ, environment):
            driver = make_driver(settings)
        with running_gateway(settings, driver) as nextcloud:
            yield nextcloud


def surroundings(backend: str) -> AbstractContextManager[dict[str, str]]:
    """What has to run beside a gateway, and how the gateway finds it."""
    return r2r_double() if backend == "r2r" else nullcontext({})


@contextmanager
def r2r_double() -> Iterator[dict[str, str]]:
    """The strict double of R2R."""
    with r2r_server() as double:
        yield {
            "R2R_BASE_URL": double.url,
            "R2R_USER": double.superuser.email,
            "R2R_PASSWORD": double.superuser.password,
        }
        assert double.violations == []


@pytest.fixture
def nextcloud(served: Nextcloud) -> Nextcloud:
    """The gateway with an empty index."""
    served.forget_everything()
    return served
