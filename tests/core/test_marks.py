"""Nothing overtakes an action that will come again."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from context_chat_backend.contract import AccessOp, ProviderId, SourceId, Unavailable, UserId
from context_chat_backend.core.actions import (
    Action,
    DeleteProvider,
    DeleteSources,
    DeleteUser,
    Reach,
    SetAccess,
    UpdateAccess,
    UpdateProviderAccess,
    key_of,
)
from context_chat_backend.core.marks import HeldBack, Mark, Marks
from context_chat_backend.core.state import State

pytestmark = pytest.mark.anyio

ONE, TWO, MAIL = SourceId("files__default: 1"), SourceId("files__default: 2"), SourceId("mail__mail: 1")
FILES = ProviderId("files__default")
ALICE, BOB = UserId("alice"), UserId("bob")
HOUR = 3600.0


def users(*ids: UserId) -> frozenset[UserId]:
    return frozenset(ids)


ALLOW_BOB = UpdateAccess(AccessOp.ALLOW, users(BOB), ONE)
DENY_BOB = UpdateAccess(AccessOp.DENY, users(BOB), ONE)
DELETE_MAIL = DeleteSources(frozenset({MAIL}))


class Clock:
    """The one that only goes forward, and begins anywhere."""

    def __init__(self, now: float = 50.0) -> None:
        self.now = now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds

    def marks(self, state: State) -> Marks:
        return Marks(state, HOUR, monotonic=lambda: self.now)


class Disk(State):
    """A state whose disk can refuse to write."""

    full = False

    async def execute_all(self, *statements: object) -> None:
        if self.full:
            raise Unavailable("database or disk is full")
        await super().execute_all(*statements)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[Disk]:
    async with Disk(tmp_path / "state.db") as state:
        yield state


@pytest.fixture
def marks(state: Disk, clock: Clock) -> Marks:
    return clock.marks(state)


async def mark(marks: Marks, action: Action) -> Mark:
    """As an action that fails leaves it."""
    begun = marks.begin(action)
    await marks.write(begun)
    return begun


def is_held_back(marks: Marks, action: Action) -> bool:
    begun = marks.begin(action)
    try:
        marks.check(begun.reach, before=begun.sequence)
    except HeldBack:
        return True
    return False


async def rows(state: State) -> int:
    return len(await state.fetch("select * from marks"))


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
        (ALLOW_BOB, DeleteUser(ALICE), True),  # she may be the only reader, and bob would be too late
        (SetAccess(users(BOB), ONE), DeleteUser(ALICE), True),
        (UpdateProviderAccess(AccessOp.ALLOW, users(BOB), FILES), DeleteUser(ALICE), True),
        (DENY_BOB, DeleteUser(ALICE), False),
        (UpdateProviderAccess(AccessOp.DENY, users(BOB), FILES), DeleteUser(ALICE), False),
        (DeleteSources(frozenset({ONE})), DeleteUser(ALICE), False),
        (DeleteProvider(FILES), DENY_BOB, True),
        (DeleteProvider(FILES), UpdateAccess(AccessOp.DENY, users(BOB), MAIL), False),
        (UpdateProviderAccess(AccessOp.ALLOW, users(BOB), FILES), DENY_BOB, True),
        (DeleteUser(BOB), ALLOW_BOB, True),
        (DeleteUser(BOB), UpdateAccess(AccessOp.ALLOW, users(ALICE), ONE), False),
        (DeleteUser(BOB), UpdateProviderAccess(AccessOp.ALLOW, users(BOB), FILES), True),
    ],
)
async def test_a_failed_action_holds_back_what_meets_it(
    marks: Marks, failed: Action, later: Action, meets: bool
) -> None:
    first = await mark(marks, failed)
    assert is_held_back(marks, later) is meets
    assert not is_held_back(marks, failed)
    await marks.release(first)
    assert not is_held_back(marks, later)


async def test_loads_of_the_source_are_held_back_too(marks: Marks) -> None:
    await mark(marks, DeleteSources(frozenset({ONE})))
    with pytest.raises(HeldBack):
        marks.check(Reach(sources=frozenset({ONE}), users=users(ALICE)), before=marks.next_sequence)
    marks.check(Reach(sources=frozenset({TWO}), users=users(ALICE)), before=marks.next_sequence)


async def test_two_failed_actions_do_not_wait_for_each_other(marks: Marks) -> None:
    await mark(marks, ALLOW_BOB)
    await mark(marks, DENY_BOB)
    await mark(marks, ALLOW_BOB)  # failed again: still the first
    assert not is_held_back(marks, ALLOW_BOB)
    assert is_held_back(marks, DENY_BOB)


async def test_a_mark_expires_even_if_its_action_fails_again_and_again(marks: Marks, clock: Clock) -> None:
    for _ in range(4):
        await mark(marks, ALLOW_BOB)
        assert is_held_back(marks, DENY_BOB)
        await marks.release(marks.begin(DENY_BOB))
        clock.pass_by(1000)
    assert not is_held_back(marks, DENY_BOB)


async def test_a_new_failure_after_that_holds_back_again(marks: Marks, clock: Clock) -> None:
    await mark(marks, ALLOW_BOB)
    clock.pass_by(HOUR)
    await mark(marks, ALLOW_BOB)
    assert is_held_back(marks, DENY_BOB)


@pytest.mark.parametrize("machine_runs_since", [0.0, 50.0, 1e8])
async def test_the_order_survives_a_restart_whatever_the_clocks_say_then(
    state: Disk, marks: Marks, machine_runs_since: float
) -> None:
    await mark(marks, ALLOW_BOB)
    clock = Clock(machine_runs_since)
    after_restart = clock.marks(state)
    await after_restart.load()
    assert is_held_back(after_restart, DENY_BOB)
    clock.pass_by(HOUR)
    assert not is_held_back(after_restart, DENY_BOB), "a mark never lasts longer than a new one"


async def test_marks_and_their_order_survive_a_restart(state: Disk, marks: Marks, clock: Clock) -> None:
    await mark(marks, ALLOW_BOB)
    await mark(marks, DENY_BOB)
    marks = clock.marks(state)
    await marks.load()
    assert not is_held_back(marks, ALLOW_BOB)
    assert is_held_back(marks, DENY_BOB)
    assert is_held_back(marks, DeleteUser(BOB))


async def test_a_mark_that_the_disk_refuses_holds_the_order_all_the_same(state: Disk, marks: Marks) -> None:
    state.full = True
    first = await mark(marks, ALLOW_BOB)
    assert is_held_back(marks, DENY_BOB)
    state.full = False
    await marks.write(first)
    assert await rows(state) == 1, "written as soon as there is room"


@pytest.mark.parametrize("other", [DELETE_MAIL, None])
async def test_a_mark_that_the_disk_refused_survives_a_restart_once_it_has_room(
    state: Disk, marks: Marks, clock: Clock, other: Action | None
) -> None:
    state.full = True
    await mark(marks, ALLOW_BOB)
    state.full = False
    if other is not None:
        await mark(marks, other)
    else:
        await marks.flush()  # as at the end
    marks = clock.marks(state)
    await marks.load()
    assert is_held_back(marks, DENY_BOB)


async def test_a_mark_that_the_disk_refused_and_that_is_over_is_never_written(state: Disk, marks: Marks) -> None:
    state.full = True
    first = await mark(marks, ALLOW_BOB)
    await marks.release(first)
    state.full = False
    await marks.flush()
    assert await rows(state) == 0


async def test_a_mark_that_cannot_be_removed_holds_nothing_back_and_is_removed_later(state: Disk, marks: Marks) -> None:
    first = await mark(marks, ALLOW_BOB)
    state.full = True
    await marks.release(first)
    assert not is_held_back(marks, DENY_BOB)
    state.full = False
    second = await mark(marks, DENY_BOB)
    assert await rows(state) == 1
    await marks.release(second)
    assert await rows(state) == 0


@pytest.mark.parametrize("over", ["done", "expired"])
async def test_a_mark_that_is_over_does_not_come_back_with_the_next_start(
    state: Disk, marks: Marks, clock: Clock, over: str
) -> None:
    first = await mark(marks, ALLOW_BOB)
    if over == "done":
        state.full = True
        await marks.release(first)
        state.full = False
    else:
        clock.pass_by(HOUR)
    await marks.flush()  # as at the end
    marks = clock.marks(state)
    await marks.load()
    assert not is_held_back(marks, DENY_BOB)


async def test_a_request_that_is_about_the_same_action_keeps_its_mark(marks: Marks) -> None:
    first = await mark(marks, ALLOW_BOB)
    with marks.held(first):
        again = marks.begin(ALLOW_BOB)
        assert again is first
        with marks.held(again):
            await marks.release(again)
        assert is_held_back(marks, DENY_BOB)
        await marks.release(first)
    assert not is_held_back(marks, DENY_BOB)


async def test_ids_that_no_file_can_hold_are_marked_too(state: Disk, marks: Marks, clock: Clock) -> None:
    odd = UpdateAccess(AccessOp.ALLOW, users(UserId("\ud800 \0")), ONE)
    await mark(marks, odd)
    marks = clock.marks(state)
    await marks.load()
    assert is_held_back(marks, DENY_BOB)


async def test_a_check_costs_the_same_however_many_readers_and_marks_there_are(state: Disk, marks: Marks) -> None:
    for number in range(50):
        await mark(marks, SetAccess(users(UserId(f"u{number}")), SourceId(f"files__default: {number + 10}")))
    statements: list[object] = []
    fetch = state.fetch

    async def counted(sql: str, *values: object) -> list[tuple[object, ...]]:
        statements.append(sql)
        return await fetch(sql, *values)

    state.fetch = counted  # type: ignore[method-assign]
    readers = users(*(UserId(f"reader {number}") for number in range(10_000)))
    marks.check(Reach(sources=frozenset({ONE}), users=readers), before=marks.next_sequence)
    assert statements == []


def test_equal_actions_have_equal_keys_whatever_the_order_of_their_users() -> None:
    one = UpdateAccess(AccessOp.ALLOW, frozenset(map(UserId, "abcdefgh")), ONE)
    two = UpdateAccess(AccessOp.ALLOW, frozenset(map(UserId, "hgfedcba")), ONE)
    assert key_of(one) == key_of(two)
    different: list[Action] = [
        ALLOW_BOB,
        DENY_BOB,
        SetAccess(users(BOB), ONE),
        DeleteSources(frozenset({ONE})),
        DeleteUser(BOB),
    ]
    assert len({key_of(action) for action in different}) == len(different)
