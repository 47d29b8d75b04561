"""The simulator over HTTP, for tests in another process: `POST /_ctl/<name>` with the arguments as JSON.

| name | what it does |
|---|---|
| `stats`, `state`, `idle`, `task/<id>`, `streamed/<id>` | show something; GET will do |
| `reset`, `set` | begin anew, perhaps with other settings; change settings |
| `add_files`, `enqueue_files`, `enqueue_items`, `enqueue_actions` | many at once |
| all others | the methods of `Sim` that are marked [ctl] |
"""

import base64
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.doubles.sim.http import Request, Response
from tests.doubles.sim.model import Node, Row
from tests.doubles.sim.ocs import OcsError
from tests.doubles.sim.world import FileModel, TextModel

if TYPE_CHECKING:
    from tests.doubles.sim.sim import Sim

Arguments = dict[str, Any]
Command = Callable[[Arguments], Any]

JSON = {"Content-Type": "application/json"}
METHODS = frozenset(
    {
        "remove_user",
        "add_file",
        "write_file",
        "delete_file",
        "share",
        "enqueue_file",
        "enqueue_item",
        "enqueue_action",
        "fault",
        "clear_faults",
        "travel",
        "schedule",
        "enable",
        "disable",
        "deploy",
    }
)
"""Of `Sim`, called with the arguments as they are."""
KEPT = ("nc_major", "secret", "strict", "exapp_url")
"""What a reset takes back to the values of the start, or to those that it is given."""
SETTINGS = (
    "maintenance",
    "app_api",
    "context_chat",
    "strict",
    "exapp_url",
    "secret",
    "invalid_utf8_status",
)

FILE_MODELS = ("ocr", "audio2text")


class Control:
    def __init__(self, sim: "Sim") -> None:
        self._sim = sim
        self._at_start = {name: getattr(sim, name) for name in KEPT}
        self._enabled_at_start = sim.enabled_at_start
        self._commands: dict[str, Command] = {
            "stats": lambda given: sim.stats(given.get("since", 0.0)),
            "state": self._state,
            "idle": self._idle,
            "reset": self._reset,
            "set": self._set,
            "add_users": lambda given: sim.add_users(*given["users"]),
            "add_files": self._add_files,
            "enqueue_files": self._enqueue_files,
            "enqueue_items": lambda given: [sim.enqueue_item(**_decoded(item)) for item in given["items"]],
            "enqueue_actions": lambda given: [sim.enqueue_action(a["type"], a["payload"]) for a in given["actions"]],
        }

    def answer(self, request: Request) -> Response:
        """Whatever is wrong is the answer."""
        name = request.path.removeprefix("/_ctl").strip("/")
        try:
            given = json.loads(request.body) if request.body.strip() else {}
            found = self._run(name, given)
            return Response(200, json.dumps(found, default=repr).encode(), JSON)
        except OcsError as error:
            return _refusal({"error": "OcsError", "status": error.status, "data": error.data})
        except Exception as error:  # noqa: BLE001
            return _refusal({"error": type(error).__name__, "message": str(error)})

    def _run(self, name: str, given: Arguments) -> Any:
        if name in self._commands:
            return self._commands[name](given)
        if name in METHODS:
            found = getattr(self._sim, name)(**_decoded(given))
            return found.id if isinstance(found, Node) else found
        kind, _, number = name.partition("/")
        if kind == "task":
            return self._sim.task(int(number))
        if kind == "streamed":
            return self._sim.streamed(int(number))
        raise KeyError(f"no control command {name!r}")

    # ------------------------------------------------------------------ looking

    def _state(self, given: Arguments) -> Any:
        sim = self._sim
        with sim.lock:
            return {
                "queues": {queue.name: [_row(row) for row in queue.rows.values()] for queue in sim.queues},
                "counts": {queue.name: queue.counts(sim.now()) for queue in sim.queues},
                "tasks": [sim.task(task.id) for task in sim.tasks],
                "providers": sorted(sim.providers),
                "exapp": sim.exapp.as_json(),
                "idle": sim.idle(),
            }

    def _idle(self, given: Arguments) -> Any:
        rows, tasks = self._sim.pending()
        return {"queued": rows, "tasks": tasks, "idle": sum(rows.values()) + tasks == 0}

    # ------------------------------------------------------------------ changing

    def _reset(self, given: Arguments) -> None:
        with self._sim.lock:
            for name, value in self._at_start.items():
                setattr(self._sim, name, given.get(name, value))
            self._sim.enabled_at_start = bool(given.get("enabled", self._enabled_at_start))
            self._sim.reset()

    def _set(self, given: Arguments) -> None:
        sim = self._sim
        with sim.lock:
            for name in SETTINGS:
                if name in given:
                    setattr(sim, name, given[name])
            if "text2text" in given:
                sim.text2text = TextModel(**given["text2text"])
            for name in FILE_MODELS:
                if name in given:
                    setattr(sim, name, FileModel(**given[name]))
            for name, value in given.get("exapp", {}).items():
                setattr(sim.exapp, name, value)

    def _add_files(self, given: Arguments) -> None:
        for file in given["files"]:
            self._sim.add_file(**_decoded(file))

    def _enqueue_files(self, given: Arguments) -> list[int]:
        update, force = given.get("update", False), given.get("force", False)
        return [self._sim.enqueue_file(file_id, update, force) for file_id in given["ids"]]


def _decoded(given: Arguments) -> Arguments:
    """`content_b64` is the content as bytes."""
    if "content_b64" not in given:
        return given
    others = {name: value for name, value in given.items() if name != "content_b64"}
    return {**others, "content": base64.b64decode(given["content_b64"])}


def _row(row: Row) -> dict[str, Any]:
    shown = {name: value for name, value in row.data.items() if name != "content"}
    return {"id": row.id, "locked_at": row.locked_at, **shown}


def _refusal(reason: Any) -> Response:
    return Response(400, json.dumps(reason).encode(), JSON)
