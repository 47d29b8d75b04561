"""Documents of the queues: every one is indexed or given up for good, acknowledged in either case, and none twice."""

import threading
import time
from pathlib import Path

import anyio
import pytest

from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import Outcome, Source
from context_chat_backend.pull import contents, documents
from tests.cli.running import run
from tests.doubles.sim import Sim
from tests.gateway import SECRET
from tests.pull.site import VERSION, Site, file_id, gateway_of, site

WHALE = b"The whale swims in the deep blue sea."


def until_found(pulling: Site, user: str, *numbers: int, seconds: float = 30) -> None:
    wanted, end = {file_id(number) for number in numbers}, time.monotonic() + seconds
    while pulling.found(user) != wanted:
        assert time.monotonic() < end, pulling.found(user)
        time.sleep(0.02)


def test_files_and_items_are_indexed_for_their_readers_and_acknowledged(pulling: Site) -> None:
    nextcloud = pulling.nextcloud
    nextcloud.add_file(1, "alice", "files/whale.md", "text/markdown", WHALE, users=["bob"])
    nextcloud.add_file(2, "bob", "files/Über/文件.txt", "text/plain", WHALE)
    for number in (1, 2):
        nextcloud.enqueue_file(number)
    nextcloud.enqueue_item("mail", "mail", "3:4", "Re: the whale", WHALE, users=["carol", "alice"])
    pulling.settle()
    assert pulling.found("alice") == {file_id(1), "mail__mail: 3:4"}
    assert pulling.found("bob") == {file_id(1), file_id(2)}
    assert pulling.found("carol") == {"mail__mail: 3:4"}
    assert pulling.gateway.counts() == {"files__default": 2, "mail__mail": 1}


def test_a_new_version_takes_the_place_of_the_old_one(pulling: Site) -> None:
    pulling.nextcloud.add_file(1, "alice", "files/a.md", "text/markdown", WHALE)
    pulling.nextcloud.enqueue_file(1)
    pulling.settle()
    pulling.nextcloud.write_file(1, b"Only a squid now.")
    pulling.settle()
    assert pulling.found("alice") == {file_id(1)}
    assert "squid" in pulling.text("alice")
    assert "whale" not in pulling.text("alice")


def test_a_row_is_found_within_seconds_when_nothing_else_happens(tmp_path: Path) -> None:
    with site(tmp_path) as pulling:
        until_idle(pulling)
        pulling.nextcloud.add_file(1, "alice", "files/a.md", "text/markdown", WHALE)
        pulling.nextcloud.enqueue_file(1)
        pulling.hurry()
        until_found(pulling, "alice", 1, seconds=5)


def until_idle(pulling: Site) -> None:
    """Both queues were asked, and had nothing."""
    end = time.monotonic() + 10
    while sum(route.startswith("GET") and "queues" in route for route in pulling.nextcloud.stats()["routes"]) < 2:
        assert time.monotonic() < end, pulling.nextcloud.stats()
        time.sleep(0.02)


@pytest.mark.parametrize("status", [404, 422, 500])
def test_a_file_is_read_as_another_reader_where_the_first_cannot(pulling: Site, status: int) -> None:
    nextcloud = pulling.nextcloud
    nextcloud.add_file(1, "alice", "files/a.md", "text/markdown", WHALE, users=["bob", "carol"])
    for reader in ("alice", "bob"):
        nextcloud.fault("status", path=f"/files/1.*userId={reader}", times=None, status=status)
    nextcloud.enqueue_file(1)
    pulling.settle()
    assert pulling.found("bob") == {file_id(1)}


def test_a_file_that_only_one_of_many_readers_can_open_is_found_by_and_by(pulling: Site) -> None:
    many = [f"u{number:02}" for number in range(30)]
    pulling.nextcloud.add_file(1, "zoe", "files/a.md", "text/markdown", WHALE, users=many)
    pulling.nextcloud.fault("status", path=r"/files/1\?.*userId=u\d\d", times=None, status=404)
    pulling.nextcloud.enqueue_file(1)
    pulling.settle()
    assert pulling.found("zoe") == {file_id(1)}


def test_a_file_that_nobody_has_is_acknowledged(pulling: Site) -> None:
    pulling.nextcloud.add_file(1, "alice", "files/a.md", "text/markdown", WHALE)
    pulling.nextcloud.fault("status", path="/files/1", times=None, status=404)
    pulling.nextcloud.enqueue_file(1)
    pulling.settle()
    assert pulling.gateway.counts() == {"files__default": 0}


