"""The store against the strict double of Pinecone, through the real SDK."""

import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import numpy as np
import pytest
from numpy.typing import NDArray
from pinecone._internal.http_client import get_budget_registry
from pinecone.errors import (
    ApiError,
    ConflictError,
    FailedPreconditionError,
    ForbiddenError,
    NotFoundError,
    PayloadTooLargeError,
    PaymentRequiredError,
    PineconeConnectionError,
    PineconeError,
    PineconeTimeoutError,
    PineconeTypeError,
    PineconeValueError,
    RateLimitError,
    ResponseParsingError,
    ServiceError,
    UnauthorizedError,
)
from pydantic import SecretStr, ValidationError

from backends.pinecone.errors import pinecone_errors
from backends.pinecone.rate import RateLimiter
from backends.pinecone.records import JOINT, REQUEST_BYTES, record_bytes, stored_text, to_record
from backends.pinecone.settings import PineconeSettings
from backends.pinecone.store import PineconeStore
from context_chat_backend.contract import Busy, DriverError, Level, Misconfigured, TransientError, Unavailable
from context_chat_backend.toolkit.catalogue.store import (
    Candidates,
    ChunkRecord,
    DocumentKey,
    Extent,
    GroupKey,
    WordQuery,
)
from context_chat_backend.toolkit.indexing.words.terms import chunk_words, question_of
from tests.doubles.pinecone import PineconeDouble, pinecone_server

pytestmark = pytest.mark.anyio

NAMESPACE = "ccb-0123456789abcdef0123456789abcdef"
DIMENSION = 3
EAST, NORTH, UP = np.eye(DIMENSION, dtype=np.float32)
EVERYONE, STAFF = GroupKey("7"), GroupKey("8")
SECRET_TEXT = "the whale is made of paper"
UPSERT, SEARCH, UPDATE, DELETE = (f"documents/{name}" for name in ("upsert", "search", "update", "delete"))
STATS, CONTROL = "describe_index_stats", "indexes"
FIELDS = {
    "embedding": {"type": "dense_vector", "dimension": DIMENSION, "metric": "cosine"},
    "text": {"type": "string", "full_text_search": {}},
}

Sleep = Callable[[float], Awaitable[None]]


@pytest.fixture
def double() -> Iterator[PineconeDouble]:
    with pinecone_server() as double:
        double.rates.enabled = False
        get_budget_registry()._reset()  # the SDK's allowance of repetitions is one per process and host
        yield double
        assert double.violations == []


@pytest.fixture
def impatient_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK repeats failed requests without pauses."""

    async def no_pause(seconds: float) -> None:
        await anyio.lowlevel.checkpoint()

    monkeypatch.setattr("pinecone._internal.http_client._async_retry_sleep", no_pause)


async def no_sleep(seconds: float) -> None:
    await anyio.lowlevel.checkpoint()


def advancing(double: PineconeDouble) -> Sleep:
    """A sleep that lets the double's clock run, and nothing else does."""
    double.clock.stop()

    async def sleep(seconds: float) -> None:
        double.clock.advance(seconds)
        await anyio.lowlevel.checkpoint()

    return sleep


def settings_for(double: PineconeDouble, **changes: Any) -> PineconeSettings:
    values: dict[str, Any] = {"region": "us-east-1", **changes}
    return PineconeSettings(api_key=SecretStr(double.api_key), controller_host=double.url, **values)


@asynccontextmanager
async def opened(
    double: PineconeDouble, dimension: int = DIMENSION, sleep: Sleep = no_sleep, **changes: Any
) -> AsyncIterator[PineconeStore]:
    async with PineconeStore(settings_for(double, **changes), sleep=sleep) as store:
        await store.prepare(NAMESPACE, dimension)
        yield store


def key(number: int) -> DocumentKey:
    return DocumentKey(f"{number:032x}")


def chunk(
    document: int = 1,
    ordinal: int = 0,
    *,
    group: GroupKey = EVERYONE,
    heading: str = "",
    text: str = "The whale swims.",
    embedding: NDArray[np.float32] = EAST,
) -> ChunkRecord:
    return ChunkRecord(
        document=key(document),
        ordinal=ordinal,
        group=group,
        heading=heading,
        text=text,
        embedding=embedding,
        words=chunk_words("", heading, text),
    )


def words(text: str, embedding: NDArray[np.float32] = EAST) -> WordQuery:
    question = question_of(text, {"en": 1})
    return WordQuery(text=text, weights=question.terms, identifiers=question.distinctive, embedding=embedding)


