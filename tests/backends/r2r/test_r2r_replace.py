"""A new version takes the place of the old one: readers of both find exactly one of them at every moment."""

import anyio
import httpx
import pytest

from backends.r2r.driver import R2RDriver
from context_chat_backend.contract import (
    AccessOp,
    Busy,
    DriverError,
    Outcome,
    Query,
    Rejected,
    Source,
    Unavailable,
    UserId,
)

from .r2r_stage import (
    ALICE,
    BOB,
    CAROL,
    DOCUMENTS,
    FILES,
    PAPER,
    UNREADABLE,
    WHALE,
    Hook,
    Stage,
    finding,
    journal,
    nothing,
    reset,
    source_id,
    texts,
    time_out,
)

pytestmark = pytest.mark.anyio

REPLACEMENT = [
    "GET documents",
    "DELETE collections/documents",
    "POST documents",
    "GET documents",
    "POST retrieval/search",
    "DELETE documents",
]
"""Of what `old` makes by what `new` makes."""


def old(stage: Stage) -> Source:
    return stage.source(1, WHALE, users=[ALICE, BOB], modified=1)


def new(stage: Stage) -> Source:
    return stage.source(1, PAPER, users=[ALICE, CAROL], modified=2)


async def both_known(stage: Stage, driver: R2RDriver) -> None:
    """The old version is stored, and the collections of all users exist."""
    await driver.upsert(stage.source(2, "Somebody else's.", users=[CAROL]))
    await driver.upsert(old(stage))
    stage.wire.requests.clear()


def seen(stage: Stage, user: UserId) -> list[str]:
    """The texts of a user's chunks right now, by the double's own books."""
    collection = stage.collection(stage.names.user(user))
    places = set(stage.names.documents(source_id(1)))
    chunks = stage.double.store.chunks.values()
    return [chunk.text for chunk in chunks if collection in chunk.collection_ids and chunk.document_id in places]


async def test_a_reader_of_both_finds_one_version_at_every_request(stage: Stage, driver: R2RDriver) -> None:
    await both_known(stage, driver)
    moments: list[list[str]] = []
    looking = False

    async def look(_: httpx.Request) -> None:
        nonlocal looking
        if looking:
            return  # a request of this look itself
        looking = True
        moments.append(await texts(driver, ALICE))
        assert await texts(driver, BOB) in ([WHALE], [])
        looking = False

    stage.wire.before = stage.wire.after = look
    await driver.upsert(new(stage))
    assert len(moments) == 2 * len(REPLACEMENT)
    assert [WHALE] in moments
    assert [PAPER] in moments
    assert all(moment in ([WHALE], [PAPER]) for moment in moments)


async def test_the_old_version_is_narrowed_before_the_new_one_is_sent(stage: Stage, driver: R2RDriver) -> None:
    await both_known(stage, driver)

    async def look(_: httpx.Request) -> None:
        assert (seen(stage, ALICE), seen(stage, BOB), seen(stage, CAROL)) == ([WHALE], [], [])

    with stage.failing(look):
        await driver.upsert(new(stage))
    assert stage.wire.calls == REPLACEMENT
    assert (seen(stage, ALICE), seen(stage, BOB), seen(stage, CAROL)) == ([PAPER], [], [PAPER])


async def test_where_nobody_may_read_both_the_old_version_goes_first(stage: Stage, driver: R2RDriver) -> None:
    await both_known(stage, driver)

    async def look(_: httpx.Request) -> None:
        assert stage.stored() == []

    with stage.failing(look):
        outcome = await driver.upsert(stage.source(1, PAPER, users=[CAROL], modified=2))
    assert outcome is Outcome.UPDATED
    assert (seen(stage, BOB), seen(stage, CAROL)) == ([], [PAPER])


