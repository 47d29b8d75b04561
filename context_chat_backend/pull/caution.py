"""How many rows to ask for after an answer that could not be written.

One row that Nextcloud cannot put into JSON, e.g. for a byte that is not UTF-8, costs the answer that it is part of: the
rows are leased, and nobody learns which. They come back together after 24 hours. Asked for one by one then, only the
one that cannot be written is missing.
"""

import json
import time

from ..core.state import State
from ..nextcloud.queues import LEASED_SECONDS

EARLY_SECONDS = 60
LATE_SECONDS = 600
"""Around the moment in which the rows of a failed answer come back, rows are asked for one by one."""
MOST_KEPT = 200


class Caution:
    """For one queue. Call `open` before anything else. Methods raise what `State` raises."""

    def __init__(self, state: State, queue: str) -> None:
        self._state = state
        self._flag = f"failed leases of {queue}"
        self._failed_at: list[float] = []
        self._most: int | None = None

    async def open(self) -> None:
        """Remember what failed before a restart."""
        self._failed_at = json.loads(await self._state.flag(self._flag) or "[]")

    def most(self, wanted: int) -> int:
        """How many rows to ask for, at most `wanted`."""
        ages = [time.time() - moment - LEASED_SECONDS for moment in self._failed_at]
        if any(-EARLY_SECONDS <= age <= LATE_SECONDS for age in ages):
            return 1
        return wanted if self._most is None else min(wanted, self._most)

    async def failed(self) -> None:
        """An answer could not be read: what comes next may be as bad."""
        self._most = 1
        now = time.time()
        recent = [moment for moment in self._failed_at if now - moment < LEASED_SECONDS + LATE_SECONDS]
        self._failed_at = [*recent, now][-MOST_KEPT:]
        await self._state.set_flag(self._flag, json.dumps(self._failed_at))

    def succeeded(self, wanted: int) -> None:
        """An answer could be read: twice as many the next time, until there are as many as wanted."""
        if self._most is not None:
            self._most = None if self._most >= wanted else self._most * 2
