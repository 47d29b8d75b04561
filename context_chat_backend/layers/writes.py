"""Tells whether anything was written, for whoever keeps what was read before."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..contract import Driver, PermanentError
from .layer import Layer

T = TypeVar("T")

READING = frozenset({"ping", "count", "search", "answer", "check"})
"""Every other operation counts as writing."""
UNSURE_SECONDS = 60.0
"""For so long a call that failed for a passing reason, or was cancelled, may still be carried out by a backend that did
not hear of it. Whoever wanted it repeats it, and that counts again."""


class Writes(Layer):
    """Innermost: it sees every try of a write, and none of those that other layers keep back."""

    def __init__(self, inner: Driver, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(inner)
        self._clock = clock
        self._count = 0
        self._under_way = 0
        self._settled_at = float("-inf")

    @property
    def version(self) -> int | None:
        """Of everything that can be read, as far as it is written through here: where it is the same twice, nothing
        changed in between, and searches of both moments find the same. None while something changes, or may not be
        visible to every search yet."""
        if self._under_way or self.waiting or self._clock() < self._settled_at:
            return None
        return self._count

    async def around(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        if operation in READING:
            return await call()
        self._count += 1
        self._under_way += 1
        seconds = settle_seconds = self.capabilities.settle_seconds
        try:
            return await call()
        except PermanentError:  # it is over, whatever it did
            raise
        except BaseException:
            seconds = max(settle_seconds, UNSURE_SECONDS)
            raise
        finally:
            self._under_way -= 1
            self._settled_at = max(self._settled_at, self._clock() + seconds)
