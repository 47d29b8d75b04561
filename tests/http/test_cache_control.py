"""Every answer says how long it may be kept: AppAPI's proxy keeps one that does not for an hour, for everybody."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from context_chat_backend.gateway import plan_gateway
from context_chat_backend.http import app as application
from context_chat_backend.http.app import MAX_JSON_BYTES, create_app
from context_chat_backend.http.connections import MAX_HEAD_BYTES
from context_chat_backend.http.middleware import NoStore, RequestMetrics
from tests.gateway import Nextcloud, make_settings, running_gateway

from .test_middleware import call
from .test_refusals import Unasked

NO_STORE = ["no-store"]

MALFORMED = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "no such version": b"GET / HTTP/9.9\r\nHost: gateway\r\n\r\n",
    "a large head": b"GET / HTTP/1.1\r\nHost: gateway\r\nX-Large: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n",
    "a bad length": b"POST /query HTTP/1.1\r\nHost: gateway\r\nContent-Length: many\r\n\r\n",
    "no secret": b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n",
    "no such method": b"PROPFIND /heartbeat HTTP/1.1\r\nHost: gateway\r\n\r\n",
    "an old client": b"GET /heartbeat HTTP/1.0\r\n\r\n",
    "a large body": b"POST /query HTTP/1.1\r\nHost: gateway\r\nContent-Length: %d\r\n\r\n" % (MAX_JSON_BYTES + 1),
}


@pytest.fixture(scope="module")
def nextcloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nextcloud]:
    """Whatever asks the driver gets a 500."""
    settings = make_settings(tmp_path_factory.mktemp("unasked"), rag_backend="reference")
    with running_gateway(settings, Unasked()) as nextcloud:
        yield nextcloud


def kept(response: httpx.Response) -> list[str]:
    return response.headers.get_list("cache-control")


def every_route(folder: Path) -> list[tuple[str, str]]:
    app = create_app(plan_gateway(make_settings(folder, rag_backend="reference"), {}))
    described = [(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods]
    return [*described, ("GET", "/openapi.json")]


@pytest.mark.parametrize("credentials", ["right", "wrong"])
def test_no_answer_of_any_route_may_be_kept(nextcloud: Nextcloud, tmp_path: Path, credentials: str) -> None:
    sent = {} if credentials == "right" else {"AUTHORIZATION-APP-API": "wrong"}
    routes = every_route(tmp_path)
    assert {"/heartbeat", "/query", "/loadSources", "/downloadLogs", "/openapi.json"} <= {path for _, path in routes}
    for method, path in [*routes, ("GET", "/nothing-here"), ("PATCH", "/query"), ("OPTIONS", "/heartbeat")]:
        for body in (b"", b"{}", b'{"userId": "alice", "query": "whale"}'):
            response = nextcloud.http.request(
                method, path, content=body, headers={"Content-Type": "application/json", **sent}
            )
            assert kept(response) == NO_STORE, (method, path, response.status_code)


def test_the_walk_met_every_kind_of_answer(nextcloud: Nextcloud) -> None:
    """Else the one above would prove less than it says."""
    assert nextcloud.post("/docSearch", userId="alice", query="whale").status_code == 500
    assert nextcloud.post("/docSearch").status_code == 422
    assert nextcloud.http.put("/loadSources", content=b"{}").status_code == 400
    assert nextcloud.http.get("/heartbeat").status_code == 200


@pytest.mark.parametrize("request_", MALFORMED.values(), ids=MALFORMED)
def test_no_answer_of_the_server_itself_may_be_kept(nextcloud: Nextcloud, request_: bytes) -> None:
    reply = nextcloud.send_raw(request_)
    assert reply.headers.get("cache-control") == "no-store", reply.status


def test_a_bug_outside_of_everything_that_answers_bugs_is_not_kept_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(RequestMetrics):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope.get("path") == "/broken":
                raise ZeroDivisionError
            await super().__call__(scope, receive, send)

    monkeypatch.setattr(application, "RequestMetrics", Broken)
    with running_gateway(make_settings(tmp_path, rag_backend="reference")) as nextcloud:
        response = nextcloud.http.get("/broken")
    assert (response.status_code, kept(response)) == (500, NO_STORE)


@pytest.mark.anyio
async def test_a_route_may_say_otherwise() -> None:
    async def cached(_: Scope, __: Receive, send: Send) -> None:
        headers = [(b"cache-control", b"private, max-age=60")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    start, _ = await call(NoStore(cached))
    assert start["headers"] == [(b"cache-control", b"private, max-age=60")]
