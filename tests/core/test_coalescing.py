"""Many actions in few calls have the result that they have one after the other."""

import random
from collections.abc import Sequence
from itertools import product

import pytest

from context_chat_backend.contract import AccessOp, ProviderId, SourceId, UserId
from context_chat_backend.core.actions import Action, DeleteProvider, DeleteSources, SetAccess, UpdateAccess
from context_chat_backend.core.coalescing import MOST_SOURCES, Segment, segments

SOURCES = [SourceId(f"files__default: {number}") for number in range(3)]
USERS = [UserId(name) for name in ("alice", "bob", "carol")]
Stored = dict[SourceId, frozenset[UserId]]


def one_by_one(stored: Stored, actions: Sequence[Action]) -> Stored:
    """As the contract says of each: a source without readers is gone, and an unknown one stays unknown."""
    result = dict(stored)
    for action in actions:
        match action:
            case DeleteSources(source_ids):
                for source_id in source_ids:
                    result.pop(source_id, None)
            case SetAccess(user_ids, source_id) if source_id in result:
                result[source_id] = user_ids
            case UpdateAccess(op, user_ids, source_id) if source_id in result:
                before = result[source_id]
                result[source_id] = before | user_ids if op is AccessOp.ALLOW else before - user_ids
        result = {source_id: readers for source_id, readers in result.items() if readers}
    return result


def together(stored: Stored, actions: Sequence[Action]) -> tuple[Stored, int]:
    """And how many rounds it took."""
    result, rounds = dict(stored), 0
    for segment in segments(actions):
        assert isinstance(segment, Segment)
        for each in segment.rounds():
            rounds += 1
            changed = [change.source_id for change in each.changes]
            assert len({*changed, *each.deleted}) == len(changed) + len(each.deleted), "a source is there twice"
            calls: list[Action] = [DeleteSources(each.deleted)]
            for change in each.changes:
                if change.op is None:
                    calls.append(SetAccess(change.user_ids, change.source_id))
                else:
                    calls.append(UpdateAccess(change.op, change.user_ids, change.source_id))
            result = one_by_one(result, calls)
    return result, rounds


def any_users(rng: random.Random) -> frozenset[UserId]:
    return frozenset(rng.sample(USERS, rng.randint(1, 2)))


def any_action(rng: random.Random) -> Action:
    match rng.randrange(8):
        case 0:
            return DeleteSources(frozenset(rng.sample(SOURCES, rng.randint(1, 2))))
        case 1 | 2:
            return SetAccess(any_users(rng), rng.choice(SOURCES))
        case _:
            return UpdateAccess(rng.choice(list(AccessOp)), any_users(rng), rng.choice(SOURCES))


@pytest.mark.parametrize("seed", range(300))
def test_the_result_is_that_of_one_after_the_other(seed: int) -> None:
    rng = random.Random(seed)
    actions = [any_action(rng) for _ in range(rng.randint(1, 12))]
    stored = {source_id: any_users(rng) for source_id in rng.sample(SOURCES, 2)}
    assert together(stored, actions)[0] == one_by_one(stored, actions)


@pytest.mark.parametrize("seed", range(100))
def test_parts_of_a_segment_have_the_same_result_in_any_order(seed: int) -> None:
    rng = random.Random(seed)
    actions = [any_action(rng) for _ in range(rng.randint(1, 12))]
    stored = {source_id: any_users(rng) for source_id in SOURCES}
    (segment,) = segments(actions)
    assert isinstance(segment, Segment)
    some = frozenset(rng.sample(SOURCES, rng.randint(0, len(SOURCES))))
    first, then = (segment.part(some), segment.part(frozenset(SOURCES) - some))
    assert one_by_one(one_by_one(stored, then.actions), first.actions) == one_by_one(stored, actions)
    assert first.steps | then.steps == segment.steps


def test_all_short_sequences_on_one_source_have_the_right_result() -> None:
    source = SOURCES[0]
    sets = [frozenset({USERS[0]}), frozenset({USERS[1]}), frozenset(USERS[:2])]
    steps: list[Action] = [DeleteSources(frozenset({source}))]
    for users in sets:
        steps += [SetAccess(users, source), *(UpdateAccess(op, users, source) for op in AccessOp)]
    for actions in product(steps, repeat=3):
        for readers in sets:
            assert together({source: readers}, actions)[0] == one_by_one({source: readers}, actions), actions


def test_what_a_batch_repeats_costs_one_call() -> None:
    actions = [SetAccess(frozenset({USERS[number % 3]}), SOURCES[number % 3]) for number in range(500)]
    assert together({source_id: frozenset(USERS) for source_id in SOURCES}, actions)[1] == 1


def test_no_call_names_more_sources_than_a_driver_takes() -> None:
    actions = [SetAccess(frozenset(USERS), SourceId(f"files__default: {number}")) for number in range(2500)]
    (segment,) = segments(actions)
    assert isinstance(segment, Segment)
    assert [len(each.changes) for each in segment.rounds()] == [MOST_SOURCES, MOST_SOURCES, 500]


def test_an_action_on_a_whole_provider_stands_between_segments() -> None:
    wide = DeleteProvider(ProviderId("files__default"))
    change = SetAccess(frozenset(USERS), SOURCES[0])
    first, middle, last = segments([change, wide, change])
    assert isinstance(first, Segment)
    assert middle is wide
    assert isinstance(last, Segment)
