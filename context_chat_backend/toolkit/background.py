"""Work that goes on beside requests. Nothing that fails in it may end the gateway."""

import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio

from ..contract import DriverError
from .concurrency import first_of

MOST_DOUBLINGS = 30
REPEAT_SECONDS = 60.0
"""The same failure is logged no more often than this."""

Step = Callable[[], Awaitable[object]]

failures: Counter[str] = Counter()
"""How often each loop of this process failed, by its name; for metrics."""

log = logging.getLogger(__name__)


async def periodically(
    name: str, step: Step, every: float, *, first: float | None = None, wake: Step | None = None, longest: float = 0.0
) -> None:
    """Run `step` every so many seconds, and as soon as `wake` returns; ends by cancellation only.

    Whatever the step raises is logged and counted under the loop's name, and the step is run again later: after `every`
    seconds, doubled with each failure in a row up to `longest` seconds, where that is longer. `wake` cannot shorten the
    pause after a failure. `first` is the time until the first run, `every` by default.
    """
    failed = _Failures(name)
    await anyio.sleep(every if first is None else first)
    while True:
        try:
            await step()
            failed.over()
            with anyio.move_on_after(every):
                await (wake() if wake is not None else anyio.sleep_forever())
        except Exception as error:  # noqa: BLE001 - a bug, too, must not end the gateway, which is right without this
            failed.note(error)
            await anyio.sleep(max(every, min(every * 2.0 ** min(failed.in_a_row - 1, MOST_DOUBLINGS), longest)))


class Occasionally:
    """For log lines that would come with every request while something is wrong."""

    def __init__(self, seconds: float = REPEAT_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._said = ""
        self._again_at = float("-inf")

    def due(self, text: str = "") -> bool:
        """Whether to say this now: another text than the last one, or so long after it."""
        now = self._clock()
        if text == self._said and now < self._again_at:
            return False
        self._said, self._again_at = text, now + self._seconds
        return True


class _Failures:
    """Those of one loop: the first of its kind is logged, then one a minute."""

    def __init__(self, name: str) -> None:
        self.in_a_row = 0
        self._name = name
        self._complaint = Occasionally()

    def note(self, error: Exception) -> None:
        self.in_a_row += 1
        failures[self._name] += 1
        if not self._complaint.due(f"{type(error).__name__}: {error}"):
            return
        if isinstance(error, DriverError):
            log.warning("%s failed and is tried again: %s", self._name, error)
        else:
            log.error("%s failed and is tried again", self._name, exc_info=error)

    def over(self) -> None:
        if self.in_a_row:
            log.info("%s works again", self._name)
        self.in_a_row, self._complaint = 0, Occasionally()


async def run_in_background(stack: AsyncExitStack, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `work` until the stack is closed."""
    await stack.enter_async_context(_running(work))


@asynccontextmanager
async def _running(work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """What fails meanwhile is raised as it is, not in a group."""
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            yield
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise first_of(group) from None
