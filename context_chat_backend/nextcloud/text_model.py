"""Nextcloud's own language model."""

import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import anyio

from ..contract import Unavailable, UserId
from ..retrieval.settings import AnswerSettings
from .client import NextcloudClient
from .errors import NextcloudError, NoRoute, TryLater, as_driver_error
from .optional import OptionalRoute
from .webhooks import Webhook, Webhooks

MOST_EXCERPT_TOKENS = 100_000
"""Nextcloud refuses task inputs of more than 512,000 bytes; this leaves room for any question that people ask."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Routes:
    """Where tasks are scheduled and looked after, and how often one is looked at: the first pause in seconds, which
    grows, and the longest."""

    root: str
    first_pause: float
    longest_pause: float


@dataclass(frozen=True, slots=True)
class TextTask:
    """One that was scheduled."""

    number: int
    user_id: UserId
    routes: Routes
    webhook: Webhook


class NextcloudText:
    """Nextcloud's own text-to-text task, run as the user who asks.

    Nextcloud 33 and later have routes for apps: without a limit on the rate, and with a call when the task is done, so
    that it is looked at rarely. Earlier ones have the routes for users only.
    """

    FOR_APPS = Routes("/ocs/v2.php/taskprocessing/tasks_consumer", 1.0, 30.0)
    FOR_USERS = Routes("/ocs/v1.php/taskprocessing", 0.5, 5.0)
    PAUSE_GROWTH = 1.5

    def __init__(self, nextcloud: NextcloudClient, settings: AnswerSettings, webhooks: Webhooks) -> None:
        self.context_tokens = min(settings.context_tokens, MOST_EXCERPT_TOKENS)
        self._nextcloud = nextcloud
        self._timeout = settings.timeout
        self._webhooks = webhooks
        self._app_routes = OptionalRoute()

    async def stream(self, user_id: UserId, prompt: str) -> AsyncGenerator[str, None]:
        yield await self._complete(user_id, prompt)

    async def _complete(self, user_id: UserId, prompt: str) -> str:
        try:
            with self._webhooks.open() as webhook:
                return await self._finished(await self._schedule(user_id, prompt, webhook))
        except NextcloudError as error:
            raise as_driver_error(error) from error

    async def _finished(self, task: TextTask) -> str:
        try:
            with anyio.fail_after(self._timeout):
                return await self._result(task)
        except TimeoutError as error:
            await self._cancel(task)
            raise Unavailable(f"Nextcloud's text task took longer than {self._timeout:g} s") from error
        except anyio.get_cancelled_exc_class():
            await self._cancel(task)
            raise

    async def _schedule(self, user_id: UserId, prompt: str, webhook: Webhook) -> TextTask:
        app_id = self._nextcloud.app_id
        body: dict[str, object] = {"type": "core:text2text", "appId": app_id, "input": {"input": prompt}}
        if self._app_routes.may_be_there:
            call = {"webhookUri": webhook.uri, "webhookMethod": f"AppAPI:{app_id}:POST"}
            try:
                return await self._scheduled(self.FOR_APPS, user_id, body | call, webhook)
            except NoRoute:  # Nextcloud 32 and earlier
                self._app_routes.was_missing()
        return await self._scheduled(self.FOR_USERS, user_id, body, webhook)

    async def _scheduled(self, routes: Routes, user_id: UserId, body: dict[str, object], webhook: Webhook) -> TextTask:
        data = await self._nextcloud.call("POST", f"{routes.root}/schedule", user_id=user_id, json=body)
        match data:
            case {"task": {"id": int(number)}}:
                return TextTask(number, user_id, routes, webhook)
            case _:
                raise Unavailable("Nextcloud's answer to a scheduled task has no task id")

    async def _result(self, task: TextTask) -> str:
        pause = task.routes.first_pause
        while True:
            called = await task.webhook.wait(pause)
            # what cannot be seen yet after a call will be seen soon
            pause = task.routes.first_pause if called else min(pause * self.PAUSE_GROWTH, task.routes.longest_pause)
            try:
                text = _text_of(await self._look(task))
            except TryLater as error:  # the task goes on meanwhile
                log.info("Nextcloud did not say how a text task is doing: %s", error)
                continue
            if text is not None:
                return text

    async def _look(self, task: TextTask) -> Any:
        return await self._nextcloud.call("GET", f"{task.routes.root}/task/{task.number}", user_id=task.user_id)

    async def _cancel(self, task: TextTask) -> None:
        """So that no model works for nothing. A failure costs only that."""
        with anyio.move_on_after(5, shield=True):
            try:
                await self._nextcloud.call(
                    "POST", f"{task.routes.root}/tasks/{task.number}/cancel", user_id=task.user_id
                )
            except NextcloudError as error:
                log.info("Nextcloud did not cancel a text task: %s", error)


def _text_of(data: Any) -> str | None:
    """What a task has written; None as long as it may still write."""
    match data:
        case {"task": {"status": "STATUS_SCHEDULED" | "STATUS_RUNNING"}}:
            return None
        case {"task": {"status": "STATUS_SUCCESSFUL", "output": {"output": str(text)}}}:
            return text
        case {"task": {"status": "STATUS_FAILED" | "STATUS_CANCELLED" | "STATUS_UNKNOWN" as status}}:
            raise Unavailable(f"Nextcloud's text task ended with {status}")
        case _:
            raise Unavailable("Nextcloud's answer about a text task cannot be read")
