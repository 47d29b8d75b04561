"""Questions that users ask in Nextcloud: each is answered or failed with a reason, and none is left running."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import Hit, Query
from tests.doubles.sim import Sim
from tests.gateway import SECRET
from tests.pull.site import QUESTION, SEARCH, VERSION, Site, file_id, gateway_of, site

WHALE = b"The whale swims in the deep blue sea."


@pytest.fixture
def stocked(pulling: Site) -> Site:
    nextcloud = pulling.nextcloud
    nextcloud.add_folder(9, "alice", "files/sea")
    for number in range(1, 6):
        nextcloud.add_file(number, "alice", f"files/sea/{number}.md", "text/markdown", WHALE, parent=9)
        nextcloud.enqueue_file(number)
    nextcloud.add_file(6, "bob", "files/bob.md", "text/markdown", WHALE)
    nextcloud.enqueue_file(6)
    nextcloud.enqueue_item("mail", "mail", "7", "Re: whale", WHALE, users=["alice"])
    pulling.settle()
    return pulling


def cited(task: dict[str, Any]) -> set[str]:
    assert task["status"] == "STATUS_SUCCESSFUL", task
    return {json.loads(source)["id"] for source in task["output"]["sources"]}


FILES_OF_ALICE = {str(number) for number in range(1, 6)}


def test_a_question_is_answered_with_its_sources_and_only_from_what_its_user_may_read(stocked: Site) -> None:
    answered = stocked.ask("alice", QUESTION)
    assert "whale" in answered["output"]["output"]
    assert cited(stocked.ask("bob", QUESTION)) == {file_id(6)}
    nothing = stocked.ask("carol", QUESTION)
    assert nothing["status"] == "STATUS_FAILED"
    assert "index" in nothing["errorMessage"]
    assert cited(stocked.ask("carol")) == set()


def test_an_answer_that_is_kept_is_reported_like_the_first_until_a_reader_is_denied(tmp_path: Path) -> None:
    with site(tmp_path, variables={"CC_ANSWER_CACHE": "9"}) as pulling:
        nextcloud = pulling.nextcloud
        nextcloud.add_file(1, "alice", "files/a.md", "text/markdown", WHALE, users=["bob"])
        nextcloud.enqueue_file(1)
        pulling.settle()
        first, second = (pulling.ask("alice", QUESTION)["output"] for _ in range(2))
        assert first == second
        assert {json.loads(source)["id"] for source in second["sources"]} == {file_id(1)}
        assert 'ccb_answer_cache_total{outcome="hit"} 1.0' in pulling.gateway.http.get("/metrics").text
        nextcloud.enqueue_action(
            "update_access_source_id", {"op": "deny", "userIds": ["alice"], "sourceId": file_id(1)}
        )
        pulling.settle()
        assert pulling.ask("alice", QUESTION)["status"] == "STATUS_FAILED"


@pytest.mark.parametrize(("limit", "expected"), [(2, 2), ("3", 3), (2.0, 2), (None, 6), (0, 1), (10_000, 6)])
def test_a_search_has_as_many_sources_as_were_asked_for(stocked: Site, limit: Any, expected: int) -> None:
    done = stocked.ask("alice", limit=limit)
    assert done["status"] == "STATUS_SUCCESSFUL", done
    assert len(done["output"]["sources"]) == expected


def asked(**fields: Any) -> dict[str, Any]:
    return {"prompt": "whale", "scopeType": "none", "scopeList": [], "scopeListMeta": "", **fields}


def test_a_scope_narrows_to_providers_files_and_folders(stocked: Site) -> None:
    only_mail = stocked.ask("alice", scopeType="provider", scopeList=["mail__mail"])
    assert len(cited(only_mail)) == 1
    assert cited(stocked.ask("alice", scopeType="source", scopeList=[file_id(2)])) == {file_id(2)}
    folder = cited(stocked.ask("alice", scopeType="source", scopeList=[file_id(9)]))
    assert folder == {file_id(number) for number in range(1, 6)}
    assert cited(stocked.ask("alice", scopeType="source", scopeList=[file_id(6)])) == set()


def test_an_answer_is_not_lost_where_its_sources_cannot_be_described(stocked: Site) -> None:
    stocked.nextcloud.fault("status", path="/enrich_sources", times=None, status=404)
    answered = stocked.ask("alice", QUESTION)
    assert answered["status"] == "STATUS_SUCCESSFUL"
    assert answered["output"]["sources"] == []
    assert "whale" in answered["output"]["output"]


@pytest.mark.parametrize(
    "fault", [{"kind": "lost"}, {"kind": "reset"}, {"kind": "status", "status": 503}, {"kind": "html"}]
)
def test_a_result_that_nextcloud_did_not_take_is_reported_again(stocked: Site, fault: dict[str, Any]) -> None:
    stocked.nextcloud.fault(**fault, path="/result", times=3)
    assert stocked.ask("alice", QUESTION)["status"] == "STATUS_SUCCESSFUL"


def test_a_result_that_nextcloud_refuses_fails_the_task_and_holds_up_no_other(stocked: Site) -> None:
    stocked.nextcloud.fault("status", path="/result", times=1, status=413)
    refused = stocked.ask("alice", QUESTION)
    assert refused["status"] == "STATUS_FAILED"
    assert "later" in refused["errorMessage"]
    assert stocked.ask("alice", QUESTION)["status"] == "STATUS_SUCCESSFUL"


def test_a_task_without_a_user_fails_with_a_reason(stocked: Site) -> None:
    task = stocked.ask(None, QUESTION)
    assert task["status"] == "STATUS_FAILED"
    assert "user" in task["errorMessage"]


@pytest.mark.parametrize("major", [32, 33, 35])
def test_many_questions_at_once_are_all_answered(tmp_path: Path, quick: None, major: int) -> None:
    with site(tmp_path, simulated={"nc_major": major}) as pulling:
        pulling.nextcloud.add_file(1, "alice", "files/1.md", "text/markdown", WHALE)
        pulling.nextcloud.enqueue_file(1)
        pulling.settle()
        tasks = [pulling.nextcloud.schedule("alice", kind, asked()) for kind in (QUESTION, SEARCH) * 15]
        pulling.hurry()
        done = [pulling.nextcloud.wait_task(task) for task in tasks]
        assert {task["status"] for task in done} == {"STATUS_SUCCESSFUL"}


class Unhurried(ReferenceDriver):
    """Whose searches meet each other."""

    async def search(self, query: Query) -> Sequence[Hit]:
        await anyio.sleep(0.02)
        return await super().search(query)


def test_questions_that_are_too_many_wait_in_nextcloud_or_here_and_are_answered(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("context_chat_backend.pull.tasks.RETRY_AFTER", 0.05)
    with site(tmp_path, Unhurried(), searches_at_once=1, questions_waiting=0) as pulling:
        pulling.nextcloud.add_file(1, "alice", "files/1.md", "text/markdown", WHALE)
        pulling.nextcloud.enqueue_file(1)
        pulling.settle()
        tasks = [pulling.nextcloud.schedule("alice", SEARCH, asked()) for _ in range(30)]
        pulling.hurry()
        done = [pulling.nextcloud.wait_task(task) for task in tasks]
        assert {task["status"] for task in done} == {"STATUS_SUCCESSFUL"}
        refused = 'ccb_questions_total{outcome="refused",step="search"} 0.0'
        assert refused not in pulling.gateway.http.get("/metrics").text, "they were never too many"


def test_a_question_in_work_when_the_gateway_stops_is_not_left_running(tmp_path: Path, quick: None) -> None:
    with Sim(secret=SECRET, app_version=VERSION) as nextcloud:
        nextcloud.add_file(1, "alice", "files/1.md", "text/markdown", WHALE)
        nextcloud.enqueue_file(1)
        with gateway_of(nextcloud, tmp_path) as gateway:
            pulling = Site(nextcloud, gateway)
            pulling.settle()
            nextcloud.fault("stall", path="/(result|enrich_sources)", times=None, delay=60)
            task = nextcloud.schedule("alice", QUESTION, asked())
            pulling.hurry()
            end = time.monotonic() + 20
            while nextcloud.task(task)["status"] != "STATUS_RUNNING":
                assert time.monotonic() < end
                time.sleep(0.02)
            nextcloud.clear_faults()
        with gateway_of(nextcloud, tmp_path):
            done = nextcloud.wait_task(task)
        assert done["status"] in {"STATUS_FAILED", "STATUS_SUCCESSFUL"}
