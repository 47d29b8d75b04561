"""The ExApp's life as Nextcloud sees it: initialised, enabled, disabled."""

import logging
import math
from typing import Self

import anyio
from anyio.abc import TaskGroup

from .contract import DriverError, Misconfigured
from .core.service import ContextChat
from .core.state import State
from .nextcloud.client import NextcloudClient
from .nextcloud.errors import NextcloudError, NotAccepted, TryLater, as_driver_error
from .nextcloud.refusals import Refusals
from .nextcloud.setup_checks import offer_setup_checks
from .toolkit.background import periodically
from .toolkit.concurrency import Toggle

PATIENCE = 30 * 60
"""Seconds for the backend to open before Nextcloud is told why it does not; AppAPI gives up after 40 minutes."""
LOOK_INTERVAL = 2.0
REPORT_INTERVAL = 30.0
POLL_INTERVAL = 300.0
UNCALLED_POLL_INTERVAL = 30.0
OFFER_PAUSE, LONGEST_PAUSE = 60.0, 3600.0
"""Seconds until the setup checks are offered again after a failure, doubled with each one in a row."""

RUNNING, OPEN = 50, 100
"""Progress in percent, by the two stages that there are: the gateway runs, its backend is open."""

ENABLED = "enabled"
INIT_PENDING = "init_pending"
"""Flags in the state. The second one is one of the three below."""
NO, YES, HELD = "0", "1", "held"

log = logging.getLogger(__name__)


class Lifecycle:
    """An async context manager. Without a Nextcloud the app is enabled until told otherwise."""

    def __init__(
        self,
        state: State,
        chat: ContextChat,
        nextcloud: NextcloudClient | None,
        refusals: Refusals,
        *,
        called: bool = True,
    ) -> None:
        """`refusals` are shared with others who ask Nextcloud by themselves. Unless it is `called`, this process hears
        only by asking whether the app is enabled."""
        self._state = state
        self._nextcloud = nextcloud
        self._refusals = refusals
        self._called = called
        self.enabled = Toggle(False)
        """Whether Nextcloud has the app enabled: then data requests are served, and work is pulled."""
        self.working = Toggle(False)
        """Whether work may be begun that nobody waits for: the app is enabled, and the gateway is not being stopped."""
        self._stopping = False
        self.problem: NextcloudError | None = None
        """Why Nextcloud did not say whether the app is enabled when it was asked last, or None."""
        self._times_told = 0
        self._one_change = anyio.Lock()
        self._initialisation = _Initialisation(state, chat, self._refusals)
        self._tasks: TaskGroup

    async def __aenter__(self) -> Self:
        remembered = await self._state.flag(ENABLED)
        self._set(remembered == "1" if remembered is not None else self._nextcloud is None)
        await self._initialisation.open()
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        if self._nextcloud is not None:
            self._tasks.start_soon(self._follow, self._nextcloud)
            self._tasks.start_soon(self._initialisation.run, self._nextcloud)
            if self._called:
                self._tasks.start_soon(self._offer_setup_checks, self._nextcloud)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)

    async def set_enabled(self, enabled: bool) -> None:
        """Nextcloud says so. Remembered across restarts. Raises a `DriverError` where it cannot be, and nothing has
        changed then."""
        self._refusals.forget()
        await self._change(enabled)
        if enabled:
            self._initialisation.resume()
        else:
            await self._initialisation.hold()

    def start_init(self) -> None:
        """Nextcloud wants to hear when the backend is open; returns at once. One that is under way begins again."""
        self._refusals.forget()
        self._initialisation.start()

    def stop_working(self) -> None:
        """The gateway is being stopped: nothing more is taken from Nextcloud, and what is in work stays in the journal.
        Requests that are under way go on."""
        self._stopping = True
        self.working.set(False)

    async def _change(self, enabled: bool) -> None:
        self._times_told += 1
        async with self._one_change:
            if enabled != self.enabled.value:
                await self._state.set_flag(ENABLED, str(int(enabled)))
                self._set(enabled)
                log.info("the app is now %s", "enabled" if enabled else "disabled")

    def _set(self, enabled: bool) -> None:
        self.enabled.set(enabled)
        self.working.set(enabled and not self._stopping)

    async def _follow(self, nextcloud: NextcloudClient) -> None:
        async def look() -> None:
            await self._ask_for_state(nextcloud)

        interval = POLL_INTERVAL if self._called else UNCALLED_POLL_INTERVAL
        await periodically("the look at the app's state in Nextcloud", look, interval, first=0)

    async def _ask_for_state(self, nextcloud: NextcloudClient) -> None:
        """AppAPI takes any answer to PUT /enabled for success, even one that is not ours."""
        try:
            async with self._refusals.asking():
                times_told = self._times_told
                state = await nextcloud.call("GET", "/ocs/v1.php/apps/app_api/ex-app/state")
        except NextcloudError as error:
            # whatever is wrong, it says nothing about the state: keep the last one
            log.warning("Nextcloud did not say whether the app is enabled: %s", error)
            self.problem = error
            return
        self.problem = None
        # a PUT /enabled that came meanwhile is newer than this answer
        if state in (0, 1) and times_told == self._times_told:
            await self._change(bool(state))

    async def _offer_setup_checks(self, nextcloud: NextcloudClient) -> None:
        async def offer() -> None:
            await self.enabled.wait_for(True)
            try:
                async with self._refusals.asking():
                    offered = await offer_setup_checks(nextcloud)
            except NextcloudError as error:
                raise as_driver_error(error) from error
            log.debug("Nextcloud %s", "has the setup checks" if offered else "has no list of setup checks")

        async def until_disabled() -> None:
            await self.enabled.wait_for(False)

        await periodically(
            "offering the setup checks",
            offer,
            math.inf,
            first=0,
            wake=until_disabled,
            pause=OFFER_PAUSE,
            longest=LONGEST_PAUSE,
        )


