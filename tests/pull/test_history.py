"""An action that comes back after newer ones leaves what it would have left in its order."""

import random
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from context_chat_backend.contract import AccessOp, ProviderId, Source, SourceId, UserId
from context_chat_backend.core.actions import (
    Action,
    DeleteProvider,
    DeleteSources,
    DeleteUser,
    SetAccess,
    UpdateAccess,
    UpdateProviderAccess,
    as_after,
)
from context_chat_backend.core.contents import NoContent
from context_chat_backend.core.ledger import Ledger
from context_chat_backend.core.sources import Stage
from context_chat_backend.core.state import State
from context_chat_backend.metrics import Metrics
from context_chat_backend.nextcloud.queues import LEASED_SECONDS
from context_chat_backend.pull.history import History
from context_chat_backend.pull.numbers import MARGIN_SECONDS, MOST_RANGES, Numbers

pytestmark = pytest.mark.anyio

ONE, TWO = SourceId("files__default: 1"), SourceId("files__default: 2")
FILES = ProviderId("files__default")
ALLOW, DENY = AccessOp.ALLOW, AccessOp.DENY


def users(*names: str) -> frozenset[UserId]:
    return frozenset(map(UserId, names))


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[State]:
    async with State(tmp_path / "state.db") as state:
        await state.fetch("pragma synchronous = off")
        yield state


@pytest.fixture
def ledger(state: State) -> Ledger:
    return Ledger(state, Metrics())


@pytest.fixture
async def history(state: State, ledger: Ledger) -> History:
    history = History(state, ledger.table)
    await history.open()
    return history


async def carried_out(history: History, *actions: tuple[int, Action]) -> None:
    history.numbers = history.numbers.with_those(number for number, _ in actions)
    await history._state.execute_all(history.of_actions(actions), *history.numbers.statements())


async def leased(history: History, source_id: SourceId, *, file: bool) -> None:
    await history._state.execute_all(history.of_leases([(source_id, file)]))


async def left(history: History, number: int, action: Action) -> list[Action]:
    return [part async for part in history.left_of(number, action)]


# ---------------------------------------------------------------------- one late action


async def test_with_nothing_newer_it_is_carried_out_as_it_is(history: History) -> None:
    await carried_out(history, (3, SetAccess(users("a"), ONE)), (9, UpdateAccess(DENY, users("a"), TWO)))
    for action in (
        UpdateAccess(DENY, users("a"), ONE),
        SetAccess(users("b"), ONE),
        DeleteSources(frozenset({ONE})),
        DeleteUser(UserId("a")),
    ):
        assert await left(history, 5, action) == [action]


@pytest.mark.parametrize("newer", [SetAccess(users("a"), ONE), DeleteSources(frozenset({ONE})), DeleteProvider(FILES)])
async def test_readers_that_were_decided_since_then_stay(history: History, newer: Action) -> None:
    await carried_out(history, (9, newer))
    for op in AccessOp:
        assert await left(history, 5, UpdateAccess(op, users("a", "b"), ONE)) == []
    assert await left(history, 5, SetAccess(users("b"), ONE)) == []


async def test_users_who_were_named_since_then_are_left_alone(history: History) -> None:
    await carried_out(
        history,
        (7, UpdateAccess(ALLOW, users("a"), ONE)),
        (8, UpdateProviderAccess(DENY, users("b"), FILES)),
        (9, DeleteUser(UserId("c"))),
    )
    late = users("a", "b", "c", "d")
    assert await left(history, 5, UpdateAccess(ALLOW, late, ONE)) == [UpdateAccess(ALLOW, users("d"), ONE)]
    assert await left(history, 5, UpdateAccess(DENY, late, ONE)) == [UpdateAccess(DENY, users("d"), ONE)]
    assert await left(history, 5, SetAccess(users("b", "c", "d"), ONE)) == [SetAccess(users("a", "d"), ONE)]
    assert await left(history, 5, UpdateAccess(ALLOW, users("a", "b"), ONE)) == []


async def test_a_deletion_does_not_touch_what_was_taken_from_the_queue_since_then(history: History) -> None:
    await carried_out(history, (9, SetAccess(users("a"), TWO)))
    await leased(history, ONE, file=True)
    assert await left(history, 5, DeleteSources(frozenset({ONE, TWO}))) == [DeleteSources(frozenset({TWO}))]
    assert await left(history, 5, DeleteSources(frozenset({ONE}))) == []
    assert await left(history, 11, DeleteSources(frozenset({ONE}))) == [DeleteSources(frozenset({ONE}))]


async def test_readers_that_came_with_a_row_are_newer_and_those_of_an_app_may_not_be(history: History) -> None:
    await carried_out(history, (9, DeleteUser(UserId("x"))))
    await leased(history, ONE, file=True)
    await leased(history, TWO, file=False)
    for source_id, expected in ((ONE, []), (TWO, [UpdateAccess(DENY, users("a"), TWO)])):
        assert await left(history, 5, UpdateAccess(ALLOW, users("a"), source_id)) == [], "never wider"
        assert await left(history, 5, UpdateAccess(DENY, users("a"), source_id)) == expected


