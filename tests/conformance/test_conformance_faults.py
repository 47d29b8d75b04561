"""The kit's fault cases pass a small honest driver that speaks HTTP, and find what is wrong with careless ones."""

import hashlib
import io
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

import anyio
import httpx
import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from context_chat_backend.cli import main
from context_chat_backend.conformance.cases import CASES
from context_chat_backend.conformance.faults import FaultPlan
from context_chat_backend.conformance.proxy import Endless, FaultProxy, Reply, Reset
from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.conformance.runner import Report, Result, conform, open_stage, run_case
from context_chat_backend.contract import (
    AccessOp,
    BaseDriver,
    Capabilities,
    Hit,
    Misconfigured,
    NotFound,
    Outcome,
    ProviderId,
    ProviderScope,
    Query,
    Rejected,
    Source,
    SourceId,
    SourceScope,
    Stored,
    Unavailable,
    UserId,
)
from context_chat_backend.toolkit.http import translate_errors
from tests.doubles.nextcloud import serving

pytestmark = pytest.mark.anyio

REPO = Path(__file__).parents[2]
VARIABLE = "TINY_BASE_URL"
KEY = "a very secret key"

# ---------------------------------------------------------------------- a backend


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Record(Strict):
    source_id: str
    provider: str
    title: str
    text: str
    modified: int
    readers: list[str] = Field(min_length=1)


class Search(Strict):
    user: str
    words: list[str]
    limit: int = Field(ge=1)
    providers: list[str] | None = None
    sources: list[str] | None = None

    def finds(self, record: Record) -> bool:
        return (
            self.user in record.readers
            and (self.providers is None or record.provider in self.providers)
            and (self.sources is None or record.source_id in self.sources)
        )


class Health(Strict):
    ready: bool


class Done(Strict):
    key: str


class Found(Strict):
    record: Record | None


class Records(Strict):
    records: list[Record]


