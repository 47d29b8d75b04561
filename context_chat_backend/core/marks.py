"""Marks of actions that were begun and are not known to be done."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..contract import DriverError, Unavailable
from .actions import Action, Reach, key_of, reach_of
from .state import State

log = logging.getLogger(__name__)


class HeldBack(Unavailable):
    """Not even tried, to keep the order."""


@dataclass(eq=False, slots=True)
class Mark:
    """An action's place in the order."""

    key: str
    """Equal for equal actions."""
    reach: Reach
    sequence: int
    """Of two actions the one with the lower number came first."""
    expires: float
    """When it stops to hold anything back, on the clock that only goes forward."""
    written: bool
    holders: int = 0
    """Requests at this moment that are about this action."""


class Marks:
    """Kept in memory, and in the state so that they survive a restart.

    Nextcloud repeats a failed action later but goes on with the next ones, so an `allow` that failed could be repeated
    after a `deny` that did not. Whatever meets the reach of a marked action is held back until that action has been
    repeated or its mark has expired. Marked actions hold back only those that were marked after them. A mark is not
    prolonged by a repetition: an action that fails forever must not block a revocation.

    No clock that can be set has a say: after a restart a mark holds as long as a new one.

    A disk that refuses costs only what a crash would lose: the marks since then, until it takes them.
    """

    def __init__(
        self,
        state: State,
        hold_seconds: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._hold_seconds = hold_seconds
        self._monotonic = monotonic
        self._marks: dict[str, Mark] = {}
        self._index = _Index()
        self._last = 0
        self._refused: dict[str, Mark] = {}
        self._to_remove: set[str] = set()

    async def load(self) -> None:
        """Take over what was marked before a restart. Call it before anything else."""
        expires = self._monotonic() + self._hold_seconds
        for key, sequence, reach in await self._state.fetch("select key, sequence, reach from marks order by sequence"):
            self._add(Mark(str(key), _reach(str(reach)), int(str(sequence)), expires, written=True))

    def begin(self, action: Action) -> Mark:
        """The mark of an action: the one that it has from an earlier try, else a new one. Nothing is written yet."""
        self._expire()
        key = key_of(action)
        if (known := self._marks.get(key)) is not None:
            return known
        mark = Mark(key, reach_of(action), self.next_sequence, self._monotonic() + self._hold_seconds, written=False)
        self._add(mark)
        return mark

    async def write(self, mark: Mark) -> None:
        """Have the mark survive a crash, as far as the disk allows."""
        if not mark.written and await self._store(mark):
            await self.flush()

    async def flush(self) -> None:
        """Write what the disk refused before, and remove what is over."""
        self._expire()
        if self._refused or self._to_remove:
            await self._store(*self._refused.values())

    @contextmanager
    def held(self, mark: Mark) -> Iterator[None]:
        """A request is about this action until the end of the block."""
        mark.holders += 1
        try:
            yield
        finally:
            mark.holders -= 1

    async def release(self, mark: Mark) -> None:
        """The action is done, or will never come again. Another request that is about it keeps the mark."""
        if mark.holders > 1 or self._marks.get(mark.key) is not mark:
            return
        self._drop(mark)
        if mark.written and await self._store():
            await self.flush()

    async def release_all(self) -> None:
        """Nothing is held back any more."""
        for mark in list(self._marks.values()):
            await self.release(mark)

    @property
    def next_sequence(self) -> int:
        """Of the next new mark."""
        return self._last + 1

    def check(self, reach: Reach, before: int) -> None:
        """Raise `HeldBack` when an action that meets this reach is marked with a lower number than `before`."""
        self._expire()
        if any(sequence < before for sequence in self._index.meeting(reach)):
            raise HeldBack("an earlier action on the same source has to be repeated first")

    def _add(self, mark: Mark) -> None:
        self._last = max(self._last, mark.sequence)
        self._marks[mark.key] = mark
        self._to_remove.discard(mark.key)
        self._index.add(mark.reach, mark.sequence)

    def _drop(self, mark: Mark) -> None:
        del self._marks[mark.key]
        self._index.remove(mark.reach, mark.sequence)
        self._refused.pop(mark.key, None)
        if mark.written:
            self._to_remove.add(mark.key)

    def _expire(self) -> None:
        now = self._monotonic()
        # in the order of their numbers, which is nearly that of their ends
        while (oldest := next(iter(self._marks.values()), None)) is not None and oldest.expires <= now:
            self._drop(oldest)

    async def _store(self, *new: Mark) -> bool:
        """Write these, and remove those that are over. False where the disk refuses."""
        over = list(self._to_remove)
        rows = [(mark.key, mark.sequence, _json(mark.reach)) for mark in new]
        try:
            await self._state.execute_all(
                ("delete from marks where key = ?", [(key,) for key in over]),
                ("insert or replace into marks values (?, ?, ?)", rows),
            )
        except DriverError as error:
            log.warning("the order of actions would not survive a crash now: %s", error)
            self._refused.update({mark.key: mark for mark in new if self._marks.get(mark.key) is mark})
            return False
        self._to_remove.difference_update(over)
        for mark in new:
            self._note_written(mark)
        return True

    def _note_written(self, mark: Mark) -> None:
        mark.written = True
        if self._refused.get(mark.key) is mark:
            del self._refused[mark.key]
        if mark.key not in self._marks:  # it went while it was being written
            self._to_remove.add(mark.key)


class _Index:
    """Numbers of marks by what they reach."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], set[int]] = {}

    def add(self, reach: Reach, sequence: int) -> None:
        for place in _places(reach):
            self._numbers.setdefault(place, set()).add(sequence)

    def remove(self, reach: Reach, sequence: int) -> None:
        for place in _places(reach):
            self._numbers[place].discard(sequence)
            if not self._numbers[place]:
                del self._numbers[place]

    def meeting(self, reach: Reach) -> Iterator[int]:
        """Marks whose order with an operation of this reach counts."""
        for place in _conflicts(reach):
            yield from self._numbers.get(place, ())


_ADDS = ("adds", "")


def _places(reach: Reach) -> Iterator[tuple[str, str]]:
    """Where a mark of this reach is found."""
    yield from (("source", id_) for id_ in reach.sources)
    yield from (("in provider", id_) for id_ in reach.providers_of_sources)
    yield from (("provider", id_) for id_ in reach.providers)
    yield from (("everywhere", id_) for id_ in reach.everywhere)
    yield from (("user", id_) for id_ in reach.users)
    if reach.adds:
        yield _ADDS


def _conflicts(reach: Reach) -> Iterator[tuple[str, str]]:
    """Where the marks are found that an operation of this reach has to wait for."""
    yield from (("source", id_) for id_ in reach.sources)
    yield from (("in provider", id_) for id_ in reach.providers)
    yield from (("provider", id_) for id_ in reach.providers | reach.providers_of_sources)
    yield from (("everywhere", id_) for id_ in reach.users)
    yield from (("user", id_) for id_ in reach.everywhere)
    if reach.everywhere:  # a source that loses its only reader is deleted, and the one it was to get would find nothing
        yield _ADDS


def _json(reach: Reach) -> str:
    """In ASCII: an id may hold half a surrogate pair, which no file can."""
    return json.dumps(
        {
            "sources": sorted(reach.sources),
            "providers": sorted(reach.providers),
            "everywhere": sorted(reach.everywhere),
            "users": sorted(reach.users),
            "adds": reach.adds,
        }
    )


def _reach(text: str) -> Reach:
    fields = json.loads(text)
    adds = fields.pop("adds", False)  # marks of earlier versions do not say
    return Reach(**{name: frozenset(ids) for name, ids in fields.items()}, adds=adds)
