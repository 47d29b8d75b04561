"""The ExApp's life as Nextcloud sees it: initialised, enabled, disabled."""

import logging
from typing import Self

import anyio
from anyio.abc import TaskGroup

from .contract import DriverError, Misconfigured
from .core.service import ContextChat
from .core.state import State
from .nextcloud.client import NextcloudClient
from .nextcloud.errors import NextcloudError, TryLater
from .toolkit.background import periodically
from .toolkit.concurrency import Toggle

PATIENCE = 30 * 60
"""Seconds for the backend to open before Nextcloud is told why it does not; AppAPI gives up after 40 minutes."""
LOOK_INTERVAL = 2.0
REPORT_INTERVAL = 30.0
POLL_INTERVAL = 300.0

ENABLED = "enabled"
INIT_PENDING = "init_pending"

log = logging.getLogger(__name__)


class Lifecycle:
    """An async context manager. Without a Nextcloud the app is enabled until told otherwise."""

    def __init__(self, state: State, chat: ContextChat, nextcloud: NextcloudClient | None) -> None:
        self._state = state
        self._chat = chat
        self._nextcloud = nextcloud
        self.enabled = Toggle(False)
        """Whether Nextcloud has the app enabled: then data requests are served, and work is pulled."""
        self._times_told = 0
        self._one_change = anyio.Lock()
        self._initialisation = _Initialisation(state, chat)
        self._tasks: TaskGroup

    async def __aenter__(self) -> Self:
        remembered = await self._state.flag(ENABLED)
        self.enabled.set(remembered == "1" if remembered is not None else self._nextcloud is None)
        if await self._state.flag(INIT_PENDING) == "1":
            self._initialisation.start()  # AppAPI does not ask again when the app is restarted
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        if self._nextcloud is not None:
            self._tasks.start_soon(self._follow, self._nextcloud)
            self._tasks.start_soon(self._initialisation.run, self._nextcloud)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)

    async def set_enabled(self, enabled: bool) -> None:
        """Remembered across restarts. Raises a `DriverError` where it cannot be, and nothing has changed then."""
        self._times_told += 1
        async with self._one_change:
            if enabled != self.enabled.value:
                await self._state.set_flag(ENABLED, str(int(enabled)))
                self.enabled.set(enabled)
                log.info("the app is now %s", "enabled" if enabled else "disabled")

    def start_init(self) -> None:
        """Report to Nextcloud when the backend is open; returns at once."""
        self._initialisation.start()

    async def _follow(self, nextcloud: NextcloudClient) -> None:
        async def look() -> None:
            await self._ask_for_state(nextcloud)

        await periodically("the look at the app's state in Nextcloud", look, POLL_INTERVAL, first=0)

    async def _ask_for_state(self, nextcloud: NextcloudClient) -> None:
        """AppAPI takes any answer to PUT /enabled for success, even one that is not ours."""
        times_told = self._times_told
        try:
            state = await nextcloud.call("GET", "/ocs/v1.php/apps/app_api/ex-app/state")
        except NextcloudError as error:
            # whatever is wrong, it says nothing about the state: keep the last one
            log.warning("Nextcloud did not say whether the app is enabled: %s", error)
            return
        # a PUT /enabled that came meanwhile is newer than this answer
        if state in (0, 1) and times_told == self._times_told:
            await self.set_enabled(bool(state))


class _Initialisation:
    """Tells Nextcloud when the backend is open, each time it asked for that."""

    def __init__(self, state: State, chat: ContextChat) -> None:
        self._state = state
        self._chat = chat
        self._asked = anyio.Event()

    def start(self) -> None:
        self._asked.set()

    async def run(self, nextcloud: NextcloudClient) -> None:
        """Ends by cancellation."""

        async def report_if_asked() -> None:
            if self._asked.is_set():
                self._asked = anyio.Event()
                await self._report_when_open(nextcloud)

        async def until_asked() -> None:
            await self._asked.wait()

        await periodically(
            "the report of the initialisation", report_if_asked, REPORT_INTERVAL, first=0, wake=until_asked
        )

    async def _report_when_open(self, nextcloud: NextcloudClient) -> None:
        try:
            await self._state.set_flag(INIT_PENDING, "1")
            await self._wait_for_backend(nextcloud)
            await _report(nextcloud, progress=100)
            await self._state.set_flag(INIT_PENDING, "0")
        except NextcloudError as refusal:
            log.error("Nextcloud does not accept the progress of the initialisation: %s", refusal)  # noqa: TRY400
        except DriverError:  # the disk: Nextcloud waits for the report all the same
            self.start()
            raise

    async def _wait_for_backend(self, nextcloud: NextcloudClient) -> None:
        """Return once it is open. What an admin has to fix, or what takes too long, is shown in Nextcloud."""
        reported = ""
        patience_ends = anyio.current_time() + PATIENCE
        while (problem := await self._chat.problem()) is not None:
            stuck = isinstance(problem, Misconfigured) or anyio.current_time() >= patience_ends
            if stuck and str(problem) != reported:
                reported = str(problem)
                await _report(nextcloud, progress=0, error=reported)
            await anyio.sleep(LOOK_INTERVAL)
        if reported:
            await _report(nextcloud, progress=0)  # AppAPI forgets an error at 0 % only


async def _report(nextcloud: NextcloudClient, *, progress: int, error: str = "") -> None:
    """Repeated while Nextcloud is down; raises a `NextcloudError` when it refuses."""
    while True:
        try:
            await nextcloud.call(
                "PUT",
                "/ocs/v1.php/apps/app_api/ex-app/status",
                json={"progress": progress, "error": error},
                # at 100 % AppAPI enables the app inside this request: it calls /heartbeat and /enabled first
                timeout=120,
            )
        except TryLater as failure:
            log.warning("Nextcloud did not accept the progress of the initialisation: %s", failure)
            await anyio.sleep(REPORT_INTERVAL)
        else:
            return
