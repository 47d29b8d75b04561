"""Roles: the containers of a deployment in Kubernetes, each a process of its own, on one volume and one database."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import Capabilities, Misconfigured, Unavailable
from context_chat_backend.doctor.setup_checks import role_finding
from context_chat_backend.gateway import plan_gateway
from context_chat_backend.nextcloud.push_client import part
from context_chat_backend.pull.puller import Work
from context_chat_backend.roles import DUTIES, INDEXING, REQUESTS, UPDATES, Agreement
from context_chat_backend.storage import claimed_storage, role_folder
from tests.doubles.sim import Sim
from tests.gateway import SECRET, GatewayProcess, make_settings, running_gateway
from tests.postgres import new_database
from tests.pull.site import SEARCH, VERSION, file_id
from tests.slow.tools import eventually

pytestmark = pytest.mark.anyio

WHALE = file_id(1)
ROLES = (REQUESTS, UPDATES, INDEXING)


class Shared(ReferenceDriver):
    """As a driver is that others may use with this one."""

    capabilities = Capabilities(shared=True)
    identity = "shared:1"


# ------------------------------------------------------------------ who does what


def test_what_needs_one_order_is_taken_by_one_process() -> None:
    deployed = [DUTIES[role] for role in ROLES]
    assert [duties.writes for duties in deployed].count(True) == 1
    for work in Work:
        assert sum(work in duties.takes for duties in deployed) == 1
    assert [role for role in ROLES if Work.DOCUMENTS in DUTIES[role].takes and not DUTIES[role].writes] == []
    assert [role for role in ROLES if DUTIES[role].called] == [REQUESTS]
    assert DUTIES[None].takes == frozenset(Work)


@pytest.mark.parametrize("role", ROLES)
def test_a_store_that_only_one_process_can_use_is_refused(tmp_path: Path, role: str) -> None:
    settings = make_settings(tmp_path, app_role=role, rag_backend="builtin")
    with pytest.raises(Misconfigured, match=f"APP_ROLE={role} needs a store .* CCB_DB_URL"):
        plan_gateway(settings, {})
    plan_gateway(settings, {"CCB_DB_URL": "postgresql://somewhere/else"})


def test_r2r_is_refused_whatever_is_set(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, app_role=INDEXING, rag_backend="r2r")
    with pytest.raises(Misconfigured, match="RAG_BACKEND=r2r"):
        plan_gateway(settings, {"R2R_BASE_URL": "http://r2r", "R2R_NAMESPACE": "6f1e2d3c-0000-4000-8000-000000000000"})


def test_the_log_says_what_a_process_does() -> None:
    assert [DUTIES[role].summary for role in ROLES] == [
        "takes questions from Nextcloud",
        "rests: another one does its work",
        "takes documents from Nextcloud",
    ]


# ------------------------------------------------------------------ one volume


def test_each_role_has_a_folder_of_its_own(tmp_path: Path) -> None:
    folders = {make_settings(tmp_path, app_role=role).app_persistent_storage for role in ROLES}
    assert folders == {tmp_path / "roles" / role for role in ROLES}
    assert make_settings(tmp_path).app_persistent_storage == tmp_path


def test_a_volume_belongs_to_roles_or_to_one_gateway(tmp_path: Path) -> None:
    first, second = (role_folder(tmp_path, role) for role in (REQUESTS, INDEXING))
    with claimed_storage(first), claimed_storage(second):
        with pytest.raises(Misconfigured, match="another gateway"), claimed_storage(tmp_path):
            pass
        with pytest.raises(Misconfigured, match="another gateway"), claimed_storage(first):
            pass
    with claimed_storage(tmp_path), pytest.raises(Misconfigured, match="another gateway"), claimed_storage(first):
        pass


async def test_who_does_not_write_waits_for_the_one_that_does_and_wants_the_same_store(tmp_path: Path) -> None:
    writer, reader = (Agreement(tmp_path / "store", DUTIES[role]) for role in (INDEXING, REQUESTS))
    with pytest.raises(Unavailable, match="APP_ROLE=indexing has not opened"):
        await reader.require("a")
    await writer.require("a")
    await reader.require("a")
    with pytest.raises(Misconfigured, match="another store"):
        await reader.require("b")
    await writer.require("b")
    await reader.require("b")
    assert os.listdir(tmp_path) == ["store"]  # noqa: PTH208 - names


# ------------------------------------------------------------------ pushed work


PUSHED: dict[str, dict[str, Any]] = {
    "/updateAccess": {"op": "allow", "userIds": ["alice"], "sourceId": WHALE},
    "/updateAccessDeclarative": {"userIds": ["alice"], "sourceId": WHALE},
    "/updateAccessProvider": {"op": "allow", "userIds": ["alice"], "providerId": "files__default"},
    "/deleteSources": {"sourceIds": [WHALE]},
    "/deleteProvider": {"providerKey": "files__default"},
    "/deleteUser": {"userId": "alice"},
}


def test_work_that_is_pushed_to_who_must_not_do_it_is_refused_and_not_lost(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, app_role=REQUESTS, rag_backend="reference")
    (tmp_path / "roles").mkdir()
    (tmp_path / "roles" / "store").write_text(Shared.identity)
    with running_gateway(settings, Shared()) as nextcloud:
        for answer in (nextcloud.load(part(WHALE)), *(nextcloud.post(path, **body) for path, body in PUSHED.items())):
            assert answer.status_code == 503, answer.url
            assert "APP_ROLE" in answer.json()["error"]
            assert "cc-retry" not in answer.headers
            assert int(answer.headers["Retry-After"]) > 0
        assert nextcloud.found("alice") == set()
        assert nextcloud.counts() == {"files__default": 0}


def test_an_admin_is_told_when_nextcloud_pushes() -> None:
    assert role_finding(REQUESTS, enabled=True, pulls=False).level == "error"
    assert role_finding(REQUESTS, enabled=True, pulls=True).level == "ok"
    assert role_finding(REQUESTS, enabled=False, pulls=False).level == "ok"
    assert role_finding(None, enabled=True, pulls=False).level == "ok"


# ------------------------------------------------------------------ the whole deployment


@dataclass
class Deployment:
    nextcloud: Sim
    roles: dict[str, GatewayProcess]

    def journal(self, role: str, table: str) -> int:
        file = self.roles[role].storage / "roles" / role / "state.db"
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as state:
            (number,) = state.execute(f"select count(*) from {table}").fetchone()
            return int(number)


@contextmanager
def deployed(folder: Path) -> Iterator[Deployment]:
    """As AppAPI does it: all of them are started, and the one that is exposed is told to initialise."""
    with ExitStack() as stack:
        database = stack.enter_context(new_database())
        nextcloud = stack.enter_context(Sim(secret=SECRET, app_version=VERSION))
        roles = {}
        for role in ROLES:
            console = folder / f"console-{role}"
            console.mkdir()
            variables = {
                "APP_ROLE": role,
                "APP_VERSION": VERSION,
                "NEXTCLOUD_URL": nextcloud.url,
                "RAG_BACKEND": "builtin",
                "CCB_DB_URL": database,
                "CC_GENERATOR": "extractive",
            }
            roles[role] = GatewayProcess(console, variables, storage=folder / "volume")
        for process in roles.values():
            process.launch()
            stack.callback(process.close)
        nextcloud.exapp_url = roles[REQUESTS].nextcloud.base_url
        yield Deployment(nextcloud, roles)
        assert nextcloud.stats()["violations"] == {}


def ready(process: GatewayProcess) -> bool:
    try:
        return process.nextcloud.http.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.timeout(200)
def test_three_containers_serve_one_nextcloud(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    with deployed(tmp_path) as deployment:
        nextcloud = deployment.nextcloud
        nextcloud.add_users("alice", "bob")
        nextcloud.add_file(1, "alice", "files/whale.md", "text/markdown", b"The whale swims.", users=["alice", "bob"])
        nextcloud.enqueue_file(1)
        for process in deployment.roles.values():
            eventually(lambda: ready(process))  # noqa: B023 - called in this round only
        nextcloud.enable()
        eventually(lambda: deployment.roles[REQUESTS].nextcloud.found("alice") == {WHALE}, 90)
        nextcloud.enqueue_action("update_access_source_id", {"op": "deny", "userIds": ["bob"], "sourceId": WHALE})
        eventually(lambda: deployment.roles[REQUESTS].nextcloud.found("bob") == set(), 60)
        asked = {"prompt": "whale", "scopeType": "none", "scopeList": [], "scopeListMeta": ""}
        task = nextcloud.wait_task(nextcloud.schedule("alice", SEARCH, asked))
        assert task["status"] == "STATUS_SUCCESSFUL"
        assert len(task["output"]["sources"]) == 1
        assert [deployment.journal(role, "sources") for role in ROLES] == [0, 0, 1]
        for role, process in deployment.roles.items():
            assert process.stop() == 0
            assert f"APP_ROLE={role}: this process " in process.console()
