"""Models that write text: what the gateway asks of one, and an OpenAI-compatible server as one."""

from typing import Any, Protocol

import httpx

from ..contract import Misconfigured, Rejected, Unavailable, UserId
from ..toolkit.http import json_object, limited_request, translate_errors
from .settings import AnswerSettings


class TextModel(Protocol):
    """Completes a prompt. Raises `DriverError`s like a driver."""

    context_tokens: int
    """Estimated tokens of excerpts that it can use."""

    async def complete(self, user_id: UserId, prompt: str) -> str:
        """What the model writes, on behalf of a user."""


class OpenAIChat:
    """Chat completions of an OpenAI-compatible server."""

    def __init__(self, client: httpx.AsyncClient, settings: AnswerSettings) -> None:
        self.context_tokens = settings.context_tokens
        self._client = client
        self._model = settings.llm_model
        self._answer_tokens = settings.answer_tokens

    async def complete(self, user_id: UserId, prompt: str) -> str:  # noqa: ARG002 - the server need not know who asks
        body: dict[str, object] = {"model": self._model, "messages": [{"role": "user", "content": prompt}]}
        if self._answer_tokens:
            body["max_tokens"] = self._answer_tokens
        with translate_errors(rejected={400, 413, 422}):
            response = await limited_request(self._client, "POST", "chat/completions", json=body)
            response.raise_for_status()
        return _completion(json_object(response))


def llm_client(settings: AnswerSettings) -> httpx.AsyncClient:
    """For the server of `llm_base_url`."""
    key = settings.llm_api_key
    return httpx.AsyncClient(
        base_url=settings.llm_base_url or "",
        timeout=httpx.Timeout(settings.timeout, connect=10),
        headers={"Authorization": f"Bearer {key.get_secret_value()}"} if key else {},
    )


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