def unit_vectors(count: int, dimension: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(1).normal(size=(count, dimension)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def long_document(count: int, dimension: int, text: str) -> list[ChunkRecord]:
    vectors = unit_vectors(count, dimension)
    return [chunk(ordinal=number, text=text, embedding=vectors[number]) for number in range(count)]


def extent(document: int, chunks: int = 1) -> Extent:
    return Extent(document=key(document), chunks=chunks)


def groups(*keys: GroupKey) -> Candidates:
    return Candidates(groups=keys, documents=())


def documents(*numbers: int) -> Candidates:
    return Candidates(groups=(), documents=[key(number) for number in numbers])


def calls(double: PineconeDouble, kind: str) -> list[Any]:
    return [call for call in double.calls if call.kind == kind]


def found(matches: Sequence[Any]) -> list[tuple[str, int]]:
    return [(match.document.lstrip("0"), match.ordinal) for match in matches]


# ---------------------------------------------------------------------- uploads


@pytest.mark.parametrize(("dimension", "requests"), [(384, 2), (1024, 4)])
async def test_a_document_of_500_chunks_takes_few_requests(
    double: PineconeDouble, dimension: int, requests: int
) -> None:
    document = long_document(500, dimension, "whale " * 333)
    async with opened(double, dimension) as store:
        assert store.chunks_per_put >= 500
        await store.put(document)
    assert len(calls(double, UPSERT)) == requests
    assert len(double.stored(NAMESPACE)) == 500


@pytest.mark.parametrize("text", ["whale " * 333, "кит " * 500, "鲸" * 1000, '"\\\n\t\x07' * 400, "🐳" * 1000])
async def test_no_request_is_larger_than_what_is_admitted(double: PineconeDouble, text: str) -> None:
    async with opened(double, 384) as store:
        await store.put(long_document(700, 384, text))
    sizes = [call.size for call in calls(double, UPSERT)]
    assert max(sizes) <= REQUEST_BYTES
    assert max(sizes) > 0.9 * REQUEST_BYTES
    assert len(double.stored(NAMESPACE)) == 700


def test_the_estimated_size_of_a_record_is_never_too_small() -> None:
    vectors = [*unit_vectors(20, 50), np.eye(50, dtype=np.float32)[0], np.full(50, -1e-7, dtype=np.float32)]
    for vector in vectors:
        for text in ("", "whale", "RE-2024-0815 " * 500, '\x00\x1f"\\/', "кит鲸🐳", "x" * 30_000):
            some = to_record(chunk(ordinal=99_999, heading=text, text=text, embedding=vector))
            real = len(json.dumps(some, ensure_ascii=False, separators=(",", ":")).encode())
            assert real <= record_bytes(some)


async def test_a_request_has_at_most_1000_chunks(double: PineconeDouble) -> None:
    async with opened(double) as store:
        await store.put([chunk(ordinal=number) for number in range(1001)])
    assert sorted(len(call.body["documents"]) for call in calls(double, UPSERT)) == [1, 1000]


async def test_nothing_leaves_the_gateway_but_chunks_their_keys_and_their_group(double: PineconeDouble) -> None:
    async with opened(double) as store:
        await store.put([chunk(ordinal=4, text="The whale swims.")])
    (call,) = calls(double, UPSERT)
    assert call.namespace == NAMESPACE
    assert call.body == {
        "documents": [
            {
                "_id": f"{key(1)}#00004",
                "embedding": [1.0, 0.0, 0.0],
                "text": "The whale swims.",
                "doc": key(1),
                "acl": EVERYONE,
                "ord": 4,
            }
        ]
    }


async def test_vectors_are_short_in_json_and_hardly_changed(double: PineconeDouble) -> None:
    (vector,) = unit_vectors(1, 384)
    async with opened(double, 384) as store:
        await store.put([chunk(embedding=vector)])
    (document,) = double.stored(NAMESPACE).values()
    assert np.allclose(document["embedding"], vector, rtol=0, atol=1e-7)
    assert calls(double, UPSERT)[0].size < 384 * len("-0.1234567,") + 300


async def test_a_chunk_replaces_the_one_with_its_id(double: PineconeDouble) -> None:
    async with opened(double) as store:
        await store.put([chunk(text="old")])
        await store.put([chunk(text="new")])
        (match,) = await store.nearest(EAST, groups(EVERYONE), 5)
    assert match.text == "new"


async def test_an_upload_that_was_taken_in_part_only_is_to_be_repeated(double: PineconeDouble) -> None:
    async with opened(double) as store:
        double.fail_next(202, body={"upserted_count": 1}, path=".*/upsert")
        with pytest.raises(Unavailable, match="1 of 2"):
            await store.put([chunk(ordinal=0), chunk(ordinal=1)])


# ---------------------------------------------------------------------- texts


async def test_texts_come_back_as_they_were(double: PineconeDouble) -> None:
    async with opened(double) as store:
        for text in [
            "ปลาวาฬว่ายน้ำในทะเลลึก" * 30,
            "鲸鱼在深海中游泳" * 60,
            "QmFzZTY0" * 75 + "end",
            "https://example.org/" + "a" * 300 + "/" + "b" * 300,
            "=" * 600,
            "🐳" * 70,
            "short words stay as they are",
        ]:
            await store.put([chunk(text=text)])
            (match,) = await store.nearest(EAST, groups(EVERYONE), 5)
            assert match.text == text


def test_no_stored_word_is_longer_than_what_is_admitted() -> None:
    for text in ("a" * 5000, "ก" * 5000, "🐳" * 300, "a" * 300 + "." + "b" * 257):
        assert max(len(word.encode()) for word in stored_text(text).replace(".", " ").split()) <= 256


def test_words_are_divided_only_where_they_are_too_long() -> None:
    for text in ("a" * 256, "ж" * 128, ("a" * 200 + "/") * 10, "x " * 5000):
        assert JOINT not in stored_text(text)


async def test_the_parts_of_an_overlong_word_can_be_found(double: PineconeDouble) -> None:
    word = "".join(f"{number:040d}" for number in range(10))
    async with opened(double) as store:
        await store.put([chunk(text=f"begin {word} end")])
        for question in (word, "begin", "end", f"{9:040d}"):
            assert len(await store.matching(words(question), groups(EVERYONE), 5)) == 1


@pytest.mark.parametrize("text", ["a " * 100_000, "🐳" * 100_000, "a," * 50_000])
async def test_an_immense_text_is_cut_and_its_source_is_not_lost(double: PineconeDouble, text: str) -> None:
    async with opened(double) as store:
        await store.put([chunk(text=text)])
        (match,) = await store.nearest(EAST, groups(EVERYONE), 5)
    assert text.startswith(match.text)
    assert len(match.text) > 10_000


async def test_lone_surrogates_do_no_harm(double: PineconeDouble) -> None:
    async with opened(double) as store:
        await store.put([chunk(text="a whale \ud800 swims")])
        (match,) = await store.matching(words("whale"), groups(EVERYONE), 5)
    assert match.text == "a whale \ufffd swims"


@pytest.mark.parametrize(
    ("heading", "kept"),
    [("", ""), ("Guide > Whales", "Guide > Whales"), ("Wal\ud800", "Wal\ufffd"), ("鲸" * 100_000, "鲸" * 300)],
    ids=["none", "words", "surrogate", "immense"],
)
async def test_a_heading_comes_back_with_its_chunk(double: PineconeDouble, heading: str, kept: str) -> None:
    async with opened(double) as store:
        await store.put([chunk(ordinal=0, heading=heading)])
        for matches in (
            await store.nearest(EAST, groups(EVERYONE), 5),
            await store.matching(words("whale"), groups(EVERYONE), 5),
        ):
            assert [match.heading for match in matches] == [kept]


async def test_a_record_that_was_written_without_a_heading_has_an_empty_one(double: PineconeDouble) -> None:
    async with opened(double) as store:
        await store.put([chunk()])
        (record,) = double.stored(NAMESPACE).values()
        assert "head" not in record
        (match,) = await store.nearest(EAST, groups(EVERYONE), 5)
    assert match.heading == ""


# ---------------------------------------------------------------------- searches


async def test_the_nearest_come_first_and_not_more_than_asked_for(double: PineconeDouble) -> None:
    between = np.asarray([0.8, 0.6, 0.0], dtype=np.float32)
    async with opened(double) as store:
        await store.put([chunk(1, embedding=UP), chunk(2, embedding=between), chunk(3, embedding=EAST)])
        assert found(await store.nearest(EAST, groups(EVERYONE), 2)) == [("3", 0), ("2", 0)]


async def test_the_words_of_a_question_find_chunks(double: PineconeDouble) -> None:
    async with opened(double) as store:
        await store.put([chunk(1, text="A ship."), chunk(2, ordinal=5, text="The Whale, white.")])
        matches = await store.matching(words("Is the whale white?"), groups(EVERYONE), 5)
    assert found(matches) == [("2", 5)]
    assert matches[0].text == "The Whale, white."


NUMBERS = [
    (
        "Invoice RE-2024-0815 of May",
        ["RE-2024-0815", "re 2024 0815", "RE/2024/0815", "RE20240815", "number 2024-0815?"],
    ),
    ("Pay to DE89 3704 0044 0532 0130 00", ["DE89370400440532013000", "de89 3704 0044 0532 0130 00"]),
    ("Total 1.234,56 for Mu\u0308lfeld", ["1234.56", "1234,56"]),
    ("Sent on 3 May 2024", ["2024-05-03", "03.05.2024"]),
]


@pytest.mark.parametrize(("text", "question"), [(text, question) for text, asked in NUMBERS for question in asked])
async def test_a_number_is_found_in_any_spelling_and_within_reach(
    double: PineconeDouble, text: str, question: str
) -> None:
    async with opened(double) as store:
        others = [chunk(number, text=f"Invoice RE-2023-{number:04d} and 77{number}") for number in range(3, 9)]
        await store.put([*others, chunk(1, text=text), chunk(2, group=STAFF, text=text)])
        asked = words(question, NORTH)
        assert found(await store.matching(asked, groups(EVERYONE), 5))[0] == ("1", 0)
        assert found(await store.matching(asked, documents(2), 5)) == [("2", 0)]


async def test_a_question_with_a_number_costs_one_search_more(double: PineconeDouble) -> None:
    async with opened(double) as store:
        await store.put([chunk(text="RE-2024-0815")])
        (match,) = await store.matching(words("RE-2024-0815", NORTH), groups(EVERYONE), 5)
        assert match.similarity == pytest.approx(0.0)
    assert len(calls(double, SEARCH)) == 2


async def test_nothing_of_a_title_leaves_the_gateway(double: PineconeDouble) -> None:
    text = "The whale swims."
    titled = replace(chunk(text=text), words=chunk_words("Dismissal of J. Doe 2024-05-03 RE-2024-0815.pdf", "", text))
    async with opened(double) as store:
        await store.put([titled])
        assert "ids" not in double.stored(NAMESPACE)[titled.id]


async def test_as_many_numbers_are_kept_as_have_room(double: PineconeDouble) -> None:
    text = " ".join(f"{number:09d}," for number in range(10**8, 10**8 + 1700))
    async with opened(double) as store:
        await store.put([chunk(text=text)])
        (record,) = double.stored(NAMESPACE).values()
        assert len(record["ids"]) == 500
        assert len(await store.matching(words("100001699"), groups(EVERYONE), 5)) == 1


async def test_language_and_similarity_come_back(double: PineconeDouble) -> None:
    german = "Der Wal schwimmt langsam durch das kalte Wasser des Meeres."
    between = np.asarray([0.8, 0.6, 0.0], dtype=np.float32)
    async with opened(double) as store:
        await store.put([chunk(1, text=german, embedding=between), chunk(2, text="?", embedding=UP)])
        first, second = await store.nearest(EAST, groups(EVERYONE), 5)
        assert (first.language, second.language) == ("de", "")
        assert [first.similarity, second.similarity] == pytest.approx([0.8, 0.0])
        (match,) = await store.matching(words("Wal"), groups(EVERYONE), 5)
        assert (match.language, match.similarity) == ("de", None)


async def test_a_search_stays_within_reach(double: PineconeDouble) -> None:
    async with opened(double) as store:
        await store.put([chunk(1, group=EVERYONE), chunk(2, group=STAFF), chunk(3, group=STAFF)])

        async def nearest(candidates: Candidates) -> list[tuple[str, int]]:
            return found(await store.nearest(EAST, candidates, 5))

        async def matching(candidates: Candidates) -> list[tuple[str, int]]:
            return found(await store.matching(words("whale"), candidates, 5))

        for search in (nearest, matching):
            assert await search(groups(EVERYONE)) == [("1", 0)]
            assert await search(groups(EVERYONE, STAFF)) == [("1", 0), ("2", 0), ("3", 0)]
            assert await search(documents(3)) == [("3", 0)]
            assert await search(Candidates(groups=[EVERYONE], documents=[key(2)])) == [("1", 0), ("2", 0)]
            assert await search(groups(GroupKey("9"))) == []


async def test_a_search_reaches_any_number_of_groups_and_documents(double: PineconeDouble) -> None:
    many = [GroupKey(str(number)) for number in range(100, 25_101)]
    async with opened(double) as store:
        await store.put([chunk(1, group=many[0]), chunk(2, group=many[-1]), chunk(3), chunk(4)])
        candidates = Candidates(groups=many, documents=[key(3), *(key(number) for number in range(1000, 12_000))])
        assert found(await store.nearest(EAST, candidates, 5)) == [("1", 0), ("2", 0), ("3", 0)]
    (clauses,) = [call.body["filter"]["$or"] for call in calls(double, SEARCH)]
    assert [len(values["$in"]) for clause in clauses for values in clause.values()] == [
        10_000,
        10_000,
        5001,
        10_000,
        1001,
    ]


async def test_a_search_without_reach_finds_nothing(double: PineconeDouble) -> None:
    async with opened(double) as store:
        await store.put([chunk()])
        with double.expect_violations(), pytest.raises(Misconfigured):
            await store.nearest(EAST, groups(), 5)


async def test_only_what_is_shown_and_the_language_are_asked_for(double: PineconeDouble) -> None:
    async with opened(double) as store:
        await store.nearest(EAST, groups(EVERYONE), 5)
        await store.matching(words("whale songs"), groups(EVERYONE), 7)
    assert [call.body["include_fields"] for call in calls(double, SEARCH)] == [["text", "head", "lang"]] * 2
    assert [call.body["top_k"] for call in calls(double, SEARCH)] == [5, 7]


async def test_the_largest_answer_is_within_the_limit(double: PineconeDouble) -> None:
    async with opened(double) as store:
        most = store.matches_per_search
        await store.put([chunk(ordinal=number, heading="鲸" * 1000, text="鲸" * 1000) for number in range(most)])
        assert len(await store.nearest(EAST, groups(EVERYONE), most)) == most


async def test_odd_characters_in_a_question_do_no_harm(double: PineconeDouble) -> None:
    async with opened(double) as store:
        await store.put([chunk(1, text="the whale"), chunk(2, text="a ship")])
        for question in [
            'whale" OR (acl:*)^9 ~2 \\',
            "whale AND NOT",
            "+whale -whale whale* whale? [whale TO whale} {whale",
            "\ud800whale\udfff",
            "whale\x00whale",
            "🐳whale🐳",
            "whale " * 10_000,
            "whale " + "x" * 10_000,
            "whale " + "鲸" * 10_000,
            "whale\u200a\u2028\ufeff whale",
        ]:
            assert found(await store.matching(words(question), groups(EVERYONE), 5)) == [("1", 0)]


async def test_a_question_without_words_matches_nothing_and_asks_nobody(double: PineconeDouble) -> None:
    async with opened(double) as store:
        await store.put([chunk()])
        for question in ["", " \n\t", "???", '"(^~*', "🐳", "\ud800", "\u200b\u0301", "—"]:
            assert await store.matching(words(question), groups(EVERYONE), 5) == []
    assert calls(double, SEARCH) == []


async def test_before_the_first_upload_nothing_is_found(double: PineconeDouble) -> None:
    async with opened(double) as store:
        assert await store.nearest(EAST, groups(EVERYONE), 5) == []
        assert await store.matching(words("whale"), groups(EVERYONE), 5) == []
        assert await store.chunk_count() == 0


async def test_before_the_first_upload_a_404_is_no_failure(double: PineconeDouble) -> None:
    async with opened(double) as store:
        with double.fail_all(404, path=".*/documents/.*"):
            assert await store.nearest(EAST, groups(EVERYONE), 5) == []
            assert not await store.regroup([extent(1)], STAFF)
            await store.remove([extent(1)])


async def test_a_404_for_what_was_there_is_a_failure(double: PineconeDouble) -> None:
    async with opened(double) as store:
        await store.put([chunk()])
        with double.fail_all(404, path=".*/documents/.*"), pytest.raises(Unavailable):
            await store.nearest(EAST, groups(EVERYONE), 5)
        with double.fail_all(404), pytest.raises(Misconfigured, match="PINECONE_INDEX"):
            await store.nearest(EAST, groups(EVERYONE), 5)


async def test_what_is_no_chunk_of_a_gateway_is_not_returned(double: PineconeDouble) -> None:
    async with opened(double) as store:
        matches = [{"_id": "by-hand", "_score": 1.0, "text": "x"}, {"_id": f"{key(1)}#00000", "_score": 0.5}]
        body = {"matches": matches, "namespace": NAMESPACE, "usage": {"read_units": 1}}
        double.fail_next(200, body=body, path=".*/search")
        assert await store.nearest(EAST, groups(EVERYONE), 5) == []


# ---------------------------------------------------------------------- changes of groups, removal


async def test_the_group_of_1000_documents_is_changed_by_one_request(double: PineconeDouble) -> None:
    async with opened(double) as store:
        await store.put([chunk(number, ordinal) for number in range(200) for ordinal in range(2)])
        everything = [extent(number, 2) for number in range(200)] + [extent(number, 0) for number in range(200, 1000)]
        assert await store.regroup(everything, STAFF)
        assert {document["acl"] for document in double.stored(NAMESPACE).values()} == {STAFF}
        assert await store.nearest(EAST, groups(EVERYONE), 5) == []
    assert len(calls(double, UPDATE)) == 1


async def test_other_documents_keep_their_group(double: PineconeDouble) -> None:
    async with opened(double) as store:
        await store.put([chunk(1), chunk(2)])
        assert await store.regroup([extent(1)], STAFF)
        assert found(await store.nearest(EAST, groups(EVERYONE), 5)) == [("2", 0)]


async def test_chunks_that_were_not_there_yet_are_told(double: PineconeDouble) -> None:
    sleep = advancing(double)
    double.lag = 5
    async with opened(double, sleep=sleep) as store:
        await store.put([chunk(1, 0), chunk(1, 1)])
        assert not await store.regroup([extent(1, 2)], STAFF)
        double.clock.advance(6)
        assert await store.regroup([extent(1, 2)], STAFF)
    assert {document["acl"] for document in double.stored(NAMESPACE).values()} == {STAFF}


async def test_a_change_that_could_not_be_counted_is_repeated(double: PineconeDouble) -> None:
    async with opened(double) as store:
        await store.put([chunk()])
        double.fail_next(202, body={}, path=".*/update")
        assert not await store.regroup([extent(1)], STAFF)


async def test_an_immense_document_is_changed_in_slices(double: PineconeDouble) -> None:
    async with opened(double) as store:
        await store.put([chunk(1, ordinal) for ordinal in (0, 99_999, 100_000, 200_000)])
        await store.regroup([extent(1, 200_001)], STAFF)
    assert {id_[-6:]: document["acl"] for id_, document in double.stored(NAMESPACE).items()} == {
        "#00000": STAFF,
        "#99999": STAFF,
        "100000": STAFF,
        "200000": STAFF,
    }
    assert len(calls(double, UPDATE)) == 3


async def test_documents_are_removed_1000_chunks_per_request(double: PineconeDouble) -> None:
    async with opened(double) as store:
        await store.put([chunk(1, ordinal) for ordinal in range(1000)])
        await store.put([chunk(2, ordinal) for ordinal in range(1000)])
        await store.put([chunk(3)])
        await store.remove([extent(1, 1000), extent(2, 1001), extent(4, 499)])
    assert len(calls(double, DELETE)) == 3
    assert list(double.stored(NAMESPACE)) == [f"{key(3)}#00000"]


async def test_changes_and_removals_share_one_pace(double: PineconeDouble) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async with opened(double, sleep=sleep, changes_per_second=0.001) as store:
        await store.put([chunk()])
        await store.regroup([extent(1)], STAFF)
        await store.remove([extent(1, 1500)])
        await store.regroup([extent(1)], STAFF)
    assert [round(wait, -1) for wait in waits] == [1000, 2000, 3000]


async def test_the_documented_rates_are_kept(double: PineconeDouble) -> None:
    sleep = advancing(double)
    double.rates.enabled = True
    async with PineconeStore(settings_for(double), clock=double.clock.now, sleep=sleep) as store:
        await store.prepare(NAMESPACE, DIMENSION)
        for number in range(10):
            await store.regroup([extent(number, 0)], STAFF)
            await store.remove([extent(number, 1000)])
            await store.regroup([extent(number, 0)], EVERYONE)
    assert len(calls(double, UPDATE)) == 20
    assert len(calls(double, DELETE)) == 10


async def test_callers_are_let_through_at_equal_distances() -> None:
    now, waits = 100.0, []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    limiter = RateLimiter(4, clock=lambda: now, sleep=sleep)
    for _ in range(4):
        await limiter.turn()
    now = 100.9
    await limiter.turn()
    now = 200.0
    await limiter.turn()
    assert waits == pytest.approx([0.25, 0.5, 0.75, 0.1])


# ---------------------------------------------------------------------- lag


async def test_a_document_is_waited_for_until_searches_find_it(double: PineconeDouble) -> None:
    sleep = advancing(double)
    double.lag = 5
    async with opened(double, sleep=sleep) as store:
        await store.put([chunk()])
        assert await store.nearest(EAST, groups(EVERYONE), 5) == []
        await store.wait_until_searchable(extent(1))
        assert found(await store.nearest(EAST, groups(EVERYONE), 5)) == [("1", 0)]


async def test_all_parts_of_a_document_are_waited_for(double: PineconeDouble) -> None:
    sleep = advancing(double)
    async with opened(double, sleep=sleep) as store:
        await store.put([chunk(1, 0)])
        double.lag = 5
        await store.put([chunk(1, 1)])
        await store.wait_until_searchable(extent(1, 2))
        assert len(await store.nearest(EAST, groups(EVERYONE), 5)) == 2


async def test_after_a_restart_a_document_is_waited_for_until_it_is_found(double: PineconeDouble) -> None:
    sleep = advancing(double)
    async with opened(double, sleep=sleep) as store:
        double.lag = 5
        await store.put([chunk()])
    async with opened(double, sleep=sleep) as store:
        await store.wait_until_searchable(extent(1))
        assert found(await store.nearest(EAST, groups(EVERYONE), 5)) == [("1", 0)]


async def test_waiting_for_a_document_ends(double: PineconeDouble) -> None:
    double.clock.stop()
    double.lag = 5
    async with opened(double, settle_seconds=0.05) as store:
        assert store.settle_seconds == 0.05
        await store.put([chunk()])
        await store.wait_until_searchable(extent(1))
        assert await store.nearest(EAST, groups(EVERYONE), 5) == []


# ---------------------------------------------------------------------- the index


async def test_the_index_is_made_at_the_first_start(double: PineconeDouble) -> None:
    async with opened(double, index="my-chat", cloud="gcp", region="europe-west4"):
        assert double.index_names == ["my-chat"]
    async with opened(double, index="my-chat"):
        pass
    (made,) = [call.body for call in calls(double, CONTROL) if call.method == "POST"]
    assert made == {
        "name": "my-chat",
        "schema": {"fields": FIELDS},
        "deployment": {"deployment_type": "managed", "cloud": "gcp", "region": "europe-west4"},
    }


async def test_no_index_is_made_where_nobody_said_where(double: PineconeDouble) -> None:
    with pytest.raises(Misconfigured, match="PINECONE_REGION"):
        async with opened(double, region=None):
            pass
    assert double.index_names == []
    double.preset_index("context-chat", FIELDS)
    async with opened(double, region=None):
        pass


async def test_an_index_elsewhere_than_the_settings_say_is_told(double: PineconeDouble) -> None:
    double.preset_index("context-chat", FIELDS)
    async with opened(double, region="eu-central-1") as store:
        findings = {finding.subject: finding for finding in await store.check()}
    assert findings["index"].level is Level.WARNING
    assert "aws eu-central-1" in findings["index"].text


async def test_an_index_that_another_gateway_just_made_is_used(double: PineconeDouble) -> None:
    double.preset_index("context-chat", FIELDS)
    double.fail_next(404, path="/indexes/context-chat")
    async with opened(double) as store:
        await store.put([chunk()])
    assert [call.method for call in calls(double, CONTROL)] == ["GET", "POST", "GET"]


async def test_a_new_index_is_waited_for(double: PineconeDouble) -> None:
    double.ready_after = 9
    async with opened(double, sleep=advancing(double)) as store:
        await store.put([chunk()])


async def test_waiting_for_a_new_index_ends(double: PineconeDouble) -> None:
    double.ready_after = math.inf
    with pytest.raises(Unavailable, match="the wait for the index context-chat took too long"):
        async with opened(double, create_timeout=0.1):
            pass


@pytest.mark.parametrize("state", ["InitializationFailed", "Disabled"])
async def test_an_index_that_never_becomes_ready_is_told(double: PineconeDouble, state: str) -> None:
    body = {
        "name": "context-chat",
        "status": {"ready": False, "state": state},
        "schema": {"fields": FIELDS},
        "deployment": {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"},
        "deletion_protection": "disabled",
    }
    double.fail_next(200, body=body, path="/indexes/context-chat")
    with pytest.raises(Misconfigured, match=state):
        async with opened(double):
            pass


def other_fields(**changes: Any) -> dict[str, Any]:
    return {name: field for name, field in (FIELDS | changes).items() if field is not None}


@pytest.mark.parametrize(
    ("fields", "problem", "shown"),
    [
        (
            other_fields(embedding={"type": "dense_vector", "dimension": 1536, "metric": "cosine"}),
            "holds vectors of 1536 dimensions, the embedding model gives 3",
            "embedding (dense_vector, 1536, cosine)",
        ),
        (
            other_fields(embedding={"type": "dense_vector", "dimension": 3, "metric": "dotproduct"}),
            "compares vectors by dotproduct instead of cosine",
            "embedding (dense_vector, 3, dotproduct)",
        ),
        (other_fields(text=None), "has no field text with full-text search", "embedding (dense_vector, 3, cosine)"),
        (other_fields(embedding=None), "has no field embedding of dense vectors", "text (string, full-text search)"),
        (
            other_fields(embedding=None, v={"type": "dense_vector", "dimension": 3, "metric": "cosine"}),
            "has vectors in v, which the gateway does not fill",
            "v (dense_vector, 3, cosine)",
        ),
    ],
)
async def test_an_index_of_another_form_is_refused_and_told(
    double: PineconeDouble, fields: dict[str, Any], problem: str, shown: str
) -> None:
    double.preset_index("context-chat", fields)
    with pytest.raises(Misconfigured) as caught:
        async with opened(double):
            pass
    message = str(caught.value)
    assert problem in message
    assert shown in message.partition("It has:")[2].partition("Needed:")[0]
    assert "Needed: embedding (dense_vector, 3, cosine), text (string, full-text search)" in message
    assert "PINECONE_INDEX" in message


async def test_an_index_of_the_vectors_api_is_refused_and_told(double: PineconeDouble) -> None:
    double.preset_vectors_index("context-chat", DIMENSION)
    with pytest.raises(Misconfigured, match="was made for the older vectors API"):
        async with opened(double):
            pass


async def test_an_index_with_the_admins_own_choice_of_language_is_used(double: PineconeDouble) -> None:
    text = {"type": "string", "full_text_search": {"language": "de", "stemming": True}}
    double.preset_index("context-chat", other_fields(text=text, title=FIELDS["text"]))
    async with opened(double) as store:
        await store.put([chunk()])


async def test_with_a_host_the_control_plane_is_never_asked(double: PineconeDouble) -> None:
    double.preset_index("by-hand", FIELDS)
    async with opened(double, host=double.url) as store:
        assert store.address == double.url
        await store.put([chunk()])
        assert found(await store.nearest(EAST, groups(EVERYONE), 5)) == [("1", 0)]
        assert {finding.level for finding in await store.check()} == {Level.OK}
    assert calls(double, CONTROL) == []


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            other_fields(embedding={"type": "dense_vector", "dimension": 1536, "metric": "cosine"}),
            "holds vectors of 1536 dimensions, the embedding model gives 3",
        ),
        (other_fields(text=None), "has another form"),
        (other_fields(embedding=None), "has another form"),
    ],
)
async def test_the_index_at_a_host_is_tried_before_it_is_used(
    double: PineconeDouble, fields: dict[str, Any], problem: str
) -> None:
    double.preset_index("by-hand", fields)
    with pytest.raises(Misconfigured, match=problem):
        async with opened(double, host=double.url):
            pass
    double.violations.clear()


