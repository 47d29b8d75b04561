"""The tools around the hash cache: what they write has to be as true as what the cache writes itself."""

import io
import json
import sqlite3
import weakref
from collections.abc import AsyncIterator, Set
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from context_chat_backend.cli.cache_tools import (
    BATCH,
    CacheTools,
    Checkpoint,
    ImportReport,
    SeedReport,
    clear,
    file_bytes,
    open_tools,
    require_cache,
    statistics,
)
from context_chat_backend.cli.fork_file import read_fork_file
from context_chat_backend.cli.progress import BAR_WIDTH, Progress
from context_chat_backend.conformance.kit import Kit
from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import (
    AccessOp,
    Capabilities,
    Misconfigured,
    Outcome,
    ProviderId,
    Source,
    SourceId,
    StoredVersion,
    Unavailable,
    Unsupported,
    UserId,
)
from context_chat_backend.core.state import State
from context_chat_backend.layers import LayerSettings
from context_chat_backend.layers.hash_cache import HashCache
from context_chat_backend.layers.layer import Layer
from context_chat_backend.layers.upsert_cache import FORGET_BATCH, UpsertCache, entry_of
from context_chat_backend.metrics import Metrics
from context_chat_backend.storage import claimed_storage, state_file

pytestmark = pytest.mark.anyio

WINDOWS = LayerSettings(skip_upsert_all_within_secs=100, skip_upsert_meta_within_secs=200)
NOW = 1_000_000.0
ALONE = Capabilities(shared=False)


