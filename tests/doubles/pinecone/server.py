"""The double as an ASGI app: its routes, and the handles by which a test makes trouble."""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import unquote

from pydantic import BaseModel, ValidationError
from starlette import requests
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from tests.doubles.pinecone import schemas
from tests.doubles.pinecone.calls import Answer, Call, Request
from tests.doubles.pinecone.control import RESERVED_DENSE, Index, Indexes, check_schema
from tests.doubles.pinecone.documents import DocumentOperations
from tests.doubles.pinecone.errors import (
    Refusal,
    documents_error,
    invalid,
    not_modelled,
    refused,
    rpc_error,
    undeserializable,
)
from tests.doubles.pinecone.faults import Faults
from tests.doubles.pinecone.limits import MAX_REQUEST_BYTES, Clock, Rates
from tests.doubles.pinecone.namespaces import NamespaceOperations
from tests.doubles.pinecone.schemas import DenseField, NewIndex, Schema
from tests.doubles.pinecone.store import Documents, Store
from tests.doubles.pinecone.wire import Asked, body_of, check_no_query, decoded, json_of, problems, read

API_VERSION = "2026-07"
MANAGED = {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"}
VECTORS_PLANE = re.compile(r"/(query|vectors/.*|records/namespaces/.*)")
HAS_DOCUMENTS = (
    "This index has a document schema, so writes must go through the documents API. Use `POST "
    "/namespaces/{namespace}/documents/upsert`, `/update` or `/delete` with the `X-Pinecone-API-Version` header set to "
    "`2026-07` or later. The vectors and records write endpoints do not support document schemas."
)
# Not recorded: the OpenAPI file of 2026-07 only says that such an index answers 400 and names the API to use instead.
HAS_VECTORS = (
    "This index has no document schema, so reads and writes must go through the vectors API. The document endpoints "
    "require an index that was created with a document schema."
)


@dataclass(frozen=True)
class Route:
    method: str
    path: re.Pattern[str]
    plane: Literal["documents", "both"]
    schema: type[BaseModel] | None
    handler: Callable[[Request], Answer]


class PineconeDouble(Faults):
    """An ASGI app. Everything that no right driver sends is refused and noted in `violations`."""

    def __init__(self) -> None:
        super().__init__()
        self.api_key = "the-api-key-of-the-double"
        self.clock = Clock()
        self.rates = Rates(self.clock)
        self.calls: list[Call] = []
        """Every request that was answered or dropped, in that order."""
        self.violations: list[str] = []
        self._lock = threading.RLock()
        self._store = Store(self.clock)
        self._indexes = Indexes(self.clock)
        self._routes = self._data_plane()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        asked = await read(requests.Request(scope, receive))
        with self._lock:
            response = self._answer(asked)
        if response is None:
            scope["state"]["transport"].abort()
            # until the connection is gone: without an answer uvicorn would make one up
            await receive()
        else:
            await response(scope, receive, send)

    def _answer(self, asked: Asked) -> Response | None:
        """None for a connection that breaks."""
        fault = self._due(asked.call.path)
        response = self._respond(asked) if fault is None or fault.applied else None
        if fault is not None:
            response = None if fault.drop else fault.response()
        self.calls.append(_logged(asked.call, response))
        return response

    # ------------------------------------------------------------------ handles

    @property
    def url(self) -> str:
        """Of the control plane, and the host of the index."""
        return self._indexes.url

    @url.setter
    def url(self, url: str) -> None:
        self._indexes.url = url

    @property
    def lag(self) -> float:
        """Seconds of the clock from the acceptance of a write until it is indexed. Writes before keep theirs."""
        return self._store.lag

    @lag.setter
    def lag(self, seconds: float) -> None:
        self._store.lag = seconds

    @property
    def ready_after(self) -> float:
        """Seconds of the clock from the creation of an index until it is ready."""
        return self._indexes.ready_after

    @ready_after.setter
    def ready_after(self, seconds: float) -> None:
        self._indexes.ready_after = seconds

    def index_everything(self) -> None:
        with self._lock:
            self._store.index_everything()

    def stored(self, namespace: str) -> Documents:
        """Every document that was accepted, whether it is indexed yet or not."""
        with self._lock:
            return self._store.namespace(namespace).stored

    def indexed(self, namespace: str) -> Documents:
        """What searches see."""
        with self._lock:
            return {**self._store.namespace(namespace).indexed}

    @property
    def index_names(self) -> list[str]:
        return [each["name"] for each in self._indexes.list()["indexes"]]

    def preset_index(self, name: str, fields: Mapping[str, Any]) -> None:
        """An empty index of the documents plane, ready, in place of any that there was."""
        schema = Schema.model_validate({"fields": fields})
        check_schema(schema)
        self._preset(Index(name, "documents", schema, MANAGED, False, None, self.clock.now()))

    def preset_vectors_index(
        self, name: str, dimension: int, metric: Literal["cosine", "dotproduct"] = "cosine"
    ) -> None:
        """As `preset_index`, but one that an API version before 2026-07 made: it has no document schema."""
        field = DenseField(type="dense_vector", dimension=dimension, metric=metric)
        schema = Schema(fields={RESERVED_DENSE: field})
        self._preset(Index(name, "vectors", schema, MANAGED, False, None, self.clock.now()))

    def _preset(self, index: Index) -> None:
        with self._lock:
            self._store.clear()
            self._indexes.put(index)

    @contextmanager
    def expect_violations(self) -> Iterator[list[str]]:
        """Those of the block are the test's own: they come into the list that is yielded, and out of `violations`."""
        before, expected = [*self.violations], list[str]()
        yield expected
        expected += self.violations[len(before) :]
        assert expected, "nothing was refused"
        self.violations = before

    # ------------------------------------------------------------------ a request

    def _respond(self, asked: Asked) -> Response:
        try:
            self._let_in(asked)
            answer = self._control(asked) if asked.call.kind == "indexes" else self._data(asked)
        except Refusal as refusal:
            if refusal.wrong:
                self.violations.append(f"{asked.call.method} {asked.call.path}: {refusal.message}")
            is_rpc = not asked.call.kind.startswith(("indexes", "documents", "records"))
            return rpc_error(refusal) if is_rpc else documents_error(refusal)
        if answer.body is None:
            return Response(status_code=answer.status)
        return JSONResponse(answer.body, answer.status, dict(answer.headers))

    def _let_in(self, asked: Asked) -> None:
        if asked.headers.get("api-key") != self.api_key:
            raise refused(401, "Unauthorized")
        version = asked.headers.get("x-pinecone-api-version")
        if version != API_VERSION:
            raise not_modelled(f"X-Pinecone-Api-Version {version!r} instead of {API_VERSION!r}")

    # ------------------------------------------------------------------ control plane

    def _control(self, asked: Asked) -> Answer:
        check_no_query(asked)
        found = re.fullmatch(r"/indexes(?:/([^/]+))?", asked.raw_path)
        if found is None:
            raise _no_route(asked)
        match (asked.call.method, found[1]):
            case ("GET", None):
                return Answer(200, self._indexes.list())
            case ("POST", None):
                return self._create_index(asked)
            case ("GET", name):
                return Answer(200, self._indexes.describe(unquote(name)))
            case ("DELETE", str(name)):
                self._indexes.delete(unquote(name))
                self._store.clear()
                return Answer(202, None)
        raise _no_route(asked)

    def _create_index(self, asked: Asked) -> Answer:
        try:
            body = NewIndex.model_validate(json_of(asked))
        except ValidationError as error:
            raise undeserializable(problems(error)) from None
        return Answer(201, self._indexes.create(body))

    # ------------------------------------------------------------------ data plane

    def _data_plane(self) -> list[Route]:
        documents = DocumentOperations(self._store, self.rates)
        namespaces = NamespaceOperations(self._store, self.rates)
        one = r"/namespaces/(?P<namespace>[^/]+)"

        def document_route(name: str, schema: type[BaseModel], handler: Callable[[Request], Answer]) -> Route:
            return Route("POST", re.compile(f"{one}/documents/{name}"), "documents", schema, handler)

        return [
            document_route("upsert", schemas.Upsert, documents.upsert),
            document_route("search", schemas.Search, documents.search),
            document_route("fetch", schemas.Fetch, documents.fetch),
            document_route("update", schemas.Update, documents.update),
            document_route("delete", schemas.Delete, documents.delete),
            document_route("list", schemas.ListDocuments, documents.list),
            Route("POST", re.compile("/describe_index_stats"), "both", schemas.Stats, namespaces.stats),
            Route("GET", re.compile("/namespaces"), "both", None, namespaces.list),
            Route("GET", re.compile(one), "both", None, namespaces.describe),
            Route("DELETE", re.compile(one), "both", None, namespaces.delete),
        ]

    def _data(self, asked: Asked) -> Answer:
        if asked.call.size > MAX_REQUEST_BYTES:
            raise refused(413, f"Request size {asked.call.size} bytes exceeds the maximum of {MAX_REQUEST_BYTES} bytes")
        index = self._indexes.usable()
        if VECTORS_PLANE.fullmatch(asked.raw_path):
            has_documents = index.plane == "documents"
            raise invalid(HAS_DOCUMENTS) if has_documents else not_modelled("reading and writing vectors")
        route, found = self._route(asked)
        if route.plane not in {index.plane, "both"}:
            raise refused(400, HAS_VECTORS)
        return route.handler(_request(asked, index, route, found.groupdict().get("namespace", "")))

    def _route(self, asked: Asked) -> tuple[Route, re.Match[str]]:
        for route in self._routes:
            found = route.path.fullmatch(asked.raw_path)
            if found is not None and route.method == asked.call.method:
                return route, found
        raise _no_route(asked)


def _request(asked: Asked, index: Index, route: Route, namespace: str) -> Request:
    if route.schema is not None or namespace:
        check_no_query(asked)
    namespace = unquote(namespace)
    if not re.fullmatch(r"[\x01-\x7F]{0,512}", namespace):
        raise invalid("The namespace must be 1 to 512 ASCII characters without NUL")
    return Request(index, namespace, body_of(asked, route.schema), asked.query, asked.call.size)


def _no_route(asked: Asked) -> Refusal:
    return Refusal(404, f"no route {asked.call.method} {asked.raw_path}", wrong=True)


def _logged(call: Call, response: Response | None) -> Call:
    if response is None:
        return call
    return replace(call, status=response.status_code, answer=decoded(bytes(response.body)))