async def test_an_index_of_the_vectors_api_at_a_host_is_refused(double: PineconeDouble) -> None:
    double.preset_vectors_index("by-hand", DIMENSION)
    with pytest.raises(Misconfigured, match=r"400 .*has another form"):
        async with opened(double, host=double.url):
            pass


def test_the_address_is_known_before_anything_is_asked(double: PineconeDouble) -> None:
    assert PineconeStore(settings_for(double, index="my-chat")).address == "Pinecone index my-chat"
    assert double.calls == []


# ---------------------------------------------------------------------- health


async def test_a_ping_is_one_cheap_request(double: PineconeDouble) -> None:
    async with opened(double) as store:
        before = len(double.calls)
        await store.ping()
    assert [call.kind for call in double.calls[before:]] == [STATS]


async def test_chunks_of_the_namespace_are_counted(double: PineconeDouble) -> None:
    async with opened(double) as store:
        await store.put([chunk(1, 0), chunk(1, 1)])
        await store.prepare("ccb-other", DIMENSION)
        await store.put([chunk(1, 0)])
        assert await store.chunk_count() == 1


async def test_a_check_tells_where_the_data_is_and_how_much(double: PineconeDouble) -> None:
    async with opened(double) as store:
        await store.put([chunk(1, 0), chunk(1, 1)])
        findings = {finding.subject: finding for finding in await store.check()}
    assert {finding.level for finding in findings.values()} == {Level.OK}
    assert "context-chat in aws us-east-1" in findings["index"].text
    assert "2 chunks" in findings["size"].text
    assert NAMESPACE in findings["namespace"].text


