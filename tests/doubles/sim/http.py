"""HTTP/1.1 on asyncio streams, because answers have to be cut, stretched and reset as no ASGI server can."""

import asyncio
import contextlib
import socket
import struct
import threading
import time
import traceback
import urllib.parse
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from tests.doubles.sim import php

LONGEST_HEAD = 1 << 20
PIECE = 1 << 16
REASONS = {
    200: "OK",
    201: "Created",
    204: "No Content",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    412: "Precondition Failed",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    """Their names in lower case."""
    body: bytes = b""
    path: str = ""
    query: dict[str, Any] = field(default_factory=dict)
    user: str | None = None
    """The one that the login has found."""
    is_exapp: bool = False
    """Whether the login was AppAPI's."""

    def __post_init__(self) -> None:
        path, _, query = self.target.partition("?")
        self.path = urllib.parse.unquote(path)
        self.query = php.query(query)

    def header(self, name: str) -> str:
        return self.headers.get(name.lower(), "")


@dataclass
class Response:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    stream: bool = False
    """Without a length, in chunks, as Apache sends PHP's output."""
    before: Callable[[], Awaitable[None]] | None = None
    """Awaited before the answer is sent."""
    piece: int = PIECE
    delay: float = 0.0
    """After each piece."""
    at: int | None = None
    """Only so many bytes of the body are sent."""
    abort: bool = False
    """The connection is reset afterwards."""

    @property
    def is_reset(self) -> bool:
        """Nothing is sent at all."""
        return self.abort and self.at == 0

    @property
    def sent(self) -> bytes:
        return self.body if self.at is None else self.body[: self.at]


def reset() -> Response:
    """The connection breaks in place of an answer."""
    return Response(0, abort=True, at=0)


class Server:
    """Has a thread and a loop of its own, in which `handle` runs."""

    def __init__(self, handle: Callable[[Request], Awaitable[Response]], host: str = "127.0.0.1", port: int = 0):
        self.host = host
        self.port = port
        """Known once the server has started, if any free one will do (0)."""
        self.loop: asyncio.AbstractEventLoop | None = None
        self._handle = handle
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._error: BaseException | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def start(self) -> None:
        self._thread = threading.Thread(target=self._main, name="nextcloud-sim", daemon=True)
        self._thread.start()
        self._ready.wait(10)
        if self._error:
            raise self._error

    def stop(self) -> None:
        """All connections are reset."""
        if self.loop and self._stop and self._thread and self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run it beside the requests. To be called in the loop."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def soon(self, call: Callable[[], object]) -> None:
        """Have it called in the loop; from any thread. Nothing happens when the server does not run."""
        if self.loop and self.loop.is_running():
            self.loop.call_soon_threadsafe(call)

    def wait_for(self, work: Coroutine[Any, Any, None], seconds: float) -> None:
        """Run it in the loop, from another thread."""
        assert self.loop is not None
        asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:  # the port is taken
            self._error = error
            self._ready.set()

    async def _serve(self) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._client, self.host, self.port, limit=LONGEST_HEAD)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._converse(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass
        except Exception as error:  # noqa: BLE001 - a bug of the double: loud, and never silent for the client
            traceback.print_exc()
            await _confess(writer, error)
        finally:
            self._writers.discard(writer)
            with contextlib.suppress(Exception):
                writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (request := await _read(reader, writer)) is not None:
            response = await self._handle(request)
            if not await _write(request, response, writer):
                break


async def _confess(writer: asyncio.StreamWriter, error: Exception) -> None:
    with contextlib.suppress(Exception):
        writer.write(
            b"HTTP/1.1 500 Internal Server Error\r\nX-Sim-Bug: "
            + repr(error).encode("ascii", "replace")
            + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        await writer.drain()


# ------------------------------------------------------------------ requests


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError as error:
        if error.partial.strip():
            raise
        return None
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = _headers(lines)
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return Request(method, target, headers, await _body(reader, headers))


def _headers(lines: list[str]) -> dict[str, str]:
    headers = {}
    for line in lines:
        name, separator, value = line.partition(":")
        if separator:
            headers[name.strip().lower()] = value.strip()
    return headers


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return await _chunks(reader)
    length = int(headers.get("content-length") or 0)
    return await reader.readexactly(length) if length else b""


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readline()
    while (await reader.readline()).strip():
        pass
    return body


# ------------------------------------------------------------------ responses


async def _write(request: Request, response: Response, writer: asyncio.StreamWriter) -> bool:
    """Whether the connection stays open."""
    if response.before:
        await response.before()
    if response.is_reset:
        return _reset(writer)
    keep = request.header("connection").lower() != "close"
    has_body = response.status not in {204, 304} and request.method != "HEAD"
    writer.write(_head(response, has_body=has_body, keep=keep))
    if has_body:
        await _write_body(response, writer)
    if response.abort:
        return _reset(writer)
    if has_body and not response.stream and len(response.sent) < len(response.body):
        return False  # its length promised more
    if has_body and response.stream:
        writer.write(b"0\r\n\r\n")
    await writer.drain()
    return keep


def _head(response: Response, *, has_body: bool, keep: bool) -> bytes:
    headers = {"Date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()), **response.headers}
    if has_body and response.stream:
        headers["Transfer-Encoding"] = "chunked"
    elif has_body:
        headers["Content-Length"] = str(len(response.body))
    headers["Connection"] = "keep-alive" if keep else "close"
    lines = [f"{name}: {value}\r\n".encode("latin-1", "replace") for name, value in headers.items()]
    first = f"HTTP/1.1 {response.status} {REASONS.get(response.status, 'Status')}\r\n"
    return first.encode() + b"".join(lines) + b"\r\n"


async def _write_body(response: Response, writer: asyncio.StreamWriter) -> None:
    body = response.sent
    for start in range(0, len(body), response.piece):
        piece = body[start : start + response.piece]
        writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if response.stream else piece)
        await writer.drain()
        if response.delay:
            await asyncio.sleep(response.delay)


def _reset(writer: asyncio.StreamWriter) -> bool:
    connection = writer.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False