class TinyStore:
    """Keeps records by key and does not know what they mean. Unknown keys are no error."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        record = "/v1/records/{key}"
        self.app = Starlette(
            routes=[
                Route("/v1/health", self._health),
                Route("/v1/records", self._list),
                Route("/v1/search", self._search, methods=["POST"]),
                Route(record, self._get),
                Route(record, self._put, methods=["PUT"]),
                Route(record, self._delete, methods=["DELETE"]),
            ],
            exception_handlers={ValidationError: self._invalid},
        )

    async def _health(self, _: Request) -> JSONResponse:
        return JSONResponse({"ready": True})

    async def _list(self, _: Request) -> JSONResponse:
        return JSONResponse({"records": [record.model_dump() for record in self.records.values()]})

    async def _get(self, request: Request) -> JSONResponse:
        record = self.records.get(request.path_params["key"])
        return JSONResponse({"record": None if record is None else record.model_dump()})

    async def _put(self, request: Request) -> JSONResponse:
        key = request.path_params["key"]
        self.records[key] = Record.model_validate_json(await request.body())
        return JSONResponse({"key": key})

    async def _delete(self, request: Request) -> JSONResponse:
        key = request.path_params["key"]
        self.records.pop(key, None)
        return JSONResponse({"key": key})

    async def _search(self, request: Request) -> JSONResponse:
        search = Search.model_validate_json(await request.body())
        found = [record for record in self.records.values() if search.finds(record)]
        found.sort(key=lambda record: -_score(record, search.words))
        return JSONResponse({"records": [record.model_dump() for record in found[: search.limit]]})

    def _invalid(self, _: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 422)


def _words(text: str) -> list[str]:
    return "".join(each if each.isalnum() else " " for each in text.casefold()).split()


def _score(record: Record, words: Sequence[str]) -> int:
    return len(set(words) & set(_words(record.text)))


# ---------------------------------------------------------------------- a driver for it

M = TypeVar("M", bound=BaseModel)


class TinyDriver(BaseDriver):
    """Honest: errors are translated, the form of each answer is checked, each step leaves something right."""

    capabilities = Capabilities(mime_types=frozenset({"text/plain", "text/markdown", "text/csv"}))
    statuses: ClassVar[Mapping[str, Set[int]]] = {}
    """What `translate_errors` is told."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._resources = AsyncExitStack()
        self._http: httpx.AsyncClient

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            client = httpx.AsyncClient(base_url=self._url, timeout=60, headers={"Authorization": KEY})
            self._http = await stack.enter_async_context(client)
            await self._open()
            self._resources = stack.pop_all()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._resources.aclose()

    async def _open(self) -> None:
        await self.ping()

    @property
    def identity(self) -> str:
        return "tiny"

    # ------------------------------------------------------------------ requests

    def _translated(self) -> AbstractContextManager[None]:
        return translate_errors(**self.statuses)

    async def _send(self, method: str, path: str, json: object = None) -> httpx.Response:
        with self._translated():
            response = await self._http.request(method, path, json=json)
            response.raise_for_status()
        return response

    async def _ask(self, model: type[M], method: str, path: str, json: object = None) -> M:
        response = await self._send(method, path, json)
        try:
            return model.model_validate_json(response.content)
        except ValidationError:
            raise Unavailable(f"{method} {path} was answered with something else") from None

    async def _get(self, source_id: SourceId) -> Record | None:
        return (await self._ask(Found, "GET", _path(source_id))).record

    async def _put(self, record: Record) -> None:
        await self._ask(Done, "PUT", _path(record.source_id), record.model_dump())

    # ------------------------------------------------------------------ the contract

    async def ping(self) -> None:
        await self._ask(Health, "GET", "health")

    async def upsert(self, source: Source) -> Outcome:
        stored = await self._get(source.id)
        if stored is not None and stored.modified >= source.modified:
            newest = stored if stored.modified > source.modified else source
            renamed = stored.model_copy(update={"title": newest.title})
            await self._set(renamed, source.user_ids | set(map(UserId, stored.readers)))
            return Outcome.UNCHANGED
        if stored is not None:
            await self._set(stored, source.user_ids & set(map(UserId, stored.readers)))
        try:
            await self._store(source)
        except Rejected:
            await self.delete({source.id})
            raise
        return Outcome.CREATED if stored is None else Outcome.UPDATED

    async def _store(self, source: Source) -> None:
        text = (await source.content.path()).read_text("utf-8")
        if not text.strip():
            raise Rejected("no text")
        await self._put(
            Record(
                source_id=source.id,
                provider=source.provider,
                title=source.title,
                text=text,
                modified=source.modified,
                readers=sorted(source.user_ids),
            )
        )

    async def delete(self, source_ids: Set[SourceId]) -> None:
        for source_id in source_ids:
            await self._ask(Done, "DELETE", _path(source_id))

    async def set_access(self, source_id: SourceId, user_ids: Set[UserId]) -> None:
        await self._set(await self._existing(source_id), user_ids)

    async def update_access(self, op: AccessOp, source_id: SourceId, user_ids: Set[UserId]) -> None:
        stored = await self._existing(source_id)
        readers = set(map(UserId, stored.readers))
        await self._set(stored, readers | user_ids if op is AccessOp.ALLOW else readers - user_ids)

    async def _existing(self, source_id: SourceId) -> Record:
        stored = await self._get(source_id)
        if stored is None:
            raise NotFound("no such source")
        return stored

    async def _set(self, stored: Record, user_ids: Set[UserId]) -> None:
        if user_ids:
            await self._put(stored.model_copy(update={"readers": sorted(user_ids)}))
        else:
            await self.delete({SourceId(stored.source_id)})

    async def find(self, *, provider: ProviderId | None = None, user_id: UserId | None = None) -> AsyncIterator[Stored]:
        for record in (await self._ask(Records, "GET", "records")).records:
            if provider in {None, record.provider} and (user_id is None or user_id in record.readers):
                yield Stored(source_id=SourceId(record.source_id), provider=ProviderId(record.provider))

    async def search(self, query: Query) -> Sequence[Hit]:
        words = _words(query.text)
        body = {"user": query.user_id, "words": words, "limit": query.limit, **_scope(query)}
        records = (await self._ask(Records, "POST", "search", body)).records
        return [
            Hit(
                source_id=SourceId(each.source_id),
                title=each.title,
                ordinal=0,
                heading="",
                text=each.text,
                score=_score(each, words),
            )
            for each in records
        ]


def _path(source_id: str) -> str:
    return f"records/{hashlib.sha256(source_id.encode()).hexdigest()}"


def _scope(query: Query) -> dict[str, list[str]]:
    match query.scope:
        case ProviderScope(providers):
            return {"providers": sorted(providers)}
        case SourceScope(sources):
            return {"sources": sorted(sources)}
        case None:
            return {}


# ---------------------------------------------------------------------- careless drivers


class SwallowsServerErrors(TinyDriver):
    async def _ask(self, model: type[M], method: str, path: str, json: object = None) -> M:
        try:
            return await super()._ask(model, method, path, json)
        except Unavailable:
            return _empty(model)


class BelievesAnything(TinyDriver):
    async def _ask(self, model: type[M], method: str, path: str, json: object = None) -> M:
        response = await self._send(method, path, json)
        try:
            return model.model_validate_json(response.content)
        except ValidationError:
            return _empty(model)


