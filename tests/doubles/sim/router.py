"""From a path to the controller: which routes there are, who may call them, and what a careless client is told.

From nextcloud/server: ocs/v1.php, `OCSMiddleware`, `SecurityMiddleware` (CSRF) and `Dispatcher`; the guard of ExApps
is AppAPI's.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from tests.doubles.sim import ocs, php
from tests.doubles.sim.http import Request, Response
from tests.doubles.sim.login import Login
from tests.doubles.sim.ocs import Answer, OcsError, Plain
from tests.doubles.sim.php import Arguments, EmptyAnswer, PhpError
from tests.doubles.sim.world import World

Handler = Callable[[Request, Arguments], Answer | Response]
Guard = Literal["exapp", "user", "admin", "appapi", "open"]

PAGE_NOT_FOUND = b"<!DOCTYPE html><html><body>Page not found</body></html>"
NO_ROUTE = (
    "Invalid query, please check the syntax. API specifications are here: "
    "http://www.freedesktop.org/wiki/Specifications/open-collaboration-services.\n"
)
CONTEXT_CHAT, APP_API = "/apps/context_chat", "/apps/app_api"
HEADERS = ("aa-version", "ex-app-id", "ex-app-version")
"""Those that a good client sends."""


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    guard: Guard
    handler: Handler
    known: str = ""
    """The names of its parameters."""
    since: int = 0
    """The first Nextcloud that has it."""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path) + "$")


@dataclass(frozen=True)
class Found:
    route: Route
    ids: dict[str, str]


class Router:
    def __init__(self, world: World, login: Login, routes: Sequence[Route]) -> None:
        self._world = world
        self._login = login
        self._routes = routes

    def answer(self, request: Request) -> Response:
        if request.path in {"/status.php", "/index.php/status.php"}:
            return self._status()
        path = re.match(r"(?:/index\.php)?/ocs/v[12]\.php(/.*)?$", request.path)
        if not path:
            return Response(404, PAGE_NOT_FOUND, {"Content-Type": "text/html; charset=UTF-8"})
        if self._world.maintenance:
            return ocs.maintenance(request)
        try:
            return self._of_api(request, path[1] or "/")
        except EmptyAnswer:
            return Response(self._world.invalid_utf8_status, b"", {"Content-Type": "text/html; charset=UTF-8"})

    def _status(self) -> Response:
        major = self._world.nc_major
        status = {
            "installed": True,
            "maintenance": self._world.maintenance,
            "needsDbUpgrade": False,
            "version": f"{major}.0.0.0",
            "versionstring": f"{major}.0.0",
            "edition": "",
            "productname": "Nextcloud",
            "extendedSupport": False,
        }
        return Response(200, php.to_json(status), {"Content-Type": "application/json"})

    def _of_api(self, request: Request, path: str) -> Response:
        try:
            return self._of_call(request, path)
        except PhpError:
            return ocs.of_entry(request, Answer(ocs.SERVER_ERROR, message="Internal Server Error\n"))
        except OcsError as error:
            return ocs.of_controller(request, error.answer)
        except Plain as plain:
            return plain.response

    def _of_call(self, request: Request, path: str) -> Response:
        parameters = _parameters(request)
        self._login.attempt(request)
        found = self._find(request.method, path)
        if isinstance(found, Found):
            return self._of_route(request, found, parameters)
        if found == "other method":
            is_json = ocs.wanted_format(request, accept=False) == "json"
            content_type = "application/json; charset=utf-8" if is_json else "text/xml; charset=UTF-8"
            return Response(405, b"", {"Content-Type": content_type})
        return ocs.of_entry(request, Answer(ocs.NOT_FOUND, message=NO_ROUTE))

    def _of_route(self, request: Request, found: Found, parameters: Mapping[str, Any]) -> Response:
        self._check_guard(request, found.route.guard)
        self._check_care(request, parameters, {*found.route.known.split(), *found.ids})
        answer = found.route.handler(request, Arguments({**parameters, **found.ids}))
        return answer if isinstance(answer, Response) else ocs.of_controller(request, answer)

    def _find(self, method: str, path: str) -> Found | Literal["other method", "nothing"]:
        """A slash at the end may be missing."""
        for candidate in (path,) if path.endswith("/") else (path, path + "/"):
            hits = list(self._matching(candidate))
            if hits:
                return next((hit for hit in hits if hit.route.method == method), "other method")
        return "nothing"

    def _matching(self, path: str) -> Iterator[Found]:
        for route in self._routes:
            match = route.pattern.match(path)
            if match and self._is_there(route):
                yield Found(route, match.groupdict())

    def _is_there(self, route: Route) -> bool:
        if route.path.startswith(CONTEXT_CHAT) and not self._world.context_chat:
            return False
        if route.path.startswith(APP_API) and not self._world.app_api:
            return False
        return route.since <= self._world.nc_major

    def _check_guard(self, request: Request, guard: Guard) -> None:
        match guard:
            case "open":
                return
            case "appapi":
                if not request.header("authorization-app-api") or not self._login.is_valid(request):
                    raise OcsError(ocs.UNAUTHORISED, "AppAPI authentication failed")
                return
            case "exapp" if not request.is_exapp:
                raise Plain(412, b'{"message":"ExApp required"}')
            case "user" | "admin" if not request.user:
                raise OcsError(ocs.UNAUTHORISED, "Current user is not logged in")
        if not _passes_csrf(request):
            raise Plain(412, b'{"message":"CSRF check failed"}')

    def _check_care(self, request: Request, parameters: Mapping[str, Any], known: set[str]) -> None:
        """What the real server never looks at."""
        if request.query.get("format") != "json":
            self._world.lint("no format=json", request.target)
        if unknown := set(parameters) - known - {"format"}:
            self._world.lint(f"unknown parameter {', '.join(sorted(unknown))}", request.target)
        for name in HEADERS:
            if not request.header(name):
                self._world.lint(f"header {name} missing", request.target)


def _passes_csrf(request: Request) -> bool:
    return bool(request.header("ocs-apirequest")) or request.header("authorization").lower().startswith("bearer ")


def _parameters(request: Request) -> dict[str, Any]:
    """Of the query and of the body, JSON or a form."""
    content_type = request.header("content-type")
    if re.match(r"application/([a-z0-9.-]+\+)?json\b", content_type):
        return {**request.query, **_json_object(request.body)}
    if "application/x-www-form-urlencoded" in content_type and request.body:
        return {**request.query, **php.query(request.body.decode("utf-8", "replace"))}
    return dict(request.query)


def _json_object(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        document = json.loads(body)
    except ValueError as error:
        raise PhpError(f"malformed JSON: {error}") from error
    return document if isinstance(document, dict) else {}
