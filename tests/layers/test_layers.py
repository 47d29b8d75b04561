"""The layers, each around a driver that does exactly what the test says."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from context_chat_backend.conformance.kit import Kit
from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import (
    AccessOp,
    Busy,
    Capabilities,
    Driver,
    Misconfigured,
    Outcome,
    Overtaken,
    Query,
    Source,
    SourceId,
    Unavailable,
)
from context_chat_backend.core.contents import NotRead
from context_chat_backend.core.state import State
from context_chat_backend.layers import LayerSettings, compose
from context_chat_backend.layers.backpressure import Backpressure
from context_chat_backend.layers.hash_cache import HashCache
from context_chat_backend.layers.layer import Layer
from context_chat_backend.layers.observe import Observe
from context_chat_backend.layers.opening import Opening
from context_chat_backend.layers.retry import Retry
from context_chat_backend.metrics import Metrics

pytestmark = pytest.mark.anyio


class Recorder(ReferenceDriver):
    """The reference driver, counting calls and failing on demand."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.failures: list[Exception] = []
        self.during_upsert: Callable[[], Awaitable[None]] | None = None

    def _note(self, name: str) -> None:
        self.calls.append(name)
        if self.failures:
            raise self.failures.pop(0)

    async def ping(self) -> None:
        self._note("ping")

    async def upsert(self, source: Source) -> Outcome:
        self._note("upsert")
        if self.during_upsert is not None:
            await self.during_upsert()
        return await super().upsert(source)

    async def update_access(self, op: AccessOp, source_id: SourceId, user_ids: object) -> None:
        self._note("update_access")
        await super().update_access(op, source_id, user_ids)  # type: ignore[arg-type]

    async def set_access(self, source_id: SourceId, user_ids: object) -> None:
        self._note("set_access")
        await super().set_access(source_id, user_ids)  # type: ignore[arg-type]

    async def delete(self, source_ids: object) -> None:
        self._note("delete")
        await super().delete(source_ids)  # type: ignore[arg-type]


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


def settings(**values: object) -> LayerSettings:
    return LayerSettings(**values)  # type: ignore[arg-type]


def operations(of: type) -> set[str]:
    return {name for name, value in inspect.getmembers(of) if callable(value) and not name.startswith("_")}


def test_a_layer_forwards_every_operation_explicitly() -> None:
    assert operations(Driver) | {"__aenter__", "__aexit__"} <= set(vars(Layer))


# ------------------------------------------------------------------ Retry


async def test_a_passing_failure_is_repeated(driver: Recorder, kit: Kit) -> None:
    driver.failures = [Unavailable("reset"), Busy("full", retry_after=0.01)]
    assert await Retry(driver, settings()).upsert(kit.source(1)) is Outcome.CREATED
    assert driver.calls == ["upsert"] * 3


async def test_the_last_failure_is_raised_after_all_attempts(driver: Recorder, kit: Kit) -> None:
    driver.failures = [Unavailable("one"), Unavailable("two"), Unavailable("three")]
    with pytest.raises(Unavailable, match="two"):
        await Retry(driver, settings(attempts=2)).upsert(kit.source(1))


@pytest.mark.parametrize(
    "failure",
    [
        Misconfigured("key"),
        ValueError("bug"),
        Busy("much later", retry_after=3600),
        Overtaken("denied meanwhile"),
        NotRead(),
    ],
)
async def test_other_failures_are_not_repeated(driver: Recorder, kit: Kit, failure: Exception) -> None:
    driver.failures = [failure]
    with pytest.raises(type(failure)):
        await Retry(driver, settings()).upsert(kit.source(1))
    assert driver.calls == ["upsert"]


async def test_each_attempt_has_a_time_limit(driver: Recorder, kit: Kit) -> None:
    driver.during_upsert = anyio.sleep_forever
    with pytest.raises(Unavailable, match="longer than"):
        await Retry(driver, settings(attempts=2, upsert_timeout=0.02)).upsert(kit.source(1))
    assert driver.calls == ["upsert"] * 2


# ------------------------------------------------------------------ Backpressure


