"""How long to leave Nextcloud alone after it refused this app.

Nextcloud counts refused logins by address, AppAPI counts each one twice, and after more than ten within half an hour it
answers 429 for the rest of that time, also to whoever comes with the right secret. So whoever asks by itself asks one
after the other, and less and less often while it is refused:

    async with refusals.asking():
        await nextcloud.call(...)
"""

import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from ..toolkit.background import pause_after
from .errors import NotAccepted

FIRST_PAUSE = 600.0
LONGEST_PAUSE = 3600.0
"""Seconds after a refusal, doubled with each one in a row: at most three, so six counts, within half an hour."""


class Refusals:
    """Those of one Nextcloud, shared by all who ask."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._in_a_row = 0
        self._until = -math.inf
        self._one_at_a_time = anyio.Lock()
        self._forgotten = anyio.Event()

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Wait until it may be asked, and note whether the block raises `NotAccepted`."""
        async with self._one_at_a_time:
            await self.wait()
            try:
                yield
            except NotAccepted:
                self.note()
                raise
            self.forget()

    async def wait(self) -> None:
        """Until it may be asked. For work that others cannot wait for: `note` or `forget` what comes of it."""
        while (left := self._until - self._clock()) > 0:
            with anyio.move_on_after(left):
                await self._forgotten.wait()

    def note(self) -> None:
        """This app was refused. Of several who were under way only the first counts."""
        if self._clock() < self._until:
            return
        self._in_a_row += 1
        self._until = self._clock() + pause_after(self._in_a_row, FIRST_PAUSE, LONGEST_PAUSE)

    def forget(self) -> None:
        """The secret is right: Nextcloud answered, or came with it."""
        self._in_a_row = 0
        self._until = -math.inf
        self._forgotten.set()
        self._forgotten = anyio.Event()
