"""Questions go before what is stored meanwhile."""

from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TypeVar

import anyio

from ..concurrency import Toggle

T = TypeVar("T")

LONGEST_PAUSE = 1.0
"""Seconds. Indexing goes on under any number of questions, a step in so many."""


class Precedence:
    """Of questions over work in steps that cannot be given a lower priority: it holds the interpreter's lock, or runs
    in the database beside them."""

    def __init__(self) -> None:
        self._questions = 0
        self._idle = Toggle(True)

    @contextmanager
    def question(self) -> Iterator[None]:
        """Under way inside the block."""
        self._questions += 1
        self._idle.set(False)
        try:
            yield
        finally:
            self._questions -= 1
            self._idle.set(not self._questions)

    async def after_questions(self, items: AsyncIterable[T]) -> AsyncIterator[T]:
        """The items, each taken when no question is under way, or after a pause."""
        await self._give_way()
        async for item in items:
            yield item
            await self._give_way()

    async def _give_way(self) -> None:
        with anyio.move_on_after(LONGEST_PAUSE):
            await self._idle.wait_for(True)
