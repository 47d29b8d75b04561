"""R2R with a queue: it answers uploads at once and works on them afterwards."""

import httpx
import pytest

from backends.r2r import uploads
from backends.r2r.driver import R2RDriver
from backends.r2r.record import DAY
from context_chat_backend.contract import Outcome, Rejected, Unavailable

from .r2r_stage import ALICE, DOCUMENTS, PAPER, WHALE, Stage, found, journal, nothing, source_id, texts

pytestmark = pytest.mark.anyio


@pytest.fixture
def queue(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """R2R answers uploads at once. The driver's pauses between looks are short."""
    monkeypatch.setattr(uploads, "FIRST_PAUSE", 0.001)
    stage.double.orchestrated = True


def finish_at_look(stage: Stage, number: int) -> None:
    """The queue gets ahead when the driver asks for the n-th time since its upload."""
    looks = 0

    async def count(request: httpx.Request) -> None:
        nonlocal looks
        if any(sent.method == "POST" and sent.url.path == DOCUMENTS for sent in stage.wire.requests):
            looks += request.method == "GET" and request.url.path == DOCUMENTS
        if looks >= number:
            stage.double.finish_ingestions()

    stage.wire.requests.clear()
    stage.wire.before = count


@pytest.mark.usefixtures("queue")
async def test_a_queued_document_is_done_when_the_queue_has_done_it(stage: Stage, driver: R2RDriver) -> None:
    finish_at_look(stage, 4)
    assert await driver.upsert(stage.source(1)) is Outcome.CREATED
    looks = ["GET documents"] * 4
    assert stage.wire.calls[-6:] == ["POST documents", *looks, "POST retrieval/search"]
    assert await found(driver, ALICE) == {source_id(1)}
    assert stage.readers(stage.only()) == {ALICE}
    assert await journal(driver) == []


@pytest.mark.usefixtures("queue")
async def test_a_queue_that_is_too_slow_is_asked_again_later(stage: Stage) -> None:
    async with stage.driver(http_timeout=0.05) as driver:
        with pytest.raises(Unavailable, match="at work") as raised:
            await driver.upsert(stage.source(1))
        assert raised.value.retry_after is not None
        stage.double.finish_ingestions()
        assert await driver.upsert(stage.source(1)) is Outcome.UNCHANGED
        assert await journal(driver) == []


@pytest.mark.usefixtures("queue")
async def test_the_old_version_is_found_while_the_new_one_is_queued(stage: Stage, driver: R2RDriver) -> None:
    finish_at_look(stage, 1)
    await driver.upsert(stage.source(1, WHALE))
    stage.wire.before = nothing
    await stage.send_and_hang_up(driver, stage.source(1, PAPER, modified=2))
    assert await texts(driver, ALICE) == [WHALE]


@pytest.mark.usefixtures("queue")
async def test_what_fails_in_the_queue_for_a_day_is_rejected(stage: Stage, driver: R2RDriver) -> None:
    broken = stage.source(1, b"broken", title="whale.pdf", mime_type="application/pdf")
    finish_at_look(stage, 1)
    for _ in range(4):
        with pytest.raises(Unavailable):
            await driver.upsert(broken)
    stage.pass_time(DAY)
    with pytest.raises(Rejected):
        await driver.upsert(broken)
    assert stage.stored() == []
    assert await journal(driver) == []


@pytest.mark.usefixtures("queue")
async def test_what_fails_once_in_the_queue_is_tried_again(stage: Stage, driver: R2RDriver) -> None:
    stage.double.provider_down = True
    finish_at_look(stage, 1)
    with pytest.raises(Unavailable):
        await driver.upsert(stage.source(1))
    stage.double.provider_down = False
    assert await driver.upsert(stage.source(1)) is Outcome.CREATED
    assert await journal(driver) == []
