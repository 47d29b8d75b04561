"""The double as an ASGI app: its routes, and the handles by which a test makes trouble."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID, uuid4

import anyio
import httpx
from pydantic import TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.doubles.r2r import schemas
from tests.doubles.r2r.calls import Call, Entries
from tests.doubles.r2r.documents import Collections, Documents
from tests.doubles.r2r.errors import IGNORED, Refusal, crashed, invalid, refused, wrong_driver
from tests.doubles.r2r.ingestion import Ingestion, Ingestor
from tests.doubles.r2r.providers import Providers
from tests.doubles.r2r.retrieval import Retrieval
from tests.doubles.r2r.store import Account, Clock, Store
from tests.doubles.r2r.system import System, Users
from tests.doubles.r2r.tokens import Gate

Handler = Callable[[Call], object]

NO_GRAPH = "The currently authenticated user does not have access to the collection associated with the given graph."


@dataclass
class Script:
    method: str
    path: re.Pattern[str]
    response: Response
    times: int


class FakeR2R:
    """An ASGI app. Everything that no right driver sends is refused and noted in `violations`."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = Store(self.clock)
        self.providers = Providers()
        self.gate = Gate(self.store, self.clock)
        self.superuser = self.store.add_account(Account("admin@example.com", "change_me_immediately", True))
        self.ordinary = self.store.add_account(Account("gateway@example.com", "an ordinary password", False))
        self.url = "http://r2r"
        self.requests: list[tuple[str, str]] = []
        """Method and path of each."""
        self.violations: list[str] = []
        self.graph_resets: list[UUID] = []
        """Collections whose graphs were emptied."""
        self.orchestrated = False
        """Uploads are answered at once and wait in a queue for `finish_ingestions`."""
        self.database_down = False
        self.max_collections = 1_000_000
        """Of one account."""
        self._scripts: list[Script] = []
        self._lock = threading.RLock()
        self._holds = False
        self._running: list[Ingestion] = []
        self._ingestor = Ingestor(self.store, self.clock, self.providers)
        self._app = Starlette(routes=self._routes(), exception_handlers={HTTPException: self._http_error})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        self.requests.append((scope["method"], scope["path"]))
        app = self._scripted(scope["method"], scope["path"]) or self._app
        await app(scope, receive, send)

    # ------------------------------------------------------------------ handles

    @property
    def provider_down(self) -> bool:
        """The embedding provider. `provider_status` is what it says; R2R reports most of it as 400."""
        return self.providers.embeddings_down

    @provider_down.setter
    def provider_down(self, down: bool) -> None:
        self.providers.embeddings_down = down

    @property
    def provider_status(self) -> Literal["connection", 401, 429, 500, 503]:
        return self.providers.embeddings_status

    @provider_status.setter
    def provider_status(self, status: Literal["connection", 401, 429, 500, 503]) -> None:
        self.providers.embeddings_status = status

    @property
    def chat_down(self) -> bool:
        """The language model: `rag` and the summaries of the mode `custom` need it."""
        return self.providers.chat_down

    @chat_down.setter
    def chat_down(self, down: bool) -> None:
        self.providers.chat_down = down

    @property
    def chat_calls(self) -> list[str]:
        """What the language model was called for: `rag: <query>` or `summary of <document>`."""
        return self.providers.chat_calls

    def fail_next(
        self, method: str, path_regex: str, status: int, body: object, times: int = 1, *, text: bool = False
    ) -> None:
        """The next requests whose whole path matches are answered so, before anything else looks at them."""
        response = PlainTextResponse(str(body), status) if text else JSONResponse(body, status)
        self._scripts.append(Script(method, re.compile(path_regex), response, times))

    def _scripted(self, method: str, path: str) -> Response | None:
        for script in self._scripts:
            if script.times and script.method == method and script.path.fullmatch(path):
                script.times -= 1
                return script.response
        return None

    def limit_rates(self, *, global_per_minute: int = 60, route_per_minute: int = 20) -> None:
        self.gate.global_per_minute, self.gate.route_per_minute = global_per_minute, route_per_minute

    def expire_tokens(self) -> None:
        """Access tokens; refresh tokens stay valid."""
        for token in self.gate.tokens.values():
            if token.kind == "access":
                token.expires = 0

    def expire_refresh_tokens(self) -> None:
        for token in self.gate.tokens.values():
            if token.kind == "refresh":
                token.expires = 0

    def advance(self, seconds: float) -> None:
        """Time passes: every `created_at` and `updated_at` of before is shown that much earlier."""
        self.clock.advance(seconds)

    def hold_ingestion(self) -> None:
        """From now on documents stay in `embedding`, and their uploads unanswered, until `release`."""
        self._holds = True

    def release(self) -> None:
        self._holds = False
        self.finish_ingestions()

    def finish_ingestions(self) -> None:
        """Those that are held up and those in the queue, in order, whoever still waits for them or not."""
        with self._lock:
            running, self._running = self._running, []
            for ingestion in running:
                self._ingestor.finish(ingestion)

    def kill_ingestion(self) -> None:
        """R2R is killed and starts again: what it was ingesting keeps its status forever, its uploads break off."""
        with self._lock:
            for ingestion in self._running:
                ingestion.killed = True
            self._running, self._holds = [], False

    # ------------------------------------------------------------------ routes

    def _routes(self) -> list[Route]:
        users = Users(self.store, self.clock, self.gate)
        system = System(self.store, self.clock, self.providers)
        collections = Collections(self.store, self.clock, self)
        documents = Documents(self.store, self.clock)
        retrieval = Retrieval(self.store, self.providers)
        collection, document = "/v3/collections/{id}", "/v3/documents/{id}"
        membership = f"{collection}/documents/{{document_id}}"
        return [
            self._public("GET", "/v3/health", system.health),
            self._public("GET", "/openapi_spec", system.openapi),
            self._public("POST", "/v3/users/login", users.login, body=schemas.Credentials),
            self._public("POST", "/v3/users/refresh-token", users.refresh, body=str),
            self._route("POST", "/v3/users/logout", users.logout),
            self._route("GET", "/v3/users/me", users.me),
            self._route("GET", "/v3/users/{id}/limits", users.limits),
            self._route("GET", "/v3/system/settings", system.settings),
            self._route("GET", "/v3/system/status", system.status),
            self._route("POST", "/v3/collections", collections.create, body=schemas.NewCollection),
            self._route("GET", "/v3/collections", collections.list, query=schemas.CollectionPage),
            self._route("GET", "/v3/collections/name/{name}", collections.by_name, query=schemas.Owner),
            self._route("GET", collection, collections.get),
            self._route("DELETE", collection, collections.delete),
            self._route("GET", f"{collection}/documents", collections.documents, query=schemas.Page),
            self._route("POST", membership, collections.assign),
            self._route("DELETE", membership, collections.remove),
            self._route("POST", "/v3/graphs/{id}/reset", self._reset_graph),
            self._route("POST", "/v3/documents", self._create_document, body=schemas.NewDocument),
            self._route("GET", "/v3/documents", documents.list, query=schemas.DocumentPage),
            self._route("POST", "/v3/documents/export", documents.export, body=schemas.Export),
            self._route("DELETE", "/v3/documents/by-filter", documents.delete_by_filter, body=dict[str, Any]),
            self._route("GET", document, documents.get),
            self._route("DELETE", document, documents.delete),
            self._route("GET", f"{document}/chunks", documents.chunks, query=schemas.Page),
            self._route("PATCH", f"{document}/metadata", documents.patch, body=list[dict[str, Any]]),
            self._route("PUT", f"{document}/metadata", documents.put, body=list[dict[str, Any]]),
            self._route("DELETE", "/v3/chunks/{id}", documents.delete_chunk),
            self._route("POST", "/v3/retrieval/search", retrieval.search, body=schemas.Search),
            self._route("POST", "/v3/retrieval/rag", retrieval.rag, body=schemas.Rag),
            self._route("POST", "/v3/retrieval/embedding", system.embedding, body=str),
            self._route("GET", "/v3/indices", system.indices),
        ]

    def _reset_graph(self, call: Call) -> dict[str, bool]:
        """R2R answers 403 for a collection that does not exist, also to a superuser."""
        if call.id not in call.account.collection_ids:
            raise refused(403, NO_GRAPH)
        self.graph_resets.append(call.id)
        return {"success": True}

    def _create_document(self, call: Call) -> Response | Ingestion:
        ingestion = self._ingestor.accept(call.account, call.body)
        if self.orchestrated and call.body.run_with_orchestration:
            self._running.append(ingestion)
            message = f"Ingest {'chunks' if call.body.chunks else 'files'} task queued successfully."
            ids = {"task_id": str(uuid4()), "document_id": str(ingestion.document.id)}
            return JSONResponse({"results": {"message": message, **ids}}, 202)
        self._ingestor.start(ingestion)
        self._running.append(ingestion)
        if not self._holds:
            self._running.remove(ingestion)
            self._ingestor.finish(ingestion)
        return ingestion

    # ------------------------------------------------------------------ plumbing

    def _public(self, method: str, path: str, handler: Handler, body: Any = None) -> Route:
        return self._endpoint(method, path, handler, query=schemas.Nothing, body=body, let_in=None)

    def _route(
        self, method: str, path: str, handler: Handler, *, query: Any = schemas.Nothing, body: Any = None
    ) -> Route:
        """Refuses in the order of the real server: credentials, rate, then the request itself."""
        return self._endpoint(method, path, handler, query=query, body=body, let_in=self._let_in)

    def _endpoint(
        self,
        method: str,
        path: str,
        handler: Handler,
        *,
        query: Any,
        body: Any,
        let_in: Callable[[Request], Account] | None,
    ) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                if self.database_down and path != "/v3/health":
                    raise crashed()
                account = let_in(request) if let_in else self.superuser
                call = await _call(request, account, query, body)
                with self._lock:
                    result = handler(call)
                return await _answer(result)
            except Refusal as refusal:
                return self._refuse(request, refusal)

        return Route(path, endpoint, methods=[method])

    def _let_in(self, request: Request) -> Account:
        if "x-project-name" in request.headers:
            raise wrong_driver("the real server takes another database schema then", "header", "x-project-name")
        with self._lock:
            account = self.gate.account(request)
            self.gate.check_rate(account, request.url.path)
            self.gate.count(account, request.method, request.url.path)
        return account

    def _refuse(self, request: Request, refusal: Refusal) -> Response:
        if refusal.wrong:
            self.violations.append(f"{request.method} {request.url.path}: {refusal.message}")
        return refusal.response

    def _http_error(self, request: Request, exc: Exception) -> Response:
        """No such route or method, or a part of a form that is too large."""
        assert isinstance(exc, HTTPException)
        self.violations.append(f"{request.method} {request.url.path}: {exc.detail}")
        return JSONResponse({"detail": exc.detail}, exc.status_code)


