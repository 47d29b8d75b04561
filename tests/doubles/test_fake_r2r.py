"""The double of R2R: it answers as the real one was recorded to answer, and has its traps."""

import csv
import io
import json
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import httpx
import pytest

from tests.doubles.r2r import FakeR2R, r2r_server
from tests.doubles.r2r.store import Account

pytestmark = pytest.mark.anyio

GOLDEN = Path(__file__).parents[1] / "golden" / "r2r"
ALICE, BOB, PROVIDER = "11111111-1111-4111-8111-111111111111", "2" * 8 + "-2222-4222-8222-" + "2" * 12, str(UUID(int=3))
DOCUMENT = str(UUID(int=4))
TEXT = "The marketing team is led by Anna. The budget is 45000 euros."


class Stage:
    """The double, a client of the superuser and one of the ordinary account."""

    def __init__(self, double: FakeR2R, client: httpx.AsyncClient, ordinary: httpx.AsyncClient) -> None:
        self.double = double
        self.client = client
        self.ordinary = ordinary

    def collection(self, id_: str, name: str | None = None, description: str | None = None) -> str:
        """It exists now, and belongs to the superuser."""
        if UUID(id_) not in self.double.store.collections:
            owner = self.double.superuser
            self.double.store.create_collection(owner, name or f"collection {id_}", description, UUID(id_))
            owner.collection_ids.append(UUID(id_))
        return id_

    async def post(
        self,
        text: str | bytes = TEXT,
        *,
        id_: str = DOCUMENT,
        metadata: dict[str, Any] | None = None,
        form: list[str] | None = None,
        name: str = "content.txt",
        client: httpx.AsyncClient | None = None,
        **fields: str,
    ) -> httpx.Response:
        data = {"id": id_, "metadata": json.dumps(metadata or {}), "ingestion_mode": "fast", **fields}
        if form is not None:
            data["collection_ids"] = json.dumps(form)
        content = text if isinstance(text, bytes) else text.encode()
        file = {"file": (name, content, "application/octet-stream")}
        return await (client or self.client).post("/v3/documents", data=data, files=file)

    async def index(self, text: str = TEXT, **how: Any) -> str:
        """A document that can be searched; the id that it has."""
        response = await self.post(text, **how)
        assert response.status_code == 202, response.text
        return str(response.json()["results"]["document_id"])

    async def document(self, id_: str = DOCUMENT) -> dict[str, Any]:
        response = await self.client.get(f"/v3/documents/{id_}")
        assert response.status_code == 200, response.text
        return dict(response.json()["results"])

    async def count(self, collection_id: str) -> int:
        return int((await self.client.get(f"/v3/collections/{collection_id}")).json()["results"]["document_count"])

    async def search(
        self,
        *conditions: dict[str, Any],
        query: str = "marketing",
        client: httpx.AsyncClient | None = None,
        **more: Any,
    ) -> list[dict[str, Any]]:
        settings = {"filters": {"$and": conditions}, "graph_settings": {"enabled": False}, **more}
        body = {"query": query, "search_settings": settings}
        response = await (client or self.client).post("/v3/retrieval/search", json=body)
        assert response.status_code == 200, response.text
        return list(response.json()["results"]["chunk_search_results"])

    async def found(self, collection_id: str, client: httpx.AsyncClient | None = None) -> list[str]:
        """The documents of a collection that a search finds."""
        return [hit["document_id"] for hit in await self.search(within(collection_id), client=client)]


def within(*collection_ids: str) -> dict[str, Any]:
    return {"collection_ids": {"$overlap": [*collection_ids]}}


async def log_in(client: httpx.AsyncClient, account: Account) -> None:
    form = {"username": account.email, "password": account.password}
    tokens = (await client.post("/v3/users/login", data=form)).json()["results"]
    client.headers["Authorization"] = f"Bearer {tokens['access_token']['token']}"


def make_client(double: FakeR2R) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(double), base_url="http://r2r")


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    double = FakeR2R()
    async with make_client(double) as client, make_client(double) as ordinary:
        await log_in(client, double.superuser)
        await log_in(ordinary, double.ordinary)
        yield Stage(double, client, ordinary)


# ---------------------------------------------------------------------- recordings


def golden(name: str) -> dict[str, Any]:
    return dict(json.loads((GOLDEN / f"{name}.json").read_text()))


