"""Finds out how work arrives, and pulls it where that is needed."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import anyio

from ..contract import Content, DriverError, UserId
from ..core.commands import Command
from ..core.service import ContextChat
from ..core.sources import SourceTable
from ..core.state import State
from ..nextcloud.client import NextcloudClient
from ..nextcloud.consumer import TaskConsumer
from ..nextcloud.errors import NextcloudError, NoRoute, as_driver_error
from ..nextcloud.queues import Queues
from ..nextcloud.refusals import Refusals
from ..nextcloud.scopes import Scopes
from ..nextcloud.tasks import TaskProvider
from ..toolkit.background import periodically
from ..toolkit.concurrency import Toggle
from .actions import Actions
from .contents import ItemText, NextcloudFile, Origin, PulledContent
from .documents import Documents
from .history import History
from .leases import Lease, Leases
from .puller import Puller, Work
from .tasks import Tasks
from .transcripts import Models, Reading, Transcript, medium_of

PROBE_INTERVAL = 300.0
AFTER_FAILURE = 30.0
LONGEST_PAUSE = 1800.0
"""Seconds. Nextcloud locks out whoever comes with a wrong secret more than ten times in half an hour."""

KEEP_SECONDS = 1.0

MODE, PUSH, PULL = "intake", "push", "pull"
"""Flag in the state: what was found last, for a start while Nextcloud is away."""
OFFERED = "task providers"
"""Flag in the state: whether Nextcloud may know this app as provider of tasks."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IntakePlan:
    """What has to be known to pull."""

    mode: Literal["auto", "push", "pull"]
    workers: int
    """Documents that are indexed at a time."""
    spool: Path
    takes: frozenset[Work] = frozenset(Work)
    reads_media: bool = True
    """Whether models of Nextcloud are asked for the text of images and recordings."""


