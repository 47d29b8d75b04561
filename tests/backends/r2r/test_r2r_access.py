"""Who finds what: shared and foreign documents, filters, hits that R2R should not have returned."""

import json
from typing import Any
from uuid import UUID

import httpx
import pytest

from backends.r2r.driver import R2RDriver
from context_chat_backend.contract import (
    AccessOp,
    NotFound,
    ProviderId,
    ProviderScope,
    Query,
    SourceScope,
    Unavailable,
    UserId,
)
from tests.doubles.r2r.store import Chunk, Document

from .r2r_stage import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    FILES,
    PAPER,
    RAG,
    SEARCH,
    WHALE,
    Stage,
    finding,
    found,
    inventory,
    reset,
    source_id,
    texts,
)

pytestmark = pytest.mark.anyio

MAIL = ProviderId("mail__mail")


def question(user: UserId, **how: Any) -> Query:
    return Query(**{"user_id": user, "text": "whale", "limit": 5, **how})


# ---------------------------------------------------------------------- sharing


async def test_a_shared_document_survives_the_deletion_of_one_of_its_readers(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, users=[ALICE, DAVE]))
    await driver.upsert(stage.source(2, users=[DAVE]))
    chunks = len(stage.double.store.chunks_of(stage.only(1).id))
    await driver.delete_user(DAVE)
    assert await found(driver, ALICE) == {source_id(1)}
    assert len(stage.double.store.chunks_of(stage.only(1).id)) == chunks
    assert (await found(driver, DAVE), stage.stored(2)) == (set(), [])


async def test_no_collection_is_ever_deleted(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, users=[ALICE, DAVE]))
    await driver.delete_user(DAVE)
    await driver.delete_user(ALICE)
    await driver.delete_provider(FILES)
    deleted = {path for method, path in stage.double.requests if method == "DELETE" and "collections" in path}
    assert deleted
    assert all("/documents/" in path for path in deleted)


async def test_denying_one_reader_leaves_the_others(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, users=[ALICE, BOB]))
    await driver.update_access(AccessOp.DENY, source_id(1), {BOB, CAROL})
    assert stage.readers(stage.only()) == {ALICE}


async def test_who_loses_the_last_reader_is_removed(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, users=[ALICE]))
    await driver.update_access(AccessOp.DENY, source_id(1), {ALICE})
    assert stage.stored() == []
    with pytest.raises(NotFound):
        await driver.update_access(AccessOp.ALLOW, source_id(1), {ALICE})


async def test_a_change_that_broke_off_is_completed_by_its_repetition(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, users=[ALICE, BOB]))
    await driver.upsert(stage.source(2, users=[CAROL, DAVE]))
    path = f"/v3/collections/{stage.collection(stage.names.user(DAVE))}/documents/{stage.only().id}"
    with stage.failing(reset, path=path), pytest.raises(Unavailable):
        await driver.set_access(source_id(1), {CAROL, DAVE})
    await driver.set_access(source_id(1), {CAROL, DAVE})
    assert stage.readers(stage.only()) == {CAROL, DAVE}


async def test_readers_beyond_what_the_metadata_hold_are_added_afterwards(
    stage: Stage, driver: R2RDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.r2r.uploads.METADATA_READERS", 2)
    await driver.upsert(stage.source(1, users=[ALICE, BOB, CAROL, DAVE]))
    assert len(stage.only().metadata["collection_ids"]) == 2
    assert stage.readers(stage.only()) == {ALICE, BOB, CAROL, DAVE}


async def test_readers_are_in_the_metadata_and_the_provider_is_in_the_form(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, users=[ALICE, BOB]))
    document = stage.only()
    users = {stage.collection(stage.names.user(user)) for user in (ALICE, BOB)}
    assert {UUID(id_) for id_ in document.metadata["collection_ids"]} == users
    assert set(document.collection_ids) == users | {stage.collection(stage.names.provider(FILES))}
    assert len(document.collection_ids) == 3, "none is there twice, nor is the account's default collection"
    assert "title" not in document.metadata


async def test_equal_bytes_are_two_documents(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, users=[ALICE]))
    await driver.upsert(stage.source(2, users=[BOB]))
    assert (await found(driver, ALICE), await found(driver, BOB)) == ({source_id(1)}, {source_id(2)})
    assert await driver.count() == {FILES: 2}