async def test_an_action_on_a_provider_leaves_its_newer_sources_alone(history: History, ledger: Ledger) -> None:
    for source_id in (ONE, TWO):
        ledger.note(source(source_id), Stage.INDEXED)
    await ledger.flush()
    late = UpdateProviderAccess(ALLOW, users("a"), FILES)
    assert await left(history, 5, late) == [late]
    await carried_out(history, (9, SetAccess(users("b"), ONE)))
    assert await left(history, 5, late) == [UpdateAccess(ALLOW, users("a"), TWO)]
    assert await left(history, 5, UpdateProviderAccess(DENY, users("a"), ProviderId("files__def"))) != []
    await leased(history, TWO, file=True)
    assert await left(history, 5, DeleteProvider(FILES)) == [DeleteSources(frozenset({ONE}))]


async def test_an_older_number_never_takes_the_place_of_a_newer_one(history: History) -> None:
    await carried_out(history, (9, UpdateAccess(ALLOW, users("a"), ONE)))
    await carried_out(history, (4, UpdateAccess(DENY, users("a"), ONE)))
    assert await left(history, 6, UpdateAccess(DENY, users("a"), ONE)) == []


async def test_what_no_action_can_come_back_for_is_forgotten(
    history: History, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    await carried_out(history, (9, SetAccess(users("a"), ONE)))
    await history.tidy_up()
    assert await left(history, 5, SetAccess(users("b"), ONE)) == []
    await state.execute("update action_history set at = at - ?", LEASED_SECONDS + MARGIN_SECONDS + 1)
    monkeypatch.setattr(history, "_tidy_at", 0.0)
    await history.tidy_up()
    assert await left(history, 5, SetAccess(users("b"), ONE)) != []


# ---------------------------------------------------------------------- any sequence

NAMES = ["a", "b", "c", "d"]


def source(source_id: SourceId, readers: Iterable[str] = ("keeper",)) -> Source:
    return Source(
        id=source_id,
        provider=FILES,
        title="",
        mime_type="text/plain",
        modified=1,
        user_ids=users(*readers),
        content=NoContent("none"),
    )


def random_action(rng: random.Random, source_id: SourceId) -> Action:
    """One reader always stays: nobody could bring back a source that was deleted for the lack of one."""
    some = users(*rng.sample(NAMES, rng.randrange(1, 4)))
    actions: list[Action] = [
        UpdateAccess(rng.choice([*AccessOp]), some, source_id),
        SetAccess(some | users("keeper"), source_id),
        UpdateProviderAccess(rng.choice([*AccessOp]), some, FILES),
        DeleteUser(UserId(rng.choice(NAMES))),
    ]
    return rng.choices(actions, [6, 3, 2, 1])[0]


def carry_out(where: dict[SourceId, Source], action: Action) -> None:
    for source_id, current in where.items():
        after = as_after(current, [action])
        assert after is not None
        where[source_id] = after


@pytest.mark.parametrize("seed", range(60))
async def test_lost_actions_that_come_back_last_end_in_what_nextcloud_says(
    history: History, ledger: Ledger, seed: int
) -> None:
    rng = random.Random(seed)
    ids = [SourceId(f"files__default: {number}") for number in range(3)]
    truth = {source_id: source(source_id) for source_id in ids}
    stored = dict(truth)
    for each in truth.values():
        ledger.note(each, Stage.INDEXED)
    await ledger.flush()
    lost: list[tuple[int, Action]] = []
    for number in range(1, rng.randrange(5, 30)):
        source_id = rng.choice(ids)
        action = random_action(rng, source_id)
        carry_out(truth, action)
        # a user who was deleted comes back only under another name: the gateway could not tell them apart
        if rng.random() < 0.3 and not isinstance(action, DeleteUser):
            lost.append((number, action))
        else:
            carry_out(stored, action)
            await carried_out(history, (number, action))
        if rng.random() < 0.15:
            await leased(history, source_id, file=True)
            stored[source_id] = truth[source_id]
    for number, action in lost:
        for part in await left(history, number, action):
            carry_out(stored, part)
        await carried_out(history, (number, action))
    assert {id_: each.user_ids for id_, each in stored.items()} == {id_: each.user_ids for id_, each in truth.items()}


# ---------------------------------------------------------------------- numbers


async def test_numbers_survive_a_restart(state: State, history: History) -> None:
    await carried_out(history, *((number, DeleteUser(UserId("a"))) for number in (3, 4, 7)))
    again = Numbers(state)
    await again.open()
    assert again.highest == 7
    assert [number for number in range(1, 10) if again.have_restarted(number)] == [3, 4, 7]


async def test_a_lower_number_than_any_may_have_been_lost_before_them_within_a_day_only(
    state: State, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    await carried_out(history, (7, DeleteUser(UserId("a"))))
    assert not history.numbers.have_restarted(2)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 25 * 3600 + 60)
    again = Numbers(state)
    await again.open()
    assert again.have_restarted(2)
    assert not again.have_restarted(8)


async def test_a_number_that_was_lost_is_not_one_that_started_again(state: State) -> None:
    numbers = Numbers(state)
    assert not numbers.have_restarted(5)
    numbers = numbers.with_those([5, 6, 9])
    assert [numbers.have_restarted(number) for number in (6, 7, 8, 9, 10)] == [True, False, False, True, False]
    assert numbers.with_those([7, 10]).highest == 10
    assert numbers.highest == 9, "until it is written down"


async def test_only_so_many_gaps_are_remembered(state: State) -> None:
    numbers = Numbers(state).with_those(range(0, 4 * MOST_RANGES, 2))
    assert not numbers.have_restarted(1), "it may have been lost, nobody remembers"
    assert not numbers.have_restarted(4 * MOST_RANGES - 3)
    *_, (statement, rows) = numbers.statements()
    assert len(rows) == MOST_RANGES
    assert statement.startswith("insert")
