"""What AppAPI knows about the ExApp, and the requests that Nextcloud sends to it.

From app_api stable33: `AppAPIService` (heartbeat, init, enable), `AppAPICommonService`, and from nextcloud/server
TaskProcessing's `Manager` (trigger, webhooks).
"""

import asyncio
import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.doubles.sim.world import World

HEARTBEATS = 600
HEARTBEAT_SECONDS = 30
INIT_SECONDS = 30
ENABLE_SECONDS = 60
TRIGGER_SECONDS = 3
WEBHOOK_SECONDS = 30
NO_INIT = (404, 501)
"""What an ExApp without an init step answers."""

Reply = tuple[int, bytes]
"""A status, 0 if there was no answer, and a body."""


@dataclass(frozen=True)
class ExAppCall:
    method: str
    route: str
    timeout: float
    user: str = ""
    signed: bool = True
    json: dict[str, Any] | None = field(default=None, hash=False)

    @property
    def body(self) -> bytes | None:
        if self.json is not None:
            return json.dumps(self.json).encode()
        return b"" if self.method != "GET" else None


HEARTBEAT = ExAppCall("GET", "/heartbeat", HEARTBEAT_SECONDS, signed=False)
INIT = ExAppCall("POST", "/init", INIT_SECONDS)
ENABLE = ExAppCall("PUT", "/enabled?enabled=1", ENABLE_SECONDS)
DISABLE = ExAppCall("PUT", "/enabled?enabled=0", ENABLE_SECONDS)


class ExAppCalls:
    """AppAPI's side of the life of the ExApp. Without its URL nothing is sent, and it is enabled at once."""

    def __init__(self, world: World, say: Callable[[str], None]) -> None:
        self._world = world
        self._say = say

    def send(self, call: ExAppCall) -> Reply:
        request = urllib.request.Request(
            self._world.exapp_url + call.route, data=call.body, method=call.method, headers=self._headers(call)
        )
        reply = _fetch(request, call.timeout)
        line = f"{call.method} {call.route} -> {reply[0]} {reply[1][:80]!r}"
        self._world.lifecycle.append(line)
        self._say(f"   nextcloud -> exapp {line}")
        return reply

    async def send_soon(self, call: ExAppCall) -> Reply:
        """Without holding up the loop."""
        return await asyncio.get_running_loop().run_in_executor(None, self.send, call)

    async def enable(self) -> None:
        """AppAPIService::enableExApp: first the switch, then the calls, so that the ExApp can use the API meanwhile."""
        exapp = self._world.exapp
        with self._world.lock:
            exapp.enabled = True
        if not self._world.exapp_url:
            return
        for _ in range(HEARTBEATS):
            if _is_alive(await self.send_soon(HEARTBEAT)):
                break
            await asyncio.sleep(1)
        succeeded = _has_no_error(await self.send_soon(ENABLE))
        with self._world.lock:
            exapp.enabled = succeeded

    def disable(self, *, call: bool) -> None:
        if call and self._world.exapp_url:
            self.send(DISABLE)
        with self._world.lock:
            self._world.exapp.enabled = False

    def start_init(self) -> bool:
        """What follows the start of a container. Whether the ExApp has an init step; it reports the progress itself."""
        exapp = self._world.exapp
        with self._world.lock:
            exapp.enabled, exapp.installed = False, True
            exapp.status = {"type": "install", "action": "init", "init": 0, "error": ""}
        for _ in range(HEARTBEATS):
            if _is_alive(self.send(HEARTBEAT)):
                break
            time.sleep(1)
        if self.send(INIT)[0] not in NO_INIT:
            return True
        with self._world.lock:
            exapp.status.update(init=100, type="")
        return False

    def _headers(self, call: ExAppCall) -> dict[str, str]:
        version = f"{self._world.nc_major}.0.0"
        headers = {"User-Agent": f"Nextcloud-Server-Crawler/{version}"}
        if call.json is not None:
            headers["Content-Type"] = "application/json"
        if not call.signed:
            return headers
        return headers | {
            "AA-VERSION": version,
            "EX-APP-ID": self._world.app_id,
            "EX-APP-VERSION": self._world.exapp.version,
            "AA-REQUEST-ID": "CLI",
            "AUTHORIZATION-APP-API": base64.b64encode(f"{call.user}:{self._world.secret}".encode()).decode(),
            "Accept-Language": "en",
        }


def _fetch(request: urllib.request.Request, timeout: float) -> Reply:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError as error:
        return 0, str(error).encode()


def _is_alive(reply: Reply) -> bool:
    status, body = reply
    return status == 200 and b'"ok"' in body


def _has_no_error(reply: Reply) -> bool:
    """Everything without a key `error` counts as success, also a 500."""
    status, body = reply
    try:
        answer = json.loads(body)
    except ValueError:
        return status != 0
    return status != 0 and not (isinstance(answer, dict) and bool(answer.get("error")))
