"""The ExApp's life as Nextcloud sees it: initialised, enabled, disabled."""

import logging
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential

from ..contract import DriverError, Misconfigured, TransientError
from ..service import ContextChat
from ..state import State
from .ocs import OcsClient

INIT_TIMEOUT = 35 * 60
"""Seconds; AppAPI gives up after 40 minutes."""
POLL_INTERVAL = 300
ENABLED = "enabled"

log = logging.getLogger(__name__)


class Lifecycle:
    """An async context manager. Without a Nextcloud (`ocs` is None) the app is enabled until told otherwise."""

    def __init__(self, state: State, chat: ContextChat, ocs: OcsClient | None) -> None:
        self._state = state
        self._chat = chat
        self._ocs = ocs
        self._enabled = False
        self._tasks: TaskGroup

    async def __aenter__(self) -> Self:
        remembered = await self._state.flag(ENABLED)
        self._enabled = remembered == "1" if remembered is not None else self._ocs is None
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        if self._ocs is not None:
            self._tasks.start_soon(self._follow_nextcloud, self._ocs)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)

    @property
    def enabled(self) -> bool:
        """Whether data requests are served."""
        return self._enabled

    async def set_enabled(self, enabled: bool) -> None:
        """Remembered across restarts."""
        if enabled != self._enabled:
            log.info("the app is now %s", "enabled" if enabled else "disabled")
        self._enabled = enabled
        await self._state.set_flag(ENABLED, str(int(enabled)))

    def start_init(self) -> None:
        """Report to Nextcloud when the backend is open; returns at once."""
        if self._ocs is not None:
            self._tasks.start_soon(self._init, self._ocs)

    async def _init(self, ocs: OcsClient) -> None:
        with anyio.move_on_after(INIT_TIMEOUT):
            while (problem := await self._chat.problem()) is not None:
                if isinstance(problem, Misconfigured):
                    return await self._report(ocs, progress=0, error=str(problem))
                await anyio.sleep(2)
            return await self._report(ocs, progress=100)
        return await self._report(ocs, progress=0, error="the backend did not start in time")

    async def _report(self, ocs: OcsClient, *, progress: int, error: str = "") -> None:
        async def report() -> None:
            await ocs.call(
                "PUT",
                "/ocs/v1.php/apps/app_api/ex-app/status",
                json={"progress": progress, "error": error},
                # with 100 % AppAPI enables the app inside of this request: it calls /heartbeat and /enabled first
                timeout=120,
            )

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(TransientError),
            stop=stop_after_delay(INIT_TIMEOUT),
            wait=wait_exponential(multiplier=1, max=30),
            sleep=anyio.sleep,
            reraise=True,
        )
        try:
            await retrying(report)
        except DriverError as failure:
            log.error("Nextcloud did not take the progress of the initialisation: %s", failure)  # noqa: TRY400

    async def _follow_nextcloud(self, ocs: OcsClient) -> None:
        """Ask for the state: AppAPI takes any answer to PUT /enabled for success, also one that is not ours."""
        while True:
            try:
                state = await ocs.call("GET", "/ocs/v1.php/apps/app_api/ex-app/state")
                await self.set_enabled(state in {1, "1"})
            except DriverError as error:
                # an unreachable Nextcloud says nothing about the state: keep the last one
                log.info("Nextcloud did not tell whether the app is enabled: %s", error)
            await anyio.sleep(POLL_INTERVAL)
