"""Tasks of Nextcloud's TaskProcessing.

From nextcloud/server, `OC\\TaskProcessing\\Manager` and `TaskMapper` of 33: a task is taken atomically and never given
to anybody else, results replace each other, and what does not fit the shape fails the task.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.doubles.sim.ocs import OcsError
from tests.doubles.sim.php import PhpError, values
from tests.doubles.sim.shapes import (
    AUDIO,
    LIST_OF_FILES,
    TEXT,
    TEXTS,
    Shape,
    file_ids,
    input_error,
    output_error,
)
from tests.doubles.sim.world import FileModel, TextModel, World

SCHEDULED, RUNNING = "STATUS_SCHEDULED", "STATUS_RUNNING"
SUCCESSFUL, FAILED, CANCELLED = "STATUS_SUCCESSFUL", "STATUS_FAILED", "STATUS_CANCELLED"
TEXT_TASK, OCR_TASK, SPEECH_TASK = "core:text2text", "core:image2text:ocr", "core:audio2text"
MODEL_TASKS = frozenset({TEXT_TASK, OCR_TASK, SPEECH_TASK})
"""Done by the models of this Nextcloud, not by the ExApp."""
BATCHES = CONSUMER = 33
"""Since this Nextcloud: `next_batch`, `/trigger`, tasks scheduled by ExApps, `userFacingErrorMessage`."""
STREAMING = 35
LONGEST_ERROR = 1000
SOURCE_KEYS = {"id", "label", "icon", "url"}
MISFIT = (
    "The task was processed successfully but the provider's output doesn't pass validation against the task type's "
    "outputShape spec and/or the provider's own optionalOutputShape spec"
)


@dataclass(frozen=True)
class TaskType:
    provider: str
    input: Shape
    output: Shape
    defaults: Mapping[str, Any] = field(default_factory=dict)
    runtime: int = 10


@dataclass(frozen=True)
class Wish:
    """What somebody wants to be done."""

    user: str | None
    type: str
    input: Mapping[str, Any]
    app_id: str = "assistant"
    custom_id: str = ""
    prefer_streaming: bool = False
    webhook_uri: str = ""
    webhook_method: str = ""


@dataclass
class Task:
    id: int
    wish: Wish
    input: dict[str, Any]
    created: float
    runtime: int
    status: str = SCHEDULED
    updated: int = 0
    started: int | None = None
    ended: int | None = None
    progress: float | None = None
    output: Any = None
    error: str | None = None
    error_for_user: str | None = None
    streamed: list[Any] = field(default_factory=list)
    """Every output so far that was streamed."""

    @property
    def type(self) -> str:
        return self.wish.type

    @property
    def is_open(self) -> bool:
        return self.status in {SCHEDULED, RUNNING}

    def end(self, status: str, now: int) -> None:
        self.status, self.ended, self.updated = status, now, now

    def as_json(self, nc_major: int) -> dict[str, Any]:
        shown = {
            "id": self.id,
            "type": self.type,
            "lastUpdated": self.updated,
            "status": self.status,
            "userId": self.wish.user,
            "appId": self.wish.app_id,
            "input": self.input or [],
            "output": [] if self.output == {} else self.output,
            "customId": self.wish.custom_id,
            "completionExpectedAt": int(self.created) + self.runtime,
            "progress": self.progress,
            "scheduledAt": int(self.created),
            "startedAt": self.started,
            "endedAt": self.ended,
            "allowCleanup": True,
        }
        if nc_major >= CONSUMER:
            shown |= {"includeWatermark": True, "userFacingErrorMessage": self.error_for_user}
        if nc_major >= STREAMING:
            shown["preferStreaming"] = self.wish.prefer_streaming
        return shown


class Tasks:
    """All of them, and the task types that can be asked for now."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._by_id: dict[int, Task] = {}
        self._last_id = 0
        self.ended: Callable[[Task], None] = _nothing
        """Called whenever a task gets a result, fails or is cancelled."""

    def clear(self) -> None:
        self._by_id.clear()
        self._last_id = 0

    def __iter__(self) -> Iterator[Task]:
        return iter(list(self._by_id.values()))

    def __getitem__(self, task_id: int) -> Task:
        return self._by_id[task_id]

    def get(self, task_id: int) -> Task | None:
        return self._by_id.get(task_id)

    def is_open(self, task_id: int) -> bool:
        """Whether it still waits for its result."""
        with self._world.lock:
            self.settle()
            return self._by_id[task_id].is_open

    def delete(self, task: Task) -> None:
        del self._by_id[task.id]

    def now(self) -> int:
        return int(self._world.now())

    # ------------------------------------------------------------------ types

    def types(self) -> dict[str, TaskType]:
        """The first provider of a type wins."""
        types: dict[str, TaskType] = {}
        if self._world.text2text.mode != "off":
            types[TEXT_TASK] = TaskType("sim-text2text", {"input": TEXT}, {"output": TEXT})
        if self._world.ocr.mode != "off" and self._world.nc_major >= CONSUMER:
            types[OCR_TASK] = TaskType("sim-ocr", {"input": LIST_OF_FILES}, {"output": TEXTS})
        if self._world.audio2text.mode != "off":
            types[SPEECH_TASK] = TaskType("sim-audio2text", {"input": AUDIO}, {"output": TEXT})
        exapp = self._world.exapp
        if self._world.app_api and exapp.installed and exapp.enabled:
            for known in list(self._world.providers.values()):  # also looked at from other threads
                provider, custom = known["provider"], known["customTaskType"]
                if custom is not None and provider["task_type"] not in types:
                    types[provider["task_type"]] = _task_type(provider, custom)
        return types

    # ------------------------------------------------------------------ life of a task

    def schedule(self, wish: Wish) -> Task:
        """Raises OcsError."""
        task_type = self.types().get(wish.type)
        if task_type is None:
            raise OcsError(412, data={"message": "The given provider is not available"})
        _check_input(task_type, wish.input)
        self._check_files(wish.user, file_ids(task_type.input, wish.input))
        kept = {name: wish.input[name] for name in task_type.input if name in wish.input}
        now = self._world.now()
        self._last_id += 1
        task = Task(self._last_id, wish, {**task_type.defaults, **kept}, now, task_type.runtime, updated=int(now))
        self._by_id[task.id] = task
        return task

    def take(self, types: Sequence[str], number: int) -> list[Task]:
        """The oldest first. They are running now."""
        waiting = [task for task in self if task.status == SCHEDULED and task.type in types]
        taken = sorted(waiting, key=lambda task: (task.updated, task.id))[:number]
        for task in taken:
            task.status = RUNNING
            if self._world.nc_major >= STREAMING:
                task.started = self.now()
        return taken

    def report_progress(self, task: Task, progress: float) -> None:
        if task.status == SCHEDULED:
            task.started = self.now()
        if task.status in {SUCCESSFUL, FAILED}:
            self._world.lint("progress of a finished task", str(task.id))
        task.status, task.progress, task.updated = RUNNING, progress, self.now()

    def stream(self, task: Task, output: Any) -> None:
        """Only a running task shows it."""
        if task.status == RUNNING:
            task.streamed.append(output)
            task.output, task.updated = output, self.now()

    def fail(self, task: Task, error: str, error_for_user: str | None) -> None:
        """A good result is overwritten."""
        task.end(FAILED, self.now())
        task.error = error[:LONGEST_ERROR]
        if self._world.nc_major >= CONSUMER:
            task.error_for_user = error_for_user[:LONGEST_ERROR] if error_for_user else None
        self.ended(task)

    def finish(self, task: Task, output: Any) -> None:
        types = self.types()
        if task.type not in types:
            raise PhpError("task type is gone")
        shape = types[task.type].output
        error = output_error(shape, output)
        task.end(FAILED if error else SUCCESSFUL, self.now())
        task.progress = 1
        if error:
            task.error = MISFIT
            self.ended(task)
            self._world.lint("output does not fit the shape", f"{task.id}: {error}")
            return
        task.output = {name: value for name, value in output.items() if name in shape}
        self.ended(task)
        for source in values(task.output.get("sources", [])):
            if not _is_source(source):
                self._world.lint("a source is not a JSON string with id, label, icon, url", str(source)[:80])

    def cancel(self, task: Task) -> None:
        if task.is_open:
            task.end(CANCELLED, self.now())
            self.ended(task)

    def settle(self) -> None:
        """The models of this Nextcloud answer what is due."""
        models: Mapping[str, TextModel | FileModel] = {
            TEXT_TASK: self._world.text2text,
            OCR_TASK: self._world.ocr,
            SPEECH_TASK: self._world.audio2text,
        }
        for task in self:
            model = models.get(task.type)
            if model is None or model.mode in {"off", "hang"} or not task.is_open:
                continue
            if self._world.now() - task.created >= model.delay:
                self._answer(task, None if model.mode == "fail" else self._written(task))

    def _answer(self, task: Task, output: Any) -> None:
        if output is None:
            task.end(FAILED, self.now())
            task.error, task.progress = "The model failed", None
        else:
            task.end(SUCCESSFUL, self.now())
            task.output = {"output": output}
            task.progress = 1
        self.ended(task)

    def _written(self, task: Task) -> Any:
        """None where a file is not there any more."""
        if task.type == TEXT_TASK:
            return self._world.text2text.write(str(task.input["input"]))
        nodes = [self._world.nodes.get(id_) for id_ in file_ids(self.types()[task.type].input, task.input)]
        texts = [node.content.decode() for node in nodes if node is not None]
        if len(texts) < len(nodes):
            return None
        return texts if task.type == OCR_TASK else texts[0]

    def _check_files(self, user: str | None, ids: Sequence[int]) -> None:
        """`Manager::validateFileId` and `validateUserAccessToFile`."""
        if ids and user is None:
            raise OcsError(401, data={"message": "Cannot schedule task with files referenced without user context"})
        for id_ in ids:
            node = self._world.nodes.get(id_)
            if node is None or node.folder:
                raise OcsError(400, data={"message": "Node is not a file"})
            if user not in node.users:
                message = "User does not have access to the files mentioned in the task input"
                raise OcsError(401, data={"message": message})


def _nothing(task: Task) -> None:
    pass


def _task_type(provider: Mapping[str, Any], custom: Any) -> TaskType:
    defaults = provider["input_shape_defaults"]
    return TaskType(
        provider["id"],
        _shape(custom["input_shape"]),
        _shape(custom["output_shape"]),
        dict(defaults) if isinstance(defaults, dict) else {},
        provider["expected_runtime"],
    )


def _shape(fields: Any) -> Shape:
    return {field["name"]: field["shape_type"] for field in values(fields)}


def _check_input(task_type: TaskType, given: Mapping[str, Any]) -> None:
    for name, type_ in task_type.input.items():
        if given.get(name) is None:
            if name in task_type.defaults:
                continue
            raise OcsError(400, data={"message": f'Missing key: "{name}"'})
        if error := input_error(type_, given[name]):
            raise OcsError(400, data={"message": f'Failed to validate input key "{name}": {error}'})


def _is_source(source: Any) -> bool:
    try:
        return set(json.loads(source)) >= SOURCE_KEYS
    except (ValueError, TypeError):
        return False