def _empty(model: type[M]) -> M:
    fields: dict[str, Any] = {"ready": True, "key": "", "record": None, "records": []}
    return model.model_construct(**{name: value for name, value in fields.items() if name in model.model_fields})


class LetsForeignErrorsOut(TinyDriver):
    async def _send(self, method: str, path: str, json: object = None) -> httpx.Response:
        response = await self._http.request(method, path, json=json)
        with self._translated():
            response.raise_for_status()
        return response


class CannotBeCancelled(TinyDriver):
    async def _send(self, method: str, path: str, json: object = None) -> httpx.Response:
        response: list[httpx.Response] = []
        with anyio.CancelScope(shield=True):
            response.append(await super()._send(method, path, json))
        return response[0]


class TurnsCancellationIntoAnError(TinyDriver):
    async def _send(self, method: str, path: str, json: object = None) -> httpx.Response:
        try:
            return await super()._send(method, path, json)
        except anyio.get_cancelled_exc_class() as error:
            raise RuntimeError("interrupted") from error


class Takes(TinyDriver):
    """Takes a status for "there is nothing"."""

    status = 404

    async def _ask(self, model: type[M], method: str, path: str, json: object = None) -> M:
        with translate_errors(not_found={self.status}):
            response = await self._http.request(method, path, json=json)
            if response.status_code == self.status:
                return _empty(model)
            response.raise_for_status()
        return await super()._ask(model, method, path, json)


class TakesForbiddenForNothing(Takes):
    status = 403


class RaisesNotFoundAnywhere(TinyDriver):
    statuses: ClassVar[Mapping[str, Set[int]]] = {"not_found": {404}}


class BlamesSourcesForItsKey(TinyDriver):
    statuses: ClassVar[Mapping[str, Set[int]]] = {"rejected": {401}}


class WaitsForSmallerSources(TinyDriver):
    statuses: ClassVar[Mapping[str, Set[int]]] = {"unavailable": {413}}


class KeepsTheVersionBefore(TinyDriver):
    """When the new one is too large."""

    async def upsert(self, source: Source) -> Outcome:
        stored = await self._get(source.id)
        try:
            return await super().upsert(source)
        except Rejected:
            if stored is not None:
                await self._put(stored)
            raise


class GivesUpWhenAskedToWait(TinyDriver):
    statuses: ClassVar[Mapping[str, Set[int]]] = {"rejected": {429}}


class CallsTheAdminForAnOutage(TinyDriver):
    statuses: ClassVar[Mapping[str, Set[int]]] = {"misconfigured": {503}}


class ReadsTheBodyFirst(TinyDriver):
    async def _send(self, method: str, path: str, json: object = None) -> httpx.Response:
        with self._translated():
            response = await self._http.request(method, path, json=json)
            response.json()
            response.raise_for_status()
        return response


class ConnectsInItsConstructor(TinyDriver):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        httpx.get(f"{url}/health").raise_for_status()


class OpensCarelessly(TinyDriver):
    async def _open(self) -> None:
        (await self._http.get("health")).raise_for_status()


class OpensOnce(TinyDriver):
    _tried = False

    async def _open(self) -> None:
        if self._tried:
            raise Unavailable("it was tried before")
        self._tried = True
        await super()._open()


class QuotesTheBackend(TinyDriver):
    async def _send(self, method: str, path: str, json: object = None) -> httpx.Response:
        response = await self._http.request(method, path, json=json)
        if response.is_server_error:
            raise Unavailable(f"the store says: {response.text}")
        with self._translated():
            response.raise_for_status()
        return response


class TellsItsKey(TinyDriver):
    async def _send(self, method: str, path: str, json: object = None) -> httpx.Response:
        try:
            return await super()._send(method, path, json)
        except Misconfigured:
            raise Misconfigured(f"{KEY} is refused") from None


class StaysBroken(TinyDriver):
    _broken = False

    async def _send(self, method: str, path: str, json: object = None) -> httpx.Response:
        if self._broken:
            raise Misconfigured("a request failed: start again")
        try:
            return await super()._send(method, path, json)
        except Unavailable:
            self._broken = method == "PUT"
            raise


class LosesOnFailure(TinyDriver):
    """Removes the old version, then makes the new one."""

    async def upsert(self, source: Source) -> Outcome:
        stored = await self._get(source.id)
        if stored is not None and stored.modified < source.modified:
            await self.delete({source.id})
        return await super().upsert(source)


