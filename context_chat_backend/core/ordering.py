"""The order of operations: who waits for whom, who is held back, and what late arrivals missed.

Three things keep it. *Turns*: operations that may touch the same source run one after the other, in the order in which
they asked. *Marks*: an action that failed and will come again holds back what must not overtake it. *Arrivals*: a
source that was on its way in while an action was carried out is stored as that action would have left it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TypeVar

import anyio

from ..contract import Source, SourceId, Unavailable
from .actions import Action, Reach, as_after
from .arrivals import Arrivals
from .marks import Mark, Marks
from .turns import Turn, Turns, begin_soon

T = TypeVar("T")

Listener = Callable[[Action], None]

MOST_INTERRUPTIONS = 5
"""After so many an upload is to be sent again."""


class Place:
    """The place of one action in the order. The action keeps it until it is settled: also when the block has ended."""

    def __init__(self, marks: Marks, mark: Mark) -> None:
        self._marks = marks
        self._mark = mark

    async def settle(self) -> None:
        """The action will not come again, so nothing has to wait for its repetition."""
        await self._marks.release(self._mark)


class Order:
    """The one owner of the order. Call `open` before anything else."""

    def __init__(self, marks: Marks, *, patience: float) -> None:
        """`patience` is how many seconds an action waits for its turn."""
        self._marks = marks
        self._patience = patience
        self._turns = Turns()
        self._arrivals = Arrivals()
        self._listeners: list[Listener] = []

    async def open(self) -> None:
        """Take over the marks from before a restart."""
        await self._marks.load()

    async def close(self) -> None:
        """Have what the disk refused so far survive a restart, if it takes it now."""
        await self._marks.flush()

    # ------------------------------------------------------------------ uploads

    def arrival(self, number: int | None = None) -> AbstractContextManager[int]:
        """Enter it before sources begin to arrive and leave it after the last `load`, which gets its value."""
        return self._arrivals.open(number)

    async def load(self, source: Source, arrival: int, work: Callable[[Source | None], Awaitable[T]]) -> T:
        """What `work` returns, run in the source's turn with the source as all that was done since its arrival leaves
        it: None if it was deleted. The work is cancelled when an action needs the source, and then run again after
        that.

        Raises `HeldBack` where an earlier action has to be repeated first, and `Unavailable` after too many
        interruptions.
        """
        reach = Reach(sources=frozenset({source.id}), users=source.user_ids)
        # not those that come after this: they take their turn after it
        before = self._marks.next_sequence
        for _ in range(MOST_INTERRUPTIONS):
            with self._turns.queued(reach) as turn:
                await turn.begun.wait()
                self._marks.check(reach, before=before)
                current = as_after(source, self._arrivals.since(arrival))
                with anyio.CancelScope() as turn.upload:
                    return await work(current)
        raise Unavailable("changes of access interrupted it again and again")

    # ------------------------------------------------------------------ actions

    async def keep(self, action: Action) -> None:
        """Mark an action that is turned away and will come again."""
        await self._marks.write(self._marks.begin(action))

    @asynccontextmanager
    async def place(self, action: Action) -> AsyncIterator[Place]:
        """Mark an action before it is begun, and run the block in its turn: a crash in the middle must not let a later
        action overtake its repetition. The block settles it where there will be none.

        Raises `HeldBack`, and `Unavailable` when its turn does not come within the patience.
        """
        mark = self._marks.begin(action)
        with self._marks.held(mark), self._turns.queued(mark.reach) as turn:
            await self._marks.write(mark)
            await self._begin(turn)
            self._marks.check(mark.reach, before=mark.sequence)
            yield Place(self._marks, mark)

    def busy(self, source_ids: Collection[SourceId]) -> frozenset[SourceId]:
        """Those of these sources for which an action would have to wait."""
        return self._turns.waited_for(source_ids)

    @asynccontextmanager
    async def turn(self, reach: Reach) -> AsyncIterator[None]:
        """Run the block in a turn of its own, for actions that need no marks: whoever sends them repeats all of them in
        their order. Raises `Unavailable` when the turn does not come within the patience."""
        with self._turns.queued(reach) as turn:
            await self._begin(turn)
            yield

    async def _begin(self, turn: Turn) -> None:
        with anyio.move_on_after(self._patience):
            await begin_soon(turn)
        if not turn.begun.is_set():
            raise Unavailable("other work on the same sources takes too long", retry_after=self._patience)

    def record(self, action: Action) -> None:
        """An action was carried out; its turn is not over yet."""
        self._arrivals.record(action)
        for listener in self._listeners:
            listener(action)

    def add_listener(self, listener: Listener) -> None:
        """Call it with each action that was carried out, before anything else happens to the sources."""
        self._listeners.append(listener)

    async def forget_marks(self) -> None:
        """From now on actions come from a sender who repeats them in their order: nothing is to be held back."""
        await self._marks.release_all()
