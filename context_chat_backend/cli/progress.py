"""Shows how far a long command has got."""

import sys
import time
from collections.abc import Callable
from typing import Self, TextIO

BAR_WIDTH = 30
BAR_INTERVAL = 0.1
LINE_INTERVAL = 10.0
"""Seconds between two signs of life, on a terminal and elsewhere."""


class Progress:
    """A context manager that counts: a bar on a terminal, else a line every ten seconds."""

    def __init__(self, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """`out` defaults to stderr."""
        self._out = sys.stderr if out is None else out
        self._clock = clock
        self._is_terminal = self._out.isatty()
        self._interval = BAR_INTERVAL if self._is_terminal else LINE_INTERVAL
        self._shown_at = clock()
        self._total = 0
        self.done = 0

    def begin(self, *, total: int, done: int = 0) -> None:
        """What lies ahead."""
        self._total, self.done = total, done

    def advance(self, items: int) -> None:
        """Some more are done."""
        self.done += items
        if self._clock() - self._shown_at >= self._interval:
            self._show()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._is_terminal and self.done:
            self._show()
            self._out.write("\n")

    def _show(self) -> None:
        self._shown_at = self._clock()
        self._out.write(f"\r{self._bar()}{self._count()}" if self._is_terminal else f"{self._count()}\n")
        self._out.flush()

    def _count(self) -> str:
        return f"{self.done:,} of {self._total:,}"

    def _bar(self) -> str:
        if not self._total:
            return ""
        filled = BAR_WIDTH * min(self.done, self._total) // self._total
        return f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] "