async def test_a_check_tells_of_an_index_that_was_replaced_or_removed(double: PineconeDouble) -> None:
    async with opened(double) as store:
        double.preset_vectors_index("context-chat", DIMENSION)
        assert await errors_of(store) == ["index"]
        double.preset_index("another", FIELDS)
        assert await errors_of(store) == ["index"]


async def errors_of(store: PineconeStore) -> list[str]:
    wrong = [finding for finding in await store.check() if finding.level is not Level.OK]
    assert all(finding.remedy for finding in wrong)
    return [finding.subject for finding in wrong]


async def test_a_check_warns_of_many_namespaces(double: PineconeDouble) -> None:
    async with opened(double) as store:
        body = {"namespaces": {f"ccb-{number}": {"vectorCount": 1} for number in range(95)}, "dimension": DIMENSION}
        double.fail_next(200, body=body, path="/describe_index_stats")
        assert await errors_of(store) == ["namespaces"]


# ---------------------------------------------------------------------- failures


async def some_operations(store: PineconeStore) -> AsyncIterator[Callable[[], Awaitable[object]]]:
    yield lambda: store.put([chunk(text=SECRET_TEXT, embedding=np.asarray([0.6, 0.8, 0.0], dtype=np.float32))])
    yield lambda: store.regroup([extent(1)], STAFF)
    yield lambda: store.remove([extent(1)])
    yield lambda: store.nearest(np.asarray([0.6, 0.8, 0.0], dtype=np.float32), groups(EVERYONE), 5)
    yield lambda: store.matching(words(SECRET_TEXT), groups(EVERYONE), 5)
    yield lambda: store.wait_until_searchable(extent(1))
    yield store.ping
    yield store.chunk_count
    yield store.check


