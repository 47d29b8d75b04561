"""The double of Pinecone, driven by Pinecone's own SDK, and by hand where the SDK would not send such a request."""

import copy
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft7Validator  # type: ignore[import-untyped]
from pinecone import AsyncIndex, AsyncPinecone, DenseVectorQuery, TextQuery
from pinecone.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    PineconeError,
    RateLimitError,
    ServiceError,
    UnauthorizedError,
)
from pinecone.models.documents.responses import SearchDocumentsResponse
from pinecone.models.indexes.schema import DenseVectorField, StringField
from ruamel.yaml import YAML

from tests.doubles.pinecone import PineconeDouble, pinecone_server
from tests.doubles.pinecone.errors import Refusal
from tests.doubles.pinecone.limits import Clock, Rates

pytestmark = pytest.mark.anyio

NAME, NAMESPACE = "gateway", "ccb-1"
FIELDS: dict[str, Any] = {
    "embedding": {"type": "dense_vector", "dimension": 4, "metric": "cosine"},
    "text": {"type": "string", "full_text_search": {}},
}
DEPLOYMENT = {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"}
DOCUMENTS = "/namespaces/ccb-1/documents"
EAST = [1.0, 0.0, 0.0, 0.0]
NORTH = [0.0, 1.0, 0.0, 0.0]
BY_VECTOR = {"type": "dense_vector", "fields": ["embedding"], "values": EAST}
BY_TEXT = {"type": "text", "fields": ["text"], "query": "whale"}


class Stage:
    """The double with an empty index, the SDK's client of that index, and a bare one for what the SDK refuses."""

    def __init__(self, double: PineconeDouble, index: AsyncIndex, bare: httpx.AsyncClient) -> None:
        self.double = double
        self.index = index
        self.documents = index.documents
        self.bare = bare

    async def put(self, *documents: dict[str, Any]) -> int:
        """The write's LSN."""
        response = await self.documents.upsert(namespace=NAMESPACE, documents=documents)
        assert response.response_info is not None
        assert response.response_info.lsn_committed is not None
        return response.response_info.lsn_committed

    async def search(self, *, filter: dict[str, Any] | None = None) -> SearchDocumentsResponse:  # noqa: A002
        query = DenseVectorQuery(field="embedding", values=EAST)
        return await self.documents.search(namespace=NAMESPACE, score_by=[query], top_k=10, filter=filter)

    async def found(self, *, filter: dict[str, Any] | None = None) -> list[str]:  # noqa: A002
        return [match.id for match in (await self.search(filter=filter)).matches]

    async def post(self, path: str, body: object) -> httpx.Response:
        return await self.bare.post(path, json=body)


def document(
    id_: str, embedding: Sequence[float] = EAST, text: str = "The whale swims.", **metadata: Any
) -> dict[str, Any]:
    return {"_id": id_, "embedding": [*embedding], "text": text, **metadata}


@pytest.fixture
def double() -> Iterator[PineconeDouble]:
    with pinecone_server() as double:
        yield double
        assert double.violations == []


@pytest.fixture
async def stage(double: PineconeDouble) -> AsyncIterator[Stage]:
    double.preset_index(NAME, FIELDS)
    headers = {"Api-Key": double.api_key, "X-Pinecone-Api-Version": "2026-07"}
    async with (
        AsyncIndex(host=double.url, api_key=double.api_key) as index,
        httpx.AsyncClient(base_url=double.url, headers=headers) as bare,
    ):
        yield Stage(double, index, bare)


@contextmanager
def refused(double: PineconeDouble, message: str) -> Iterator[None]:
    """With 400, and noted as something that no right driver sends."""
    with double.expect_violations() as violations, pytest.raises(ApiError) as caught:
        yield
    assert caught.value.status_code == 400
    assert message in str(caught.value)
    assert len(violations) == 1


# ---------------------------------------------------------------------- documents


async def test_a_search_by_vector_finds_the_nearest_first_and_returns_what_it_was_asked_for(stage: Stage) -> None:
    await stage.put(document("a", NORTH, ord=2), document("b", [0.9, 0.1, 0, 0], ord=1), document("c", acl="g1"))
    query = DenseVectorQuery(field="embedding", values=EAST)
    response = await stage.documents.search(
        namespace=NAMESPACE, score_by=[query], top_k=2, include_fields=["ord", "acl"]
    )
    assert [match.to_dict() for match in response.matches] == [
        {"_id": "c", "_score": 1.0, "acl": "g1"},
        {"_id": "b", "_score": pytest.approx(0.9939, abs=1e-4), "ord": 1.0},
    ]


async def test_a_search_by_text_finds_those_with_any_of_the_words_and_ranks_the_rarer_word_first(stage: Stage) -> None:
    await stage.put(
        document("a", text="whale and ship"), document("b", text="ship and ship"), document("c", text="nothing at all")
    )
    query = TextQuery(query="Whale, ship!", fields=["text"])
    response = await stage.documents.search(namespace=NAMESPACE, score_by=[query], top_k=10)
    assert [match.id for match in response.matches] == ["a", "b"]


async def test_a_document_without_vector_is_found_by_text_only(stage: Stage) -> None:
    await stage.put({"_id": "a", "text": "whale"})
    response = await stage.post(f"{DOCUMENTS}/search", {"score_by": [BY_TEXT], "top_k": 1})
    assert [match["_id"] for match in response.json()["matches"]] == ["a"]
    assert await stage.found() == []


async def test_a_word_of_more_than_256_bytes_is_cut_off_and_refused_by_nobody(stage: Stage) -> None:
    await stage.put(document("a", text="x" * 300))
    query = TextQuery(query="x" * 299, fields=["text"])
    response = await stage.documents.search(namespace=NAMESPACE, score_by=[query], top_k=1)
    assert [match.id for match in response.matches] == ["a"]


async def test_a_search_returns_no_field_by_default_and_a_fetch_returns_all(stage: Stage) -> None:
    await stage.put(document("a", prv="files__default"))
    assert [match.to_dict() for match in (await stage.search()).matches] == [{"_id": "a", "_score": 1.0}]
    fetched = await stage.documents.fetch(namespace=NAMESPACE, ids=["a", "unknown"])
    assert {id_: each.to_dict() for id_, each in fetched.documents.items()} == {
        "a": document("a", prv="files__default")
    }


async def test_integers_come_back_as_floats_and_vectors_in_single_precision(stage: Stage) -> None:
    await stage.put(document("a", [0.1, 0, 0, 0], ord=7))
    stored = (await stage.documents.fetch(namespace=NAMESPACE, ids=["a"])).documents["a"].to_dict()
    assert (stored["ord"], type(stored["ord"])) == (7.0, float)
    assert stored["embedding"][0] == 0.10000000149011612


async def test_an_upsert_replaces_the_whole_document(stage: Stage) -> None:
    await stage.put(document("a", prv="files__default"))
    await stage.put(document("a", acl="g1"))
    assert stage.double.stored(NAMESPACE) == {"a": document("a", acl="g1")}


async def test_a_fetch_by_filter_comes_in_pages(stage: Stage) -> None:
    await stage.put(*(document(f"{number}", doc="d") for number in range(5)), document("other"))
    first = await stage.documents.fetch(namespace=NAMESPACE, filter={"doc": "d"}, include_fields=["doc"], limit=3)
    assert first.pagination is not None
    second = await stage.documents.fetch(
        namespace=NAMESPACE, filter={"doc": "d"}, limit=3, pagination_token=first.pagination.next
    )
    assert [*first.documents, *second.documents] == ["0", "1", "2", "3", "4"]
    assert first.documents["0"].to_dict() == {"_id": "0", "doc": "d"}
    assert second.pagination is None


async def test_a_list_is_sorted_and_comes_in_pages(stage: Stage) -> None:
    await stage.put(document("d#1"), document("d#0"), document("d#2"), document("e#0"))
    pages = [page async for page in stage.documents.list(namespace=NAMESPACE, prefix="d#", limit=2).pages()]
    assert [[each.id for each in page.items] for page in pages] == [["d#0", "d#1"], ["d#2"]]


async def test_a_patch_sets_and_removes_fields_and_leaves_unknown_documents_unknown(stage: Stage) -> None:
    await stage.put(document("a", acl="g1", rev=1))
    patches: list[dict[str, Any]] = [
        {"_id": "a", "acl": "g2", "_remove_fields": ["rev", "never"]},
        {"_id": "unknown", "acl": "g2"},
    ]
    response = await stage.documents.update(namespace=NAMESPACE, documents=patches)
    assert response.matched_records is None
    assert stage.double.stored(NAMESPACE) == {"a": document("a", acl="g2")}


async def test_an_update_by_filter_changes_what_matches_and_counts_it(stage: Stage) -> None:
    await stage.put(document("a", doc="d", rev=1), document("b", doc="d", rev=1), document("c", doc="e", rev=1))
    response = await stage.documents.update(
        namespace=NAMESPACE, filter={"doc": {"$in": ["d"]}}, set_fields={"acl": "g2"}, remove_fields=["rev"]
    )
    assert response.matched_records == 2
    assert {id_: each.get("acl") for id_, each in stage.double.stored(NAMESPACE).items()} == {
        "a": "g2",
        "b": "g2",
        "c": None,
    }
    assert "rev" not in stage.double.stored(NAMESPACE)["a"]


async def test_documents_are_deleted_by_id_by_filter_and_all_of_them(stage: Stage) -> None:
    await stage.put(*(document(id_, prv=f"p{id_}") for id_ in "abcd"))
    by_id = await stage.documents.delete(namespace=NAMESPACE, ids=["a", "unknown"])
    by_filter = await stage.documents.delete(namespace=NAMESPACE, filter={"prv": "pb"})
    assert (by_id.matched_records, by_filter.matched_records) == (None, 1)
    assert [*stage.double.stored(NAMESPACE)] == ["c", "d"]
    await stage.documents.delete(namespace=NAMESPACE, delete_all=True)
    assert stage.double.stored(NAMESPACE) == {}


async def test_statistics_and_namespaces_tell_what_is_there(stage: Stage) -> None:
    await stage.put(document("a"), document("b"))
    await stage.documents.upsert(namespace="an/other", documents=[document("a")])
    stats = await stage.index.describe_index_stats()
    assert (stats.total_vector_count, stats.dimension) == (3, 4)
    assert {name: each.vector_count for name, each in stats.namespaces.items()} == {NAMESPACE: 2, "an/other": 1}
    [page] = [page async for page in stage.index.list_namespaces()]
    assert [(each.name, each.record_count) for each in page.namespaces] == [("an/other", 1), (NAMESPACE, 2)]
    one = await stage.index.list_namespaces_paginated(prefix="", limit=1)
    assert one.pagination is not None
    rest = await stage.index.list_namespaces_paginated(pagination_token=one.pagination.next)
    assert [each.name for each in rest.namespaces] == [NAMESPACE]
    assert (await stage.index.describe_namespace(name=NAMESPACE)).record_count == 2


async def test_a_deleted_namespace_is_gone_with_all_that_was_on_its_way(stage: Stage) -> None:
    stage.double.lag = 60
    await stage.put(document("a"))
    await stage.index.delete_namespace(name=NAMESPACE)
    stage.double.index_everything()
    assert stage.double.stored(NAMESPACE) == {}
    with pytest.raises(NotFoundError, match="not found"):
        await stage.index.delete_namespace(name=NAMESPACE)


# ---------------------------------------------------------------------- consistency


async def test_a_write_is_seen_by_searches_once_it_is_indexed_and_its_lsn_says_when(stage: Stage) -> None:
    stage.double.lag = 60
    lsn = await stage.put(document("a"))
    before = await stage.search()
    stage.double.clock.advance(60)
    after = await stage.search()
    assert (before.matches, [match.id for match in after.matches]) == ([], ["a"])
    assert before.response_info is not None
    assert after.response_info is not None
    assert (before.response_info.is_reconciled(lsn), after.response_info.is_reconciled(lsn)) == (False, True)


async def test_lsns_count_the_writes_of_a_namespace(stage: Stage) -> None:
    assert [await stage.put(document("a")), await stage.put(document("a"))] == [1, 2]
    other = await stage.documents.upsert(namespace="other", documents=[document("a")])
    assert other.response_info is not None
    assert other.response_info.lsn_committed == 1
    fetched = await stage.documents.fetch(namespace=NAMESPACE, ids=["a"])
    assert fetched.response_info is not None
    assert fetched.response_info.lsn_reconciled is None


async def test_nothing_but_a_search_after_indexing_shows_a_write(stage: Stage) -> None:
    stage.double.lag = 60
    await stage.put(document("a"))
    stats = await stage.index.describe_index_stats()
    assert (stats.total_vector_count, stats.namespaces) == (0, {})
    assert (await stage.documents.fetch(namespace=NAMESPACE, ids=["a"])).documents == {}
    assert await stage.documents.list(namespace=NAMESPACE).to_list() == []
    assert [*stage.double.stored(NAMESPACE)] == ["a"]
    stage.double.index_everything()
    assert (await stage.index.describe_index_stats()).total_vector_count == 1


async def test_what_is_not_indexed_is_missed_by_changes_by_filter(stage: Stage) -> None:
    await stage.put(document("old", doc="d"))
    stage.double.lag = 60
    await stage.put(document("new", doc="d"))
    update = await stage.documents.update(namespace=NAMESPACE, filter={"doc": "d"}, set_fields={"acl": "g2"})
    deletion = await stage.documents.delete(namespace=NAMESPACE, filter={"doc": "d"})
    assert (update.matched_records, deletion.matched_records) == (1, 1)
    assert stage.double.stored(NAMESPACE) == {"new": document("new", doc="d")}


async def test_changes_by_filter_hit_what_was_rewritten_since_it_matched(stage: Stage) -> None:
    await stage.put(document("a", rev=1))
    stage.double.lag = 60
    await stage.put(document("a", rev=2))
    await stage.documents.delete(namespace=NAMESPACE, filter={"rev": 1})
    assert stage.double.stored(NAMESPACE) == {}


async def test_changes_by_id_are_applied_in_the_order_of_the_writes(stage: Stage) -> None:
    stage.double.lag = 60
    await stage.put(document("a", acl="g1"), document("b"))
    await stage.documents.update(namespace=NAMESPACE, documents=[{"_id": "a", "acl": "g2"}])
    await stage.documents.delete(namespace=NAMESPACE, ids=["b"])
    stage.double.lag = 0
    await stage.put(document("c"))
    assert await stage.found() == []
    stage.double.clock.advance(60)
    assert await stage.found(filter={"acl": "g2"}) == ["a"]
    assert await stage.found() == ["a", "c"]


# ---------------------------------------------------------------------- filters


FILTERED: dict[str, dict[str, Any]] = {
    "a": {"acl": "g1", "ord": 1, "tags": ["x", "y"], "live": True},
    "b": {"acl": "g2", "ord": 2.5, "tags": ["y"], "live": False},
    "c": {"ord": 10},
}


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ({"acl": "g1"}, "a"),
        ({"acl": {"$eq": "g1"}, "ord": {"$lt": 2}}, "a"),
        ({"acl": {"$ne": "g1"}}, "bc"),
        ({"acl": {"$in": ["g1", "g2", "g3"]}}, "ab"),
        ({"acl": {"$nin": ["g1"]}}, "bc"),
        ({"acl": {"$exists": False}}, "c"),
        ({"acl": {"$not": {"$in": ["g1"]}}}, "bc"),
        ({"ord": {"$gte": 2.5, "$lte": 10}}, "bc"),
        ({"ord": {"$gt": 1}}, "bc"),
        ({"ord": {"$in": [1, 10.0]}}, "ac"),
        ({"tags": "y"}, "ab"),
        ({"tags": {"$in": ["x"]}}, "a"),
        ({"live": True}, "a"),
        ({"live": 1}, ""),
        ({"$or": [{"acl": "g1"}, {"$and": [{"ord": 10}, {"acl": {"$exists": False}}]}]}, "ac"),
        ({"text": {"$match_all": "Swims whale"}}, "ab"),
        ({"text": {"$match_any": "paper swims"}}, "abc"),
        ({"text": {"$match_phrase": "the whale swims"}, "ord": 1}, "a"),
        ({"text": {"$match_phrase": "whale the"}}, ""),
    ],
)
async def test_a_filter_narrows_a_search(stage: Stage, condition: dict[str, Any], found: str) -> None:
    texts = {"a": "The whale swims.", "b": "The whale swims.", "c": "made of paper"}
    await stage.put(*(document(id_, text=texts[id_], **metadata) for id_, metadata in FILTERED.items()))
    assert "".join(await stage.found(filter=condition)) == found


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"acl": {"$regex": "x"}}, "Invalid filter operator $regex"),
        ({"acl": {}}, "is empty"),
        ({"acl": None}, "$eq requires"),
        ({"acl": ["g1"]}, "$eq requires"),
        ({"acl": {"$in": "g1"}}, "$in requires an array"),
        ({"acl": {"$in": [True]}}, "$in requires strings or numbers"),
        ({"acl": {"$in": []}}, "not recorded"),
        ({"acl": {"$in": [f"{number}" for number in range(10_001)]}}, "at most 10000 values, got 10001"),
        ({"ord": {"$gt": "1"}}, "$gt requires a number"),
        ({"acl": {"$exists": 1}}, "Invalid filter operator $exists"),
        ({"$not": {"acl": "g1"}}, "not allowed at this level"),
        ({"$and": []}, "non-empty array"),
        ({"$or": [{}]}, "at least one condition"),
        ({"text": "whale"}, "which the schema declares"),
        ({"embedding": {"$exists": True}}, "which the schema declares"),
        ({"acl": {"$match_all": "g1"}}, "requires a full-text-search field"),
        ({"text": {"$match_any": " "}}, "1 to 128 tokens"),
        ({"_id": "a"}, "must not start with"),
        ({}, "at least 1 item"),
    ],
)
async def test_a_filter_that_pinecone_would_not_understand_is_refused(
    stage: Stage, condition: dict[str, Any], message: str
) -> None:
    with refused(stage.double, message):
        await stage.search(filter=condition)


