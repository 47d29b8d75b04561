"""The ExApp's life as Nextcloud sees it: initialised, enabled, disabled."""

import logging
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from .contract import DriverError, Misconfigured, TransientError
from .core.service import ContextChat
from .core.state import State
from .nextcloud.client import OcsClient

PATIENCE = 30 * 60
"""Seconds for the backend to open before Nextcloud is told why it does not; AppAPI gives up after 40 minutes."""
LOOK_INTERVAL = 2.0
REPORT_INTERVAL = 30.0
POLL_INTERVAL = 300.0

ENABLED = "enabled"
INIT_PENDING = "init_pending"

log = logging.getLogger(__name__)


class Lifecycle:
    """An async context manager. Without a Nextcloud (`ocs` is None) the app is enabled until told otherwise."""

    def __init__(self, state: State, chat: ContextChat, ocs: OcsClient | None) -> None:
        self._state = state
        self._chat = chat
        self._ocs = ocs
        self._enabled = False
        self._times_told = 0
        self._one_init = anyio.Lock()
        self._tasks: TaskGroup

    async def __aenter__(self) -> Self:
        remembered = await self._state.flag(ENABLED)
        self._enabled = remembered == "1" if remembered is not None else self._ocs is None
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        if self._ocs is not None:
            self._tasks.start_soon(self._follow_nextcloud, self._ocs)
            if await self._state.flag(INIT_PENDING) == "1":
                self.start_init()  # AppAPI does not ask again when the app is restarted
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
        self._times_told += 1
        if enabled != self._enabled:
            log.info("the app is now %s", "enabled" if enabled else "disabled")
            self._enabled = enabled
            await self._state.set_flag(ENABLED, str(int(enabled)))

    def start_init(self) -> None:
        """Report to Nextcloud when the backend is open; returns at once."""
        if self._ocs is not None:
            self._tasks.start_soon(self._init, self._ocs)

    async def _init(self, ocs: OcsClient) -> None:
        async with self._one_init:
            await self._state.set_flag(INIT_PENDING, "1")
            try:
                await self._wait_for_backend(ocs)
                await self._report(ocs, progress=100)
            except DriverError as refusal:
                log.error("Nextcloud does not take the progress of the initialisation: %s", refusal)  # noqa: TRY400
            else:
                await self._state.set_flag(INIT_PENDING, "0")

    async def _wait_for_backend(self, ocs: OcsClient) -> None:
        """Return once it is open. What an admin has to mend, or what takes too long, is shown in Nextcloud."""
        reported = ""
        patience_ends = anyio.current_time() + PATIENCE
        while (problem := await self._chat.problem()) is not None:
            stuck = isinstance(problem, Misconfigured) or anyio.current_time() >= patience_ends
            if stuck and str(problem) != reported:
                reported = str(problem)
                await self._report(ocs, progress=0, error=reported)
            await anyio.sleep(LOOK_INTERVAL)
        if reported:
            await self._report(ocs, progress=0)  # AppAPI forgets an error at 0 % only

    async def _report(self, ocs: OcsClient, *, progress: int, error: str = "") -> None:
        """Repeated while Nextcloud is down; raises a `DriverError` when it refuses."""
        while True:
            try:
                await ocs.call(
                    "PUT",
                    "/ocs/v1.php/apps/app_api/ex-app/status",
                    json={"progress": progress, "error": error},
                    # at 100 % AppAPI enables the app inside of this request: it calls /heartbeat and /enabled first
                    timeout=120,
                )
            except TransientError as failure:
                log.warning("Nextcloud did not take the progress of the initialisation: %s", failure)
                await anyio.sleep(REPORT_INTERVAL)
            else:
                return

    async def _follow_nextcloud(self, ocs: OcsClient) -> None:
        """Ask for the state: AppAPI takes any answer to PUT /enabled for success, also one that is not ours."""
        while True:
            times_told = self._times_told
            try:
                state = await ocs.call("GET", "/ocs/v1.php/apps/app_api/ex-app/state")
            except DriverError as error:
                # whatever is wrong, it says nothing about the state: keep the last one
                log.warning("Nextcloud did not tell whether the app is enabled: %s", error)
            else:
                # a PUT /enabled that came meanwhile is newer than this answer
                if state in (0, 1) and times_told == self._times_told:
                    await self.set_enabled(bool(state))
            await anyio.sleep(POLL_INTERVAL)