class Recorder(ReferenceDriver):
    """The reference driver, noting the calls that change something, and what its inventory was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.asked: list[int] = []
        self.fails_after: int | None = None
        self.tells_readers = True

    async def upsert(self, source: Source) -> Outcome:
        self.calls.append("upsert")
        return await super().upsert(source)

    async def set_access(self, source_id: SourceId, user_ids: Set[UserId]) -> None:
        self.calls.append("set_access")
        await super().set_access(source_id, user_ids)

    async def update_access(self, op: AccessOp, source_id: SourceId, user_ids: Set[UserId]) -> None:
        self.calls.append("update_access")
        await super().update_access(op, source_id, user_ids)

    async def inventory(
        self, source_ids: Set[SourceId] | None = None, *, skip: int = 0, bulk: bool = False
    ) -> AsyncIterator[StoredVersion]:
        self.asked.append(skip if source_ids is None else len(source_ids))
        count = skip
        async for stored in super().inventory(source_ids, skip=skip, bulk=bulk):
            if count == self.fails_after:
                raise Unavailable("the connection was reset")
            count += 1
            yield stored if self.tells_readers else replace(stored, user_ids=None)


class Endless(ReferenceDriver):
    """Makes up its inventory as it goes, and knows how many items somebody still holds."""

    def __init__(self, items: int) -> None:
        super().__init__()
        self.items = items
        self.held = 0
        self.most_held = 0
        self.closed = False

    async def inventory(
        self, source_ids: Set[SourceId] | None = None, *, skip: int = 0, bulk: bool = False
    ) -> AsyncIterator[StoredVersion]:
        try:
            for item in range(skip, self.items):
                yield self._version(item)
        finally:
            self.closed = True

    def _version(self, item: int) -> StoredVersion:
        readers = frozenset({UserId(f"user {item}")})
        weakref.finalize(readers, self._let_go)
        self.held += 1
        self.most_held = max(self.most_held, self.held)
        return stored_version(item, user_ids=readers)

    def _let_go(self) -> None:
        self.held -= 1


def stored_version(item: int, *, user_ids: frozenset[UserId] | None = None) -> StoredVersion:
    return StoredVersion(
        source_id=SourceId(f"files__default: {item}"),
        provider=ProviderId("files__default"),
        title=f"files/{item}.md",
        mime_type="text/markdown",
        modified=item,
        sha256=f"{item:064x}",
        user_ids=user_ids,
    )


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def driver() -> Recorder:
    return Recorder()


@pytest.fixture
def kit(driver: Recorder, tmp_path: Path) -> Kit:
    return Kit(driver, tmp_path)


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[State]:
    async with State(tmp_path / "state.db") as state:
        yield state


@pytest.fixture
def tools(driver: Recorder, state: State, clock: Clock) -> CacheTools:
    return CacheTools(driver, state, quiet(), clock=clock)


@pytest.fixture
def cache(driver: Recorder, state: State, clock: Clock) -> HashCache:
    """The layer of a gateway that is started after the tools."""
    return HashCache(driver, state, WINDOWS, backend="test", metrics=Metrics(), clock=clock)


def quiet() -> Progress:
    return Progress(io.StringIO())


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def rows(state: State) -> list[tuple[object, ...]]:
    return await state.fetch("select * from upserts order by source_id")


# ------------------------------------------------------------------ seed


async def test_a_seeded_source_is_skipped_without_a_call(tools: CacheTools, cache: HashCache, kit: Kit) -> None:
    assert isinstance(kit.driver, Recorder)
    await kit.driver.upsert(kit.source(1))
    assert await tools.seed() == SeedReport(written=1, before=0)
    kit.driver.calls.clear()
    assert await cache.upsert(kit.source(1)) is Outcome.UNCHANGED
    assert await cache.upsert(kit.source(1)) is Outcome.UNCHANGED
    assert kit.driver.calls == []


async def test_seeding_writes_what_the_cache_itself_writes(
    tools: CacheTools, cache: HashCache, kit: Kit, state: State
) -> None:
    for item in range(3):
        await cache.upsert(kit.source(item, users=("alice", "jörg"), title=f"files/{item} Übergröße.md", modified=item))
    written_by_cache = await rows(state)
    await state.execute("delete from upserts")
    await tools.seed()
    assert await rows(state) == written_by_cache


@pytest.mark.parametrize("change", [{"text": "A new whale."}, {"title": "files/other.md"}])
async def test_a_seeded_entry_never_hides_a_changed_version(
    tools: CacheTools, cache: HashCache, kit: Kit, change: dict[str, str]
) -> None:
    await kit.driver.upsert(kit.source(1, modified=1))
    await tools.seed()
    assert await cache.upsert(kit.source(1, modified=2, **change)) is Outcome.UPDATED


@pytest.mark.parametrize("tells_readers", [True, False])
async def test_a_seeded_entry_never_hides_other_readers(
    tools: CacheTools, cache: HashCache, kit: Kit, driver: Recorder, tells_readers: bool
) -> None:
    driver.tells_readers = tells_readers
    for item in (1, 2):
        await driver.upsert(kit.source(item, users=("alice",), modified=1))
    await tools.seed()
    await cache.upsert(kit.source(1, users=("bob",), modified=1))
    await cache.upsert(kit.source(2, users=("bob",), modified=2))
    assert await kit.found("bob") == {kit.id(1), kit.id(2)}
    assert await kit.found("alice") == {kit.id(1)}


async def test_a_seeded_entry_never_hides_a_revoked_reader(tools: CacheTools, cache: HashCache, kit: Kit) -> None:
    await kit.driver.upsert(kit.source(1, users=("alice", "bob"), modified=1))
    await tools.seed()
    await cache.upsert(kit.source(1, users=("alice",), modified=2))
    assert await kit.found("bob") == frozenset()


async def test_equal_bytes_under_another_id_are_still_indexed(tools: CacheTools, cache: HashCache, kit: Kit) -> None:
    await kit.driver.upsert(kit.source(1))
    await tools.seed()
    assert await cache.upsert(kit.source(2)) is Outcome.CREATED


async def test_without_known_readers_a_seeded_source_costs_an_access_call(
    tools: CacheTools, cache: HashCache, kit: Kit, driver: Recorder
) -> None:
    driver.tells_readers = False
    await kit.driver.upsert(kit.source(1))
    await tools.seed()
    driver.calls.clear()
    assert await cache.upsert(kit.source(1)) is Outcome.UNCHANGED
    assert driver.calls == ["update_access", "set_access"]  # by which the reference driver allows


async def test_seeding_replaces_what_is_not_true_any_more(
    tools: CacheTools, cache: HashCache, kit: Kit, driver: Recorder
) -> None:
    """After the backend was set back to an older copy."""
    await driver.upsert(kit.source(1, users=("alice",), text="The old whale.", modified=1))
    older = dict(driver._documents)
    await cache.upsert(kit.source(1, users=("alice",), text="The new whale.", modified=2))
    driver._documents = older
    await tools.seed()
    assert await cache.upsert(kit.source(1, text="The new whale.", modified=2)) is Outcome.UPDATED


async def test_an_unknown_digest_does_not_pass_for_unreadable_content() -> None:
    """The content of a version that cannot be indexed has the digest \"\"."""
    assert entry_of(replace(stored_version(1), sha256=""), NOW).content is None


