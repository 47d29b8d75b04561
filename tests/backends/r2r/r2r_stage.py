"""The R2R driver in front of the strict double, with a wire between them that counts, looks on and breaks."""

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import anyio.lowlevel
import httpx

from backends.r2r.driver import R2RDriver
from backends.r2r.journal import JournalEntry
from backends.r2r.names import Names
from backends.r2r.namespace import load_namespace
from backends.r2r.settings import R2RSettings
from context_chat_backend.conformance.kit import FileContent
from context_chat_backend.contract import (
    ProviderId,
    Query,
    Scope,
    Source,
    SourceId,
    Stored,
    StoredVersion,
    Unavailable,
    UserId,
)
from context_chat_backend.toolkit.indexing.extract.extractor import Extractor, ExtractSettings
from tests.doubles.r2r import FakeR2R
from tests.doubles.r2r.store import Document

Hook = Callable[[httpx.Request], Awaitable[None]]

WHALE = "The whale swims in the deep blue sea."
PAPER = "The whale is made of paper."
ALICE, BOB, CAROL, DAVE = map(UserId, ("alice", "bob", "carol", "dave"))
FILES = ProviderId("files__default")
DOCUMENTS, SEARCH, RAG = "/v3/documents", "/v3/retrieval/search", "/v3/retrieval/rag"
UNREADABLE = {"message": "Error parsing document: broken", "error_type": "R2RDocumentProcessingError"}


async def nothing(_: httpx.Request) -> None:
    """The hook that does nothing."""