@pytest.mark.parametrize(("said", "places"), [({"max_inflight_upserts": 3}, 3), ({}, 2)])
async def test_never_more_upserts_than_places(driver: Recorder, kit: Kit, said: dict[str, int], places: int) -> None:
    """As the operator says, else the driver."""
    inside, most = 0, 0

    async def count() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await anyio.lowlevel.checkpoint()
        inside -= 1

    driver.during_upsert = count
    driver.capabilities = Capabilities(upserts_at_once=2)
    gate = Backpressure(driver, settings(**said))
    async with anyio.create_task_group() as tasks:
        for item in range(30):
            tasks.start_soon(gate.upsert, kit.source(item))
    assert most == places
    assert driver.calls.count("upsert") == 30


async def test_without_any_patience_a_free_place_is_taken(driver: Recorder, kit: Kit) -> None:
    gate = Backpressure(driver, settings(max_inflight_upserts=1, max_wait_seconds=0))
    for _ in range(3):
        await gate.upsert(kit.source(1))
    assert driver.calls == ["upsert"] * 3


async def test_who_waits_too_long_is_asked_to_come_back(driver: Recorder, kit: Kit) -> None:
    release = anyio.Event()
    driver.during_upsert = release.wait
    gate = Backpressure(driver, settings(max_inflight_upserts=1, max_wait_seconds=0.01, retry_after_seconds=7))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(gate.upsert, kit.source(1))
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(Busy) as busy:
            await gate.upsert(kit.source(2))
        assert busy.value.retry_after == 7
        await gate.search(Query(user_id=kit.user("alice"), text="whale", limit=1))  # passes all the same
        release.set()


async def test_a_failed_or_cancelled_upsert_gives_its_place_back(driver: Recorder, kit: Kit) -> None:
    gate = Backpressure(driver, settings(max_inflight_upserts=1, max_wait_seconds=0.01))
    driver.failures = [Unavailable("reset")]
    with pytest.raises(Unavailable):
        await gate.upsert(kit.source(1))
    driver.during_upsert = anyio.sleep_forever
    with anyio.move_on_after(0.02):
        await gate.upsert(kit.source(1))
    driver.during_upsert = None
    assert await gate.upsert(kit.source(1)) is Outcome.CREATED


async def test_a_slow_backend_gets_no_new_sources(driver: Recorder, kit: Kit) -> None:
    class SlowPing(Recorder):
        async def ping(self) -> None:
            await anyio.sleep(0.05)

    gate = Backpressure(SlowPing(), settings(health_max_rtt_ms=1))
    with pytest.raises(Busy, match="the limit is 1 ms"):
        await gate.upsert(kit.source(1))


# ------------------------------------------------------------------ HashCache


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(driver: Recorder, state: State, clock: Clock) -> HashCache:
    windows = settings(skip_upsert_all_within_secs=100, skip_upsert_meta_within_secs=200)
    return HashCache(driver, state, windows, backend="test", metrics=Metrics(), clock=clock)


async def test_an_identical_source_costs_no_call(cache: HashCache, driver: Recorder, kit: Kit) -> None:
    await cache.upsert(kit.source(1))
    driver.calls.clear()
    assert await cache.upsert(kit.source(1)) is Outcome.UNCHANGED
    assert await cache.upsert(kit.source(1, modified=1_600_000_000)) is Outcome.UNCHANGED
    assert driver.calls == []


async def test_a_store_is_taken_as_shared_unless_its_driver_says_otherwise(
    cache: HashCache, driver: Recorder, kit: Kit
) -> None:
    driver.capabilities = Capabilities()
    await cache.upsert(kit.source(1))
    await kit.driver.delete({kit.id(1)})  # as another gateway may
    assert await cache.upsert(kit.source(1)) is Outcome.CREATED


