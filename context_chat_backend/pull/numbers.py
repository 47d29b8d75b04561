"""Which numbers of the actions queue were carried out."""

import time
from bisect import bisect_right
from collections.abc import Iterable

from ..core.state import State
from ..nextcloud.queues import LEASED_SECONDS

MOST_RANGES = 1000
"""That are remembered. There is a gap only where an answer of Nextcloud was lost, or a number was never given out."""
MARGIN_SECONDS = 3600
"""After the time of a lease: by then what was lost has come back."""
BEGUN = "actions carried out since"
"""Flag in the state: Unix seconds of the first one."""


class Numbers:
    """Numbers are given out in ascending order and never again, until Context Chat is installed anew."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._begun = time.time()

    async def open(self) -> None:
        """Raises what `State` raises."""
        self._begun = float(await self._state.flag(BEGUN) or self._begun)
        rows = await self._state.fetch("select first, last from action_numbers order by first")
        self._firsts = [int(str(first)) for first, _ in rows]
        self._lasts = [int(str(last)) for _, last in rows]

    @property
    def highest(self) -> int:
        """Of those that were carried out; 0 if none was."""
        return self._lasts[-1] if self._lasts else 0

    def have_restarted(self, number: int) -> bool:
        """Whether a number that comes now means that all of them have started again: it was carried out before, or is
        lower than any that was and cannot be one that was lost before those."""
        if not self._firsts or number > self.highest:
            return False
        before = bisect_right(self._firsts, number) - 1
        if before < 0:
            some_forgotten = len(self._firsts) >= MOST_RANGES
            return not some_forgotten and time.time() > self._begun + LEASED_SECONDS + MARGIN_SECONDS
        return number <= self._lasts[before]

    def with_those(self, numbers: Iterable[int]) -> "Numbers":
        """The same once these were carried out. Those that close a gap are not noted: they do not come a third time."""
        later = Numbers(self._state)
        later._begun, later._firsts, later._lasts = self._begun, [*self._firsts], [*self._lasts]
        for number in sorted(numbers):
            if later._lasts and number == later._lasts[-1] + 1:
                later._lasts[-1] = number
            elif number > later.highest:
                later._firsts.append(number)
                later._lasts.append(number)
        del later._firsts[:-MOST_RANGES], later._lasts[:-MOST_RANGES]
        return later

    def forget(self) -> None:
        """They have started again."""
        self._begun = time.time()
        self._firsts, self._lasts = [], []

    def statements(self) -> Iterable[tuple[str, list[tuple[object, ...]]]]:
        """Write what is known, for a transaction of the caller."""
        yield "insert or replace into flags values (?, ?)", [(BEGUN, str(self._begun))]
        yield "delete from action_numbers", [()]
        yield "insert into action_numbers values (?, ?)", list(zip(self._firsts, self._lasts, strict=True))
