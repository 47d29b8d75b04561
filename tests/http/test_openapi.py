"""The OpenAPI document is true: it describes what is accepted, not what is refused, and every status."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from context_chat_backend.gateway import plan_gateway
from context_chat_backend.http.app import create_app
from tests.gateway import make_settings
from tests.wire import Capture, load_captures

from .bad_requests import BAD_ACTIONS, BAD_QUESTIONS, QUESTION_PATHS

QUESTIONS = [(path, body, status) for path in QUESTION_PATHS for body, status in BAD_QUESTIONS]
REFUSED = [(path, body, status) for path, body, status, _ in BAD_ACTIONS] + QUESTIONS
JSON_CAPTURES = [
    capture
    for capture in load_captures()
    if capture.body and capture.path != "/loadSources" and "400" not in capture.expected["answer"][:3]
]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    settings = make_settings(tmp_path_factory.mktemp("openapi"), rag_backend="reference")
    app = create_app(plan_gateway(settings, {}))
    return dict(json.loads(json.dumps(app.openapi())))


def accepts(document: dict[str, Any], path: str, body: Any) -> bool:
    """Whether the document describes this body of a POST."""
    content = document["paths"][path]["post"]["requestBody"]["content"]
    schema = {**content["application/json"]["schema"], "components": document["components"]}
    return bool(Draft202012Validator(schema).is_valid(body))


@pytest.mark.parametrize(("path", "body", "status"), REFUSED, ids=str)
def test_what_is_refused_is_not_described(
    document: dict[str, Any], path: str, body: dict[str, Any], status: int
) -> None:
    text = json.dumps(body)
    beyond_schemas = (
        "\\ud" in text or '\\n"' in text
    )  # half a pair; and to Python, `$` stands before a last line break, too
    assert beyond_schemas or not accepts(document, path, body)
    assert str(status) in document["paths"][path]["post"]["responses"]


@pytest.mark.parametrize("capture", JSON_CAPTURES, ids=str)
def test_what_the_real_client_sends_is_described(document: dict[str, Any], capture: Capture) -> None:
    assert accepts(document, capture.path, json.loads(capture.body))


def test_what_is_no_json_is_described_as_what_it_is(document: dict[str, Any]) -> None:
    def media_types(path: str, method: str = "get", status: str = "200") -> list[str]:
        return list(document["paths"][path][method]["responses"][status]["content"])

    assert media_types("/downloadLogs") == ["application/zip"]
    assert media_types("/metrics")[0].startswith("text/plain; version=")
    assert list(document["paths"]["/loadSources"]["put"]["requestBody"]["content"]) == ["multipart/form-data"]


def test_every_refusal_has_the_body_that_nextcloud_can_read(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if status != "200" and path != "/health/ready":
                    schema = response["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/Problem"}, (path, status)
    assert set(document["components"]["schemas"]["Problem"]["properties"]) == {"error"}