def shape(value: object) -> object:
    """Keys and types; of a list the first element."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value[:1]]
    return type(value).__name__


async def replay(client: httpx.AsyncClient, recorded: dict[str, Any], **changed: Any) -> httpx.Response:
    """The recorded request, with some of its parts changed."""
    request = {**recorded["request"], **changed}
    files = request.get("files")
    if files:
        parts = {
            name: (each["filename"], each["content"].encode(), each["content_type"]) for name, each in files.items()
        }
    return await client.request(
        request["method"],
        request["path"],
        params=request.get("params"),
        json=request.get("json"),
        data=request.get("data"),
        files=parts if files else None,
    )


def check(response: httpx.Response, recorded: dict[str, Any]) -> None:
    wanted = recorded["response"]
    assert (response.status_code, shape(response.json())) == (wanted["status"], shape(wanted["body"])), response.text
    if response.status_code >= 400 and "message" in wanted["body"] and "litellm" not in wanted["body"]["message"]:
        assert response.json() == wanted["body"]


async def have_document(stage: Stage, shown: dict[str, Any]) -> None:
    """One that is shown so."""
    made = {key: each for key, each in shown["metadata"].items() if key not in {"version", "title"}}
    for collection_id in {*shown["collection_ids"], *made.get("collection_ids", [])}:
        stage.collection(collection_id)
    rest = [each for each in shown["collection_ids"] if each not in made.get("collection_ids", [])]
    mode = "custom" if shown["summary"] else "fast"
    await stage.index(id_=shown["id"], metadata=made, form=rest, name=shown["title"], ingestion_mode=mode)
    await stage.client.put(f"/v3/documents/{shown['id']}/metadata", json=[shown["metadata"]])


async def have_hit(stage: Stage, hit: dict[str, Any], client: httpx.AsyncClient | None = None) -> None:
    """A document with such a chunk."""
    generated = {"version", "chunk_order", "document_type", "associated_query", "semantic_rank", "full_text_rank"}
    metadata = {key: each for key, each in hit["metadata"].items() if key not in generated}
    for collection_id in hit["collection_ids"]:
        stage.collection(collection_id)
    rest = [each for each in hit["collection_ids"] if each not in metadata.get("collection_ids", [])]
    await stage.index(hit["text"], id_=hit["document_id"], metadata=metadata, form=rest, client=client)


async def have_collections(stage: Stage, recorded: dict[str, Any]) -> None:
    results = recorded["response"]["body"]["results"]
    for each in reversed(results if isinstance(results, list) else [results]):
        stage.collection(each["id"], each["name"], each["description"])


async def have_documents(stage: Stage, recorded: dict[str, Any]) -> None:
    results = recorded["response"]["body"]["results"]
    for each in reversed(results if isinstance(results, list) else [results]):
        await have_document(stage, each)


async def have_hits(stage: Stage, recorded: dict[str, Any]) -> None:
    results = recorded["response"]["body"]["results"]
    for hit in results.get("search_results", results)["chunk_search_results"]:
        await have_hit(stage, hit)


async def have_membership(stage: Stage, recorded: dict[str, Any]) -> None:
    _, _, _, collection_id, _, document_id = recorded["request"]["path"].split("/")
    await stage.index(id_=document_id, form=[stage.collection(collection_id)])


async def have_parts(stage: Stage, recorded: dict[str, Any]) -> None:
    """Document and collection, not in each other."""
    _, _, _, collection_id, _, document_id = recorded["request"]["path"].split("/")
    stage.collection(collection_id)
    await stage.index(id_=document_id)


async def have_target(stage: Stage, recorded: dict[str, Any]) -> None:
    """The collection or document at the end of the path."""
    _, _, kind, id_, *_ = recorded["request"]["path"].split("/")
    if kind == "collections":
        stage.collection(id_)
    else:
        await stage.index(id_=id_)


async def have_its_collection(stage: Stage, recorded: dict[str, Any]) -> None:
    stage.collection(recorded["request"]["path"].split("/")[3])


async def have_its_document(stage: Stage, recorded: dict[str, Any]) -> None:
    await stage.index(id_=recorded["request"]["path"].split("/")[5])


async def have_posted(stage: Stage, recorded: dict[str, Any]) -> None:
    await replay(stage.client, recorded)


async def have_failed(stage: Stage, recorded: dict[str, Any]) -> None:
    stage.double.provider_down = True
    await replay(stage.client, recorded)
    stage.double.provider_down = False


async def have_chunk(stage: Stage, recorded: dict[str, Any]) -> None:
    chunk = recorded["response"]["body"]["results"][0]
    await have_hit(stage, chunk)


async def have_a_thousand_chunks(stage: Stage, recorded: dict[str, Any]) -> None:
    await stage.index(
        "word " * 1000, id_=recorded["request"]["path"].split("/")[3], ingestion_config='{"chunk_size": 4}'
    )


async def have_filtered(stage: Stage, recorded: dict[str, Any]) -> None:
    for id_ in recorded["request"]["json"]["document_id"]["$in"]:
        await stage.index(id_=id_)


def have_provider(status: Any) -> Callable[[Stage, dict[str, Any]], Awaitable[None]]:
    async def prepare(stage: Stage, recorded: dict[str, Any]) -> None:
        stage.double.provider_down, stage.double.provider_status = True, status

    return prepare


async def have_chat_down(stage: Stage, recorded: dict[str, Any]) -> None:
    stage.double.chat_down = True


async def nothing(stage: Stage, recorded: dict[str, Any]) -> None:
    pass


RECORDINGS: dict[str, Callable[[Stage, dict[str, Any]], Awaitable[None]]] = {
    "health": nothing,
    "users_me_noauth": nothing,
    "system_status": nothing,
    "collection_add_document": have_parts,
    "collection_add_document_again": have_membership,
    "collection_add_document_no_collection": have_its_document,
    "collection_add_document_no_document": have_its_collection,
    "collection_remove_document": have_membership,
    "collection_remove_document_again": have_parts,
    "collections_by_name": have_collections,
    "collections_by_name_missing": nothing,
    "collections_create": nothing,
    "collections_create_duplicate": have_posted,
    "collections_delete": have_target,
    "collections_delete_missing": nothing,
    "collections_get": have_collections,
    "collections_list": nothing,
    "collections_list_ids": have_collections,
    "document_chunks": have_chunk,
    "documents_create_duplicate_id": have_posted,
    "documents_create_embeddings_401": have_provider(401),
    "documents_create_embeddings_429": have_provider(429),
    "documents_create_embeddings_500": have_provider(500),
    "documents_create_embeddings_503": have_provider(503),
    "documents_create_embeddings_down": have_provider("connection"),
    "documents_create_empty_file": nothing,
    "documents_create_file": nothing,
    "documents_create_recommended": nothing,
    "documents_create_retry_after_failed": have_failed,
    "documents_create_unsupported_type": nothing,
    "documents_delete": have_target,
    "documents_delete_1000_chunks": have_a_thousand_chunks,
    "documents_delete_by_filter_in": have_filtered,
    "documents_delete_missing": nothing,
    "documents_get": have_documents,
    "documents_list": have_documents,
    "documents_list_ids": have_documents,
    "metadata_patch": have_documents,
    "metadata_put": have_documents,
    "rag_recommended": have_hits,
    "search_by_document_ids": have_hits,
    "search_recommended": have_hits,
    "search_recommended_scoped": have_hits,
    "search_by_metadata": have_hits,
    "search_scope_provider": have_hits,
}


@pytest.mark.parametrize("name", RECORDINGS)
async def test_answers_as_recorded(stage: Stage, name: str) -> None:
    recorded = golden(name)
    await RECORDINGS[name](stage, recorded)
    check(await replay(stage.client, recorded), recorded)
    assert not stage.double.violations


REFUSED_FILTERS: dict[str, Callable[[Stage, dict[str, Any]], Awaitable[None]]] = {
    "rag": have_hits,
    "rag_chat_down": have_chat_down,
    "rag_embeddings_503": have_provider(503),
    "rag_no_hits": nothing,
    "search_by_collection": have_hits,
    "search_collection_not_uuid": nothing,
    "search_embeddings_401": have_provider(401),
    "search_embeddings_429": have_provider(429),
    "search_embeddings_500": have_provider(500),
    "search_embeddings_503": have_provider(503),
    "search_embeddings_down": have_provider("connection"),
    "search_empty_collection_list": nothing,
    "search_hybrid": have_hits,
}


@pytest.mark.parametrize("name", REFUSED_FILTERS)
async def test_refuses_a_dangerous_filter_and_answers_as_recorded_to_a_safe_one(stage: Stage, name: str) -> None:
    recorded = golden(name)
    await REFUSED_FILTERS[name](stage, recorded)
    refused = await replay(stage.client, recorded)
    assert (refused.status_code, len(stage.double.violations)) == (422, 1)
    body = recorded["request"]["json"]
    settings = body.get("search_settings", {})
    condition = settings.get("filters") or within(ALICE)
    safe = body | {"search_settings": settings | {"filters": {"$and": [condition]}}}
    check(await replay(stage.client, recorded, json=safe), recorded)


@pytest.mark.parametrize(
    "name", ["documents_create_chunks", "documents_create_raw_text", "documents_create_title_as_filename"]
)
async def test_refuses_a_title_which_the_real_server_takes_for_the_file_name(stage: Stage, name: str) -> None:
    recorded = golden(name)
    assert (await replay(stage.client, recorded)).status_code == 422
    data = recorded["request"]["data"]
    metadata = {key: each for key, each in json.loads(data["metadata"]).items() if key != "title"}
    response = await replay(stage.client, recorded, data=data | {"metadata": json.dumps(metadata)})
    assert response.status_code == 202
    if recorded["response"]["status"] == 202:
        check(response, recorded)


async def test_logs_in_as_recorded(stage: Stage) -> None:
    recorded, account = golden("login"), stage.double.superuser
    check(
        await replay(stage.client, recorded, data={"username": account.email, "password": account.password}), recorded
    )


async def test_credentials_are_refused_as_recorded(stage: Stage) -> None:
    for name, headers in (
        ("no_credentials", {}),
        ("bad_token", {"Authorization": "Bearer a.b.c"}),
        ("both_credentials", {**stage.client.headers, "X-API-Key": stage.double.superuser.api_key}),
    ):
        async with make_client(stage.double) as client:
            client.headers = httpx.Headers(headers)
            check(await replay(client, golden(name)), golden(name))


async def test_settings_are_a_part_of_the_recorded_ones(stage: Stage) -> None:
    recorded = golden("system_settings")["response"]["body"]["results"]
    shown = (await stage.client.get("/v3/system/settings")).json()["results"]
    assert shown.keys() == recorded.keys()
    for section, values in shown["config"].items():
        assert shape(values) == {key: shape(recorded["config"][section][key]) for key in values}
    assert shown["config"]["app"]["max_upload_size_by_type"] == recorded["config"]["app"]["max_upload_size_by_type"]


async def test_limits_are_shown_as_recorded(stage: Stage) -> None:
    recorded = golden("user_limits")
    path = f"/v3/users/{stage.double.ordinary.id}/limits"
    check(await replay(stage.ordinary, recorded, path=path), recorded)


async def test_exports_as_recorded(stage: Stage) -> None:
    recorded = golden("documents_export")
    stage.collection(ALICE)
    await stage.index(metadata={"sha256": "x"}, form=[ALICE])
    response = await replay(stage.client, recorded)
    wanted = recorded["response"]
    for name in ("content-type", "content-disposition"):
        assert response.headers[name] == wanted["headers"][name]
    (header, row), theirs = csv.reader(io.StringIO(response.text)), csv.reader(io.StringIO(wanted["body"]))
    assert header == next(theirs)
    assert row == [DOCUMENT, "content.txt", '{"sha256": "x", "version": "v0"}', f"{{{ALICE}}}", "success"]


async def test_too_large_an_upload_is_refused_as_recorded(stage: Stage) -> None:
    recorded = golden("documents_create_too_large")
    file = recorded["request"]["files"]["file"] | {"content": "x" * 2_000_001}
    check(await replay(stage.client, recorded, files={"file": file}), recorded)


async def test_an_upload_of_what_is_being_ingested_is_refused_as_recorded(stage: Stage) -> None:
    recorded = golden("documents_create_while_ingesting")
    async with held_upload(stage, id_=recorded["request"]["data"]["id"]):
        check(await replay(stage.client, recorded), recorded)


async def test_rates_are_limited_as_recorded(stage: Stage) -> None:
    recorded = golden("rate_limited_route")
    stage.double.limit_rates(route_per_minute=2, global_per_minute=4)
    for _ in range(6):
        assert (await stage.ordinary.get("/v3/documents")).status_code == 200
    for _ in range(3):
        assert await stage.found(ALICE, client=stage.ordinary) == []
    check(await replay(stage.ordinary, recorded), recorded)
    for _ in range(2):
        await stage.ordinary.post("/v3/retrieval/embedding", json="x")
    check(await replay(stage.ordinary, golden("rate_limited_global")), golden("rate_limited_global"))
    assert (await stage.client.get("/v3/documents")).status_code == 200
    stage.double.advance(61)
    assert (await stage.ordinary.get("/v3/documents")).status_code == 200


async def test_an_account_that_is_no_superuser_searches_as_recorded(stage: Stage) -> None:
    recorded = golden("search_nonsuperuser_and_wrapped")
    for hit in recorded["response"]["body"]["results"]["chunk_search_results"]:
        await have_hit(stage, hit, client=stage.ordinary)
    check(await replay(stage.ordinary, recorded), recorded)
    leak = golden("search_nonsuperuser_leak")
    assert (await replay(stage.ordinary, leak)).status_code == 422


def test_every_recording_is_used() -> None:
    source = Path(__file__).read_text()
    assert not [path.stem for path in GOLDEN.glob("*.json") if f'"{path.stem}"' not in source]


# ---------------------------------------------------------------------- accounts


async def test_an_expired_token_is_refused_and_a_refresh_token_works_once(stage: Stage) -> None:
    account = stage.double.superuser
    form = {"username": account.email, "password": account.password}
    refresh = (await stage.client.post("/v3/users/login", data=form)).json()["results"]["refresh_token"]["token"]
    stage.double.expire_tokens()
    assert (await stage.client.get("/v3/users/me")).status_code == 401
    answer = await stage.client.post("/v3/users/refresh-token", json=refresh)
    stage.client.headers["Authorization"] = f"Bearer {answer.json()['results']['access_token']['token']}"
    assert (await stage.client.get("/v3/users/me")).status_code == 200
    assert (await stage.client.post("/v3/users/refresh-token", json=refresh)).status_code == 401


async def test_tokens_expire_with_time_and_at_the_logout(stage: Stage) -> None:
    stage.double.advance(3601)
    assert (await stage.client.get("/v3/users/me")).status_code == 401
    await log_in(stage.client, stage.double.superuser)
    await stage.client.post("/v3/users/logout")
    assert (await stage.client.get("/v3/users/me")).status_code == 401


async def test_login_tells_a_wrong_password_from_an_unknown_account(stage: Stage) -> None:
    email = stage.double.superuser.email
    for username, status in ((email, 401), ("nobody@example.com", 404)):
        form = {"username": username, "password": "wrong"}
        assert (await stage.client.post("/v3/users/login", data=form)).status_code == status
    assert (await stage.client.post("/v3/users/login", json={"username": email})).status_code == 422


@pytest.mark.parametrize("header", ["X-API-Key", "Authorization"])
async def test_an_api_key_works_in_either_header(header: str) -> None:
    double = FakeR2R()
    prefix = "Bearer " if header == "Authorization" else ""
    async with make_client(double) as client:
        answer = await client.get("/v3/users/me", headers={header: prefix + double.superuser.api_key})
    assert answer.json()["results"]["is_superuser"]


async def test_a_token_is_no_api_key(stage: Stage) -> None:
    token = stage.client.headers.pop("Authorization").removeprefix("Bearer ")
    assert (await stage.client.get("/v3/users/me", headers={"X-API-Key": token})).status_code == 401


async def test_only_a_superuser_may_export_and_read_settings(stage: Stage) -> None:
    answers = [
        await stage.ordinary.get("/v3/system/settings"),
        await stage.ordinary.get("/v3/system/status"),
        await stage.ordinary.post("/v3/documents/export", json={}),
        await stage.ordinary.get(f"/v3/users/{stage.double.superuser.id}/limits"),
    ]
    assert [answer.status_code for answer in answers] == [403] * 4


async def test_accounts_do_not_see_each_others_documents(stage: Stage) -> None:
    stage.collection(ALICE)
    await stage.index(form=[ALICE])
    assert await stage.found(ALICE) == [DOCUMENT]
    assert await stage.found(ALICE, client=stage.ordinary) == []
    assert (await stage.ordinary.get(f"/v3/documents/{DOCUMENT}")).status_code == 404
    assert (await stage.ordinary.get("/v3/documents")).json() == {"results": [], "total_entries": 0}
    assert (await stage.ordinary.get(f"/v3/collections/{ALICE}")).status_code == 403
    assert (await stage.ordinary.delete(f"/v3/documents/{DOCUMENT}")).status_code == 404


# ---------------------------------------------------------------------- collections


async def test_deleting_a_collection_destroys_the_chunks_of_documents_that_others_share(stage: Stage) -> None:
    await stage.index(metadata={"collection_ids": [stage.collection(ALICE), stage.collection(BOB)]})
    await stage.client.delete(f"/v3/collections/{BOB}")
    assert await stage.found(ALICE) == []
    assert (await stage.document())["ingestion_status"] == "success"
    assert (await stage.post()).status_code == 409


async def test_the_default_collection_cannot_be_deleted_nor_made_again(stage: Stage) -> None:
    [default] = (await stage.client.get("/v3/collections", params={"owner_only": True})).json()["results"]
    assert (await stage.client.delete(f"/v3/collections/{default['id']}")).status_code == 400
    assert (await stage.client.post("/v3/collections", json={"name": ""})).status_code == 409


async def test_membership_acts_on_search_at_once(stage: Stage) -> None:
    await stage.index(form=[stage.collection(ALICE)])
    stage.collection(BOB)
    await stage.client.post(f"/v3/collections/{BOB}/documents/{DOCUMENT}")
    await stage.client.delete(f"/v3/collections/{ALICE}/documents/{DOCUMENT}")
    assert (await stage.found(ALICE), await stage.found(BOB)) == ([], [DOCUMENT])


async def test_an_unknown_collection_is_written_to_the_chunks_before_it_is_refused(stage: Stage) -> None:
    await stage.index()
    assert (await stage.client.post(f"/v3/collections/{BOB}/documents/{DOCUMENT}")).status_code == 404
    assert await stage.found(BOB) == [DOCUMENT]
    assert BOB not in (await stage.document())["collection_ids"]


async def test_counts_of_documents_leave_out_those_from_the_metadata_and_become_negative(stage: Stage) -> None:
    await stage.index(metadata={"collection_ids": [stage.collection(ALICE)]}, form=[stage.collection(PROVIDER)])
    assert (await stage.count(ALICE), await stage.count(PROVIDER)) == (0, 1)
    await stage.client.delete(f"/v3/documents/{DOCUMENT}")
    assert (await stage.count(ALICE), await stage.count(PROVIDER)) == (-1, 0)


async def test_a_collections_documents_show_this_collection_only(stage: Stage) -> None:
    await stage.index(metadata={"collection_ids": [stage.collection(ALICE), stage.collection(BOB)]})
    answer = (await stage.client.get(f"/v3/collections/{ALICE}/documents", params={"limit": 1})).json()
    assert (answer["results"][0]["collection_ids"], answer["total_entries"]) == ([ALICE], 1)


async def test_the_limit_of_collections_holds_for_superusers_too_and_is_one_less(stage: Stage) -> None:
    stage.double.max_collections = 3
    answers = [await stage.client.post("/v3/collections", json={"name": name}) for name in "ab"]
    assert [answer.status_code for answer in answers] == [200, 400]


async def test_names_of_collections_are_each_accounts_own(stage: Stage) -> None:
    for client in (stage.client, stage.ordinary):
        assert (await client.post("/v3/collections", json={"name": "shared"})).status_code == 200
    owners = [(await client.get("/v3/collections/name/shared")).json() for client in (stage.client, stage.ordinary)]
    assert owners[0]["results"]["owner_id"] != owners[1]["results"]["owner_id"]


async def test_past_the_end_of_a_list_there_is_no_total(stage: Stage) -> None:
    answer = await stage.client.get("/v3/collections", params={"offset": 10})
    assert answer.json() == {"results": [], "total_entries": 0}


# ---------------------------------------------------------------------- uploads


async def test_only_the_first_collection_of_the_form_is_applied_but_all_of_the_metadata(stage: Stage) -> None:
    for id_ in (ALICE, BOB, PROVIDER):
        stage.collection(id_)
    first, second = str(uuid4()), str(uuid4())
    await stage.index(id_=first, form=[ALICE, BOB])
    await stage.index(id_=second, metadata={"collection_ids": [ALICE, BOB]}, form=[PROVIDER])
    assert (await stage.document(first))["collection_ids"] == [ALICE]
    assert (await stage.document(second))["collection_ids"] == [ALICE, BOB, PROVIDER]
    assert await stage.found(BOB) == [second]


async def test_without_a_collection_in_the_form_a_document_also_goes_to_the_default_one(stage: Stage) -> None:
    await stage.index(metadata={"collection_ids": [stage.collection(ALICE)]})
    default = str(stage.double.superuser.collection_ids[0])
    assert (await stage.document())["collection_ids"] == [ALICE, default]


async def test_an_unknown_collection_of_the_form_is_made_once_and_then_dropped(stage: Stage) -> None:
    first, second = str(uuid4()), str(uuid4())
    await stage.index(id_=first, form=[ALICE])
    await stage.index(id_=second, form=[BOB])
    assert (await stage.document(first))["collection_ids"] == [ALICE]
    assert (await stage.document(second))["collection_ids"] == []


@pytest.mark.parametrize("text", ["", "  \n", "with a \0 byte"])
async def test_success_does_not_mean_that_there_are_chunks(stage: Stage, text: str) -> None:
    await stage.index(text)
    assert (await stage.document())["ingestion_status"] == "success"
    assert (await stage.client.get(f"/v3/documents/{DOCUMENT}/chunks")).status_code == 404


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("a.pdf", b"%PDF-1.4 words", 202),
        ("a.pdf", b"no pdf", 500),
        ("a.docx", b"no zip", 500),
        ("a.docx", b"PK, but no zip", 500),
        ("a.ppt", b"\xd0\xcf\x11\xe0 but no slides", 500),
        ("a.json", b'{"whale": NaN}', 202),
        ("a.json", "[" * 100_000, 500),
        ("a.txt", "größe".encode("latin-1"), 500),
        ("a.csv", b"x" * 2_000_001, 202),
        ("a.md", b"x" * 2_000_001, 413),
        ("a.log", b"text", 415),
        ("no extension", b"text", 415),
        ("a.png", b"\x89PNG", 422),
    ],
)
async def test_types_and_sizes_are_checked(stage: Stage, name: str, content: bytes, status: int) -> None:
    assert (await stage.post(content, name=name)).status_code == status
    if status == 500:
        assert (await stage.document())["ingestion_status"] == "failed"


@pytest.mark.parametrize("text", ['{"whale": "blue",}', '{"a": 1}\n{"a": 2}', "// whale\n{}", "\ufeff{}", ""])
async def test_json_that_is_not_strict_is_refused_with_the_status_of_an_outage(stage: Stage, text: str) -> None:
    response = await stage.post(text, name="a.json")
    assert (response.status_code, response.json()["error_type"]) == (400, "R2RException")
    document = await stage.document()
    assert (document["ingestion_status"], document["total_tokens"]) == ("failed", 0)


@pytest.mark.parametrize(
    ("relationship", "status"),
    [
        ("http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument", 202),
        ("http://purl.oclc.org/ooxml/officeDocument/relationships/officeDocument", 500),
    ],
)
async def test_strict_office_documents_are_refused(stage: Stage, relationship: str, status: int) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as package:
        package.writestr("_rels/.rels", relationship)
    assert (await stage.post(file.getvalue(), name="a.docx")).status_code == status


async def test_a_book_is_a_success_without_text(stage: Stage) -> None:
    await stage.index("PK", name="a.epub")
    assert (await stage.document())["total_tokens"] == 0


async def test_exactly_one_input_is_wanted(stage: Stage) -> None:
    assert (await stage.client.post("/v3/documents", data={"ingestion_mode": "fast"})).status_code == 422
    assert (await stage.post(raw_text="more")).status_code == 422
    assert (await stage.client.post("/v3/documents", data={"raw_text": ""})).status_code == 422


async def test_a_part_of_the_form_is_limited_to_a_mebibyte(stage: Stage) -> None:
    response = await stage.post(metadata={"a": "x" * 2**20})
    assert (response.status_code, response.json()) == (400, {"detail": "Part exceeded maximum size of 1024KB."})


async def test_an_id_is_made_from_the_file_name(stage: Stage) -> None:
    files = {"file": ("same.txt", b"one", "text/plain")}
    assert (await stage.client.post("/v3/documents", files=files)).status_code == 202
    files = {"file": ("same.txt", b"another", "text/plain")}
    assert (await stage.client.post("/v3/documents", files=files)).status_code == 409


async def test_metadata_has_to_be_storable(stage: Stage) -> None:
    assert (await stage.post(metadata={"a": ["\0"]})).status_code == 500
    assert (await stage.post(metadata={"collection_ids": ["alice"]})).status_code == 500
    assert (await stage.client.get(f"/v3/documents/{DOCUMENT}")).status_code == 404


async def test_a_document_that_failed_says_why_and_may_be_sent_again(stage: Stage) -> None:
    stage.double.provider_down = True
    assert (await stage.post()).status_code == 400
    document = await stage.document()
    assert (document["ingestion_status"], "Error getting embeddings" in document["metadata"]["failure"]) == (
        "failed",
        True,
    )
    stage.double.provider_down = False
    await stage.index()
    assert "failure" not in (await stage.document())["metadata"]


async def test_the_mode_custom_needs_the_language_model(stage: Stage) -> None:
    stage.double.chat_down = True
    assert (await stage.post(ingestion_mode="custom")).status_code == 500
    assert (
        await stage.post(ingestion_mode="custom", ingestion_config='{"skip_document_summary": true}')
    ).status_code == 202
    assert len(stage.double.chat_calls) == 1


async def test_chunks_end_at_white_space(stage: Stage) -> None:
    await stage.index("word " * 500 + "x" * 1500)
    chunks = (await stage.client.get(f"/v3/documents/{DOCUMENT}/chunks")).json()["results"]
    assert [len(chunk["text"]) for chunk in chunks] == [1024, 1024, 449, 1024, 476]


# ---------------------------------------------------------------------- while a document is ingested


class held_upload:  # noqa: N801 - a context manager
    """An upload that the double holds up within the block; it is over at the end of it."""

    def __init__(self, stage: Stage, **how: Any) -> None:
        self._stage = stage
        self._how = how
        self._tasks = anyio.create_task_group()
        self._client = anyio.CancelScope()
        self._over = anyio.Event()
        self.responses: list[httpx.Response] = []

    async def go_away(self) -> None:
        self._client.cancel()
        await self._over.wait()

    async def _post(self) -> None:
        with self._client:
            self.responses.append(await self._stage.post(**self._how))
        self._over.set()

    async def __aenter__(self) -> "held_upload":
        self._stage.double.hold_ingestion()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._post)
        while not self._stage.double.store.documents:
            await anyio.lowlevel.checkpoint()
        return self

    async def __aexit__(self, *error: Any) -> None:
        self._stage.double.release()
        await self._tasks.__aexit__(*error)


async def test_what_is_changed_while_a_document_is_ingested_is_undone(stage: Stage) -> None:
    stage.collection(ALICE), stage.collection(BOB)
    async with held_upload(stage, metadata={"collection_ids": [ALICE]}, form=[stage.collection(PROVIDER)]):
        assert (await stage.document())["ingestion_status"] == "embedding"
        await stage.client.post(f"/v3/collections/{BOB}/documents/{DOCUMENT}")
        await stage.client.delete(f"/v3/collections/{ALICE}/documents/{DOCUMENT}")
        await stage.client.patch(f"/v3/documents/{DOCUMENT}/metadata", json=[{"a": "b"}])
        assert (await stage.document())["collection_ids"] == [BOB]
    document = await stage.document()
    assert (document["collection_ids"], "a" in document["metadata"]) == ([ALICE, PROVIDER], False)
    assert await stage.found(ALICE) == [DOCUMENT]


async def test_a_document_that_is_deleted_while_it_is_ingested_comes_back(stage: Stage) -> None:
    stage.collection(ALICE)
    async with held_upload(stage, form=[ALICE]):
        assert (await stage.client.delete(f"/v3/documents/{DOCUMENT}")).status_code == 200
        assert (await stage.client.get(f"/v3/documents/{DOCUMENT}")).status_code == 404
    assert (await stage.document())["ingestion_status"] == "success"
    assert await stage.found(ALICE) == [DOCUMENT]


async def test_a_client_that_goes_away_does_not_stop_the_ingestion(stage: Stage) -> None:
    async with held_upload(stage) as upload:
        await upload.go_away()
        assert (await stage.document())["ingestion_status"] == "embedding"
    assert not upload.responses
    assert (await stage.document())["ingestion_status"] == "success"


async def test_a_killed_ingestion_is_stuck_until_the_document_is_deleted(stage: Stage) -> None:
    with pytest.RaisesGroup(httpx.ReadError):
        async with held_upload(stage):
            stage.double.kill_ingestion()
    document = await stage.document()
    assert document["ingestion_status"] == "embedding"
    assert (await stage.post()).status_code == 409
    stage.double.advance(3000)
    aged = datetime.fromisoformat((await stage.document())["updated_at"])
    assert datetime.fromisoformat(document["updated_at"]) - aged == timedelta(seconds=3000)
    await stage.client.delete(f"/v3/documents/{DOCUMENT}")
    await stage.index()


async def test_with_an_orchestrator_an_upload_is_answered_before_it_is_ingested(stage: Stage) -> None:
    stage.double.orchestrated = True
    answer = (await stage.post(form=[stage.collection(ALICE)])).json()["results"]
    assert str(UUID(answer["task_id"])) == answer["task_id"]
    assert ((await stage.document())["ingestion_status"], await stage.found(ALICE)) == ("parsing", [])
    stage.double.finish_ingestions()
    assert ((await stage.document())["ingestion_status"], await stage.found(ALICE)) == ("success", [DOCUMENT])


async def test_without_orchestration_an_upload_waits_even_if_there_is_an_orchestrator(stage: Stage) -> None:
    stage.double.orchestrated = True
    await stage.index(run_with_orchestration="false")
    assert (await stage.document())["ingestion_status"] == "success"


# ---------------------------------------------------------------------- metadata and deletion


async def test_chunks_keep_the_metadata_of_their_ingestion(stage: Stage) -> None:
    await stage.index(metadata={"sha256": "old"}, form=[stage.collection(ALICE)])
    await stage.client.patch(f"/v3/documents/{DOCUMENT}/metadata", json=[{"sha256": "new"}])
    [hit] = await stage.search(within(ALICE), {"metadata.sha256": {"$eq": "old"}})
    assert hit["metadata"]["sha256"] == "old"
    assert (await stage.document())["metadata"]["sha256"] == "new"


async def test_put_replaces_all_metadata(stage: Stage) -> None:
    await stage.index(metadata={"sha256": "old"})
    await stage.client.put(f"/v3/documents/{DOCUMENT}/metadata", json=[{"a": 1}, {"b": 2}])
    assert (await stage.document())["metadata"] == {"a": 1, "b": 2}


async def test_metadata_of_an_unknown_document_cannot_be_changed(stage: Stage) -> None:
    assert (await stage.client.patch(f"/v3/documents/{DOCUMENT}/metadata", json=[{"a": 1}])).status_code == 404


async def test_a_document_of_a_thousand_chunks_can_be_deleted_after_one_of_them(stage: Stage) -> None:
    collection = stage.collection(ALICE)
    await stage.index("word " * 1000, form=[collection], ingestion_config='{"chunk_size": 4}')
    assert (await stage.client.delete(f"/v3/documents/{DOCUMENT}")).status_code == 500
    [chunk] = (await stage.client.get(f"/v3/documents/{DOCUMENT}/chunks", params={"limit": 1})).json()["results"]
    assert (await stage.client.delete(f"/v3/chunks/{chunk['id']}")).status_code == 200
    assert (await stage.client.get(f"/v3/documents/{DOCUMENT}")).status_code == 404
    assert len(await stage.search(within(ALICE), limit=1000)) == 999
    assert (await stage.client.delete(f"/v3/documents/{DOCUMENT}")).status_code == 404
    assert await stage.found(ALICE) == []


async def delete_by_filter(stage: Stage, condition: dict[str, Any]) -> int:
    response = await stage.client.request("DELETE", "/v3/documents/by-filter", json={"document_id": condition})
    return response.status_code


async def test_documents_without_chunks_survive_a_deletion_by_filter_unless_one_is_named(stage: Stage) -> None:
    await stage.index("")
    assert await delete_by_filter(stage, {"$in": [DOCUMENT]}) == 200
    assert (await stage.document())["ingestion_status"] == "success"
    assert await delete_by_filter(stage, {"$eq": DOCUMENT}) == 200
    assert await delete_by_filter(stage, {"$eq": DOCUMENT}) == 404
    assert await delete_by_filter(stage, {"$in": [DOCUMENT]}) == 200


async def test_an_orphan_makes_a_deletion_by_filter_leave_documents_without_chunks(stage: Stage) -> None:
    orphan = str(uuid4())
    await stage.index("word " * 500, id_=orphan)
    [chunk, *_] = (await stage.client.get(f"/v3/documents/{orphan}/chunks")).json()["results"]
    await stage.client.delete(f"/v3/chunks/{chunk['id']}")
    await stage.index(form=[stage.collection(ALICE)])
    assert await delete_by_filter(stage, {"$in": [orphan, DOCUMENT]}) == 404
    assert (await stage.document())["ingestion_status"] == "success"
    assert await stage.found(ALICE) == []


# ---------------------------------------------------------------------- retrieval


async def test_finds_by_words_and_ranks_also_what_has_none_of_them(stage: Stage) -> None:
    stage.collection(ALICE)
    texts = {"no word": "Nothing to see.", "one": "A budget.", "both": "The Marketing BUDGET."}
    ids = {name: await stage.index(text, id_=str(uuid4()), form=[ALICE]) for name, text in texts.items()}
    hits = await stage.search(within(ALICE), query="marketing budget")
    assert [hit["document_id"] for hit in hits] == [ids["both"], ids["one"], ids["no word"]]
    assert [hit["score"] for hit in hits] == [1.0, 0.5, 0.0]
    assert len(await stage.search(within(ALICE), limit=1, offset=2)) == 1


async def test_a_filter_cuts_collections_and_documents(stage: Stage) -> None:
    for id_ in (ALICE, BOB, PROVIDER):
        stage.collection(id_)
    first = await stage.index(id_=str(uuid4()), metadata={"collection_ids": [ALICE]}, form=[PROVIDER])
    second = await stage.index(id_=str(uuid4()), metadata={"collection_ids": [ALICE, BOB]})
    both = {"document_id": {"$in": [first, second]}}

    async def found(*conditions: dict[str, Any]) -> set[str]:
        return {hit["document_id"] for hit in await stage.search(*conditions)}

    assert await found(within(ALICE), both) == {first, second}
    assert await found(within(ALICE), within(PROVIDER), both) == {first}
    assert await found({"$or": [within(BOB), {"document_id": {"$eq": first}}]}) == {first, second}
    assert await found(within(ALICE), {"document_id": {"$in": []}}) == set()
    assert await found(within(str(uuid4()))) == set()


async def test_rag_calls_the_model_even_when_nothing_was_found(stage: Stage) -> None:
    body = {"query": "Who?", "search_settings": {"filters": {"$and": [within(ALICE)]}}}
    answer = (await stage.client.post("/v3/retrieval/rag", json=body)).json()["results"]
    assert (answer["search_results"]["chunk_search_results"], stage.double.chat_calls) == ([], ["rag: Who?"])


async def test_rag_cites_the_first_hit(stage: Stage) -> None:
    await stage.index(form=[stage.collection(ALICE)])
    body = {"query": "Anna", "search_settings": {"filters": {"$and": [within(ALICE)]}}}
    answer = (await stage.client.post("/v3/retrieval/rag", json=body)).json()["results"]
    [hit] = answer["search_results"]["chunk_search_results"]
    assert answer["generated_answer"] == f"The marketing team is led by Anna [{hit['id'][:7]}]"
    assert answer["citations"][0]["payload"] == hit


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"query": ""}, 400),
        ({"search_settings": {"limit": 300, "use_hybrid_search": True}}, 500),
        ({"search_settings": {"use_semantic_search": False}}, 500),
        ({"search_settings": {"limit": 1001}}, 422),
        ({"search_mode": "advanced"}, 422),
    ],
)
async def test_refuses_a_search_that_makes_no_sense(stage: Stage, change: dict[str, Any], status: int) -> None:
    settings = {"filters": {"$and": [within(ALICE)]}} | change.get("search_settings", {})
    body = {"query": "x", **change, "search_settings": settings}
    assert (await stage.client.post("/v3/retrieval/search", json=body)).status_code == status


# ---------------------------------------------------------------------- strictness


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"$and": []},
        {"$and": [{}]},
        {"$and": ["ignored"]},
        {"$or": []},
        {"$or": [within()]},
        within(ALICE),
        {"collection_id": ALICE},
        {"$and": [{"collection_ids": [ALICE]}]},
        {"$and": [{"collection_ids": {"$contains": []}}]},
        {"$and": [{"collection_ids": {"$nin": []}}]},
        {"$and": [{"collection_ids": {"$overlap": [ALICE], "$eq": ALICE}}]},
        {"$and": [{"document_ids": {"$in": [DOCUMENT]}}]},
        {"$and": [{"provider": {"$eq": "x"}}]},
        {"$and": [{"metadata.a'b": {"$eq": "x"}}]},
        {"$and": [{"metadata.size": {"$in": [1]}}]},
        {"$not": within(ALICE)},
    ],
)
@pytest.mark.parametrize("route", ["search", "rag"])
async def test_refuses_a_filter_that_the_real_server_misunderstands(
    stage: Stage, route: str, filters: dict[str, Any]
) -> None:
    body = {"query": "x", "search_settings": {"filters": filters}}
    assert (await stage.client.post(f"/v3/retrieval/{route}", json=body)).status_code == 422
    assert len(stage.double.violations) == 1


async def test_an_id_in_a_filter_that_is_none_is_an_error_of_the_server(stage: Stage) -> None:
    for condition in (within("alice"), {"document_id": {"$in": ["x"]}}):
        body = {"query": "x", "search_settings": {"filters": {"$and": [condition]}}}
        assert (await stage.client.post("/v3/retrieval/search", json=body)).status_code == 500


SAFE = {"filters": {"$and": [within(ALICE)]}}


@pytest.mark.parametrize(
    ("method", "path", "how"),
    [
        ("GET", "/v3/collections", {"params": {"name": "x"}}),
        ("GET", "/v3/collections", {"params": {"limit": 1001}}),
        ("GET", "/v3/collections", {"params": {"limit": [1, 2]}}),
        ("GET", "/v3/documents", {"params": {"filters": "{}"}}),
        ("GET", "/v3/documents", {"params": {"metadata.provider": "x"}}),
        ("GET", "/v3/documents/x", {}),
        ("GET", f"/v3/documents/{DOCUMENT}", {"params": {"a": "b"}}),
        ("GET", "/v3/collections", {"headers": {"x-project-name": "other"}}),
        ("POST", "/v3/collections", {"json": {"name": "x", "id": ALICE}}),
        ("POST", "/v3/collections", {"data": {"name": "x"}}),
        ("POST", f"/v3/collections/{ALICE}/documents/{DOCUMENT}", {"json": {}}),
        ("POST", "/v3/retrieval/search", {"json": {"query": "x", "filters": {}, "search_settings": SAFE}}),
        ("POST", "/v3/retrieval/search", {"json": {"query": "x", "search_setting": SAFE}}),
        ("POST", "/v3/retrieval/search", {"json": {"query": "x", "search_settings": SAFE | {"filter": {}}}}),
        ("POST", "/v3/retrieval/search", {"json": {"query": "x"}}),
        ("POST", "/v3/retrieval/embedding", {"json": {"text": "x"}}),
        ("POST", "/v3/documents/export", {"json": {"filters": {"metadata.a": {"$eq": "b"}}}}),
        ("POST", "/v3/documents", {"data": {"raw_text": "x", "name": "y"}}),
        ("POST", "/v3/documents", {"data": {"raw_text": "x", "id": "y"}}),
        ("POST", "/v3/documents", {"data": {"raw_text": "x", "metadata": "[1]"}}),
        ("POST", "/v3/documents", {"data": {"raw_text": "x", "collection_ids": ALICE}}),
        ("POST", "/v3/documents", {"data": {"raw_text": "x", "ingestion_mode": "hi-res"}}),
        ("POST", "/v3/documents", {"data": {"raw_text": ["x", "y"]}}),
        ("PATCH", f"/v3/documents/{DOCUMENT}/metadata", {"json": {"a": 1}}),
        ("DELETE", "/v3/documents/by-filter", {"json": {}}),
        ("DELETE", "/v3/documents/by-filter", {"json": {"metadata.a": {"$eq": "b"}}}),
    ],
)
async def test_refuses_what_the_real_server_ignores_or_refuses(
    stage: Stage, method: str, path: str, how: dict[str, Any]
) -> None:
    response = await stage.client.request(method, path, **how)
    assert (response.status_code, len(stage.double.violations)) == (422, 1), response.text


async def test_metadata_of_keys_and_values_is_refused(stage: Stage) -> None:
    await stage.index()
    body = [{"key": "a", "value": "b"}]
    assert (await stage.client.patch(f"/v3/documents/{DOCUMENT}/metadata", json=body)).status_code == 422


async def test_unknown_routes_and_methods_are_violations(stage: Stage) -> None:
    answers = [await stage.client.get("/v3/nothing"), await stage.client.put("/v3/collections", json={})]
    assert [answer.status_code for answer in answers] == [404, 405]
    assert len(stage.double.violations) == 2


async def test_malformed_ids_in_a_query_are_an_error_of_the_server(stage: Stage) -> None:
    for path in ("/v3/documents", "/v3/collections"):
        assert (await stage.client.get(path, params={"ids": "x"})).status_code == 500


# ---------------------------------------------------------------------- handles


async def test_a_scripted_failure_is_given_as_often_as_asked(stage: Stage) -> None:
    stage.double.fail_next("GET", r"/v3/collections(/.*)?", 502, "Bad Gateway", times=2, text=True)
    paths = ["/v3/users/me", "/v3/collections", "/v3/collections/name/x", "/v3/collections"]
    assert [(await stage.client.get(path)).status_code for path in paths] == [200, 502, 502, 200]
    assert stage.double.requests[-4:] == [("GET", path) for path in paths]


async def test_health_says_nothing_about_the_database(stage: Stage) -> None:
    stage.double.database_down = True
    assert (await stage.client.get("/v3/health")).status_code == 200
    answer = await stage.client.get("/v3/collections")
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")


async def test_the_small_routes_answer(stage: Stage) -> None:
    assert (await stage.client.get("/openapi_spec")).json()["info"]["title"] == "R2R Application API"
    indices = (await stage.client.get("/v3/indices")).json()["results"]["indices"]
    assert not [index for index in indices if "hnsw" in index["index"]["definition"]]
    vector = (await stage.client.post("/v3/retrieval/embedding", json="x")).json()["results"]
    assert all(isinstance(each, float) for each in vector)


def test_on_a_socket_an_upload_waits_for_another_thread() -> None:
    with (
        r2r_server() as double,
        httpx.Client(base_url=double.url) as client,
        anyio.from_thread.start_blocking_portal() as portal,
    ):
        client.headers["X-API-Key"] = double.superuser.api_key
        double.hold_ingestion()
        data = {"raw_text": "words", "id": DOCUMENT, "ingestion_mode": "fast"}
        upload = portal.start_task_soon(
            lambda: anyio.to_thread.run_sync(lambda: client.post("/v3/documents", data=data))
        )
        with httpx.Client(base_url=double.url, headers=client.headers) as other:
            while not other.get("/v3/documents").json()["total_entries"]:
                pass
            assert other.get(f"/v3/documents/{DOCUMENT}").json()["results"]["ingestion_status"] == "embedding"
            double.release()
            assert upload.result(timeout=60).status_code == 202