async def test_an_interrupted_walk_is_resumed(tools: CacheTools, driver: Recorder, kit: Kit, state: State) -> None:
    for item in range(2 * BATCH + 7):
        await driver.upsert(kit.source(item))
    driver.fails_after = BATCH + 3
    with pytest.raises(Unavailable):
        await tools.seed()
    assert len(await rows(state)) == BATCH
    driver.fails_after = None
    assert await tools.seed() == SeedReport(written=BATCH + 7, before=BATCH)
    assert len(await rows(state)) == 2 * BATCH + 7
    assert driver.asked == [0, BATCH]


async def test_a_finished_walk_begins_anew(tools: CacheTools, driver: Recorder, kit: Kit, state: State) -> None:
    await driver.upsert(kit.source(1))
    for _ in range(2):
        assert await tools.seed() == SeedReport(written=1, before=0)
    assert not await state.fetch("select * from flags")


async def test_an_export_does_not_resume_a_walk(tools: CacheTools, driver: Recorder, kit: Kit, state: State) -> None:
    await driver.upsert(kit.source(1))
    await Checkpoint(state, driver.identity, "list").write(1)
    assert await tools.seed(bulk=True) == SeedReport(written=1, before=0)
    assert await tools.seed() == SeedReport(written=0, before=1)


async def test_another_store_does_not_resume_a_walk(
    tools: CacheTools, driver: Recorder, kit: Kit, state: State
) -> None:
    await driver.upsert(kit.source(1))
    await Checkpoint(state, "another", "list").write(1)
    assert await tools.seed() == SeedReport(written=1, before=0)


async def test_a_large_store_is_never_held_in_memory(state: State) -> None:
    driver = Endless(50_000)
    assert await CacheTools(driver, state, quiet()).seed() == SeedReport(written=50_000, before=0)
    assert await UpsertCache(state).count(driver.identity) == 50_000
    assert driver.most_held <= 2 * BATCH + 1
    assert driver.held == 0


async def test_a_failed_walk_closes_the_inventory_of_the_driver(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object) -> None:
        raise Unavailable("database or disk is full")

    monkeypatch.setattr(state, "execute_many", full)
    driver = Endless(3 * BATCH)
    with pytest.raises(Unavailable):
        await CacheTools(driver, state, quiet()).seed()
    assert driver.closed


# ------------------------------------------------------------------ import


async def fork_lines(*sources: Source, seen_at: float = NOW - 5) -> dict[str, Any]:
    """What the fork remembered of these: the digest, the time, and an id without its blank."""
    return {
        await source.content.sha256(): {
            "ts": seen_at,
            "doc_id": "5e2f3a7c-0000-4000-8000-000000000000",
            "filename": source.id.replace(": ", ":"),
        }
        for source in sources
    }


