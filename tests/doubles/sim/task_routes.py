"""TaskProcessing over HTTP, for the one who works on tasks and for those who schedule them.

From nextcloud/server 33, `TaskProcessingApiController`; `next_batch` and `tasks_consumer` came with 33, `stream-result`
with 35.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from tests.doubles.sim.http import Request, Response
from tests.doubles.sim.ocs import Answer, OcsError
from tests.doubles.sim.php import Arguments, PhpError, values
from tests.doubles.sim.shapes import described
from tests.doubles.sim.tasks import BATCHES, CANCELLED, SCHEDULED, SUCCESSFUL, Task, Tasks, Wish
from tests.doubles.sim.world import World

RATE_SECONDS, RATE = 120, 20
"""So many tasks may a user schedule within that time; an ExApp any number."""


class WorkerRoutes:
    """Of the ExApp that provides task types."""

    def __init__(self, world: World, tasks: Tasks) -> None:
        self._world = world
        self._tasks = tasks

    def next(self, request: Request, arguments: Arguments) -> Answer:
        taken = self._tasks.take(self._claimed(arguments), 1)
        if not taken:
            return Answer(204, None)
        provider = {"name": self._tasks.types()[taken[0].type].provider}
        return Answer(200, {"task": self._shown(taken[0]), "provider": provider})

    def next_batch(self, request: Request, arguments: Arguments) -> Answer:
        types = self._claimed(arguments)
        taken = self._tasks.take(types, max(arguments.integer("numberOfTasks", 1), 0))
        has_more = any(task.status == SCHEDULED and task.type in types for task in self._tasks)
        known = self._tasks.types()
        shown = [{"task": self._shown(task), "provider": known[task.type].provider} for task in taken]
        return Answer(200, {"tasks": shown, "has_more": has_more})

    def progress(self, request: Request, arguments: Arguments) -> Answer:
        task, progress = self._found(arguments), arguments.number("progress")
        if task.status != CANCELLED:
            if not 0 <= progress <= 1:
                return Answer(500, {"message": "Internal error"})
            self._tasks.report_progress(task, progress)
        return Answer(200, {"task": self._shown(task)})

    def result(self, request: Request, arguments: Arguments) -> Answer:
        task = self._found(arguments)
        output, error = arguments.array_or_none("output"), arguments.text_or_none("errorMessage")
        error_for_user = arguments.text_or_none("userFacingErrorMessage")
        if task.status == CANCELLED:
            return Answer(200, {"task": self._shown(task)})
        self._check_result(task, error)
        self._world.statistics.results[task.id] += 1
        if error is not None:
            self._tasks.fail(task, error, error_for_user)
        elif output is not None:
            self._tasks.finish(task, output)
        else:
            self._world.lint("result with neither output nor error", str(task.id))
            raise PhpError("TaskFailedEvent needs a message")
        return Answer(200, {"task": self._shown(task)})

    def stream(self, request: Request, arguments: Arguments) -> Answer:
        """The output so far."""
        task, output = self._found(arguments), arguments.array("output")
        self._tasks.stream(task, output)
        return Answer(200, {"task": self._shown(task)})

    def _check_result(self, task: Task, error: str | None) -> None:
        if task.status == SCHEDULED:
            self._world.lint("result for a task that was not taken", str(task.id))
        if task.status == SUCCESSFUL and error is not None:
            self._world.lint("a good result was overwritten by an error", str(task.id))

    def _claimed(self, arguments: Arguments) -> list[str]:
        """Types without a provider are an error up to 32, later they are ignored."""
        providers, given = values(arguments.array("providerIds")), values(arguments.array("taskTypeIds"))
        types = self._tasks.types()
        wanted = [type_ for type_ in given if isinstance(type_, str)]
        if self._world.nc_major < BATCHES and not types.keys() >= set(wanted):
            raise OcsError(500, data={"message": "Internal error"})
        return [type_ for type_ in wanted if type_ in types and types[type_].provider in providers]

    def _found(self, arguments: Arguments) -> Task:
        task = self._tasks.get(arguments.integer("taskId"))
        if task is None:
            raise OcsError(404, data={"message": "Not found"})
        return task

    def _shown(self, task: Task) -> dict[str, Any]:
        return task.as_json(self._world.nc_major)


class ClientRoutes:
    """Of users, and of ExApps with or without one (`tasks_consumer`)."""

    def __init__(self, world: World, tasks: Tasks, scheduled: Callable[[Task], None]) -> None:
        self._world = world
        self._tasks = tasks
        self._scheduled = scheduled
        self._recent: dict[str, list[float]] = defaultdict(list)

    def clear(self) -> None:
        self._recent.clear()

    def types(self, request: Request, arguments: Arguments) -> Answer:
        nothing: dict[str, Any] = {}
        shown = {
            name: {
                "name": name,
                "description": name,
                "inputShape": described(task_type.input),
                "inputShapeEnumValues": nothing,
                "inputShapeDefaults": task_type.defaults,
                "optionalInputShape": [],
                "optionalInputShapeEnumValues": nothing,
                "optionalInputShapeDefaults": nothing,
                "outputShape": described(task_type.output),
                "outputShapeEnumValues": nothing,
                "optionalOutputShape": [],
                "optionalOutputShapeEnumValues": nothing,
            }
            for name, task_type in self._tasks.types().items()
        }
        return Answer(200, {"types": shown})

    def schedule_as_user(self, request: Request, arguments: Arguments) -> Answer | Response:
        """The limit on requests answers without envelope."""
        now = self._world.now()
        user = request.user or ""
        recent = self._recent[user] = [at for at in self._recent[user] if at > now - RATE_SECONDS]
        if len(recent) >= RATE:
            return Response(429, b"", {"Content-Type": "text/html; charset=UTF-8"})
        recent.append(now)
        return self.schedule(request, arguments)

    def schedule(self, request: Request, arguments: Arguments) -> Answer:
        """Without limit."""
        given, type_, app_id = arguments.array("input"), arguments.text("type"), arguments.text("appId")
        wish = Wish(
            request.user,
            type_,
            given if isinstance(given, dict) else {},
            app_id,
            custom_id=arguments.text("customId", ""),
            prefer_streaming=arguments.flag("preferStreaming"),
            webhook_uri=arguments.text_or_none("webhookUri") or "",
            webhook_method=arguments.text_or_none("webhookMethod") or "",
        )
        task = self._tasks.schedule(wish)

        async def tell() -> None:
            self._scheduled(task)

        return Answer(200, {"task": self._shown(task)}, before=tell)

    def task(self, request: Request, arguments: Arguments) -> Answer:
        task = self._own(request, arguments.integer("id"))
        if task is None:
            return Answer(404, {"message": "Task not found"})
        return Answer(200, {"task": self._shown(task)})

    def delete(self, request: Request, arguments: Arguments) -> Answer:
        task = self._own(request, arguments.integer("id"))
        if task is not None:
            self._tasks.delete(task)
        return Answer(200, None)

    def cancel(self, request: Request, arguments: Arguments) -> Answer:
        task = self._own(request, arguments.integer("taskId"))
        if task is None:
            return Answer(404, {"message": "Not found"})
        self._tasks.cancel(task)
        return Answer(200, {"task": self._shown(task)})

    def _own(self, request: Request, task_id: int) -> Task | None:
        """Tasks of the same user; none is a user too."""
        self._tasks.settle()
        task = self._tasks.get(task_id)
        return task if task is not None and task.wish.user == request.user else None

    def _shown(self, task: Task) -> dict[str, Any]:
        return task.as_json(self._world.nc_major)
