"""How many requests the R2R driver needs, with collections that it has met before unless told otherwise."""

from collections import Counter

import anyio
import httpx
import pytest

from backends.r2r.driver import R2RDriver
from context_chat_backend.contract import AccessOp, Outcome, ProviderScope, Query, Source, SourceScope, UserId

from .r2r_stage import ALICE, BOB, CAROL, DAVE, DOCUMENTS, FILES, PAPER, Stage, found, source_id

pytestmark = pytest.mark.anyio


def calls(stage: Stage) -> Counter[str]:
    """Since the last look."""
    counted = Counter(stage.wire.calls)
    stage.wire.requests.clear()
    return counted


async def upsert_at_once(driver: R2RDriver, sources: list[Source]) -> set[Outcome]:
    outcomes = set()

    async def upsert(source: Source) -> None:
        outcomes.add(await driver.upsert(source))

    async with anyio.create_task_group() as tasks:
        for source in sources:
            tasks.start_soon(upsert, source)
    return outcomes


async def indexed(stage: Stage, driver: R2RDriver, source: Source) -> None:
    await driver.upsert(source)
    calls(stage)


def answer_together(stage: Stage, number: int) -> None:
    """R2R takes longer for a document than the gateway for getting the next one ready."""
    waiting, all_there = set[httpx.Request](), anyio.Event()

    async def wait(request: httpx.Request) -> None:
        if (request.method, request.url.path) == ("POST", DOCUMENTS):
            waiting.add(request)
            if len(waiting) == number:
                all_there.set()
            await all_there.wait()

    stage.wire.before = wait


async def test_eight_new_sources_at_once_take_thirteen_calls(stage: Stage, driver: R2RDriver) -> None:
    batch = [stage.source(item) for item in range(8)]
    answer_together(stage, len(batch))
    calls(stage)
    assert await upsert_at_once(driver, batch) == {Outcome.CREATED}
    looks = {"GET documents": 2, "POST retrieval/search": 1}
    assert calls(stage) == {"POST documents": 8, "POST collections": 2, **looks}


async def test_an_unchanged_batch_takes_one_call(stage: Stage, driver: R2RDriver) -> None:
    batch = [stage.source(item) for item in range(8)]
    await upsert_at_once(driver, batch)
    calls(stage)
    assert await upsert_at_once(driver, batch) == {Outcome.UNCHANGED}
    assert calls(stage) == {"GET documents": 1}


async def test_a_look_up_serves_fifty_sources(stage: Stage, driver: R2RDriver) -> None:
    ids = [source_id(item) for item in range(151)]
    calls(stage)
    await driver.delete(frozenset(ids[:50]))
    assert calls(stage) == {"GET documents": 1}
    await driver.delete(frozenset(ids))
    assert calls(stage) == {"GET documents": 4}


async def test_an_address_never_exceeds_what_proxies_take(stage: Stage, driver: R2RDriver) -> None:
    calls(stage)
    await driver.delete(frozenset(source_id(item) for item in range(50)))
    (request,) = stage.wire.requests
    assert 7000 > len(request.url.raw_path) > 150 * 36


async def test_one_new_reader_takes_two_calls(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(2, users=[BOB]))
    await indexed(stage, driver, stage.source(1))
    await driver.update_access(AccessOp.ALLOW, source_id(1), {BOB})
    assert calls(stage) == {"GET documents": 1, "POST collections/documents": 1}


async def test_a_declaration_takes_a_call_per_change(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(2, users=[ALICE, BOB, CAROL, DAVE]))
    await indexed(stage, driver, stage.source(1, users=[ALICE, BOB, CAROL]))
    await driver.set_access(source_id(1), {CAROL, DAVE})
    changes = {"DELETE collections/documents": 2, "POST collections/documents": 1}
    assert calls(stage) == {"GET documents": 1, **changes}


async def test_a_declaration_of_what_is_takes_one_call(stage: Stage, driver: R2RDriver) -> None:
    await indexed(stage, driver, stage.source(1, users=[ALICE, BOB]))
    await driver.set_access(source_id(1), {ALICE, BOB})
    assert calls(stage) == {"GET documents": 1}