class _Initialisation:
    """Tells Nextcloud when the backend is open, each time it asked for that."""

    def __init__(self, state: State, chat: ContextChat, refusals: Refusals) -> None:
        self._state = state
        self._chat = chat
        self._refusals = refusals
        self._asked = anyio.Event()
        self._pending = NO
        self._under_way: anyio.CancelScope | None = None

    async def open(self) -> None:
        """AppAPI does not ask again when the app is restarted."""
        self._pending = await self._state.flag(INIT_PENDING) or NO
        if self._pending == YES:
            self.start()

    def start(self) -> None:
        self._asked.set()

    def resume(self) -> None:
        """The app is enabled: what was held, or refused while it was disabled, goes on."""
        if self._pending != NO and self._under_way is None:  # else this is what AppAPI does at 100 %
            self.start()

    async def hold(self) -> None:
        """The app is disabled while it initialises: at 100 % AppAPI would enable it again."""
        if self._under_way is None and not self._asked.is_set():
            return
        self._asked = anyio.Event()
        if self._under_way is not None:
            self._under_way.cancel()
        try:
            await self._note(HELD)
        except DriverError as error:
            log.warning("after a restart now the initialisation would go on: %s", error)

    async def run(self, nextcloud: NextcloudClient) -> None:
        """Ends by cancellation."""

        async def report_if_asked() -> None:
            if self._asked.is_set():
                self._asked = anyio.Event()
                with anyio.CancelScope() as self._under_way:
                    await self._report_when_open(nextcloud)
                self._under_way = None

        async def until_asked() -> None:
            await self._asked.wait()

        await periodically(
            "the report of the initialisation", report_if_asked, REPORT_INTERVAL, first=0, wake=until_asked
        )

    async def _report_when_open(self, nextcloud: NextcloudClient) -> None:
        try:
            await self._note(YES)
            await self._wait_for_backend(nextcloud)
            await _report(nextcloud, progress=OPEN)
            await self._note(NO)
        except NextcloudError as refusal:
            if isinstance(refusal, NotAccepted):
                self._refusals.note()
            log.error("Nextcloud does not accept the progress of the initialisation: %s", refusal)  # noqa: TRY400
        except DriverError:  # the disk: Nextcloud waits for the report all the same
            self.start()
            raise

    async def _note(self, pending: str) -> None:
        self._pending = pending
        await self._state.set_flag(INIT_PENDING, pending)

    async def _wait_for_backend(self, nextcloud: NextcloudClient) -> None:
        """Return once it is open. What an admin has to fix, or what takes too long, is shown in Nextcloud."""
        shown: tuple[int, str] | None = None
        patience_ends = anyio.current_time() + PATIENCE
        while (problem := await self._chat.problem()) is not None:
            if self._asked.is_set():  # anew: Nextcloud has forgotten what it was told
                self._asked = anyio.Event()
                shown, patience_ends = None, anyio.current_time() + PATIENCE
            stuck = isinstance(problem, Misconfigured) or anyio.current_time() >= patience_ends
            to_show = (0, str(problem)) if stuck else (RUNNING, "")
            if to_show != shown:
                await _show(nextcloud, shown, to_show)
                shown = to_show
            await anyio.sleep(LOOK_INTERVAL)
        if shown is not None and shown[1]:
            await _report(nextcloud, progress=0)  # AppAPI forgets an error at 0 % only


async def _show(nextcloud: NextcloudClient, before: tuple[int, str] | None, now: tuple[int, str]) -> None:
    if before is not None and before[1] and not now[1]:
        await _report(nextcloud, progress=0)
    await _report(nextcloud, progress=now[0], error=now[1])


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
