"""The R2R backend: documents, collections and searches of a SciPhi R2R server, through its HTTP API."""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Self, TypeVar

import httpx

from context_chat_backend.contract import (
    AccessChange,
    AccessOp,
    Answer,
    BaseDriver,
    Capabilities,
    DriverConfig,
    Finding,
    Hit,
    Inventory,
    Outcome,
    ProviderId,
    Query,
    Rejected,
    Source,
    SourceId,
    Stored,
    StoredVersion,
    Unavailable,
    Unsupported,
    UserId,
)
from context_chat_backend.toolkit.background import periodically, run_in_background
from context_chat_backend.toolkit.collections import CollectionMap
from context_chat_backend.toolkit.concurrency import for_each
from context_chat_backend.toolkit.indexing.extract import SUPPORTED_MIME_TYPES
from context_chat_backend.toolkit.indexing.extract.extractor import Extractor, ExtractSettings
from context_chat_backend.toolkit.settings import driver_settings

from .access import AT_ONCE, Readers
from .checks import findings
from .client import PAGE, R2RClient
from .errors import AtWork
from .formats import EXTENSIONS
from .journal import Journal
from .library import Library
from .names import Names
from .namespace import load_namespace
from .record import Installation, SourceRecord, metadata_of
from .retrieval import Retrieval
from .settings import R2RSettings
from .store import Store, collection_map
from .uploads import Uploads
from .wire import Document, Metadata, storable

MIB = 2**20
TIDY_SECONDS = 60.0
LOOP = "looking after R2R"
BATCH = 600
"""Sources that are looked up and deleted together."""

T = TypeVar("T")

log = logging.getLogger(__name__)


