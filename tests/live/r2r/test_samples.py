"""The running R2R still answers what was recorded; the driver's tests and the double are made from the recordings."""

import uuid
from collections.abc import Iterator

import httpx
import pytest

from .model_stub import ModelStub
from .samples import Replay
from .server import R2RServer

pytestmark = pytest.mark.r2r

ALICE = "bbe2fb86-08b4-4610-b72f-180b0979e17f"
BOB = "2c74ba04-bc17-4ea4-ba9a-4cda4e7191fd"
PROVIDER = "835f1301-abbd-4d6e-869e-9a81dc7114ce"


@pytest.fixture
def replay(r2r: R2RServer) -> Iterator[Replay]:
    with r2r.login() as client:
        yield Replay(client)


def create_collection(replay: Replay, recorded_id: str) -> None:
    response = replay.client.post("/v3/collections", json={"name": f"samples:{uuid.uuid4()}"})
    replay.know(recorded_id, response.json()["results"]["id"])


def create_document(replay: Replay, recorded_id: str, text: str = "Whales swim in the deep blue sea.") -> None:
    form = {"id": replay.here(recorded_id), "ingestion_mode": "fast"}
    response = replay.client.post("/v3/documents", data=form, files={"file": ("content.txt", text, "text/plain")})
    assert response.status_code == 202, response.text


def test_credentials_are_checked_as_recorded(r2r: R2RServer, replay: Replay) -> None:
    with httpx.Client(base_url=r2r.url) as anybody:
        without = Replay(anybody)
        without.know("<password>", r2r.admin.password)
        without("health")
        without("login")
        without("no_credentials")
        anybody.headers["Authorization"] = "Bearer unknown"
        without("bad_token")
    replay.client.headers["X-API-Key"] = "also"
    replay("both_credentials")


def test_collections_are_as_recorded(replay: Replay) -> None:
    replay("collections_create")
    replay("collections_create_duplicate")
    replay("collections_by_name")
    replay("collections_by_name_missing")
    create_collection(replay, BOB)
    replay("collections_list_ids")
    create_collection(replay, "94148867-f9d6-4f6d-979d-5010b307909f")
    replay("collections_delete")
    replay("collections_delete_missing")


def test_memberships_are_as_recorded(replay: Replay) -> None:
    create_collection(replay, BOB)
    create_document(replay, "e77c2565-0a19-5dfd-a0c9-c2eb18ae8154")
    replay("collection_add_document")
    replay("collection_add_document_again")
    replay("collection_add_document_no_document")
    replay("collection_remove_document")
    replay("collection_remove_document_again")
    replay("collection_add_document_no_collection")


def test_documents_are_created_listed_found_and_deleted_as_recorded(replay: Replay) -> None:
    create_collection(replay, "c42359d5-6a7b-44e8-b5d7-0acff3870af3")
    create_collection(replay, "e08c11b4-17ff-4f95-ad04-d37e438b99fe")
    create_collection(replay, PROVIDER)
    replay("documents_create_recommended")
    replay("documents_list_ids")
    replay("search_recommended")
    replay("search_recommended_scoped")
    replay("rag_recommended")
    create_document(replay, "b0871a1b-4e0f-578c-8edd-ae1e38ad81a2")
    replay("documents_delete")
    replay("documents_delete_missing")


def test_documents_with_a_summary_are_as_recorded(replay: Replay) -> None:
    create_collection(replay, ALICE)
    replay("documents_create_file")
    replay("documents_create_duplicate_id")
    replay("documents_get")
    replay("document_chunks")


def test_unusable_documents_are_refused_as_recorded(replay: Replay) -> None:
    create_collection(replay, ALICE)
    replay("documents_create_unsupported_type")
    replay("documents_create_title_as_filename")
    replay("documents_create_empty_file")


def test_searches_are_as_recorded(replay: Replay) -> None:
    replay("search_collection_not_uuid")
    replay("search_empty_collection_list")


def test_failing_models_are_reported_as_recorded(models: ModelStub, replay: Replay) -> None:
    models.embeddings.fail(503)
    replay("search_embeddings_503")
    models.embeddings.drop()
    replay("search_embeddings_down")
    create_collection(replay, ALICE)
    models.embeddings.fail(401)
    replay("documents_create_embeddings_401")


def test_an_ordinary_account_is_limited_as_recorded(r2r: R2RServer) -> None:
    with r2r.login(r2r.ordinary_account()) as client:
        search = {"query": "x", "search_settings": {"limit": 1}}
        while client.post("/v3/retrieval/search", json=search).status_code == 200:
            pass
        Replay(client)("rate_limited_route")