async def test_a_fork_entry_is_taken_over_with_its_time(
    tools: CacheTools, cache: HashCache, kit: Kit, driver: Recorder, clock: Clock
) -> None:
    await driver.upsert(kit.source(1))
    report = await tools.take_over(await fork_lines(kit.source(1), seen_at=NOW - 90))
    assert report == ImportReport(taken_over=1, missing=0, different=0, unreadable=0)
    driver.calls.clear()
    assert await cache.upsert(kit.source(1)) is Outcome.UNCHANGED
    assert driver.calls == []
    clock.now += 20
    await cache.upsert(kit.source(1))
    assert driver.calls[0] == "update_access"


async def test_an_id_that_kept_its_blank_is_taken_over(tools: CacheTools, kit: Kit, driver: Recorder) -> None:
    await driver.upsert(kit.source("a:b"))
    lines = await fork_lines(kit.source("a:b"))
    for line in lines.values():
        line["filename"] = kit.id("a:b")
    assert (await tools.take_over(lines)).taken_over == 1


async def test_what_the_backend_does_not_confirm_is_sent_again(
    tools: CacheTools, cache: HashCache, kit: Kit, driver: Recorder, state: State
) -> None:
    await driver.upsert(kit.source(1, text="The whale of today."))
    gone, changed = kit.source(2, text="gone"), kit.source(1, text="The whale of yesterday.", modified=1)
    report = await tools.take_over(await fork_lines(gone, changed))
    assert report == ImportReport(taken_over=0, missing=1, different=1, unreadable=0)
    assert await rows(state) == []
    assert await cache.upsert(gone) is Outcome.CREATED


async def test_of_several_versions_the_stored_one_is_taken_over(
    tools: CacheTools, kit: Kit, driver: Recorder, state: State
) -> None:
    versions = [kit.source(1, text=f"Whale {number}.", modified=number) for number in range(3)]
    await driver.upsert(versions[1])
    report = await tools.take_over(await fork_lines(*versions))
    assert report == ImportReport(taken_over=1, missing=0, different=2, unreadable=0)
    ((_, _, content, *_),) = await rows(state)
    assert content == await versions[1].content.sha256()


async def test_a_time_in_the_future_counts_as_now(tools: CacheTools, kit: Kit, driver: Recorder, state: State) -> None:
    await driver.upsert(kit.source(1))
    await tools.take_over(await fork_lines(kit.source(1), seen_at=NOW + 1000))
    ((*_, seen_at),) = await rows(state)
    assert seen_at == NOW


@pytest.mark.parametrize(
    ("sha256", "line"),
    [
        ("0" * 63, {"ts": 1, "filename": "files__default:1"}),
        ("0" * 64, None),
        ("0" * 64, ["ts"]),
        ("0" * 64, {"filename": "files__default:1"}),
        ("0" * 64, {"ts": "yesterday", "filename": "files__default:1"}),
        ("0" * 64, {"ts": float("nan"), "filename": "files__default:1"}),
        ("0" * 64, {"ts": 10**400, "filename": "files__default:1"}),
        ("0" * 64, {"ts": 1, "filename": None}),
        ("0" * 64, {"ts": 1, "filename": "no id"}),
        ("0" * 64, {"ts": 1, "filename": "files__default: "}),
    ],
)
async def test_an_unreadable_line_costs_itself_only(
    tools: CacheTools, kit: Kit, driver: Recorder, sha256: str, line: object
) -> None:
    await driver.upsert(kit.source(1))
    report = await tools.take_over({sha256: line} | await fork_lines(kit.source(1)))
    assert report == ImportReport(taken_over=1, missing=0, different=0, unreadable=1)


