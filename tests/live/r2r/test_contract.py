"""The HTTP cases that every backend passes, through a gateway on a real R2R."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from context_chat_backend.nextcloud.push_client import part
from tests.gateway import Nextcloud, make_settings, running_gateway
from tests.http.test_lost_answers import send_and_hang_up
from tests.http.test_random_operations import Player
from tests.http.test_requests import *  # noqa: F403 - pytest runs the tests that a module has
from tests.http.test_wire import *  # noqa: F403
from tests.slow.tools import eventually

from .model_stub import ModelStub
from .server import R2RServer
from .tools import r2r_environment

pytestmark = pytest.mark.r2r

RANDOM_STEPS = 60
"""Fewer than the double gets: a step takes ten times as long."""


@contextmanager
def gateway(r2r: R2RServer, folder: Path) -> Iterator[Nextcloud]:
    settings = make_settings(folder, rag_backend="r2r")
    with running_gateway(settings, variables=r2r_environment(r2r)) as nextcloud:
        yield nextcloud


@pytest.fixture(scope="module")
def served(r2r: R2RServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nextcloud]:
    with gateway(r2r, tmp_path_factory.mktemp("gateway")) as nextcloud:
        yield nextcloud


@pytest.fixture
def nextcloud(served: Nextcloud) -> Nextcloud:
    """The gateway with an empty index."""
    served.forget_everything()
    return served


def test_random_requests_agree_with_the_model(r2r: R2RServer, tmp_path: Path) -> None:
    with gateway(r2r, tmp_path) as nextcloud:
        Player(nextcloud, random.Random(1)).play(RANDOM_STEPS)


def test_an_action_whose_answer_was_lost_keeps_its_place(r2r: R2RServer, models: ModelStub, tmp_path: Path) -> None:
    allow = {"op": "allow", "userIds": ["bob"], "sourceId": "files__default: 1"}
    deny = {**allow, "op": "deny"}
    with gateway(r2r, tmp_path) as nextcloud, ThreadPoolExecutor() as pool:
        models.hold = "deep blue"
        loading = pool.submit(nextcloud.load, part("files__default: 1"))
        eventually(lambda: models.waiting > 0)
        send_and_hang_up(nextcloud, tmp_path, "/updateAccess", **allow)
        models.hold = None
        assert loading.result().status_code == 200
        assert nextcloud.post("/updateAccess", **deny).status_code == 503
        assert nextcloud.post("/updateAccess", **allow).status_code == 200
        assert nextcloud.post("/updateAccess", **deny).status_code == 200
        assert nextcloud.found("bob") == set()
