"""Tasks of Nextcloud's models: what is offered is remembered for a while, and every end of a task is told apart."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from context_chat_backend.contract import UserId
from context_chat_backend.nextcloud.client import NextcloudClient
from context_chat_backend.nextcloud.consumer import TYPES_SECONDS, TaskConsumer
from context_chat_backend.nextcloud.errors import Failed, NoProvider, NotAccepted, Refused, TaskFailed, TryLater
from context_chat_backend.nextcloud.webhooks import Webhooks
from tests.doubles.sim import Sim
from tests.doubles.sim.tasks import CANCELLED, OCR_TASK, SPEECH_TASK, TEXT_TASK
from tests.gateway import SECRET, make_settings

pytestmark = pytest.mark.anyio

ALICE, BOB = UserId("alice"), UserId("bob")
IMAGE = {"input": [1]}
NO_TYPES = httpx.Response(200, json={"ocs": {"meta": {"statuscode": 200}, "data": {"types": []}}})
NO_ROUTE = httpx.Response(404, json={"ocs": {"meta": {"statuscode": 998}, "data": []}})
NOT_TYPES = httpx.Response(200, json={"ocs": {"meta": {"statuscode": 200}, "data": []}})


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = replace(TaskConsumer.FOR_APPS, first_pause=0.01, longest_pause=0.01)
    monkeypatch.setattr(TaskConsumer, "FOR_APPS", changed)


@pytest.fixture
def nextcloud() -> Iterator[Sim]:
    with Sim(secret=SECRET) as nextcloud:
        nextcloud.add_file(1, "alice", "files/a.png", "image/png", "A whale.")
        nextcloud.add_users("bob")
        nextcloud.ocr.mode = nextcloud.audio2text.mode = "read"
        yield nextcloud


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def consumer_of(url: str, clock: Clock | None = None, **options: Any) -> AsyncIterator[TaskConsumer]:
    async with NextcloudClient(make_settings(Path("unused"), nextcloud_url=url), **options) as client:
        yield TaskConsumer(client, Webhooks(), clock=clock or Clock())


async def test_what_is_offered_is_remembered_for_ten_minutes(nextcloud: Sim) -> None:
    nextcloud.ocr.mode = "off"
    clock = Clock()
    async with consumer_of(nextcloud.url, clock) as tasks:
        assert [await tasks.offers(type_) for type_ in (OCR_TASK, SPEECH_TASK, TEXT_TASK)] == [False, True, True]
        nextcloud.ocr.mode = "read"
        clock.now = TYPES_SECONDS - 1
        assert not await tasks.offers(OCR_TASK)
        clock.now = TYPES_SECONDS
        assert await tasks.offers(OCR_TASK)
    requests = nextcloud.stats()["routes"]["GET /ocs/v2.php/taskprocessing/tasks_consumer/tasktypes"]["requests"]
    assert requests == 2


async def test_that_nobody_takes_a_task_is_remembered(nextcloud: Sim) -> None:
    async with consumer_of(nextcloud.url) as tasks:
        assert await tasks.offers(OCR_TASK)
        nextcloud.ocr.mode = "off"
        with pytest.raises(NoProvider):
            await tasks.output(ALICE, OCR_TASK, IMAGE, seconds=5)
        assert not await tasks.offers(OCR_TASK)


@pytest.mark.parametrize("answer", [NO_TYPES, NO_ROUTE], ids=["none", "no route"])
async def test_nothing_may_be_offered(answer: httpx.Response) -> None:
    async with consumer_of("http://cloud.example", transport=httpx.MockTransport(lambda _: answer)) as tasks:
        assert not await tasks.offers(OCR_TASK)


async def test_an_answer_without_task_types_says_nothing(nextcloud: Sim) -> None:
    async with consumer_of("http://cloud.example", transport=httpx.MockTransport(lambda _: NOT_TYPES)) as tasks:
        with pytest.raises(Failed):
            await tasks.offers(OCR_TASK)


@pytest.mark.parametrize("keep", [True, False])
async def test_a_task_is_kept_only_where_that_is_wanted(nextcloud: Sim, keep: bool) -> None:
    async with consumer_of(nextcloud.url) as tasks:
        output = await tasks.output(ALICE, OCR_TASK, IMAGE, seconds=5, keep=keep)
    assert output == {"output": ["A whale."]}
    assert len(list(nextcloud.tasks)) == keep


async def test_a_user_without_the_file_is_refused_and_the_app_is_not(nextcloud: Sim) -> None:
    """Both come with the status 401."""
    async with consumer_of(nextcloud.url) as tasks:
        with pytest.raises(Refused):
            await tasks.output(BOB, OCR_TASK, IMAGE, seconds=5)
        await tasks.require_accepted()


async def test_a_user_who_is_gone_looks_like_an_app_that_is_not_accepted(nextcloud: Sim) -> None:
    async with consumer_of(nextcloud.url) as tasks:
        with pytest.raises(NotAccepted):
            await tasks.output(UserId("nobody"), OCR_TASK, IMAGE, seconds=5)
        await tasks.require_accepted()
        nextcloud.secret = "another"
        with pytest.raises(NotAccepted):
            await tasks.require_accepted()


async def test_a_model_that_fails_and_one_that_takes_too_long_are_told_apart(nextcloud: Sim) -> None:
    async with consumer_of(nextcloud.url) as tasks:
        nextcloud.ocr.mode = "fail"
        with pytest.raises(TaskFailed, match="STATUS_FAILED"):
            await tasks.output(ALICE, OCR_TASK, IMAGE, seconds=5)
        nextcloud.ocr.mode = "hang"
        with pytest.raises(TryLater, match="longer than"):
            await tasks.output(ALICE, OCR_TASK, IMAGE, seconds=0.1)
    assert list(nextcloud.tasks)[-1].status == CANCELLED


async def test_a_task_that_nobody_waits_for_any_more_is_cancelled_also_before_its_number_is_known(
    nextcloud: Sim,
) -> None:
    nextcloud.ocr.mode = "hang"
    nextcloud.fault("slow", path="/schedule", chunk=20, delay=0.05)
    async with consumer_of(nextcloud.url) as tasks, anyio.create_task_group() as group:
        group.start_soon(partial(tasks.output, ALICE, OCR_TASK, IMAGE, seconds=60))
        while not list(nextcloud.tasks):  # noqa: ASYNC110 - the simulator sets no event
            await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    assert [task.status for task in nextcloud.tasks] == [CANCELLED]


async def test_a_task_that_its_user_deletes_has_failed(nextcloud: Sim) -> None:
    nextcloud.ocr.mode = "hang"

    async def delete(response: httpx.Response) -> None:
        for task in nextcloud.tasks:
            nextcloud.tasks.delete(task)

    async with consumer_of(nextcloud.url) as tasks:
        tasks._nextcloud._client.event_hooks = {"response": [delete]}
        with pytest.raises(TaskFailed, match="any more"):
            await tasks.output(ALICE, OCR_TASK, IMAGE, seconds=5)