@pytest.mark.parametrize("kind", ["truncate", "cut", "reset", "lost"])
def test_a_file_that_broke_off_is_fetched_again(pulling: Site, kind: str) -> None:
    pulling.nextcloud.add_file(1, "alice", "files/a.md", "text/markdown", WHALE + b" Later: a squid.")
    pulling.nextcloud.fault(kind, path="/files/1", times=1, at=20)
    pulling.nextcloud.enqueue_file(1)
    pulling.settle()
    assert "squid" in pulling.text("alice")


def test_a_file_that_became_shorter_since_it_was_queued_is_indexed_as_it_is(pulling: Site) -> None:
    pulling.nextcloud.add_file(1, "alice", "files/a.md", "text/markdown", WHALE, size=5000)
    pulling.nextcloud.enqueue_file(1)
    pulling.settle()
    assert pulling.found("alice") == {file_id(1)}


def test_a_file_that_is_too_large_is_given_up_and_its_old_version_is_removed(
    pulling: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    nextcloud = pulling.nextcloud
    nextcloud.add_file(1, "alice", "files/a.md", "text/markdown", WHALE)
    nextcloud.enqueue_file(1)
    pulling.settle()
    monkeypatch.setattr(contents, "MOST_BYTES", 1000)
    nextcloud.write_file(1, WHALE * 100)
    nextcloud.nodes[1].size = 10  # what the file cache says is not what comes
    pulling.settle()
    assert pulling.found("alice") == set()


@pytest.mark.parametrize(
    "fault",
    [{"kind": "status", "status": 503}, {"kind": "status", "status": 429}, {"kind": "maintenance"}, {"kind": "html"}],
    ids=lambda fault: str(fault.get("status", fault["kind"])),
)
def test_a_row_that_failed_for_a_passing_reason_is_tried_again_by_the_gateway(
    pulling: Site, fault: dict[str, object]
) -> None:
    pulling.nextcloud.add_file(1, "alice", "files/a.md", "text/markdown", WHALE)
    pulling.nextcloud.fault(**fault, path="/files/1", times=3)  # type: ignore[arg-type]
    pulling.nextcloud.enqueue_file(1)
    pulling.settle()
    assert pulling.found("alice") == {file_id(1)}


@pytest.mark.parametrize("kind", ["lost", "reset", "status"])
def test_an_acknowledgement_that_failed_is_repeated(pulling: Site, kind: str) -> None:
    pulling.nextcloud.add_file(1, "alice", "files/a.md", "text/markdown", WHALE)
    pulling.nextcloud.fault(kind, path="/queues/documents", method="DELETE", times=2, status=503)
    pulling.nextcloud.enqueue_file(1)
    pulling.settle()
    assert pulling.found("alice") == {file_id(1)}


def test_a_lost_answer_costs_a_day_and_no_document(pulling: Site) -> None:
    nextcloud = pulling.nextcloud
    nextcloud.fault("lost", path="/queues/documents", method="GET", times=1)
    nextcloud.add_file(1, "alice", "files/a.md", "text/markdown", WHALE)
    nextcloud.enqueue_file(1)
    pulling.hurry()
    end = time.monotonic() + 10
    while not nextcloud.stats()["unacknowledged"]:
        assert time.monotonic() < end
        time.sleep(0.02)
    nextcloud.travel(24 * 3600 + 1)
    pulling.settle()
    assert pulling.found("alice") == {file_id(1)}


def test_a_row_that_cannot_be_written_costs_only_those_in_its_answer_and_only_once(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site(tmp_path, variables={"REFERENCE_MAX_INFLIGHT_UPSERTS": "8"}) as pulling:
        nextcloud = pulling.nextcloud
        with nextcloud.lock:
            for number in range(1, 6):
                title = b"\xff" if number == 3 else f"mail {number}"
                nextcloud.enqueue_item("mail", "mail", str(number), title, WHALE, users=["alice"])
        pulling.hurry()
        end = time.monotonic() + 20
        while nextcloud.stats()["queues"]["content_providers"]["running"] < 5:
            assert time.monotonic() < end, nextcloud.stats()
            time.sleep(0.02)
        before = pulling.found("alice")
        assert len(before) < 4, "some were in the answer that could not be written"
        wanted = {f"mail__mail: {number}" for number in (1, 2, 4, 5)}
        clock = time.time
        for day in (1, 2):  # twice, should a request have been on its way when the clocks were set
            monkeypatch.setattr(time, "time", lambda day=day: clock() + day * 24 * 3600)
            nextcloud.travel(24 * 3600)
            end = time.monotonic() + 20
            while pulling.found("alice") != wanted and time.monotonic() < end:
                pulling.hurry()
                time.sleep(0.1)
        assert pulling.found("alice") == wanted


def test_what_was_taken_is_finished_after_a_restart(tmp_path: Path, quick: None) -> None:
    with Sim(secret=SECRET, app_version=VERSION) as nextcloud:
        nextcloud.add_file(1, "alice", "files/a.md", "text/markdown", WHALE)
        nextcloud.fault("status", path="/files/1", times=None, status=503)
        nextcloud.enqueue_file(1)
        with gateway_of(nextcloud, tmp_path) as gateway:
            gateway.http.post("/trigger?providerId=x")
            end = time.monotonic() + 20
            while not nextcloud.stats()["unacknowledged"]:
                assert time.monotonic() < end
                time.sleep(0.02)
        nextcloud.clear_faults()
        with gateway_of(nextcloud, tmp_path) as gateway:
            assert nextcloud.wait_idle(30)
            assert gateway.found("alice") == {file_id(1)}


class Interrupted(ReferenceDriver):
    """Takes forever over the first try."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()

    async def upsert(self, source: Source) -> Outcome:
        if not self.begun.is_set():
            self.begun.set()
            await anyio.sleep_forever()
        return await super().upsert(source)


def test_what_was_being_indexed_when_the_app_was_disabled_is_indexed_when_it_is_enabled(
    tmp_path: Path, quick: None
) -> None:
    driver = Interrupted()
    with site(tmp_path, driver) as pulling:
        pulling.nextcloud.add_file(1, "alice", "files/a.md", "text/markdown", WHALE)
        pulling.nextcloud.enqueue_file(1)
        pulling.hurry()
        assert driver.begun.wait(20)
        pulling.nextcloud.disable()
        pulling.nextcloud.enable()
        pulling.settle(20)
        assert pulling.found("alice") == {file_id(1)}


# ---------------------------------------------------------------------- the operator


def ccbe(folder: Path, *arguments: str) -> str:
    done = run("sources", *arguments, cwd=folder, APP_SECRET=SECRET, APP_PERSISTENT_STORAGE=str(folder))
    return done.stdout + done.stderr


def until_said(folder: Path, expected: str, *arguments: str) -> None:
    end = time.monotonic() + 20
    while expected not in (said := ccbe(folder, *arguments)):
        assert time.monotonic() < end, said
        time.sleep(0.1)


def test_what_waits_for_another_try_can_be_tried_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "FIRST_PAUSE", 3600.0)
    with site(tmp_path) as pulling:
        pulling.nextcloud.add_file(1, "alice", "files/a.md", "text/markdown", WHALE)
        pulling.nextcloud.fault("status", path="/files/1", times=None, status=503)
        pulling.nextcloud.enqueue_file(1)
        pulling.hurry()
        until_said(tmp_path, "next try", "show", file_id(1))
        pulling.nextcloud.clear_faults()
        ccbe(tmp_path, "retry", file_id(1))
        assert pulling.nextcloud.wait_idle(20)
        assert pulling.found("alice") == {file_id(1)}


@pytest.mark.parametrize("running", [True, False], ids=["while it runs", "while it does not"])
def test_what_is_dropped_is_acknowledged_and_does_not_come_back(tmp_path: Path, quick: None, running: bool) -> None:
    with Sim(secret=SECRET, app_version=VERSION) as nextcloud:
        nextcloud.add_file(1, "alice", "files/a.md", "text/markdown", WHALE)
        nextcloud.fault("status", path="/files/1", times=None, status=503)
        nextcloud.fault("status", path="/queues/documents", method="DELETE", times=None, status=503)
        nextcloud.enqueue_file(1)
        with gateway_of(nextcloud, tmp_path) as gateway:
            gateway.http.post("/trigger?providerId=x")
            until_said(tmp_path, "failing", "show", file_id(1))
            if running:
                ccbe(tmp_path, "drop", file_id(1), "--yes")
                until_said(tmp_path, "nothing is known", "show", file_id(1))
        if not running:
            ccbe(tmp_path, "drop", file_id(1), "--yes")
        nextcloud.clear_faults()
        with gateway_of(nextcloud, tmp_path) as gateway:
            assert nextcloud.wait_idle(30)
            assert gateway.found("alice") == set()
