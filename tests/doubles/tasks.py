"""A strict double of what Nextcloud offers to whoever answers questions: tasks to take, and routes for what is written.

It answers what server 33 to 35 answer; what a shown output does to a task that is over is not known, so none may come.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.doubles.nextcloud import NO_ROUTE

TASKS = "/ocs/v2.php/taskprocessing/tasks_provider"
QUESTION, SEARCH = "context_chat:context_chat", "context_chat:context_chat_search"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Description(_Strict):
    id: str
    label: str
    icon: str
    url: str


def _from_text(text: Any) -> Any:
    return json.loads(text) if isinstance(text, str) else text


class AnswerOutput(_Strict):
    output: str
    sources: list[Annotated[Description, BeforeValidator(_from_text)]]


class StreamBody(_Strict):
    output: AnswerOutput


@dataclass
class Task:
    number: int
    kind: str
    streams: bool
    status: str = "STATUS_SCHEDULED"
    result: dict[str, Any] | None = None
    shown: list[str] = field(default_factory=list)
    """Texts, in the order in which they came."""
    sources: list[list[str]] = field(default_factory=list)
    """The ids that came with them."""
    arriving: int = 0


@dataclass
class FakeTasks:
    """An ASGI app."""

    major: int = 35
    on_stream: Callable[[Request], Awaitable[Response | None]] | None = None
    """Answers in place of the route if it returns something."""
    describes: bool = True
    tasks: dict[int, Task] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    """Last parts of the paths, as the requests came."""
    violations: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._app = Starlette(
            routes=[
                Route(f"{TASKS}/next_batch", self._next),
                Route(f"{TASKS}/{{id:int}}/stream-result", self._stream, methods=["POST"]),
                Route(f"{TASKS}/{{id:int}}/result", self._result, methods=["POST"]),
                Route("/ocs/v2.php/apps/context_chat/enrich_sources", self._describe, methods=["POST"]),
                Route(
                    "/ocs/v1.php/apps/app_api/api/v1/ai_provider/task_processing",
                    lambda _: _ocs([], 100),
                    methods=["POST"],
                ),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests.append(scope["path"].rpartition("/")[2])
        await self._app(scope, receive, send)

    def ask(self, kind: str = QUESTION, *, streams: bool = True) -> Task:
        """A user asks: a task that waits to be taken."""
        number = len(self.tasks) + 1
        self.tasks[number] = Task(number, kind, streams)
        return self.tasks[number]

    async def _next(self, request: Request) -> Response:
        taken = [task for task in self.tasks.values() if task.status == "STATUS_SCHEDULED"]
        for task in taken:
            task.status = "STATUS_RUNNING"
        return _ocs({"tasks": [{"task": self._render(task), "provider": "id"} for task in taken], "has_more": False})

    async def _stream(self, request: Request) -> Response:
        if self.major < 35:
            return NO_ROUTE
        task = self.tasks[request.path_params["id"]]
        try:
            output = StreamBody.model_validate(await request.json()).output
        except ValidationError as error:
            return self._violation(f"a shown output: {error}")
        if task.arriving:
            return self._violation("two outputs at a time")
        if task.status != "STATUS_RUNNING":
            return self._violation(f"an output is shown of a task that is {task.status}")
        task.arriving += 1
        try:
            answer = await self.on_stream(request) if self.on_stream is not None else None
        finally:
            task.arriving -= 1
        if answer is not None:
            return answer
        task.shown.append(output.output)
        task.sources.append([source.id for source in output.sources])
        return _ocs({"task": self._render(task)})

    async def _result(self, request: Request) -> Response:
        task, body = self.tasks[request.path_params["id"]], await request.json()
        if task.result is not None:
            return self._violation("a second result")
        task.result = body
        task.status = "STATUS_FAILED" if body["output"] is None else "STATUS_SUCCESSFUL"
        return _ocs({"task": self._render(task)})

    async def _describe(self, request: Request) -> Response:
        if not self.describes:
            return _ocs([], 500)
        ids = [source["source_id"] for source in (await request.json())["sources"]]
        return _ocs({"sources": [{"id": id_, "label": "a", "icon": "b", "url": "c"} for id_ in ids]})

    def _render(self, task: Task) -> dict[str, Any]:
        rendered = {
            "id": task.number,
            "type": task.kind,
            "status": task.status,
            "userId": "alice",
            "input": {"prompt": "Where is the whale?", "scopeType": "none", "scopeList": []},
        }
        return rendered | ({"preferStreaming": task.streams} if self.major >= 35 else {})

    def _violation(self, text: str) -> Response:
        self.violations.append(text)
        return _ocs([], 400)


def _ocs(data: object, code: int = 200) -> Response:
    status = 200 if code == 100 else code
    return JSONResponse({"ocs": {"meta": {"status": "", "statuscode": code, "message": ""}, "data": data}}, status)
