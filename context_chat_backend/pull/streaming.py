"""Shows an answer in Nextcloud while it is written."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import anyio

from ..nextcloud.errors import NextcloudError, TryLater
from ..nextcloud.tasks import TaskProvider
from ..toolkit.concurrency import first_of

PAUSE = 0.7
"""Seconds between two calls. Nextcloud pushes each of them to the browser."""
PAUSE_AFTER_FAILURE = 5.0
CALL_SECONDS = 5.0
"""A call that takes longer is given up: what it shows is no news any more."""
LAST_CALL_SECONDS = 0.5
"""How long the result waits for a call under way. Nextcloud may still carry out one that is cut off, after the
result."""

Output = Mapping[str, object]
Show = Callable[[Output], None]

log = logging.getLogger(__name__)


@asynccontextmanager
async def shown_while_written(provider: TaskProvider, number: int) -> AsyncIterator[Show]:
    """Have the block say what the output of a task is so far. Nothing that fails here, or hangs, costs the block
    anything, and after it no call is under way any more."""
    stage = _Stage(provider, number)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.run)
            try:
                yield stage.show
            finally:
                await stage.close()
                tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise first_of(group) from None


class _Stage:
    """One call at a time, each with the newest output: what came meanwhile is passed over."""

    def __init__(self, provider: TaskProvider, number: int) -> None:
        self._provider = provider
        self._number = number
        self._newest: Output = {}
        self._news = anyio.Event()
        self._calling = anyio.Lock()
        self._is_closed = False

    def show(self, output: Output) -> None:
        """As soon as there is time for it."""
        self._newest = output
        self._news.set()

    async def run(self) -> None:
        """Until Nextcloud says that it is of no use."""
        pause: float | None = 0.0
        while pause is not None:
            await anyio.sleep(pause)
            await self._news.wait()
            async with self._calling:
                if self._is_closed:
                    return
                self._news = anyio.Event()
                pause = await self._call(self._newest)

    async def close(self) -> None:
        """No call begins from now on, and one under way gets a little time."""
        self._is_closed = True
        with anyio.move_on_after(LAST_CALL_SECONDS):
            async with self._calling:
                pass

    async def _call(self, output: Output) -> float | None:
        """Seconds to wait until the next one, if there is to be one."""
        try:
            with anyio.fail_after(CALL_SECONDS):
                return PAUSE if await self._provider.stream(self._number, output) else None
        except TimeoutError:
            log.info("Nextcloud does not show the answer to task %d so far: it takes too long", self._number)
            return PAUSE_AFTER_FAILURE
        except TryLater as error:
            log.info("Nextcloud does not show the answer to task %d so far: %s", self._number, error)
            return PAUSE_AFTER_FAILURE
        except NextcloudError as error:  # the task is gone, or the next call would be refused, too
            log.info("Nextcloud does not show the answer to task %d: %s", self._number, error)
            return None
        except Exception:
            log.exception("the answer to task %d cannot be shown while it is written", self._number)
            return None
