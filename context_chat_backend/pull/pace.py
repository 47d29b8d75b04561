"""How long to wait before Nextcloud is asked again."""

import anyio

FIRST_PAUSE = 1.0
IDLE_PAUSE = 10.5
"""Seconds. Where there is nothing to do for a while, each queue is asked less than once in ten seconds."""


class Pace:
    """Short pauses while there is something to do, and growing ones then."""

    def __init__(self) -> None:
        self._pause = FIRST_PAUSE
        self._longest = IDLE_PAUSE
        self._called = anyio.Event()

    def hurry(self) -> None:
        """Ask at once: there may be something to do."""
        self._pause = FIRST_PAUSE
        self._called.set()

    def relax(self, longest: float = IDLE_PAUSE) -> None:
        """There was nothing to do: wait twice as long as before, but no longer than so many seconds."""
        self._longest = longest
        self._pause = min(self._pause * 2, IDLE_PAUSE)

    async def wait(self) -> None:
        """Until it is time to ask."""
        with anyio.move_on_after(min(self._pause, self._longest)):
            await self._called.wait()
        self._called = anyio.Event()
