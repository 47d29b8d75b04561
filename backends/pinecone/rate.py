"""A limit on requests per second, kept by waiting."""

from collections.abc import Awaitable, Callable

import anyio

Sleep = Callable[[float], Awaitable[None]]


class RateLimiter:
    """Lets callers through at equal distances in time, in the order in which they came.

    There are no bursts: within any second at most `per_second` callers begin, plus one for those at both of its ends.
    """

    def __init__(
        self, per_second: float, *, clock: Callable[[], float] = anyio.current_time, sleep: Sleep = anyio.sleep
    ) -> None:
        self._distance = 1 / per_second
        self._clock = clock
        self._sleep = sleep
        self._free_at = float("-inf")

    async def turn(self) -> None:
        """Return when the caller may begin."""
        now = self._clock()
        begin = max(now, self._free_at)
        self._free_at = begin + self._distance
        if begin > now:
            await self._sleep(begin - now)
