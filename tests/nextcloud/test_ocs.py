"""Calls to a Nextcloud, as the strict double and as scripted answers."""

import base64
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from context_chat_backend.contract import Misconfigured
from context_chat_backend.nextcloud.client import NextcloudClient
from context_chat_backend.nextcloud.errors import (
    Failed,
    Missing,
    NextcloudError,
    NoProvider,
    NoRoute,
    NotAccepted,
    Refused,
    TryLater,
)
from tests.bombs import Bomb, bombed
from tests.doubles.nextcloud import EXAPP_REQUIRED, MAINTENANCE, RATE_LIMITED, FakeNextcloud
from tests.gateway import make_settings

pytestmark = pytest.mark.anyio

SECRET = "päss:w0rd"
STATE = "/ocs/v1.php/apps/app_api/ex-app/state"
SCHEDULE = "/ocs/v1.php/taskprocessing/schedule"
TASK = {"type": "core:text2text", "appId": "context_chat_backend", "input": {"input": "hello"}}


@pytest.fixture
def nextcloud() -> Iterator[FakeNextcloud]:
    nextcloud = FakeNextcloud(secret=SECRET)
    yield nextcloud
    assert not nextcloud.violations


def client(app: object, url: str = "https://cloud.example", secret: str = SECRET) -> NextcloudClient:
    transport = app if isinstance(app, httpx.AsyncBaseTransport) else httpx.ASGITransport(app)  # type: ignore[arg-type]
    settings = make_settings(Path("unused"), nextcloud_url=url, app_secret=SecretStr(secret))
    return NextcloudClient(settings, transport=transport)


@pytest.fixture
async def ocs(nextcloud: FakeNextcloud) -> AsyncIterator[NextcloudClient]:
    async with client(nextcloud) as ocs:
        yield ocs


def ocs_answer(code: object, status: int, data: object = None) -> Response:
    return JSONResponse({"ocs": {"meta": {"status": "", "statuscode": code, "message": ""}, "data": data}}, status)


def envelope(code: object, data: object = None) -> Response:
    """As v1 answers, which hides the status."""
    return ocs_answer(code, 200, data)


async def test_the_data_of_an_answer_is_returned(ocs: NextcloudClient) -> None:
    assert await ocs.call("GET", STATE) == 1


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_a_call_is_made_as_the_user_who_is_named(
    ocs: NextcloudClient, nextcloud: FakeNextcloud, version: str
) -> None:
    data = await ocs.call("POST", f"/ocs/{version}.php/taskprocessing/schedule", user_id="jörg", json=TASK)
    assert data["task"]["userId"] == nextcloud.tasks[1].user_id == "jörg"


@pytest.mark.parametrize(
    "url",
    [
        "https://cloud.example",
        "https://cloud.example/",
        "https://cloud.example/index.php",
        "https://cloud.example/index.php/",
        "https://cloud.example//",
    ],
)
async def test_any_form_of_the_base_url_works(nextcloud: FakeNextcloud, url: str) -> None:
    async with client(nextcloud, url) as ocs:
        await ocs.call("GET", STATE)
    assert nextcloud.requests == [f"GET {STATE}"]


@pytest.mark.parametrize("url", ["https://cloud.example/nc", "https://cloud.example/nc/index.php/"])
async def test_a_nextcloud_below_a_path_is_called_there(url: str) -> None:
    paths = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        paths.append(scope["path"])
        await envelope(100, 1)(scope, receive, send)

    async with client(app, url) as ocs:
        await ocs.call("GET", STATE)
    assert paths == [f"/nc{STATE}"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (envelope(400), Refused),
        (envelope(401), NotAccepted),
        (envelope(403), NotAccepted),
        (envelope(404), Missing),
        (envelope(412), NoProvider),
        (envelope(429), TryLater),
        (envelope(500), Failed),
        (envelope(996), Failed),
        (envelope(997), NotAccepted),
        (envelope(998), NoRoute),
        (envelope(999), Failed),
        (envelope("100"), Failed),
        (Response(b"", 400), Refused),
        (JSONResponse({"message": "AppAPI authentication failed"}, 401), NotAccepted),
        (Response(b"", 403), NotAccepted),
        (Response(b"", 404), NoRoute),
        (HTMLResponse("<html>Page not found</html>", 404), NoRoute),
        (ocs_answer(404, 404), Missing),
        (ocs_answer(998, 404), NoRoute),
        (Response(b"", 405), NoRoute),
        (ocs_answer(422, 422), Refused),
        (EXAPP_REQUIRED, NotAccepted),
        (ocs_answer(412, 412), NoProvider),
        (RATE_LIMITED, TryLater),
        (Response(b"", 500), Failed),
        (Response(b"", 502), TryLater),
        (MAINTENANCE, TryLater),
        (RedirectResponse("https://elsewhere.example/"), NotAccepted),
        (HTMLResponse("<html>a login page</html>"), Failed),
        (JSONResponse({"ocs": {}}), Failed),
        (JSONResponse([]), Failed),
        (Response(b""), Failed),
    ],
)
async def test_an_answer_decides_the_error(
    ocs: NextcloudClient, nextcloud: FakeNextcloud, answer: Response, error: type[NextcloudError]
) -> None:
    nextcloud.script.append(answer)
    with pytest.raises(NextcloudError) as caught:
        await ocs.call("GET", STATE)
    assert type(caught.value) is error


