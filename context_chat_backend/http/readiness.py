"""Whether the backend serves. Looked at rarely, however many ask: the route is open, and each look costs a call."""

import time
from collections.abc import Awaitable, Callable

import anyio

from ..contract import DriverError, Unavailable

LOOK_SECONDS = 1.0
"""At most one look in this time."""
PROBE_TIMEOUT = 5.0


class Readiness:
    """Remembers the last look; whoever asks while one is under way waits for it."""

    def __init__(
        self, look: Callable[[], Awaitable[DriverError | None]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._look = look
        self._clock = clock
        self._one_look = anyio.Lock()
        self._problem: DriverError | None = None
        self._good_until = float("-inf")

    async def problem(self) -> DriverError | None:
        """What is wrong with the backend, or None."""
        async with self._one_look:
            if self._clock() >= self._good_until:
                self._problem = await self._look_in_time()
                self._good_until = self._clock() + LOOK_SECONDS
            return self._problem

    async def _look_in_time(self) -> DriverError | None:
        with anyio.move_on_after(PROBE_TIMEOUT):
            return await self._look()
        return Unavailable("no answer in time")
