"""Lets the gateway run while its backend cannot be opened yet."""

import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from ..contract import Capabilities, Driver, DriverError, Misconfigured, Unavailable
from .layer import Layer

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0

log = logging.getLogger(__name__)


class Startup(Layer):
    """Opens the driver in the background and keeps trying; until then every operation raises why it is not open.

    AppAPI waits for the heartbeat of a starting app, not for its backend, and a backend may be down for longer.
    """

    def __init__(self, driver: Driver, opened: Callable[[str], Awaitable[None]]) -> None:
        """`opened` is called with the driver's identity before anything else, each time that it was opened. Where it
        raises a `DriverError`, the driver is closed, and opened again later."""
        self._driver = driver
        self._opened = opened
        self._problem: DriverError | None = Unavailable("the backend is starting", retry_after=5)
        self._stopping = anyio.Event()
        self._tasks: TaskGroup

    @property
    def inner(self) -> Driver:  # type: ignore[override] # read-only here: forwarding is what must fail while closed
        if self._problem is not None:
            raise self._problem
        return self._driver

    @property
    def capabilities(self) -> Capabilities:
        return self._driver.capabilities

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
        # one task enters and leaves the driver: task groups and cancel scopes inside of it require that
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                await self._open_until_stopped()
            except DriverError as error:
                self._note(error)
                await anyio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _open_until_stopped(self) -> None:
        async with self._driver:
            refusal = await self._refusal()
            if refusal is None:
                self._problem = None
                log.info("the backend is open")
                await self._stopping.wait()
        if refusal is not None:
            raise refusal  # outside of the driver, where a task group would make an ExceptionGroup of it

    async def _refusal(self) -> DriverError | None:
        try:
            await self._opened(self._driver.identity)
        except DriverError as error:
            return error
        return None

    def _note(self, error: DriverError) -> None:
        level = logging.ERROR if isinstance(error, Misconfigured) else logging.WARNING
        log.log(level, "the backend cannot be opened: %s", error)
        self._problem = error
