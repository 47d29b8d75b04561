"""An HTTP proxy on loopback that stands between a driver and its backend, and makes trouble when it is told to."""

import socket
import struct
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Self

import anyio
import httpx
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

HOST = "127.0.0.1"
MOST_HEAD = 2**20
RESET_AT_CLOSE = struct.pack("ii", 1, 0)
"""https://man7.org/linux/man-pages/man7/socket.7.html, SO_LINGER"""
PER_CONNECTION = frozenset({b"connection", b"keep-alive", b"host", b"content-length", b"transfer-encoding"})
"""https://www.rfc-editor.org/rfc/rfc9110#field.connection; lengths are those of what is really sent."""
DRIBBLE_SECONDS = 0.1
BROKEN_OFF = (
    anyio.EndOfStream,
    anyio.IncompleteRead,
    anyio.DelimiterNotFound,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer in place of the backend's."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """The connection breaks, before the request reaches the backend or after."""

    answer_lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Endless:
    """The answer begins and never ends."""


Trouble = Reply | Reset | Endless


@dataclass(frozen=True, slots=True)
class Request:
    """As it came; `headers` in lower case."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class FaultProxy:
    """An async context manager. Hands everything on until it is told to make trouble."""

    def __init__(self, target: httpx.URL) -> None:
        self.requests = 0
        """That came so far."""
        self.troubled = 0
        """Those of them that were not simply handed on."""
        self.hanging = anyio.Event()
        """Set once a request of the present trouble is held up by `Endless`."""
        self._target = target.copy_with(userinfo=b"")  # whoever asks sends its credentials
        self._address = target
        self._trouble: Trouble | None = None
        self._let_pass = 0
        self._larger_than = -1
        self._recovered = anyio.Event()
        self._stack = AsyncExitStack()
        self._client: httpx.AsyncClient

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            no_limit = httpx.AsyncClient(timeout=None)  # noqa: S113 - how long to wait is for the driver to say
            self._client = await stack.enter_async_context(no_limit)
            listener = await stack.enter_async_context(await anyio.create_tcp_listener(local_host=HOST))
            self._address = self._address.copy_with(
                scheme="http",
                host=HOST,
                port=listener.extra(SocketAttribute.local_port),  # noqa: S610 - not Django's
            )
            tasks = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(tasks.cancel_scope.cancel)
            tasks.start_soon(listener.serve, self._serve)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        """The base URL to give to a driver: that of the backend with another host and port."""
        return str(self._address)

    def make_trouble(self, trouble: Trouble, *, let_pass: int = 0, larger_than: int = -1) -> None:
        """From now on, after the next `let_pass` requests, with those whose body is larger than so many bytes."""
        self.recover()
        self._trouble, self._let_pass, self._larger_than = trouble, let_pass, larger_than

    def recover(self) -> None:
        """Hand everything on again. Connections that hang break."""
        self._trouble = None
        self.troubled = 0
        self._recovered.set()
        self._recovered, self.hanging = anyio.Event(), anyio.Event()

    # ------------------------------------------------------------------ one connection

    async def _serve(self, stream: SocketStream) -> None:
        async with stream:
            reader = BufferedByteReceiveStream(stream)
            with suppress(*BROKEN_OFF):
                while await self._answer(await _read_request(reader), stream):
                    pass

    async def _answer(self, request: Request, stream: SocketStream) -> bool:
        """Whether the connection stays."""
        self.requests += 1
        match self._trouble_for(request):
            case None:
                await stream.send(await self._handed_on(request))
                return True
            case Reply() as reply:
                await stream.send(_rendered(reply))
                return True
            case Reset(answer_lost=lost):
                if lost:
                    await self._handed_on(request)
                raw: socket.socket = stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - not Django's
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
            case Endless():
                await self._dribble(stream)
        return False

    def _trouble_for(self, request: Request) -> Trouble | None:
        if self._trouble is None or len(request.body) <= self._larger_than:
            return None
        if self._let_pass > 0:
            self._let_pass -= 1
            return None
        self.troubled += 1
        return self._trouble

    async def _dribble(self, stream: SocketStream) -> None:
        recovered = self._recovered
        self.hanging.set()
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not recovered.is_set():
            await stream.send(b"1\r\n \r\n")
            with anyio.move_on_after(DRIBBLE_SECONDS):
                await recovered.wait()

    async def _handed_on(self, request: Request) -> bytes:
        """The backend's answer as it goes over the wire."""
        onward = httpx.Request(
            request.method.decode("latin-1"),
            self._target.copy_with(raw_path=request.target),
            headers=[header for header in request.headers if header[0] not in PER_CONNECTION],
            content=request.body,
        )
        try:
            response = await self._client.send(onward, stream=True)
            body = b"".join([part async for part in response.aiter_raw()])
        except httpx.HTTPError as error:
            return _rendered(Reply(status=502, body=f"the kit's proxy: {type(error).__name__}".encode()))
        return _head(response.status_code, response.headers.raw, len(body)) + body


async def _read_request(reader: BufferedByteReceiveStream) -> Request:
    head = await reader.receive_until(b"\r\n\r\n", MOST_HEAD)
    request_line, *lines = head.split(b"\r\n")
    method, target, _ = request_line.split(b" ")
    parted = (line.partition(b":") for line in lines)
    headers = tuple((name.lower(), value.strip()) for name, _, value in parted)
    return Request(method, target, headers, await _read_body(reader, dict(headers)))


async def _read_body(reader: BufferedByteReceiveStream, headers: Mapping[bytes, bytes]) -> bytes:
    if b"transfer-encoding" not in headers:
        return await reader.receive_exactly(int(headers.get(b"content-length", b"0")))
    body = bytearray()
    while size := int((await reader.receive_until(b"\r\n", MOST_HEAD)).partition(b";")[0], 16):
        body += await reader.receive_exactly(size)
        await reader.receive_exactly(2)
    while await reader.receive_until(b"\r\n", MOST_HEAD):
        pass  # trailers
    return bytes(body)


def _rendered(reply: Reply) -> bytes:
    headers = [(b"content-type", reply.content_type), *reply.headers]
    return _head(reply.status, headers, len(reply.body)) + reply.body


def _head(status: int, headers: Iterable[tuple[bytes, bytes]], length: int) -> bytes:
    lines = [b"HTTP/1.1 %d %s" % (status, httpx.codes.get_reason_phrase(status).encode())]
    lines += [name + b": " + value for name, value in headers if name.lower() not in PER_CONNECTION]
    if status not in {httpx.codes.NO_CONTENT, httpx.codes.NOT_MODIFIED}:
        lines.append(b"content-length: %d" % length)
    return b"\r\n".join([*lines, b"", b""])