async def test_changes_by_filter_take_no_text_matches(stage: Stage) -> None:
    condition = {"text": {"$match_all": "whale"}}
    with refused(stage.double, "not supported in this operation"):
        await stage.documents.delete(namespace=NAMESPACE, filter=condition)
    with refused(stage.double, "not supported in this operation"):
        await stage.documents.update(namespace=NAMESPACE, filter=condition, set_fields={"acl": "g1"})


# ---------------------------------------------------------------------- refused documents and bodies


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"embedding": [1, 0, 0]}, "vector dimension 3 does not match the dimension of the index 4"),
        ({"embedding": [0, 0, 1e-9, 0]}, "non-zero"),
        ({"embedding": "east"}, "array of numbers"),
        ({"embedding": [True, 0, 0, 0]}, "array of numbers"),
        ({"text": 1}, "must be a string"),
        ({"text": "é" * 51_201}, "exceeds 102400 bytes"),
        ({"text": "a " * 10_001}, "exceeds 10000 tokens"),
        ({"acl": None}, "must not be null"),
        ({"acl": {"user": 1}}, "Metadata value must be"),
        ({"acl": ["g1", 1]}, "Metadata value must be"),
        ({"users": [f"user{number:06d}" for number in range(5000)]}, "exceeds the limit of 40960 bytes"),
        ({"$acl": "g1"}, "must not start with"),
        ({"_acl": "g1"}, "must not start with"),
        ({"ä" * 33: "g1"}, "1 to 64 bytes"),
    ],
)
async def test_a_document_that_breaks_a_rule_is_refused(stage: Stage, fields: dict[str, Any], message: str) -> None:
    with refused(stage.double, message):
        await stage.put(document("a") | fields)
    with refused(stage.double, message):
        await stage.documents.update(namespace=NAMESPACE, documents=[{"_id": "a", **fields}])
    assert stage.double.stored(NAMESPACE) == {}


