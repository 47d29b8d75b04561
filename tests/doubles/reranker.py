"""A strict double of servers that rerank: Jina, Cohere (v2), Text Embeddings Inference.

Refuses what the real ones refuse, with their statuses and error bodies, and also every field that it does not model, so
that a client cannot come to rely on something untested. The statuses of TEI are those of its source, router/src/http.
https://api.jina.ai/redoc, https://docs.cohere.com/reference/rerank,
https://huggingface.github.io/text-embeddings-inference
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from .scripted import Scripted, problems

Text = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class CohereRequest(_Strict):
    model: str
    query: Text
    documents: Annotated[list[Text], Field(min_length=1)]
    top_n: Annotated[int, Field(ge=1)] | None = None
    max_tokens_per_doc: Annotated[int, Field(ge=1)] = 4096


class JinaRequest(_Strict):
    model: str
    query: Text
    documents: Annotated[list[Text], Field(min_length=1)]
    top_n: Annotated[int, Field(ge=1)] | None = None
    return_documents: bool = True


class TeiRequest(_Strict):
    query: str
    texts: list[str]
    raw_scores: bool = False
    return_text: bool = False
    truncate: bool | None = None


def _share(question: str, text: str) -> float:
    """Of the question's words that the text has."""
    asked = _words(question)
    return len(asked & _words(text)) / max(1, len(asked))


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))


@dataclass
class FakeReranker(Scripted):
    """An ASGI app with `/v1/rerank` of Jina, `/v2/rerank` of Cohere and `/rerank` of TEI. `script` answers the next
    requests in its stead; `requests` are the bodies that it accepted."""

    api_key: str | None = None
    models: frozenset[str] = frozenset({"reranker-1"})
    most_documents: int = 1000
    """Of Jina and Cohere."""
    max_client_batch_size: int = 32
    """Of TEI, as are the following."""
    max_input_characters: int = 2000
    """Stands for the model's 512 tokens."""
    is_reranker: bool = True
    score: Callable[[str, str], float] = _share
    """Of a question and a text."""
    requests: list[CohereRequest | JinaRequest | TeiRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._app = FastAPI(openapi_url=None)
        self._app.add_api_route("/v1/rerank", self._jina, methods=["POST"])
        self._app.add_api_route("/v2/rerank", self._cohere, methods=["POST"])
        self._app.add_api_route("/rerank", self._tei, methods=["POST"])
        self._app.add_exception_handler(RequestValidationError, _invalid_request)
        self._app.add_exception_handler(HTTPException, _http_error)

    def _jina(self, body: JinaRequest, request: Request) -> dict[str, Any]:
        self._authorize(request, 401)
        self._check(body.model, body.documents, 422)
        self.requests.append(body)
        results = [
            {"index": index, "relevance_score": score}
            | ({"document": {"text": body.documents[index]}} if body.return_documents else {})
            for index, score in self._ranked(body.query, body.documents)[: body.top_n]
        ]
        return {"model": body.model, "object": "list", "usage": {"total_tokens": 7}, "results": results}

    def _cohere(self, body: CohereRequest, request: Request) -> dict[str, Any]:
        self._authorize(request, 401)
        self._check(body.model, body.documents, 400)
        self.requests.append(body)
        ranked = self._ranked(body.query, body.documents)[: body.top_n]
        return {
            "id": "07734bd2-2473-4f07-94e1-0d9f0e6843cf",
            "results": [{"index": index, "relevance_score": score} for index, score in ranked],
            "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
        }

    def _tei(self, body: TeiRequest, request: Request) -> Any:
        if self.api_key is not None and request.headers.get("Authorization") != f"Bearer {self.api_key}":
            return Response(status_code=401)
        if not body.texts:
            return _tei_error(400, "`texts` cannot be empty", "Empty")
        if not self.is_reranker:
            return _tei_error(424, "model is not a re-ranker model", "Backend")
        if len(body.texts) > self.max_client_batch_size:
            limit = self.max_client_batch_size
            message = f"batch size {len(body.texts)} > maximum allowed batch size {limit}"
            return _tei_error(422, message, "Validation")
        if not body.truncate and any(len(body.query + text) > self.max_input_characters for text in body.texts):
            return _tei_error(422, "`inputs` must have less than 512 tokens. Given: 600", "Validation")
        self.requests.append(body)
        ranked = self._ranked(body.query, [text[: self.max_input_characters] for text in body.texts])
        shift = -8.0 if body.raw_scores else 0.0
        return [{"index": index, "score": shift + score} for index, score in ranked]

    def _ranked(self, question: str, texts: Sequence[str]) -> list[tuple[int, float]]:
        scores = [(index, self.score(question, text)) for index, text in enumerate(texts)]
        return sorted(scores, key=lambda scored: -scored[1])  # a client has to go by `index`

    def _authorize(self, request: Request, status: int) -> None:
        if self.api_key is not None and request.headers.get("Authorization") != f"Bearer {self.api_key}":
            raise HTTPException(status, "invalid api token")

    def _check(self, model: str, documents: Sequence[str], too_many: int) -> None:
        if model not in self.models:
            raise HTTPException(404, f"model '{model}' not found")
        if len(documents) > self.most_documents:
            raise HTTPException(too_many, f"at most {self.most_documents} documents")


def _tei_error(status: int, message: str, kind: str) -> JSONResponse:
    return JSONResponse({"error": message, "error_type": kind}, status)


def _invalid_request(request: Request, exc: Exception) -> JSONResponse:
    return JSONResponse({"message": problems(exc)}, 400 if request.url.path == "/v2/rerank" else 422)


def _http_error(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HTTPException)
    return JSONResponse({"message": exc.detail}, exc.status_code)