@pytest.mark.usefixtures("impatient_sdk")
async def test_a_status_decides_the_error_of_every_operation(double: PineconeDouble) -> None:
    body = {"error": {"code": "SOME_CODE", "message": f"Api-Key {double.api_key}: {SECRET_TEXT} [0.6, 0.8]"}}
    async with opened(double) as store:
        for status, error in [
            (400, Misconfigured),
            (401, Misconfigured),
            (402, Misconfigured),
            (403, Misconfigured),
            (404, Misconfigured),
            (408, Unavailable),
            (409, Misconfigured),
            (412, Misconfigured),
            (413, Misconfigured),
            (422, Misconfigured),
            (425, Unavailable),
            (429, Busy),
            (500, Unavailable),
            (503, Unavailable),
            (529, Unavailable),
        ]:
            async for operation in some_operations(store):
                with double.fail_all(status, body=body), pytest.raises(DriverError) as caught:
                    await operation()
                assert type(caught.value) is error
                check_message(caught.value, double)
                assert f"{status} SOME_CODE" in str(caught.value)


def check_message(error: BaseException, double: PineconeDouble) -> None:
    shown = f"{error} {error.__cause__} {error.__suppress_context__ or error.__context__}"
    for secret in (double.api_key, SECRET_TEXT, "0.6"):
        assert secret not in shown


