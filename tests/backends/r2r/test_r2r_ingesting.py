"""What R2R is at work on: what is changed meanwhile it undoes, collections do not show it, and it may never end."""

import uuid
from collections.abc import Awaitable, Callable

import httpx
import pytest

from backends.r2r.driver import R2RDriver
from context_chat_backend.contract import AccessOp, NotFound, Outcome, ProviderId, Unavailable

from .r2r_stage import (
    ALICE,
    BOB,
    CAROL,
    FILES,
    PAPER,
    WHALE,
    Stage,
    finding,
    found,
    inventory,
    journal,
    source_id,
    texts,
)

pytestmark = pytest.mark.anyio

MAIL = ProviderId("mail__mail")
STUCK = 601.0
"""Seconds; the driver waits for twice its timeout for a request, which is 300."""

Change = Callable[[R2RDriver], Awaitable[None]]


# ---------------------------------------------------------------------- changes of one source


async def deny_bob(driver: R2RDriver) -> None:
    await driver.update_access(AccessOp.DENY, source_id(1), {BOB})


async def only_alice(driver: R2RDriver) -> None:
    await driver.set_access(source_id(1), {ALICE})


async def nobody(driver: R2RDriver) -> None:
    await driver.set_access(source_id(1), set())


async def delete(driver: R2RDriver) -> None:
    await driver.delete({source_id(1)})


CHANGES = pytest.mark.parametrize(
    ("change", "readers"), [(deny_bob, {ALICE}), (only_alice, {ALICE}), (nobody, set()), (delete, set())]
)


@CHANGES
async def test_a_change_acts_at_once_on_the_version_that_is_found(
    stage: Stage, driver: R2RDriver, change: Change, readers: set[str]
) -> None:
    await driver.upsert(stage.source(1, WHALE, users=[ALICE, BOB]))
    await stage.send_and_hang_up(driver, stage.source(1, PAPER, users=[ALICE, BOB], modified=2))
    with pytest.raises(Unavailable):
        await change(driver)
    for user in (ALICE, BOB):
        assert await texts(driver, user) == ([WHALE] if user in readers else [])


@CHANGES
async def test_a_repeated_change_reaches_the_version_that_was_at_work(
    stage: Stage, driver: R2RDriver, change: Change, readers: set[str]
) -> None:
    await driver.upsert(stage.source(1, WHALE, users=[ALICE, BOB]))
    await stage.send_and_hang_up(driver, stage.source(1, PAPER, users=[ALICE, BOB], modified=2))
    with pytest.raises(Unavailable):
        await change(driver)
    stage.double.release()
    await change(driver)
    for user in (ALICE, BOB):
        assert await texts(driver, user) == ([PAPER] if user in readers else [])
    assert len(stage.stored()) == (1 if readers else 0)
    assert await driver.count() == ({FILES: 1} if readers else {})


@CHANGES
async def test_a_change_of_a_first_version_waits_for_it(
    stage: Stage, driver: R2RDriver, change: Change, readers: set[str]
) -> None:
    await stage.send_and_hang_up(driver, stage.source(1, users=[ALICE, BOB]))
    with pytest.raises(Unavailable) as raised:
        await change(driver)
    assert raised.value.retry_after is not None
    stage.double.release()
    await change(driver)
    assert {user for user in (ALICE, BOB) if await found(driver, user)} == readers


async def test_an_upsert_waits_for_the_one_before_it(stage: Stage, driver: R2RDriver) -> None:
    await stage.send_and_hang_up(driver, stage.source(1, WHALE, users=[ALICE, BOB]))
    with pytest.raises(Unavailable):
        await driver.upsert(stage.source(1, PAPER, users=[BOB, CAROL], modified=2))
    stage.double.release()
    assert await driver.upsert(stage.source(1, PAPER, users=[BOB, CAROL], modified=2)) is Outcome.UPDATED
    assert stage.readers(stage.only()) == {BOB, CAROL}
    assert await texts(driver, BOB) == [PAPER]
    assert await journal(driver) == []


