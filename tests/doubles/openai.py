"""A strict double of the OpenAI API: /v1/embeddings and /v1/chat/completions, streamed or not.

Refuses what the real one refuses, with its statuses and error bodies, and also every field that it does not model,
so that a client cannot come to rely on something untested. https://platform.openai.com/docs/api-reference
"""

import base64
import hashlib
import json
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from .scripted import Scripted, problems


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class EmbeddingRequest(_Strict):
    model: str
    input: str | Annotated[list[str], Field(min_length=1)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1)] | None = None


class Message(_Strict):
    role: Literal["system", "user", "assistant"]
    content: str


class ChatRequest(_Strict):
    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(ge=0, le=1)] = 1.0
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    stream: bool = False


@dataclass
class FakeOpenAI(Scripted):
    """An ASGI app. `script` answers the next requests in its stead; `requests` are the bodies that it accepted."""

    api_key: str | None = None
    basic_auth: tuple[str, str] | None = None
    embedding_models: dict[str, int] = field(default_factory=lambda: {"text-embedding-3-small": 8})
    """Names with the length of their vectors."""
    chat_models: frozenset[str] = frozenset({"gpt-4o-mini"})
    max_inputs: int = 2048
    max_characters: int = 32_000
    """Stands for the model's 8,192 tokens, of one text or of a conversation."""
    too_long_status: int = 400
    """413 and 422 are what other servers with this API answer."""
    refused_word: str | None = None
    """Texts with it are refused, as by a filter of contents."""
    reply: Callable[[Sequence[Message]], str] = lambda messages: f"You said: {messages[-1].content}"
    may_stream: bool = True
    """Some models are streamed to verified organizations only."""
    requests: list[EmbeddingRequest | ChatRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._app = FastAPI(openapi_url=None, dependencies=[Depends(self._authorize)])
        self._app.add_api_route("/v1/embeddings", self._embeddings, methods=["POST"])
        self._app.add_api_route("/v1/chat/completions", self._chat, methods=["POST"])
        self._app.add_exception_handler(RequestValidationError, _invalid_request)
        self._app.add_exception_handler(HTTPException, _http_error)

    def vector(self, text: str, dimension: int) -> list[float]:
        """What the double gives for a text: the same every time, and not of unit length."""
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
        return [float(value) for value in np.random.default_rng(seed).normal(size=dimension)]

    def _authorize(self, request: Request) -> None:
        accepted = set()
        if self.api_key is not None:
            accepted.add(f"Bearer {self.api_key}")
        if self.basic_auth is not None:
            accepted.add("Basic " + base64.b64encode(":".join(self.basic_auth).encode()).decode())
        if accepted and request.headers.get("Authorization") not in accepted:
            raise HTTPException(401, "Incorrect API key provided")

    def _embeddings(self, body: EmbeddingRequest) -> dict[str, Any]:
        if body.model not in self.embedding_models:
            raise HTTPException(404, f"The model `{body.model}` does not exist or you do not have access to it")
        longest = self.embedding_models[body.model]
        if body.dimensions is not None and body.dimensions > longest:
            raise HTTPException(400, f"dimensions: at most {longest}")
        texts = [body.input] if isinstance(body.input, str) else body.input
        if len(texts) > self.max_inputs:
            raise HTTPException(400, f"input: at most {self.max_inputs} items")
        for text in texts:
            if not text:
                raise HTTPException(400, "input cannot be an empty string")
            self._check_length(text)
        self.requests.append(body)
        vectors = (self.vector(text, body.dimensions or longest) for text in texts)
        data = [
            {"object": "embedding", "index": index, "embedding": _encoded(vector, body.encoding_format)}
            for index, vector in enumerate(vectors)
        ]
        tokens = sum(map(_tokens, texts))
        return {
            "object": "list",
            "data": data[::-1],  # a client has to go by `index`
            "model": body.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }

    def _chat(self, body: ChatRequest) -> Response:
        if body.model not in self.chat_models:
            raise HTTPException(404, f"The model `{body.model}` does not exist or you do not have access to it")
        if body.max_tokens is not None and body.max_completion_tokens is not None:
            raise HTTPException(
                400, "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported"
            )
        prompt = "".join(message.content for message in body.messages)
        self._check_length(prompt)
        if body.stream and not self.may_stream:
            raise HTTPException(400, "Your organization must be verified to stream this model")
        self.requests.append(body)
        content = self.reply(body.messages)
        if body.stream:
            return StreamingResponse(self._events(body.model, content), media_type="text/event-stream")
        completion = {
            "id": f"chatcmpl-{len(self.requests)}",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": body.model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": content, "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": _tokens(prompt),
                "completion_tokens": _tokens(content),
                "total_tokens": _tokens(prompt) + _tokens(content),
            },
        }
        return JSONResponse(completion)

    def _events(self, model: str, content: str) -> Iterator[str]:
        """Four characters at a time."""
        yield self._event(model, {"role": "assistant", "content": "", "refusal": None})
        for start in range(0, len(content), 4):
            yield self._event(model, {"content": content[start : start + 4]})
        yield self._event(model, {}, "stop")
        yield "data: [DONE]\n\n"

    def _event(self, model: str, delta: dict[str, Any], finish_reason: str | None = None) -> str:
        chunk = {
            "id": f"chatcmpl-{len(self.requests)}",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": model,
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}],
        }
        return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"

    def _check_length(self, text: str) -> None:
        if len(text) > self.max_characters:
            raise HTTPException(self.too_long_status, "This model's maximum context length is 8192 tokens")
        if self.refused_word is not None and self.refused_word in text:
            raise HTTPException(400, "The response was filtered")


def _encoded(vector: list[float], encoding_format: str) -> list[float] | str:
    if encoding_format == "float":
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _tokens(text: str) -> int:
    return max(1, len(text) // 4)


def _error(status: int, message: str) -> JSONResponse:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return JSONResponse({"error": error}, status)


def _invalid_request(request: Request, exc: Exception) -> JSONResponse:
    return _error(400, problems(exc))


def _http_error(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HTTPException)
    return _error(exc.status_code, exc.detail)