async def test_one_bad_document_spoils_the_whole_request(stage: Stage) -> None:
    with refused(stage.double, "no field of the index's schema"):
        await stage.put(document("good"), {"_id": "bad", "acl": "g1"})
    assert stage.double.stored(NAMESPACE) == {}


@pytest.mark.parametrize("field", ["text", "embedding"])
async def test_an_update_by_filter_changes_metadata_only(stage: Stage, field: str) -> None:
    with refused(stage.double, "changes metadata only"):
        await stage.documents.update(namespace=NAMESPACE, filter={"acl": "g1"}, remove_fields=[field])


SEARCH = {"score_by": [BY_VECTOR], "top_k": 1}
BODIES: list[tuple[str, object, str]] = [
    ("upsert", {"documents": []}, "at least 1 item"),
    ("upsert", {"documents": [document(f"{number}") for number in range(1001)]}, "at most 1000 items"),
    ("upsert", {"documents": [document("a"), document("a")]}, "Duplicate '_id'"),
    ("upsert", {"documents": [document("")]}, "_id must be"),
    ("upsert", {"documents": [document("ä")]}, "_id must be"),
    ("upsert", {"documents": [document("a\0")]}, "_id must be"),
    ("upsert", {"documents": [document("a" * 513)]}, "_id must be"),
    ("upsert", {"documents": [document("a") | {"_id": 1}]}, "_id must be"),
    ("upsert", {"documents": [{"text": "whale"}]}, "_id must be"),
    ("upsert", {"documents": [document("a")], "wait": True}, "wait: Extra inputs"),
    ("upsert", [document("a")], "JSON object"),
    ("search", SEARCH | {"top_k": 10_001}, "top_k"),
    ("search", SEARCH | {"top_k": "1"}, "top_k"),
    ("search", SEARCH | {"namespace": NAMESPACE}, "namespace: Extra inputs"),
    ("search", SEARCH | {"filter": None}, "must not be null"),
    ("search", SEARCH | {"filter": {}}, "filter"),
    ("search", SEARCH | {"score_by": []}, "score_by"),
    ("search", SEARCH | {"score_by": [BY_VECTOR, BY_TEXT]}, "more than one clause"),
    ("search", SEARCH | {"score_by": [BY_TEXT | {"type": "query_string"}]}, "score_by"),
    ("search", SEARCH | {"score_by": [BY_VECTOR | {"values": [1, 0, 0]}]}, "dimension 3 does not match"),
    ("search", SEARCH | {"score_by": [BY_VECTOR | {"values": [0, 0, 0, 0]}]}, "non-zero"),
    ("search", SEARCH | {"score_by": [BY_VECTOR | {"fields": ["text"]}]}, "no dense_vector field"),
    ("search", SEARCH | {"score_by": [BY_VECTOR | {"fields": ["embedding", "text"]}]}, "exactly one field"),
    ("search", SEARCH | {"score_by": [BY_VECTOR | {"field": "embedding"}]}, "but not both"),
    ("search", SEARCH | {"score_by": [BY_TEXT | {"fields": ["acl"]}]}, "no full-text-search fields"),
    ("search", SEARCH | {"score_by": [BY_TEXT | {"query": "  "}]}, "must not be empty"),
    ("search", SEARCH | {"score_by": [BY_TEXT | {"query": "a" * 10_241}]}, "exceed 10240 bytes"),
    ("fetch", {}, "exactly one of 'ids' and 'filter'"),
    ("fetch", {"ids": ["a"], "filter": {"acl": "g1"}}, "exactly one of 'ids' and 'filter'"),
    ("fetch", {"ids": [f"{number}" for number in range(1001)]}, "ids"),
    ("fetch", {"ids": ["a"], "pagination_token": "x"}, "only valid together"),
    ("fetch", {"ids": ["a"], "limit": 10_001}, "limit"),
    ("fetch", {"filter": {"acl": "g1"}, "pagination_token": "bGlzdCBh"}, "Invalid pagination token"),
    ("list", {"prefix": "ä"}, "prefix"),
    ("list", {"limit": 101}, "limit"),
    ("list", {"pagination_token": "?"}, "Invalid pagination token"),
    ("update", {}, "Provide per-document patches"),
    ("update", {"documents": [{"_id": "a"}], "filter": {"acl": "g1"}}, "Provide per-document patches"),
    ("update", {"documents": [{"_id": "a"}, {"_id": "a"}]}, "Duplicate '_id'"),
    ("update", {"documents": [{"_id": "a", "acl": "g1", "_remove_fields": ["acl"]}]}, "both set and removed"),
    ("update", {"documents": [{"_id": "a", "_remove_fields": "acl"}]}, "list of field names"),
    ("update", {"filter": {}, "set_fields": {"acl": "g1"}}, "filter"),
    ("update", {"filter": {"acl": "g1"}}, "must have a filter and change something"),
    ("update", {"set_fields": {"acl": "g1"}}, "must have a filter and change something"),
    ("delete", {}, "exactly one of"),
    ("delete", {"filter": {}}, "filter"),
    ("delete", {"delete_all": False}, "exactly one of"),
    ("delete", {"ids": ["a"], "delete_all": True}, "exactly one of"),
    ("delete", {"ids": []}, "ids"),
]