class Wire(httpx.AsyncBaseTransport):
    """Carries requests to the double."""

    def __init__(self, double: FakeR2R) -> None:
        self.there: httpx.AsyncBaseTransport = httpx.ASGITransport(app=double)
        """Who answers."""
        self.requests: list[httpx.Request] = []
        self.uploads: list[str] = []
        """The file name of each upload."""
        self.before: Hook = nothing
        """Called before the double sees a request; what it raises is what the driver gets instead of an answer."""
        self.after: Hook = nothing
        """Called when the double has answered and the driver has not got it yet."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if (request.method, request.url.path) == ("POST", DOCUMENTS):
            self.uploads.append(await _file_name(request))
        await self.before(request)
        response = await self.there.handle_async_request(request)
        await self.after(request)
        return response

    @property
    def calls(self) -> list[str]:
        """Method and kind of each request, e.g. `GET documents` or `POST collections/documents`."""
        return [f"{request.method} {_kind(request.url.path)}" for request in self.requests]


async def _file_name(request: httpx.Request) -> str:
    """The body is read here once and by the double once more, as for a repetition."""
    assert isinstance(request.stream, httpx.AsyncByteStream)
    body = b"".join([part async for part in request.stream])
    return body.partition(b'filename="')[2].partition(b'"')[0].decode()


def _kind(path: str) -> str:
    parts = path.removeprefix("/v3/").split("/")
    return "/".join(part for part in parts if not _is_id(part) and not part.startswith("cc:"))


def _is_id(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False


class Stage:
    """`clock` is the driver's; the double's own stands still unless it is advanced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.double = FakeR2R()
        self.wire = Wire(self.double)
        self._ahead = 0.0
        self._files = 0

    def clock(self) -> float:
        return time.time() + self._ahead

    def pass_time(self, seconds: float) -> None:
        self._ahead += seconds

    def settings(self, **settings: Any) -> R2RSettings:
        """With the superuser's password unless other credentials are given."""
        if settings.keys().isdisjoint({"user", "api_key", "api_token"}):
            settings |= {"user": self.double.superuser.email, "password": self.double.superuser.password}
        return R2RSettings(base_url="http://r2r", **settings)

    def driver(self, **settings: Any) -> R2RDriver:
        """Always on the same folder, so that a second one is the first one restarted."""
        folder, extractor = self.folder / "r2r", Extractor(ExtractSettings())
        return R2RDriver(self.settings(**settings), extractor, folder, transport=self.wire, clock=self.clock)

    # ------------------------------------------------------------------ sources

    def source(
        self,
        item: int = 1,
        text: str | bytes = WHALE,
        *,
        users: Iterable[UserId] = (ALICE,),
        modified: int = 1,
        provider: ProviderId = FILES,
        title: str = "whale.txt",
        mime_type: str = "text/plain",
    ) -> Source:
        self._files += 1
        file = self.folder / f"content {self._files}"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return Source(
            id=source_id(item, provider),
            provider=provider,
            title=title,
            mime_type=mime_type,
            modified=modified,
            user_ids=frozenset(users),
            content=FileContent(file),
        )

    # ------------------------------------------------------------------ what the double has

    @property
    def names(self) -> Names:
        return Names(load_namespace(None, self.folder / "r2r"))

    def stored(self, item: int = 1, provider: ProviderId = FILES) -> list[Document]:
        """The documents of a source."""
        ids = self.names.documents(source_id(item, provider))
        return [self.double.store.documents[id_] for id_ in ids if id_ in self.double.store.documents]

    def only(self, item: int = 1) -> Document:
        """The one document that a source has."""
        (document,) = self.stored(item)
        return document

    def readers(self, document: Document) -> set[UserId]:
        """By the row and by each chunk alike."""
        readers = self._users(document.collection_ids)
        for chunk in self.double.store.chunks_of(document.id):
            assert self._users(chunk.collection_ids) == readers
        return readers

    def _users(self, collection_ids: Iterable[UUID]) -> set[UserId]:
        found = (self.names.user_of(self.double.store.collections[id_].name) for id_ in collection_ids)
        return {user for user in found if user is not None}

    def collection(self, name: str) -> UUID:
        """The id of a collection of the gateway."""
        found = self.double.store.collection_of(self.double.superuser.id, name)
        assert found is not None
        return found.id

    # ------------------------------------------------------------------ trouble

    @contextmanager
    def failing(self, failure: Hook, method: str = "POST", path: str = DOCUMENTS) -> Iterator[None]:
        """Requests of this kind end so before R2R sees them."""

        async def fail(request: httpx.Request) -> None:
            if (request.method, request.url.path) == (method, path):
                await failure(request)

        self.wire.before = fail
        yield
        self.wire.before = nothing

    @contextmanager
    def astray(self, status: int, body: str) -> Iterator[None]:
        """No request reaches R2R: something else answers all of them so."""
        r2r, self.wire.there = self.wire.there, httpx.MockTransport(lambda _: httpx.Response(status, text=body))
        yield
        self.wire.there = r2r

    async def send_and_hang_up(self, driver: R2RDriver, source: Source) -> None:
        """R2R is at work on the source from now on, until the double is told to `release` it or to kill it."""
        self.double.hold_ingestion()
        before = self._at_work()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driver.upsert, source)
            while self._at_work() == before:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()

    def _at_work(self) -> set[UUID]:
        return {each.id for each in self.double.store.documents.values() if each.status in {"parsing", "embedding"}}

    async def insist(self, work: Callable[[], Awaitable[object]]) -> None:
        """Repeat as long as it may succeed later, waiting as long as asked to, like the layers above a driver."""
        for _ in range(10):
            try:
                await work()
            except Unavailable as error:
                self.pass_time((error.retry_after or 1.0) + 1.0)
            else:
                return
        raise AssertionError("it never succeeded")


async def reset(_: httpx.Request) -> None:
    raise httpx.ReadError("connection reset")


async def time_out(_: httpx.Request) -> None:
    raise httpx.ReadTimeout("too slow")


def source_id(item: int, provider: ProviderId = FILES) -> SourceId:
    return SourceId(f"{provider}: {item}")


async def texts(driver: R2RDriver, user: UserId, scope: Scope = None) -> list[str]:
    """What a user finds."""
    return [hit.text for hit in await driver.search(Query(user_id=user, text="whale", limit=50, scope=scope))]


async def found(driver: R2RDriver, user: UserId, scope: Scope = None) -> set[SourceId]:
    """Of which sources a user finds something."""
    hits = await driver.search(Query(user_id=user, text="whale", limit=50, scope=scope))
    return {hit.source_id for hit in hits}


async def finding(driver: R2RDriver, **of: Any) -> list[Stored]:
    return [stored async for stored in driver.find(**of)]


async def inventory(driver: R2RDriver, *arguments: Any, **how: Any) -> list[StoredVersion]:
    versions = [version async for version in driver.inventory(*arguments, **how)]
    return sorted(versions, key=lambda version: version.source_id)


async def journal(driver: R2RDriver) -> list[JournalEntry]:
    """Uploads that are not known to have ended well."""
    return await driver._journal.entries()
