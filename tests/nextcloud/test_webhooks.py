"""Nextcloud's language model: with a call when its task is done where Nextcloud has that, and without elsewhere."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import UserId
from context_chat_backend.nextcloud import consumer, optional
from context_chat_backend.nextcloud.client import NextcloudClient
from context_chat_backend.nextcloud.consumer import TaskConsumer
from context_chat_backend.nextcloud.optional import OptionalRoute
from context_chat_backend.nextcloud.text_model import NextcloudText
from context_chat_backend.nextcloud.webhooks import PATH, Webhooks
from context_chat_backend.retrieval.generators import whole
from context_chat_backend.retrieval.settings import AnswerSettings
from tests.doubles.nextcloud import MAINTENANCE, FakeNextcloud, serving
from tests.gateway import Nextcloud, headers, make_settings, running_gateway

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

ALICE = UserId("alice")
NEVER = 3600.0
"""A pause that no test lives to see the end of."""
APP_SCHEDULE = "POST /ocs/v2.php/taskprocessing/tasks_consumer/schedule"
USER_SCHEDULE = "POST /ocs/v1.php/taskprocessing/schedule"


@pytest.fixture
def nextcloud() -> Iterator[FakeNextcloud]:
    nextcloud = FakeNextcloud(major=33, statuses=["STATUS_RUNNING"])
    yield nextcloud
    assert not nextcloud.violations


def look(monkeypatch: pytest.MonkeyPatch, first: float, longest: float) -> None:
    """How often a task is looked at."""
    for routes in ("FOR_APPS", "FOR_USERS"):
        changed = replace(getattr(TaskConsumer, routes), first_pause=first, longest_pause=longest)
        monkeypatch.setattr(TaskConsumer, routes, changed)


# ---------------------------------------------------------------------- over real sockets


Ask = Callable[[], "Future[httpx.Response]"]


@contextmanager
def answering(nextcloud: FakeNextcloud, folder: Path) -> Iterator[tuple[Nextcloud, Ask]]:
    """A gateway, and how to ask it for an answer to come."""
    with (
        serving(nextcloud) as url,
        running_gateway(make_settings(folder, nextcloud_url=url), ReferenceDriver()) as gateway,
        ThreadPoolExecutor() as threads,
    ):
        nextcloud.gateway_url = gateway.base_url
        gateway.http.put("/enabled?enabled=1")
        question = {"query": "Where is the whale?", "userId": "alice", "useContext": False}
        yield gateway, lambda: threads.submit(gateway.post, "/query", **question)


def wait_for_tasks(nextcloud: FakeNextcloud, number: int) -> None:
    while len(nextcloud.tasks) < number:
        time.sleep(0.005)


async def test_the_call_of_nextcloud_ends_the_waiting(
    nextcloud: FakeNextcloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(monkeypatch, NEVER, NEVER)
    with answering(nextcloud, tmp_path) as (_, ask):
        answer = ask()
        wait_for_tasks(nextcloud, 1)
        assert (await nextcloud.call_webhook(1)).json() == {}
        assert answer.result().json() == {"output": "Answer to: Where is the whale?", "sources": []}
    assert nextcloud.tasks[1].polls == 1


async def test_a_lost_call_is_survived(
    nextcloud: FakeNextcloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(monkeypatch, 0.001, 0.05)
    with answering(nextcloud, tmp_path) as (_, ask):
        answer = ask()
        wait_for_tasks(nextcloud, 1)
        nextcloud.tasks[1].done = True
        assert answer.result().status_code == 200


async def test_a_call_is_about_one_task(
    nextcloud: FakeNextcloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(monkeypatch, NEVER, NEVER)
    with answering(nextcloud, tmp_path) as (_, ask):
        first = ask()
        wait_for_tasks(nextcloud, 1)
        second = ask()
        wait_for_tasks(nextcloud, 2)
        assert nextcloud.tasks[1].webhook != nextcloud.tasks[2].webhook
        await nextcloud.call_webhook(2)
        assert second.result().status_code == 200
        assert not first.done()
        assert nextcloud.tasks[1].polls == 0
        await nextcloud.call_webhook(1)
        assert first.result().status_code == 200


async def test_a_call_about_a_long_text_is_taken(
    nextcloud: FakeNextcloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(monkeypatch, NEVER, NEVER)
    nextcloud.reply = lambda _: "鲸" * 500_000
    with answering(nextcloud, tmp_path) as (_, ask):
        answer = ask()
        wait_for_tasks(nextcloud, 1)
        assert (await nextcloud.call_webhook(1)).status_code == 200
        assert len(answer.result().json()["output"]) == 500_000


async def test_a_call_that_nobody_waits_for_does_no_harm(
    nextcloud: FakeNextcloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(monkeypatch, NEVER, NEVER)
    with answering(nextcloud, tmp_path) as (gateway, ask):
        answer = ask()
        wait_for_tasks(nextcloud, 1)
        for name in ("1", "alice", "x" * 10_000, "%00", nextcloud.tasks[1].webhook[len(PATH) + 1 : -1]):
            response = gateway.http.post(f"{PATH}/{name}", json={"task": {"id": 1, "status": "STATUS_SUCCESSFUL"}})
            assert (response.status_code, response.json()) == (200, {})
        assert nextcloud.tasks[1].polls == 0
        await nextcloud.call_webhook(1)
        answer.result()
        assert (await nextcloud.call_webhook(1)).status_code == 200  # once more, after the end


async def test_only_nextcloud_may_call(
    nextcloud: FakeNextcloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(monkeypatch, NEVER, NEVER)
    with answering(nextcloud, tmp_path) as (gateway, ask):
        answer = ask()
        wait_for_tasks(nextcloud, 1)
        for credentials in ({}, headers("wrong")):
            async with httpx.AsyncClient(base_url=gateway.base_url, headers=credentials) as stranger:
                assert (await stranger.post(nextcloud.tasks[1].webhook, json={})).status_code == 401
        assert nextcloud.tasks[1].polls == 0
        await nextcloud.call_webhook(1)
        assert answer.result().status_code == 200


# ---------------------------------------------------------------------- in memory


@asynccontextmanager
async def text_model_of(app: ASGIApp, webhooks: Webhooks) -> AsyncIterator[NextcloudText]:
    settings = make_settings(Path("unused"), nextcloud_url="http://cloud.example")
    async with NextcloudClient(settings, transport=httpx.ASGITransport(app)) as client:
        yield NextcloudText(TaskConsumer(client, webhooks), AnswerSettings())


def then(app: ASGIApp, ending: str, act: Callable[[], Awaitable[object]]) -> ASGIApp:
    """Acts after each request with a path that ends so is carried out, and before it is answered."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.lowlevel.checkpoint()

        async def late(message: object) -> None:
            if scope["path"].endswith(ending) and message["type"] == "http.response.start":  # type: ignore[index]
                await act()
            await send(message)  # type: ignore[arg-type]

        await app(scope, receive, late)

    return wrapped