class GivesBeforeItTakes(TinyDriver):
    async def set_access(self, source_id: SourceId, user_ids: Set[UserId]) -> None:
        await self.update_access(AccessOp.ALLOW, source_id, {*user_ids, UserId("everybody else")})
        await super().set_access(source_id, user_ids)

    async def upsert(self, source: Source) -> Outcome:
        stored = await self._get(source.id)
        if stored is None or stored.modified >= source.modified:
            return await super().upsert(source)
        text = (await source.content.path()).read_text("utf-8")
        readers = sorted({*source.user_ids, *stored.readers})
        await self._put(stored.model_copy(update={"text": text, "readers": readers, "modified": source.modified}))
        await self._put(
            stored.model_copy(update={"text": text, "readers": sorted(source.user_ids), "modified": source.modified})
        )
        return Outcome.UPDATED


# ---------------------------------------------------------------------- tests


@pytest.fixture
def store() -> TinyStore:
    return TinyStore()


@pytest.fixture
def url(store: TinyStore) -> Iterator[str]:
    with serving(store.app) as address:
        yield f"{address}/v1"


def plan(driver: type[TinyDriver], url: str) -> FaultPlan:
    return FaultPlan(lambda config: driver(config.variables[VARIABLE]), {VARIABLE: url, "TINY_API_KEY": KEY}, VARIABLE)


async def test_an_honest_driver_keeps_the_contract_through_all_faults(url: str, store: TinyStore) -> None:
    out = io.StringIO()
    assert await conform(TinyDriver(url), faults=plan(TinyDriver, url), out=out), out.getvalue()
    skipped = sum(case.group in {"store", "inventory"} for case in CASES)
    assert f"{len(CASES) - skipped} passed, 0 failed, {skipped} skipped" in out.getvalue()
    assert store.records == {}, "the kit left something behind"


async def report_on(driver: type[TinyDriver], name: str, url: str) -> Report:
    (case,) = [case for case in CASES if case.name == name]
    async with open_stage(ReferenceDriver(), plan(driver, url)) as stage:
        return await run_case(case, stage)


BROKEN: Sequence[tuple[type[TinyDriver], str, str]] = [
    (ConnectsInItsConstructor, "the_constructor_does_no_io", "1 requests"),
    (OpensCarelessly, "opening_is_tried_again", "HTTPStatusError"),
    (OpensOnce, "opening_is_tried_again", "it was tried before"),
    (BlamesSourcesForItsKey, "unauthorized_is_misconfigured", "raised Rejected"),
    (TellsItsKey, "unauthorized_is_misconfigured", "tells a secret"),
    (TakesForbiddenForNothing, "forbidden_is_misconfigured", "count answered 0"),
    (Takes, "not_found_is_never_taken_for_nothing_to_do", "count answered 0"),
    (RaisesNotFoundAnywhere, "not_found_is_never_taken_for_nothing_to_do", "delete raised NotFound"),
    (WaitsForSmallerSources, "too_large_costs_the_source_only", "raised Unavailable"),
    (KeepsTheVersionBefore, "too_large_costs_the_source_only", "and must not"),
    (GivesUpWhenAskedToWait, "too_many_requests_is_transient", "raised Rejected"),
    (SwallowsServerErrors, "a_server_error_is_transient", "ping succeeded"),
    (QuotesTheBackend, "a_server_error_is_transient", "quotes what the backend said"),
    (StaysBroken, "half_done_changes_are_not_wider_and_can_be_finished", "start again"),
    (ReadsTheBodyFirst, "a_bad_gateway_is_transient", "raised JSONDecodeError, which is not a DriverError"),
    (CallsTheAdminForAnOutage, "an_unavailable_service_is_transient", "raised Misconfigured"),
    (BelievesAnything, "garbage_is_no_answer", "count answered 0"),
    (LetsForeignErrorsOut, "a_reset_connection_is_transient", "Error, which is not a DriverError"),
    (CannotBeCancelled, "a_hanging_backend_can_be_left_at_once", "after it was cancelled"),
    (
        TurnsCancellationIntoAnError,
        "a_hanging_backend_can_be_left_at_once",
        "raised RuntimeError, which is not a DriverError",
    ),
    (LosesOnFailure, "half_done_changes_are_not_wider_and_can_be_finished", "is lost"),
    (GivesBeforeItTakes, "half_done_changes_are_not_wider_and_can_be_finished", "that they may not read"),
]