async def test_a_restart_while_r2r_is_at_work_loses_nothing(stage: Stage) -> None:
    async with stage.driver() as driver:
        await driver.upsert(stage.source(1, WHALE, users=[ALICE, BOB]))
        await stage.send_and_hang_up(driver, stage.source(1, PAPER, users=[ALICE], modified=2))
    async with stage.driver() as driver:
        assert await texts(driver, ALICE) == [WHALE]
        stage.double.release()
        await driver.upsert(stage.source(1, PAPER, users=[ALICE], modified=2))
        assert await texts(driver, ALICE) == [PAPER]
        assert stage.readers(stage.only()) == {ALICE}


async def test_what_r2r_does_not_show_yet_is_waited_for(stage: Stage, driver: R2RDriver) -> None:
    async def too_slow(_: httpx.Request) -> None:
        raise httpx.ReadTimeout("R2R is at it all the same")

    with stage.failing(too_slow), pytest.raises(Unavailable):
        await driver.upsert(stage.source(1))
    with pytest.raises(Unavailable):
        await driver.delete({source_id(1)})
    stage.pass_time(61)
    await driver.delete({source_id(1)})


# ---------------------------------------------------------------------- changes of many sources


async def deny_everywhere(driver: R2RDriver) -> None:
    await driver.update_provider_access(AccessOp.DENY, FILES, {BOB})


async def delete_provider(driver: R2RDriver) -> None:
    await driver.delete_provider(FILES)


async def delete_bob(driver: R2RDriver) -> None:
    await driver.delete_user(BOB)


async def delete_all(driver: R2RDriver) -> None:
    await driver.delete({source_id(item) for item in range(1, 5)})


WIDE = pytest.mark.parametrize("change", [deny_everywhere, delete_provider, delete_bob, delete_all])


@WIDE
async def test_a_wide_change_does_not_miss_what_r2r_is_at_work_on(
    stage: Stage, driver: R2RDriver, change: Change
) -> None:
    await stage.send_and_hang_up(driver, stage.source(1, users=[ALICE, BOB]))
    with pytest.raises(Unavailable):
        await change(driver)
    stage.double.release()
    await change(driver)
    assert await found(driver, BOB) == set()


@WIDE
async def test_a_wide_change_is_not_held_up_by_what_r2r_is_at_work_on(
    stage: Stage, driver: R2RDriver, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.r2r.driver.BATCH", 1)
    for item in (2, 3, 4):
        await driver.upsert(stage.source(item, users=[ALICE, BOB]))
    await driver.upsert(stage.source(5, users=[ALICE], provider=MAIL))
    await stage.send_and_hang_up(driver, stage.source(1, users=[ALICE, BOB]))
    with pytest.raises(Unavailable):
        await change(driver)
    assert await found(driver, BOB) == set()
    stage.double.kill_ingestion()
    stage.pass_time(STUCK)
    await change(driver)
    assert source_id(5, MAIL) in await found(driver, ALICE)


async def test_a_wide_change_reaches_what_came_back_without_a_sender(stage: Stage, driver: R2RDriver) -> None:
    await stage.send_and_hang_up(driver, stage.source(1, users=[ALICE, BOB]))
    stage.double.release()
    assert [stored.source_id for stored in await finding(driver, provider=FILES)] == [source_id(1)]
    await driver.update_provider_access(AccessOp.DENY, FILES, {BOB})
    assert stage.readers(stage.only()) == {ALICE}


# ---------------------------------------------------------------------- given up


async def test_a_document_that_never_ends_is_given_up_after_twice_the_timeout(stage: Stage, driver: R2RDriver) -> None:
    await stage.send_and_hang_up(driver, stage.source(1, WHALE, users=[ALICE]))
    stage.double.kill_ingestion()
    stage.pass_time(STUCK - 10)
    with pytest.raises(Unavailable):
        await driver.upsert(stage.source(1, WHALE, users=[ALICE]))
    stage.pass_time(10)
    assert await driver.upsert(stage.source(1, WHALE, users=[ALICE])) is Outcome.CREATED
    assert stage.only().status == "success"
    assert await texts(driver, ALICE) == [WHALE]


async def test_a_version_that_is_given_up_takes_nothing_along(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, WHALE, users=[ALICE, BOB]))
    await stage.send_and_hang_up(driver, stage.source(1, PAPER, users=[ALICE, BOB], modified=2))
    stage.double.kill_ingestion()
    stage.pass_time(STUCK)
    await driver.update_access(AccessOp.DENY, source_id(1), {BOB})
    assert await texts(driver, ALICE) == [WHALE]
    assert stage.readers(stage.only()) == {ALICE}