@pytest.mark.parametrize("age", [0, 150])
async def test_a_late_older_version_replaces_nothing_that_the_cache_has_seen_since(
    cache: HashCache, kit: Kit, clock: Clock, age: int
) -> None:
    await cache.upsert(kit.source(1, users=("alice", "bob"), text="The first whale.", modified=10))
    clock.now += age
    await cache.upsert(kit.source(1, users=("alice",), text="The first whale.", modified=30))
    await cache.upsert(kit.source(1, users=("alice", "carol"), text="A late whale.", modified=20))
    assert await kit.text("alice", kit.id(1)) == "The first whale."
    assert await kit.found("bob") == frozenset()


async def test_a_newer_version_always_reaches_the_backend(cache: HashCache, driver: Recorder, kit: Kit) -> None:
    await cache.upsert(kit.source(1))
    await cache.upsert(kit.source(1, modified=1_800_000_000))
    assert driver.calls.count("upsert") == 2


async def test_equal_bytes_under_another_id_are_indexed(cache: HashCache, driver: Recorder, kit: Kit) -> None:
    await cache.upsert(kit.source(1, users=("alice",)))
    assert await cache.upsert(kit.source(2, users=("bob",))) is Outcome.CREATED
    assert await kit.found("bob") == {kit.id(2)}


@pytest.mark.parametrize(("modified", "alice"), [(0, True), (1, False)])
async def test_other_readers_are_never_skipped(cache: HashCache, kit: Kit, modified: int, alice: bool) -> None:
    await cache.upsert(kit.source(1, users=("alice",), modified=0))
    await cache.upsert(kit.source(1, users=("bob",), modified=modified))
    assert await kit.found("bob") == {kit.id(1)}
    assert bool(await kit.found("alice")) is alice


async def test_an_entry_of_the_future_is_not_believed(
    cache: HashCache, driver: Recorder, kit: Kit, clock: Clock
) -> None:
    await cache.upsert(kit.source(1))
    driver.calls.clear()
    clock.now -= 1  # the clock was set back
    await cache.upsert(kit.source(1))
    assert driver.calls


async def test_in_the_second_window_only_access_is_checked(
    cache: HashCache, driver: Recorder, kit: Kit, clock: Clock
) -> None:
    await cache.upsert(kit.source(1))
    driver.calls.clear()
    clock.now += 150
    await cache.upsert(kit.source(1))
    assert driver.calls == ["update_access", "set_access"]  # by which the reference driver allows
    await cache.upsert(kit.source(1))  # now fresh again
    assert driver.calls == ["update_access", "set_access"]


async def test_after_both_windows_the_source_is_sent_again(
    cache: HashCache, driver: Recorder, kit: Kit, clock: Clock
) -> None:
    await cache.upsert(kit.source(1))
    clock.now += 250
    await cache.upsert(kit.source(1))
    assert driver.calls == ["upsert"] * 2


@pytest.mark.parametrize("change", [{"text": "A new whale."}, {"title": "files/other.md"}])
async def test_newer_content_or_title_is_indexed(
    cache: HashCache, driver: Recorder, kit: Kit, change: dict[str, str]
) -> None:
    await cache.upsert(kit.source(1, modified=1))
    assert await cache.upsert(kit.source(1, modified=2, **change)) is Outcome.UPDATED


@pytest.mark.parametrize("seconds", [0, 150])
async def test_a_renamed_file_is_no_newer_and_reaches_the_backend_once(
    cache: HashCache, driver: Recorder, kit: Kit, clock: Clock, seconds: int
) -> None:
    await cache.upsert(kit.source(1))
    clock.now += seconds
    await cache.upsert(kit.source(1, title="files/renamed.md"))
    assert driver.calls == ["upsert"] * 2
    await cache.upsert(kit.source(1, title="files/renamed.md"))
    await cache.upsert(kit.source(1, modified=kit.source(1).modified - 1, title="files/a late older version.md"))
    assert driver.calls.count("upsert") == 2
    await cache.upsert(kit.source(1, title="files/renamed again.md"))
    assert driver.calls.count("upsert") == 3