async def test_the_backend_is_asked_in_batches(tools: CacheTools, kit: Kit, driver: Recorder) -> None:
    await tools.take_over(await fork_lines(*(kit.source(item, text=str(item)) for item in range(BATCH + 1))))
    assert driver.asked == [BATCH, 1]


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe", b"[" * 100_000, b"[]"])
def test_a_file_that_is_no_fork_cache_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "r2r_upsert_cache.json"
    file.write_bytes(content)
    with pytest.raises(Misconfigured, match="r2r_upsert_cache"):
        read_fork_file(file)


def test_a_fork_file_is_read(tmp_path: Path) -> None:
    lines = {"0" * 64: {"ts": 1.5, "doc_id": "x", "filename": "files__default:1"}}
    (tmp_path / "cache.json").write_text(json.dumps(lines))
    assert read_fork_file(tmp_path / "cache.json") == lines


# ------------------------------------------------------------------ prune


async def test_prune_removes_what_the_backend_contradicts(
    tools: CacheTools, cache: HashCache, kit: Kit, driver: Recorder, state: State
) -> None:
    for item in range(6):
        await cache.upsert(kit.source(item, users=("alice", "bob"), modified=10))
    # behind the back of the cache:
    await driver.delete({kit.id(1)})
    await driver.upsert(kit.source(2, modified=11, text="A new whale."))
    await driver.upsert(kit.source(3, modified=11, title="files/other.md"))
    await driver.update_access(AccessOp.DENY, kit.id(4), kit.users("bob"))
    assert await tools.prune() == 4
    assert [row[1] for row in await rows(state)] == [kit.id(0), kit.id(5)]
    for item in range(1, 5):
        await cache.upsert(kit.source(item, users=("alice", "bob"), modified=12))
    assert await kit.found("bob") == {kit.id(item) for item in range(6)}


async def test_prune_keeps_a_touched_source(tools: CacheTools, cache: HashCache, kit: Kit) -> None:
    """Its entry knows a newer `modified` than the backend, which was only told of the readers."""
    await cache.upsert(kit.source(1, modified=10))
    await cache.upsert(kit.source(1, users=("bob",), modified=11))
    assert await tools.prune() == 0


async def test_prune_removes_an_entry_of_unknown_content_for_an_older_version(
    tools: CacheTools, cache: HashCache, kit: Kit, driver: Recorder
) -> None:
    await driver.upsert(kit.source(1, modified=10))
    await cache.upsert(kit.source(1, modified=9))  # not newer: the cache learns no digest
    assert await tools.prune() == 0
    driver._documents.clear()
    await driver.upsert(kit.source(1, modified=8))
    assert await tools.prune() == 1


async def test_prune_leaves_other_stores_alone(tools: CacheTools, state: State) -> None:
    entry = entry_of(stored_version(1), NOW)
    await UpsertCache(state).remember("another", [(SourceId("files__default: 1"), entry)])
    assert await tools.prune() == 0
    assert len(await rows(state)) == 1


async def test_prune_looks_at_every_entry_in_batches(tools: CacheTools, driver: Recorder, state: State) -> None:
    versions = [stored_version(item) for item in range(2 * BATCH + 1)]
    await UpsertCache(state).remember(driver.identity, [(one.source_id, entry_of(one, NOW)) for one in versions])
    assert await tools.prune() == 2 * BATCH + 1
    assert driver.asked == [BATCH, BATCH, 1]
    assert await rows(state) == []


# ------------------------------------------------------------------ stats, clear


async def test_statistics_are_given_per_store(tmp_path: Path) -> None:
    async with State(state_file(tmp_path)) as state:  # as a gateway that serves
        cache = UpsertCache(state)
        for identity, ages in {"a": (0, 100, 101, 200, 201), "b": (5000,)}.items():
            entries = [
                (SourceId(str(age)), entry_of(stored_version(age, user_ids=frozenset({UserId("x")})), NOW - age))
                for age in ages
            ]
            await cache.remember(identity, entries)
        await cache.forget_readers("a", [SourceId("0"), SourceId("200")])
        first, second = await statistics(tmp_path, WINDOWS, now=NOW)
    assert (first.identity, first.entries, first.known_readers) == ("a", 5, 3)
    assert (first.in_all_window, first.in_meta_window, first.expired) == (2, 2, 1)
    assert (second.identity, second.entries, second.expired) == ("b", 1, 1)


async def test_statistics_of_nothing_create_nothing(tmp_path: Path) -> None:
    assert await statistics(tmp_path, WINDOWS, now=NOW) == []
    await clear(tmp_path)
    assert file_bytes(tmp_path) == 0
    assert files(tmp_path) == []


async def test_clear_forgets_all_stores_while_a_gateway_serves(tmp_path: Path) -> None:
    with claimed_storage(tmp_path):
        async with State(state_file(tmp_path)) as state:
            entries = [
                (one.source_id, entry_of(one, NOW))
                for one in (stored_version(item) for item in range(FORGET_BATCH + 1))
            ]
            for identity in ("a", "b"):
                await UpsertCache(state).remember(identity, entries)
            await state.set_flag("enabled", "1")
            await Checkpoint(state, "a", "list").write(7)
            await clear(tmp_path)
            assert await rows(state) == []
            assert await state.fetch("select name from flags") == [("enabled",)]


async def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(state_file(tmp_path)) as db:
        db.execute("pragma user_version = 1000")
    db.close()
    with pytest.raises(Misconfigured, match="newer version"):
        await clear(tmp_path)


async def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    state_file(tmp_path).write_bytes(b"no database at all" * 100)
    with pytest.raises(Misconfigured, match=r"state\.db"):
        await clear(tmp_path)


# ------------------------------------------------------------------ opening


async def test_the_tools_refuse_a_storage_that_a_gateway_uses(tmp_path: Path) -> None:
    with claimed_storage(tmp_path):
        async with AsyncExitStack() as stack:
            with pytest.raises(Misconfigured, match="Stop the gateway first"):
                await stack.enter_async_context(open_tools(tmp_path, Recorder(), quiet()))


async def test_no_gateway_can_start_while_the_tools_are_open(tmp_path: Path) -> None:
    async with open_tools(tmp_path, Recorder(), quiet()):
        with pytest.raises(Misconfigured, match="another gateway"), claimed_storage(tmp_path):
            pass
    with claimed_storage(tmp_path):
        pass


async def test_a_driver_without_inventory_is_told_so(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        with pytest.raises(Unsupported, match="cannot list what it stores"):
            await stack.enter_async_context(open_tools(tmp_path, Layer(ReferenceDriver()), quiet()))
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("capabilities", "layers"),
    [
        (Capabilities(), WINDOWS),
        (ALONE, LayerSettings(skip_upsert_all_within_secs=0, skip_upsert_meta_within_secs=0)),
    ],
)
def test_a_cache_that_nobody_looks_at_is_not_filled(capabilities: Capabilities, layers: LayerSettings) -> None:
    with pytest.raises(Misconfigured, match="cache is off"):
        require_cache(capabilities, layers, "test")
    require_cache(ALONE, WINDOWS, "test")


# ------------------------------------------------------------------ progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar(clock: Clock) -> None:
    out = Terminal()
    with Progress(out, clock) as progress:
        progress.begin(total=1000)
        clock.now += 1
        progress.advance(500)
    half = "#" * (BAR_WIDTH // 2) + "." * (BAR_WIDTH // 2)
    assert out.getvalue() == f"\r[{half}] 500 of 1,000" * 2 + "\n"


def test_elsewhere_a_line_is_written_now_and_then(clock: Clock) -> None:
    out = io.StringIO()
    with Progress(out, clock) as progress:
        progress.begin(total=4000, done=1000)
        for _ in range(30):
            clock.now += 1
            progress.advance(100)
    assert out.getvalue().splitlines() == ["2,000 of 4,000", "3,000 of 4,000", "4,000 of 4,000"]


def test_more_than_was_announced_is_no_obstacle(clock: Clock) -> None:
    with Progress(Terminal(), clock) as progress:
        progress.begin(total=0)
        progress.advance(3)
    assert progress.done == 3