async def test_a_lost_collection_is_told_of_and_made_again(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, users=[ALICE]))
    await driver.upsert(stage.source(2, users=[BOB]))
    stage.double.store.delete_collection(stage.collection(stage.names.user(BOB)))
    with pytest.raises(Unavailable, match="has lost collection"):
        await driver.update_access(AccessOp.ALLOW, source_id(1), {BOB})
    await driver.update_access(AccessOp.ALLOW, source_id(1), {BOB})
    assert await found(driver, BOB) == {source_id(1)}


# ---------------------------------------------------------------------- what is asked of R2R


@pytest.mark.parametrize("mode", ["hybrid", "semantic"])
async def test_filters_are_always_in_and(stage: Stage, mode: str) -> None:
    async with stage.driver(search_mode=mode) as driver:
        await driver.upsert(stage.source(1))
        scopes = (None, ProviderScope(frozenset({FILES})), SourceScope(frozenset({source_id(1)})))
        for scope in scopes:
            assert await texts(driver, ALICE, scope) == [WHALE]
            assert (await driver.answer(question(ALICE, scope=scope))).source_ids == (source_id(1),)
    bodies = [json.loads(each.content) for each in stage.wire.requests if each.url.path in {SEARCH, RAG}]
    assert len(bodies) == 1 + 3 * len(scopes)
    for body in bodies:
        assert list(body["search_settings"]["filters"]) == ["$and"]
        assert all(body["search_settings"]["filters"]["$and"])
        assert body["search_settings"]["graph_settings"] == {"enabled": False}


async def test_an_ordinary_account_keeps_users_apart(stage: Stage) -> None:
    account = stage.double.ordinary
    async with stage.driver(user=account.email, password=account.password) as driver:
        await driver.upsert(stage.source(1, users=[ALICE]))
        await driver.upsert(stage.source(2, PAPER, users=[BOB]))
        assert (await texts(driver, ALICE), await texts(driver, BOB)) == ([WHALE], [PAPER])
        assert (await driver.answer(question(BOB))).source_ids == (source_id(2),)


@pytest.mark.parametrize(
    "scope",
    [
        ProviderScope(frozenset()),
        ProviderScope(frozenset({MAIL})),
        SourceScope(frozenset()),
        SourceScope(frozenset({source_id(2), source_id(3)})),
    ],
    ids=["no provider", "a provider", "no source", "two sources"],
)
async def test_a_scope_never_widens_access(stage: Stage, driver: R2RDriver, scope: ProviderScope | SourceScope) -> None:
    await driver.upsert(stage.source(1))
    await driver.upsert(stage.source(2, users=[BOB]))
    assert await found(driver, ALICE, scope) == set()
    assert (await driver.answer(question(ALICE, scope=scope))).source_ids == ()
    assert stage.double.chat_calls == []


@pytest.mark.parametrize("text", ["", " \n", "\0", "\ud800"])
async def test_odd_questions_do_no_harm(stage: Stage, driver: R2RDriver, text: str) -> None:
    await driver.upsert(stage.source(1))
    hits = await driver.search(question(ALICE, text=text))
    assert {hit.source_id for hit in hits} <= {source_id(1)}


@pytest.mark.parametrize("limit", [1, 200, 201, 1000])
async def test_limits_that_r2r_takes_are_kept(stage: Stage, driver: R2RDriver, limit: int) -> None:
    await driver.upsert(stage.source(1, " ".join(f"whale{number:04}" for number in range(5000))))
    chunks = len(stage.double.store.chunks)
    assert chunks > 1
    assert len(await driver.search(question(ALICE, limit=limit))) == min(limit, chunks)


async def test_hits_tell_nothing_of_other_readers(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, users=[ALICE, BOB]))
    (hit,) = await driver.search(question(ALICE))
    assert (hit.source_id, hit.title, hit.text) == (source_id(1), "whale.txt", WHALE)
    assert str(stage.collection(stage.names.user(BOB))) not in repr(hit)


async def test_a_hit_has_the_place_that_r2r_tells(stage: Stage, driver: R2RDriver) -> None:
    words = [f"whale {number}" for number in range(400)]
    await driver.upsert(stage.source(1, " ".join(words)))
    hits = sorted(await driver.search(question(ALICE, limit=50)), key=lambda hit: hit.ordinal)
    assert [hit.ordinal for hit in hits] == list(range(len(stage.double.store.chunks)))
    assert " ".join(" ".join(hit.text for hit in hits).split()) == " ".join(words)
    for chunk in stage.double.store.chunks.values():
        del chunk.metadata["chunk_order"]
    assert {(hit.ordinal, hit.heading) for hit in await driver.search(question(ALICE))} == {(0, "")}


