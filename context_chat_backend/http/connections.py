"""Bounds what a client costs before it is authenticated: the head of a request, silence, the number of connections."""

import asyncio
import json
import logging
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Any, TypeVar

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from ..toolkit.concurrency import first_of

T = TypeVar("T")

MAX_HEAD_BYTES = 64 * 1024
"""Request line and headers. Nextcloud needs 2 KiB: what is long is in bodies."""
HEAD_SECONDS = 30.0
"""For a whole head, from the beginning of the connection or of the head."""
BODY_SECONDS = 600.0
"""Between two pieces of a body. Nextcloud may read from a slow storage, so only silence counts, not speed. As long for
a client that does not read its answer."""
RESET_SECONDS = 1.0
"""Time for the reset to come back."""
LOOK_SECONDS = 1.0
"""Between two looks at whether a client still waits."""

NOBODY_WAITED = 499
"""Status in the metrics of a request whose answer was not sent whole: the client went away, or the server was ended."""

EXTENSION = "context_chat"
STILL_WORKING = b"HTTP/1.1 102 Processing\r\n\r\n"
NO_STORE = "no-store"
"""`Cache-Control` of every answer that does not say otherwise."""
REFUSAL = b"\r\n".join(
    [
        b"HTTP/1.1 %b",
        b"content-type: application/json",
        b"content-length: %d",
        b"cache-control: " + NO_STORE.encode(),
        b"connection: close",
        b"",
        b"%b",
    ]
)

log = logging.getLogger(__name__)


async def client_waits(request: Request) -> bool:
    """Whether anybody will read the answer, as far as can be known before it is sent."""
    if await request.is_disconnected():
        return False
    server = request.scope.get("extensions", {}).get(EXTENSION)
    return server is None or await server["client_waits"]()


async def while_client_waits(request: Request, work: Callable[[], Awaitable[T]]) -> T:
    """What `work` returns. It is cancelled soon after the client has gone away."""

    async def watch() -> None:
        while await client_waits(request):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(LOOK_SECONDS)
        tasks.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            result = await work()
            tasks.cancel_scope.cancel()
            return result
    except BaseExceptionGroup as group:
        raise first_of(group) from None
    raise HTTPException(NOBODY_WAITED, "the client went away")


class Connections:
    """The connections of one server. When there are too many, the one that has been idle longest has to go."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._all: set[GuardedProtocol] = set()
        self._idle: OrderedDict[GuardedProtocol, None] = OrderedDict()

    def add(self, connection: "GuardedProtocol") -> None:
        self._all.add(connection)
        self.note_idle(connection)
        if len(self._all) > self._limit:
            longest, _ = self._idle.popitem(last=False)
            log.warning("more than %d connections: one without a request is closed", self._limit)
            longest.cut()

    def remove(self, connection: "GuardedProtocol") -> None:
        self._all.discard(connection)
        self.note_busy(connection)

    def note_idle(self, connection: "GuardedProtocol") -> None:
        """It has no request under way, from now on."""
        self._idle[connection] = None

    def note_busy(self, connection: "GuardedProtocol") -> None:
        """It has a request under way."""
        self._idle.pop(connection, None)


class _Awaited(Enum):
    HEAD = auto()
    BODY = auto()
    NOTHING = auto()


class GuardedProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, which has no such limits. Also answers a client that has ended its side of the connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        among: Connections,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._among = among
        self._awaited = _Awaited.NOTHING
        self._since = 0.0
        """When the awaited head began, or the last piece of the awaited body came."""
        self._watch: asyncio.TimerHandle | None = None
        self._head_bytes: int | None = 0
        """Received of the awaited head; None in the piece in which it begins, maybe behind something else."""
        self._owed = 0
        """Requests that are not answered."""
        self._ended_at: float | None = None
        self._unread: asyncio.TimerHandle | None = None
        """Runs while the client does not read."""

    # ------------------------------------------------------------------ connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in the base class
        super().connection_made(transport)
        self._await(_Awaited.HEAD)
        self._among.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._await(_Awaited.NOTHING)
        self._stop_unread()
        self._among.remove(self)
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override] # the base class has no answer for the client any more
        """A client that has ended its side may be gone or still be reading: from here the two look alike. So it is sent
        something that a reader ignores; if nobody reads, the other machine resets the connection."""
        can_wait = self._owed > 0 and self._awaited is _Awaited.NOTHING and self.scope["http_version"] != "1.0"
        if can_wait:
            self._ended_at = self.loop.time()
            self.cycle.keep_alive = False
            if not self.cycle.response_started:
                self.transport.write(STILL_WORKING)
        return can_wait

    async def client_waits(self) -> bool:
        """Whether the client may still be reading."""
        if self._ended_at is not None:
            await asyncio.sleep(self._ended_at + RESET_SECONDS - self.loop.time())
        if self.transport.is_closing():
            return False
        connection: socket.socket = self.transport.get_extra_info("socket")
        return connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0

    def cut(self) -> None:
        """End the connection at once."""
        self.transport.abort()

    # ------------------------------------------------------------------ size

    def data_received(self, data: bytes) -> None:
        if self._awaited is _Awaited.BODY:
            self._since = self.loop.time()
        elif self._awaited is _Awaited.NOTHING:
            self._await(_Awaited.HEAD)
        super().data_received(data)
        if self._awaited is _Awaited.HEAD:
            self._head_bytes = 0 if self._head_bytes is None else self._head_bytes + len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refuse_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: {"client_waits": self.client_waits}}
        self._await(_Awaited.HEAD)
        self._head_bytes = None

    def on_headers_complete(self) -> None:
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD_BYTES:
            self._refuse_head()
            raise ValueError("the head is too large")  # stops the parser
        self._owed += 1
        self._among.note_busy(self)
        super().on_headers_complete()
        self._await(_Awaited.BODY)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._await(_Awaited.NOTHING)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._owed -= 1
        if self._owed or self.transport.is_closing():
            return
        self._among.note_idle(self)
        if self._awaited is _Awaited.BODY:
            self._await(_Awaited.BODY)  # the rest is of no use: with less patience

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():  # else it was refused for a better reason
            self._refuse(b"400 Bad Request", msg)

    def _refuse_head(self) -> None:
        reason = f"the request line and the headers are larger than {MAX_HEAD_BYTES} bytes"
        self._refuse(b"431 Request Header Fields Too Large", reason)

    def _refuse(self, status: bytes, reason: str) -> None:
        body = json.dumps({"error": reason}).encode()
        self.transport.write(REFUSAL % (status, len(body), body))
        self.transport.close()

    # ------------------------------------------------------------------ silence

    def _await(self, awaited: _Awaited) -> None:
        if awaited is _Awaited.HEAD and self._awaited is awaited:
            return  # its time is running
        self._awaited = awaited
        self._since = self.loop.time()
        self._head_bytes = 0
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if awaited is not _Awaited.NOTHING:
            self._watch = self.loop.call_later(self._patience, self._look)

    @property
    def _patience(self) -> float:
        return BODY_SECONDS if self._awaited is _Awaited.BODY and self._owed else HEAD_SECONDS

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(BODY_SECONDS, self.cut)

    def resume_writing(self) -> None:
        self._stop_unread()
        super().resume_writing()

    def _stop_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _look(self) -> None:
        """Cut a silent connection, but never one that is waiting for us."""
        if self._owed and (self._awaited is _Awaited.HEAD or self.flow.read_paused):
            self._since = self.loop.time()
        left = self._since + self._patience - self.loop.time()
        if left > 0:
            self._watch = self.loop.call_later(left, self._look)
        else:
            self.cut()
