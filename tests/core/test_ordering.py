"""Operations that touch the same sources keep their order."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from context_chat_backend.contract import AccessOp, ProviderId, SourceId, UserId
from context_chat_backend.core.actions import (
    Action,
    DeleteProvider,
    DeleteSources,
    DeleteUser,
    Reach,
    SetAccess,
    UpdateAccess,
    UpdateProviderAccess,
    digest_of,
    reach_of,
)
from context_chat_backend.core.ordering import HeldActions, HeldBack, SourceLocks
from context_chat_backend.core.state import State

pytestmark = pytest.mark.anyio

ONE, TWO, MAIL = SourceId("files__default: 1"), SourceId("files__default: 2"), SourceId("mail__mail: 1")
FILES = ProviderId("files__default")
ALICE, BOB = UserId("alice"), UserId("bob")


def users(*ids: UserId) -> frozenset[UserId]:
    return frozenset(ids)


# ------------------------------------------------------------------ locks


async def test_one_source_is_held_by_one_at_a_time() -> None:
    locks, order = SourceLocks(), []

    async def hold(name: str, *ids: SourceId) -> None:
        async with locks.sources(ids):
            order.append(f"{name}+")
            await anyio.lowlevel.checkpoint()
            order.append(f"{name}-")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hold, "a", ONE, TWO)
        tasks.start_soon(hold, "b", TWO, ONE)
    assert order in (["a+", "a-", "b+", "b-"], ["b+", "b-", "a+", "a-"])


async def test_different_sources_overlap() -> None:
    locks, both = SourceLocks(), anyio.Event()

    async def hold(id_: SourceId, *, last: bool) -> None:
        async with locks.sources([id_]):
            if last:
                both.set()
            await both.wait()

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: hold(ONE, last=False))
            tasks.start_soon(lambda: hold(TWO, last=True))


async def test_a_wide_operation_runs_alone_and_is_not_starved() -> None:
    locks, order = SourceLocks(), []

    async def narrow(name: str, started: anyio.Event, go_on: anyio.Event) -> None:
        async with locks.sources([ONE]):
            order.append(name)
            started.set()
            await go_on.wait()

    async def wide() -> None:
        async with locks.everything():
            order.append("wide")

    started, go_on = anyio.Event(), anyio.Event()
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(narrow, "first", started, go_on)
            await started.wait()
            tasks.start_soon(wide)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(narrow, "later", anyio.Event(), go_on)
            await anyio.wait_all_tasks_blocked()
            assert order == ["first"]
            go_on.set()
    assert order == ["first", "wide", "later"]


async def test_a_cancelled_waiter_leaves_the_locks_usable() -> None:
    locks = SourceLocks()

    async def give_up(waiting: AbstractAsyncContextManager[None]) -> None:
        with anyio.move_on_after(0.01) as timeout:
            async with waiting:
                raise AssertionError("held twice")
        assert timeout.cancelled_caught

    async with locks.sources([ONE]), anyio.create_task_group() as tasks:
        tasks.start_soon(give_up, locks.sources([ONE]))
        tasks.start_soon(give_up, locks.everything())
    with anyio.fail_after(60):
        async with locks.everything():
            pass
        async with locks.sources([ONE]):
            pass


# ------------------------------------------------------------------ marks


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def held(tmp_path: Path, clock: Clock) -> AsyncIterator[HeldActions]:
    async with State(tmp_path / "state.db") as state:
        yield HeldActions(state, 3600, clock)


async def is_held_back(held: HeldActions, action: Action) -> bool:
    try:
        await held.check(reach_of(action), action)
    except HeldBack:
        return True
    return False


ALLOW_BOB = UpdateAccess(AccessOp.ALLOW, users(BOB), ONE)
DENY_BOB = UpdateAccess(AccessOp.DENY, users(BOB), ONE)


@pytest.mark.parametrize(
    ("failed", "later", "meets"),
    [
        (ALLOW_BOB, DENY_BOB, True),
        (ALLOW_BOB, SetAccess(users(ALICE), ONE), True),
        (ALLOW_BOB, DeleteSources(frozenset({ONE, TWO})), True),
        (ALLOW_BOB, DeleteSources(frozenset({TWO})), False),
        (ALLOW_BOB, UpdateAccess(AccessOp.DENY, users(BOB), TWO), False),
        (ALLOW_BOB, DeleteProvider(FILES), True),
        (ALLOW_BOB, DeleteProvider(ProviderId("files")), False),
        (ALLOW_BOB, DeleteUser(BOB), True),
        (ALLOW_BOB, DeleteUser(ALICE), False),
        (DeleteProvider(FILES), DENY_BOB, True),
        (DeleteProvider(FILES), UpdateAccess(AccessOp.DENY, users(BOB), MAIL), False),
        (UpdateProviderAccess(AccessOp.ALLOW, users(BOB), FILES), DENY_BOB, True),
        (DeleteUser(BOB), ALLOW_BOB, True),
        (DeleteUser(BOB), UpdateAccess(AccessOp.ALLOW, users(ALICE), ONE), False),
        (DeleteUser(BOB), UpdateProviderAccess(AccessOp.ALLOW, users(BOB), FILES), True),
    ],
)
async def test_a_failed_action_holds_back_what_meets_it(
    held: HeldActions, failed: Action, later: Action, meets: bool
) -> None:
    await held.hold(failed)
    assert await is_held_back(held, later) is meets
    assert not await is_held_back(held, failed)
    await held.release(failed)
    assert not await is_held_back(held, later)


async def test_loads_of_the_source_are_held_back_too(held: HeldActions) -> None:
    await held.hold(DeleteSources(frozenset({ONE})))
    with pytest.raises(HeldBack):
        await held.check(Reach(sources=frozenset({ONE}), users=users(ALICE)))
    await held.check(Reach(sources=frozenset({TWO}), users=users(ALICE)))


async def test_two_failed_actions_do_not_wait_for_each_other(held: HeldActions) -> None:
    await held.hold(ALLOW_BOB)
    await held.hold(DENY_BOB)
    await held.hold(ALLOW_BOB)  # failed again: still the first
    assert not await is_held_back(held, ALLOW_BOB)
    assert await is_held_back(held, DENY_BOB)


async def test_a_mark_expires_even_if_its_action_fails_again_and_again(held: HeldActions, clock: Clock) -> None:
    for _ in range(4):
        await held.hold(ALLOW_BOB)
        assert await is_held_back(held, DENY_BOB)
        clock.now += 1000
    assert not await is_held_back(held, DENY_BOB)
    await held.hold(ALLOW_BOB)
    assert await is_held_back(held, DENY_BOB)


async def test_marks_survive_a_restart(tmp_path: Path, clock: Clock) -> None:
    async with State(tmp_path / "s.db") as state:
        await HeldActions(state, 3600, clock).hold(ALLOW_BOB)
    async with State(tmp_path / "s.db") as state:
        assert await is_held_back(HeldActions(state, 3600, clock), DENY_BOB)


def test_equal_actions_have_equal_digests_whatever_the_order_of_their_users() -> None:
    one = UpdateAccess(AccessOp.ALLOW, frozenset(map(UserId, "abcdefgh")), ONE)
    two = UpdateAccess(AccessOp.ALLOW, frozenset(map(UserId, "hgfedcba")), ONE)
    assert digest_of(one) == digest_of(two)
    different: list[Action] = [
        ALLOW_BOB,
        DENY_BOB,
        SetAccess(users(BOB), ONE),
        DeleteSources(frozenset({ONE})),
        DeleteUser(BOB),
    ]
    assert len({digest_of(action) for action in different}) == len(different)