async def test_an_answer_does_not_show_ids_of_chunks(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1))
    (chunk,) = stage.double.store.chunks.values()
    answer = await driver.answer(question(ALICE))
    assert answer.text == WHALE
    assert str(chunk.id)[:7] not in answer.text


# ---------------------------------------------------------------------- what R2R should not have returned


def foreign(stage: Stage, user: UserId, source: str = source_id(1)) -> Document:
    """Another account of this R2R puts a document of its own into a user's collection, with metadata like ours."""
    store, owner = stage.double.store, stage.double.ordinary
    collections = [stage.collection(stage.names.user(user)), stage.collection(stage.names.provider(FILES))]
    metadata = {
        "source_id": source,
        "provider": FILES,
        "sha256": "0" * 64,
        "modified": 99,
        "cc_title": "forged.txt",
        "cc_type": "text/plain",
    }
    now = stage.double.clock.now()
    id_ = UUID(int=0xBAD)
    document = Document(id_, owner.id, collections, "txt", metadata, "forged.txt", 1, "success", now, now)
    store.write(document)
    store.chunks[UUID(int=1)] = Chunk(UUID(int=1), id_, owner.id, collections, "whale of lies", metadata)
    return document


async def test_a_document_of_another_account_is_never_returned(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1))
    foreign(stage, ALICE)
    assert await texts(driver, ALICE) == [WHALE]
    answer = await driver.answer(question(ALICE))
    assert (answer.text, answer.source_ids) == (WHALE, (source_id(1),))


async def test_a_document_of_another_account_alone_gives_no_answer(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, users=[ALICE, BOB]))
    await driver.update_access(AccessOp.DENY, source_id(1), {ALICE})
    foreign(stage, ALICE)
    assert await texts(driver, ALICE) == []
    assert (await driver.answer(question(ALICE))).text == ""
    assert stage.double.chat_calls == []


async def test_a_document_of_another_account_is_left_alone(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1))
    document = foreign(stage, ALICE, source_id(2))
    assert [stored.source_id for stored in await finding(driver)] == [source_id(1)]
    assert [version.source_id for version in await inventory(driver)] == [source_id(1)]
    await driver.delete_user(ALICE)
    await driver.delete_provider(FILES)
    assert document.id in stage.double.store.documents


async def leak(stage: Stage, path: str) -> None:
    """R2R forgets about the filter of this route, and returns everything."""
    search = await httpx.AsyncClient(transport=httpx.ASGITransport(app=stage.double), base_url="http://r2r").post(
        SEARCH,
        json={
            "query": "whale",
            "search_settings": {"graph_settings": {"enabled": False}, "filters": _everything(stage)},
        },
        headers={"X-API-Key": stage.double.superuser.api_key},
    )
    results: dict[str, Any] = search.json()["results"]
    if path == RAG:
        results = {"generated_answer": "Bob's secret.", "completion": "Bob's secret.", "search_results": results}
    stage.double.fail_next("POST", path, 200, {"results": results})


def _everything(stage: Stage) -> dict[str, Any]:
    ids = [str(id_) for id_ in stage.double.store.documents]
    return {"$and": [{"document_id": {"$in": ids}}]}


async def test_a_hit_that_the_user_may_not_read_is_dropped(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, users=[ALICE]))
    await driver.upsert(stage.source(2, PAPER, users=[BOB]))
    await leak(stage, SEARCH)
    assert await texts(driver, ALICE) == [WHALE]


@pytest.mark.parametrize("scope", [ProviderScope(frozenset({MAIL})), SourceScope(frozenset({source_id(3, MAIL)}))])
async def test_a_hit_out_of_scope_is_dropped(
    stage: Stage, driver: R2RDriver, scope: ProviderScope | SourceScope
) -> None:
    await driver.upsert(stage.source(1))
    await driver.upsert(stage.source(3, PAPER, provider=MAIL))
    await leak(stage, SEARCH)
    assert await texts(driver, ALICE, scope) == [PAPER]


async def test_an_answer_from_what_the_user_may_not_read_is_refused(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, users=[ALICE]))
    await driver.upsert(stage.source(2, PAPER, users=[BOB]))
    await leak(stage, RAG)
    with pytest.raises(Unavailable) as raised:
        await driver.answer(question(ALICE))
    assert "secret" not in str(raised.value)