async def test_a_body_that_breaks_a_rule_is_refused(stage: Stage) -> None:
    for operation, body, message in BODIES:
        with stage.double.expect_violations():
            response = await stage.post(f"{DOCUMENTS}/{operation}", body)
        assert (response.status_code, response.json()["status"]) == (400, 400), (operation, body)
        assert message in response.json()["error"]["message"]
    assert stage.double.stored(NAMESPACE) == {}


async def test_statistics_are_not_filtered(stage: Stage) -> None:
    with refused(stage.double, "do not support describing index stats"):
        await stage.index.describe_index_stats(filter={"acl": "g1"})


async def test_what_is_no_json_is_refused(stage: Stage) -> None:
    requests: list[dict[str, Any]] = [
        {"content": b"{", "headers": {"Content-Type": "application/json"}},
        {"content": b'{"limit": NaN}', "headers": {"Content-Type": "application/json"}},
        {"content": b"{}", "headers": {"Content-Type": "text/plain"}},
    ]
    for request in requests:
        with stage.double.expect_violations():
            assert (await stage.bare.post(f"{DOCUMENTS}/list", **request)).status_code == 400


async def test_a_result_of_more_than_4_megabytes_is_refused(stage: Stage) -> None:
    stage.double.rates.enabled = False
    for number in range(50):
        await stage.put(document(f"{number}", text="x" * 100_000))
    ids = [f"{number}" for number in range(50)]
    with refused(stage.double, "exceeds the maximum of 4194304 bytes"):
        await stage.documents.fetch(namespace=NAMESPACE, ids=ids)
    assert len((await stage.documents.fetch(namespace=NAMESPACE, ids=ids, include_fields=["acl"])).documents) == 50


