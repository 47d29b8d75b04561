"""OCS envelopes, in both versions and both formats.

From nextcloud/server: `ApiHelper::respond`, `V1Response`, `V2Response`, ocs/v1.php.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.doubles.sim.http import Request, Response
from tests.doubles.sim.php import to_json, to_xml

UNAUTHORISED, NOT_FOUND, SERVER_ERROR, UNKNOWN_ERROR = 997, 998, 996, 999
"""OCS's own statuses."""

_HTTP_STATUS = {UNAUTHORISED: 401, NOT_FOUND: 404, SERVER_ERROR: 500, UNKNOWN_ERROR: 500}
_MAINTENANCE = {"X-Nextcloud-Maintenance-Mode": "1"}


@dataclass
class Answer:
    """What a controller answers; it is put in an envelope."""

    status: int
    data: Any = field(default_factory=list)
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], Awaitable[None]] | None = None
    """Awaited before it is sent."""


class OcsError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str = "", data: Any = None) -> None:
        self.answer = Answer(status, [] if data is None else data, message)

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def data(self) -> Any:
        return self.answer.data


class Plain(Exception):
    """An answer without envelope."""

    def __init__(self, status: int, body: bytes, content_type: str = "application/json; charset=utf-8") -> None:
        self.response = Response(status, body, {"Content-Type": content_type})


def of_controller(request: Request, answer: Answer) -> Response:
    """JSON if the query or the header Accept asks for it."""
    text, content_type = _rendered(request, answer, wanted_format(request, accept=True), "application/xml")
    headers = {"Content-Type": content_type, **answer.headers}
    return Response(_http_status(request, answer.status), text, headers, before=answer.before)


def of_entry(request: Request, answer: Answer, v1_status: int | None = None) -> Response:
    """What ocs/v?.php answers itself. JSON if the query asks for it."""
    text, content_type = _rendered(request, answer, wanted_format(request, accept=False), "text/xml")
    status = _http_status(request, answer.status)
    if v1_status is not None and _is_v1(request):
        status = v1_status
    return Response(status, text, {"Content-Type": content_type, **answer.headers})


def maintenance(request: Request) -> Response:
    return of_entry(request, Answer(503, message="Service unavailable", headers=_MAINTENANCE), v1_status=503)


def wanted_format(request: Request, *, accept: bool) -> str:
    wanted = request.query.get("format")
    if wanted is None and accept:
        accepted = re.search(r"application/(json|xml)", request.header("accept").lower())
        wanted = accepted[1] if accepted else None
    return wanted if wanted in ("json", "xml") else "xml"


def _rendered(request: Request, answer: Answer, wanted: str, xml_type: str) -> tuple[bytes, str]:
    document = {"ocs": {"meta": _meta(request, answer), "data": answer.data}}
    if wanted == "json":
        return to_json(document), "application/json; charset=utf-8"
    charset = "utf-8" if xml_type == "application/xml" else "UTF-8"
    return ('<?xml version="1.0"?>\n' + to_xml(document)).encode(), f"{xml_type}; charset={charset}"


def _meta(request: Request, answer: Answer) -> dict[str, Any]:
    if _is_v1(request):
        code = 100 if answer.status == 200 else answer.status
        return {**_verdict(code == 100, code, answer.message), "totalitems": "", "itemsperpage": ""}
    return _verdict(200 <= answer.status < 300, answer.status, answer.message)


def _verdict(succeeded: bool, code: int, message: str) -> dict[str, Any]:
    if succeeded:
        return {"status": "ok", "statuscode": code, "message": "OK"}
    return {"status": "failure", "statuscode": code, "message": message}


def _http_status(request: Request, status: int) -> int:
    if _is_v1(request):
        return 401 if status == UNAUTHORISED else 200
    return _HTTP_STATUS.get(status, status if 200 <= status <= 600 else 400)


def _is_v1(request: Request) -> bool:
    return "/ocs/v1.php" in request.path
