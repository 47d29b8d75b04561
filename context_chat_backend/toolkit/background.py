"""Work that goes on alongside requests. Nothing that fails in it may end the gateway."""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio

from ..contract import DriverError, TransientError
from .concurrency import first_of

_MOST_DOUBLINGS = 30
"""More would not fit into a float after a night of failures."""

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
"""In seconds."""

Step = Callable[[], Awaitable[object]]

failures: Counter[str] = Counter()
"""How often each loop of this process failed, by its name; for metrics."""

log = logging.getLogger(__name__)


async def periodically(
    name: str,
    step: Step,
    every: float,
    *,
    first: float | None = None,
    wake: Step | None = None,
    pause: float | None = None,
    longest: float = 0.0,
) -> None:
    """Run `step` every so many seconds, and as soon as `wake` returns; ends by cancellation only.

    Whatever the step raises is logged and counted under the loop's name, and the step is run again later: after `pause`
    seconds, doubled with each failure in a row up to `longest` seconds, where that is longer, and not before the error
    says that it is of use. `wake` cannot shorten the pause after a failure. `pause` and `first`, the time until the
    first run, are `every` by default.
    """
    after_failure = every if pause is None else pause
    failed = _Failures(name)
    await anyio.sleep(every if first is None else first)
    while True:
        try:
            await step()
            failed.over()
            with anyio.move_on_after(every):
                await (wake() if wake is not None else anyio.sleep_forever())
        except Exception as error:  # noqa: BLE001 - even a bug must not end the gateway, which works without this
            failed.note(error)
            asked_for = error.retry_after or 0 if isinstance(error, TransientError) else 0
            await anyio.sleep(max(pause_after(failed.in_a_row, after_failure, longest), asked_for))


def pause_after(failures: int, first: float, longest: float) -> float:
    """Seconds to wait after so many failures in a row, at least one."""
    doubled: float = first * 2 ** min(failures - 1, _MOST_DOUBLINGS)
    return max(first, min(doubled, longest))


class _Failures:
    """Those of one loop."""

    def __init__(self, name: str) -> None:
        self.in_a_row = 0
        self._name = name

    def note(self, error: Exception) -> None:
        self.in_a_row += 1
        failures[self._name] += 1
        if isinstance(error, DriverError):
            log.warning("%s failed and is tried again: %s", self._name, error)
        else:
            log.error("%s failed and is tried again", self._name, exc_info=error)

    def over(self) -> None:
        if self.in_a_row:
            log.info("%s works again", self._name)
        self.in_a_row = 0


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