async def test_a_request_of_more_than_2_megabytes_is_too_large_and_the_sdk_halves_it(stage: Stage) -> None:
    documents = [document(f"{number}", text="y" * 3000) for number in range(900)]
    result = await stage.documents.batch_upsert(
        namespace=NAMESPACE, documents=documents, batch_size=1000, show_progress=False
    )
    assert (result.successful_item_count, len(stage.double.stored(NAMESPACE))) == (900, 900)
    assert [call.status for call in stage.double.calls] == [413, 202, 202]
    assert stage.double.calls[0].size > 2 * 1024 * 1024


# ---------------------------------------------------------------------- refused requests


async def test_a_wrong_key_is_unauthorized(stage: Stage) -> None:
    async with AsyncIndex(host=stage.double.url, api_key="another") as index:
        with pytest.raises(UnauthorizedError, match="Unauthorized"):
            await index.describe_index_stats()


@pytest.mark.parametrize("version", ["2026-04", "2025-10", ""])
async def test_another_version_of_the_api_is_refused(stage: Stage, version: str) -> None:
    headers = {"X-Pinecone-Api-Version": version}
    async with AsyncIndex(host=stage.double.url, api_key=stage.double.api_key, additional_headers=headers) as index:
        with refused(stage.double, "X-Pinecone-Api-Version"):
            await index.describe_index_stats()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/namespaces/ccb-1/documents/query"),
        ("GET", "/namespaces/ccb-1/documents/list"),
        ("POST", "/namespaces"),
        ("GET", "/describe_index_stats"),
        ("POST", "/bulk/imports"),
        ("PATCH", f"/indexes/{NAME}"),
        ("GET", f"/indexes/{NAME}/backups"),
    ],
)
async def test_an_unknown_route_is_refused(stage: Stage, method: str, path: str) -> None:
    with stage.double.expect_violations() as violations:
        assert (await stage.bare.request(method, path)).status_code == 404
    assert violations == [f"{method} {path}: no route {method} {path}"]


@pytest.mark.parametrize(
    "path", ["/namespaces?page=1", "/namespaces?limit=101", "/indexes?limit=1", "/namespaces/a?b=c"]
)
async def test_an_unknown_query_is_refused(stage: Stage, path: str) -> None:
    with stage.double.expect_violations():
        assert (await stage.bare.get(path)).status_code == 400


async def test_a_namespace_that_is_not_ascii_is_refused(stage: Stage) -> None:
    with refused(stage.double, "512 ASCII characters"):
        await stage.documents.delete(namespace="ü", delete_all=True)


async def test_an_index_with_documents_refuses_vectors(stage: Stage) -> None:
    with refused(stage.double, "This index has a document schema, so writes must go through the documents API"):
        await stage.index.upsert(vectors=[("a", EAST)])
    with refused(stage.double, "This index has a document schema"):
        await stage.index.query(vector=EAST, top_k=1)


async def test_an_index_with_vectors_refuses_documents_and_has_statistics(stage: Stage) -> None:
    stage.double.preset_vectors_index(NAME, dimension=4)
    with pytest.raises(ApiError, match="no document schema") as caught:
        await stage.put(document("a"))
    assert caught.value.status_code == 400
    assert (await stage.index.describe_index_stats()).dimension == 4


# ---------------------------------------------------------------------- rates


async def update_by_filter(stage: Stage, times: int) -> list[httpx.Response]:
    body = {"filter": {"doc": "d"}, "set_fields": {"acl": "g1"}}
    return [await stage.post(f"{DOCUMENTS}/update", body) for _ in range(times)]


async def test_the_sixth_update_by_filter_of_a_second_is_too_many(stage: Stage) -> None:
    stage.double.clock.stop()
    responses = await update_by_filter(stage, 6)
    assert [response.status_code for response in responses] == [202] * 5 + [429]
    assert "max update by metadata requests per second for namespace ccb-1" in responses[-1].json()["error"]["message"]
    assert "Retry-After" not in responses[-1].headers
    stage.double.clock.advance(0.4)
    assert [response.status_code for response in await update_by_filter(stage, 3)] == [202, 202, 429]


@pytest.mark.parametrize("uptime", [0.0, 0.1, 1234.5678, 98_765.4321, 17_180_639.46])
def test_a_rate_is_exact_however_long_the_machine_runs(uptime: float) -> None:
    clock = Clock(lambda: uptime)
    rates = Rates(clock)
    for _ in range(5):
        rates.spend("gateway", NAMESPACE, {"update by filter": 1})
    clock.advance(0.4)
    for _ in range(2):
        rates.spend("gateway", NAMESPACE, {"update by filter": 1})
    with pytest.raises(Refusal):
        rates.spend("gateway", NAMESPACE, {"update by filter": 1})


async def test_limits_are_those_of_one_namespace(stage: Stage) -> None:
    stage.double.clock.stop()
    body = {"filter": {"doc": "d"}}
    statuses = [
        (await stage.post(f"/namespaces/{namespace}/documents/delete", body)).status_code
        for namespace in ["a"] * 6 + ["b"]
    ]
    assert statuses == [202] * 5 + [429, 202]


async def test_more_records_than_a_second_allows_go_through_once_and_are_waited_for(stage: Stage) -> None:
    stage.double.clock.stop()
    patches = {"documents": [{"_id": f"{number}", "acl": "g1"} for number in range(300)]}
    statuses = []
    for seconds in (0, 1, 1, 1):
        stage.double.clock.advance(seconds)
        statuses.append((await stage.post(f"{DOCUMENTS}/update", patches)).status_code)
    assert statuses == [202, 429, 429, 202]


