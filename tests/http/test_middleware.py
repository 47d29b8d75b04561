"""What surrounds the routes: limits, metrics, readiness, driven without a server."""

import logging
from collections.abc import AsyncIterator, Sequence

import anyio
import pytest
from prometheus_client import generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message

from context_chat_backend.contract import DriverError, Unavailable
from context_chat_backend.http.middleware import BodyLimit, ErrorBoundary, RequestMetrics
from context_chat_backend.http.readiness import LOOK_SECONDS, Readiness
from context_chat_backend.layers.opening import Starting
from context_chat_backend.metrics import Metrics

pytestmark = pytest.mark.anyio

LIMIT = 100


async def call(app: ASGIApp, *messages: Message, path: str = "/", length: int | None = None) -> list[Message]:
    """What the app sends when it receives these and then nothing more."""
    waiting, sent = list(messages), []
    headers = [] if length is None else [(b"content-length", str(length).encode())]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}

    async def receive() -> Message:
        if not waiting:
            await anyio.sleep_forever()
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def pieces(*sizes: int) -> list[Message]:
    return [
        {"type": "http.request", "body": b"x" * size, "more_body": number < len(sizes)}
        for number, size in enumerate(sizes, start=1)
    ]


# ------------------------------------------------------------------ bodies


async def read_all(request: Request) -> JSONResponse:
    return JSONResponse(len(await request.body()))


def limited() -> ASGIApp:
    async def refused(_: Request, exc: Exception) -> JSONResponse:
        assert isinstance(exc, HTTPException)
        return JSONResponse({"error": exc.detail}, status_code=exc.status_code)

    routes = [Route(path, read_all, methods=["POST"]) for path in ("/", "/stream")]
    return BodyLimit(Starlette(routes=routes, exception_handlers={HTTPException: refused}), LIMIT, {"/stream"})


@pytest.mark.parametrize(
    ("messages", "length", "status"),
    [
        (pieces(100), 100, 200),
        (pieces(50, 50), None, 200),
        ([], 101, 413),
        (pieces(50, 51), None, 413),
        ([*pieces(50, 51, 10**6)][:2], None, 413),
    ],
)
async def test_a_body_that_is_too_large_is_refused_before_it_is_read(
    messages: Sequence[Message], length: int | None, status: int
) -> None:
    start, body = await call(limited(), *messages, length=length)
    assert start["status"] == status
    assert status == 200 or b"100 bytes" in body["body"]


async def test_a_route_that_keeps_nothing_in_memory_has_no_limit() -> None:
    start, _ = await call(limited(), *pieces(10 * LIMIT), path="/stream", length=10 * LIMIT)
    assert start["status"] == 200


# ------------------------------------------------------------------ metrics


async def fine(_: Request) -> JSONResponse:
    return JSONResponse({})


async def gone(_: Request) -> JSONResponse:
    raise ClientDisconnect


async def broken(_: Request) -> JSONResponse:
    raise ZeroDivisionError


async def stream(request: Request) -> StreamingResponse:
    async def blocks() -> AsyncIterator[bytes]:
        yield b"begun"
        if "broken" in request.url.path:
            raise ZeroDivisionError
        await anyio.sleep_forever()

    return StreamingResponse(blocks())


def measured(metrics: Metrics, routes: Sequence[Route]) -> ASGIApp:
    return Starlette(routes=routes, middleware=[Middleware(RequestMetrics, metrics=metrics), Middleware(ErrorBoundary)])


@pytest.mark.parametrize(
    ("path", "status"), [("/fine", 200), ("/gone", 499), ("/broken", 500), ("/stream", 499), ("/stream-broken", 500)]
)
async def test_a_client_that_goes_away_is_no_error_in_the_metrics(path: str, status: int) -> None:
    metrics = Metrics()
    handlers = {"/fine": fine, "/gone": gone, "/broken": broken, "/stream": stream, "/stream-broken": stream}
    routes = [Route(path, handler, methods=["POST"]) for path, handler in handlers.items()]
    app = measured(metrics, routes)
    ends: list[Message] = [{"type": "http.disconnect"}] if path == "/stream" else []
    try:
        await call(app, *ends, path=path)
    except* ZeroDivisionError:
        assert path == "/stream-broken"
    assert f'status="{status}"}} 1.0' in generate_latest(metrics.registry).decode()


async def test_a_request_that_the_end_of_the_server_cancels_is_no_error_in_the_metrics() -> None:
    metrics = Metrics()
    app = measured(metrics, [Route("/", read_all, methods=["POST"])])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call, app)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert 'status="499"} 1.0' in generate_latest(metrics.registry).decode()


# ------------------------------------------------------------------ readiness


class Backend:
    """Counts how often it is looked at."""

    def __init__(self) -> None:
        self.looks = 0
        self.now = 0.0
        self.go_on = anyio.Event()
        self.problem: DriverError | None = None

    async def look(self) -> DriverError | None:
        self.looks += 1
        await self.go_on.wait()
        return self.problem

    def clock(self) -> float:
        return self.now


async def test_however_many_ask_the_backend_is_looked_at_once_in_a_while() -> None:
    backend = Backend()
    readiness = Readiness(backend.look, clock=backend.clock)
    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(readiness.problem)
        await anyio.wait_all_tasks_blocked()
        backend.go_on.set()
    assert backend.looks == 1
    backend.problem = Unavailable("down")
    backend.now += LOOK_SECONDS - 0.1
    assert await readiness.problem() is None
    backend.now += 0.2
    assert [await readiness.problem() for _ in range(3)] == [backend.problem] * 3
    assert backend.looks == 2


async def test_a_look_that_was_given_up_is_made_again() -> None:
    backend = Backend()
    readiness = Readiness(backend.look, clock=backend.clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(readiness.problem)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    backend.go_on.set()
    assert await readiness.problem() is None
    assert backend.looks == 2


async def test_a_start_is_no_warning_and_what_ends_it_badly_is_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    backend = Backend()
    backend.go_on.set()
    readiness = Readiness(backend.look, clock=backend.clock)
    for backend.problem in (Starting("the backend is starting"), Unavailable("down")):
        await readiness.problem()
        backend.now += 2 * LOOK_SECONDS
    assert [record.levelno for record in caplog.records] == [logging.INFO, logging.WARNING]
