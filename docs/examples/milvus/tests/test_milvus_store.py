"""Each method of the store, on Milvus 2.3 as it is packed for PyPI and on milvus-lite."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from context_chat_milvus.store import LONGEST, PAGE, MilvusStore
from records import (
    ANN,
    BEN,
    DIMENSION,
    EAST,
    NAMESPACE,
    UP,
    bare,
    chunks,
    document,
    extents,
    found,
    match,
    readable_by,
    words,
)

from context_chat_backend.contract import DriverError, Level, Misconfigured
from context_chat_backend.toolkit.catalogue import GroupKey
from context_chat_backend.toolkit.indexing.words.terms import chunk_words, term

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
pytest_plugins = ["milvus_fixtures"]


async def test_the_nearest_come_first_and_no_more_than_asked_for(store: MilvusStore) -> None:
    await store.put(chunks(1, "east", "north", "up"))
    nearest = await store.nearest(np.array([0.1, 0.8, 0.6], dtype=np.float32), readable_by(ANN), 2)
    assert bare(nearest) == [match(1, 1, "north"), match(1, 2, "up")]
    assert [match.similarity for match in nearest] == [pytest.approx(0.8, abs=0.01), pytest.approx(0.6, abs=0.01)]


async def test_every_search_sees_what_was_written_before_it(store: MilvusStore) -> None:
    for number in range(20):
        await store.put(chunks(number, "whale"))
        assert len(await found(store, readable_by(ANN))) == number + 1
        await store.remove(extents(number)) if number % 2 else await store.regroup(extents(number), BEN)
        assert document(number) not in await found(store, readable_by(ANN))
        await store.put(chunks(number, "whale"))


async def test_a_chunk_is_found_through_its_group_or_its_document_only(store: MilvusStore) -> None:
    await store.put(chunks(1, "whale", group=ANN))
    await store.put(chunks(2, "whale", group=BEN))
    for candidates, expected in [
        (readable_by(ANN), {1}),
        (readable_by(BEN), {2}),
        (readable_by(ANN, BEN), {1, 2}),
        (readable_by(documents=[2]), {2}),
        (readable_by(ANN, documents=[2]), {1, 2}),
        (readable_by(GroupKey("77"), documents=[3]), set()),
    ]:
        documents = {document(number) for number in expected}
        assert await found(store, candidates) == documents
        if store._has_words:
            assert {match.document for match in await store.matching(words("whale"), candidates, 9)} == documents


async def test_a_filter_may_name_ten_thousand_groups_and_a_thousand_documents(store: MilvusStore) -> None:
    await store.put(chunks(1, "whale", group=GroupKey(str(2**63 - 1))))
    await store.put(chunks(2, "whale", group=BEN))
    await store.put(chunks(3, "whale", group=GroupKey("5")))
    groups = [GroupKey(str(2**63 - 1 - number)) for number in range(10_000)]
    candidates = readable_by(*groups, documents=range(3, 1003))
    assert await found(store, candidates) == {document(1), document(3)}


async def test_a_chunk_put_again_replaces_itself(store: MilvusStore) -> None:
    await store.put(chunks(1, "old"))
    await store.put(chunks(1, "new", group=BEN))
    assert bare(await store.nearest(EAST, readable_by(ANN, BEN), 9)) == [match(1, 0, "new")]
    assert await found(store, readable_by(ANN)) == set()
    assert await store.chunk_count() == 1


async def test_regrouping_moves_all_chunks_of_these_documents_and_no_others(store: MilvusStore) -> None:
    for number in (1, 2, 3):
        await store.put(chunks(number, "a", "b", "c"))
    before = bare(await store.nearest(EAST, readable_by(documents=[1, 2]), 9))
    for _ in range(2):
        assert await store.regroup(extents(1, 2, 99, chunks=3), BEN)
        assert await found(store, readable_by(BEN)) == {document(1), document(2)}
        assert await found(store, readable_by(ANN)) == {document(3)}
    after = await store.nearest(EAST, readable_by(BEN), 99)
    assert sorted(map(repr, bare(after))) == sorted(map(repr, before))
    assert sorted(match.similarity or 0 for match in after) == pytest.approx([0, 0, 0, 0, 1, 1])
    assert await store.chunk_count() == 9


async def test_a_document_of_several_pages_is_moved_as_a_whole(store: MilvusStore) -> None:
    count = 2 * PAGE + 1
    await store.put(chunks(1, *map(str, range(count))))
    assert await store.regroup(extents(1, chunks=count), BEN)
    assert await found(store, readable_by(ANN)) == set()
    found_again = await store.nearest(EAST, readable_by(BEN), store.matches_per_search)
    assert sorted(match.ordinal for match in found_again) == list(range(count))
    await store.remove(extents(1, chunks=count))
    assert await store.chunk_count() == 0


@pytest.mark.parametrize("after", [0, 1, 2])
async def test_a_move_that_is_cut_off_loses_nothing_and_can_be_finished(
    store: MilvusStore, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a gateway that is killed between two requests or within one."""
    count = 2 * PAGE + 1
    await store.put(chunks(1, *map(str, range(count))))
    upsert, calls = store._client.upsert, 0

    async def cut_off(*args: Any, **kwargs: Any) -> object:
        nonlocal calls
        calls += 1
        if calls > after:
            request = asyncio.create_task(upsert(*args, **kwargs))
            await asyncio.sleep(0.005)
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)
            raise TimeoutError
        return await upsert(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(store._client, "upsert", cut_off)
        with pytest.raises(DriverError):
            await store.regroup(extents(1, chunks=count), BEN)
    assert await store.chunk_count() == count
    both = await store.nearest(EAST, readable_by(ANN, BEN), store.matches_per_search)
    assert sorted(match.ordinal for match in both) == list(range(count))
    assert await store.regroup(extents(1, chunks=count), BEN)
    assert await found(store, readable_by(ANN)) == set()
    assert len(await store.nearest(EAST, readable_by(BEN), store.matches_per_search)) == count


async def test_removing_takes_all_chunks_of_these_documents_and_no_others(store: MilvusStore) -> None:
    for number in (1, 2, 3):
        await store.put(chunks(number, "a", "b", "c"))
    for _ in range(2):
        await store.remove(extents(1, 2, 99))
        assert await found(store, readable_by(ANN)) == {document(3)}
        assert await store.chunk_count() == 3


async def test_a_thousand_documents_are_changed_in_one_call(store: MilvusStore) -> None:
    numbers = range(store.documents_per_call)
    await store.put(chunks(5000, "stays"))
    await store.put([chunk for number in numbers for chunk in chunks(number, "moves")])
    await store.regroup(extents(*numbers), BEN)
    assert len(await found(store, readable_by(BEN))) == len(numbers)
    await store.remove(extents(*numbers))
    assert await found(store, readable_by(ANN, BEN)) == {document(5000)}


async def test_texts_as_long_as_they_can_be_are_kept(store: MilvusStore) -> None:
    """Milvus counts bytes."""
    text = "\N{PILE OF POO}" * (LONGEST // 4)
    (record,) = chunks(1, "")
    await store.put([replace(record, text=text)])
    assert [match.text for match in await store.nearest(EAST, readable_by(ANN), 9)] == [text]


async def test_the_marker_is_held_until_it_is_gone(store: MilvusStore) -> None:
    (marker,) = chunks(0, "", group=GroupKey("0"))
    assert not await store.holds(marker)
    await store.put([marker])
    assert await store.holds(marker)
    await store.remove(extents(0))
    assert not await store.holds(marker)


async def test_preparing_again_keeps_what_is_there(store: MilvusStore) -> None:
    await store.put(chunks(1, "whale"))
    await store.prepare(NAMESPACE, DIMENSION)
    assert await found(store, readable_by(ANN)) == {document(1)}


@pytest.mark.parametrize("missing", ["create_index", "load_collection"])
async def test_a_collection_that_was_made_in_part_is_completed(
    store: MilvusStore, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*args: Any, **kwargs: Any) -> None:
        raise TimeoutError

    other = f"ccb-{uuid4().hex}"
    with monkeypatch.context() as patch:
        patch.setattr(store._client, missing, broken)
        with pytest.raises(DriverError):
            await store.prepare(other, DIMENSION)
    await store.prepare(other, DIMENSION)
    await store.put(chunks(1, "whale"))
    assert await found(store, readable_by(ANN)) == {document(1)}


async def test_namespaces_see_nothing_of_each_other(store: MilvusStore) -> None:
    await store.put(chunks(1, "whale"))
    await store.prepare(NAMESPACE[::-1], DIMENSION)
    assert await found(store, readable_by(ANN)) == set()
    await store.remove(extents(1))
    await store.prepare(NAMESPACE, DIMENSION)
    assert await found(store, readable_by(ANN)) == {document(1)}


async def test_vectors_of_another_dimension_are_refused(store: MilvusStore) -> None:
    with pytest.raises(Misconfigured, match="is not for vectors of dimension 4"):
        await store.prepare(NAMESPACE, 4)


async def test_ping_notices_that_the_collection_is_gone(store: MilvusStore) -> None:
    await store.ping()
    await store._client.drop_collection(store._collection)
    with pytest.raises(Misconfigured, match=f"has lost the collection {store._collection}"):
        await store.ping()


async def test_as_many_are_found_as_are_ever_asked_for(store: MilvusStore) -> None:
    """With the longest texts that a chunk has, in the script that takes most bytes."""
    limit, text = store.matches_per_search, "𠀀" * 1000
    for start in range(0, limit + 100, 500):
        await store.put([replace(chunks(start + number, "")[0], text=text) for number in range(500)])
    assert len(await store.nearest(EAST, readable_by(ANN), limit)) == limit


# ---------------------------------------------------------------------- words, which the older server has not


async def test_terms_find_what_holds_them_by_what_they_are_worth(lite: MilvusStore) -> None:
    await lite.put(chunks(1, "the tide and the sea", "the land", "a WHALE!"))
    whale = term("whale")
    found = await lite.matching(words("The whale?", lambda of: 9.0 if of == whale else 0.1), readable_by(ANN), 9)
    assert {match.text for match in found} == {"a WHALE!", "the tide and the sea", "the land"}
    assert found[0].text == "a WHALE!"
    assert bare(await lite.matching(words("Land ahoy"), readable_by(ANN), 9)) == [match(1, 1, "the land")]


async def test_the_score_of_a_search_by_words_is_bm25(lite: MilvusStore) -> None:
    """Nothing in the server weighs it again, however many chunks there are."""
    (record, *_) = stored = chunks(1, "a whale", "whale and land", "land")
    await lite.put(stored)
    weights = words("whale", lambda of: 2.0).weights
    found = await lite._search("words", dict(weights), readable_by(ANN), 9, ["ord"])
    expected = sum(worth * record.words.weights.get(of, 0) for of, worth in weights.items())
    assert found[0]["distance"] == pytest.approx(expected, rel=1e-5)


async def test_what_is_found_by_words_tells_how_similar_it_is_and_its_language(lite: MilvusStore) -> None:
    german = "Der Wal schwimmt langsam durch das kalte Wasser des Meeres."
    between = np.array([0.8, 0.6, 0.0], dtype=np.float32)
    await lite.put(chunks(1, german, "Wal", embeddings=[between, UP]))
    found = {match.ordinal: match for match in await lite.matching(words("Wal"), readable_by(ANN), 9)}
    assert [found[ordinal].similarity for ordinal in (0, 1)] == [pytest.approx(0.8), pytest.approx(0.0)]
    assert [found[ordinal].language for ordinal in (0, 1)] == ["de", ""]


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("Invoice RE-2024-0815", "re 2024 0815"),
        ("DE89 3704 0044 0532 0130 00", "DE89370400440532013000"),
        ("Mu\u0308lfeld", "Muelfeld"),
        ("鲸鱼在深海中游泳", "深海"),
    ],
)
async def test_words_and_numbers_are_found_in_any_spelling(lite: MilvusStore, text: str, question: str) -> None:
    await lite.put(chunks(1, "nothing", text, "else"))
    found = await lite.matching(words(question), readable_by(ANN), 9)
    assert [match.text for match in found] == [text]