async def _answer(result: object) -> Response:
    if isinstance(result, Ingestion):
        while result.answer is None and not result.killed:  # noqa: ASYNC110 - let go by another thread
            await anyio.sleep(0.005)
        if result.answer is None:
            raise httpx.ReadError("R2R was killed")
        return result.answer
    if isinstance(result, Response):
        return result
    if isinstance(result, Entries):
        return JSONResponse({"results": result.entries, "total_entries": result.total})
    return JSONResponse({"results": result})


async def _call(request: Request, account: Account, query: Any, body: Any) -> Call:
    ids = {name: _uuid(name, text) for name, text in request.path_params.items() if name != "name"}
    bearer = request.headers.get("Authorization", "").partition(" ")[2]
    return Call(
        account,
        ids,
        query=_query(request, query),
        body=await _body(request, body),
        name=request.path_params.get("name", ""),
        bearer=bearer,
    )


def _uuid(name: str, text: str) -> UUID:
    try:
        return TypeAdapter(UUID).validate_strings(text)
    except ValidationError as error:
        raise invalid(error, "path", name) from None


def _query(request: Request, schema: Any) -> Any:
    """A name that may be repeated is a list; any other must not be."""
    found: dict[str, Any] = {}
    for name in request.query_params:
        values = request.query_params.getlist(name)
        if name != "ids" and len(values) > 1:
            raise wrong_driver(f"{name} is given more than once: {IGNORED}", "query", name)
        found[name] = values if name == "ids" else values[0]
    try:
        return schema.model_validate(found)
    except ValidationError as error:
        raise invalid(error, "query") from None


async def _body(request: Request, schema: Any) -> Any:
    if schema is None:
        if await request.body():
            raise wrong_driver(f"a body: {IGNORED}", "body")
        return None
    try:
        if schema in {schemas.NewDocument, schemas.Credentials}:
            return schema.model_validate(await _form(request))
        if not request.headers.get("Content-Type", "").startswith("application/json"):
            raise wrong_driver("the body has to be application/json", "body")
        return TypeAdapter(schema).validate_json(await request.body())
    except ValidationError as error:
        raise invalid(error, "body") from None


async def _form(request: Request) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    async with request.form() as form:
        for name, value in form.multi_items():
            if name in fields:
                raise wrong_driver(f"{name} is given more than once: {IGNORED}", "body", name)
            fields[name] = await _upload(value) if isinstance(value, UploadFile) else value
    if isinstance(fields.get("file"), schemas.Upload) and not fields["file"].filename:
        raise refused(422, "Uploaded file must have a filename.")
    return fields


async def _upload(file: UploadFile) -> schemas.Upload:
    return schemas.Upload(file.filename or "", await file.read())