def names(webhooks: Webhooks) -> list[str]:
    return list(webhooks._by_name)


async def test_a_model_may_be_done_before_its_task_is_known(
    nextcloud: FakeNextcloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(monkeypatch, NEVER, NEVER)
    webhooks = Webhooks()

    async def call() -> None:
        nextcloud.tasks[1].done = True
        webhooks.call(nextcloud.tasks[1].webhook.removeprefix(f"{PATH}/"))

    async with text_model_of(then(nextcloud, "/schedule", call), webhooks) as text:
        assert await whole(text.stream(ALICE, "Hello")) == "Answer to: Hello"
    assert names(webhooks) == []


async def test_a_call_is_not_believed(nextcloud: FakeNextcloud, monkeypatch: pytest.MonkeyPatch) -> None:
    look(monkeypatch, NEVER, NEVER)
    webhooks = Webhooks()
    looked = 0

    async def call_again() -> None:
        nonlocal looked
        looked += 1
        nextcloud.tasks[1].done = looked == 3
        webhooks.call(*names(webhooks))

    async def call() -> None:
        webhooks.call(*names(webhooks))

    app = then(then(nextcloud, "/schedule", call), "/task/1", call_again)
    async with text_model_of(app, webhooks) as text:
        assert await whole(text.stream(ALICE, "Hello")) == "Answer to: Hello"
    assert nextcloud.tasks[1].polls == 4


async def test_a_call_has_the_task_looked_at_once(nextcloud: FakeNextcloud, monkeypatch: pytest.MonkeyPatch) -> None:
    look(monkeypatch, NEVER, NEVER)
    webhooks = Webhooks()
    scheduled, looked = anyio.Event(), anyio.Event()

    async def note_schedule() -> None:
        scheduled.set()

    async def note_look() -> None:
        looked.set()

    app = then(then(nextcloud, "/schedule", note_schedule), "/task/1", note_look)
    async with text_model_of(app, webhooks) as text, anyio.create_task_group() as tasks:
        tasks.start_soon(whole, text.stream(ALICE, "Hello"))
        await scheduled.wait()
        webhooks.call(*names(webhooks))
        await looked.wait()
        await anyio.sleep(0.05)  # long enough for one look too many
        assert nextcloud.tasks[1].polls == 1
        nextcloud.tasks[1].done = True
        webhooks.call(*names(webhooks))


async def test_what_cannot_be_seen_right_after_a_call_is_looked_at_again_soon(
    nextcloud: FakeNextcloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(monkeypatch, 0.001, NEVER)
    monkeypatch.setattr(TaskConsumer, "PAUSE_GROWTH", NEVER * 1000)  # the second pause is one
    webhooks = Webhooks()

    async def call() -> None:
        if not nextcloud.tasks[1].done:
            nextcloud.script.append(MAINTENANCE)
            nextcloud.tasks[1].done = True
            webhooks.call(*names(webhooks))

    async with text_model_of(then(nextcloud, "/task/1", call), webhooks) as text:
        assert await whole(text.stream(ALICE, "Hello")) == "Answer to: Hello"
    assert nextcloud.tasks[1].polls == 2


async def test_without_routes_for_apps_those_for_users_are_taken(
    nextcloud: FakeNextcloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(monkeypatch, 0.001, 0.001)
    now = 0.0
    monkeypatch.setattr(consumer, "OptionalRoute", lambda: OptionalRoute(clock=lambda: now))
    nextcloud.major, nextcloud.statuses = 32, ["STATUS_SUCCESSFUL"]
    async with text_model_of(nextcloud, Webhooks()) as text:

        async def asked() -> list[str]:
            nextcloud.requests.clear()
            await whole(text.stream(ALICE, "Hello"))
            return [request for request in nextcloud.requests if request.endswith("/schedule")]

        assert await asked() == [APP_SCHEDULE, USER_SCHEDULE]
        assert await asked() == [USER_SCHEDULE]
        now = optional.ABSENCE_SECONDS - 1
        nextcloud.major = 33
        assert await asked() == [USER_SCHEDULE]
        now = optional.ABSENCE_SECONDS
        assert await asked() == [APP_SCHEDULE]
        assert nextcloud.requests[-1] == "GET /ocs/v2.php/taskprocessing/tasks_consumer/task/4"


async def test_the_address_tells_nothing_and_cannot_be_guessed(
    nextcloud: FakeNextcloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(monkeypatch, 0.001, 0.001)
    nextcloud.statuses = ["STATUS_SUCCESSFUL"]
    async with text_model_of(nextcloud, Webhooks()) as text:
        for _ in range(2):
            await whole(text.stream(ALICE, "Hello"))
    first, second = (task.webhook.removeprefix(f"{PATH}/") for task in nextcloud.tasks.values())
    assert first != second
    assert min(len(first), len(second)) >= 20
    assert "alice" not in first + second


def test_tasks_are_looked_at_less_often_where_nextcloud_calls() -> None:
    for_apps, for_users = TaskConsumer.FOR_APPS, TaskConsumer.FOR_USERS
    assert for_apps.longest_pause == 30
    assert for_users.longest_pause == 5
