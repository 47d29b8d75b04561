"""Which contract is spoken is found out again and again: one process serves Nextcloud before and after its upgrade."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from context_chat_backend.nextcloud.push_client import part
from context_chat_backend.pull import intake
from tests.doubles.sim import Sim
from tests.gateway import SECRET
from tests.pull.site import QUESTION, VERSION, Site, file_id, gateway_of, site

WHALE = b"The whale swims in the deep blue sea."
PROVIDERS = ["context_chat-context_chat", "context_chat-context_chat_search"]


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def stock(nextcloud: Sim, number: int = 1) -> None:
    nextcloud.add_file(number, "alice", f"files/{number}.md", "text/markdown", WHALE)
    nextcloud.enqueue_file(number)


@pytest.fixture
def probing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "PROBE_INTERVAL", 0.2)
    monkeypatch.setattr(intake, "AFTER_FAILURE", 0.2)


def test_one_process_serves_a_nextcloud_before_and_after_its_upgrade_and_on_the_way_back(
    tmp_path: Path, quick: None, probing: None
) -> None:
    with Sim(secret=SECRET, app_version=VERSION) as nextcloud:
        nextcloud.context_chat = False  # no routes of queues, as in 5.3
        with gateway_of(nextcloud, tmp_path) as gateway:
            pulling = Site(nextcloud, gateway)
            assert gateway.load(part(file_id(1))).status_code == 200
            assert nextcloud.stats()["providers"] == []
            nextcloud.context_chat = True
            stock(nextcloud, 2)
            until(lambda: sorted(nextcloud.stats()["providers"]) == PROVIDERS)
            pulling.settle()
            assert pulling.found("alice") == {file_id(1), file_id(2)}, "what was pushed is still there"
            nextcloud.context_chat = False
            until(lambda: nextcloud.stats()["providers"] == [])
            assert gateway.load(part(file_id(3))).status_code == 200
            assert pulling.found("alice") == {file_id(1), file_id(2), file_id(3)}


def test_nothing_is_asked_for_while_the_app_is_disabled(tmp_path: Path, quick: None, probing: None) -> None:
    with site(tmp_path) as pulling:
        nextcloud = pulling.nextcloud
        stock(nextcloud)
        pulling.settle()
        nextcloud.disable()
        stock(nextcloud, 2)
        time.sleep(0.5)  # a request may be on its way
        before = nextcloud.stats()["routes"]
        time.sleep(1)
        since = nextcloud.stats()["routes"]
        asked = [
            route for route in since if "queues" in route and since[route]["requests"] != before[route]["requests"]
        ]
        assert asked == []
        assert nextcloud.files.rows
        nextcloud.enable()
        pulling.settle()
        assert pulling.found("alice") == {file_id(1), file_id(2)}


def test_a_trigger_wakes_an_idle_gateway_at_once_and_does_not_slow_it_afterwards(tmp_path: Path) -> None:
    with site(tmp_path) as pulling:
        stock(pulling.nextcloud)
        pulling.settle()
        time.sleep(8)  # pauses have grown
        for _ in range(3):
            begun = time.monotonic()
            task = pulling.nextcloud.schedule(
                "alice", QUESTION, {"prompt": "whale", "scopeType": "none", "scopeList": [], "scopeListMeta": ""}
            )
            assert pulling.nextcloud.wait_task(task)["status"] == "STATUS_SUCCESSFUL"
            assert time.monotonic() - begun < 5, "a trigger came with it"


@pytest.mark.parametrize("fault", [{"kind": "maintenance"}, {"kind": "status", "status": 429}, {"kind": "reset"}])
def test_a_nextcloud_that_is_away_changes_nothing(
    tmp_path: Path, quick: None, probing: None, fault: dict[str, object]
) -> None:
    with site(tmp_path) as pulling:
        stock(pulling.nextcloud)
        pulling.settle()
        pulling.nextcloud.fault(**fault, path="/ocs/", times=10)  # type: ignore[arg-type]
        stock(pulling.nextcloud, 2)
        time.sleep(1)
        pulling.settle()
        assert sorted(pulling.nextcloud.stats()["providers"]) == PROVIDERS
        assert pulling.found("alice") == {file_id(1), file_id(2)}


@pytest.mark.parametrize("mode", ["push", "pull"])
def test_an_admin_may_say_which_contract_is_spoken(tmp_path: Path, quick: None, probing: None, mode: str) -> None:
    with site(tmp_path, intake=mode) as pulling:
        stock(pulling.nextcloud)
        if mode == "pull":
            pulling.settle()
            assert pulling.found("alice") == {file_id(1)}
        else:
            time.sleep(1)
            assert pulling.nextcloud.files.rows
            assert not [route for route in pulling.nextcloud.stats()["routes"] if "queues" in route]


def test_a_wrong_secret_does_not_lock_anybody_out(tmp_path: Path, quick: None, probing: None) -> None:
    """AppAPI counts a refused login twice, and more than ten within half an hour lock out whoever is right, too."""
    with Sim(secret=SECRET, app_version=VERSION) as nextcloud, gateway_of(nextcloud, tmp_path):
        stock(nextcloud)
        until(nextcloud.idle)
        nextcloud.secret = "another"
        stock(nextcloud, 2)
        time.sleep(3)
        assert 1 <= len(nextcloud.failed_logins) <= 10
