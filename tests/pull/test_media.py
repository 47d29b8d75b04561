"""Images and recordings: models of Nextcloud read them, in nobody's way, and what becomes of each is written down."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import SecretStr

from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import Misconfigured, Outcome, Source, UserId
from context_chat_backend.nextcloud.client import NextcloudClient
from context_chat_backend.nextcloud.consumer import TaskConsumer
from context_chat_backend.nextcloud.refusals import Refusals
from context_chat_backend.nextcloud.webhooks import Webhooks
from context_chat_backend.pull import documents, transcripts
from context_chat_backend.pull.transcripts import MEDIA, Models
from tests.cli.running import run
from tests.doubles.sim import DAY, Sim
from tests.doubles.sim.tasks import CANCELLED, OCR_TASK, Task
from tests.gateway import SECRET, make_settings
from tests.pull.site import VERSION, Site, file_id, gateway_of, site

WHALE = "The whale swims in the deep blue sea."
PNG, MP3 = "image/png", "audio/mpeg"
NEVER = 3600.0
"""Seconds that no test waits."""
TYPES = "tasks_consumer/tasktypes"
SCHEDULE = "tasks_consumer/schedule"


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that would only make tests wait."""
    monkeypatch.setattr(transcripts, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(transcripts, "PAUSE_GROWTH", 1)
    look(monkeypatch, 0.02)


def look(monkeypatch: pytest.MonkeyPatch, pause: float) -> None:
    """How often a task is looked at that Nextcloud does not call about."""
    changed = replace(TaskConsumer.FOR_APPS, first_pause=pause, longest_pause=pause)
    monkeypatch.setattr(TaskConsumer, "FOR_APPS", changed)


@pytest.fixture
def reading(pulling: Site) -> Site:
    """With models for images and for speech."""
    pulling.nextcloud.ocr.mode = pulling.nextcloud.audio2text.mode = "read"
    return pulling


def add_image(nextcloud: Sim, number: int = 1, text: str = WHALE, **options: Any) -> None:
    nextcloud.add_file(number, "alice", f"files/scan{number}.png", PNG, text, **options)
    nextcloud.enqueue_file(number)


def add_text(nextcloud: Sim, number: int) -> None:
    nextcloud.add_file(number, "alice", f"files/{number}.md", "text/markdown", WHALE)
    nextcloud.enqueue_file(number)


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def tasks_of(nextcloud: Sim, kind: str = OCR_TASK) -> list[Task]:
    with nextcloud.lock:
        return [task for task in nextcloud.tasks if task.type == kind]


def counted(nextcloud: Sim, route: str) -> int:
    """Requests of a route."""
    return sum(report["requests"] for name, report in nextcloud.stats()["routes"].items() if route in name)


def fate(folder: Path, number: int = 1) -> tuple[str, str]:
    """Stage and reason, as `ccbe sources show` has them."""
    with closing(sqlite3.connect(f"file:{folder / 'state.db'}?mode=ro", uri=True)) as state:
        row = state.execute("select stage, reason from sources where source_id = ?", (file_id(number),)).fetchone()
    return ("", "") if row is None else (str(row[0]), str(row[1]))


def until_fate(folder: Path, stage: str, reason: str = "", number: int = 1) -> None:
    """It is written down within about a second."""
    end = time.monotonic() + 15
    while True:
        found = fate(folder, number)
        if found[0] == stage and reason in found[1]:
            return
        assert time.monotonic() < end, found
        time.sleep(0.05)


# ---------------------------------------------------------------------- read


def test_the_text_of_an_image_is_found_and_cited(reading: Site) -> None:
    add_image(reading.nextcloud, users=["bob"])
    reading.settle()
    assert reading.found("alice") == reading.found("bob") == {file_id(1)}
    assert reading.found("carol") == set()
    assert WHALE in reading.text("bob")
    answer = reading.gateway.post("/query", userId="bob", query="whale", useContext=True).json()
    assert answer["sources"] == [file_id(1)]
    assert not reading.nextcloud.statistics.fetched, "the gateway has no use for the picture"


def test_the_words_of_a_recording_are_found(reading: Site) -> None:
    nextcloud = reading.nextcloud
    nextcloud.add_file(1, "alice", "files/memo.mp3", MP3, WHALE, size=150 * 2**20)
    nextcloud.enqueue_file(1)
    reading.settle()
    assert reading.found("alice") == {file_id(1)}
    assert not nextcloud.statistics.fetched


def test_a_new_version_is_read_again(reading: Site) -> None:
    add_image(reading.nextcloud)
    reading.settle()
    reading.nextcloud.write_file(1, "Only a squid now, and no mammal.")
    reading.settle()
    assert "squid" in reading.text("alice")
    assert WHALE not in reading.text("alice")


def test_what_is_stored_as_it_is_costs_no_model(reading: Site) -> None:
    """With other readers, who get it all the same."""
    nextcloud = reading.nextcloud
    add_image(nextcloud)
    reading.settle()
    scheduled = counted(nextcloud, SCHEDULE)
    nextcloud.share(1, add=["bob"], event=False)
    nextcloud.enqueue_file(1)
    reading.settle()
    assert reading.found("bob") == {file_id(1)}
    assert counted(nextcloud, SCHEDULE) == scheduled == 1


def test_nothing_of_the_task_stays_in_nextcloud(reading: Site) -> None:
    add_image(reading.nextcloud)
    reading.settle()
    assert tasks_of(reading.nextcloud) == []
    assert counted(reading.nextcloud, SCHEDULE) == 1


def test_the_call_of_nextcloud_ends_the_waiting(reading: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    look(monkeypatch, NEVER)
    reading.nextcloud.ocr.delay = 0.3
    add_image(reading.nextcloud)
    reading.settle()
    assert reading.found("alice") == {file_id(1)}


def test_what_an_app_hands_in_is_not_a_file(reading: Site, tmp_path: Path) -> None:
    reading.nextcloud.enqueue_item("mail", "mail", "1", "picture", WHALE, PNG, users=["alice"])
    reading.settle()
    assert reading.found("alice") == set()
    assert counted(reading.nextcloud, TYPES) == 0


# ---------------------------------------------------------------------- as whom


def test_it_is_asked_for_as_another_reader_where_the_first_cannot(reading: Site) -> None:
    """Who was taken from the file, and whose account is gone: neither is the fault of this app."""
    nextcloud = reading.nextcloud
    nextcloud.ocr.mode = "hang"
    add_image(nextcloud, users=["bob", "carol"])
    reading.hurry()
    until(lambda: tasks_of(nextcloud))
    (task,) = tasks_of(nextcloud)
    assert task.wish.user == "alice"
    with nextcloud.lock:  # in the middle of the work
        nextcloud.tasks.cancel(task)
        nextcloud.share(1, remove=["alice"], event=False)
        nextcloud.users.pop("bob")
        nextcloud.ocr.mode = "read"
    reading.settle()
    assert reading.found("carol") == {file_id(1)}


@pytest.mark.parametrize("status", [400, 401, 500])
def test_a_reader_who_is_refused_is_not_the_last_one(reading: Site, status: int) -> None:
    reading.nextcloud.fault("status", path=SCHEDULE, times=1, status=status)
    add_image(reading.nextcloud, users=["bob"])
    reading.settle()
    assert reading.found("alice") == {file_id(1)}
    assert counted(reading.nextcloud, SCHEDULE) == 2


def test_a_file_that_nobody_has_is_acknowledged(reading: Site, tmp_path: Path) -> None:
    nextcloud = reading.nextcloud
    nextcloud.fault("status", path=SCHEDULE, times=None, status=401)
    add_image(nextcloud, users=["bob"])
    reading.settle()
    assert counted(nextcloud, SCHEDULE) == 2
    until_fate(tmp_path, "unfit", "no reader can have this file read")


@pytest.mark.anyio
async def test_a_wrong_secret_is_not_tried_with_every_reader(reading: Site) -> None:
    """Nextcloud would lock this app out."""
    nextcloud = reading.nextcloud
    nextcloud.add_file(1, "alice", "files/a.png", PNG, WHALE, users=["bob", "carol"])
    refusals = Refusals()
    settings = make_settings(Path("unused"), app_secret=SecretStr("another"), nextcloud_url=nextcloud.url)
    async with NextcloudClient(settings) as client:
        models = Models(TaskConsumer(client, Webhooks()), refusals)
        with pytest.raises(Misconfigured):
            await models.read(MEDIA[0], 1, [UserId("alice"), UserId("bob"), UserId("carol")])
    assert [counted(nextcloud, route) for route in (SCHEDULE, TYPES)] == [1, 1]
    with anyio.move_on_after(0.05) as scope:
        await refusals.wait()
    assert scope.cancelled_caught, "nobody else asks either"


# ---------------------------------------------------------------------- not read


@pytest.mark.parametrize(
    ("mime", "type_", "reason"),
    [(PNG, "audio2text", "images are read where"), (MP3, "ocr", "audio files are read where")],
)
def test_without_a_model_for_it_a_file_is_acknowledged_with_the_reason(
    pulling: Site, tmp_path: Path, mime: str, type_: str, reason: str
) -> None:
    nextcloud = pulling.nextcloud
    setattr(nextcloud, type_, replace(nextcloud.ocr, mode="read"))  # of the other kind
    nextcloud.add_file(1, "alice", "files/a", mime, WHALE)
    nextcloud.enqueue_file(1)
    pulling.settle()
    assert pulling.found("alice") == set()
    assert counted(nextcloud, SCHEDULE) == 0
    until_fate(tmp_path, "unfit", reason)


def test_without_routes_for_apps_a_file_is_acknowledged_with_the_reason(tmp_path: Path, quick: None) -> None:
    with site(tmp_path, simulated={"nc_major": 32}) as pulling:
        pulling.nextcloud.audio2text.mode = "read"
        pulling.nextcloud.add_file(1, "alice", "files/a.mp3", MP3, WHALE)
        pulling.nextcloud.enqueue_file(1)
        pulling.settle()
        until_fate(tmp_path, "unfit", "audio files are read where")


def test_which_models_there_are_is_not_asked_for_each_file(pulling: Site) -> None:
    for number in range(1, 9):
        add_image(pulling.nextcloud, number)
    pulling.settle()
    assert counted(pulling.nextcloud, TYPES) == 1


def test_a_model_that_goes_away_is_missed_at_once(reading: Site, tmp_path: Path) -> None:
    nextcloud = reading.nextcloud
    add_image(nextcloud)
    reading.settle()
    nextcloud.ocr.mode = "off"
    add_image(nextcloud, 2)
    reading.settle()
    until_fate(tmp_path, "unfit", "images are read where", number=2)
    asked = counted(nextcloud, TYPES)
    add_image(nextcloud, 3)
    reading.settle()
    assert counted(nextcloud, TYPES) == asked + 1, "what was known is forgotten"


def test_it_can_be_switched_off(tmp_path: Path, quick: None) -> None:
    with site(tmp_path, media_text=False) as pulling:
        pulling.nextcloud.ocr.mode = "read"
        add_image(pulling.nextcloud)
        pulling.settle()
        assert pulling.found("alice") == set()
        assert counted(pulling.nextcloud, TYPES) == counted(pulling.nextcloud, SCHEDULE) == 0
        until_fate(tmp_path, "unfit", "the type is not supported")


def test_a_rule_of_the_admin_comes_first(tmp_path: Path, quick: None) -> None:
    """It decides about the file, not about its text."""
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nindex = false\ntype = "image/*"\nlarger_than = "1 MiB"\n')
    storage = tmp_path / "storage"
    storage.mkdir()
    with site(storage, index_rules=rules) as pulling:
        pulling.nextcloud.ocr.mode = "read"
        add_image(pulling.nextcloud, 1, size=2 * 2**20)
        add_image(pulling.nextcloud, 2, size=100)
        pulling.settle()
        assert pulling.found("alice") == {file_id(2)}
        assert counted(pulling.nextcloud, SCHEDULE) == 1


class ReadsImages(ReferenceDriver):
    """As some backends do."""

    def __init__(self, types: frozenset[str] | None) -> None:
        super().__init__()
        self.capabilities = replace(self.capabilities, mime_types=types)
        self.seen: list[tuple[str, bytes]] = []

    async def upsert(self, source: Source) -> Outcome:
        self.seen.append((source.mime_type, (await source.content.path()).read_bytes()))
        return Outcome.CREATED


@pytest.mark.parametrize("types", [frozenset({PNG}), None], ids=["that type", "any type"])
def test_a_backend_that_reads_images_gets_them(tmp_path: Path, quick: None, types: frozenset[str] | None) -> None:
    driver = ReadsImages(types)
    with site(tmp_path, driver) as pulling:
        pulling.nextcloud.ocr.mode = "read"
        add_image(pulling.nextcloud)
        pulling.settle()
        assert driver.seen == [(PNG, WHALE.encode())]
        assert counted(pulling.nextcloud, TYPES) == counted(pulling.nextcloud, SCHEDULE) == 0


def test_a_backend_that_does_not_gets_plain_text(tmp_path: Path, quick: None) -> None:
    driver = ReadsImages(frozenset({"text/plain", "image/gif"}))
    with site(tmp_path, driver) as pulling:
        pulling.nextcloud.ocr.mode = "read"
        add_image(pulling.nextcloud)
        pulling.settle()
        assert driver.seen == [("text/plain", WHALE.encode())]


# ---------------------------------------------------------------------- what goes wrong


def test_a_model_that_fails_is_asked_again(reading: Site) -> None:
    nextcloud = reading.nextcloud
    nextcloud.ocr.mode = "fail"
    add_image(nextcloud)
    reading.hurry()
    until(lambda: len(tasks_of(nextcloud)) >= 2)
    nextcloud.ocr.mode = "read"
    reading.settle()
    assert reading.found("alice") == {file_id(1)}


@pytest.mark.slow
def test_a_file_on_which_the_model_always_fails_is_given_up_and_its_old_text_is_removed(
    reading: Site, tmp_path: Path
) -> None:
    nextcloud = reading.nextcloud
    add_image(nextcloud)
    reading.settle()
    nextcloud.ocr.mode = "fail"
    nextcloud.write_file(1, "Another picture.")
    reading.settle()
    assert len(tasks_of(nextcloud)) == transcripts.MOST_FAILURES
    assert reading.found("alice") == set()
    until_fate(tmp_path, "unfit", f"failed on it {transcripts.MOST_FAILURES} times")


def test_a_failure_of_the_model_is_followed_by_a_long_pause(
    reading: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be away for some time, and that must not cost every image of that time."""
    monkeypatch.setattr(transcripts, "FIRST_PAUSE", NEVER)
    reading.nextcloud.ocr.mode = "fail"
    add_image(reading.nextcloud)
    reading.hurry()
    until_fate(tmp_path, "failing", "STATUS_FAILED")
    reading.hurry()
    time.sleep(1)
    assert len(tasks_of(reading.nextcloud)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("status", [429, 503])
def test_an_outage_costs_no_file(reading: Site, status: int) -> None:
    reading.nextcloud.fault("status", path=SCHEDULE, times=3, status=status)
    reading.nextcloud.fault("status", path=TYPES, times=2, status=status)
    add_image(reading.nextcloud)
    reading.settle()
    assert reading.found("alice") == {file_id(1)}


def test_an_image_without_text_is_acknowledged(reading: Site, tmp_path: Path) -> None:
    add_image(reading.nextcloud, text="  \n")
    reading.settle()
    assert counted(reading.nextcloud, SCHEDULE) == 1
    until_fate(tmp_path, "unfit", "no text found")


def test_a_text_that_is_too_long_is_given_up(reading: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcripts, "MOST_BYTES", 10)
    add_image(reading.nextcloud)
    reading.settle()
    until_fate(tmp_path, "unfit", "longer than 10 bytes")


def test_a_model_that_takes_too_long_is_stopped_and_asked_again(reading: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcripts, "TASK_SECONDS", 0.2)
    nextcloud = reading.nextcloud
    nextcloud.ocr.mode = "hang"
    add_image(nextcloud)
    reading.hurry()
    until(lambda: len(tasks_of(nextcloud)) >= 2)
    assert tasks_of(nextcloud)[0].status == CANCELLED
    monkeypatch.setattr(transcripts, "TASK_SECONDS", 60)
    nextcloud.ocr.mode = "read"
    reading.settle()
    assert reading.found("alice") == {file_id(1)}


# ---------------------------------------------------------------------- in nobody's way


def test_slow_models_do_not_hold_up_documents(reading: Site) -> None:
    nextcloud = reading.nextcloud
    nextcloud.ocr.mode = "hang"
    with nextcloud.lock:
        for number in range(1, 41):  # more than there are places
            add_image(nextcloud, number)
        for number in range(41, 46):
            add_text(nextcloud, number)
    reading.hurry()
    until(lambda: reading.found("alice") == {file_id(number) for number in range(41, 46)})
    assert len(tasks_of(nextcloud)) == 2, "so many at a time"
    nextcloud.ocr.mode = "read"
    reading.settle()
    assert reading.found("alice") == {file_id(number) for number in range(1, 46)}


def test_so_many_images_wait_and_no_more(tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MOST_MEDIA", 5)
    monkeypatch.setattr("context_chat_backend.gateway.FETCHED_AHEAD", 0)
    with site(tmp_path, variables={"REFERENCE_MAX_INFLIGHT_UPSERTS": "1"}) as pulling:
        nextcloud = pulling.nextcloud
        nextcloud.ocr.mode = "hang"
        for number in range(1, 31):
            add_image(nextcloud, number)
        pulling.hurry()
        until(lambda: nextcloud.stats()["queues"]["files"]["running"] >= 5)
        time.sleep(1)
        assert nextcloud.stats()["queues"]["files"]["running"] <= 5 + documents.PLACES_PER_WORKER
        nextcloud.ocr.mode = "read"
        pulling.settle()
        assert len(pulling.found("alice")) == 30


def test_a_row_that_comes_again_while_its_file_is_read_is_not_read_twice(reading: Site) -> None:
    nextcloud = reading.nextcloud
    nextcloud.ocr.mode = "hang"
    add_image(nextcloud)
    reading.hurry()
    until(lambda: tasks_of(nextcloud))
    nextcloud.travel(DAY + 1)
    reading.hurry()
    until(lambda: nextcloud.statistics.leases["files:1"] == 2)
    time.sleep(0.5)
    assert len(tasks_of(nextcloud)) == 1
    nextcloud.ocr.mode = "read"
    reading.settle()
    assert reading.found("alice") == {file_id(1)}


def test_an_action_does_not_wait_for_a_model(reading: Site) -> None:
    nextcloud = reading.nextcloud
    nextcloud.ocr.mode = "hang"
    add_image(nextcloud, users=["bob"])
    reading.hurry()
    until(lambda: tasks_of(nextcloud))
    nextcloud.share(1, remove=["bob"], event=False)
    access = {"userIds": ["alice"], "sourceId": file_id(1)}
    nextcloud.enqueue_action("update_access_decl_source_id", access)
    reading.hurry()
    until(lambda: not nextcloud.actions.rows, seconds=5)
    nextcloud.ocr.mode = "read"
    reading.settle()
    assert reading.found("alice") == {file_id(1)}
    assert reading.found("bob") == set()


def test_a_file_that_is_deleted_while_it_is_read_is_not_indexed(reading: Site) -> None:
    nextcloud = reading.nextcloud
    nextcloud.ocr.mode = "hang"
    add_image(nextcloud)
    reading.hurry()
    until(lambda: tasks_of(nextcloud))
    (task,) = tasks_of(nextcloud)
    nextcloud.delete_file(1)
    reading.hurry()
    until(lambda: not nextcloud.actions.rows)
    with nextcloud.lock:  # the model had the picture
        nextcloud.tasks._answer(task, [WHALE])
    reading.settle()
    assert reading.found("alice") == set()


def test_what_the_operator_drops_is_not_read(reading: Site, tmp_path: Path) -> None:
    nextcloud = reading.nextcloud
    nextcloud.ocr.mode = "hang"
    with nextcloud.lock:
        for number in (1, 2, 3):
            add_image(nextcloud, number)
    reading.hurry()
    until(lambda: len(tasks_of(nextcloud)) == 2)
    read = {task.input["input"][0] for task in tasks_of(nextcloud)}
    (waiting,) = {1, 2, 3} - read
    until_fate(tmp_path, "waiting", "still to be asked for", number=waiting)
    storage = {"APP_SECRET": SECRET, "APP_PERSISTENT_STORAGE": str(tmp_path)}
    assert run("sources", "drop", file_id(waiting), "--yes", cwd=tmp_path, **storage).returncode == 0
    until(lambda: len(nextcloud.files.rows) == 2, seconds=10)
    nextcloud.ocr.mode = "read"
    reading.settle()
    assert reading.found("alice") == {file_id(number) for number in read}


# ---------------------------------------------------------------------- restarts


def test_what_a_model_was_reading_is_read_after_a_restart(tmp_path: Path, quick: None) -> None:
    with Sim(secret=SECRET, app_version=VERSION) as nextcloud:
        nextcloud.ocr.mode = "hang"
        for number in (1, 2, 3):
            add_image(nextcloud, number)
        with gateway_of(nextcloud, tmp_path) as gateway:
            gateway.http.post("/trigger?providerId=x")
            until(lambda: len(tasks_of(nextcloud)) == 2)
            until(lambda: len(nextcloud.stats()["unacknowledged"]) == 3)
        assert {task.status for task in tasks_of(nextcloud)} == {CANCELLED}, "no model works for nothing"
        nextcloud.ocr.mode = "read"
        with gateway_of(nextcloud, tmp_path) as gateway:
            assert nextcloud.wait_idle(30)
            assert gateway.found("alice") == {file_id(1), file_id(2), file_id(3)}


def test_what_a_model_was_reading_is_read_after_the_app_was_disabled(reading: Site) -> None:
    nextcloud = reading.nextcloud
    nextcloud.ocr.mode = "hang"
    add_image(nextcloud)
    reading.hurry()
    until(lambda: tasks_of(nextcloud))
    nextcloud.disable()
    until(lambda: counted(nextcloud, "/cancel"))  # which a disabled app may not
    nextcloud.ocr.mode = "read"
    nextcloud.enable()
    reading.settle()
    assert reading.found("alice") == {file_id(1)}
