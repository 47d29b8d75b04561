"""Many actions as few calls of a driver, with the result that they have one after the other."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from ..contract import AccessChange, AccessOp, SourceId, UserId
from .actions import Action, DeleteSources, Reach, SetAccess, UpdateAccess, reach_of

MOST_SOURCES = 1000
"""In one round: databases hold few locks, and the contract promises drivers no more."""


@dataclass(frozen=True, slots=True)
class Delete:
    """The step that removes a source."""


Step = AccessChange | Delete


@dataclass(frozen=True, slots=True)
class Round:
    """What can be done in any order, because no source is in it twice."""

    deleted: frozenset[SourceId]
    changes: tuple[AccessChange, ...]


@dataclass(slots=True)
class Segment:
    """Actions on single sources that follow each other."""

    actions: list[Action] = field(default_factory=list)
    steps: dict[SourceId, list[Step]] = field(default_factory=dict)

    @property
    def reach(self) -> Reach:
        """Of all of them."""
        reaches = [reach_of(action) for action in self.actions]
        return Reach(
            sources=frozenset(self.steps),
            users=frozenset().union(*(reach.users for reach in reaches)),
            adds=any(reach.adds for reach in reaches),
        )

    def part(self, source_ids: frozenset[SourceId]) -> "Segment":
        """What it does to these of its sources: their order with the others does not matter."""
        actions = [part for action in self.actions if (part := _part(action, source_ids)) is not None]
        return Segment(actions, {id_: steps for id_, steps in self.steps.items() if id_ in source_ids})

    def rounds(self) -> Iterator[Round]:
        """In their order."""
        for steps in zip_longest(*self.steps.values()):
            by_source = [(id_, step) for id_, step in zip(self.steps, steps, strict=True) if step is not None]
            for start in range(0, len(by_source), MOST_SOURCES):
                yield _round(by_source[start : start + MOST_SOURCES])


def segments(actions: Iterable[Action]) -> Iterator[Segment | Action]:
    """Actions on single sources in segments, and the others, each alone, between them."""
    segment = Segment()
    for action in actions:
        steps = dict(_steps(action))
        if not steps:
            if segment.actions:
                yield segment
            yield action
            segment = Segment()
            continue
        segment.actions.append(action)
        for source_id, step in steps.items():
            segment.steps[source_id] = _followed_by(segment.steps.get(source_id, []), step)
    if segment.actions:
        yield segment


def _part(action: Action, source_ids: frozenset[SourceId]) -> Action | None:
    match action:
        case DeleteSources(deleted):
            return DeleteSources(deleted & source_ids) if deleted & source_ids else None
        case SetAccess() | UpdateAccess():
            return action if action.source_id in source_ids else None
        case _:
            return action


def _steps(action: Action) -> Iterator[tuple[SourceId, Step]]:
    """What it does to each source that it names; nothing for actions on whatever there is of a provider or a user."""
    match action:
        case DeleteSources(source_ids):
            yield from ((source_id, Delete()) for source_id in source_ids)
        case SetAccess(user_ids, source_id):
            yield source_id, AccessChange(source_id=source_id, user_ids=user_ids)
        case UpdateAccess(op, user_ids, source_id):
            yield source_id, AccessChange(source_id=source_id, user_ids=user_ids, op=op)
        case _:
            return


def _followed_by(steps: Sequence[Step], step: Step) -> list[Step]:
    """The shortest sequence with the same result, whatever is stored: a change that takes the last reader away deletes
    the source, so that what follows finds nothing."""
    match steps, step:
        case _, Delete():
            return [step]
        case [*_, Delete()], _:
            return [*steps]
        case [*_], AccessChange(op=None):
            return [*_without_additions(steps), step]
        case [*before, AccessChange() as last], AccessChange():
            return [*before, *_merged(last, step)]
        case _:
            return [step]


def _without_additions(steps: Sequence[Step]) -> list[Step]:
    """Without those at the end that cannot have deleted the source."""
    kept = list(steps)
    while kept and isinstance(kept[-1], AccessChange) and kept[-1].op is not AccessOp.DENY and kept[-1].user_ids:
        kept.pop()
    return kept


def _merged(first: AccessChange, then: AccessChange) -> list[Step]:
    match first.op, then.op:
        case None, AccessOp.ALLOW if first.user_ids:
            return [_change(then, first.user_ids | then.user_ids, None)]
        case None, AccessOp.DENY:
            return [_change(then, first.user_ids - then.user_ids, None)]
        case (AccessOp.ALLOW, AccessOp.ALLOW) | (AccessOp.DENY, AccessOp.DENY):
            return [_change(then, first.user_ids | then.user_ids, then.op)]
        case _:
            return [first, then]


def _change(like: AccessChange, user_ids: frozenset[UserId], op: AccessOp | None) -> AccessChange:
    return AccessChange(source_id=like.source_id, user_ids=user_ids, op=op)


def _round(steps: Sequence[tuple[SourceId, Step]]) -> Round:
    return Round(
        deleted=frozenset(source_id for source_id, step in steps if isinstance(step, Delete)),
        changes=tuple(step for _, step in steps if isinstance(step, AccessChange)),
    )
