"""R2R changes documents and chunks one after the other, and may fail in between, or go on when nobody waits."""

from collections.abc import Awaitable, Callable

import httpx
import pytest

from backends.r2r.driver import R2RDriver
from context_chat_backend.contract import AccessOp, Outcome, Rejected, Unavailable

from .r2r_stage import ALICE, BOB, DOCUMENTS, FILES, WHALE, Stage, found, nothing, source_id, texts

pytestmark = pytest.mark.anyio

STUCK = 601.0
SECRET = "The whale of the second version is a secret."
THIRD = "The whale of the third version."

Hook = Callable[[httpx.Request], Awaitable[None]]


def once(method: str, part: str, then: Hook) -> Hook:
    """A hook for the first request of this kind."""
    done = False

    async def hook(request: httpx.Request) -> None:
        nonlocal done
        if not done and request.method == method and part in request.url.path:
            done = True
            await then(request)

    return hook


async def lost(_: httpx.Request) -> None:
    raise httpx.ReadError("killed")


async def test_a_revocation_that_r2r_did_by_half_is_one(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, users=[ALICE, BOB]))
    chunks = stage.double.store.chunks_of(stage.only().id)
    before = {chunk.id: [*chunk.collection_ids] for chunk in chunks}

    async def undo_in_chunks(_: httpx.Request) -> None:
        for chunk in chunks:
            chunk.collection_ids[:] = before[chunk.id]
        raise httpx.ReadError("killed")

    stage.wire.after = once("DELETE", "/documents/", undo_in_chunks)
    with pytest.raises(Unavailable):
        await driver.update_access(AccessOp.DENY, source_id(1), {BOB})
    stage.wire.after = nothing
    await driver.update_access(AccessOp.DENY, source_id(1), {BOB})
    assert await found(driver, BOB) == set()
    assert await found(driver, ALICE) == {source_id(1)}


async def test_a_grant_that_r2r_did_by_half_is_none(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, users=[ALICE]))
    document = stage.only()
    await driver.upsert(stage.source(2, users=[BOB]))

    async def chunks_only(_: httpx.Request) -> None:
        stage.double.store.assign_chunks(document.id, stage.collection(stage.names.user(BOB)))
        raise httpx.ReadError("killed")

    stage.wire.before = once("POST", "/documents/", chunks_only)
    with pytest.raises(Unavailable):
        await driver.upsert(stage.source(1, users=[ALICE, BOB]))
    stage.wire.before = nothing
    assert await found(driver, BOB) == {source_id(2)}


async def test_a_given_up_version_that_ends_late_replaces_nothing(stage: Stage, driver: R2RDriver) -> None:
    await hang_second_version(stage, driver)
    await driver.update_access(AccessOp.DENY, source_id(1), {BOB})
    assert await driver.upsert(stage.source(1, THIRD, users=[ALICE], modified=3)) is Outcome.UPDATED
    stage.double.finish_ingestions()
    assert (await texts(driver, ALICE), await texts(driver, BOB)) == ([THIRD], [])
    await driver._library.tidy()
    assert (await texts(driver, ALICE), await texts(driver, BOB)) == ([THIRD], [])


async def test_a_rejected_version_does_not_bring_a_given_up_one_back(stage: Stage, driver: R2RDriver) -> None:
    await hang_second_version(stage, driver)
    with pytest.raises(Rejected):
        await driver.upsert(stage.source(1, "", users=[ALICE], modified=3))
    await driver.delete({source_id(1)})
    stage.double.finish_ingestions()
    assert (await texts(driver, ALICE), await texts(driver, BOB)) == ([], [])


async def hang_second_version(stage: Stage, driver: R2RDriver) -> None:
    """R2R is at work on it for so long that it is given up, but it will end."""
    await driver.upsert(stage.source(1, WHALE, users=[ALICE]))
    await stage.send_and_hang_up(driver, stage.source(1, SECRET, users=[ALICE, BOB], modified=2))
    stage.pass_time(STUCK)
    stage.double.advance(STUCK)
    stage.double._holds = False


async def test_an_upload_that_took_long_to_fail_may_still_arrive(stage: Stage, driver: R2RDriver) -> None:
    async def slow(request: httpx.Request) -> None:
        stage.pass_time(300)
        raise httpx.ReadTimeout("300 s", request=request)

    stage.wire.before = once("POST", DOCUMENTS, slow)
    with pytest.raises(Unavailable):
        await driver.upsert(stage.source(1, users=[ALICE, BOB]))
    stage.wire.before = nothing
    with pytest.raises(Unavailable):
        await driver.update_access(AccessOp.DENY, source_id(1), {BOB})
    with pytest.raises(Unavailable):
        await driver.delete_user(BOB)


async def test_a_document_that_r2r_deleted_by_half_is_made_again(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1))

    async def chunks_only(_: httpx.Request) -> None:
        stage.double.store.chunks.clear()
        raise httpx.ReadError("killed")

    stage.wire.before = once("DELETE", "/documents/", chunks_only)
    with pytest.raises(Unavailable):
        await driver.delete({source_id(1)})
    stage.wire.before = nothing
    assert await driver.upsert(stage.source(1)) is Outcome.CREATED
    assert await texts(driver, ALICE) == [WHALE]


async def test_a_source_is_doubted_until_it_is_in_the_collection_of_its_provider(
    stage: Stage, driver: R2RDriver
) -> None:
    stage.wire.after = once("POST", DOCUMENTS, lost)
    with pytest.raises(Unavailable):
        await driver.upsert(stage.source(1))
    stage.wire.after = nothing
    stage.double.store.remove(stage.only().id, stage.collection(stage.names.provider(FILES)))
    stage.wire.before = once("POST", "/documents/", lost)
    with pytest.raises(Unavailable):
        await driver.upsert(stage.source(1))
    stage.wire.before = nothing
    await driver.delete_provider(FILES)
    assert await found(driver, ALICE) == set()


@pytest.mark.parametrize(
    ("content", "mime_type"),
    [("<p>The whale\0 swims.</p>", "text/html"), ('{"whale": "swims\\u0000"}', "application/json")],
)
async def test_markup_with_nul_goes_as_text(stage: Stage, driver: R2RDriver, content: str, mime_type: str) -> None:
    await driver.upsert(stage.source(1, content, title="whale", mime_type=mime_type))
    assert stage.wire.uploads == ["content.txt"]