async def test_a_change_of_content_takes_five_calls(stage: Stage, driver: R2RDriver) -> None:
    await indexed(stage, driver, stage.source(1))
    assert await driver.upsert(stage.source(1, PAPER, modified=2)) is Outcome.UPDATED
    looks = {"GET documents": 2, "POST retrieval/search": 1}
    assert calls(stage) == {"POST documents": 1, "DELETE documents": 1, **looks}


async def test_a_newer_version_with_equal_content_is_not_uploaded(stage: Stage, driver: R2RDriver) -> None:
    await indexed(stage, driver, stage.source(1))
    assert await driver.upsert(stage.source(1, modified=2)) is Outcome.UPDATED
    assert calls(stage) == {"GET documents": 1, "PATCH documents/metadata": 1}


async def test_a_deletion_takes_two_calls(stage: Stage, driver: R2RDriver) -> None:
    await indexed(stage, driver, stage.source(1))
    await driver.delete({source_id(1)})
    assert calls(stage) == {"GET documents": 1, "DELETE documents": 1}


@pytest.mark.parametrize(
    "scope", [None, ProviderScope(frozenset({FILES})), SourceScope(frozenset({source_id(1)}))], ids=repr
)
async def test_a_search_takes_two_calls(
    stage: Stage, driver: R2RDriver, scope: ProviderScope | SourceScope | None
) -> None:
    await indexed(stage, driver, stage.source(1))
    assert await found(driver, ALICE, scope) == {source_id(1)}
    assert calls(stage) == {"POST retrieval/search": 1, "GET documents": 1}


async def test_an_answer_takes_three_calls(stage: Stage, driver: R2RDriver) -> None:
    await indexed(stage, driver, stage.source(1))
    answer = await driver.answer(Query(user_id=ALICE, text="whale", limit=5))
    assert answer.source_ids == (source_id(1),)
    assert stage.wire.calls == ["POST retrieval/search", "GET documents", "POST retrieval/rag"]


async def test_without_hits_no_model_is_asked(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, users=[ALICE, BOB]))
    await indexed(stage, driver, stage.source(2, users=[CAROL]))
    scope = SourceScope(frozenset({source_id(2)}))
    answer = await driver.answer(Query(user_id=ALICE, text="whale", limit=5, scope=scope))
    assert (answer.text, answer.source_ids) == ("", ())
    assert calls(stage) == {"POST retrieval/search": 1}
    assert stage.double.chat_calls == []


async def test_a_search_makes_no_collection(stage: Stage, driver: R2RDriver) -> None:
    before = set(stage.double.store.collections)
    calls(stage)
    assert await found(driver, UserId("nobody")) == set()
    assert (await driver.answer(Query(user_id=UserId("nobody"), text="whale", limit=5))).text == ""
    assert set(calls(stage)) == {"GET collections/name"}
    assert set(stage.double.store.collections) == before
    assert stage.double.chat_calls == []


async def test_ten_thousand_known_readers_cost_nothing(stage: Stage, driver: R2RDriver) -> None:
    names = [driver._names.user(UserId(f"user {number}")) for number in range(10_000)]
    await driver._collections.learn({name: f"id of {name}" for name in names})
    calls(stage)
    assert len(await driver._collections.ensure(names)) == 10_000
    assert calls(stage) == {}


async def test_collections_are_known_after_a_restart(stage: Stage) -> None:
    async with stage.driver() as driver:
        await driver.upsert(stage.source(1))
    async with stage.driver() as driver:
        calls(stage)
        assert await found(driver, ALICE) == {source_id(1)}
        assert calls(stage) == {"POST retrieval/search": 1, "GET documents": 1}


async def test_counting_takes_a_call_per_provider(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, users=[ALICE, BOB]))
    await indexed(stage, driver, stage.source(2))
    assert await driver.count() == {FILES: 2}
    assert calls(stage) == {"GET collections": 1}
