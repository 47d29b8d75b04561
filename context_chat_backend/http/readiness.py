"""Whether requests can be served. Looked at rarely, however many ask: the route is open, and each look costs a call."""

import logging
import time
from collections.abc import Awaitable, Callable

import anyio

from ..contract import DriverError, Unavailable
from ..layers.opening import Starting

LOOK_SECONDS = 1.0
"""At most one look in this time."""
PROBE_TIMEOUT = 5.0

Look = Callable[[], Awaitable[DriverError | None]]

log = logging.getLogger(__name__)


class Readiness:
    """Remembers the last look; whoever asks while one is under way waits for it."""

    def __init__(self, *looks: Look, clock: Callable[[], float] = time.monotonic) -> None:
        """Each look finds what is wrong with one thing that serving needs."""
        self._looks = looks
        self._clock = clock
        self._one_look = anyio.Lock()
        self._problem: DriverError | None = None
        self._good_until = float("-inf")

    async def problem(self) -> DriverError | None:
        """What is wrong, or None."""
        async with self._one_look:
            if self._clock() >= self._good_until:
                self._note(await self._look_in_time())
                self._good_until = self._clock() + LOOK_SECONDS
            return self._problem

    def _note(self, problem: DriverError | None) -> None:
        if problem is not None and str(problem) != str(self._problem):
            log.log(logging.INFO if isinstance(problem, Starting) else logging.WARNING, "not ready: %s", problem)
        self._problem = problem

    async def _look_in_time(self) -> DriverError | None:
        with anyio.move_on_after(PROBE_TIMEOUT):
            for look in self._looks:
                if (problem := await look()) is not None:
                    return problem
            return None
        return Unavailable("no answer in time")
