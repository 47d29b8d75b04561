"""Recorded requests of the real Nextcloud client, played against the real app in process.

The recordings (`golden/*.http`) are sent byte for byte, but for the ids of providers and users: those become random
ones of the same length, since the store may be in productive use.
"""

import json
import random
import re
import string
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import httpx
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

from ..contract import Driver, SourceId, UserId
from ..gateway import plan_gateway
from ..http.app import create_app
from ..layers.layer import Layer
from ..nextcloud.push_client import appapi_headers
from ..settings import Settings

SECRET = "12345"  # noqa: S105 - the one in the recorded requests
PROVIDERS = ("files__default", "mail__mail")
USERS = ("admin", "bob", "carol", "dora", "jörg", "用户一", "anna@example.org", "O'Brien", "with space")
START_SECONDS = 30
SHIPPED = resources.files(__package__) / "golden"
"""The folder of the recordings."""
LATIN, LAST_OF_TWO_BYTES, CJK = "àáâãäåæçèéêëìíîïðñòóôõöøùúûü", "\u07ff", range(0x4E00, 0x9FFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A recorded request."""

    method: str
    target: str
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    expected: dict[str, Any]
    """What the client meant, and what it makes of the answer."""


def recording(name: str) -> Recording:
    """The shipped recording of this name."""
    return read_recording(SHIPPED, name)


def read_recording(folder: Traversable, name: str) -> Recording:
    """The recording of this name in a folder."""
    head, _, body = (folder / f"{name}.http").read_bytes().partition(b"\r\n\r\n")
    request_line, *lines = head.split(b"\r\n")
    method, target, _ = request_line.decode("latin-1").split(" ")
    headers = [(key, value) for key, _, value in (line.partition(b": ") for line in lines)]
    expected = json.loads((folder / f"{name}.json").read_text("utf-8"))["expected"]
    return Recording(method=method, target=target, headers=headers, body=body, expected=expected)


class Disguise:
    """Other ids for those in the recordings, of the same length in UTF-8 and in PHP's JSON."""

    def __init__(self) -> None:
        self._names = {name: _like(name) for name in (*PROVIDERS, *USERS)}
        bytes_ = {name.encode(): other.encode() for name, other in self._names.items()}
        escaped = {_escaped(name): _escaped(other) for name, other in self._names.items()}
        self._bytes = bytes_ | escaped
        self._pattern = re.compile(b"|".join(map(re.escape, sorted(self._bytes, key=len, reverse=True))))

    def name(self, name: str) -> str:
        """A provider or a user."""
        return self._names[name]

    def source_id(self, source_id: str) -> SourceId:
        """`provider: item`"""
        provider, colon, item = source_id.partition(":")
        return SourceId(self._names[provider] + colon + item)

    def body(self, body: bytes) -> bytes:
        """A recorded body with the other ids, as long as before."""
        return self._pattern.sub(lambda found: self._bytes[found[0]], body)


def _escaped(name: str) -> bytes:
    return json.dumps(name)[1:-1].encode()


def _like(name: str) -> str:
    return "".join(map(_like_character, name))


def _like_character(character: str) -> str:
    choose = random.SystemRandom()
    if character in string.ascii_letters:
        return choose.choice(string.ascii_letters + string.digits)
    if character.isascii():
        return character
    return choose.choice(LATIN) if character <= LAST_OF_TWO_BYTES else chr(choose.choice(CJK))


class AlreadyOpen(Layer):
    """Entering and leaving it does nothing."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        return None


@dataclass
class Nextcloud:
    """Sends recordings to a gateway."""

    http: httpx.AsyncClient
    disguise: Disguise

    async def play(self, name: str) -> httpx.Response:
        """The gateway's answer to a recording."""
        recorded = recording(name)
        body = self.disguise.body(recorded.body)
        request = self.http.build_request(recorded.method, recorded.target, headers=recorded.headers, content=body)
        return await self.http.send(request)

    def user(self, name: str) -> UserId:
        """Who this user of the recordings is here."""
        return UserId(self.disguise.name(name))

    def ids(self, source_ids: Iterable[str]) -> list[SourceId]:
        """What these sources of the recordings are here."""
        return [self.disguise.source_id(source_id) for source_id in source_ids]


@asynccontextmanager
async def nextcloud(driver: Driver, folder: Path) -> AsyncIterator[Nextcloud]:
    """A gateway around an open driver, with nothing else set, that keeps its things in the folder."""
    settings = Settings(app_secret=SecretStr(SECRET), app_persistent_storage=folder, rag_backend="conformance")
    app = create_app(plan_gateway(settings, {"CC_GENERATOR": "extractive"}, AlreadyOpen(driver)))
    lifespan = app.router.lifespan_context(app)
    state = await lifespan.__aenter__()
    try:

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        transport = httpx.ASGITransport(with_state)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
            await _started(http)
            yield Nextcloud(http, Disguise())
    finally:
        # not by `async with`: the app's task groups would wrap an exception that gets in here
        await lifespan.__aexit__(None, None, None)


async def _started(http: httpx.AsyncClient) -> None:
    with anyio.fail_after(START_SECONDS):
        # not by asking whether it is ready: that answer is remembered for a while
        while not (await http.post("/countIndexedDocuments", headers=appapi_headers(SECRET))).is_success:  # noqa: ASYNC110
            await anyio.sleep(0.01)