async def test_a_missing_provider_is_named(ocs: NextcloudClient, nextcloud: FakeNextcloud) -> None:
    nextcloud.has_text_provider = False
    with pytest.raises(NoProvider, match="no provider for this kind of task"):
        await ocs.call("POST", SCHEDULE, user_id="alice", json=TASK)


async def test_the_wait_that_nextcloud_asks_for_reaches_the_caller(
    ocs: NextcloudClient, nextcloud: FakeNextcloud
) -> None:
    nextcloud.script.append(Response(b"", 503, {"Retry-After": "120"}))
    with pytest.raises(TryLater) as caught:
        await ocs.call("GET", STATE)
    assert caught.value.retry_after == 120


async def test_a_wrong_secret_is_refused_and_blocked_when_repeated(nextcloud: FakeNextcloud) -> None:
    async with client(nextcloud, secret="wrong") as ocs:
        for _ in range(6):  # AppAPI counts each one twice
            with pytest.raises(NotAccepted):
                await ocs.call("GET", STATE)
        with pytest.raises(TryLater):
            await ocs.call("GET", STATE)


async def test_a_disabled_app_can_ask_for_its_state_only(ocs: NextcloudClient, nextcloud: FakeNextcloud) -> None:
    nextcloud.enabled = False
    assert await ocs.call("GET", STATE) == 0
    with pytest.raises(NotAccepted):
        await ocs.call("POST", SCHEDULE, user_id="alice", json=TASK)


async def test_no_url_is_the_admins_to_mend() -> None:
    with pytest.raises(Misconfigured, match="NEXTCLOUD_URL"):
        NextcloudClient(make_settings(Path("unused")))


class HangUp(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise httpx.RemoteProtocolError(f"peer closed, headers were {request.headers!r}", request=request)


FAILURES: dict[str, Callable[[], NextcloudClient]] = {
    "refused": lambda: client(FakeNextcloud(secret="another")),
    "maintenance": lambda: client(FakeNextcloud(secret=SECRET, script=deque([MAINTENANCE]))),
    "redirect": lambda: client(FakeNextcloud(secret=SECRET, script=deque([RedirectResponse("/login")]))),
    "no OCS": lambda: client(FakeNextcloud(secret=SECRET, script=deque([HTMLResponse(SECRET)]))),
    "hangs up": lambda: client(HangUp()),
    "nothing listens": lambda: client(httpx.AsyncHTTPTransport(), "http://127.0.0.1:1"),
    "no such host": lambda: client(httpx.AsyncHTTPTransport(), "http://nextcloud.invalid"),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_no_secret_is_in_a_message_or_a_log(
    failure: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    async with FAILURES[failure]() as ocs:
        with pytest.raises(NextcloudError) as caught:
            await ocs.call("GET", STATE, user_id="alice")
    told = f"{caught.value} {caught.value!r} {caplog.text} {capfd.readouterr()}"
    assert SECRET not in told
    assert base64.b64encode(f"alice:{SECRET}".encode()).decode() not in told


async def test_an_immense_answer_is_unavailable_before_it_fills_the_memory() -> None:
    bomb = Bomb()
    async with client(bombed(bomb)) as ocs:
        with pytest.raises(TryLater, match="answered with more than"):
            await ocs.call("GET", STATE)
    assert bomb.unpacked < 20 * 2**20
