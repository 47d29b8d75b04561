"""Nextcloud's own language model."""

import logging

import anyio

from ..contract import Unavailable, UserId
from ..retrieval.settings import AnswerSettings
from .client import NextcloudClient
from .errors import NextcloudError, TryLater, as_driver_error

MOST_EXCERPT_TOKENS = 100_000
"""Nextcloud refuses task inputs of more than 512,000 bytes; this leaves room for any question that people ask."""

log = logging.getLogger(__name__)


class NextcloudText:
    """Nextcloud's own text-to-text task, run as the user who asks."""

    FIRST_POLL, LAST_POLL = 0.5, 5.0

    def __init__(self, nextcloud: NextcloudClient, settings: AnswerSettings) -> None:
        self.context_tokens = min(settings.context_tokens, MOST_EXCERPT_TOKENS)
        self._nextcloud = nextcloud
        self._timeout = settings.timeout

    async def complete(self, user_id: UserId, prompt: str) -> str:
        try:
            return await self._complete(user_id, prompt)
        except NextcloudError as error:
            raise as_driver_error(error) from error

    async def _complete(self, user_id: UserId, prompt: str) -> str:
        task_id = await self._schedule(user_id, prompt)
        try:
            with anyio.fail_after(self._timeout):
                return await self._result(user_id, task_id)
        except TimeoutError as error:
            await self._cancel(user_id, task_id)
            raise Unavailable(f"Nextcloud's text task took longer than {self._timeout:g} s") from error
        except anyio.get_cancelled_exc_class():
            await self._cancel(user_id, task_id)
            raise

    async def _schedule(self, user_id: UserId, prompt: str) -> int:
        data = await self._nextcloud.call(
            "POST",
            "/ocs/v1.php/taskprocessing/schedule",
            user_id=user_id,
            json={"type": "core:text2text", "appId": self._nextcloud.app_id, "input": {"input": prompt}},
        )
        match data:
            case {"task": {"id": int(task_id)}}:
                return task_id
            case _:
                raise Unavailable("Nextcloud's answer to a scheduled task has no task id")

    async def _result(self, user_id: UserId, task_id: int) -> str:
        pause = self.FIRST_POLL
        while True:
            await anyio.sleep(pause)
            pause = min(pause * 1.5, self.LAST_POLL)
            try:
                data = await self._nextcloud.call("GET", f"/ocs/v1.php/taskprocessing/task/{task_id}", user_id=user_id)
            except TryLater as error:  # the task goes on meanwhile
                log.info("Nextcloud did not say how a text task is doing: %s", error)
                continue
            match data:
                case {"task": {"status": "STATUS_SCHEDULED" | "STATUS_RUNNING"}}:
                    continue
                case {"task": {"status": "STATUS_SUCCESSFUL", "output": {"output": str(text)}}}:
                    return text
                case {"task": {"status": "STATUS_FAILED" | "STATUS_CANCELLED" | "STATUS_UNKNOWN" as status}}:
                    raise Unavailable(f"Nextcloud's text task ended with {status}")
                case _:
                    raise Unavailable("Nextcloud's answer about a text task cannot be read")

    async def _cancel(self, user_id: UserId, task_id: int) -> None:
        """So that no model works for nothing. A failure costs only that."""
        with anyio.move_on_after(5, shield=True):
            try:
                await self._nextcloud.call(
                    "POST", f"/ocs/v1.php/taskprocessing/tasks/{task_id}/cancel", user_id=user_id
                )
            except NextcloudError as error:
                log.info("Nextcloud did not cancel a text task: %s", error)
