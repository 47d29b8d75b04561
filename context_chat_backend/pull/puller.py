"""The loops that ask Nextcloud for work, as long as it has queues."""

import math
from collections.abc import Awaitable, Callable, Set
from enum import Enum, auto

import anyio
from anyio.abc import TaskGroup

from ..core.service import ContextChat
from ..nextcloud.errors import NextcloudError, NoRoute, NotAccepted, as_driver_error
from ..nextcloud.refusals import Refusals
from ..toolkit.background import periodically
from ..toolkit.concurrency import Toggle
from .actions import Actions
from .documents import Documents
from .pace import Pace
from .tasks import Tasks

ACTIONS_FIRST_SECONDS = 30.0
"""Documents wait so long for the actions that were queued before them, and no longer behind millions."""
AFTER_FAILURE = 0.5
LONGEST_PAUSE = 300.0
"""Seconds, doubled with each failure in a row: one lost answer delays nothing, and an outage is not hammered at."""
MEDIA_WORKERS = 2
"""Images and recordings that models of Nextcloud read for us at a time. People wait for the same models."""
GATHER_SECONDS = 0.2
"""Between two acknowledgements, for which the waiting actions are asked for as well."""
PROBLEM_PAUSE = 5.0
"""Seconds until the backend is looked at again when it cannot be used."""

Step = Callable[[], Awaitable[None]]


class Work(Enum):
    """What a gateway may take from Nextcloud."""

    QUESTIONS = auto()
    DOCUMENTS = auto()
    """And the actions on them: both have to be taken by one and the same process, whose order they rest on."""


class Puller:
    """Documents are taken only after the actions that were queued before them: a file that was deleted and came back
    would be deleted for good in the other order."""

    def __init__(
        self,
        chat: ContextChat,
        actions: Actions,
        documents: Documents,
        questions: Tasks,
        *,
        refusals: Refusals,
        workers: int,
        takes: Set[Work] = frozenset(Work),
    ) -> None:
        self._chat = chat
        self._actions = actions
        self._documents = documents
        self._questions = questions
        self._refusals = refusals
        self._workers = workers
        self._takes = takes
        self._pace = Pace()
        self._pace_of_questions = Pace()
        self._usable = Toggle(False)
        """Whether the backend was, when it was looked at last."""
        self._over = anyio.Event()
        self._more = False
        """Whether documents were waiting when Nextcloud was asked last."""

    def hurry(self) -> None:
        """There may be something to do."""
        self._pace.hurry()
        self._pace_of_questions.hurry()

    async def run(self) -> None:
        """Returns when Nextcloud has no queues any more."""
        self._over = anyio.Event()
        async with anyio.create_task_group() as tasks:
            if Work.QUESTIONS in self._takes:
                await self._questions.begin(tasks)
                tasks.start_soon(self._loop, "taking questions", self._take_questions, self._pace_of_questions.wait)
            if Work.DOCUMENTS in self._takes:
                self._begin_documents(tasks)
            await self._over.wait()
            tasks.cancel_scope.cancel()

    def _begin_documents(self, tasks: TaskGroup) -> None:
        for _ in range(self._workers):
            tasks.start_soon(self._documents.work, self._usable)
        for _ in range(MEDIA_WORKERS):
            tasks.start_soon(self._documents.read_media)
        tasks.start_soon(self._loop, "taking documents and actions", self._look, self._pace.wait)
        tasks.start_soon(self._hurry_when_through)

    async def _loop(self, name: str, step: Step, wake: Step) -> None:
        async def translated() -> None:
            await self._refusals.wait()
            try:
                await step()
            except NoRoute:
                self._over.set()
            except NotAccepted as error:
                self._refusals.note()
                raise as_driver_error(error) from error
            except NextcloudError as error:
                raise as_driver_error(error) from error

        await periodically(name, translated, math.inf, first=0, wake=wake, pause=AFTER_FAILURE, longest=LONGEST_PAUSE)

    async def _look(self) -> None:
        self._usable.set(await self._chat.problem() is None)
        if not self._usable.value:  # /health/ready and the log say why
            self._pace.relax(PROBLEM_PAUSE)
            return
        next_try = self._documents.resume()
        indexed = self._documents.indexed
        found = await self._actions.carry_out_all(seconds=ACTIONS_FIRST_SECONDS)
        await self._documents.acknowledge(indexed)
        if self._documents.has_room:
            self._more = await self._documents.take()
        if found or (self._more and self._documents.has_room):
            self._pace.hurry()
        else:
            self._pace.relax(next_try)

    async def _take_questions(self) -> None:
        if await self._questions.take():
            self._pace_of_questions.hurry()
        else:
            self._pace_of_questions.relax()

    async def _hurry_when_through(self) -> None:
        while True:
            await self._documents.wait_until_through()
            await self._usable.wait_for(True)
            self._pace.hurry()
            await anyio.sleep(GATHER_SECONDS)
