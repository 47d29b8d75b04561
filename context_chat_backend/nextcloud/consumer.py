"""Tasks that Nextcloud's models do for this app, as one of its users.

await consumer.output(user_id, "core:text2text", {"input": "Hello"}, seconds=60)  # {"output": "Good morning"}
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio

from ..contract import UserId
from ..toolkit.concurrency import let_finish
from .client import NextcloudClient
from .errors import Failed, Missing, NextcloudError, NoProvider, NoRoute, TaskFailed, TryLater
from .optional import OptionalRoute
from .webhooks import Webhook, Webhooks

TYPES_SECONDS = 600.0
"""That the task types are remembered: providers come and go without telling the gateway."""
SCHEDULE_SECONDS = 3.0
"""Grace when nobody waits any more."""
CANCEL_SECONDS = 5.0

Given = Mapping[str, object]
"""The input of a task, by the names of its fields."""
Output = Mapping[str, Any]
"""What came of it, likewise."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Routes:
    """Where tasks are scheduled and looked after, and how often one is looked at: the first pause in seconds, which
    grows, and the longest."""

    root: str
    first_pause: float
    longest_pause: float


@dataclass(frozen=True, slots=True)
class ScheduledTask:
    """One that Nextcloud has."""

    number: int
    user_id: UserId
    routes: Routes
    webhook: Webhook