# ---------------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"message": "Error getting embeddings: litellm.", "error_type": "R2RException"}, Unavailable),
        (403, {"message": "limit", "error_type": "R2RException"}, Unavailable),
        (409, {"message": "is currently ingesting with status embedding.", "error_type": "R2RException"}, Unavailable),
        (429, {"detail": "Per-route per-minute rate limit exceeded"}, Busy),
        (500, "Internal Server Error", Unavailable),
        (502, "a proxy's page", Unavailable),
        (504, "a proxy's page", Unavailable),
    ],
)
async def test_after_a_refused_upload_the_old_version_is_found_by_readers_of_both(
    stage: Stage, driver: R2RDriver, status: int, body: object, error: type[DriverError]
) -> None:
    await both_known(stage, driver)
    stage.double.fail_next("POST", DOCUMENTS, status, body, text=isinstance(body, str))
    with pytest.raises(error):
        await driver.upsert(new(stage))
    assert [await texts(driver, user) for user in (ALICE, BOB)] == [[WHALE], []]
    assert seen(stage, CAROL) == []
    await assert_it_ends_well(stage, driver)


@pytest.mark.parametrize("failure", [reset, time_out])
async def test_after_a_broken_upload_the_old_version_is_found_by_readers_of_both(
    stage: Stage, driver: R2RDriver, failure: Hook
) -> None:
    await both_known(stage, driver)
    with stage.failing(failure), pytest.raises(Unavailable):
        await driver.upsert(new(stage))
    assert [await texts(driver, user) for user in (ALICE, BOB)] == [[WHALE], []]
    await assert_it_ends_well(stage, driver)


async def test_while_the_embedding_provider_is_down_the_old_version_stays(stage: Stage, driver: R2RDriver) -> None:
    await both_known(stage, driver)
    stage.double.provider_down = True
    for _ in range(7):
        with pytest.raises(Unavailable):
            await driver.upsert(new(stage))
    assert [seen(stage, user) for user in (ALICE, BOB, CAROL)] == [[WHALE], [], []]
    stage.double.provider_down = False
    await assert_it_ends_well(stage, driver)


async def test_a_lost_answer_to_an_upload_is_made_up_for_by_the_next_try(stage: Stage, driver: R2RDriver) -> None:
    await both_known(stage, driver)

    async def lose(request: httpx.Request) -> None:
        if (request.method, request.url.path) == ("POST", DOCUMENTS):
            await reset(request)

    stage.wire.after = lose
    with pytest.raises(Unavailable):
        await driver.upsert(new(stage))
    stage.wire.after = nothing
    assert await texts(driver, ALICE) == [PAPER], "of two versions a search shows the newer one"
    assert await driver.upsert(new(stage)) is Outcome.UNCHANGED
    assert stage.wire.calls.count("POST documents") == 1
    await assert_it_ends_well(stage, driver)


async def test_a_new_version_without_chunks_does_not_cost_the_old_one(stage: Stage, driver: R2RDriver) -> None:
    await both_known(stage, driver)

    async def lose_chunks(request: httpx.Request) -> None:
        if (request.method, request.url.path) == ("POST", DOCUMENTS):
            chunks = stage.double.store.chunks
            stage.double.store.chunks = {id_: chunk for id_, chunk in chunks.items() if chunk.text != PAPER}
            await reset(request)

    stage.wire.after = lose_chunks
    with pytest.raises(Unavailable):
        await driver.upsert(new(stage))
    assert await texts(driver, ALICE) == [WHALE]
    await driver.update_access(AccessOp.ALLOW, source_id(1), {CAROL})
    assert await texts(driver, ALICE) == [WHALE], "an access change is no reason to take the new version for good"
    with pytest.raises(Unavailable):
        await driver.upsert(new(stage))
    assert await texts(driver, ALICE) == [WHALE]


async def assert_it_ends_well(stage: Stage, driver: R2RDriver) -> None:
    await stage.insist(lambda: driver.upsert(new(stage)))
    assert (stage.only().metadata["modified"], stage.readers(stage.only())) == (2, {ALICE, CAROL})
    assert [await texts(driver, user) for user in (ALICE, BOB)] == [[PAPER], []]
    assert await driver.count() == {FILES: 2}
    await driver._library.tidy()
    assert await journal(driver) == []


# ---------------------------------------------------------------------- refused and unchanged versions