@pytest.mark.parametrize("text", ["", "?!", "\N{PILE OF POO}", "\ud800"])
async def test_a_chunk_without_words_is_kept_and_a_question_without_any_finds_none(
    lite: MilvusStore, text: str
) -> None:
    (record,) = chunks(1, "?!")
    await lite.put([replace(record, heading="", words=chunk_words("", "", "?!"))])
    assert list(await lite.matching(words(text), readable_by(ANN), 9)) == []
    assert await found(lite, readable_by(ANN)) == {document(1)}


async def test_words_are_kept_when_the_group_changes(lite: MilvusStore) -> None:
    await lite.put(chunks(1, "whale"))
    await lite.regroup(extents(1), BEN)
    assert bare(await lite.matching(words("whale"), readable_by(BEN), 9)) == [match(1, 0, "whale")]
    assert list(await lite.matching(words("whale"), readable_by(ANN), 9)) == []


async def test_a_server_that_cannot_change_single_fields_gets_words_and_vectors_again(lite: MilvusStore) -> None:
    """As Milvus 2.4 to 2.6.1, of which none is at hand."""
    lite._server = replace(lite._server, merges=False)
    await lite.put(chunks(1, "whale", "?!"))
    assert await lite.regroup(extents(1, chunks=2), BEN)
    (by_words,) = await lite.matching(words("whale"), readable_by(BEN), 9)
    assert by_words.ordinal == 0
    assert by_words.similarity == pytest.approx(1.0)
    assert await lite.chunk_count() == 2


async def test_milvus_without_sparse_vectors_finds_by_meaning_and_says_so(
    milvus: MilvusStore, lite: MilvusStore
) -> None:
    await milvus.put(chunks(1, "whale"))
    assert list(await milvus.matching(words("whale"), readable_by(ANN), 9)) == []
    (finding,) = await milvus.check()
    assert finding.level is Level.WARNING
    assert "version v2.3.5" in finding.text
    assert finding.remedy.startswith("upgrade Milvus to 2.4 or later, then remove the collection and the catalogue")
    (finding,) = await lite.check()
    assert finding.level is Level.OK
