"""AppAPI's authentication, with the limit on wrong secrets.

From app_api stable33, `AppAPIService::validateExAppRequestAuth`, and from nextcloud/server `Throttler`.
"""

import base64
import binascii
import re
import time

from tests.doubles.sim.http import Request
from tests.doubles.sim.ocs import OcsError
from tests.doubles.sim.world import World

MOST_FAILURES = 10
REMEMBERED_SECONDS = 1800
LONGEST_DELAY = 25.0
STATE, STATUS = "/apps/app_api/ex-app/state", "/apps/app_api/ex-app/status"


class Login:
    def __init__(self, world: World) -> None:
        self._world = world

    def attempt(self, request: Request) -> None:
        """Every request is looked at once; AppAPI's own routes do it again, so that a wrong secret counts twice."""
        if request.header("authorization-app-api") and self._world.app_api:
            request.is_exapp = self.is_valid(request)

    def is_valid(self, request: Request) -> bool:
        """A valid one clears the counter, but is refused too when the limit is reached."""
        self._throttle(request)
        if not request.header("ex-app-id"):
            return False
        user, secret = _credentials(request)
        if not self._is_registered(request) or secret != self._world.secret:
            self._world.failed_logins.append(self._world.now())
            return False
        if not self._may_call(request) or not self._notes_version(request):
            return False
        if user:
            if user not in self._world.users:
                return False
            request.user = user
        self._world.failed_logins = []
        return True

    def _throttle(self, request: Request) -> None:
        world = self._world
        failures = [at for at in world.failed_logins if at > world.now() - REMEMBERED_SECONDS]
        world.failed_logins = failures
        if len(failures) > MOST_FAILURES:
            world.statistics.violation("kept asking while the brute-force limit was reached", request.target)
            raise OcsError(429, "Reached maximum delay")
        if failures and world.sleeps_on_bruteforce:
            time.sleep(min(LONGEST_DELAY, 0.1 * 2 ** len(failures)))

    def _is_registered(self, request: Request) -> bool:
        return request.header("ex-app-id") == self._world.app_id and self._world.exapp.installed

    def _may_call(self, request: Request) -> bool:
        """A disabled ExApp may ask for its state, and report its progress while it is set up."""
        exapp = self._world.exapp
        path = re.sub(r"/ocs/v[12]\.php", "", request.path)
        is_set_up = exapp.status.get("type") in {"install", "update"}
        return exapp.enabled or path == STATE or (path == STATUS and is_set_up)

    def _notes_version(self, request: Request) -> bool:
        """A higher version than the known one is written down."""
        version = request.header("ex-app-version")
        if version and _numbers(version) > _numbers(self._world.exapp.version):
            self._world.exapp.version = version
        return bool(version)


def _credentials(request: Request) -> tuple[str, str]:
    """The user, perhaps none, and the secret: they are parted at the first colon."""
    try:
        plain = base64.b64decode(request.header("authorization-app-api")).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        plain = ""
    user, _, secret = plain.partition(":")
    return user, secret


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:4])
