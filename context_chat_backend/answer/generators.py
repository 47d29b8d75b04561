"""Where answers come from: a Nextcloud text model, an OpenAI-compatible server, or the documents themselves."""

import logging
import re
from collections.abc import Sequence
from typing import Any, Protocol

import anyio
import httpx

from ..contract import DriverError, Misconfigured, Rejected, TransientError, Unavailable, UserId
from ..nextcloud.ocs import OcsClient
from ..toolkit.http import json_object, translate_errors
from .context import Excerpt, cut
from .prompt import build_prompt
from .settings import AnswerSettings

MOST_EXCERPT_TOKENS = 100_000
"""Nextcloud refuses task inputs of more than 512,000 bytes; this leaves room for any question that people ask."""

log = logging.getLogger(__name__)


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
    PASSAGE_TOKENS = 200

    def __init__(self) -> None:
        self.context_tokens = 400  # two or three passages: more of them answer the question less and less

    async def answer(self, user_id: UserId, question: str, excerpts: Sequence[Excerpt]) -> str:  # noqa: ARG002
        words = _words(question)
        return "\n".join([self.NOTICE, "", *(self._line(excerpt, words) for excerpt in excerpts)])

    async def chat(self, user_id: UserId, text: str) -> str:  # noqa: ARG002
        return self.NO_MODEL

    def _line(self, excerpt: Excerpt, words: set[str]) -> str:
        passage = _best_sentences(excerpt.text, words, self.SENTENCES)
        shown = cut(passage, self.PASSAGE_TOKENS)
        return f"- {excerpt.title or 'Untitled'}: {shown}{'' if shown == passage else '…'}"


class NextcloudText:
    """Nextcloud's own text-to-text task, run as the user who asks."""

    FIRST_POLL, LAST_POLL = 0.5, 5.0

    def __init__(self, ocs: OcsClient, settings: AnswerSettings) -> None:
        self.context_tokens = min(settings.context_tokens, MOST_EXCERPT_TOKENS)
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
            await self._cancel(user_id, task_id)
            raise Unavailable(f"Nextcloud's text task took longer than {self._timeout:g} s") from error
        except anyio.get_cancelled_exc_class():
            await self._cancel(user_id, task_id)
            raise

    async def _schedule(self, user_id: UserId, prompt: str) -> int:
        data = await self._ocs.call(
            "POST",
            "/ocs/v1.php/taskprocessing/schedule",
            user_id=user_id,
            json={"type": "core:text2text", "appId": self._ocs.app_id, "input": {"input": prompt}},
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
                data = await self._ocs.call("GET", f"/ocs/v1.php/taskprocessing/task/{task_id}", user_id=user_id)
            except TransientError as error:  # the task goes on meanwhile
                log.info("Nextcloud did not tell how a text task is doing: %s", error)
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
        """So that no model works for nobody. A failure costs just that."""
        with anyio.move_on_after(5, shield=True):
            try:
                await self._ocs.call("POST", f"/ocs/v1.php/taskprocessing/tasks/{task_id}/cancel", user_id=user_id)
            except DriverError as error:
                log.info("Nextcloud did not cancel a text task: %s", error)


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
        body: dict[str, object] = {"model": self._model, "messages": [{"role": "user", "content": text}]}
        if self._answer_tokens:
            body["max_tokens"] = self._answer_tokens
        with translate_errors(rejected={400, 413, 422}):
            response = await self._client.post("chat/completions", json=body)
            response.raise_for_status()
        return _completion(json_object(response))


def _completion(body: dict[str, Any]) -> str:
    match body:
        case {"choices": [{"message": {"content": str(text)}}, *_]} if text.strip():
            return text
        case {"choices": [{"message": {"refusal": str()}}, *_]}:
            raise Rejected("the language model refused to answer")
        case {"choices": [{"finish_reason": "length"}, *_]}:
            raise Misconfigured("the language model used up CC_ANSWER_TOKENS before it answered")
        case _:
            raise Unavailable("the language model's answer cannot be read")


_WORD = re.compile(r"\w{3,}")
_CJK_PAIR = re.compile(r"(?=([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{2}))")
"""Chinese, Japanese and Korean words are about two characters long and not separated."""
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])\s*|\n+")


def _words(text: str) -> set[str]:
    folded = text.casefold()
    return {*_WORD.findall(folded), *_CJK_PAIR.findall(folded)}


def _best_sentences(text: str, words: set[str], count: int) -> str:
    sentences = [" ".join(part.split()) for part in _SENTENCE_END.split(text) if part.strip()]
    ranked = sorted(range(len(sentences)), key=lambda i: (-len(words & _words(sentences[i])), i))
    return " ".join(sentences[i] for i in sorted(ranked[:count]))
