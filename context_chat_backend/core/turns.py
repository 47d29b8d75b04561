"""Turns: operations that may touch the same source run one after the other."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio

from ..contract import SourceId
from .actions import Reach

GRACE = 10.0
"""Seconds that an access change or a deletion waits for uploads in its way before it interrupts them. Most are through
by then; a revocation must not wait for the largest file on its way."""
NEXT_GRACE = 1.0
"""The same for uploads that had their turn meanwhile."""


@dataclass(eq=False, slots=True)
class Turn:
    """The stay of one operation, from the moment it asked."""

    reach: Reach
    upload: anyio.CancelScope | None = None
    """Of the work of an upload while it is under way: cancelled when somebody needs its sources."""
    begun: anyio.Event = field(default_factory=anyio.Event)
    _before: "set[Turn]" = field(default_factory=set)
    _after: "set[Turn]" = field(default_factory=set)

    def wait_for(self, other: "Turn") -> None:
        """Begin only when the other has ended."""
        self._before.add(other)
        other._after.add(self)  # noqa: SLF001 - both are turns

    def begin_if_free(self) -> None:
        """Begin unless there is somebody to wait for."""
        if not self._before:
            self.begun.set()

    def end(self) -> None:
        """Let the others begin."""
        for other in self._before:
            other._after.discard(self)  # noqa: SLF001
        for other in self._after:
            other._before.discard(self)  # noqa: SLF001
            other.begin_if_free()

    def interrupt_uploads(self) -> None:
        """Of those that this one waits for."""
        for other in self._before:
            if other.upload is not None:
                other.upload.cancel()


class Turns:
    """In the order of asking, among those whose reaches overlap; all others pass at once."""

    def __init__(self) -> None:
        self._turns: dict[Turn, None] = {}

    def waited_for(self, source_ids: Collection[SourceId]) -> frozenset[SourceId]:
        """Those of these sources that somebody uses now, or is waiting for."""
        return frozenset().union(*(turn.reach.those_of(source_ids) for turn in self._turns))

    @contextmanager
    def queued(self, reach: Reach) -> Iterator[Turn]:
        """A place in the queue, given up at the end of the block. Use the sources only once the turn has `begun`."""
        turn = Turn(reach)
        for other in self._turns:
            if reach.overlaps(other.reach):
                turn.wait_for(other)
        self._turns[turn] = None
        turn.begin_if_free()
        try:
            yield turn
        finally:
            del self._turns[turn]
            turn.end()


async def begin_soon(turn: Turn) -> None:
    """Wait until a turn begins, and interrupt the uploads that are in its way for too long."""
    grace = GRACE
    while not turn.begun.is_set():
        with anyio.move_on_after(grace):
            await turn.begun.wait()
            return
        turn.interrupt_uploads()
        grace = NEXT_GRACE