class R2RDriver(BaseDriver, Inventory):
    """Keeps a document per source, a collection per user and one per provider in R2R; README.md explains the scheme."""

    def __init__(
        self,
        settings: R2RSettings,
        extractor: Extractor,
        folder: Path,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        originals = EXTENSIONS.keys() if settings.upload == "original" else frozenset[str]()
        # an instance has them, not the class: they depend on the settings
        self.capabilities = Capabilities(
            answers=settings.use_generated_answer,
            max_source_bytes=100 * MIB,  # context_chat sends no larger files
            mime_types=frozenset(originals | SUPPORTED_MIME_TYPES),
            shared=settings.namespace is not None,  # it is set for several gateways
        )
        self._settings = settings
        self._extractor = extractor
        self._folder = folder
        self._transport = transport
        self._clock = clock
        self._identity = ""
        self._names: Names
        self._client: R2RClient
        self._collections: CollectionMap
        self._journal: Journal
        self._readers: Readers
        self._store: Store
        self._library: Library
        self._uploads: Uploads
        self._retrieval: Retrieval
        self._resources = AsyncExitStack()

    # ------------------------------------------------------------------ opening

    @property
    def identity(self) -> str:
        return self._identity

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._open(stack)
            await run_in_background(stack, lambda: periodically(LOOP, self.look_after_store, TIDY_SECONDS))
            self._resources = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._resources.aclose()

    async def _open(self, stack: AsyncExitStack) -> None:
        settings, folder = self._settings, self._folder
        await stack.enter_async_context(self._extractor)
        self._names = names = Names(load_namespace(settings.namespace, folder))
        self._client = client = await stack.enter_async_context(R2RClient(settings, self._transport))
        self._collections = collections = await stack.enter_async_context(
            collection_map(client, folder / "collections.db")
        )
        self._journal = journal = await stack.enter_async_context(Journal(folder / "uploads.db", self._clock))
        self._readers = readers = Readers(client, names, collections, reset_graphs=settings.graph_search)
        installation = Installation(
            client=client,
            names=names,
            journal=journal,
            readers=readers,
            stuck_after=2 * settings.http_timeout,
            clock=self._clock,
        )
        self._library = library = await stack.enter_async_context(Library(installation, collections))
        self._uploads = await stack.enter_async_context(Uploads(client, readers, self._extractor, settings))
        self._retrieval = Retrieval(client, names, collections, library, settings)
        self._store = Store(client, names, collections, readers)
        await self._open_store()

    async def _open_store(self) -> None:
        self._identity = f"r2r:{await self._store.open()}"

    async def ping(self) -> None:
        """Reads only: anybody may have the gateway do this."""
        if await self._store.is_lost():
            raise Unavailable(
                "R2R has lost what this installation stored there; within a minute the gateway starts afresh",
                retry_after=TIDY_SECONDS,
            )

    # ------------------------------------------------------------------ indexing

    async def upsert(self, source: Source) -> Outcome:
        record = await self._library.record(source.id)
        await record.settle()
        current = await record.confirmed(self._uploads.finds)
        if current is not None and metadata_of(current).modified >= source.modified:
            if _is_renamed(source, metadata_of(current)):
                await self._rename(source, record, current)
            else:
                await self._readers.add(current, source.provider, source.user_ids)
                await self._keep(record, current)
            return Outcome.UNCHANGED
        if current is not None and await self._is_same(source, metadata_of(current)):
            await self._readers.set(current, source.provider, source.user_ids)
            await self._client.patch_metadata(current.id, {"modified": source.modified})
            await self._keep(record, current)
            return Outcome.UPDATED
        await self._replace(source, record, current)
        return Outcome.CREATED if current is None else Outcome.UPDATED

    async def _keep(self, record: SourceRecord, current: Document) -> None:
        await record.vouch_for(current)
        await record.remove(record.without(current))

    async def _rename(self, source: Source, record: SourceRecord, current: Document) -> None:
        """Store it anew: a chunk keeps the title that it got."""
        readers = await self._readers.of(current) | source.user_ids
        await self._replace(replace(source, user_ids=readers), record, current)

    async def _is_same(self, source: Source, stored: Metadata) -> bool:
        """Whether a newer version has nothing new that a search could show."""
        return (
            stored.cc_title == storable(source.title)
            and stored.cc_type == source.mime_type
            and stored.provider == source.provider
            and stored.sha256 == await source.content.sha256()
        )

    async def _replace(self, source: Source, record: SourceRecord, current: Document | None) -> None:
        """Make the new version beside the current one, then remove that: at no moment is nothing found.

        Until then the old version is found only by those who may read both.
        """
        old = [] if current is None else await self._narrowed(source, record, current)
        free = record.free_place(old)
        others = record.without(current)
        await record.remove(document for document in others if document.id != free)
        await record.make_room(document for document in others if document.id == free)
        try:
            await self._uploads.upload(source, record, free)
        except Rejected:
            await record.remove(old)
            raise
        await record.remove(old)

    async def _narrowed(self, source: Source, record: SourceRecord, current: Document) -> list[Document]:
        """The current version, readable only by those who may read the new one, too; nothing if nobody may."""
        readers = await self._readers.of(current) & source.user_ids
        if not readers:
            await record.remove([current])
            return []
        await self._readers.set(current, source.provider, readers)
        return [current]

    # ------------------------------------------------------------------ access and deletion

    async def delete(self, source_ids: Set[SourceId]) -> None:
        records = await self._library.records(list(source_ids))
        await self._for_all(SourceRecord.delete, records.values())

    async def set_access(self, source_id: SourceId, user_ids: Set[UserId]) -> None:
        async def exactly_these(_: Document) -> Set[UserId]:
            return user_ids

        record = await self._library.record(source_id)
        await record.change_readers(exactly_these)

    async def update_access(self, op: AccessOp, source_id: SourceId, user_ids: Set[UserId]) -> None:
        async def changed(document: Document) -> Set[UserId]:
            readers = await self._readers.of(document)
            return readers | user_ids if op is AccessOp.ALLOW else readers - user_ids

        record = await self._library.record(source_id)
        await record.change_readers(changed)

    async def change_access(self, changes: Sequence[AccessChange]) -> None:
        await self._for_all(self._change_if_stored, changes)

    async def update_provider_access(self, op: AccessOp, provider: ProviderId, user_ids: Set[UserId]) -> None:
        async for stored in self._pages_until_nothing_new(provider=provider):
            await self._for_all(self._change_if_stored, _changes(op, stored, user_ids))

    async def delete_provider(self, provider: ProviderId) -> None:
        async for stored in self._pages_until_nothing_new(provider=provider):
            batches = [frozenset(stored[start : start + BATCH]) for start in range(0, len(stored), BATCH)]
            await self._for_all(self.delete, batches, at_once=1)

    async def delete_user(self, user_id: UserId) -> None:
        """The collection of the user stays, empty: in R2R deleting one deletes the text of what is in it."""
        async for stored in self._pages_until_nothing_new(user_id=user_id):
            await self._for_all(self._change_if_stored, _changes(AccessOp.DENY, stored, {user_id}))

    async def _pages_until_nothing_new(
        self, *, provider: ProviderId | None = None, user_id: UserId | None = None
    ) -> AsyncIterator[list[SourceId]]:
        """What `find` lists, and then what it did not list before: a document that goes away meanwhile moves another
        one from one page to the page before."""
        known: set[SourceId] = set()
        while True:
            listed = [stored.source_id async for stored in self.find(provider=provider, user_id=user_id)]
            new = [source_id for source_id in listed if source_id not in known]
            if new:
                yield new
            known.update(new)
            if not new or len(listed) < PAGE:  # there is no page to move from
                return

    async def _for_all(
        self, work: Callable[[T], Awaitable[object]], items: Iterable[T], *, at_once: int = AT_ONCE
    ) -> None:
        """A source that R2R is working on does not hold up the others; its error is raised when they are done."""
        held_up: list[AtWork] = []

        async def attempt(item: T) -> None:
            try:
                await work(item)
            except AtWork as error:
                held_up.append(error)

        await for_each(attempt, items, at_once=at_once)
        if held_up:
            raise held_up[0]

    def find(self, *, provider: ProviderId | None = None, user_id: UserId | None = None) -> AsyncIterator[Stored]:
        return self._library.find(provider=provider, user_id=user_id)

    async def count(self) -> Mapping[ProviderId, int]:
        if self.capabilities.shared:
            await self._readers.learn_all()  # another gateway may have met other providers
        counts: dict[ProviderId, int] = {}

        async def ask(provider: ProviderId) -> None:
            counts[provider] = await self._library.count(provider)

        await for_each(ask, self._library.providers, at_once=AT_ONCE)
        return {provider: number for provider, number in counts.items() if number}

    # ------------------------------------------------------------------ questions

    async def search(self, query: Query) -> Sequence[Hit]:
        return await self._retrieval.search(query)

    async def answer(self, query: Query) -> Answer:
        if not self._settings.use_generated_answer:
            raise Unsupported("R2R_USE_GENERATED_ANSWER is off")
        return await self._retrieval.answer(query)

    # ------------------------------------------------------------------ tools for admins

    async def check(self) -> Sequence[Finding]:
        await self.ping()
        return await findings(self._client, self._settings, collections=len(self._collections))

    def inventory(
        self, source_ids: Set[SourceId] | None = None, *, skip: int = 0, bulk: bool = False
    ) -> AsyncIterator[StoredVersion]:
        return self._library.inventory(source_ids, skip=skip, bulk=bulk)

    # ------------------------------------------------------------------ housekeeping

    async def look_after_store(self) -> None:
        """Start afresh where R2R was emptied, under another identity: nothing remembered of the lost store counts
        for the new one, so Nextcloud can fill it. Then tidy up."""
        if await self._store.is_lost():
            log.error("R2R has lost what this installation stored there; everything has to be indexed again")
            await self._open_store()
        await self._library.tidy()


def _is_renamed(source: Source, stored: Metadata) -> bool:
    return stored.modified == source.modified and stored.cc_title != storable(source.title)


def _changes(op: AccessOp, source_ids: Iterable[SourceId], user_ids: Set[UserId]) -> Iterator[AccessChange]:
    """The same change of each of these sources."""
    return (AccessChange(source_id=id_, user_ids=frozenset(user_ids), op=op) for id_ in source_ids)


def create(config: DriverConfig) -> R2RDriver:
    """`RAG_BACKEND=r2r`, what has to be remembered in the folder of the config."""
    extractor = Extractor(driver_settings(ExtractSettings, config))
    return R2RDriver(driver_settings(R2RSettings, config), extractor, config.folder)