@pytest.mark.usefixtures("impatient_sdk")
async def test_whatever_else_goes_wrong_on_the_way_passes(double: PineconeDouble) -> None:
    async with opened(double) as store:
        async for operation in some_operations(store):
            with double.fail_all(drop=True), pytest.raises(Unavailable) as caught:
                await operation()
            check_message(caught.value, double)
            with double.fail_all(200, body="<html>welcome to the café</html>"), pytest.raises(Unavailable) as caught:
                await operation()
            check_message(caught.value, double)


@pytest.mark.usefixtures("impatient_sdk")
async def test_a_storm_of_429_is_weathered(double: PineconeDouble) -> None:
    async with opened(double) as store:
        with double.fail_all(429, retry_after=7):
            for _ in range(5):
                with pytest.raises(Busy) as caught:
                    await store.put([chunk()])
                assert caught.value.retry_after == 7
        await store.put([chunk()])
        assert found(await store.nearest(EAST, groups(EVERYONE), 5)) == [("1", 0)]


@pytest.mark.usefixtures("impatient_sdk")
async def test_nothing_listening_is_a_passing_failure(double: PineconeDouble) -> None:
    with pytest.raises(Unavailable, match="ConnectError"):
        async with opened(double, host="http://127.0.0.1:1"):
            pass


