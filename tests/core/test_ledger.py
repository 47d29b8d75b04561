"""What the ledger says of sources is what became of them, also across restarts and full disks."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from context_chat_backend.contract import ProviderId, Source, SourceId, Unavailable, UserId
from context_chat_backend.core.actions import DeleteProvider, DeleteSources, DeleteUser
from context_chat_backend.core.contents import NoContent
from context_chat_backend.core.ledger import Ledger
from context_chat_backend.core.sources import Entry, SourceTable, Stage, Unread
from context_chat_backend.core.state import MIGRATIONS, State
from context_chat_backend.metrics import Metrics
from context_chat_backend.toolkit.sqlite import SqliteFile

pytestmark = pytest.mark.anyio


def source(number: int, provider: str = "files__default", title: str = "files/a.md") -> Source:
    return Source(
        id=SourceId(f"{provider}: {number}"),
        provider=ProviderId(provider),
        title=title,
        mime_type="text/markdown",
        modified=1,
        user_ids=frozenset({UserId("alice")}),
        content=NoContent("none"),
    )


class Disk(State):
    """That may be full."""

    full = False

    async def execute_all(self, *statements: object) -> None:
        if self.full:
            raise Unavailable("no room")
        await super().execute_all(*statements)  # type: ignore[arg-type]


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[Disk]:
    async with Disk(tmp_path / "state.db") as disk:
        yield disk


@pytest.fixture
def ledger(disk: Disk) -> Ledger:
    return Ledger(disk, Metrics())


async def of(ledger: Ledger, *numbers: int) -> list[tuple[Stage, int, str]]:
    entries = await ledger.known({source(number).id for number in numbers})
    return [(entry.stage, entry.tries, entry.reason) for entry in sorted(entries, key=lambda entry: entry.source_id)]


async def only(ledger: Ledger) -> Entry:
    (entry,) = await ledger.known({source(1).id})
    return entry


async def test_a_source_goes_through_its_stages(ledger: Ledger) -> None:
    for stage in (Stage.WAITING, Stage.INDEXING, Stage.INDEXED):
        ledger.note(source(1), stage)
        assert await of(ledger, 1) == [(stage, 0, "")]
    ledger.note(source(1, title="files/b.md"), Stage.UNFIT, "no text")
    assert await of(ledger, 1) == [(Stage.UNFIT, 0, "no text")]
    assert (await only(ledger)).title == "files/b.md"


@pytest.mark.parametrize("flushes", [True, False], ids=["written one by one", "written together"])
async def test_failed_tries_are_counted_until_it_is_indexed(ledger: Ledger, flushes: bool) -> None:
    for _ in range(3):
        for stage in (Stage.WAITING, Stage.INDEXING, Stage.FAILING):
            ledger.note(source(1), stage, "down" if stage is Stage.FAILING else "")
            if flushes:
                await ledger.flush()
    assert await of(ledger, 1) == [(Stage.FAILING, 3, "down")]
    ledger.note(source(1), Stage.INDEXED)
    assert await of(ledger, 1) == [(Stage.INDEXED, 0, "")]
    ledger.note(source(1), Stage.FAILING, "again")
    assert await of(ledger, 1) == [(Stage.FAILING, 1, "again")]


async def test_since_is_when_the_stage_began_and_not_when_it_was_noted_last(ledger: Ledger, disk: Disk) -> None:
    ledger.note(source(1), Stage.INDEXED)
    await ledger.flush()
    await disk.execute("update sources set since = 5")
    ledger.note(source(1, title="files/renamed.md"), Stage.INDEXED)
    assert (await only(ledger)).since == 5
    ledger.note(source(1), Stage.WAITING)
    assert (await only(ledger)).since > time.time() - 60


async def test_the_next_try_is_known_until_it_begins(ledger: Ledger) -> None:
    ledger.note(source(1), Stage.FAILING, "down")
    ledger.note_next_try(source(1).id, 100)
    entry = await only(ledger)
    assert entry.next_try is not None
    assert 40 < entry.next_try - time.time() <= 100
    ledger.note(source(1), Stage.INDEXING)
    assert (await only(ledger)).next_try is None


async def test_what_is_deleted_is_forgotten_and_what_comes_after_is_not(ledger: Ledger) -> None:
    for number in (1, 2):
        ledger.note(source(number), Stage.INDEXED)
    await ledger.flush()
    ledger.note(source(3), Stage.INDEXED)
    ledger.note_action(DeleteSources(frozenset({source(1).id, source(3).id})))
    ledger.note(source(1), Stage.WAITING)
    assert await of(ledger, 1, 2, 3) == [(Stage.WAITING, 0, ""), (Stage.INDEXED, 0, "")]


@pytest.mark.parametrize("flushes", [True, False], ids=["written before", "not written"])
async def test_a_deleted_provider_is_forgotten_and_no_other(ledger: Ledger, flushes: bool) -> None:
    mail = source(1, "mail__mail")
    for each in (source(1), mail):
        ledger.note(each, Stage.INDEXED)
    if flushes:
        await ledger.flush()
    ledger.note_action(DeleteProvider(ProviderId("files__default")))
    ledger.note_action(DeleteUser(UserId("alice")))
    assert await of(ledger, 1) == []
    assert len(await ledger.known({mail.id})) == 1
    ledger.note(source(1), Stage.WAITING)
    assert await of(ledger, 1) == [(Stage.WAITING, 0, "")]


async def test_nothing_is_lost_on_a_full_disk_and_nothing_newer_is_overwritten(ledger: Ledger, disk: Disk) -> None:
    ledger.note(source(1), Stage.INDEXED)
    ledger.note(source(2), Stage.INDEXED)
    ledger.forget([source(3).id])
    disk.full = True
    with pytest.raises(Unavailable):
        await ledger.flush()
    ledger.forget([source(1).id])
    ledger.note(source(2), Stage.FAILING, "newer")
    ledger.note(source(3), Stage.INDEXED)
    disk.full = False
    assert await of(ledger, 1, 2, 3) == [(Stage.FAILING, 1, "newer"), (Stage.INDEXED, 0, "")]


async def test_what_was_being_indexed_when_the_gateway_ended_waits(ledger: Ledger, disk: Disk) -> None:
    ledger.note(source(1), Stage.INDEXING)
    ledger.note(source(2), Stage.FAILING, "down")
    await ledger.write()
    after = Ledger(disk, Metrics())
    after.note(source(3), Stage.INDEXING)
    assert await of(after, 1, 2, 3) == [(Stage.WAITING, 0, ""), (Stage.FAILING, 1, "down"), (Stage.INDEXING, 0, "")]
    after.note(source(3), Stage.INDEXING)
    assert await of(after, 3) == [(Stage.INDEXING, 0, "")], "only once, at the start"


async def test_entries_come_in_pages_by_stage_and_provider(ledger: Ledger) -> None:
    for number in range(7):
        ledger.note(source(number), Stage.INDEXED if number % 2 else Stage.WAITING)
    ledger.note(source(1, "mail__mail"), Stage.INDEXED)
    await ledger.flush()
    first = await ledger.table.entries(stage=Stage.INDEXED, limit=2)
    rest = await ledger.table.entries(stage=Stage.INDEXED, limit=9, after=first[-1].source_id)
    assert [entry.source_id for entry in [*first, *rest]] == [
        *(source(number).id for number in (1, 3, 5)),
        source(1, "mail__mail").id,
    ]
    mail = await ledger.table.entries(provider=ProviderId("mail__mail"), limit=9)
    assert [entry.provider for entry in mail] == ["mail__mail"]


async def test_the_summary_counts_and_names_the_one_that_waits_longest(ledger: Ledger, disk: Disk) -> None:
    ledger.note(source(1), Stage.INDEXED)
    ledger.note(source(2), Stage.WAITING)
    ledger.note(source(3), Stage.FAILING, "down")
    await ledger.flush()
    await disk.execute("update sources set since = 1 where stage = 'indexed'")
    await disk.execute("update sources set since = 7 where stage = 'failing'")
    summary = await ledger.table.summary()
    assert summary.counts == {Stage.INDEXED: 1, Stage.WAITING: 1, Stage.FAILING: 1}
    assert summary.oldest_open == 7


async def test_a_reader_that_gave_up_is_known_until_the_source_comes_again(ledger: Ledger, disk: Disk) -> None:
    ledger.note(source(1), Stage.UNFIT, "damaged", reader="1")
    ledger.note(source(2), Stage.UNFIT, "damaged", reader="2")
    ledger.note(source(3), Stage.UNFIT, "the type is not supported", reader="")
    ledger.note(source(4), Stage.UNFIT, "larger than 5 bytes")
    await ledger.flush()
    assert set(await ledger.table.unread()) == {Unread("text/markdown", each, 1) for each in ("1", "2", "")}
    ledger.note(source(1), Stage.UNFIT, "damaged", reader="2")
    ledger.note(source(3), Stage.WAITING)
    await ledger.flush()
    assert list(await ledger.table.unread()) == [Unread("text/markdown", "2", 2)]
    assert [entry.reader for entry in await ledger.known({source(number).id for number in (3, 4)})] == [None, None]


REASONS_OF_BEFORE = {
    "the type is not supported": "",
    "type not supported: text/rtf": "",
    "damaged (BadZipFile)": "1",
    "no text found": "1",
    "binary data, not a text": "1",
    "an old Word document, not a DOCX": "1",
    "extraction needs more than 60 s of CPU time": "1",
    "crashed the parser, perhaps out of memory (SIGSEGV)": "1",
    "encrypted with a password": None,
    "nobody may read it": None,
    "no content": None,
    "larger than 104857600 bytes": None,
}


async def test_the_ledger_of_the_version_before_tells_the_reader_by_the_reasons_that_it_gave(tmp_path: Path) -> None:
    path = tmp_path / "before.db"
    (step,) = [number for number, sql in enumerate(MIGRATIONS) if "add column reader" in sql]
    row = "insert into sources values (?, 'files__default', 'a', 'text/rtf', 1, ?, 0, 0, ?, null, null)"
    async with SqliteFile(path, MIGRATIONS[:step]) as before:
        await before.execute_many(row, [(reason, "unfit", reason) for reason in REASONS_OF_BEFORE])
        await before.execute(row, "failing", "failing", "no text found")
    async with State(path) as state:
        known = {entry.source_id: entry.reader for entry in await SourceTable(state).entries(limit=100)}
    assert known == {**REASONS_OF_BEFORE, "failing": None}


async def test_a_source_that_only_the_ledger_knows_changes_its_stage(ledger: Ledger) -> None:
    ledger.note(source(1), Stage.INDEXED)
    entry = await only(ledger)
    ledger.note_stage(entry, Stage.SKIPPED, "rule 1 of the admin")
    skipped = await only(ledger)
    assert replace(skipped, since=0) == replace(entry, stage=Stage.SKIPPED, reason="rule 1 of the admin", since=0)


async def test_metrics_tell_how_many_wait_how_long_and_how_long_it_will_take(ledger: Ledger, disk: Disk) -> None:
    metrics = Metrics()
    ledger = Ledger(disk, metrics)

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    for number in range(6):
        ledger.note(source(number), Stage.INDEXED)
    ledger.note(source(6), Stage.WAITING)
    await ledger.flush()
    await disk.execute("update sources set since = since - 100 where stage = 'waiting'")
    await ledger._count()
    assert value("ccb_sources_known", stage="indexed") == 6
    assert value("ccb_sources_known", stage="skipped") == 0
    waiting, left = value("ccb_sources_oldest_waiting_seconds"), value("ccb_sources_seconds_left")
    assert waiting is not None
    assert left is not None
    assert 100 <= waiting < 200
    assert 0 < left < 3600
    ledger.note(source(6), Stage.INDEXED)
    await ledger.flush()
    await ledger._count()
    assert value("ccb_sources_oldest_waiting_seconds") == 0
    assert value("ccb_sources_seconds_left") == 0
