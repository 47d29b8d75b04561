"""What is answered before any driver is asked: bad input, authentication, operation. One gateway shows it."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.http.app import MAX_JSON_BYTES
from tests.gateway import Nextcloud, headers, make_settings, running_gateway

from .bad_requests import (
    BAD_ACTIONS,
    BAD_QUESTIONS,
    JSON_PATHS,
    NO_OBJECTS,
    NO_ROUTES,
    NO_UPLOAD_TYPES,
    OPEN_PATHS,
    PROTECTED,
    QUESTION_PATHS,
    WRONG_SECRETS,
)


class Unasked(ReferenceDriver):
    """Whoever asks it gets a 500."""

    async def _fail(self, *_: object, **__: object) -> Any:
        raise AssertionError("a driver was asked")

    upsert = delete = set_access = update_access = update_provider_access = delete_provider = delete_user = _fail
    search = count = _fail


@pytest.fixture(scope="module")
def nextcloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nextcloud]:
    settings = make_settings(tmp_path_factory.mktemp("unasked"), rag_backend="reference")
    with running_gateway(settings, Unasked()) as nextcloud:
        yield nextcloud


def test_a_driver_that_is_asked_would_be_noticed(nextcloud: Nextcloud) -> None:
    assert nextcloud.post("/deleteUser", userId="alice").status_code == 500
    assert nextcloud.post("/docSearch", userId="alice", query="whale").status_code == 500


@pytest.mark.parametrize(("path", "body", "status", "field"), BAD_ACTIONS)
def test_a_bad_action_names_the_field(
    nextcloud: Nextcloud, path: str, body: dict[str, Any], status: int, field: str
) -> None:
    response = nextcloud.post(path, **body)
    assert (response.status_code, set(response.json())) == (status, {"error"})
    assert field in response.json()["error"]


@pytest.mark.parametrize(("body", "status"), BAD_QUESTIONS)
@pytest.mark.parametrize("path", QUESTION_PATHS)
def test_a_bad_question_is_a_readable_error(nextcloud: Nextcloud, path: str, body: dict[str, Any], status: int) -> None:
    response = nextcloud.post(path, **body)
    assert response.status_code == status
    assert set(response.json()) == {"error"}
    if status == 400:
        assert response.json()["error"].startswith("Context Retrieval Error: ")


@pytest.mark.parametrize("body", NO_OBJECTS)
@pytest.mark.parametrize("path", JSON_PATHS)
def test_a_body_that_is_no_object_is_a_readable_422(nextcloud: Nextcloud, path: str, body: bytes) -> None:
    response = nextcloud.http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert set(response.json()) == {"error"}
    assert response.json()["error"].startswith("body: ")


@pytest.mark.parametrize("content_type", NO_UPLOAD_TYPES)
def test_an_upload_that_is_no_multipart_is_refused(nextcloud: Nextcloud, content_type: str) -> None:
    response = nextcloud.http.put("/loadSources", content=b"{}", headers={"Content-Type": content_type})
    assert response.status_code == 400
    assert set(response.json()) == {"error"}


# ------------------------------------------------------------------ authentication and operation


@pytest.mark.parametrize(("method", "path"), PROTECTED)
@pytest.mark.parametrize("secret", WRONG_SECRETS)
def test_without_the_secret_nothing_is_served(nextcloud: Nextcloud, method: str, path: str, secret: str | None) -> None:
    sent = {} if secret is None else headers(secret)
    response = httpx.request(method, nextcloud.base_url + path, headers=sent)
    assert response.status_code == 401
    assert set(response.json()) == {"error"}


@pytest.mark.parametrize("path", OPEN_PATHS)
def test_probes_need_no_secret(nextcloud: Nextcloud, path: str) -> None:
    assert httpx.get(nextcloud.base_url + path).status_code == 200


def test_errors_are_json_objects(nextcloud: Nextcloud) -> None:
    for method, path, status in NO_ROUTES:
        response = nextcloud.http.request(method, path)
        assert response.status_code == status
        assert set(response.json()) == {"error"}


def test_each_answer_carries_a_request_id(nextcloud: Nextcloud) -> None:
    assert nextcloud.http.get("/enabled", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    for bad in ("", "a b", "x" * 100, 'a"b'):
        assert len(nextcloud.http.get("/enabled", headers={"X-Request-Id": bad}).headers["x-request-id"]) == 32


def test_logs_can_be_downloaded(tmp_path: Path) -> None:
    logs = {"ccb.log": "latest", "ccb.log.1": "older"}
    (tmp_path / "logs").mkdir()
    for name, text in logs.items():
        (tmp_path / "logs" / name).write_text(text)
    with running_gateway(make_settings(tmp_path, rag_backend="reference")) as nextcloud:
        response = nextcloud.http.get("/downloadLogs")
    assert response.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert {name: archive.read(name).decode() for name in archive.namelist()} == logs


def test_about(nextcloud: Nextcloud) -> None:
    about = nextcloud.http.get("/").json()
    assert set(about) == {"message", "version", "backend"}


def test_the_openapi_document_can_be_made(nextcloud: Nextcloud) -> None:
    assert "/loadSources" in json.loads(nextcloud.http.get("/openapi.json").text)["paths"]


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_has_a_limit_that_the_answer_names(nextcloud: Nextcloud, chunked: bool) -> None:
    body = json.dumps({"sourceIds": ["files__default: 1", "x" * MAX_JSON_BYTES]}).encode()
    content = (body[start : start + 2**20] for start in range(0, len(body), 2**20)) if chunked else body
    response = nextcloud.http.post("/deleteSources", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 413
    assert str(MAX_JSON_BYTES) in response.json()["error"]