class TaskConsumer:
    """Has Nextcloud's models do tasks. Methods raise `NextcloudError`s.

    Nextcloud 33 and later have routes for apps: without a limit on the rate, and with a call when the task is done, so
    that it is looked at rarely. Earlier ones have the routes for users only.
    """

    FOR_APPS = Routes("/ocs/v2.php/taskprocessing/tasks_consumer", 1.0, 30.0)
    FOR_USERS = Routes("/ocs/v1.php/taskprocessing", 0.5, 5.0)
    PAUSE_GROWTH = 1.5

    def __init__(
        self, nextcloud: NextcloudClient, webhooks: Webhooks, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._nextcloud = nextcloud
        self._webhooks = webhooks
        self._clock = clock
        self._app_routes = OptionalRoute()
        self._types: frozenset[str] = frozenset()
        self._types_until = -float("inf")
        self._one_look = anyio.Lock()

    async def offers(self, task_type: str) -> bool:
        """Whether some app in Nextcloud does such tasks, as far as was known in the last ten minutes. False where
        Nextcloud has no routes for apps."""
        async with self._one_look:
            if self._clock() >= self._types_until:
                self._types = await self._offered()
                self._types_until = self._clock() + TYPES_SECONDS
        return task_type in self._types

    async def require_accepted(self) -> None:
        """Return if Nextcloud accepts this app, whoever it comes as."""
        await self._offered()

    async def output(
        self, user_id: UserId, task_type: str, given: Given, *, seconds: float, keep: bool = True
    ) -> Output:
        """The output of a task that this user is said to have asked for.

        Without `keep` Nextcloud does not keep the task, which its user would find among their own. Raises `TaskFailed`
        if the model could not do it, `TryLater` if it took longer than so many seconds, and `NoProvider`.
        """
        with self._webhooks.open() as webhook:
            task = await self._schedule(user_id, task_type, given, webhook)
            output = await self._finished(task, seconds)
            if not keep:
                await self._tell("DELETE", task, f"task/{task.number}")
            return output

    async def _offered(self) -> frozenset[str]:
        try:
            data = await self._nextcloud.call("GET", f"{self.FOR_APPS.root}/tasktypes")
        except NoRoute:
            return frozenset()
        match data:
            case {"types": dict(types)}:
                return frozenset(types)
            case {"types": []}:  # PHP's empty map
                return frozenset()
            case _:
                raise Failed("Nextcloud's answer has no task types")

    # ------------------------------------------------------------------ one task

    async def _schedule(self, user_id: UserId, task_type: str, given: Given, webhook: Webhook) -> ScheduledTask:
        """Cancelled before its number is known, the task is cancelled in Nextcloud once that is."""
        scheduled: list[ScheduledTask] = []
        try:
            async with let_finish(SCHEDULE_SECONDS):
                scheduled.append(await self._scheduled_where_possible(user_id, task_type, given, webhook))
        except anyio.get_cancelled_exc_class():
            for task in scheduled:
                await self._cancel(task)
            raise
        return scheduled[0]

    async def _scheduled_where_possible(
        self, user_id: UserId, task_type: str, given: Given, webhook: Webhook
    ) -> ScheduledTask:
        app_id = self._nextcloud.app_id
        body: dict[str, object] = {"type": task_type, "appId": app_id, "input": given}
        if self._app_routes.may_be_there:
            call = {"webhookUri": webhook.uri, "webhookMethod": f"AppAPI:{app_id}:POST"}
            try:
                return await self._scheduled(self.FOR_APPS, user_id, body | call, webhook)
            except NoRoute:  # Nextcloud 32 and earlier
                self._app_routes.was_missing()
        return await self._scheduled(self.FOR_USERS, user_id, body, webhook)

    async def _scheduled(
        self, routes: Routes, user_id: UserId, body: dict[str, object], webhook: Webhook
    ) -> ScheduledTask:
        try:
            data = await self._nextcloud.call("POST", f"{routes.root}/schedule", user_id=user_id, json=body)
        except NoProvider:
            self._types_until = -float("inf")
            raise
        match data:
            case {"task": {"id": int(number)}}:
                return ScheduledTask(number, user_id, routes, webhook)
            case _:
                raise Failed("Nextcloud's answer to a scheduled task has no task id")

    async def _finished(self, task: ScheduledTask, seconds: float) -> Output:
        try:
            with anyio.fail_after(seconds):
                return await self._result(task)
        except TimeoutError as error:
            await self._cancel(task)
            raise TryLater(f"Nextcloud's task took longer than {seconds:g} s") from error
        except anyio.get_cancelled_exc_class():
            await self._cancel(task)
            raise

    async def _result(self, task: ScheduledTask) -> Output:
        pause = task.routes.first_pause
        while True:
            called = await task.webhook.wait(pause)
            # what cannot be seen yet after a call will be seen soon
            pause = task.routes.first_pause if called else min(pause * self.PAUSE_GROWTH, task.routes.longest_pause)
            try:
                data = await self._look(task)
            except TryLater as error:  # the task goes on meanwhile
                log.info("Nextcloud did not say how a task is doing: %s", error)
                continue
            except Missing as error:
                raise TaskFailed("Nextcloud does not have the task any more") from error
            output = _output_of(data)
            if output is not None:
                return output

    async def _look(self, task: ScheduledTask) -> Any:
        return await self._nextcloud.call("GET", f"{task.routes.root}/task/{task.number}", user_id=task.user_id)

    async def _cancel(self, task: ScheduledTask) -> None:
        """So that no model works for nothing."""
        await self._tell("POST", task, f"tasks/{task.number}/cancel")

    async def _tell(self, method: str, task: ScheduledTask, path: str) -> None:
        """A failure costs only what was to be told."""
        with anyio.move_on_after(CANCEL_SECONDS, shield=True):
            try:
                await self._nextcloud.call(method, f"{task.routes.root}/{path}", user_id=task.user_id)
            except NextcloudError as error:
                log.info("Nextcloud still has a task that nobody needs: %s", error)


def _output_of(data: Any) -> Output | None:
    """What a task has come to; None as long as it is under way."""
    match data:
        case {"task": {"status": "STATUS_SCHEDULED" | "STATUS_RUNNING"}}:
            return None
        case {"task": {"status": "STATUS_SUCCESSFUL", "output": dict(output)}}:
            return output
        case {"task": {"status": "STATUS_FAILED" | "STATUS_CANCELLED" | "STATUS_UNKNOWN" as status}}:
            raise TaskFailed(f"Nextcloud's task ended with {status}")
        case _:
            raise TaskFailed("what Nextcloud says of a task cannot be read")
