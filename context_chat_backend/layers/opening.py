"""Lets the gateway run while its backend cannot be opened yet."""

import logging
from collections.abc import Awaitable, Callable
from copy import copy
from types import TracebackType
from typing import Self, TypeVar

import anyio
from anyio.abc import TaskGroup

from ..contract import Driver, DriverError, Misconfigured, Unavailable
from ..toolkit.concurrency import first_of
from .layer import Layer

T = TypeVar("T")

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0

log = logging.getLogger(__name__)


class Starting(Unavailable):
    """The driver is being opened for the first time: nothing is wrong yet."""


class Opening(Layer):
    """Opens the driver in the background and keeps trying; until then every operation raises why it is not open.

    AppAPI waits for the heartbeat of a starting app, not for its backend, and a backend may be down for longer.
    """

    def __init__(self, inner: Driver, opened: Callable[[str], Awaitable[None]]) -> None:
        """`opened` is called with the driver's identity before anything else, each time it was opened. Where it
        raises a `DriverError`, the driver is closed, and opened again later."""
        super().__init__(inner)
        self._opened = opened
        self._problem: DriverError | None = Starting("the backend is starting", retry_after=5)
        self._stopping = anyio.Event()
        self._tasks: TaskGroup

    async def around(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:  # noqa: ARG002
        if self._problem is not None:
            raise copy(self._problem)  # one that is raised again and again would collect the tracebacks of all callers
        return await call()

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._stay_open)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._stopping.set()
        if self._problem is not None:
            self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(exc_type, exc, tb)

    async def _stay_open(self) -> None:
        # one task enters and leaves the driver: task groups and cancel scopes inside it require that
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                await self._open_until_stopped()
            except Exception as error:  # noqa: BLE001 - a bug of a driver must not end the gateway, which says so
                self._note(first_of(error))
                await anyio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _open_until_stopped(self) -> None:
        async with self.inner:
            refusal = await self._refusal()
            if refusal is None:
                self._problem = None
                log.info("the backend is open")
                await self._stopping.wait()
        if refusal is not None:
            raise refusal  # outside of the driver, where a task group would make an ExceptionGroup of it

    async def _refusal(self) -> DriverError | None:
        try:
            await self._opened(self.inner.identity)
        except DriverError as error:
            return error
        return None

    def _note(self, error: BaseException) -> None:
        match error:
            case Misconfigured():
                log.error("the backend cannot be opened: %s", error)
                self._problem = error
            case DriverError():
                log.warning("the backend cannot be opened: %s", error)
                self._problem = error
            case _:
                log.error("the backend cannot be opened", exc_info=error)
                self._problem = Unavailable(f"the driver failed: {type(error).__name__}")
