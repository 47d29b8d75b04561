"""Routes that only later versions of Nextcloud have."""

import time
from collections.abc import Callable

ABSENCE_SECONDS = 600.0


class OptionalRoute:
    """Remembers for some minutes that Nextcloud does not have a route. No longer: it may be upgraded at any time
    without telling the gateway."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._missing_until = -float("inf")

    @property
    def may_be_there(self) -> bool:
        """Whether it is worth asking."""
        return self._clock() >= self._missing_until

    def was_missing(self) -> None:
        """It was asked for, and is not there."""
        self._missing_until = self._clock() + ABSENCE_SECONDS