async def come_back(stage: Stage, driver: R2RDriver) -> None:
    """A source is deleted while R2R is at work on it for too long, and R2R ends it all the same."""
    await stage.send_and_hang_up(driver, stage.source(1, users=[ALICE]))
    stage.pass_time(STUCK)
    await driver.delete({source_id(1)})
    assert stage.stored() == []
    stage.double.release()
    assert stage.only().status == "success"


async def test_what_was_given_up_and_comes_back_is_not_found(stage: Stage, driver: R2RDriver) -> None:
    await come_back(stage, driver)
    assert await found(driver, ALICE) == set()
    assert await finding(driver) == await finding(driver, provider=FILES) == await finding(driver, user_id=ALICE) == []
    assert await inventory(driver) == await inventory(driver, {source_id(1)}) == []
    with pytest.raises(NotFound):
        await driver.set_access(source_id(1), {ALICE})


async def test_it_is_still_given_up_after_a_restart(stage: Stage) -> None:
    async with stage.driver() as driver:
        await come_back(stage, driver)
    async with stage.driver() as driver:
        assert await found(driver, ALICE) == set()
        assert await finding(driver) == []


async def test_tidying_removes_what_came_back(stage: Stage, driver: R2RDriver) -> None:
    await come_back(stage, driver)
    await driver._library.tidy()
    assert stage.stored() == []
    assert await driver.count() == {}


async def test_tidying_waits_until_r2r_has_done_with_what_comes_back(stage: Stage, driver: R2RDriver) -> None:
    await come_back(stage, driver)
    stage.only().status = "embedding"
    await driver._library.tidy()
    assert len(stage.stored()) == 1


async def test_tidying_forgets_after_a_month_what_was_given_up(stage: Stage, driver: R2RDriver) -> None:
    await come_back(stage, driver)
    await driver._library.tidy()
    assert len(await journal(driver)) == 1
    stage.pass_time(86_401)
    await driver._library.tidy()
    assert len(await journal(driver)) == 1
    stage.pass_time(30 * 86_400)
    await driver._library.tidy()
    assert await journal(driver) == []


async def test_tidying_leaves_what_r2r_is_at_work_on(stage: Stage, driver: R2RDriver) -> None:
    await stage.send_and_hang_up(driver, stage.source(1))
    stage.pass_time(STUCK)
    await driver._library.tidy()
    stage.double.release()
    await driver._library.tidy()
    assert await found(driver, ALICE) == {source_id(1)}


async def test_a_version_that_comes_back_does_not_overwrite_the_next_one(stage: Stage, driver: R2RDriver) -> None:
    await stage.send_and_hang_up(driver, stage.source(1, WHALE, users=[ALICE, BOB]))
    stage.double._holds = False
    stage.pass_time(STUCK)
    assert await driver.upsert(stage.source(1, PAPER, users=[ALICE], modified=2)) is Outcome.CREATED
    stage.double.release()
    assert (await texts(driver, ALICE), await texts(driver, BOB)) == ([PAPER], [])
    await driver._library.tidy()
    assert stage.readers(stage.only()) == {ALICE}


async def test_r2rs_own_clock_tells_of_uploads_that_are_not_remembered(stage: Stage) -> None:
    namespace = str(uuid.uuid4())
    async with stage.driver(namespace=namespace) as driver:
        await stage.send_and_hang_up(driver, stage.source(1))
        (entry,) = await journal(driver)
        await driver._journal.end(entry.document_id)
        stage.double.kill_ingestion()
        stage.double.advance(STUCK - 10)
        with pytest.raises(Unavailable):
            await driver.upsert(stage.source(1))
        stage.double.advance(10)
        assert await driver.upsert(stage.source(1)) is Outcome.CREATED


async def test_a_clock_of_r2r_that_is_wrong_gives_up_nothing_too_early(stage: Stage, driver: R2RDriver) -> None:
    await stage.send_and_hang_up(driver, stage.source(1))
    stage.double.advance(3000)
    with pytest.raises(Unavailable):
        await driver.delete({source_id(1)})
    assert len(stage.stored()) == 1