@pytest.mark.parametrize(
    ("operation", "body", "rate", "message"),
    [
        ("upsert", {"documents": [document("a")]}, 100, "the upsert QPS limit for namespace ccb-1 (100 QPS)"),
        ("search", SEARCH, 100, "the query QPS limit for namespace ccb-1 (100 QPS)"),
        ("delete", {"ids": ["a"]}, 100, "the delete QPS limit for namespace ccb-1 (100 QPS)"),
        ("fetch", {"ids": ["a"]}, 100, "the max fetch requests per second for index gateway"),
        ("list", {}, 200, "the max list requests per second for index gateway"),
    ],
)
async def test_each_operation_has_its_limit(
    stage: Stage, operation: str, body: dict[str, Any], rate: int, message: str
) -> None:
    stage.double.clock.stop()
    responses = [await stage.post(f"{DOCUMENTS}/{operation}", body) for _ in range(rate + 1)]
    assert {response.status_code for response in responses[:-1]} <= {200, 202}
    assert responses[-1].status_code == 429
    assert message in responses[-1].json()["error"]["message"]


async def test_a_limit_may_say_when_to_come_again_and_the_sdk_hands_it_on(stage: Stage) -> None:
    stage.double.clock.stop()
    stage.double.rates.retry_after = 0
    await update_by_filter(stage, 5)
    with pytest.raises(RateLimitError) as caught:
        await stage.documents.update(namespace=NAMESPACE, filter={"doc": "d"}, set_fields={"acl": "g1"})
    assert caught.value.retry_after == 0
    assert [call.status for call in stage.double.calls[5:]] == [429] * 4


async def test_limits_can_be_switched_off(stage: Stage) -> None:
    stage.double.clock.stop()
    stage.double.rates.enabled = False
    assert {response.status_code for response in await update_by_filter(stage, 20)} == {202}


# ---------------------------------------------------------------------- faults


async def test_a_fault_comes_as_often_as_asked_for_and_the_sdk_tries_again(stage: Stage) -> None:
    stage.double.fail_next(503, 2, retry_after=0)
    await stage.put(document("a"))
    assert [call.status for call in stage.double.calls] == [503, 503, 202]


async def test_a_fault_hits_the_paths_that_it_names(stage: Stage) -> None:
    stage.double.fail_next(400, body={"error": {"message": "odd"}}, path=".*/documents/search")
    await stage.put(document("a"))
    with pytest.raises(ApiError, match="odd"):
        await stage.search()
    assert await stage.found() == ["a"]


async def test_all_requests_fail_until_the_block_ends(stage: Stage) -> None:
    with stage.double.fail_all(500, retry_after=0, body="out of order"), pytest.raises(ServiceError, match="out of"):
        await stage.put(document("a"))
    assert await stage.found() == []


async def test_a_broken_connection_is_one_that_the_sdk_tries_again(stage: Stage) -> None:
    stage.double.fail_next(drop=True)
    await stage.put(document("a"))
    assert [call.status for call in stage.double.calls] == [None, 202]


async def test_an_answer_that_gets_lost_leaves_its_effect(stage: Stage) -> None:
    stage.double.fail_next(drop=True, applied=True)
    with pytest.raises(httpx.RemoteProtocolError):
        await stage.post(f"{DOCUMENTS}/upsert", {"documents": [document("a")]})
    assert [*stage.double.stored(NAMESPACE)] == ["a"]


async def test_the_log_has_bytes_and_bodies_of_requests_and_answers(stage: Stage) -> None:
    await stage.put(document("a"))
    [call] = stage.double.calls
    assert (call.method, call.path, call.kind, call.namespace) == (
        "POST",
        f"{DOCUMENTS}/upsert",
        "documents/upsert",
        NAMESPACE,
    )
    assert (call.body, call.status, call.answer) == ({"documents": [document("a")]}, 202, {"upserted_count": 1})
    assert call.size > 50


async def test_a_refusal_that_a_test_expects_is_no_violation_and_has_to_come(stage: Stage) -> None:
    with stage.double.expect_violations() as violations:
        await stage.post(f"{DOCUMENTS}/list", {"limit": 0})
    assert (len(violations), stage.double.violations) == (1, [])
    with pytest.raises(AssertionError, match="nothing was refused"), stage.double.expect_violations():
        await stage.found()


async def test_a_closed_double_cannot_be_reached() -> None:
    with pinecone_server() as double:
        url = double.url
    async with httpx.AsyncClient(base_url=url) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("/indexes")


# ---------------------------------------------------------------------- control plane


@pytest.fixture
async def project(double: PineconeDouble) -> AsyncIterator[AsyncPinecone]:
    async with AsyncPinecone(host=double.url, api_key=double.api_key) as project:
        yield project


async def create(project: AsyncPinecone, name: str = NAME, **more: Any) -> None:
    await project.indexes.create(name=name, schema={"fields": FIELDS}, deployment=DEPLOYMENT, timeout=-1, **more)


async def test_an_index_is_created_described_listed_and_deleted(double: PineconeDouble, project: AsyncPinecone) -> None:
    await create(project, tags={"app": "gateway"})
    described = await project.indexes.describe(NAME)
    assert (described.name, described.host, described.status.ready) == (NAME, double.url, True)
    assert described.tags == {"app": "gateway"}
    embedding, text = described.schema.fields["embedding"], described.schema.fields["text"]
    assert isinstance(embedding, DenseVectorField)
    assert (embedding.dimension, embedding.metric) == (4, "cosine")
    assert isinstance(text, StringField)
    assert text.full_text_search is not None
    assert [index.name async for index in project.indexes.list()] == double.index_names == [NAME]
    await project.indexes.delete(NAME)
    assert (await project.indexes.exists(NAME), double.index_names) == (False, [])


async def test_the_host_of_an_index_is_found_by_its_name(double: PineconeDouble, project: AsyncPinecone) -> None:
    await create(project)
    async with await project.index(name=NAME) as index:
        await index.documents.upsert(namespace=NAMESPACE, documents=[document("a")])
    assert [*double.stored(NAMESPACE)] == ["a"]