async def test_text_that_returns_after_another_version_is_indexed(cache: HashCache, kit: Kit) -> None:
    """The backend was told of an older version; that says nothing of the bytes that it holds."""
    await kit.driver.upsert(kit.source(1, modified=5, text="The middle whale."))
    assert await cache.upsert(kit.source(1, modified=4, text="The first whale.")) is Outcome.UNCHANGED
    assert await cache.upsert(kit.source(1, modified=6, text="The first whale.")) is Outcome.UPDATED


@pytest.mark.parametrize(
    "operation",
    [
        lambda driver, kit: driver.delete({kit.id(1)}),
        lambda driver, kit: driver.delete_provider(kit.provider()),
        lambda driver, kit: driver.delete_user(kit.user("alice")),
        lambda driver, kit: driver.set_access(kit.id(1), frozenset()),
        lambda driver, kit: driver.update_access(AccessOp.DENY, kit.id(1), kit.users("alice")),
        lambda driver, kit: driver.update_provider_access(AccessOp.DENY, kit.provider(), kit.users("alice")),
    ],
)
async def test_what_was_deleted_or_denied_can_be_loaded_again(
    cache: HashCache, kit: Kit, operation: Callable[[Driver, Kit], Awaitable[None]]
) -> None:
    await cache.upsert(kit.source(1))
    await operation(cache, kit)
    assert await kit.found("alice") == frozenset()
    await cache.upsert(kit.source(1))
    assert await kit.found("alice") == {kit.id(1)}


async def test_an_entry_is_forgotten_even_if_the_deletion_fails(cache: HashCache, driver: Recorder, kit: Kit) -> None:
    await cache.upsert(kit.source(1))
    driver.failures = [Unavailable("answer lost")]
    with pytest.raises(Unavailable):
        await cache.delete({kit.id(1)})
    driver.calls.clear()
    await cache.upsert(kit.source(1))
    assert driver.calls == ["upsert"]


async def test_a_failed_upsert_is_not_remembered(cache: HashCache, driver: Recorder, kit: Kit) -> None:
    driver.failures = [Unavailable("reset")]
    with pytest.raises(Unavailable):
        await cache.upsert(kit.source(1))
    assert await cache.upsert(kit.source(1)) is Outcome.CREATED


async def test_another_backend_is_not_trusted(
    cache: HashCache, state: State, kit: Kit, clock: Clock, tmp_path: Path
) -> None:
    await cache.upsert(kit.source(1))
    emptied = Recorder()
    other = HashCache(emptied, state, settings(), backend="test", metrics=Metrics(), clock=clock)
    assert await other.upsert(kit.source(1)) is Outcome.CREATED


class Emptied(Recorder):
    """Loses everything at the end of the first call of one kind, and is another store from then on."""

    def __init__(self, operation: str) -> None:
        super().__init__()
        self._operation = operation

    def _lose(self, operation: str) -> None:
        if self._operation == operation:
            self._operation = ""
            self._documents.clear()
            self._identity = "emptied"

    async def upsert(self, source: Source) -> Outcome:
        outcome = await super().upsert(source)
        self._lose("upsert")
        return outcome

    async def update_access(self, op: AccessOp, source_id: SourceId, user_ids: object) -> None:
        await super().update_access(op, source_id, user_ids)
        self._lose("update_access")


@pytest.mark.parametrize("operation", ["upsert", "update_access"])
async def test_what_a_store_took_is_not_expected_in_the_one_that_took_its_place_meanwhile(
    state: State, kit: Kit, clock: Clock, operation: str
) -> None:
    driver = Emptied(operation)
    windows = settings(skip_upsert_all_within_secs=100, skip_upsert_meta_within_secs=200)
    cache = HashCache(driver, state, windows, backend="test", metrics=Metrics(), clock=clock)
    await cache.upsert(kit.source(1))
    if operation == "update_access":
        clock.now += 150  # in the second window only access is checked
        assert await cache.upsert(kit.source(1)) is Outcome.UNCHANGED
    assert await cache.upsert(kit.source(1)) is Outcome.CREATED


async def test_the_cache_survives_a_restart(tmp_path: Path, driver: Recorder, kit: Kit) -> None:
    for _ in range(2):
        async with State(tmp_path / "state.db") as state:
            await HashCache(driver, state, settings(), backend="test", metrics=Metrics()).upsert(kit.source(1))
    assert driver.calls == ["upsert"]


