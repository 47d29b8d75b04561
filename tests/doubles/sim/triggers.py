"""Calls that Nextcloud makes because of a task: `/trigger` when one waits, a webhook when one is done.

From nextcloud/server 33, TaskProcessing's `Manager`: a task triggers only if none of its type is running; a webhook
`AppAPI:<app>:<method>` is called with the task whatever became of it, unless the ExApp is disabled.
"""

import asyncio
import urllib.parse

from tests.doubles.sim.exapp import TRIGGER_SECONDS, WEBHOOK_SECONDS, ExAppCall, ExAppCalls
from tests.doubles.sim.http import Server
from tests.doubles.sim.tasks import CONSUMER, MODEL_TASKS, RUNNING, Task, Tasks
from tests.doubles.sim.world import World

POLL_SECONDS = 0.02


class Triggers:
    def __init__(self, world: World, tasks: Tasks, calls: ExAppCalls, server: Server) -> None:
        self._world = world
        self._tasks = tasks
        self._calls = calls
        self._server = server
        tasks.ended = self._ended

    def scheduled(self, task: Task) -> None:
        """To be called in the loop."""
        if self._world.nc_major < CONSUMER or not self._world.exapp_url:
            return
        with self._world.lock:
            task_type = self._tasks.types().get(task.type)
            is_busy = any(each.type == task.type and each.status == RUNNING for each in self._tasks)
        if task_type and task_type.provider in self._world.providers and not is_busy:
            query = urllib.parse.urlencode({"providerId": task_type.provider})
            self._server.spawn(self._calls.send_soon(ExAppCall("POST", f"/trigger?{query}", TRIGGER_SECONDS)))
        if task.wish.webhook_uri and task.type in MODEL_TASKS:
            self._server.spawn(self._settle(task))

    async def _settle(self, task: Task) -> None:
        """Elsewhere a model is done when somebody asks for it; here nobody asks."""
        while task.is_open and self._tasks.get(task.id) is task:
            with self._world.lock:
                self._tasks.settle()
            await asyncio.sleep(POLL_SECONDS)

    def _ended(self, task: Task) -> None:
        call = self._webhook(task)
        if call is not None:
            self._server.soon(lambda: self._server.spawn(self._calls.send_soon(call)))

    def _webhook(self, task: Task) -> ExAppCall | None:
        uri = task.wish.webhook_uri
        kind, _, target = task.wish.webhook_method.partition(":")
        app_id, _, method = target.partition(":")
        if kind != "AppAPI" or not method or not uri.startswith("/") or not self._world.exapp_url:
            return None
        if app_id != self._world.app_id or not self._world.exapp.enabled or self._world.nc_major < CONSUMER:
            return None
        shown = {"task": task.as_json(self._world.nc_major)}
        return ExAppCall(method, uri, WEBHOOK_SECONDS, user=task.wish.user or "", json=shown)
