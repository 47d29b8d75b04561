"""Each method of the store, against the engine alone and over HTTP."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import DIMENSION, NAMESPACE
from context_chat_qdrant.settings import QdrantSettings
from context_chat_qdrant.store import QdrantStore
from numpy.typing import NDArray
from qdrant_client import models

from context_chat_backend.contract import Misconfigured
from context_chat_backend.toolkit.catalogue import (
    Candidates,
    ChunkRecord,
    DocumentKey,
    Extent,
    GroupKey,
    Match,
    WordQuery,
)
from context_chat_backend.toolkit.indexing.words.terms import chunk_words, question_of, term

pytestmark = pytest.mark.anyio

ANN, BEN = GroupKey("7"), GroupKey("8")
EAST, NORTH, UP = np.eye(DIMENSION, dtype=np.float32)


def document(number: int) -> DocumentKey:
    return DocumentKey(f"{number:032x}")


def chunks(
    number: int, *texts: str, group: GroupKey = ANN, embeddings: Sequence[NDArray[np.float32]] = (EAST, NORTH, UP)
) -> list[ChunkRecord]:
    return [
        ChunkRecord(
            document=document(number),
            ordinal=ordinal,
            group=group,
            heading=f"above {text}",
            text=text,
            embedding=embedding,
            words=chunk_words("", f"above {text}", text),
        )
        for ordinal, (text, embedding) in enumerate(zip(texts, embeddings, strict=False))
    ]


def extents(*numbers: int) -> list[Extent]:
    return [Extent(document=document(number), chunks=1) for number in numbers]


def readable_by(*groups: GroupKey, documents: Sequence[int] = ()) -> Candidates:
    return Candidates(groups=groups, documents=[document(number) for number in documents])


def match(number: int, ordinal: int, text: str) -> Match:
    return Match(document=document(number), ordinal=ordinal, heading=f"above {text}", text=text)


def bare(matches: Sequence[Match]) -> list[Match]:
    """Without how similar they are."""
    return [replace(match, similarity=None) for match in matches]


def words(text: str, rarity: Callable[[int], float] = lambda term: 1.0) -> WordQuery:
    question = question_of(text, {"en": 1})
    weights = {term: count * rarity(term) for term, count in question.terms.items()}
    return WordQuery(text=text, weights=weights, identifiers=question.distinctive, embedding=EAST)


async def found(store: QdrantStore, candidates: Candidates) -> set[DocumentKey]:
    return {match.document for match in await store.nearest(EAST, candidates, 10_000)}


async def test_the_nearest_come_first_and_no_more_than_asked_for(store: QdrantStore) -> None:
    await store.put(chunks(1, "east", "north", "up"))
    nearest = await store.nearest(np.array([0.1, 0.8, 0.6], dtype=np.float32), readable_by(ANN), 2)
    assert bare(nearest) == [match(1, 1, "north"), match(1, 2, "up")]
    assert [match.similarity for match in nearest] == [pytest.approx(0.8, abs=0.01), pytest.approx(0.6, abs=0.01)]


async def test_a_point_that_was_written_without_a_heading_has_an_empty_one() -> None:
    async with QdrantStore(QdrantSettings(url=":memory:")) as store:
        await store.prepare(NAMESPACE, DIMENSION)
        await store.put(chunks(1, "east"))
        await store._client.delete_payload(NAMESPACE, ["head"], models.Filter())
        assert [match.heading for match in await store.nearest(EAST, readable_by(ANN), 1)] == [""]


async def test_terms_find_what_holds_them_by_what_they_are_worth(store: QdrantStore) -> None:
    await store.put(chunks(1, "the tide and the sea", "the land", "a WHALE!"))
    whale = term("whale")
    found = await store.matching(words("The whale?", lambda of: 9.0 if of == whale else 0.1), readable_by(ANN), 9)
    assert {match.text for match in found} == {"a WHALE!", "the tide and the sea", "the land"}
    assert found[0].text == "a WHALE!"
    assert bare(await store.matching(words("Land ahoy"), readable_by(ANN), 9)) == [match(1, 1, "the land")]


async def test_the_score_of_a_search_by_words_is_bm25(store: QdrantStore) -> None:
    """Nothing in Qdrant weighs it again, however many points there are."""
    (record, *_) = stored = chunks(1, "a whale", "whale and land", "land")
    await store.put(stored)
    weights = words("whale", lambda of: 2.0).weights
    points = (
        await store._client.query_points(
            NAMESPACE, models.SparseVector(indices=list(weights), values=list(weights.values())), using="words"
        )
    ).points
    best = max(point.score for point in points)
    assert best == pytest.approx(
        sum(worth * record.words.weights.get(of, 0) for of, worth in weights.items()), rel=1e-5
    )


async def test_what_is_found_by_words_tells_how_similar_it_is_and_its_language(store: QdrantStore) -> None:
    german = "Der Wal schwimmt langsam durch das kalte Wasser des Meeres."
    between = np.array([0.8, 0.6, 0.0], dtype=np.float32)
    await store.put(chunks(1, german, "Wal", embeddings=[between, UP]))
    found = {match.ordinal: match for match in await store.matching(words("Wal"), readable_by(ANN), 9)}
    assert [found[ordinal].similarity for ordinal in (0, 1)] == [pytest.approx(0.8), pytest.approx(0.0)]
    assert [found[ordinal].language for ordinal in (0, 1)] == ["de", ""]


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("Invoice RE-2024-0815", "re 2024 0815"),
        ("Invoice RE-2024-0815", "RE20240815"),
        ("DE89 3704 0044 0532 0130 00", "DE89370400440532013000"),
        ("Mu\u0308lfeld", "Muelfeld"),
        ("Sent on 3 May 2024", "2024-05-03"),
        ("鲸鱼在深海中游泳", "深海"),
    ],
)
async def test_words_and_numbers_are_found_in_any_spelling(store: QdrantStore, text: str, question: str) -> None:
    await store.put(chunks(1, "nothing", text, "else"))
    found = await store.matching(words(question), readable_by(ANN), 9)
    assert [match.text for match in found] == [text]


@pytest.mark.parametrize("text", ["", "?!", "\N{PILE OF POO}", "\ud800"])
async def test_a_question_without_words_finds_none_by_words(store: QdrantStore, text: str) -> None:
    await store.put(chunks(1, "?!", "\N{PILE OF POO}"))
    assert list(await store.matching(words(text), readable_by(ANN), 9)) == []


async def test_a_chunk_is_found_through_its_group_or_its_document_only(store: QdrantStore) -> None:
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
        assert await found(store, candidates) == {document(number) for number in expected}
        assert {match.document for match in await store.matching(words("whale"), candidates, 9)} == await found(
            store, candidates
        )


async def test_a_chunk_put_again_replaces_itself(store: QdrantStore) -> None:
    await store.put(chunks(1, "old"))
    await store.put(chunks(1, "new", group=BEN))
    assert bare(await store.nearest(EAST, readable_by(ANN, BEN), 9)) == [match(1, 0, "new")]
    assert await found(store, readable_by(ANN)) == set()


async def test_regrouping_moves_all_chunks_of_these_documents_and_no_others(store: QdrantStore) -> None:
    for number in (1, 2, 3):
        await store.put(chunks(number, "a", "b", "c"))
    for _ in range(2):
        assert await store.regroup(extents(1, 2, 99), BEN)
        assert await found(store, readable_by(BEN)) == {document(1), document(2)}
        assert await found(store, readable_by(ANN)) == {document(3)}
    assert len(await store.nearest(EAST, readable_by(BEN), 99)) == 6


async def test_removing_takes_all_chunks_of_these_documents_and_no_others(store: QdrantStore) -> None:
    for number in (1, 2, 3):
        await store.put(chunks(number, "a", "b", "c"))
    for _ in range(2):
        await store.remove(extents(1, 2, 99))
        assert await found(store, readable_by(ANN)) == {document(3)}
        assert await store.chunk_count() == 3


async def test_a_thousand_documents_are_changed_in_one_call(store: QdrantStore) -> None:
    numbers = range(store.documents_per_call)
    await store.put(chunks(5000, "stays"))
    for number in numbers:
        await store.put(chunks(number, "moves"))
    await store.regroup(extents(*numbers), BEN)
    assert len(await found(store, readable_by(BEN))) == len(numbers)
    await store.remove(extents(*numbers))
    assert await found(store, readable_by(ANN, BEN)) == {document(5000)}


async def test_preparing_again_keeps_what_is_there(store: QdrantStore) -> None:
    await store.put(chunks(1, "whale"))
    await store.prepare(NAMESPACE, DIMENSION)
    assert await found(store, readable_by(ANN)) == {document(1)}


async def test_what_an_earlier_version_stored_is_brought_up_to_date(store: QdrantStore) -> None:
    old = NAMESPACE[::-1]
    await store._client.create_collection(
        old,
        vectors_config={"meaning": models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)},
        sparse_vectors_config={"words": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    texts = [f"Invoice RE-2024-{number:04d}" for number in range(300)]
    points = [
        models.PointStruct(
            id=number,
            vector={"meaning": EAST.tolist(), "words": models.SparseVector(indices=[7], values=[1.0])},
            payload={"acl": ANN, "doc": document(number), "ord": 0, "text": text},
        )
        for number, text in enumerate(texts)
    ]
    await store._client.upsert(old, points)
    for _ in range(2):
        await store.prepare(old, DIMENSION)
        found = await store.matching(words("re/2024/0123"), readable_by(ANN), 1)
        assert [match.text for match in found] == [texts[123]]
        params = (await store._client.get_collection(old)).config.params.sparse_vectors
        assert params is not None
        assert params["words"].modifier != models.Modifier.IDF
    assert await store.chunk_count() == 300


async def test_namespaces_see_nothing_of_each_other(store: QdrantStore) -> None:
    await store.put(chunks(1, "whale"))
    await store.prepare(NAMESPACE[::-1], DIMENSION)
    assert await found(store, readable_by(ANN)) == set()
    await store.remove(extents(1))
    await store.prepare(NAMESPACE, DIMENSION)
    assert await found(store, readable_by(ANN)) == {document(1)}


async def test_vectors_of_another_dimension_are_refused(store: QdrantStore) -> None:
    with pytest.raises(Misconfigured, match=f"{NAMESPACE} is not for vectors of dimension 4"):
        await store.prepare(NAMESPACE, 4)


# the client leaves its lock file open when it is refused
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_folder_keeps_chunks_and_belongs_to_one_process(tmp_path: Path) -> None:
    settings = QdrantSettings(url=str(tmp_path))
    async with QdrantStore(settings) as store:
        await store.prepare(NAMESPACE, DIMENSION)
        await store.put(chunks(1, "whale"))
        with pytest.raises(Misconfigured, match="already accessed"):
            await QdrantStore(settings).__aenter__()
    async with QdrantStore(settings) as store:
        await store.prepare(NAMESPACE, DIMENSION)
        assert await found(store, readable_by(ANN)) == {document(1)}
