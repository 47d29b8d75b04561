"""Nextcloud's own language model."""

from collections.abc import AsyncGenerator

from ..contract import Unavailable, UserId
from ..retrieval.settings import AnswerSettings
from .consumer import TaskConsumer
from .errors import NextcloudError, as_driver_error

TEXT_TO_TEXT = "core:text2text"
MOST_EXCERPT_TOKENS = 100_000
"""Nextcloud refuses task inputs of more than 512,000 bytes; this leaves room for any question that people ask."""


class NextcloudText:
    """Nextcloud's own text-to-text task, run as the user who asks."""

    def __init__(self, tasks: TaskConsumer, settings: AnswerSettings) -> None:
        self.context_tokens = min(settings.context_tokens, MOST_EXCERPT_TOKENS)
        self._tasks = tasks
        self._timeout = settings.timeout

    async def stream(self, user_id: UserId, prompt: str) -> AsyncGenerator[str, None]:
        yield await self._complete(user_id, prompt)

    async def _complete(self, user_id: UserId, prompt: str) -> str:
        try:
            output = await self._tasks.output(user_id, TEXT_TO_TEXT, {"input": prompt}, seconds=self._timeout)
        except NextcloudError as error:
            raise as_driver_error(error) from error
        match output:
            case {"output": str(text)}:
                return text
            case _:
                raise Unavailable("the text of Nextcloud's model cannot be read")