async def test_a_wrong_key_is_told_without_the_key(double: PineconeDouble) -> None:
    settings = settings_for(double).model_copy(update={"api_key": SecretStr("wrong-key")})
    async with PineconeStore(settings) as store:
        with pytest.raises(Misconfigured, match="PINECONE_API_KEY") as caught:
            await store.prepare(NAMESPACE, DIMENSION)
    assert "wrong-key" not in str(caught.value)
    assert "wrong-key" not in repr(settings)


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_a_region_that_is_not_admitted_is_told(double: PineconeDouble, status: int) -> None:
    double.fail_next(status, path="/indexes")
    with pytest.raises(Misconfigured, match="PINECONE_REGION"):
        async with opened(double):
            pass


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (ApiError("secret", 400), Misconfigured),
        (ApiError("secret", 408), Unavailable),
        (ApiError("secret", 418), Misconfigured),
        (UnauthorizedError("secret"), Misconfigured),
        (PaymentRequiredError("secret"), Misconfigured),
        (ForbiddenError("secret"), Misconfigured),
        (NotFoundError("secret"), Misconfigured),
        (ConflictError("secret"), Misconfigured),
        (FailedPreconditionError("secret"), Misconfigured),
        (PayloadTooLargeError("secret"), Misconfigured),
        (RateLimitError("secret"), Busy),
        (ServiceError("secret"), Unavailable),
        (PineconeConnectionError("secret"), Unavailable),
        (PineconeTimeoutError("secret"), Unavailable),
        (ResponseParsingError("secret"), Unavailable),
        (TimeoutError("secret"), Unavailable),
    ],
)
def test_the_most_specific_class_decides(raised: Exception, error: type[DriverError]) -> None:
    with pytest.raises(DriverError) as caught, pinecone_errors("a search"):
        raise raised
    assert type(caught.value) is error
    assert "a search" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("raised", [PineconeValueError("top_k"), PineconeTypeError("ids"), PineconeError("new")])
