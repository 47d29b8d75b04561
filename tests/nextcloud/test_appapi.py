"""Who may call the gateway."""

import base64
import hmac
import http.client
import logging
from collections.abc import Iterator

import httpx
import pytest
from fastapi.routing import APIRoute
from pydantic import SecretStr

from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import Misconfigured
from context_chat_backend.http import system as lifecycle_routes
from context_chat_backend.http.push import routes
from context_chat_backend.nextcloud import appapi
from context_chat_backend.nextcloud.push_client import UPLOAD_TYPE, multipart, part
from context_chat_backend.settings import Settings
from context_chat_backend.toolkit.settings import read_settings
from tests.gateway import make_settings, running_gateway

SECRET = "s3cr:et/päss用"
OPEN = ["/heartbeat", "/health/live", "/health/ready", "/metrics"]


def credentials(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def headers(authorization: str | None = None, **changed: str | None) -> dict[str, str]:
    """Those of Nextcloud, but for what is changed; None leaves a header out."""
    sent = {
        "EX-APP-ID": "context_chat_backend",
        "EX-APP-VERSION": "5.3.1",
        "AUTHORIZATION-APP-API": credentials(f":{SECRET}") if authorization is None else authorization,
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    return {name: value for name, value in sent.items() if value is not None}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A real gateway, and a client without credentials."""
    settings = make_settings(tmp_path_factory.mktemp("gateway"), app_secret=SecretStr(SECRET))
    with (
        running_gateway(settings, ReferenceDriver()) as nextcloud,
        httpx.Client(base_url=nextcloud.base_url) as gateway,
    ):
        yield gateway


WRONG = {
    "nothing": headers(AUTHORIZATION_APP_API=None),
    "an empty header": headers(""),
    "garbage": headers("%%%"),
    "garbage before the credentials": headers("%" + credentials(f":{SECRET}")),
    "not ASCII": headers("päss"),
    "base64 without padding": headers(credentials(f"u:{SECRET}").rstrip("=") + "A"),
    "no colon": headers(credentials(SECRET.replace(":", ""))),
    "the secret without a colon before it": headers(credentials(SECRET)),
    "an empty secret": headers(credentials("alice:")),
    "another secret": headers(credentials("alice:another")),
    "a beginning of the secret": headers(credentials(f":{SECRET[:-1]}")),
    "more than the secret": headers(credentials(f":{SECRET}x")),
    "the secret as user": headers(credentials(f"{SECRET}:")),
    "the plain secret": headers("plain"),
    "the secret in another encoding": headers(base64.b64encode(f":{SECRET}".encode("utf-16")).decode()),
    "another app": headers(EX_APP_ID="another_app"),
    "no app": headers(EX_APP_ID=None),
    "no version": headers(EX_APP_VERSION=None),
    "an empty version": headers(EX_APP_VERSION=""),
}


@pytest.mark.parametrize("case", WRONG)
def test_other_credentials_are_refused_with_a_json_object(gateway: httpx.Client, case: str) -> None:
    response = gateway.get("/enabled", headers=httpx.Headers(WRONG[case], encoding="latin-1"))
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/json"
    assert set(response.json()) == {"error"}


@pytest.mark.parametrize("user", ["", "alice", "jörg", "用户一"])
def test_the_user_in_the_header_makes_no_difference(gateway: httpx.Client, user: str) -> None:
    response = gateway.get("/enabled", headers=headers(credentials(f"{user}:{SECRET}")))
    assert (response.status_code, response.json()) == (200, {"enabled": True})


def test_the_user_in_the_header_selects_no_data(gateway: httpx.Client) -> None:
    sent = headers(credentials(f"alice:{SECRET}"))
    form = {**sent, "Content-Type": UPLOAD_TYPE}
    body = multipart([part("files__default: 1", users=["bob"])])
    assert gateway.put("/loadSources", content=body, headers=form).json()["loaded_sources"] == ["files__default: 1"]
    for user, found in (("alice", 0), ("bob", 1)):
        response = gateway.post("/docSearch", json={"userId": user, "query": "whale"}, headers=sent)
        assert len(response.json()) == found


@pytest.mark.parametrize("version", ["1", "99.0.0", "dev"])
def test_any_version_of_the_app_may_be_registered(gateway: httpx.Client, version: str) -> None:
    assert gateway.get("/enabled", headers=headers(EX_APP_VERSION=version)).status_code == 200


def test_the_open_paths_are_exactly_these(gateway: httpx.Client) -> None:
    assert sorted(appapi.OPEN_PATHS) == sorted(OPEN)
    for path in OPEN:
        assert gateway.get(path).status_code == 200


def test_every_other_route_needs_credentials(gateway: httpx.Client) -> None:
    all_routes = [*lifecycle_routes.router.routes, *routes.router.routes]
    closed = [route for route in all_routes if isinstance(route, APIRoute) and route.path not in OPEN]
    assert len(closed) == len(all_routes) - len(OPEN)
    for route in closed:
        for method in route.methods or ():
            assert gateway.request(method, route.path).status_code == 401, (method, route.path)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "TRACE"])
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//heartbeat",
        "/heartbeat/",
        "/heartbeat/x",
        "/HEARTBEAT",
        "/heartbeat;x",
        "/heartbeat%00",
        "/heartbeat%2F..%2Fquery",
        "/health/live/../query",
        "/health/live/%2e%2e/query",
        "/health",
        "/./metrics",
        "/query?/heartbeat",
        "/query#/heartbeat",
        "/exapps/context_chat_backend/query",
        "/exapps/context_chat_backend//heartbeat",
        "/exapps/context_chat_backend/heartbeat/../query",
        "/exapps/context_chat_backend/exapps/context_chat_backend/heartbeat",
        "/exapps/another/heartbeat",
        "/exapps/context_chat_backend",
    ],
)
def test_no_odd_path_or_method_gets_around_the_credentials(gateway: httpx.Client, method: str, path: str) -> None:
    # httpx would tidy the path up
    connection = http.client.HTTPConnection(gateway.base_url.host, gateway.base_url.port)
    try:
        connection.request(method, path)
        assert connection.getresponse().status in {400, 401}
    finally:
        connection.close()


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", OPEN)
def test_open_paths_only_answer_get(gateway: httpx.Client, method: str, path: str) -> None:
    assert gateway.request(method, path).status_code == 405


def test_a_proxy_that_keeps_the_prefix_reaches_the_heartbeat(gateway: httpx.Client) -> None:
    response = gateway.get("/exapps/context_chat_backend/heartbeat")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_neither_secret_is_printed_or_logged(
    gateway: httpx.Client, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    sent = [credentials("alice:wr0ng-secret"), credentials(f":{SECRET}")]
    bodies = [gateway.get("/enabled", headers=headers(authorization)).text for authorization in sent]
    told = f"{bodies} {caplog.text} {capfd.readouterr()}"
    for secret in (SECRET, "wr0ng-secret", *sent):
        assert secret not in told


def test_secrets_are_compared_in_constant_time(gateway: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append({one, other})
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    gateway.get("/enabled", headers=headers(credentials(":another")))
    assert compared == [{b"another", SECRET.encode()}]


@pytest.mark.parametrize("secret", [None, ""])
def test_the_gateway_does_not_start_without_a_secret(secret: str | None) -> None:
    with pytest.raises(Misconfigured, match="APP_SECRET"):
        read_settings(Settings, {} if secret is None else {"APP_SECRET": secret})
