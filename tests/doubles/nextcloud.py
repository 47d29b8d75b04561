"""A strict double of a Nextcloud with AppAPI: the OCS routes that the gateway calls, and AppAPI's calls to the gateway.

It answers what server 30 to 33 and AppAPI answer, 32 unless told otherwise. Anything that it does not model is refused
and noted in `violations`, which has to be empty at the end of a test.
"""

import base64
import json
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import Annotated, Any, Literal

import httpx
import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tests import gateway

MAINTENANCE = HTMLResponse("<html><body>This server is in maintenance mode.</body></html>", 503)
EXAPP_REQUIRED = JSONResponse({"message": "ExApp required"}, 412)
MOST_FAILED_LOGINS = 10
"""Within half an hour; AppAPI's own routes count each one twice. A right one clears the count."""
NO_ROUTE = JSONResponse({"ocs": {"meta": {"status": "failure", "statuscode": 998, "message": ""}, "data": []}}, 404)
RATE_LIMITED = Response(b"", 429)
"""The limits on requests per user, unlike those of a task, do not come in an envelope."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class StatusBody(_Strict):
    progress: Annotated[int, Field(ge=0, le=100)]
    error: str


class TextInput(_Strict):
    input: str


class ScheduleBody(_Strict):
    type: Literal["core:text2text"]
    app_id: Literal["context_chat_backend"] = Field(alias="appId")
    input: TextInput


class AppScheduleBody(ScheduleBody):
    """What does not begin so, Nextcloud accepts and never calls."""

    webhook_uri: str = Field(alias="webhookUri", pattern=r"^/", max_length=4000)
    webhook_method: Literal["AppAPI:context_chat_backend:POST"] = Field(alias="webhookMethod")


@dataclass
class TextTask:
    user_id: str
    prompt: str
    webhook: str = ""
    done: bool = False
    """Before its statuses say so."""
    polls: int = 0
    cancelled: bool = False


class Refusal(Exception):
    """A status that the OCS envelope carries."""

    def __init__(self, status: int, code: int | None = None) -> None:
        """`code` is the one in the envelope, where it is another one."""
        self.status = status
        self.code = code


@dataclass
class FakeNextcloud:
    """An ASGI app. `script` answers the next requests in its stead."""

    secret: str = gateway.SECRET
    users: frozenset[str] = frozenset({"alice", "jörg"})
    major: int = 32
    """Version of the server."""
    enabled: bool = True
    """The ExApp, in AppAPI's database."""
    pulls: bool = False
    """Whether its Context Chat has queues; nothing is in them."""
    has_setup_checks: bool = False
    """Whether it is Nextcloud 35."""
    has_text_provider: bool = True
    statuses: Sequence[str] = ("STATUS_SCHEDULED", "STATUS_RUNNING", "STATUS_SUCCESSFUL")
    """What one poll after the other says of a task; the last one forever."""
    reply: Callable[[str], Any] = "Answer to: {}".format
    gateway_url: str = ""
    script: deque[Response] = field(default_factory=deque)
    requests: list[str] = field(default_factory=list)
    """Method and path of each."""
    reports: list[tuple[int, str]] = field(default_factory=list)
    """Progress and error of each report of the initialisation."""
    init: int | None = None
    error: str = ""
    """What the admin sees of the initialisation."""
    tasks: dict[int, TextTask] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    failed_logins: int = 0
    offered_setup_checks: int = 0
    """How often the gateway asked to be asked for them."""

    def __post_init__(self) -> None:
        self._app = Starlette(
            routes=[
                self._route("PUT", "apps/app_api/ex-app/status", self._status),
                self._route("GET", "apps/app_api/ex-app/state", self._state),
                self._route("POST", "apps/app_api/api/v1/setup_check", self._setup_check),
                self._route("POST", "taskprocessing/schedule", self._schedule),
                self._route("GET", "taskprocessing/task/{id:int}", self._task),
                self._route("POST", "taskprocessing/tasks/{id:int}/cancel", self._cancel),
                self._route("POST", "taskprocessing/tasks_consumer/schedule", self._schedule_by_app, since=33),
                self._route("GET", "taskprocessing/tasks_consumer/task/{id:int}", self._task, since=33),
                self._route("POST", "taskprocessing/tasks_consumer/tasks/{id:int}/cancel", self._cancel, since=33),
                Route("/ocs/v2.php/apps/context_chat/queues/actions/", self._actions),
            ],
            exception_handlers={HTTPException: self._unknown},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests.append(f"{scope['method']} {scope['path']}")
        if self.script:
            await self.script.popleft()(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    # ------------------------------------------------------------------ AppAPI calls the gateway

    async def deploy(self) -> None:
        """What AppAPI does with a new container. The app counts as enabled from here on."""
        async with self._client() as client:
            await self._heartbeat(client)
            self.init, self.error, self.enabled = 0, "", True
            (await client.post("/init", headers=gateway.headers(self.secret))).raise_for_status()

    async def enable(self) -> None:
        self.enabled = True
        async with self._client() as client:
            await self._heartbeat(client)
            answer = (await client.put("/enabled?enabled=1", headers=gateway.headers(self.secret))).json()
        if answer.get("error"):
            self.enabled = False

    async def call_webhook(self, number: int) -> httpx.Response:
        """A task is done, whatever its statuses say, and whoever scheduled it is told."""
        task = self.tasks[number]
        task.done = True
        async with self._client() as client:
            body = {"task": self._render(number, "STATUS_SUCCESSFUL")}
            return await client.post(task.webhook, headers=gateway.headers(self.secret, task.user_id), json=body)

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.gateway_url)

    async def _heartbeat(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/heartbeat")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})

    # ------------------------------------------------------------------ OCS

    def _route(self, method: str, path: str, handler: Callable[[Request, str], Any], *, since: int = 0) -> Route:
        """One that not all versions have is for apps only."""

        async def endpoint(request: Request) -> Response:
            if self.major < since:
                return NO_ROUTE
            if since and self._unauthorized(request) is not None:
                return EXAPP_REQUIRED
            if (refused := self._violation(request) or self._unauthorized(request)) is not None:
                return refused
            user_id, _, _ = _credentials(request).partition(":")
            try:
                return _envelope(request, 200, await handler(request, user_id))
            except Refusal as refusal:
                return _envelope(request, refusal.status, {"message": ""}, refusal.code)
            except ValidationError as error:
                return self._refuse(400, f"{request.method} {request.url.path}: {error}")

        return Route(f"/ocs/v{{version}}.php/{path}", endpoint, methods=[method])

    def _violation(self, request: Request) -> Response | None:
        wanted = {
            "ocs-apirequest": "true",
            "accept": "application/json",
            "ex-app-id": "context_chat_backend",
        }
        for name, value in wanted.items():
            if request.headers.get(name) != value:
                return self._refuse(412, f"{name} is {request.headers.get(name)!r}")
        if not request.headers.get("ex-app-version") or not request.headers.get("aa-version"):
            return self._refuse(401, "a version header is missing")
        if list(request.query_params.multi_items()) != [("format", "json")]:
            return self._refuse(400, f"unexpected query {request.url.query!r}")
        return None

    def _unauthorized(self, request: Request) -> Response | None:
        if self.failed_logins > MOST_FAILED_LOGINS:
            return Response(b"", 429)
        user_id, _, secret = _credentials(request).partition(":")
        checks = 2 if "/apps/app_api/" in request.url.path else 1
        self.failed_logins = 0 if secret == self.secret else self.failed_logins + checks
        may_call = self.enabled or request.url.path.endswith("/ex-app/state")
        if secret == self.secret and may_call and user_id in {"", *self.users}:
            return None
        return JSONResponse({"message": "AppAPI authentication failed"}, 401)

    async def _status(self, request: Request, user_id: str) -> object:
        body = StatusBody.model_validate(await _json(request))
        self._require(user_id == "", "the state of the app is nobody's")
        self.reports.append((body.progress, body.error))
        if body.progress != 0 and self.init == 100:
            return []
        if body.error:
            self.error = body.error
        else:
            self.error = "" if body.progress == 0 else self.error
            self.init = body.progress
        if body.progress == 100 and self.gateway_url:
            await self.enable()
        return []

    async def _state(self, request: Request, user_id: str) -> object:
        return int(self.enabled)

    async def _setup_check(self, request: Request, user_id: str) -> object:
        """AppAPI knows the app by its headers; there is nothing to say."""
        self._require(await request.body() == b"", "the registration of setup checks has no body")
        if not self.has_setup_checks:
            raise Refusal(404, 998)
        self.offered_setup_checks += 1
        return []

    async def _schedule(self, request: Request, user_id: str) -> object:
        return self._scheduled(ScheduleBody.model_validate(await _json(request)), user_id)

    async def _schedule_by_app(self, request: Request, user_id: str) -> object:
        body = AppScheduleBody.model_validate(await _json(request))
        return self._scheduled(body, user_id, body.webhook_uri)

    def _scheduled(self, body: ScheduleBody, user_id: str, webhook: str = "") -> object:
        self._require(user_id != "", "a task is scheduled by nobody")
        if not self.has_text_provider:
            raise Refusal(412)
        if len(body.input.input.encode()) > 512_000:
            raise Refusal(400)
        id_ = len(self.tasks) + 1
        self.tasks[id_] = TextTask(user_id, body.input.input, webhook)
        return {"task": self._render(id_, "STATUS_SCHEDULED")}

    async def _task(self, request: Request, user_id: str) -> object:
        task = self._of_user(request, user_id)
        task.polls += 1
        status = "STATUS_SUCCESSFUL" if task.done else self.statuses[min(task.polls, len(self.statuses)) - 1]
        return {"task": self._render(request.path_params["id"], status)}

    async def _cancel(self, request: Request, user_id: str) -> object:
        task = self._of_user(request, user_id)
        task.cancelled = True
        return {"task": self._render(request.path_params["id"], "STATUS_CANCELLED")}

    async def _actions(self, request: Request) -> Response:
        if dict(request.query_params) != {"format": "json", "n": "0"}:
            return self._refuse(400, f"this would lease actions: {request.url.query!r}")
        if self._unauthorized(request) is not None:
            return JSONResponse({"message": "ExApp required"}, 412)
        if not self.pulls:
            return NO_ROUTE
        meta = {"status": "ok", "statuscode": 200, "message": "OK"}
        return JSONResponse({"ocs": {"meta": meta, "data": {"actions": {}}}})

    def _of_user(self, request: Request, user_id: str) -> TextTask:
        task = self.tasks.get(request.path_params["id"])
        if task is None or task.user_id != user_id:
            raise Refusal(404)
        return task

    def _render(self, id_: int, status: str) -> dict[str, Any]:
        task = self.tasks[id_]
        return {
            "id": id_,
            "type": "core:text2text",
            "lastUpdated": 1_700_000_000,
            "status": status,
            "userId": task.user_id,
            "appId": "context_chat_backend",
            "input": {"input": task.prompt},
            "output": {"output": self.reply(task.prompt)} if status == "STATUS_SUCCESSFUL" else None,
            "customId": "",
            "completionExpectedAt": None,
            "progress": None,
        }

    def _require(self, condition: bool, rule: str) -> None:
        if not condition:
            self.violations.append(rule)
            raise Refusal(400)

    def _refuse(self, status: int, violation: str) -> Response:
        self.violations.append(violation)
        return JSONResponse({"message": violation}, status)

    def _unknown(self, request: Request, exc: Exception) -> Response:
        return self._refuse(404, f"no route {request.method} {request.url.path}")


def _envelope(request: Request, status: int, data: object, code: int | None = None) -> Response:
    """v1 hides every status but 401 in the envelope and says 100 for success."""
    is_v1 = request.path_params["version"] == "1"
    code = code or ({200: 100, 401: 997}.get(status, status) if is_v1 else status)
    meta = {"status": "ok" if status == 200 else "failure", "statuscode": code, "message": ""}
    body = {"ocs": {"meta": meta, "data": data}}
    return JSONResponse(body, 200 if is_v1 and status != 401 else status)


def _credentials(request: Request) -> str:
    return base64.b64decode(request.headers.get("authorization-app-api", ""), validate=True).decode()


async def _json(request: Request) -> object:
    return json.loads(await request.body())


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """A double on a real socket; yields its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", lifespan="off"))
    thread = Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        listener.close()
