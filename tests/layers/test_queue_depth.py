"""The probe that reads queue lengths, against a strict double of RabbitMQ's management API."""

import base64
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from context_chat_backend.conformance.kit import Kit
from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import Busy, Misconfigured, Outcome, Query
from context_chat_backend.layers import LayerSettings
from context_chat_backend.layers.backpressure import Backpressure
from context_chat_backend.layers.probes import QueueDepthProbe, QueueSettings
from context_chat_backend.toolkit.settings import read_settings

pytestmark = pytest.mark.anyio

USER, PASSWORD = "gäteway", "päss:w0rd"
Answer = Callable[[Request], Awaitable[Response]]


@dataclass
class FakeManagement:
    """`GET /api/queues` as RabbitMQ 3.10.8 answers it, an ASGI app. Parameters that it does not model are refused.

    `queues` maps (virtual host, name) to the figures, of which a queue has none before its first report.
    """

    prefix: str = ""
    queues: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    vhosts: frozenset[str] = frozenset({"/"})
    """Those that the user may access. Queues of others are left out without a word."""
    instead: Answer | None = None
    """Answers in place of the double."""
    pages: list[int] = field(default_factory=list)
    """The page of every request that was answered."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await self.instead(request) if self.instead else self._answer(request)
        await response(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        if request.url.path != f"{self.prefix}/api/queues":
            return _refusal(404, "Object Not Found", "Not Found")
        if request.method != "GET":
            return Response(status_code=405)
        return self._unauthorized(request) or self._page(request)

    def _unauthorized(self, request: Request) -> Response | None:
        realm = {"WWW-Authenticate": 'Basic realm="RabbitMQ Management"'}
        match request.headers.get("Authorization"):
            case None:
                return Response(status_code=401, headers=realm)
            case value if value == "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode():
                return None
            case _:
                return _refusal(401, "not_authorized", "Login failed", realm)

    def _page(self, request: Request) -> Response:
        if sorted(name for name, _ in request.query_params.multi_items()) != ["columns", "page", "page_size"]:
            return _refusal(400, "bad_request", "not modelled by the double")
        page, size = int(request.query_params["page"]), int(request.query_params["page_size"])
        if page < 1 or not 1 <= size <= 500:
            reason = f"Invalid pagination parameters: page number {page}, page size {size}"
            return _refusal(400, "invalid_pagination_parameters", reason)
        visible = sorted(key for key in self.queues if key[0] in self.vhosts)
        if (page - 1) * size > len(visible):
            reason = f"Page out of range, page: {page} page size: {size}, len: {len(visible)}"
            return _refusal(400, "page_out_of_range", reason)
        self.pages.append(page)
        columns = request.query_params["columns"].split(",")
        items = [self._columns(key, columns) for key in visible[(page - 1) * size : page * size]]
        body = {
            "filtered_count": len(visible),
            "item_count": len(items),
            "items": items,
            "page": page,
            "page_count": -(-len(visible) // size),
            "page_size": size,
            "total_count": len(visible),
        }
        return JSONResponse(body)

    def _columns(self, key: tuple[str, str], columns: list[str]) -> dict[str, Any]:
        item = {"vhost": key[0], "name": key[1], **self.queues[key]}
        return {column: item[column] for column in columns if column in item}


def _refusal(status: int, error: str, reason: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": error, "reason": reason}, status, headers)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def rabbit() -> FakeManagement:
    return FakeManagement()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def settings(**values: object) -> QueueSettings:
    defaults = {"health_url": "http://rabbit.test:15672", "health_user": USER, "health_password": PASSWORD}
    return QueueSettings(**{**defaults, **values})  # type: ignore[arg-type]


@asynccontextmanager
async def probing(
    rabbit: FakeManagement | httpx.AsyncBaseTransport, clock: Clock | None = None, **values: object
) -> AsyncIterator[QueueDepthProbe]:
    transport = rabbit if isinstance(rabbit, httpx.AsyncBaseTransport) else httpx.ASGITransport(rabbit)
    async with QueueDepthProbe(settings(**values), transport=transport, clock=clock or Clock()) as probe:
        yield probe


def queue(messages: int, consumers: int) -> dict[str, int]:
    return {"messages": messages, "consumers": consumers}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# ------------------------------------------------------------------ limits


@pytest.mark.parametrize(
    ("limit", "reason"), [(15, None), (14, "15 messages are in the queues, the limit is 14"), (1000, None)]
)
async def test_all_queues_together_may_reach_the_limit_and_not_pass_it(
    rabbit: FakeManagement, limit: int, reason: str | None
) -> None:
    rabbit.queues = {("/", "ingest"): queue(12, 2), ("/", "retry"): queue(3, 0), ("/", "idle"): queue(0, 1)}
    async with probing(rabbit, max_messages=limit) as probe:
        assert await probe.reason_to_wait() == reason


@pytest.mark.parametrize(
    ("queues", "limit", "held"),
    [
        ({"a": queue(12, 2)}, 6, False),
        ({"a": queue(13, 2)}, 6, True),
        ({"a": queue(1, 0)}, 1000, True),
        ({"a": queue(0, 0)}, 1, False),
        ({"a": queue(0, 9), "b": queue(7, 1)}, 6, True),  # consumers of another queue do not help
    ],
)
async def test_no_queue_may_pass_the_limit_per_consumer(
    rabbit: FakeManagement, queues: dict[str, dict[str, int]], limit: int, held: bool
) -> None:
    rabbit.queues = {("/", name): figures for name, figures in queues.items()}
    async with probing(rabbit, max_per_consumer=limit) as probe:
        assert (await probe.reason_to_wait() is not None) is held


async def test_the_reason_names_the_queue_that_is_furthest_over(rabbit: FakeManagement) -> None:
    rabbit.queues = {("/", "a"): queue(11, 2), ("/", "ingest"): queue(30, 3), ("/", "z"): queue(6, 1)}
    async with probing(rabbit, max_per_consumer=5) as probe:
        assert await probe.reason_to_wait() == (
            "queue 'ingest' of virtual host '/' has 30 messages, consumers: 3, the limit is 5 messages per consumer"
        )


async def test_either_limit_holds_uploads_back(rabbit: FakeManagement) -> None:
    rabbit.queues = {("/", "ingest"): queue(10, 1)}
    async with probing(rabbit, max_messages=100, max_per_consumer=9) as probe:
        assert "per consumer" in (await probe.reason_to_wait() or "")
    async with probing(rabbit, max_messages=9, max_per_consumer=100) as probe:
        assert "10 messages are in the queues" in (await probe.reason_to_wait() or "")


async def test_queues_on_later_pages_count(rabbit: FakeManagement) -> None:
    rabbit.queues = {("/", f"{number:04}"): queue(1, 1) for number in range(1001)}
    async with probing(rabbit, max_messages=1000) as probe:
        assert "1001 messages" in (await probe.reason_to_wait() or "")
    assert rabbit.pages == [1, 2, 3]


async def test_a_new_queue_without_figures_is_passed_over(
    rabbit: FakeManagement, caplog: pytest.LogCaptureFixture
) -> None:
    rabbit.queues = {("/", "new"): {}, ("/", "ingest"): queue(4, 1)}
    async with probing(rabbit, max_messages=3) as probe:
        assert "4 messages" in (await probe.reason_to_wait() or "")
    async with probing(rabbit, max_per_consumer=4) as probe:
        assert await probe.reason_to_wait() is None
    assert not warnings(caplog)


async def test_the_url_may_have_a_path() -> None:
    rabbit = FakeManagement(prefix="/rabbit", queues={("/", "ingest"): queue(2, 1)})
    for url in ("https://rabbit.test/rabbit", "https://rabbit.test/rabbit/"):
        async with probing(rabbit, max_messages=1, health_url=url) as probe:
            assert await probe.reason_to_wait() is not None


# ------------------------------------------------------------------ in front of a driver


async def test_full_queues_hold_back_uploads_and_nothing_else(rabbit: FakeManagement, tmp_path: Path) -> None:
    kit, clock = Kit(ReferenceDriver(), tmp_path), Clock()
    rabbit.queues = {("/", "ingest"): queue(2, 1)}
    async with probing(rabbit, clock, max_messages=1) as probe:
        gate = Backpressure(kit.driver, LayerSettings(retry_after_seconds=7), [probe])
        with pytest.raises(Busy, match="2 messages are in the queues") as busy:
            await gate.upsert(kit.source(1))
        assert busy.value.retry_after == 7
        await gate.search(Query(user_id=kit.user("alice"), text="whale", limit=1))
        rabbit.queues = {("/", "ingest"): queue(1, 1)}
        clock.now += 5
        assert await gate.upsert(kit.source(1)) is Outcome.CREATED


# ------------------------------------------------------------------ how often it asks


async def test_it_asks_at_most_every_five_seconds(rabbit: FakeManagement, clock: Clock) -> None:
    rabbit.queues = {("/", "ingest"): queue(2, 1)}
    async with probing(rabbit, clock, max_messages=1) as probe:
        assert await probe.reason_to_wait() is not None
        rabbit.queues = {("/", "ingest"): queue(0, 1)}
        clock.now += 4.9
        assert await probe.reason_to_wait() is not None
        assert rabbit.pages == [1]
        clock.now += 0.1
        assert await probe.reason_to_wait() is None
        assert rabbit.pages == [1, 1]


async def test_a_broker_that_fails_is_not_asked_more_often(clock: Clock) -> None:
    asked = 0

    def refuse(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        raise httpx.ConnectError("refused")

    async with probing(httpx.MockTransport(refuse), clock, max_messages=1) as probe:
        for _ in range(3):
            await probe.reason_to_wait()
    assert asked == 1


async def test_callers_at_the_same_time_share_one_question(rabbit: FakeManagement) -> None:
    rabbit.queues = {("/", "ingest"): queue(2, 1)}
    release, reasons = anyio.Event(), []

    async def answer_later(request: Request) -> Response:
        await release.wait()
        return rabbit._answer(request)

    async def upload() -> None:
        reasons.append(await probe.reason_to_wait())

    rabbit.instead = answer_later
    async with probing(rabbit, max_messages=1) as probe, anyio.create_task_group() as uploads:
        for _ in range(20):
            uploads.start_soon(upload)
        await anyio.wait_all_tasks_blocked()
        release.set()
    assert reasons == ["2 messages are in the queues, the limit is 1"] * 20
    assert rabbit.pages == [1]


async def test_an_upload_cancelled_while_it_asks_leaves_the_question_to_the_next(rabbit: FakeManagement) -> None:
    rabbit.queues = {("/", "ingest"): queue(2, 1)}

    async def never(request: Request) -> Response:
        await anyio.sleep_forever()
        raise AssertionError

    async with probing(rabbit, max_messages=1) as probe:
        rabbit.instead = never
        async with anyio.create_task_group() as uploads:
            uploads.start_soon(probe.reason_to_wait)
            await anyio.wait_all_tasks_blocked()
            uploads.cancel_scope.cancel()
        rabbit.instead = None
        assert await probe.reason_to_wait() is not None


# ------------------------------------------------------------------ when it cannot ask


def answering(response: Response) -> Answer:
    async def answer(request: Request) -> Response:
        return response

    return answer


@pytest.mark.parametrize(
    ("response", "logged"),
    [
        (HTMLResponse("<html>Sign in</html>"), "unexpected body"),
        (JSONResponse([{"name": "ingest", "vhost": "/", "messages": 9, "consumers": 1}]), "unexpected body"),
        (
            JSONResponse({"items": [{"name": "a", "vhost": "/", "messages": "many"}], "page_count": 1}),
            "unexpected body",
        ),
        (JSONResponse({"error": "Object Not Found", "reason": "Not Found"}, 404), "answered 404"),
        (RedirectResponse("https://rabbit.test/login"), "answered 307"),
        (Response(status_code=502), "answered 502"),
    ],
)
async def test_uploads_pass_when_the_answer_makes_no_sense(
    rabbit: FakeManagement, caplog: pytest.LogCaptureFixture, response: Response, logged: str
) -> None:
    rabbit.instead = answering(response)
    async with probing(rabbit, max_messages=1, max_per_consumer=1) as probe:
        assert await probe.reason_to_wait() is None
    [warning] = warnings(caplog)
    assert logged in warning


@pytest.mark.parametrize(("user", "password"), [(USER, "wrong"), (None, None)])
async def test_wrong_credentials_are_logged_without_the_password(
    rabbit: FakeManagement, caplog: pytest.LogCaptureFixture, user: str | None, password: str | None
) -> None:
    rabbit.queues = {("/", "ingest"): queue(9, 1)}
    async with probing(rabbit, max_messages=1, health_user=user, health_password=password) as probe:
        assert await probe.reason_to_wait() is None
    [warning] = warnings(caplog)
    assert "GET http://rabbit.test:15672/api/queues answered 401" in warning
    assert "wrong" not in warning


async def test_no_answer_in_time_lets_uploads_pass(
    rabbit: FakeManagement, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(request: Request) -> Response:
        await anyio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(QueueDepthProbe, "TIMEOUT", 0.01)
    rabbit.instead = never
    async with probing(rabbit, max_messages=1) as probe:
        assert await probe.reason_to_wait() is None
    assert "no answer within 0.01 s" in warnings(caplog)[0]


async def test_a_failure_is_logged_once_until_it_has_worked_again(
    rabbit: FakeManagement, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    rabbit.queues = {("/", "ingest"): queue(0, 1)}
    down = answering(Response(status_code=503))
    async with probing(rabbit, clock, max_messages=1) as probe:
        for instead, logged in [(down, 1), (down, 1), (None, 1), (down, 2), (down, 2)]:
            rabbit.instead = instead
            clock.now += 5
            assert await probe.reason_to_wait() is None
            assert len(warnings(caplog)) == logged


async def test_a_reason_is_dropped_when_the_broker_goes_away(rabbit: FakeManagement, clock: Clock) -> None:
    rabbit.queues = {("/", "ingest"): queue(2, 1)}
    async with probing(rabbit, clock, max_messages=1) as probe:
        assert await probe.reason_to_wait() is not None
        rabbit.instead = answering(Response(status_code=503))
        clock.now += 5
        assert await probe.reason_to_wait() is None


async def test_a_user_who_sees_no_queue_is_logged(rabbit: FakeManagement, caplog: pytest.LogCaptureFixture) -> None:
    rabbit.queues, rabbit.vhosts = {("hatchet", "ingest"): queue(9, 1)}, frozenset()
    async with probing(rabbit, max_messages=1) as probe:
        assert await probe.reason_to_wait() is None
    assert "needs access to the virtual host" in warnings(caplog)[0]


@pytest.mark.parametrize(("figures", "missing"), [({}, "messages"), ({"messages": 1}, "consumers")])
async def test_a_broker_without_statistics_is_logged(
    rabbit: FakeManagement, caplog: pytest.LogCaptureFixture, figures: dict[str, int], missing: str
) -> None:
    rabbit.queues = {("/", "ingest"): figures}
    async with probing(rabbit, max_messages=1, max_per_consumer=1) as probe:
        assert await probe.reason_to_wait() is None
    assert f"no number of {missing}" in warnings(caplog)[0]


# ------------------------------------------------------------------ settings


def test_nothing_is_asked_unless_a_url_is_set() -> None:
    settings = read_settings(QueueSettings, {"QUEUE_MAX_MESSAGES": "0"})
    assert settings.health_url is None
    with pytest.raises(Misconfigured, match="QUEUE_HEALTH_URL is not set"):
        QueueDepthProbe(settings)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "set QUEUE_MAX_MESSAGES or QUEUE_MAX_PER_CONSUMER"),
        ({"QUEUE_MAX_MESSAGES": "-1"}, "QUEUE_MAX_MESSAGES: "),
        ({"QUEUE_MAX_MESSAGES": "9", "QUEUE_HEALTH_USER": "gateway"}, "have to be set together"),
        ({"QUEUE_MAX_MESSAGES": "9", "QUEUE_HEALTH_URL": "rabbit:15672"}, "QUEUE_HEALTH_URL: "),
        ({"QUEUE_MAX_MESSAGES": "9", "QUEUE_HEALTH_URL": "http://gateway:12/hidden@rabbit:15672"}, "without user"),
        (
            {"QUEUE_MAX_MESSAGES": "9", "QUEUE_HEALTH_URL": "http://gateway:hidden@rabbit:15672"},
            "QUEUE_HEALTH_URL: has to be an address without user and password",
        ),
    ],
)
def test_a_mistake_is_reported_by_its_variable(variables: dict[str, str], message: str) -> None:
    with pytest.raises(Misconfigured) as error:
        read_settings(QueueSettings, {"QUEUE_HEALTH_URL": "http://rabbit:15672", **variables})
    assert message in str(error.value)
    assert "hidden" not in str(error.value)
