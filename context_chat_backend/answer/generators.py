"""Where answers come from: a Nextcloud text model, an OpenAI-compatible server, or the documents themselves."""

import re
from collections.abc import Sequence
from typing import Any, Protocol

import anyio
import httpx

from ..contract import Rejected, Unavailable, UserId
from ..nextcloud.ocs import OcsClient
from ..toolkit.http import json_object, translate_errors
from .context import Excerpt, cut, cut_bytes
from .prompt import build_prompt
from .settings import AnswerSettings

PROMPT_BYTES = 512_000
"""Nextcloud refuses longer task inputs."""


class Generator(Protocol):
    """Writes answers. Raises `DriverError`s like a driver."""

    context_tokens: int
    """Estimated tokens of excerpts that it can use."""

    async def answer(self, user_id: UserId, question: str, excerpts: Sequence[Excerpt]) -> str:
        """Answer from the excerpts."""

    async def chat(self, user_id: UserId, text: str) -> str:
        """Answer without any document."""


class Extractive:
    """No model: shows the passages. Says so, because people expect a written answer."""

    NOTICE = "No language model is configured, so this is what your documents say:"
    NO_MODEL = (
        "No language model is configured, so questions can only be answered from documents. "
        "Ask an administrator to set CC_GENERATOR, or ask with context."
    )
    SENTENCES = 2

    def __init__(self) -> None:
        self.context_tokens = 1200

    async def answer(self, user_id: UserId, question: str, excerpts: Sequence[Excerpt]) -> str:  # noqa: ARG002
        words = set(_words(question))
        lines = [f"- {e.title or 'Untitled'}: {_best_sentences(e.text, words, self.SENTENCES)}" for e in excerpts]
        return "\n".join([self.NOTICE, "", *lines])

    async def chat(self, user_id: UserId, text: str) -> str:  # noqa: ARG002
        return self.NO_MODEL


class NextcloudText:
    """Nextcloud's own text-to-text task, run as the user who asks."""

    FIRST_POLL, LAST_POLL = 0.5, 5.0

    def __init__(self, ocs: OcsClient, settings: AnswerSettings) -> None:
        self.context_tokens = settings.context_tokens
        self._ocs = ocs
        self._timeout = settings.timeout

    async def answer(self, user_id: UserId, question: str, excerpts: Sequence[Excerpt]) -> str:
        return await self.chat(user_id, build_prompt(question, excerpts))

    async def chat(self, user_id: UserId, text: str) -> str:
        task_id = await self._schedule(user_id, text)
        try:
            with anyio.fail_after(self._timeout):
                return await self._result(user_id, task_id)
        except TimeoutError as error:
            raise Unavailable(f"Nextcloud's text task took longer than {self._timeout:g} s") from error

    async def _schedule(self, user_id: UserId, prompt: str) -> int:
        data = await self._ocs.call(
            "POST",
            "/ocs/v1.php/taskprocessing/schedule",
            user_id=user_id,
            json={
                "type": "core:text2text",
                "appId": self._ocs.app_id,
                "input": {"input": cut_bytes(prompt, PROMPT_BYTES)},
            },
        )
        try:
            return int(data["task"]["id"])
        except (KeyError, TypeError, ValueError) as error:
            raise Unavailable("Nextcloud's answer to a scheduled task has no task id") from error

    async def _result(self, user_id: UserId, task_id: int) -> str:
        pause = self.FIRST_POLL
        while True:
            await anyio.sleep(pause)
            pause = min(pause * 1.5, self.LAST_POLL)
            data = await self._ocs.call("GET", f"/ocs/v1.php/taskprocessing/task/{task_id}", user_id=user_id)
            task = data.get("task") if isinstance(data, dict) else None
            match task:
                case {"status": "STATUS_SUCCESSFUL", "output": {"output": str(text)}}:
                    return text
                case {"status": "STATUS_SCHEDULED" | "STATUS_RUNNING"}:
                    continue
                case {"status": str(status)}:
                    raise Unavailable(f"Nextcloud's text task ended with {status}")
                case _:
                    raise Unavailable("Nextcloud's answer about a task cannot be read")


class OpenAIChat:
    """Chat completions of an OpenAI-compatible server."""

    def __init__(self, client: httpx.AsyncClient, settings: AnswerSettings) -> None:
        self.context_tokens = settings.context_tokens
        self._client = client
        self._model = settings.llm_model
        self._answer_tokens = settings.answer_tokens

    async def answer(self, user_id: UserId, question: str, excerpts: Sequence[Excerpt]) -> str:
        return await self.chat(user_id, build_prompt(question, excerpts))

    async def chat(self, user_id: UserId, text: str) -> str:  # noqa: ARG002 - the server need not know who asks
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": text}],
            "max_tokens": self._answer_tokens,
        }
        with translate_errors(rejected={400, 413, 422}):
            response = await self._client.post("chat/completions", json=body)
            response.raise_for_status()
        return _completion(json_object(response))


def _completion(body: dict[str, Any]) -> str:
    match body:
        case {"choices": [{"message": {"content": str(text)}}, *_]}:
            return text
        case {"choices": [{"message": {"refusal": str()}}, *_]}:
            raise Rejected("the language model refused to answer")
        case _:
            raise Unavailable("the language model's answer cannot be read")


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"\w+", text.casefold()) if len(word) > 2]  # noqa: PLR2004 - of, is, to


def _best_sentences(text: str, words: set[str], count: int) -> str:
    sentences = [part.strip() for part in re.split(r"(?<=[.!?\u3002\uff01\uff1f])\s+|\n+", text) if part.strip()]
    ranked = sorted(range(len(sentences)), key=lambda i: (-len(words & set(_words(sentences[i]))), i))
    return cut(" ".join(sentences[i] for i in sorted(ranked[:count])), 200)