async def test_admins_are_told_of_windows_and_skips(
    cache: HashCache, kit: Kit, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "context_chat_backend.layers.hash_cache")
    async with cache:
        for _ in range(4):  # the first one is indexed, the second reported at once, the others when the cache is closed
            await cache.upsert(kit.source(1))
    assert caplog.messages == [
        "Upsert skip windows: all 100 s, meta 200 s",
        "Quick-skip all: 1 source(s)",
        "Quick-skip all: 2 source(s)",
    ]


# ------------------------------------------------------------------ Observe, Opening, compose


async def test_operations_are_counted_by_outcome(driver: Recorder, kit: Kit) -> None:
    metrics = Metrics()
    observed = Observe(driver, "test", metrics)
    await observed.upsert(kit.source(1))
    driver.failures = [Unavailable("reset")]
    with pytest.raises(Unavailable):
        await observed.upsert(kit.source(1))
    for outcome in ("ok", "unavailable"):
        labels = {"backend": "test", "operation": "upsert", "outcome": outcome}
        assert metrics.registry.get_sample_value("ccb_operation_seconds_count", labels) == 1


async def test_a_backend_that_is_down_at_start_is_opened_later(monkeypatch: pytest.MonkeyPatch) -> None:
    class Flaky(Recorder):
        attempts = 0
        opened = anyio.Event()

        async def __aenter__(self) -> "Flaky":
            self.attempts += 1
            if self.attempts == 1:
                raise Unavailable("connection refused")
            self.opened.set()
            return self

    monkeypatch.setattr("context_chat_backend.layers.opening.FIRST_PAUSE", 0.01)
    flaky = Flaky()
    identities: list[str] = []

    async def note(identity: str) -> None:
        identities.append(identity)

    async with Opening(flaky, note) as driver:
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(Unavailable, match="connection refused"):
            await driver.ping()
        with anyio.fail_after(60):
            await flaky.opened.wait()
        await anyio.wait_all_tasks_blocked()
        await driver.ping()
    assert flaky.calls == ["ping"]
    assert identities == [flaky.identity]


async def test_the_layers_come_in_the_documented_order(driver: Recorder, state: State) -> None:
    async def opened(_: str) -> None: ...

    layer = compose(driver, backend="test", settings=settings(), state=state, metrics=Metrics(), opened=opened)
    order = []
    while isinstance(layer, Layer):
        order.append(type(layer))
        layer = layer.inner
    assert order == [Observe, Opening, HashCache, Backpressure, Retry]


async def test_a_problem_that_is_told_again_and_again_collects_no_tracebacks() -> None:
    class Closed(Recorder):
        async def __aenter__(self) -> "Closed":
            raise Unavailable("connection refused", retry_after=7)

    async def opened(_: str) -> None: ...

    async with Opening(Closed(), opened) as driver:
        await anyio.wait_all_tasks_blocked()
        seen = []
        for _ in range(20):
            with pytest.raises(Unavailable, match="connection refused") as caught:
                await driver.ping()
            assert caught.value.retry_after == 7
            seen.append(caught)
    assert len({id(each.value) for each in seen}) == 20
    assert len(seen[-1].traceback) == len(seen[0].traceback)


async def test_a_driver_that_breaks_while_it_is_opened_does_not_end_the_gateway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened_at_last = anyio.Event()

    class Breaking(Recorder):
        attempts = 0

        async def __aenter__(self) -> "Breaking":
            self.attempts += 1
            if self.attempts < 3:
                raise OSError(24, "Too many open files")
            opened_at_last.set()
            return self

    async def opened(_: str) -> None: ...

    monkeypatch.setattr("context_chat_backend.layers.opening.FIRST_PAUSE", 0.0)
    breaking = Breaking()
    with anyio.fail_after(30):
        async with Opening(breaking, opened) as driver:
            await opened_at_last.wait()
            await anyio.wait_all_tasks_blocked()
            await driver.ping()
