"""What a client may cost before it is known: heads, silence, connections."""

import asyncio
import heapq
import json
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from context_chat_backend.http import connections
from context_chat_backend.http.connections import Connections, GuardedProtocol
from context_chat_backend.http.server import most_connections
from context_chat_backend.nextcloud.push_client import part
from tests.gateway import Nextcloud, gateway_process, headers, make_settings, running_gateway

pytestmark = pytest.mark.anyio

WHALE = "files__default: 1"
GET = b"GET /heartbeat HTTP/1.1\r\nHost: gateway\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: gateway\r\nContent-Length: 1000\r\n\r\n"


@dataclass
class FakeLoop:
    """A loop whose time passes when it is told to."""

    now: float = 1000.0
    timers: list[tuple[float, int, "FakeTimer"]] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[..., None]) -> "FakeTimer":
        timer = FakeTimer(callback)
        heapq.heappush(self.timers, (self.now + delay, id(timer), timer))
        return timer

    def create_task(self, work: Any) -> "asyncio.Task[None]":
        return asyncio.get_running_loop().create_task(work)

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self.timers and self.timers[0][0] <= end:
            self.now, _, timer = heapq.heappop(self.timers)
            timer.run()
        self.now = end


@dataclass
class FakeTimer:
    callback: Callable[..., None] | None

    def cancel(self) -> None:
        self.callback = None

    def run(self) -> None:
        if self.callback is not None:
            self.callback()


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.sent += bytes(data)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Stage:
    """A connection to an app that answers when it is told to."""

    def __init__(self, among: Connections | None = None) -> None:
        self.loop, self.transport = FakeLoop(), FakeTransport()
        self.read_body, self.answer = asyncio.Event(), asyncio.Event()
        self.protocol = GuardedProtocol(
            Config(self.app, log_config=None, lifespan="off", ws="none", interface="asgi3"),
            ServerState(),
            {},
            self.loop,  # type: ignore[arg-type]
            among=among or Connections(10),
        )
        self.protocol.connection_made(self.transport)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.read_body.wait()
        message: Message = {"more_body": True}
        while not self.answer.is_set() and message.get("more_body"):
            message = await receive()
        await self.answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def say(self, data: bytes) -> None:
        self.protocol.data_received(data)
        await settled()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def stage() -> Stage:
    return Stage()


# ------------------------------------------------------------------ silence


@pytest.mark.parametrize("said", [b"", b"GET / HT", GET[:-2], b"\r\n"])
async def test_a_client_that_does_not_finish_its_head_is_cut_off(stage: Stage, said: bytes) -> None:
    if said:
        await stage.say(said)
    stage.loop.advance(connections.HEAD_SECONDS - 1)
    assert not stage.transport.closed
    stage.loop.advance(2)
    assert stage.transport.closed


async def test_a_head_that_trickles_gets_no_more_time(stage: Stage) -> None:
    for _ in range(int(connections.HEAD_SECONDS) + 1):
        await stage.say(b"G" if not stage.transport.closed else b"")
        stage.loop.advance(1)
    assert stage.transport.closed


async def test_a_next_request_on_a_connection_has_the_same_time(stage: Stage) -> None:
    stage.answer.set()
    stage.read_body.set()
    await stage.say(GET)
    assert b"200 OK" in stage.transport.sent
    await stage.say(b"\r\n")
    stage.loop.advance(connections.HEAD_SECONDS + 1)
    assert stage.transport.closed


async def test_a_slow_body_may_take_any_time(stage: Stage) -> None:
    stage.read_body.set()
    await stage.say(POST)
    for _ in range(999):
        stage.loop.advance(connections.BODY_SECONDS - 1)
        await stage.say(b"x")
        assert not stage.transport.closed
    stage.loop.advance(connections.BODY_SECONDS + 1)
    assert stage.transport.closed


async def test_a_body_that_waits_for_us_is_not_cut_off(stage: Stage) -> None:
    await stage.say(POST.replace(b"1000", b"1000000"))
    await stage.say(b"x" * 100_000)
    stage.loop.advance(10 * connections.BODY_SECONDS)
    assert not stage.transport.closed
    stage.read_body.set()
    await settled()
    stage.loop.advance(2 * connections.BODY_SECONDS)
    assert stage.transport.closed


async def test_a_client_that_reads_its_answer_slowly_is_not_cut_off(stage: Stage) -> None:
    stage.read_body.set()
    await stage.say(GET)
    for _ in range(10):
        stage.protocol.pause_writing()
        stage.loop.advance(connections.BODY_SECONDS - 1)
        stage.protocol.resume_writing()
        stage.loop.advance(2)
    assert not stage.transport.closed


async def test_a_client_that_does_not_read_its_answer_is_cut_off(stage: Stage) -> None:
    stage.read_body.set()
    await stage.say(GET)
    stage.protocol.pause_writing()
    stage.loop.advance(connections.BODY_SECONDS + 1)
    assert stage.transport.closed
    stage.protocol.connection_lost(None)  # the server's part: its app would wait for the client forever


@pytest.mark.parametrize("more", [b"", b"GE"])
async def test_a_client_that_waits_for_its_answer_is_not_cut_off(stage: Stage, more: bytes) -> None:
    stage.read_body.set()
    await stage.say(GET + more)
    stage.loop.advance(100_000)
    stage.answer.set()
    await settled()
    assert b"200 OK" in stage.transport.sent
    assert not stage.transport.closed


