"""AppAPI's routes for the ExApp: its progress and state, its task providers, and the capabilities of the server.

From app_api stable33: `OCSApiController`, `AppConfigController`, `TaskProcessingController` and their services.
"""

from typing import Any

from tests.doubles.sim.exapp import ExAppCalls
from tests.doubles.sim.http import Request
from tests.doubles.sim.ocs import Answer
from tests.doubles.sim.php import Arguments, PhpError, decoded_and_encoded, to_json
from tests.doubles.sim.shapes import provider_error
from tests.doubles.sim.world import World

DONE = 100


class AppApi:
    def __init__(self, world: World, calls: ExAppCalls) -> None:
        self._world = world
        self._calls = calls

    def report_progress(self, request: Request, arguments: Arguments) -> Answer:
        """At 100 AppAPI enables the ExApp, inside of this very request."""
        progress, error = arguments.integer("progress"), arguments.text("error", "")
        if not 0 <= progress <= DONE:
            raise PhpError("Invalid ExApp init status progress value")
        self._world.lifecycle.append(f"init {progress} {error}".strip())
        status = self._world.exapp.status
        if progress != 0 and status.get("init") == DONE:
            return Answer(200)
        self._note_progress(progress, error)
        if progress != DONE:
            return Answer(200)
        status.update(action="", type="")
        return Answer(200, before=self._calls.enable)

    def _note_progress(self, progress: int, error: str) -> None:
        status = self._world.exapp.status
        if error:
            status["error"] = error
            return
        if progress == 0:
            status.update(action="init", init_start_time=int(self._world.now()), error="")
        status["init"] = progress

    def state(self, request: Request, arguments: Arguments) -> Answer:
        return Answer(200, int(self._world.exapp.enabled))

    def log(self, request: Request, arguments: Arguments) -> Answer:
        arguments.integer("level")
        arguments.text("message")
        return Answer(200)

    def register(self, request: Request, arguments: Arguments) -> Answer:
        provider, task_type = arguments.array("provider"), arguments.array_or_none("customTaskType")
        error = provider_error(provider, task_type)
        if error or not isinstance(provider, dict):
            self._world.lint("provider refused", error)
            return Answer(400)
        self._world.providers[provider["id"]] = {"provider": provider, "customTaskType": task_type}
        return Answer(200)

    def unregister(self, request: Request, arguments: Arguments) -> Answer:
        known = self._world.providers.pop(arguments.text("name"), None)
        return Answer(200 if known else 404)

    def provider(self, request: Request, arguments: Arguments) -> Answer:
        known = self._world.providers.get(arguments.text("name"))
        if known is None:
            return Answer(404)
        provider, task_type = known["provider"], known["customTaskType"]
        return Answer(
            200,
            {
                "id": 1,
                "app_id": self._world.app_id,
                "name": provider["id"],
                "display_name": provider["name"],
                "task_type": provider["task_type"],
                "provider": to_json(decoded_and_encoded(provider)).decode(),
                "custom_task_type": to_json(decoded_and_encoded(task_type)).decode(),
            },
        )

    def capabilities(self, request: Request, arguments: Arguments) -> Answer:
        major = self._world.nc_major
        capabilities: dict[str, Any] = {"core": {"pollinterval": 60}}
        if self._world.app_api and request.is_exapp:
            capabilities["app_api"] = {"loglevel": 2, "version": f"{major}.0.0"}
        version = {
            "major": major,
            "minor": 0,
            "micro": 0,
            "string": f"{major}.0.0",
            "edition": "",
            "extendedSupport": False,
        }
        return Answer(200, {"version": version, "capabilities": capabilities})