@pytest.mark.parametrize(("driver", "name", "expected"), BROKEN)
async def test_the_kit_finds_a_careless_driver(
    driver: type[TinyDriver], name: str, expected: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("context_chat_backend.conformance.cases.battery.CANCEL_SECONDS", 0.2)
    report = await report_on(driver, name, url)
    assert report.result is Result.FAIL
    assert expected in report.detail


def test_each_fault_case_is_seen_to_fail() -> None:
    assert {name for _, name, _ in BROKEN} == {case.name for case in CASES if case.group == "faults"}


# ---------------------------------------------------------------------- how faults are asked for


@pytest.mark.parametrize(("value", "expected"), [(None, "is not set"), ("localhost:7272", "http://"), ("", "not set")])
def test_a_variable_without_a_base_url_is_explained(
    value: str | None,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    assert main(["conform", "reference", "--faults", VARIABLE]) == 2
    said = capsys.readouterr()
    assert VARIABLE in said.err
    assert expected in said.err
    assert said.out == ""


async def test_a_variable_that_the_driver_does_not_read_is_found_out(url: str) -> None:
    (case,) = [case for case in CASES if case.name == "a_server_error_is_transient"]
    async with open_stage(
        ReferenceDriver(), FaultPlan(lambda _: ReferenceDriver(), {VARIABLE: url}, VARIABLE)
    ) as stage:
        report = await run_case(case, stage)
    assert report.result is Result.FAIL
    assert VARIABLE in report.detail


def test_pytest_runs_the_cases_of_an_installed_package(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "--pyargs", "context_chat_backend.conformance", "-q", "-rs"]
    clean = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPO)}
    done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    skipped = sum(case.group in {"faults", "store"} for case in CASES)
    assert f"{len(CASES) - skipped} passed, {skipped} skipped" in done.stdout
    assert "ccbe conform NAME --faults VARIABLE" in done.stdout


# ---------------------------------------------------------------------- the proxy


async def test_the_proxy_hands_everything_on(url: str, store: TinyStore) -> None:
    record = {"source_id": "1", "provider": "p", "title": "ü", "text": "x" * 100_000, "modified": 1, "readers": ["a"]}
    async with FaultProxy(httpx.URL(url)) as proxy, httpx.AsyncClient(base_url=proxy.url) as http:
        assert (await http.put("records/1", json=record)).json() == {"key": "1"}
        assert (await http.get("records/1")).json() == {"record": record}

        async def in_pieces() -> AsyncIterator[bytes]:
            for piece in (b'{"user": "a", ', b'"words": [], "limit": 1}'):
                yield piece

        found = await http.post("search", content=in_pieces())
        assert found.json() == {"records": [record]}
        assert (await http.get("nothing")).status_code == 404
        assert proxy.requests == 4


async def test_trouble_begins_and_ends_as_it_is_told(url: str) -> None:
    reply = Reply(status=429, body=b"{}", headers=((b"retry-after", b"7"),))
    async with FaultProxy(httpx.URL(url)) as proxy, httpx.AsyncClient(base_url=proxy.url) as http:
        proxy.make_trouble(reply, let_pass=1)
        statuses = [(await http.get("health")).status_code for _ in range(3)]
        assert (statuses, proxy.troubled) == ([200, 429, 429], 2)
        assert (await http.get("health")).headers["retry-after"] == "7"
        proxy.make_trouble(reply, larger_than=3)
        assert [(await http.put("records/1", content=body)).status_code for body in (b"abc", b"abcd")] == [422, 429]
        proxy.recover()
        assert (await http.get("health")).json() == {"ready": True}


@pytest.mark.parametrize("lost", [False, True])
async def test_a_reset_connection_may_have_reached_the_backend(url: str, store: TinyStore, lost: bool) -> None:
    record = {"source_id": "1", "provider": "p", "title": "", "text": "x", "modified": 1, "readers": ["a"]}
    async with FaultProxy(httpx.URL(url)) as proxy, httpx.AsyncClient(base_url=proxy.url) as http:
        proxy.make_trouble(Reset(answer_lost=lost))
        with pytest.raises(httpx.TransportError):
            await http.put("records/1", json=record)
    assert bool(store.records) is lost


async def test_an_endless_answer_ends_when_the_trouble_does(url: str) -> None:
    async with FaultProxy(httpx.URL(url)) as proxy, httpx.AsyncClient(base_url=proxy.url, timeout=60) as http:
        proxy.make_trouble(Endless())

        async def ask() -> None:
            with pytest.raises(httpx.TransportError):
                await http.get("health")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await proxy.hanging.wait()
            proxy.recover()
        assert (await http.get("health")).json() == {"ready": True}


async def test_a_backend_that_is_away_is_a_bad_gateway() -> None:
    async with FaultProxy(httpx.URL("http://127.0.0.1:9")) as proxy, httpx.AsyncClient(base_url=proxy.url) as http:
        assert (await http.get("health")).status_code == 502