async def test_the_rest_of_a_request_that_is_answered_is_not_waited_for_long(stage: Stage) -> None:
    stage.answer.set()
    stage.read_body.set()
    await stage.say(POST)
    assert b"200 OK" in stage.transport.sent
    await stage.say(b"x")
    stage.loop.advance(connections.HEAD_SECONDS + 1)
    assert stage.transport.closed


# ------------------------------------------------------------------ size


@pytest.mark.parametrize(
    "pieces",
    [
        [b"GET /?" + b"x" * 70_000, b"x" * 70_000],
        [b"GET /?", b"x" * 40_000, b"x" * 40_000],
        [b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 70_000 + b"\r\n\r\n"],
        [b"GET / HTTP/1.1\r\n" + b"X-Short: y\r\n" * 7_000 + b"\r\n"],
        [b"GET / HTTP/1.1\r\nX-Long: ", *[b"x" * 1_000] * 70],
        [b"\r\n" * 40_000, b"\r\n" * 40_000],
    ],
)
async def test_a_head_has_a_limit(stage: Stage, pieces: list[bytes]) -> None:
    await stage.say(pieces[0])
    for piece in [*pieces[1:], b"x"]:
        if not stage.transport.closed:
            await stage.say(piece)
    assert stage.transport.closed
    assert stage.transport.sent.startswith(b"HTTP/1.1 431 ")
    assert stage.transport.sent.count(b"HTTP/1.1") == 1
    assert "65536" in json.loads(stage.transport.sent.partition(b"\r\n\r\n")[2])["error"]


async def test_a_head_below_the_limit_is_read_whatever_came_before_it(stage: Stage) -> None:
    stage.answer.set()
    stage.read_body.set()
    body = b"x" * 200_000
    first = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    second = b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 60_000
    await stage.say(first + second)
    await stage.say(b"\r\n\r\n")
    assert stage.transport.sent.count(b"200 OK") == 2


# ------------------------------------------------------------------ number


async def test_the_connection_that_idles_longest_makes_room() -> None:
    among = Connections(2)
    busy, first = Stage(among), Stage(among)
    await busy.say(GET)
    second = Stage(among)
    assert [stage.transport.closed for stage in (busy, first, second)] == [False, True, False]
    first.protocol.connection_lost(None)
    await second.say(GET)
    third = Stage(among)  # everybody else is busy
    assert [stage.transport.closed for stage in (busy, second, third)] == [False, False, True]


def test_half_of_the_open_files_are_left_for_everything_else() -> None:
    assert most_connections(1024) == 512
    assert most_connections(1_000_000) == 1000


@contextmanager
def many_files(number: int) -> Iterator[None]:
    """Lets this process open so many; skips where it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, number), hard))
    else:
        pytest.skip(f"this process may open {hard} files only")
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_two_thousand_idle_connections_harm_nobody() -> None:
    with (
        many_files(3_000),
        gateway_process({"RAG_BACKEND": "reference"}, open_files=1024) as gateway,
        ExitStack() as all_,
    ):
        for number in range(2_000):
            idle = all_.enter_context(socket.create_connection(("127.0.0.1", gateway.port)))
            if number % 2:
                idle.sendall(GET[:-2])
        assert httpx.get(f"{gateway.nextcloud.base_url}/heartbeat").status_code == 200
        assert gateway.nextcloud.load(part(WHALE)).json()["loaded_sources"] == [WHALE]
        assert gateway.nextcloud.found("alice") == {WHALE}
        assert len(list(Path(f"/proc/{gateway.pid}/fd").iterdir())) < 700
        assert gateway.errors() == []


# ------------------------------------------------------------------ a client that has said everything


def request(path: str, **body: object) -> bytes:
    content = json.dumps(body).encode()
    lines = {**headers(), "Host": "gateway", "Content-Type": "application/json", "Content-Length": str(len(content))}
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return head.encode() + b"\r\n" + content


def say_and_half_close(nextcloud: Nextcloud, said: bytes) -> bytes:
    """Everything that comes back after this side of the connection was ended."""
    url = httpx.URL(nextcloud.base_url)
    with socket.create_connection((url.host, url.port or 80), timeout=30) as connection:
        connection.sendall(said)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


def test_a_client_that_half_closes_gets_its_answer_and_its_action_is_done(tmp_path: Path) -> None:
    with running_gateway(make_settings(tmp_path, rag_backend="reference")) as nextcloud:
        nextcloud.load(part(WHALE))
        allow = {"op": "allow", "userIds": ["bob"], "sourceId": WHALE}
        assert b"HTTP/1.1 200 OK" in say_and_half_close(nextcloud, request("/updateAccess", **allow))
        assert nextcloud.post("/updateAccess", **{**allow, "op": "deny"}).status_code == 200
        assert nextcloud.found("bob") == set()
        answer = say_and_half_close(nextcloud, request("/query", userId="alice", query="whale"))
        assert WHALE.encode() in answer
        assert say_and_half_close(nextcloud, request("/query", userId="alice", query="whale")[:-5]) == b""