async def test_the_environment_may_name_the_control_plane(
    double: PineconeDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINECONE_CONTROLLER_HOST", double.url)
    async with AsyncPinecone(api_key=double.api_key) as project:
        assert [index async for index in project.indexes.list()] == []


async def test_an_unknown_index_is_not_found(project: AsyncPinecone) -> None:
    with pytest.raises(NotFoundError, match="Index gateway not found"):
        await project.indexes.describe(NAME)
    with pytest.raises(NotFoundError):
        await project.indexes.delete(NAME)


async def test_an_index_is_ready_after_a_while(double: PineconeDouble, project: AsyncPinecone) -> None:
    double.clock.stop()
    double.ready_after = 60
    await create(project)
    initializing = (await project.indexes.describe(NAME)).status
    async with AsyncIndex(host=double.url, api_key=double.api_key) as index:
        with pytest.raises(NotFoundError, match="not ready"):
            await index.describe_index_stats()
        double.clock.advance(60)
        assert (await index.describe_index_stats()).total_vector_count == 0
    ready = (await project.indexes.describe(NAME)).status
    assert [(each.ready, each.state) for each in (initializing, ready)] == [(False, "Initializing"), (True, "Ready")]


async def test_names_are_taken_once_and_there_is_room_for_one_index(project: AsyncPinecone) -> None:
    await create(project)
    with pytest.raises(ConflictError, match="already exists"):
        await create(project)
    with pytest.raises(ForbiddenError, match="Increase your quota"):
        await create(project, "another")


async def test_a_protected_index_is_not_deleted(double: PineconeDouble, project: AsyncPinecone) -> None:
    await create(project, deletion_protection="enabled")
    with pytest.raises(ForbiddenError, match="Deletion protection is enabled"):
        await project.indexes.delete(NAME)
    assert double.index_names == [NAME]


async def test_the_documents_of_a_deleted_index_are_gone(double: PineconeDouble, project: AsyncPinecone) -> None:
    await create(project)
    async with AsyncIndex(host=double.url, api_key=double.api_key) as index:
        await index.documents.upsert(namespace=NAMESPACE, documents=[document("a")])
        await project.indexes.delete(NAME)
        with pytest.raises(NotFoundError):
            await index.describe_index_stats()
    await create(project)
    assert double.stored(NAMESPACE) == {}


async def test_presets_show_in_the_description(double: PineconeDouble, project: AsyncPinecone) -> None:
    double.preset_vectors_index("old", dimension=8, metric="dotproduct")
    old = await project.indexes.describe("old")
    assert {name: type(each).__name__ for name, each in old.schema.fields.items()} == {
        "_values": "DenseVectorField",
        "_sparse_values": "SparseVectorField",
    }
    double.preset_index("foreign", {"vector": {"type": "dense_vector", "dimension": 768, "metric": "cosine"}})
    foreign = (await project.indexes.describe("foreign")).schema.fields["vector"]
    assert isinstance(foreign, DenseVectorField)
    assert foreign.dimension == 768
    assert double.index_names == ["foreign"]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"title": {"type": "string"}}, 422),
        ({"title": {"type": "string", "full_text_search": {}, "filterable": True}}, 422),
        ({"year": {"type": "float", "filterable": True}}, 422),
        ({"embedding": {"type": "dense_vector", "dimension": 20_001, "metric": "cosine"}}, 422),
        ({"embedding": {"type": "dense_vector", "dimension": 4}}, 422),
        ({"_embedding": FIELDS["embedding"]}, 400),
        ({"a": FIELDS["embedding"], "b": FIELDS["embedding"]}, 400),
    ],
)
async def test_an_odd_schema_is_refused(
    double: PineconeDouble, project: AsyncPinecone, fields: dict[str, Any], status: int
) -> None:
    with double.expect_violations(), pytest.raises(PineconeError) as caught:
        await project.indexes.create(name=NAME, schema={"fields": fields}, timeout=-1)
    assert isinstance(caught.value, ApiError)
    assert caught.value.status_code == status
    assert double.index_names == []


# ---------------------------------------------------------------------- Pinecone's OpenAPI files


STRINGS = {"type": "array", "items": {"type": "string"}}
FILTER = {"type": "object", "minProperties": 1}
IDS = {
    "type": "array",
    "minItems": 1,
    "maxItems": 1000,
    "items": {"type": "string", "pattern": "^[\\x01-\\x7F]+$", "minLength": 1, "maxLength": 512},
}
PAGE = {"$ref": "#/components/schemas/Pagination"}
TOKEN = {"type": "string"}


def limit(most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": most}


def matched() -> dict[str, Any]:
    return {"type": "object", "properties": {"matched_records": {"type": "integer"}}}


# The file is that of 2026-01.alpha. What 2026-07 changed is in the SDK's request models, and in the file of 2026-07 of
# github.com/pinecone-io/pinecone-api.
OVERLAY: list[tuple[str, str, dict[str, Any]]] = [
    ("DocumentScoringMethod.properties.fields", "replaces `field`, which is deprecated", STRINGS),
    ("FetchDocumentsRequest.required", "`ids` or `filter`, and no longer `ids` in any case", {}),
    ("FetchDocumentsRequest.properties.ids", "the rule for ids is written down now", IDS),
    ("FetchDocumentsRequest.properties.filter", "fetch by filter is new", FILTER),
    ("FetchDocumentsRequest.properties.limit", "fetch by filter is new", limit(10_000)),
    ("FetchDocumentsRequest.properties.pagination_token", "fetch by filter is new", TOKEN),
    ("FetchDocumentsResponse.properties.pagination", "fetch by filter is new", PAGE),
    ("DeleteDocumentsRequest.properties.ids", "the rule for ids is written down now", IDS),
    ("DeleteDocumentsRequest.properties.filter", "delete by filter is new", FILTER),
    ("DeleteDocumentsResponse", "delete by filter is new, and counts", matched()),
    (
        "UpdateDocumentsRequest",
        "update is new",
        {
            "type": "object",
            "properties": {
                "documents": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 1000,
                    "items": {"$ref": "#/components/schemas/DocumentRecord"},
                },
                "filter": FILTER,
                "set_fields": {"type": "object", "additionalProperties": True},
                "remove_fields": STRINGS,
            },
        },
    ),
    ("UpdateDocumentsResponse", "update is new", matched()),
    (
        "ListDocumentsRequest",
        "list is new",
        {
            "type": "object",
            "properties": {
                "prefix": {"type": "string", "pattern": "^[\\x01-\\x7F]*$", "maxLength": 512},
                "limit": limit(100),
                "pagination_token": TOKEN,
            },
        },
    ),
    (
        "ListDocumentsResponse",
        "list is new",
        {
            "type": "object",
            "required": ["documents", "namespace", "usage"],
            "properties": {
                "documents": {
                    "type": "array",
                    "items": {"type": "object", "required": ["_id"], "properties": {"_id": {"type": "string"}}},
                },
                "namespace": {"type": "string"},
                "usage": {"$ref": "#/components/schemas/DocumentFetchUsage"},
                "pagination": PAGE,
            },
        },
    ),
    ("NamespaceDescription.properties.record_count", "numbers of 64 bits became strings", {"type": "string"}),
    ("NamespaceDescription.properties.size_bytes", "is new", {"type": "string"}),
    (
        "ErrorResponse",
        "the documents plane had `rpcStatus` and has the control plane's shape now",
        {
            "type": "object",
            "required": ["status", "error"],
            "properties": {
                "status": {"type": "integer"},
                "error": {
                    "type": "object",
                    "required": ["code", "message"],
                    "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
                },
            },
        },
    ),
]
SCHEMAS = {
    "describe_index_stats": ("DescribeIndexStatsRequest", "IndexDescription", "rpcStatus"),
    "namespaces": (None, "ListNamespacesResponse", "rpcStatus"),
    **{
        f"documents/{name}": (
            f"{name.capitalize()}DocumentsRequest",
            f"{name.capitalize()}DocumentsResponse",
            "ErrorResponse",
        )
        for name in ("upsert", "search", "fetch", "update", "delete", "list")
    },
}