async def test_a_version_that_is_rejected_removes_the_old_one(stage: Stage, driver: R2RDriver) -> None:
    await both_known(stage, driver)
    stage.double.fail_next("POST", DOCUMENTS, 500, UNREADABLE, times=2)
    with pytest.raises(Rejected):
        await driver.upsert(new(stage))
    assert stage.stored() == []
    assert await journal(driver) == []
    assert [stored.source_id for stored in await finding(driver)] == [source_id(2)]


async def test_an_older_version_adds_readers_only(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, WHALE, users=[ALICE], modified=2))
    assert await driver.upsert(stage.source(1, PAPER, users=[BOB], modified=1)) is Outcome.UNCHANGED
    assert stage.readers(stage.only()) == {ALICE, BOB}
    assert await texts(driver, BOB) == [WHALE]


async def test_equal_content_under_a_new_title_is_a_new_version(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, title="whale.txt"))
    await driver.upsert(stage.source(1, title="orca.txt", modified=2))
    (hit,) = await driver.search(Query(user_id=ALICE, text="whale", limit=5))
    assert hit.title == "orca.txt"


async def test_a_renamed_file_is_no_newer_and_keeps_its_readers(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, title="whale.txt", users=[ALICE]))
    await driver.upsert(stage.source(1, title="orca.txt", users=[BOB]))
    await driver.upsert(stage.source(1, title="late.txt", users=[BOB], modified=0))
    for user in (ALICE, BOB):
        (hit,) = await driver.search(Query(user_id=user, text="whale", limit=5))
        assert hit.title == "orca.txt"
    assert stage.only().metadata["cc_title"] == "orca.txt"


async def test_equal_content_of_other_readers_changes_the_readers(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(old(stage))
    await driver.upsert(stage.source(1, WHALE, users=[ALICE, CAROL], modified=2))
    assert stage.readers(stage.only()) == {ALICE, CAROL}
    assert stage.only().metadata["modified"] == 2


# ---------------------------------------------------------------------- crashes


@pytest.mark.parametrize("answered", [False, True], ids=["before R2R sees it", "when R2R has done it"])
@pytest.mark.parametrize("number", range(len(REPLACEMENT)))
async def test_a_crash_at_any_request_is_made_up_for_by_the_next_start(
    stage: Stage, number: int, answered: bool
) -> None:
    async with stage.driver() as driver:
        await both_known(stage, driver)
        await crash_at(stage, driver, number, new(stage), answered=answered)
    stage.wire.before = stage.wire.after = nothing
    assert stage.wire.calls == REPLACEMENT[: number + 1]
    assert seen(stage, ALICE), "some version is always found"
    assert seen(stage, BOB) in ([WHALE], [])
    async with stage.driver() as restarted:
        await assert_it_ends_well(stage, restarted)


@pytest.mark.parametrize("answered", [False, True], ids=["before R2R sees it", "when R2R has done it"])
@pytest.mark.parametrize("number", range(7))
async def test_a_crash_of_a_first_upload_is_made_up_for_by_the_next_start(
    stage: Stage, number: int, answered: bool
) -> None:
    async with stage.driver() as driver:
        stage.wire.requests.clear()
        await crash_at(stage, driver, number, old(stage), answered=answered)
    stage.wire.before = stage.wire.after = nothing
    assert len(stage.wire.requests) >= number + 1
    async with stage.driver() as restarted:
        await stage.insist(lambda: restarted.upsert(old(stage)))
        assert stage.readers(stage.only()) == {ALICE, BOB}
        assert [await texts(restarted, user) for user in (ALICE, BOB, CAROL)] == [[WHALE], [WHALE], []]
        assert await restarted.count() == {FILES: 1}
        assert await journal(restarted) == []


async def crash_at(stage: Stage, driver: R2RDriver, number: int, source: Source, *, answered: bool) -> None:
    """Cancel all that the driver is at when it makes this request."""
    with anyio.CancelScope() as scope:

        async def crash(_: httpx.Request) -> None:
            if len(stage.wire.requests) > number:
                scope.cancel()
                await anyio.sleep_forever()

        stage.wire.before, stage.wire.after = (nothing, crash) if answered else (crash, nothing)
        await driver.upsert(source)