class Intake:
    """Context Chat up to 5.3 sends its work, later versions have to be asked. The push routes serve always; queues and
    tasks are asked for only while the app is enabled and Context Chat has queues."""

    def __init__(
        self,
        plan: IntakePlan,
        nextcloud: NextcloudClient,
        consumer: TaskConsumer,
        chat: ContextChat,
        *,
        state: State,
        sources: SourceTable,
        refusals: Refusals,
        enabled: Toggle,
    ) -> None:
        """`refusals` are shared with all who ask this Nextcloud."""
        self._plan = plan
        self._queues = Queues(nextcloud)
        self._provider = TaskProvider(nextcloud)
        self._chat = chat
        self._state = state
        self._refusals = refusals
        self._enabled = enabled
        self._models = Models(consumer, refusals)
        self._history = History(state, sources)
        self._leases = Leases(state, self._history, self._content_of, self._transcript_of)
        self._documents = Documents(self._queues, chat, self._leases, state, workers=plan.workers)
        self._actions = Actions(self._queues, chat, self._leases, self._history, state)
        self._tasks = Tasks(self._provider, Scopes(nextcloud), chat, state)
        self._puller = Puller(
            chat,
            self._actions,
            self._documents,
            self._tasks,
            refusals=refusals,
            workers=plan.workers,
            takes=plan.takes,
        )
        self._pulls = Toggle(False)
        self._probe_now = anyio.Event()
        self._opening = anyio.Lock()
        self._opened = False

    @property
    def pulls(self) -> bool:
        """Whether Nextcloud is asked for work, as far as is known."""
        return self._pulls.value

    def hurry(self) -> None:
        """Nextcloud says that there is something to do."""
        self._puller.hurry()

    async def obey(self, command: Command) -> None:
        """The operator asks for something to be done with a source."""
        await self._open()
        await self._documents.obey(command)

    async def run(self) -> None:
        """Ends by cancellation."""
        async with anyio.create_task_group() as tasks:
            log.info("INTAKE=%s", self._plan.mode)
            match self._plan.mode:
                case "auto":
                    self._pulls.set(await self._mode_before() == PULL)
                    tasks.start_soon(self._keep_asking, self._probe)
                case "push":
                    tasks.start_soon(self._keep_asking, self._withdraw)
                case "pull":
                    self._pulls.set(True)
            self._chat.add_listener(self._leases.note)
            keep = partial(periodically, first=0)
            tasks.start_soon(keep, "keeping leases up to date", self._update_leases, KEEP_SECONDS)
            await periodically("pulling", self._pull, 0, first=0, pause=AFTER_FAILURE, longest=LONGEST_PAUSE)

    # ------------------------------------------------------------------ which contract

    async def _mode_before(self) -> str | None:
        try:
            return await self._state.flag(MODE)
        except DriverError as error:  # found out again soon
            log.warning("it is not known how work arrived before the start: %s", error)
            return None

    async def _keep_asking(self, step: Callable[[], Awaitable[None]]) -> None:
        name = "asking how Nextcloud hands out its work"
        pause, longest = AFTER_FAILURE, LONGEST_PAUSE
        await periodically(name, step, PROBE_INTERVAL, first=0, wake=self._asked, pause=pause, longest=longest)

    async def _asked(self) -> None:
        await self._probe_now.wait()

    async def _probe(self) -> None:
        """Harmless: it takes nothing. What cannot be answered now leaves everything as it is."""
        self._probe_now = anyio.Event()
        await self._enabled.wait_for(True)
        try:
            async with self._refusals.asking():
                await self._queues.require()
        except NoRoute:  # or Context Chat is not there: then nothing is sent, and nothing is lost
            await self._note(PUSH)
            await self._withdraw()
        except NextcloudError as error:
            raise as_driver_error(error) from error
        else:
            await self._note(PULL)

    async def _note(self, mode: str) -> None:
        if (mode == PULL) != self._pulls.value:
            log.info("Context Chat has %s", "queues: work is pulled" if mode == PULL else "no queues: work is pushed")
        self._pulls.set(mode == PULL)
        await self._state.set_flag(MODE, mode)

    async def _withdraw(self) -> None:
        """Earlier versions of Context Chat offer the same task types themselves."""
        await self._enabled.wait_for(True)
        if await self._state.flag(OFFERED) == "1":
            try:
                await self._provider.unregister()
            except NextcloudError as error:
                raise as_driver_error(error) from error
            await self._state.set_flag(OFFERED, "0")

    # ------------------------------------------------------------------ pulling

    async def _pull(self) -> None:
        await self._pulls.wait_for(True)
        await self._enabled.wait_for(True)
        await self._open()
        await self._state.set_flag(OFFERED, "1")
        await self._chat.forget_marks()
        await self._pull_until_told_otherwise()

    async def _update_leases(self) -> None:
        """Also while work is pushed: what is revoked then must not come back with a row that was taken before."""
        await self._open()
        await self._leases.flush()

    async def _open(self) -> None:
        """Take over what was left in the journals, once."""
        async with self._opening:
            if not self._opened:
                await self._history.open()
                await self._documents.open()
                await self._actions.open()
                self._opened = True

    async def _pull_until_told_otherwise(self) -> None:
        async with anyio.create_task_group() as tasks:

            async def stop_when(toggle: Toggle, value: bool) -> None:
                await toggle.wait_for(value)
                tasks.cancel_scope.cancel()

            tasks.start_soon(stop_when, self._pulls, False)
            tasks.start_soon(stop_when, self._enabled, False)
            await self._puller.run()
            if self._plan.mode == "auto":  # the queues are gone
                self._pulls.set(False)
                self._probe_now.set()
            await anyio.sleep(AFTER_FAILURE)

    def _content_of(self, lease: Lease) -> Content:
        origin: Origin = ItemText(partial(self._leases.text_of, lease.key))
        if lease.is_file:
            origin = NextcloudFile(self._queues, lease.source.id, size=lease.size, refusals=self._refusals)
        return PulledContent(origin, self._plan.spool, size=lease.size, readers=partial(_readers_of, lease))

    def _transcript_of(self, lease: Lease) -> Transcript | None:
        medium = medium_of(lease.source.mime_type)
        if medium is None or not lease.is_file or not self._plan.reads_media:
            return None
        reading = Reading(self._models, medium, lease.source.id)
        return Transcript(reading, self._plan.spool, partial(_readers_of, lease))


def _readers_of(lease: Lease) -> list[UserId]:
    return sorted(lease.source.user_ids)
