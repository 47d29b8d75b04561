"""The simulated Nextcloud itself: a server, and the handles by which a test arranges, breaks and looks."""

import asyncio
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from tests.doubles.sim import ocs
from tests.doubles.sim.appapi import AppApi
from tests.doubles.sim.control import Control
from tests.doubles.sim.exapp import ExAppCall, ExAppCalls
from tests.doubles.sim.faults import Fault, Faults, proxy_page, shortened, slowed
from tests.doubles.sim.files import Files
from tests.doubles.sim.http import Request, Response, Server, reset
from tests.doubles.sim.login import Login
from tests.doubles.sim.model import Queue, Row
from tests.doubles.sim.ocs import Answer
from tests.doubles.sim.queues import Queues
from tests.doubles.sim.router import Router
from tests.doubles.sim.routes import app_api_routes, context_chat_routes, task_routes
from tests.doubles.sim.scopes import Scopes
from tests.doubles.sim.task_routes import ClientRoutes, WorkerRoutes
from tests.doubles.sim.tasks import MODEL_TASKS, RUNNING, Tasks, Wish
from tests.doubles.sim.triggers import Triggers
from tests.doubles.sim.world import World

CONTROL = "/_ctl"
ENABLE_SECONDS = 700


class Sim(World):
    """A Nextcloud on a port, with a thread of its own: `with Sim() as nextcloud: …`.

    Every method that is marked [ctl] is also `POST /_ctl/<name>` with its arguments as JSON; bytes are given as
    `content_b64`.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        nc_major: int = 33,
        app_id: str = "context_chat_backend",
        app_version: str = "5.4.0",
        secret: str = "12345",
        enabled: bool = True,
        exapp_url: str = "",
        strict: bool = False,
        seed: int = 1,
        verbose: bool = False,
        sleep_on_bruteforce: bool = False,
        invalid_utf8_status: int = 200,
    ) -> None:
        super().__init__(nc_major=nc_major, app_id=app_id, app_version=app_version, secret=secret, enabled=enabled)
        self.exapp_url, self.strict = exapp_url.rstrip("/"), strict
        self.sleeps_on_bruteforce, self.invalid_utf8_status = sleep_on_bruteforce, invalid_utf8_status
        self.server = Server(self._answer, host, port)
        self.tasks = Tasks(self)
        self._seed, self._verbose = seed, verbose
        self._faults = Faults(seed)
        self._calls = ExAppCalls(self, self._say)
        self._triggers = Triggers(self, self.tasks, self._calls, self.server)
        self._client_routes = ClientRoutes(self, self.tasks, self._triggers.scheduled)
        self._router = self._new_router()
        self._control = Control(self)

    def _new_router(self) -> Router:
        login = Login(self)
        routes = [
            *context_chat_routes(Queues(self), Files(self), Scopes(self)),
            *task_routes(WorkerRoutes(self, self.tasks), self._client_routes),
            *app_api_routes(AppApi(self, self._calls)),
        ]
        return Router(self, login, routes)

    # ------------------------------------------------------------------ life

    def start(self) -> Self:
        self.server.start()
        return self

    def stop(self) -> None:
        self.server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return self.server.url

    def reset(self) -> None:
        """Everything new: world, queues, tasks, faults, statistics. [ctl]"""
        with self.lock:
            self.clear()
            self.tasks.clear()
            self._client_routes.clear()
            self._faults = Faults(self._seed)

    # ------------------------------------------------------------------ faults and statistics

    def fault(
        self,
        kind: str,
        path: str = "",
        method: str = "",
        times: int | None = 1,
        p: float = 1.0,
        skip: int = 0,
        **args: Any,
    ) -> None:
        """The next requests whose target contains the expression `path` go wrong; see `faults`. [ctl]"""
        with self.lock:
            self._faults.add(kind, path, method, times, p, skip, **args)

    def clear_faults(self) -> None:
        """[ctl]"""
        with self.lock:
            self._faults.clear()

    def stats(self, since: float = 0.0) -> dict[str, Any]:
        """What was asked for, how often, and what is still waited for. [ctl, with GET]"""
        with self.lock:
            now = self.now()
            rows = [(queue, row) for queue in self.queues for row in queue.rows.values()]
            waiting = [round(now - row.added, 1) for _, row in rows if row.locked_at is None]
            return {
                **self.statistics.report(since),
                "queues": {queue.name: queue.counts(now) for queue in self.queues},
                "unacknowledged": [_lease(queue, row, now) for queue, row in rows if row.locked_at is not None],
                "oldest_waiting_s": max(waiting, default=0),
                "tasks": dict(Counter(task.status for task in self.tasks)),
                "tasks_running": [task.id for task in self.tasks if task.status == RUNNING],
                "providers": sorted(self.providers),
                "exapp": self.exapp.as_json(),
                "lifecycle": list(self.lifecycle),
            }

    # ------------------------------------------------------------------ progress

    def pending(self) -> tuple[dict[str, int], int]:
        """Rows by queue, leased ones too, and the open tasks of the ExApp."""
        with self.lock:
            rows = {queue.name: len(queue.rows) for queue in self.queues}
            return rows, sum(task.is_open and task.type not in MODEL_TASKS for task in self.tasks)

    def idle(self) -> bool:
        """Nothing queued, nothing leased, no task of the ExApp scheduled or running."""
        rows, tasks = self.pending()
        return not any(rows.values()) and not tasks

    def wait_idle(self, timeout: float = 60, poll: float = 0.05) -> bool:
        """Whether it became idle."""
        end = time.monotonic() + timeout
        while not self.idle():
            if time.monotonic() > end:
                return False
            time.sleep(poll)
        return True

    # ------------------------------------------------------------------ tasks

    def schedule(
        self,
        user: str | None,
        type: str,  # noqa: A002 - the name in the control API
        input: Mapping[str, Any],  # noqa: A002
        app_id: str = "assistant",
        custom_id: str = "",
        prefer_streaming: bool = False,
    ) -> int:
        """A task as the Assistant schedules it, without rate limit. [ctl] Raises OcsError."""
        with self.lock:
            task = self.tasks.schedule(Wish(user, type, input, app_id, custom_id, prefer_streaming))
        self.server.soon(lambda: self._triggers.scheduled(task))
        return task.id

    def task(self, task_id: int) -> dict[str, Any]:
        """As Nextcloud shows it, with `errorMessage`."""
        with self.lock:
            self.tasks.settle()
            task = self.tasks[task_id]
            return {**task.as_json(self.nc_major), "errorMessage": task.error}

    def streamed(self, task_id: int) -> list[Any]:
        """Each output so far that was streamed while the task was running."""
        with self.lock:
            return list(self.tasks[task_id].streamed)

    def wait_task(self, task_id: int, timeout: float = 60) -> dict[str, Any]:
        """The task when it is done, or as it is after the time."""
        end = time.monotonic() + timeout
        while self.tasks.is_open(task_id) and time.monotonic() < end:
            time.sleep(0.02)
        return self.task(task_id)

    # ------------------------------------------------------------------ the ExApp

    def enable(self) -> None:
        """AppAPI's enable step: heartbeat, PUT /enabled?enabled=1. [ctl]"""
        self.server.wait_for(self._calls.enable(), ENABLE_SECONDS)

    def disable(self, call: bool = True) -> None:
        """[ctl]"""
        self._calls.disable(call=call)

    def deploy(self) -> None:
        """What follows the start of a container: heartbeat, POST /init; the ExApp then reports its progress. [ctl]"""
        if not self._calls.start_init():
            self.enable()

    def call_exapp(self, call: ExAppCall) -> tuple[int, bytes]:
        """Any other request of Nextcloud's, and its answer; status 0 if there was none."""
        return self._calls.send(call)

    # ------------------------------------------------------------------ requests

    async def _answer(self, request: Request) -> Response:
        if request.path.startswith(CONTROL):
            return await asyncio.get_running_loop().run_in_executor(None, self._control.answer, request)
        with self.lock:
            fault = self._faults.pick(request)
        response = await self._with_fault(request, fault) if fault else self._without_fault(request)
        self._note(request, response, fault.kind if fault else "")
        return response

    def _without_fault(self, request: Request) -> Response:
        with self.lock:
            return self._router.answer(request)

    async def _with_fault(self, request: Request, fault: Fault) -> Response:
        if fault.kind == "stall":
            await asyncio.sleep(fault.args.get("delay", 1.0))
        response = _instead(request, fault) or self._without_fault(request)
        match fault.kind:
            case "lost":
                if response.before:
                    await response.before()
                return reset()
            case "truncate" | "cut":
                return shortened(fault, response)
            case "slow":
                return slowed(fault, response)
            case "late":
                await asyncio.sleep(fault.args.get("delay", 1.0))
        return response

    def _note(self, request: Request, response: Response, fault: str) -> None:
        route = re.sub(r"/\d+(?=/|$)", "/{id}", request.path)
        self.statistics.request(route, request.method, response.status, fault)
        status = response.status or "reset"
        self._say(f"{time.strftime('%H:%M:%S')} {request.method:6} {request.target[:110]} -> {status} {fault}")

    def _say(self, line: str) -> None:
        if self._verbose:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()


def _instead(request: Request, fault: Fault) -> Response | None:
    """In place of Nextcloud's answer, which does nothing then."""
    match fault.kind:
        case "reset":
            return reset()
        case "status":
            return ocs.of_entry(request, _error(fault.args))
        case "maintenance":
            return ocs.maintenance(request)
        case "html":
            return proxy_page(fault)
    return None


def _error(args: Mapping[str, Any]) -> Answer:
    headers = {"Retry-After": str(args["retry_after"])} if "retry_after" in args else {}
    return Answer(args.get("status", 500), args.get("data", []), args.get("message", ""), headers)


def _lease(queue: Queue, row: Row, now: float) -> dict[str, Any]:
    what = row.data.get("file_id") or row.data.get("item_id") or row.data.get("type")
    since = now if row.locked_at is None else row.locked_at
    return {"queue": queue.name, "row": row.id, "leased_s": round(now - since, 1), "what": str(what)}