@pytest.fixture(scope="session")
def openapi() -> dict[str, Any]:
    """Pinecone's published schemas with the overlay, closed: names that they do not have are not allowed."""
    if "CCBE_PINECONE_OPENAPI" not in os.environ:
        pytest.skip("set CCBE_PINECONE_OPENAPI to the folder of Pinecone's OpenAPI files")
    file = Path(os.environ["CCBE_PINECONE_OPENAPI"]) / "db_data_2026-01.alpha.oas.yaml"
    components = YAML(typ="safe").load(file.read_text())["components"]
    for path, _reason, addition in OVERLAY:
        *parents, last = path.split(".")
        parent = components["schemas"]
        for name in parents:
            parent = parent[name]
        parent[last] = [] if last == "required" else copy.deepcopy(addition)
    return {"components": closed(components)}


def closed(node: Any) -> Any:
    if isinstance(node, list):
        return [closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    shut = {name: closed(each) for name, each in node.items()}
    if shut.get("type") == "object" and "properties" in shut:
        shut.setdefault("additionalProperties", False)
    return shut


def check(openapi: dict[str, Any], schema: str | None, value: Any) -> None:
    if schema is None:
        assert value is None
    else:
        Draft7Validator({"$ref": f"#/components/schemas/{schema}", **openapi}).validate(value)


async def test_requests_and_answers_are_those_of_pinecones_openapi_file(stage: Stage, openapi: dict[str, Any]) -> None:
    await stage.put(*(document(f"d#{number}", ord=number, tags=["x"]) for number in range(5)))
    await stage.found(filter={"ord": {"$gte": 1}})
    query = TextQuery(query="whale", fields=["text"])
    await stage.documents.search(namespace=NAMESPACE, score_by=[query], top_k=2, include_fields=["*"])
    await stage.documents.fetch(namespace=NAMESPACE, ids=["d#0"])
    await stage.documents.fetch(namespace=NAMESPACE, filter={"tags": "x"}, limit=2, include_fields=["ord"])
    await stage.documents.update(namespace=NAMESPACE, documents=[{"_id": "d#0", "acl": "g", "_remove_fields": ["ord"]}])
    await stage.documents.update(namespace=NAMESPACE, filter={"acl": "g"}, set_fields={"acl": "h"})
    await stage.documents.list(namespace=NAMESPACE, prefix="d#", limit=2).to_list()
    await stage.documents.delete(namespace=NAMESPACE, ids=["d#0"])
    await stage.documents.delete(namespace=NAMESPACE, filter={"tags": "x"})
    await stage.documents.delete(namespace=NAMESPACE, delete_all=True)
    await stage.index.describe_index_stats()
    await stage.index.list_namespaces_paginated(limit=1)
    with refused(stage.double, "no field of the index's schema"):
        await stage.put({"_id": "bad"})
    with refused(stage.double, "metadata filtering"):
        await stage.index.describe_index_stats(filter={"a": "b"})
    for call in stage.double.calls:
        request, answer, error = SCHEMAS[call.kind]
        check(openapi, request, call.body)
        check(openapi, error if call.status == 400 else answer, call.answer)
    assert {call.kind for call in stage.double.calls} == SCHEMAS.keys()


VALID: list[tuple[str, dict[str, Any]]] = [
    ("upsert", {"documents": [document("a")]}),
    ("search", {"score_by": [BY_TEXT], "top_k": 1, "include_fields": ["text"], "filter": {"acl": "g1"}}),
    ("fetch", {"ids": ["a"], "include_fields": ["text"], "limit": 1}),
    ("fetch", {"filter": {"acl": "g1"}, "limit": 1}),
    ("update", {"documents": [{"_id": "a", "acl": "g1"}]}),
    ("update", {"filter": {"acl": "g1"}, "set_fields": {"acl": "g2"}, "remove_fields": ["rev"]}),
    ("delete", {"ids": ["a"]}),
    ("delete", {"filter": {"acl": "g1"}}),
    ("delete", {"delete_all": True}),
    ("list", {"prefix": "a", "limit": 1}),
]


def spoiled(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """With one thing too many, too few, or of another type."""
    yield body | {"odd": 1}
    for name in body:
        yield {other: value for other, value in body.items() if other != name}
        yield from (body | {name: odd} for odd in (None, True, 0, 1.5, "x", [], [0], {}, {"x": 0}))


@pytest.mark.parametrize(("operation", "body"), VALID)
async def test_what_pinecones_openapi_file_does_not_allow_is_refused(
    stage: Stage, openapi: dict[str, Any], operation: str, body: dict[str, Any]
) -> None:
    stage.double.rates.enabled = False
    validator = Draft7Validator({"$ref": f"#/components/schemas/{operation.capitalize()}DocumentsRequest", **openapi})
    assert validator.is_valid(body)
    assert (await stage.post(f"{DOCUMENTS}/{operation}", body)).status_code in {200, 202}
    wrong = [each for each in spoiled(body) if not validator.is_valid(each)]
    for each in wrong:
        with stage.double.expect_violations():
            assert (await stage.post(f"{DOCUMENTS}/{operation}", each)).status_code == 400, each
    assert len(wrong) > 5
