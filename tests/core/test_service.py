"""What the service decides, around a driver that does exactly what the test says."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from context_chat_backend.conformance.kit import FileContent, Kit
from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import (
    AccessOp,
    Answer,
    Busy,
    Capabilities,
    Hit,
    Misconfigured,
    Outcome,
    Query,
    Rejected,
    Source,
    SourceId,
    Unavailable,
    UserId,
)
from context_chat_backend.core.actions import (
    Action,
    DeleteProvider,
    DeleteSources,
    DeleteUser,
    SetAccess,
    UpdateAccess,
    UpdateProviderAccess,
)
from context_chat_backend.core.admission import Admissions
from context_chat_backend.core.ledger import Ledger
from context_chat_backend.core.marks import HeldBack, Marks
from context_chat_backend.core.ordering import Order
from context_chat_backend.core.rules import Rules
from context_chat_backend.core.service import ContextChat, NothingFound, Verdict
from context_chat_backend.core.state import State
from context_chat_backend.http.push.batch import Batches, LoadReport
from context_chat_backend.metrics import Metrics
from context_chat_backend.retrieval.generators import Extractive
from tests.gateway import make_settings

pytestmark = pytest.mark.anyio


class Scripted(ReferenceDriver):
    """The reference driver with a hook in front of upserts and access changes."""

    def __init__(self) -> None:
        super().__init__()
        self.before_upsert: Callable[[Source], Awaitable[None]] | None = None
        self.access_failure: Exception | None = None
        self.upserts: list[SourceId] = []
        self.deleted: list[Set[SourceId]] = []

    async def upsert(self, source: Source) -> Outcome:
        self.upserts.append(source.id)
        if self.before_upsert is not None:
            await self.before_upsert(source)
        return await super().upsert(source)

    async def delete(self, source_ids: Set[SourceId]) -> None:
        self.deleted.append(source_ids)
        await super().delete(source_ids)

    async def update_access(self, op: AccessOp, source_id: SourceId, user_ids: object) -> None:
        if self.access_failure is not None:
            raise self.access_failure
        await super().update_access(op, source_id, user_ids)  # type: ignore[arg-type]


@pytest.fixture
def driver() -> Scripted:
    return Scripted()


@pytest.fixture
def kit(driver: Scripted, tmp_path: Path) -> Kit:
    return Kit(driver, tmp_path)


@pytest.fixture
async def chat(driver: Scripted, tmp_path: Path) -> AsyncIterator[ContextChat]:
    """Whose patience is longer than any machine is slow."""
    async with open_chat(driver, tmp_path, patience=600) as chat:
        yield chat


@pytest.fixture
async def hasty(driver: Scripted, tmp_path: Path) -> AsyncIterator[ContextChat]:
    """One that gives up what does not go on by itself."""
    async with open_chat(driver, tmp_path, patience=0.3) as chat:
        yield chat


@asynccontextmanager
async def open_chat(driver: Scripted, folder: Path, *, patience: float) -> AsyncIterator[ContextChat]:
    async with State(folder / "state.db") as state:
        order = Order(Marks(state, 3600), patience=patience)
        chat = ContextChat(
            driver,
            order=order,
            ledger=Ledger(state, Metrics()),
            rules=Rules(),
            generator=Extractive(),
            metrics=Metrics(),
            admissions=Admissions.of(make_settings(folder), Metrics()),
        )
        await chat.open()
        yield chat


@pytest.fixture
async def batches(chat: ContextChat) -> AsyncIterator[Batches]:
    async with Batches(chat, parallel=3, deadline=600) as batches:
        yield batches


@pytest.fixture
async def hasty_batches(chat: ContextChat) -> AsyncIterator[Batches]:
    async with Batches(chat, parallel=3, deadline=0.6) as batches:
        yield batches


async def load(batches: Batches, sources: Sequence[Source]) -> LoadReport:
    with batches._chat.arrival() as arrival:
        return await batches.load(sources, arrival)


async def load_one(chat: ContextChat, source: Source) -> Verdict:
    with chat.arrival() as arrival:
        return await chat.load(source, arrival)


async def apply(chat: ContextChat, action: Action) -> None:
    """As somebody who gets the answer."""
    async with chat.apply(action) as place:
        await place.settle()


@pytest.mark.parametrize("failure", [Busy("full"), Unavailable("reset"), Misconfigured("key"), ValueError("bug")])
async def test_one_failing_source_is_to_retry_and_costs_no_other(
    batches: Batches, driver: Scripted, kit: Kit, failure: Exception
) -> None:
    async def fail_second(source: Source) -> None:
        if source.id == kit.id(2):
            raise failure

    driver.before_upsert = fail_second
    report = await load(batches, [kit.source(item) for item in (1, 2, 3)])
    assert (report.loaded, report.retry, report.rejected) == ((kit.id(1), kit.id(3)), (kit.id(2),), ())


async def test_a_rejected_source_is_in_neither_list(batches: Batches, driver: Scripted, kit: Kit) -> None:
    async def reject(_: Source) -> None:
        raise Rejected("encrypted")

    driver.before_upsert = reject
    report = await load(batches, [kit.source(1)])
    assert (report.loaded, report.retry, report.rejected) == ((), (), (kit.id(1),))


async def test_a_version_of_an_undeclared_type_or_size_removes_older_ones_only(
    driver: Scripted, batches: Batches, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Capabilities(max_source_bytes=10, mime_types=frozenset({"text/markdown"}))
    await load(batches, [kit.source(1)])
    monkeypatch.setattr(Scripted, "capabilities", small)
    report = await load(batches, [kit.source(1, modified=1_600_000_000)])
    assert report.loaded == (kit.id(1),)  # not newer: the stored version stays
    assert await kit.found("alice") == {kit.id(1)}
    report = await load(batches, [kit.source(1, modified=1_800_000_000)])
    assert report.rejected == (kit.id(1),)
    assert await kit.found("alice") == frozenset()


async def test_a_slow_source_is_answered_in_time_and_goes_on(
    hasty_batches: Batches, driver: Scripted, kit: Kit
) -> None:
    go_on = anyio.Event()

    async def wait(_: Source) -> None:
        await go_on.wait()

    driver.before_upsert = wait
    sources = [kit.source(item) for item in range(5)]
    report = await load(hasty_batches, sources)
    assert report.retry == tuple(source.id for source in sources)
    assert len(driver.upserts) == 3  # as many as may run at once
    report = await load(hasty_batches, sources[:1])
    assert report.retry == (sources[0].id,)  # at once: it is under way already
    go_on.set()
    driver.before_upsert = None
    await anyio.wait_all_tasks_blocked()
    hasty_batches._deadline = 600
    report = await load(hasty_batches, sources)
    assert report.loaded == tuple(source.id for source in sources)


async def test_contents_are_released_when_nobody_needs_them(
    hasty_batches: Batches, driver: Scripted, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    released: list[Path] = []
    monkeypatch.setattr(FileContent, "release", lambda self: released.append(self.file))
    go_on = anyio.Event()

    async def wait(_: Source) -> None:
        await go_on.wait()

    driver.before_upsert = wait
    sources = [kit.source(item) for item in range(5)]
    await load(hasty_batches, sources)
    assert len(released) == 2  # given back; the others are under way
    go_on.set()
    await anyio.wait_all_tasks_blocked()
    assert len(released) == 5


async def test_one_id_twice_is_done_in_order(batches: Batches, kit: Kit) -> None:
    same = [kit.source(1, users=("alice",)), kit.source(1, users=("bob",))]
    report = await load(batches, same)
    assert report.loaded == (kit.id(1),)
    assert await kit.found("alice") == await kit.found("bob") == {kit.id(1)}


async def test_an_action_during_indexing_is_applied_after_it(
    chat: ContextChat, batches: Batches, driver: Scripted, kit: Kit
) -> None:
    started = anyio.Event()

    async def slow(_: Source) -> None:
        started.set()
        await anyio.wait_all_tasks_blocked()  # so the action waits for its turn

    driver.before_upsert = slow
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(load, batches, [kit.source(1, users=("alice", "bob"))])
        await started.wait()
        await apply(chat, UpdateAccess(AccessOp.DENY, kit.users("bob"), kit.id(1)))
    assert await kit.found("bob") == frozenset()
    assert await kit.found("alice") == {kit.id(1)}


async def test_many_actions_do_not_wait_for_the_one_whose_source_is_being_indexed(
    chat: ContextChat, driver: Scripted, kit: Kit
) -> None:
    await chat.load(kit.source(2, users=("alice", "bob")), 0)
    go_on, started = anyio.Event(), anyio.Event()

    async def wait(_: Source) -> None:
        started.set()
        await go_on.wait()

    driver.before_upsert = wait
    deny = [UpdateAccess(AccessOp.DENY, kit.users("bob"), kit.id(number)) for number in (1, 2)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(load_one, chat, kit.source(1, users=("alice", "bob")))
        await started.wait()
        tasks.start_soon(chat.apply_all, deny)
        await anyio.wait_all_tasks_blocked()
        assert await kit.found("bob") == frozenset()
        go_on.set()
    assert await kit.found("bob") == frozenset()
    assert await kit.found("alice") == kit.ids(1, 2)


async def test_an_action_does_not_wait_forever(hasty: ContextChat, driver: Scripted, kit: Kit) -> None:
    go_on, started = anyio.Event(), anyio.Event()

    async def wait(_: Source) -> None:
        started.set()
        await go_on.wait()

    driver.before_upsert = wait
    deny = UpdateAccess(AccessOp.DENY, kit.users("bob"), kit.id(1))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(load_one, hasty, kit.source(1, users=("alice", "bob")))
        await started.wait()
        with pytest.raises(Unavailable, match="takes too long"):
            await apply(hasty, deny)
        go_on.set()
    await apply(hasty, deny)
    assert await kit.found("bob") == frozenset()


async def test_nothing_overtakes_a_failed_action(
    chat: ContextChat, batches: Batches, driver: Scripted, kit: Kit
) -> None:
    await load(batches, [kit.source(1)])
    allow = UpdateAccess(AccessOp.ALLOW, kit.users("bob"), kit.id(1))
    deny = UpdateAccess(AccessOp.DENY, kit.users("bob"), kit.id(1))
    driver.access_failure = Unavailable("reset")
    with pytest.raises(Unavailable):
        await apply(chat, allow)
    driver.access_failure = None
    for overtaking in (deny, DeleteSources(frozenset({kit.id(1)}))):
        with pytest.raises(HeldBack):
            await apply(chat, overtaking)
    report = await load(batches, [kit.source(1), kit.source(2)])
    assert (report.retry, report.loaded) == ((kit.id(1),), (kit.id(2),))
    await apply(chat, allow)
    await apply(chat, deny)
    assert await kit.found("bob") == frozenset()


async def test_a_user_is_not_deleted_before_those_who_were_to_read_the_same_can(
    chat: ContextChat, batches: Batches, driver: Scripted, kit: Kit
) -> None:
    await load(batches, [kit.source(1, users=("alice",))])
    allow_bob = UpdateAccess(AccessOp.ALLOW, kit.users("bob"), kit.id(1))
    (alice,) = kit.users("alice")
    driver.access_failure = Unavailable("down")
    with pytest.raises(Unavailable):
        await apply(chat, allow_bob)
    driver.access_failure = None
    with pytest.raises(HeldBack):
        await apply(chat, DeleteUser(alice))
    await apply(chat, allow_bob)
    await apply(chat, DeleteUser(alice))
    assert await kit.found("alice") == frozenset()
    assert await kit.found("bob") == {kit.id(1)}


async def test_nobody_waits_for_an_action_that_met_a_bug(
    chat: ContextChat, batches: Batches, driver: Scripted, kit: Kit
) -> None:
    await load(batches, [kit.source(1, users=("alice", "bob"))])
    driver.access_failure = ValueError("bug")
    with pytest.raises(ValueError, match="bug"):
        await apply(chat, UpdateAccess(AccessOp.ALLOW, kit.users("carol"), kit.id(1)))
    driver.access_failure = None
    await apply(chat, UpdateAccess(AccessOp.DENY, kit.users("bob"), kit.id(1)))
    assert await kit.found("bob") == frozenset()


@pytest.mark.parametrize("number", [1, 1000, 1001, 2500])
async def test_a_deletion_of_any_size_reaches_the_driver_in_bounded_calls(
    chat: ContextChat, driver: Scripted, kit: Kit, number: int
) -> None:
    ids = frozenset(map(kit.id, range(number)))
    await apply(chat, DeleteSources(ids))
    assert max(map(len, driver.deleted)) <= 1000
    assert sum(map(len, driver.deleted)) == number
    assert frozenset().union(*driver.deleted) == ids


async def test_a_search_goes_on_until_there_are_enough_distinct_sources(tmp_path: Path) -> None:
    hits = [
        Hit(source_id=SourceId(f"p__p: {n // 50}"), title=f"t{n}", ordinal=0, heading="", text="", score=-n)
        for n in range(500)
    ]

    class Finding(Scripted):
        async def search(self, query: Query) -> list[Hit]:
            return hits[: query.limit]

    async with open_chat(Finding(), tmp_path, patience=600) as chat:
        found = await chat.search(Query(user_id=UserId("alice"), text="x", limit=4))
        assert [source.source_id for source in found] == [f"p__p: {n}" for n in range(4)]
        assert found[1].title == "t50"
        assert len(await chat.search(Query(user_id=UserId("alice"), text="x", limit=200))) == 10


async def test_a_backend_that_answers_is_asked_to(
    chat: ContextChat, driver: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Answer(text="42", source_ids=(SourceId("p__p: 1"),))

    async def answer(_: object, query: Query) -> Answer:
        return given if query.user_id == "alice" else Answer(text="I do not know", source_ids=())

    monkeypatch.setattr(Scripted, "capabilities", Capabilities(answers=True))
    monkeypatch.setattr(Scripted, "answer", answer)
    alice, bob = (Query(user_id=UserId(user), text="x", limit=4) for user in ("alice", "bob"))
    assert await chat.query(alice) == given
    assert [answer async for answer in chat.stream(alice)] == [given]
    for asked in (chat.query(bob), anext(chat.stream(bob))):
        with pytest.raises(NothingFound):
            await asked


async def test_a_streamed_answer_ends_with_the_one_of_a_query(chat: ContextChat, kit: Kit) -> None:
    source = kit.source(1)
    assert await load_one(chat, source) is Verdict.LOADED
    query = Query(user_id=kit.user("alice"), text="whale", limit=4)
    first, *others = [answer async for answer in chat.stream(query)]
    assert (first.text, first.source_ids) == ("", (source.id,))
    assert others == [await chat.query(query)]
    with pytest.raises(NothingFound):
        await anext(chat.stream(replace(query, user_id=kit.user("bob"))))


@pytest.mark.parametrize("failure", [Unavailable("away"), ValueError("bug")])
async def test_a_ping_that_fails_in_any_way_is_a_problem_of_the_backend(
    chat: ContextChat, driver: Scripted, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    async def ping() -> None:
        raise failure

    assert await chat.problem() is None
    monkeypatch.setattr(driver, "ping", ping)
    assert isinstance(await chat.problem(), Unavailable)


async def test_the_count_always_names_the_files(chat: ContextChat, batches: Batches, kit: Kit) -> None:
    assert await chat.count() == {"files__default": 0}
    await load(batches, [kit.source(1)])
    assert await chat.count() == {"files__default": 0, kit.provider(): 1}


WAITING = [
    (lambda kit: UpdateAccess(AccessOp.DENY, kit.users("bob"), kit.id(5)), {"alice"}),
    (lambda kit: UpdateAccess(AccessOp.ALLOW, kit.users("carol"), kit.id(5)), {"alice", "bob", "carol"}),
    (lambda kit: SetAccess(kit.users("carol"), kit.id(5)), {"carol"}),
    (lambda kit: UpdateProviderAccess(AccessOp.DENY, kit.users("bob"), kit.provider()), {"alice"}),
    (lambda kit: DeleteUser(kit.user("bob")), {"alice"}),
    (lambda kit: DeleteSources(frozenset({kit.id(5)})), set()),
    (lambda kit: DeleteProvider(kit.provider()), set()),
    (lambda kit: UpdateAccess(AccessOp.DENY, kit.users("alice", "bob"), kit.id(5)), set()),
]


@pytest.mark.parametrize(("action", "readers"), WAITING)
async def test_an_action_reaches_sources_that_are_still_on_their_way_in(
    chat: ContextChat, batches: Batches, driver: Scripted, kit: Kit, action: Callable[[Kit], Action], readers: set[str]
) -> None:
    async def slow(_: Source) -> None:
        for _turn in range(10):
            await anyio.lowlevel.checkpoint()

    driver.before_upsert = slow
    with chat.arrival() as arrival:  # the body is being received
        await apply(chat, action(kit))
        sources = [kit.source(item, users=("alice", "bob")) for item in range(6)]
        await batches.load(sources, arrival)
    for user in ("alice", "bob", "carol"):
        assert (kit.id(5) in await kit.found(user)) is (user in readers)


async def test_an_action_reaches_sources_that_wait_for_their_turn(
    chat: ContextChat, batches: Batches, driver: Scripted, kit: Kit
) -> None:
    started, go_on = anyio.Event(), anyio.Event()

    async def wait(_: Source) -> None:
        started.set()
        await go_on.wait()

    driver.before_upsert = wait
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(load, batches, [kit.source(item, users=("alice", "bob")) for item in range(6)])
        await started.wait()
        await apply(chat, UpdateAccess(AccessOp.DENY, kit.users("bob"), kit.id(5)))
        await apply(chat, DeleteSources(frozenset({kit.id(4)})))
        go_on.set()
    assert await kit.found("bob") == {kit.id(item) for item in range(4)}
    assert await kit.found("alice") == {kit.id(item) for item in (0, 1, 2, 3, 5)}


async def test_actions_are_forgotten_with_the_last_arrival(chat: ContextChat, kit: Kit) -> None:
    deny = UpdateAccess(AccessOp.DENY, kit.users("bob"), kit.id(1))
    await apply(chat, deny)
    arrivals = chat._order._arrivals
    with chat.arrival(), chat.arrival():
        await apply(chat, deny)
        assert len(arrivals._actions) == 1
    assert not arrivals._actions
    assert not arrivals._open


async def test_a_source_that_lost_all_readers_is_removed(batches: Batches, kit: Kit) -> None:
    await load(batches, [kit.source(1)])
    report = await load(batches, [replace(kit.source(1), user_ids=frozenset())])
    assert report.rejected == (kit.id(1),)
    assert await kit.found("alice") == frozenset()


# ------------------------------------------------------------------ revocations and long uploads


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("context_chat_backend.core.turns.GRACE", 0.0)


LONG = [
    (lambda kit: UpdateAccess(AccessOp.DENY, kit.users("bob"), kit.id(1)), {"alice"}),
    (lambda kit: UpdateProviderAccess(AccessOp.DENY, kit.users("bob"), kit.provider()), {"alice"}),
    (lambda kit: DeleteUser(kit.user("bob")), {"alice"}),
    (lambda kit: DeleteSources(frozenset({kit.id(1)})), set()),
]


@pytest.mark.parametrize(("action", "readers"), LONG)
async def test_a_revocation_does_not_wait_for_a_long_upload_which_is_then_done_without_whom_it_took_away(
    no_grace: None,
    chat: ContextChat,
    batches: Batches,
    driver: Scripted,
    kit: Kit,
    action: Callable[[Kit], Action],
    readers: set[str],
) -> None:
    tries, applied = 0, anyio.Event()

    async def long(_: Source) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            started.set()
            await anyio.sleep_forever()

    started, driver.before_upsert = anyio.Event(), long
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(load, batches, [kit.source(1, users=("alice", "bob"))])
            await started.wait()
            await apply(chat, action(kit))
            applied.set()
    for user in ("alice", "bob"):
        assert await kit.found(user) == ({kit.id(1)} if user in readers else frozenset())


async def test_unrelated_work_waits_for_no_upload_of_somebody_else(
    chat: ContextChat, batches: Batches, driver: Scripted, kit: Kit
) -> None:
    started, go_on = anyio.Event(), anyio.Event()

    async def wait(source: Source) -> None:
        if source.id == kit.id(1):
            started.set()
            await go_on.wait()

    await load(batches, [kit.source(2, users=("alice", "bob")), kit.source(3, provider="mail")])
    driver.before_upsert = wait
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(load, batches, [kit.source(1)])
            await started.wait()
            await apply(chat, UpdateAccess(AccessOp.DENY, kit.users("bob"), kit.id(2)))
            await apply(chat, DeleteProvider(kit.provider("mail")))
            assert (await load(batches, [kit.source(4)])).loaded == (kit.id(4),)
            go_on.set()
    assert await kit.found("alice") == kit.ids(1, 2, 4)


async def test_an_upload_that_is_interrupted_again_and_again_is_to_be_sent_again(
    chat: ContextChat, driver: Scripted, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("context_chat_backend.core.turns.GRACE", 0.0)
    verdicts: list[Verdict] = []
    started = anyio.Event()

    async def wait(_: Source) -> None:
        started.set()
        await anyio.sleep_forever()

    async def load_and_note() -> None:
        verdicts.append(await load_one(chat, kit.source(1)))

    driver.before_upsert = wait
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(load_and_note)
            while not verdicts:
                await started.wait()
                started = anyio.Event()
                await apply(chat, UpdateAccess(AccessOp.DENY, kit.users("bob"), kit.id(1)))
                await anyio.wait_all_tasks_blocked()
    assert verdicts == [Verdict.RETRY]


async def test_a_disk_that_refuses_the_mark_of_a_failed_action_loses_no_revocation(
    chat: ContextChat, batches: Batches, driver: Scripted, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise Unavailable("database or disk is full")

    await load(batches, [kit.source(1)])
    allow = UpdateAccess(AccessOp.ALLOW, kit.users("mallory"), kit.id(1))
    deny = UpdateAccess(AccessOp.DENY, kit.users("mallory"), kit.id(1))
    with monkeypatch.context() as while_full:
        while_full.setattr(State, "execute_all", full)
        driver.access_failure = Unavailable("reset")
        with pytest.raises(Unavailable, match="reset"):
            await apply(chat, allow)
    driver.access_failure = None
    with pytest.raises(HeldBack):
        await apply(chat, deny)
    await apply(chat, allow)
    await apply(chat, deny)
    assert await kit.found("mallory") == frozenset()


async def test_an_action_whose_answer_was_lost_keeps_its_place(chat: ContextChat, batches: Batches, kit: Kit) -> None:
    await load(batches, [kit.source(1)])
    allow = UpdateAccess(AccessOp.ALLOW, kit.users("bob"), kit.id(1))
    deny = UpdateAccess(AccessOp.DENY, kit.users("bob"), kit.id(1))
    async with chat.apply(allow):
        pass  # nobody was there to hear of it
    with pytest.raises(HeldBack):
        await apply(chat, deny)
    await apply(chat, allow)
    await apply(chat, deny)
    assert await kit.found("bob") == frozenset()


# ---------------------------------------------------------------------- senders who know all readers


async def test_readers_of_an_unmodified_source_are_added_or_exactly_those_of_the_sender(
    chat: ContextChat, kit: Kit
) -> None:
    await chat.load(kit.source(1, users=["alice", "bob"]), 0)
    await chat.load(kit.source(1, users=["carol"]), 0)
    assert [await kit.found(name) for name in ("alice", "carol")] == [kit.ids(1), kit.ids(1)]
    await chat.load(kit.source(1, users=["carol", "dave"]), 0, exact=True)
    assert [await kit.found(name) for name in ("alice", "bob")] == [set(), set()]
    assert [await kit.found(name) for name in ("carol", "dave")] == [kit.ids(1), kit.ids(1)]


async def test_a_source_that_vanished_behind_its_driver_has_to_be_loaded_again(
    chat: ContextChat, kit: Kit, driver: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unchanged(_: Source) -> Outcome:
        return Outcome.UNCHANGED

    monkeypatch.setattr(driver, "upsert", unchanged)
    assert await chat.load(kit.source(1), 0, exact=True) is Verdict.RETRY


async def test_an_older_version_that_was_restored_takes_the_place_of_the_newer_one(chat: ContextChat, kit: Kit) -> None:
    await chat.load(kit.source(1, text="the whale has a secret", modified=2_000), 0, exact=True)
    await chat.load(kit.source(1, text="the whale swims", modified=1_000), 0)
    assert "secret" in await kit.text("alice", kit.id(1)), "a sender of parts may be late"
    await chat.load(kit.source(1, text="the whale swims", modified=1_000), 0, exact=True)
    assert "secret" not in await kit.text("alice", kit.id(1))
    await chat.load(kit.source(1, text="the whale dives", modified=1_500), 0, exact=True)
    assert "dives" in await kit.text("alice", kit.id(1))
