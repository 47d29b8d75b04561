"""ASGI middleware of the front end."""

import logging
import re
import time
import uuid
from collections.abc import Set

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..logs import request_id
from ..metrics import Metrics
from .connections import NO_STORE, NOBODY_WAITED
from .errors import error

log = logging.getLogger(__name__)

HEADER = "X-Request-Id"
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestId:
    """Gives each request an id, the caller's if it sent a harmless one; it is in every log line and in the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        sent = Headers(scope=scope).get(HEADER, "")
        id_ = sent if _PLAIN.fullmatch(sent) else uuid.uuid4().hex
        token = request_id.set(id_)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = id_
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            request_id.reset(token)


class NoStore:
    """Forbids to keep any answer that does not say how long it may be kept: AppAPI's proxy would do so for an hour.

    Goes around the whole application, so that no answer is made outside of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("Cache-Control", NO_STORE)
            await send(message)

        await self._app(scope, receive, send_marked)


class ErrorBoundary:
    """Answers a bug with 500 and logs it with the id of its request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        begun = False

        async def note_begin(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, note_begin)
        except ClientDisconnect:
            log.info("the client went away")
        except Exception as bug:  # whatever it is, the next request must be served
            log.exception("unexpected error")  # its stack is written once in a while, its kind for each request
            log.error("request %s met an unexpected error: %s", request_id.get(), type(bug).__name__)  # noqa: TRY400
            if begun:
                raise  # the server closes the connection, so that the client sees that the answer is not whole
            response = error(500, f"internal error; the log of the gateway says why, request {request_id.get()}")
            await response(scope, receive, send)


class BodyLimit:
    """Answers 413 to a body that is too large, before it is read as a whole."""

    def __init__(self, app: ASGIApp, limit: int, exempt: Set[str]) -> None:
        """`exempt` are the paths of routes that do not keep a body in memory."""
        self._app = app
        self._limit = limit
        self._exempt = exempt
        self._text = f"the body is larger than {limit} bytes"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._exempt:
            return await self._app(scope, receive, send)
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdecimal() and int(announced) > self._limit:
            return await error(413, self._text)(scope, receive, send)
        left = self._limit

        async def receive_some() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, self._text)
            return message

        return await self._app(scope, receive_some, send)


class RequestMetrics:
    """Duration and status of each request, labelled with the route's template."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._requests = metrics.requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        start, sent, status = time.perf_counter(), 500, NOBODY_WAITED

        async def note_status(message: Message) -> None:
            nonlocal sent, status
            await send(message)
            if message["type"] == "http.response.start":
                sent = message["status"]
            elif not message.get("more_body", False):
                status = sent

        try:
            await self._app(scope, receive, note_status)
        except Exception:  # in the middle of an answer
            status = 500
            raise
        finally:
            route = scope.get("route")
            path = route.path if route is not None else "none"
            self._requests.labels(path, scope["method"], str(status)).observe(time.perf_counter() - start)


class StripPrefix:
    """Accepts paths below `/exapps/<app id>` too, as HaRP gets them. HaRP strips that; other proxies may not."""

    def __init__(self, app: ASGIApp, app_id: str) -> None:
        self._app = app
        self._prefix = f"/exapps/{app_id}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(self._prefix + "/"):
            scope = dict(scope, path=scope["path"].removeprefix(self._prefix))
        await self._app(scope, receive, send)