def test_a_bug_stays_a_bug(raised: Exception) -> None:
    with pytest.raises(type(raised)) as caught, pinecone_errors("a search"):
        raise raised
    assert caught.value is raised


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("inf", None), ("nan", None), ("soon", None), ("-3", 0.0), (None, None)]
)
@pytest.mark.parametrize("class_", [RateLimitError, ServiceError])
def test_the_wait_that_pinecone_asks_for_reaches_the_caller(
    class_: type[ApiError], header: str | None, seconds: float | None
) -> None:
    headers = {} if header is None else {"retry-after": header}
    with pytest.raises(TransientError) as caught, pinecone_errors("a search"):
        raise class_("busy", 503, headers=headers)
    assert caught.value.retry_after == seconds


# ---------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("index", "Context", "lower-case"),
        ("index", "a_b", "lower-case"),
        ("index", "-a", "hyphen"),
        ("index", "a-", "hyphen"),
        ("index", "a" * 46, "45"),
        ("host", "localhost:x", "not a host"),
        ("host", "ftp://a.example.org", "as shown by Pinecone"),
        ("host", "https://user:pw@a.example.org", "as shown by Pinecone"),
        ("host", "https://user:12/pw@a.example.org", "as shown by Pinecone"),
        ("host", "https://user:p@w@a.example.org", "as shown by Pinecone"),
        ("proxy_url", SecretStr("http://user:p@w@proxy:3128"), "percent-encoded"),
        ("proxy_url", SecretStr("http://user:p/w@proxy:3128"), "percent-encoded"),
        ("proxy_url", SecretStr("proxy:3128"), "percent-encoded"),
        ("host", "https://a.example.org/path", "as shown by Pinecone"),
        ("host", "emulator:5081", "dot"),
        ("host", "http://a.example.org", "https"),
        ("cloud", "ibm", "aws"),
        ("region", "US East", "us-east-1"),
        ("settle_seconds", 0, "greater than 0"),
        ("api_key", SecretStr("two words"), "one word"),
        ("api_key", SecretStr(""), "one word"),
    ],
)
def test_wrong_settings_are_told(name: str, value: object, message: str) -> None:
    values: dict[str, Any] = {"api_key": SecretStr("key"), name: value}
    with pytest.raises(ValidationError, match=message):
        PineconeSettings(**values)


def test_right_settings_are_taken() -> None:
    settings = PineconeSettings(
        api_key=SecretStr(" pcsk_abc\n"), index="a" * 45, host="chat-1a.svc.aped-1.pinecone.io", region="eu-west-1"
    )
    assert settings.api_key.get_secret_value() == "pcsk_abc"
    assert settings.host == "https://chat-1a.svc.aped-1.pinecone.io"
    assert PineconeSettings(api_key=SecretStr("k"), host="http://127.0.0.1:80/").host == "http://127.0.0.1:80"
