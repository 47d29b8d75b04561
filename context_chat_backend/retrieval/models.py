"""Models that write text: what the gateway asks of one, and an OpenAI-compatible server as one."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Literal, Protocol

import httpx
from pydantic_core import from_json

from ..contract import Misconfigured, Rejected, Unavailable, UserId
from ..toolkit.concurrency import within
from ..toolkit.http import (
    ANSWER_BYTES,
    json_object,
    limited_bytes,
    limited_request,
    read_limited,
    translate_errors,
)
from .event_stream import MEDIA_TYPE, EventStream
from .settings import AnswerSettings

ROUTE = "chat/completions"
NOT_STREAMED = frozenset({400, 422, 501})
"""What a server answers that cannot stream, or not for this key. The same request without streaming then says what is
wrong, if anything is."""


class TextModel(Protocol):
    """Completes a prompt. Raises `DriverError`s like a driver."""

    context_tokens: int
    """Tokens of excerpts that it can use."""

    def stream(self, user_id: UserId, prompt: str) -> AsyncGenerator[str, None]:
        """What the model writes on behalf of a user, in pieces as they are written: all together they are the text,
        which is not blank. A model that shows nothing before it is done gives one piece. Close it when you leave it."""


class OpenAIChat:
    """Chat completions of an OpenAI-compatible server."""

    def __init__(self, client: httpx.AsyncClient, settings: AnswerSettings) -> None:
        self.context_tokens = settings.context_tokens
        self._client = client
        self._model = settings.llm_model
        self._answer_tokens = settings.answer_tokens
        self._timeout = settings.timeout

    async def stream(self, user_id: UserId, prompt: str) -> AsyncGenerator[str, None]:  # noqa: ARG002 - the server need not know who asks
        try:
            async with aclosing(within(self._timeout, self._pieces(prompt))) as pieces:
                async for piece in pieces:
                    yield piece
        except TimeoutError:
            raise Unavailable(f"the language model took longer than {self._timeout:g} s") from None

    async def _pieces(self, prompt: str) -> AsyncGenerator[str, None]:
        with translate_errors(rejected={400, 413, 422}):
            async with self._client.stream("POST", ROUTE, json=self._body(prompt, stream=True)) as answer:
                if answer.status_code not in NOT_STREAMED:
                    answer.raise_for_status()
                    async with aclosing(_written(answer)) as pieces:
                        async for piece in pieces:
                            yield piece
                    return
            whole = await limited_request(self._client, "POST", ROUTE, json=self._body(prompt, stream=False))
            whole.raise_for_status()
            yield _completion(whole)

    def _body(self, prompt: str, *, stream: bool) -> dict[str, object]:
        return {
            "model": self._model,
            "messages": [{"role": "user", "content": prompt}],
            **({"max_tokens": self._answer_tokens} if self._answer_tokens else {}),
            **({"stream": True} if stream else {}),
        }


def llm_client(settings: AnswerSettings) -> httpx.AsyncClient:
    """For the server of `llm_base_url`."""
    key = settings.llm_api_key
    return httpx.AsyncClient(
        base_url=settings.llm_base_url or "",
        timeout=httpx.Timeout(settings.timeout, connect=10),
        headers={"Authorization": f"Bearer {key.get_secret_value()}"} if key else {},
    )


async def _written(answer: httpx.Response) -> AsyncGenerator[str, None]:
    """The text of a successful answer. Not all servers know `stream`: those that do not send it whole."""
    if answer.headers.get("Content-Type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        yield _completion(await read_limited(answer, ANSWER_BYTES))
        return
    events, reply = EventStream(), _Reply()
    async with aclosing(limited_bytes(answer, ANSWER_BYTES)) as parts:
        async for part in parts:
            for data in events.feed(part):
                if text := reply.add(_parsed(data), "delta"):
                    yield text
                if reply.finish_reason:  # what may follow is about costs, and nobody has to wait for it
                    reply.require_text()
                    return
    raise Unavailable("the language model broke off before the end of its answer")


def _completion(answer: httpx.Response) -> str:
    reply = _Reply()
    text = reply.add(json_object(answer), "message")
    reply.require_text()
    return text


def _parsed(data: str) -> object:
    try:
        return from_json(data)  # also of "[DONE]", which may only come after the end of an answer
    except ValueError:
        raise _unreadable() from None  # the error quotes the text


def _unreadable() -> Unavailable:
    return Unavailable("the language model's answer cannot be read")


class _Reply:
    """What is known of an answer, which comes whole or in pieces."""

    def __init__(self) -> None:
        self.finish_reason: object = None
        """Why the model stopped; nothing while it writes."""
        self._has_text = False
        self._is_refused = False

    def add(self, body: object, member: Literal["message", "delta"]) -> str:
        """Its text in this body, empty for none."""
        match body:
            case {"error": problem} if problem:
                raise Unavailable("the language model met an error")
            case {"choices": [{**choice}, *_]}:
                self.finish_reason = choice.get("finish_reason")
                return self._text(choice.get(member))
            case {"choices": []}:  # as the last body of a stream, which is about costs, or the first
                return ""
            case _:
                raise _unreadable()

    def _text(self, part: object) -> str:
        match part:
            case {"content": str(text)}:
                self._has_text |= bool(text.strip())
            case None | {"content": None}:
                text = ""
            case dict() if "content" not in part:  # the thoughts of a model, for example
                text = ""
            case _:
                raise _unreadable()
        self._is_refused |= isinstance(part, dict) and bool(part.get("refusal"))
        return text

    def require_text(self) -> None:
        """Raises what its lack means."""
        if self._has_text:
            return
        if self._is_refused:
            raise Rejected("the language model refused to answer")
        if self.finish_reason == "length":
            raise Misconfigured("the language model used up CC_ANSWER_TOKENS before it answered")
        raise _unreadable()
