"""The models of a real R2R in tests: the strict double of OpenAI's API, with vectors and answers that mean something.

They are the same every time. Per route they can be made slow, fail, or hang up.
"""

import itertools
import re
import socket
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Annotated, Any, Literal

import anyio
import numpy as np
import uvicorn
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.doubles.openai import ChatRequest, EmbeddingRequest, FakeOpenAI, Message
from tests.slow.tools import EmbeddingServer

EMBEDDING_MODEL = "text-embedding-3-small"
CHAT_MODEL = "stub-chat"
DIMENSION = 512
SEEN = "A lighthouse stands on a cliff above the harbour."
"""In every image."""

_WORD = re.compile(r"[^\W_]+")
_FILLERS = frozenset(
    ["a", "an", "and", "are", "by", "for", "from", "in", "is", "it", "of", "on", "or", "the", "to", "who"]
)
_TRIGRAM_WEIGHT = 0.15  # "invoice" and "invoices" share most of them

_QUERY = re.compile(r"^\W*(?:query|question)\W*:\s*(.+)$", re.IGNORECASE | re.MULTILINE)
_CONTEXT = re.compile(
    r"^\W*(?:context|document)\W*:\s*$(.+?)(?=^\W*(?:query|question)\W*:|\Z)",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
_CHUNK = re.compile(r"^(?:Source ID )?\[([0-9a-f]{7})\][:\s]*", re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Words(_Strict):
    type: Literal["text"]
    text: str


class _ImageUrl(_Strict):
    url: str = Field(pattern=r"^data:image/[a-z]+;base64,[A-Za-z0-9+/]+=*$")


class _Image(_Strict):
    type: Literal["image_url"]
    image_url: _ImageUrl


class _MessageWithImage(_Strict):
    role: Literal["user"]
    content: Annotated[list[_Words | _Image], Field(min_length=2, max_length=2)]


class ImageRequest(_Strict):
    """A question about one image."""

    model: str
    messages: Annotated[list[_MessageWithImage], Field(min_length=1, max_length=1)]
    temperature: float
    top_p: float
    max_tokens: int
    stream: Literal[False]

    def described(self) -> ChatRequest:
        """As if the image were what can be seen in it."""
        return ChatRequest(model=self.model, messages=[Message(role="user", content=SEEN)])


class _Models(FakeOpenAI):
    def _chat(self, body: ChatRequest | ImageRequest) -> Response:
        return super()._chat(body.described() if isinstance(body, ImageRequest) else body)

    def vector(self, text: str, dimension: int) -> list[float]:
        """Of unit length. Their cosine similarity follows the words that two texts share."""
        vector = np.zeros(dimension)
        for word in _words(text):
            vector[_slot(word, dimension)] += 1.0
            for start in range(len(word) - 2):
                vector[_slot(word[start : start + 3], dimension)] += _TRIGRAM_WEIGHT
        if not vector.any():
            vector[0] = 1.0
        return [float(value) for value in vector / np.linalg.norm(vector)]

    def _embeddings(self, body: EmbeddingRequest) -> dict[str, Any]:
        response = super()._embeddings(body)
        response["data"].sort(key=itemgetter("index"))  # R2R takes them as they come
        return response


def _models() -> FakeOpenAI:
    return _Models(
        embedding_models={EMBEDDING_MODEL: DIMENSION},
        chat_models=frozenset({CHAT_MODEL}),
        max_characters=200_000,  # R2R cuts what it summarizes at 100,000
        reply=extract_answer,
    )


def extract_answer(messages: Sequence[Message]) -> str:
    """The sentence of the context that shares most words with the question, and the mark of its chunk if it has one."""
    prompt = messages[-1].content
    query, context = _QUERY.search(prompt), _CONTEXT.search(prompt)
    question = query[1].strip() if query else prompt
    wanted = {*_words(question)}
    sentences = _sentences(context[1] if context else prompt)
    mark, sentence = max(sentences, key=lambda found: len(wanted & {*_words(found[1])}), default=("", "I do not know."))
    return f"{sentence} [{mark}]" if mark else sentence


def _sentences(context: str) -> Iterator[tuple[str, str]]:
    """Each after the mark of its chunk."""
    head, *rest = _CHUNK.split(context)
    for mark, text in [("", head), *zip(rest[::2], rest[1::2], strict=True)]:
        for sentence in filter(str.strip, _SENTENCE.split(text)):
            yield mark, sentence.strip()


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.lower()) if word not in _FILLERS]


