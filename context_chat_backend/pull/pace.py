"""How long to wait before Nextcloud is asked again."""

import anyio

FIRST_PAUSE = 1.0
IDLE_PAUSE = 10.5
"""Seconds. Where there is nothing to do for a while, each queue is asked less than once in ten seconds."""


class Pace:
    """Short pauses while there is something to do, and growing ones then."""

    def __init__(self) -> None:
        self._pause = self._next = FIRST_PAUSE
        self._called = anyio.Event()

    def hurry(self) -> None:
        """Ask at once: there may be something to do."""
        self._next = FIRST_PAUSE
        self._called.set()

    def relax(self, longest: float = IDLE_PAUSE) -> None:
        """There was nothing to do: wait twice as long as the last time, but no longer than so many seconds."""
        self._pause = min(self._next, longest)
        self._next = min(self._next * 2, IDLE_PAUSE)

    async def wait(self) -> None:
        """Until it is time to ask."""
        with anyio.move_on_after(self._pause):
            await self._called.wait()
        self._called = anyio.Event()
