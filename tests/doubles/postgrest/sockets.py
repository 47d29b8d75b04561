"""HTTP on threads and sockets of our own, because connections have to be dropped and answers cut in the middle."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler
from socket import SHUT_RDWR, socket
from socketserver import ThreadingTCPServer
from threading import Thread
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from tests.doubles.postgrest.faults import Drop, Fault, Stall
from tests.doubles.postgrest.replies import Reply

_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: str
    headers: Message
    body: bytes
    port: int
    """Of the client: tells its connections apart."""


class App(Protocol):
    def fault_of(self, request: Request) -> Fault | None:
        """Called once for each request, when it has arrived."""

    def reply_to(self, request: Request) -> Reply: ...

    def crashed(self, error: BaseException) -> None:
        """The double has a bug."""


@contextmanager
def serving(app: App) -> Iterator[str]:
    """The app on a real socket; yields its URL. All connections are closed at the end."""
    server = _Server(app)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": _POLL_SECONDS})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.hang_up()
        server.server_close()


class _Server(ThreadingTCPServer):
    """Not an `HTTPServer`, which looks its own name up in the DNS."""

    request_queue_size = 128

    def __init__(self, app: App) -> None:
        self.app = app
        self._connections: set[socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self) -> tuple[socket, Any]:
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The handler reports its errors itself; what is left is a client that went away."""

    def hang_up(self) -> None:
        for connection in list(self._connections):
            _cut(connection)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body in one packet
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        pass

    def _exchange(self) -> None:
        try:
            self._answer(self._request())
        except ConnectionError:
            self.close_connection = True
        except Exception as error:
            self.server.app.crashed(error)
            raise

    def _request(self) -> Request:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return Request(self.command, unquote(url.path), url.query, self.headers, body, self.client_address[1])

    def _answer(self, request: Request) -> None:
        fault = self.server.app.fault_of(request)
        if isinstance(fault, Stall) and fault.at == "call":
            fault.wait()
        if fault == Drop("before"):
            self._hang_up()
            return
        reply = fault if isinstance(fault, Reply) else self.server.app.reply_to(request)
        if fault == Drop("after"):
            self._hang_up()
            return
        pause = fault.wait if isinstance(fault, Stall) and fault.at == "body" else None
        self._send(reply, pause)

    def _hang_up(self) -> None:
        self.close_connection = True
        _cut(self.connection)

    def _send(self, reply: Reply, pause: Callable[[], None] | None) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        half = len(reply.body) // 2
        self.wfile.write(reply.body[:half])
        if pause is not None:
            self.wfile.flush()
            pause()
        self.wfile.write(reply.body[half:])
        self.wfile.flush()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _exchange  # noqa: N815


def _cut(connection: socket) -> None:
    with suppress(OSError):
        connection.shutdown(SHUT_RDWR)