def _slot(feature: str, dimension: int) -> int:
    return zlib.crc32(feature.encode()) % dimension


@dataclass
class Route:
    """What befalls the requests of one route. To be set from any thread."""

    latency: float = 0.0
    """Seconds before each answer."""
    calls: int = 0
    failed: int = 0
    _faults: Iterator[ASGIApp] = field(default_factory=lambda: iter(()))

    def fail(self, status: int, *, times: int | None = None, retry_after: int | None = None) -> None:
        """Answer the next requests with an error; without `times` until `recover`."""
        error = {"message": f"stub: forced {status}", "type": "server_error", "param": None, "code": "server_error"}
        headers = None if retry_after is None else {"Retry-After": str(retry_after)}
        self._faults = _repeat(JSONResponse({"error": error}, status, headers), times)

    def drop(self, *, times: int | None = None) -> None:
        """Close the connection instead of an answer; without `times` until `recover`."""
        self._faults = _repeat(_close_connection, times)

    def recover(self) -> None:
        self.latency = 0.0
        self._faults = iter(())

    async def enter(self) -> ASGIApp | None:
        """Count a request and wait. What is to answer it, if the models are not."""
        self.calls += 1
        begin = time.monotonic()
        while time.monotonic() < begin + self.latency:  # noqa: ASYNC110 - `recover` in another thread lets go
            await anyio.sleep(0.01)
        fault = next(self._faults, None)
        self.failed += fault is not None
        return fault


@dataclass
class ModelStub(EmbeddingServer):
    """Models on a socket. `hold` keeps requests with this text waiting, `waiting` counts them."""

    api: FakeOpenAI = field(default_factory=_models)
    embeddings: Route = field(default_factory=Route)
    chat: Route = field(default_factory=Route)
    _port: int = 0
    _is_serving: bool = False
    _server: ExitStack = field(default_factory=ExitStack)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._route(scope["path"])
        fault = None if route is None else await route.enter()
        if fault is None:
            await super().__call__(scope, receive, send)
        else:
            await fault(scope, receive, send)

    def start(self) -> None:
        """Serve in a thread, at the same address each time."""
        listener = socket.create_server(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}/v1"
        server = uvicorn.Server(uvicorn.Config(self, log_config=None, ws="none", lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()

        self._server.callback(thread.join, timeout=60)
        self._server.callback(setattr, server, "should_exit", True)
        self._is_serving = True

    def stop(self) -> None:
        """Finish what has been asked for; from then on connections are refused."""
        self._server.close()
        self._is_serving = False

    def recover(self) -> None:
        """Answer everything, at once, also after `stop`."""
        self.hold = None
        self.embeddings.recover()
        self.chat.recover()
        if not self._is_serving:
            self.start()

    def _route(self, path: str) -> Route | None:
        return {"/v1/embeddings": self.embeddings, "/v1/chat/completions": self.chat}.get(path)


@contextmanager
def model_stub() -> Iterator[ModelStub]:
    """Serves until the block ends."""
    stub = ModelStub()
    stub.start()
    try:
        yield stub
    finally:
        stub.recover()
        stub.stop()


def _repeat(fault: ASGIApp, times: int | None) -> Iterator[ASGIApp]:
    return itertools.repeat(fault) if times is None else itertools.repeat(fault, times)


async def _close_connection(scope: Scope, receive: Receive, send: Send) -> None:
    receive.__self__.transport.close()  # type: ignore[attr-defined]  # uvicorn's, because ASGI has no word for it
    while (await receive())["type"] != "http.disconnect":
        pass
