"""The R2R that the other tests here rely on, and what can be done to it."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.slow.tools import eventually

from .model_stub import ModelStub
from .server import R2RServer, r2r_server

pytestmark = pytest.mark.r2r

WHALES = "Whales swim in the deep blue sea."
BUDGET = "The marketing budget is 45000 euros."


@pytest.fixture
def admin(r2r: R2RServer) -> Iterator[httpx.Client]:
    with r2r.login() as client:
        yield client


def upload(client: httpx.Client, text: str, **form: str) -> tuple[str, httpx.Response]:
    """The id and the answer."""
    document_id = str(uuid.uuid4())
    fields = {"id": document_id, "ingestion_mode": "fast", **form}
    return document_id, client.post("/v3/documents", data=fields, files={"file": ("content.txt", text, "text/plain")})


def uploaded(client: httpx.Client, text: str, **form: str) -> str:
    document_id, response = upload(client, text, **form)
    assert response.status_code == 202, response.text
    return document_id


def search(client: httpx.Client, query: str, *among: str) -> list[str]:
    """Ids of the documents, best first."""
    settings = {"filters": {"document_id": {"$in": among}}, "graph_settings": {"enabled": False}}
    response = client.post("/v3/retrieval/search", json={"query": query, "search_settings": settings})
    assert response.status_code == 200, response.text
    return [hit["document_id"] for hit in response.json()["results"]["chunk_search_results"]]


def status(client: httpx.Client, document_id: str) -> str | None:
    """None while the document is unknown."""
    found = client.get("/v3/documents", params={"ids": document_id}).json()["results"]
    return str(found[0]["ingestion_status"]) if found else None


def test_without_credentials_only_its_health_is_told(r2r: R2RServer) -> None:
    assert httpx.get(f"{r2r.url}/v3/health").json() == {"results": {"message": "ok"}}
    assert httpx.get(f"{r2r.url}/v3/collections").status_code == 401


def test_the_admin_is_a_superuser_and_an_ordinary_account_is_not(r2r: R2RServer, admin: httpx.Client) -> None:
    assert admin.get("/v3/users/me").json()["results"]["is_superuser"] is True
    with r2r.login(r2r.ordinary_account()) as ordinary:
        assert ordinary.get("/v3/users/me").json()["results"]["is_superuser"] is False
        assert ordinary.get("/v3/system/settings").status_code == 403


def test_a_text_is_found_by_its_words(admin: httpx.Client) -> None:
    whales, budget = uploaded(admin, WHALES), uploaded(admin, BUDGET)
    assert search(admin, "How much is the budget for marketing?", whales, budget) == [budget, whales]
    assert search(admin, "Do whales swim?", whales, budget) == [whales, budget]


def test_an_answer_quotes_the_text(admin: httpx.Client, models: ModelStub) -> None:
    budget = uploaded(admin, f"{WHALES} {BUDGET}")
    settings = {"filters": {"document_id": {"$in": [budget]}}, "graph_settings": {"enabled": False}}
    calls = models.chat.calls
    response = admin.post("/v3/retrieval/rag", json={"query": "How high is the budget?", "search_settings": settings})
    results = response.json()["results"]
    assert results["generated_answer"].startswith(BUDGET)
    assert [citation["payload"]["document_id"] for citation in results["citations"]] == [budget]
    assert models.chat.calls == calls + 1


def test_killed_while_it_ingests_it_keeps_what_was_done_and_all_tokens(
    r2r: R2RServer, admin: httpx.Client, models: ModelStub
) -> None:
    whales = uploaded(admin, WHALES)
    models.hold = "unfinished"
    with ThreadPoolExecutor() as pool:
        lost = pool.submit(upload, admin, "unfinished business")
        eventually(lambda: models.waiting > 0)
        r2r.kill()
        assert isinstance(lost.exception(), httpx.TransportError)
    models.hold = None
    r2r.start()
    assert search(admin, "whales", whales) == [whales]


def test_a_passing_failure_of_the_models_is_survived(admin: httpx.Client, models: ModelStub) -> None:
    failed = models.embeddings.failed
    models.embeddings.fail(503, times=1)
    uploaded(admin, WHALES)
    models.embeddings.drop(times=1)
    uploaded(admin, WHALES)
    assert models.embeddings.failed == failed + 2


def test_models_can_be_made_slow(admin: httpx.Client, models: ModelStub) -> None:
    models.embeddings.latency = 60
    with pytest.raises(httpx.ReadTimeout):
        admin.post("/v3/retrieval/search", json={"query": "x"}, timeout=2)


def test_without_its_database_it_fails_and_afterwards_it_works_again(r2r: R2RServer, admin: httpx.Client) -> None:
    whales = uploaded(admin, WHALES)
    r2r.database.stop()
    try:
        assert admin.get("/v3/health").status_code == 200
        assert admin.get("/v3/collections").status_code == 500
    finally:
        r2r.database.start()
    eventually(lambda: admin.get("/v3/collections").status_code == 200)
    assert status(admin, whales) == "success"


def test_with_its_database_frozen_it_hangs_and_then_goes_on(r2r: R2RServer, admin: httpx.Client) -> None:
    with r2r.database.frozen():
        assert admin.get("/v3/health").status_code == 200
        with pytest.raises(httpx.ReadTimeout):
            admin.get("/v3/collections", timeout=1)
    assert admin.get("/v3/collections").status_code == 200


def test_another_one_can_be_open_to_all_and_strict_with_ordinary_accounts() -> None:
    with r2r_server(settings={"require_authentication": False, "route_per_min": 3}) as other:
        assert httpx.get(f"{other.url}/v3/users/me").json()["results"]["is_superuser"] is True
        with other.login(other.ordinary_account()) as ordinary:
            answers = [ordinary.post("/v3/collections", json={"name": name}).status_code for name in "abcde"]
        assert answers[0] == 200
        assert answers[-1] == 429
        assert other.stop() == 0
    assert not other.folder.exists()
