"""The R2R backend: documents, collections and searches of a SciPhi R2R server, through its HTTP API."""

import csv
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence, Set
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from uuid import UUID

import anyio
import httpx

from context_chat_backend.contract import (
    AccessOp,
    Answer,
    BaseDriver,
    Capabilities,
    DriverConfig,
    DriverError,
    Finding,
    Hit,
    Inventory,
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
    StoredVersion,
    Unavailable,
    Unsupported,
    UserId,
)
from context_chat_backend.toolkit.collections import CollectionMap
from context_chat_backend.toolkit.concurrency import for_each
from context_chat_backend.toolkit.indexing.extract import SUPPORTED_MIME_TYPES
from context_chat_backend.toolkit.indexing.extract.extractor import Extractor, ExtractSettings
from context_chat_backend.toolkit.settings import driver_settings

from .checks import findings
from .client import PAGE, R2RClient, Refused
from .formats import EXTENSIONS, extensions_of
from .journal import Journal
from .library import AT_ONCE, SOURCES_PER_CALL, AtWork, Library, Versions, described
from .names import Names
from .namespace import load_namespace
from .retrieval import Found, Reach, as_hit, newest, search_settings, without_citations
from .settings import R2RSettings
from .uploads import Uploads, storable
from .wire import Chunk, Document, Metadata, as_metadata

MIB = 2**20
TIDY_SECONDS = 60.0
BATCH = 600
"""Sources that are looked up and deleted together."""
EXPORTED = ("id", "metadata")

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
        self._marker: UUID
        self._names: Names
        self._client: R2RClient
        self._collections: CollectionMap
        self._journal: Journal
        self._library: Library
        self._uploads: Uploads
        self._resources = AsyncExitStack()

    # ------------------------------------------------------------------ opening

    @property
    def identity(self) -> str:
        return self._identity

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._open(stack)
            tasks = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(tasks.cancel_scope.cancel)
            tasks.start_soon(self._tidy_now_and_then)
            self._resources = stack.pop_all()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._resources.aclose()

    async def _open(self, stack: AsyncExitStack) -> None:
        settings, folder = self._settings, self._folder
        self._names = names = Names(load_namespace(settings.namespace, folder))
        self._client = client = await stack.enter_async_context(R2RClient(settings, self._transport))
        self._collections = collections = await stack.enter_async_context(
            CollectionMap(folder / "collections.db", find=self._find_collection, create=self._create_collection)
        )
        self._journal = journal = await stack.enter_async_context(Journal(folder / "uploads.db", self._clock))
        self._library = library = await stack.enter_async_context(
            Library(
                client,
                names,
                collections,
                journal,
                stuck_after=2 * settings.http_timeout,
                reset_graphs=settings.graph_search,
                clock=self._clock,
            )
        )
        self._uploads = await stack.enter_async_context(
            Uploads(
                client,
                names,
                collections,
                journal,
                library=library,
                extractor=self._extractor,
                settings=settings,
                clock=self._clock,
            )
        )
        await self._open_store()

    async def _open_store(self) -> None:
        """Find or make the collection that marks the store of this installation."""
        made = await self._client.create_collection(self._names.store)
        marker = made or await self._client.find_collection(self._names.store)
        if marker is None:
            raise Unavailable("R2R refuses a collection as existing that it does not find")
        await self._collections.open_store(str(marker))
        if made is None and not len(self._collections):
            await self._learn_all_collections()
        self._marker = marker
        self._identity = f"r2r:{marker}"

    async def _learn_all_collections(self) -> None:
        offset = 0
        while page := await self._client.collections(offset):
            await self._library.learn_collections(page)
            offset += len(page)

    async def _find_collection(self, name: str) -> str | None:
        id_ = await self._client.find_collection(name)
        return None if id_ is None else str(id_)

    async def _create_collection(self, name: str) -> str:
        id_ = await self._client.create_collection(name) or await self._client.find_collection(name)
        if id_ is None:
            raise Unavailable("R2R refuses a collection as existing that it does not find")
        return str(id_)

    async def ping(self) -> None:
        # a real read: R2R's own health check is content without a database
        if await self._client.collection(self._marker) is None:
            log.error("R2R has lost what this installation stored there; everything has to be indexed again")
            await self._open_store()

    # ------------------------------------------------------------------ indexing

    async def upsert(self, source: Source) -> Outcome:
        versions = await self._library.settled(source.id)
        current = await self._confirmed(versions)
        others = [each for each in versions.documents if each is not current]
        if current is not None and described(current).modified >= source.modified:
            await self._library.add_readers(current, source.provider, source.user_ids)
            await self._vouch_for(current)
            await self._library.remove(others)
            return Outcome.UNCHANGED
        if current is not None and await self._is_same(source, described(current)):
            await self._library.set_readers(current, source.provider, source.user_ids)
            await self._client.patch_metadata(current.id, {"modified": source.modified})
            await self._vouch_for(current)
            await self._library.remove(others)
            return Outcome.UPDATED
        return await self._replace(source, current, others)

    async def _vouch_for(self, document: Document) -> None:
        """It was looked at, and is in all of its collections."""
        if await self._journal.entry(document.id) is not None:
            await self._journal.end(document.id)

    async def _confirmed(self, versions: Versions) -> Document | None:
        """The newest version that searches find, after a look at those that were sent but not looked at since."""
        while (newest := versions.current) is not None and await self._journal.entry(newest.id) is not None:
            try:
                await self._uploads.confirm(newest)
            except Refused:
                versions = versions.without(newest)
            else:
                break
        return newest

    async def _is_same(self, source: Source, stored: Metadata) -> bool:
        """Whether a newer version has nothing new that a search could show."""
        return (
            stored.cc_title == storable(source.title)
            and stored.cc_type == source.mime_type
            and stored.provider == source.provider
            and stored.sha256 == await source.content.sha256()
        )

    async def _replace(self, source: Source, current: Document | None, others: Sequence[Document]) -> Outcome:
        """Make the new version beside the current one, then remove that: at no moment nothing is found.

        Until then only those find the old version who may read both.
        """
        old = [] if current is None else await self._narrowed(current, source)
        free = self._free_place(source.id, old)
        await self._library.remove(document for document in others if document.id != free)
        await self._library.make_room(document for document in others if document.id == free)
        try:
            if not extensions_of(source.title, source.mime_type).isdisjoint(self._settings.exclude_exts):
                raise Rejected("its extension is in R2R_EXCLUDE_EXTS")  # noqa: TRY301 - one way out for all refusals
            await self._uploads.upload(source, free)
        except Rejected:
            await self._library.remove(old)
            raise
        await self._library.remove(old)
        return Outcome.CREATED if current is None else Outcome.UPDATED

    def _free_place(self, source_id: SourceId, taken: Sequence[Document]) -> UUID:
        """The id for a new version. R2R may bring back a document that was given up: not over this if avoidable."""
        places = set(self._names.documents(source_id)) - {document.id for document in taken}
        return min(places, key=lambda place: (place in self._journal.given_up, place))

    async def _narrowed(self, current: Document, source: Source) -> list[Document]:
        """The current version with those readers only who may read the new one, too; nothing where there are none."""
        readers = await self._library.readers_of(current) & source.user_ids
        if not readers:
            await self._library.remove([current])
            return []
        await self._library.set_readers(current, source.provider, readers)
        return [current]

    # ------------------------------------------------------------------ access and deletion

    async def delete(self, source_ids: Set[SourceId]) -> None:
        versions = await self._library.versions_of(list(source_ids))
        await self._for_all(self._delete, versions.items())

    async def _delete(self, item: tuple[SourceId, Versions]) -> None:
        source_id, versions = item
        await self._library.remove(document for document in versions.documents if document.is_final)
        await self._library.settle(source_id, versions)
        await self._give_up_absent(source_id, versions)

    async def _give_up_absent(self, source_id: SourceId, versions: Versions) -> None:
        stored = {document.id for document in versions.documents}
        for id_ in self._names.documents(source_id):
            if id_ not in stored and (entry := await self._journal.entry(id_)) is not None:
                # sent, and perhaps waiting for R2R to begin with it
                await self._journal.give_up(id_, source_id, upload=entry.upload, now=self._clock())

    async def set_access(self, source_id: SourceId, user_ids: Set[UserId]) -> None:
        async def exactly_these(_: Document) -> Set[UserId]:
            return user_ids

        await self._change_readers(source_id, exactly_these)

    async def update_access(self, op: AccessOp, source_id: SourceId, user_ids: Set[UserId]) -> None:
        async def changed(document: Document) -> Set[UserId]:
            readers = await self._library.readers_of(document)
            return readers | user_ids if op is AccessOp.ALLOW else readers - user_ids

        await self._change_readers(source_id, changed)

    async def _change_readers(self, source_id: SourceId, wanted: Callable[[Document], Awaitable[Set[UserId]]]) -> None:
        versions = await self._library.versions(source_id)
        current = versions.current
        if current is not None:
            await self._set_all_readers(current, versions.leftovers, await wanted(current))
        # what can be found is right by now; a version that R2R is at work on would get its readers of before
        await self._library.settle(source_id, versions)
        if current is None:
            await self._give_up_absent(source_id, versions)
            raise NotFound("no such source")

    async def _set_all_readers(self, current: Document, older: Sequence[Document], user_ids: Set[UserId]) -> None:
        """Of all versions that can be found. Older ones go, unless there may be nothing to find of the current one."""
        await self._set_readers(current, user_ids)
        if await self._journal.entry(current.id) is None or await self._client.has_chunks(current.id):
            await self._library.remove(older)
            return
        for document in (each for each in older if each.is_searchable):
            await self._set_readers(document, await self._library.readers_of(document) & user_ids)

    async def _set_readers(self, document: Document, user_ids: Set[UserId]) -> None:
        if user_ids:
            await self._library.set_readers(document, described(document).provider, user_ids)
        else:
            await self._library.remove([document])

    async def update_provider_access(self, op: AccessOp, provider: ProviderId, user_ids: Set[UserId]) -> None:
        async for stored in self._pages_until_nothing_new(provider=provider):
            await self._for_all(lambda id_: self._update_if_stored(op, id_, user_ids), stored)

    async def delete_provider(self, provider: ProviderId) -> None:
        async for stored in self._pages_until_nothing_new(provider=provider):
            batches = [frozenset(stored[start : start + BATCH]) for start in range(0, len(stored), BATCH)]
            await self._for_all(self.delete, batches, at_once=1)

    async def delete_user(self, user_id: UserId) -> None:
        """The collection of the user stays, empty: in R2R deleting one deletes the text of what is in it."""
        async for stored in self._pages_until_nothing_new(user_id=user_id):
            await self._for_all(lambda id_: self._update_if_stored(AccessOp.DENY, id_, {user_id}), stored)

    async def _pages_until_nothing_new(
        self, *, provider: ProviderId | None = None, user_id: UserId | None = None
    ) -> AsyncIterator[list[SourceId]]:
        """What `find` lists, and listed again what it did not list before: a document that goes away meanwhile moves
        another one from one page to the one before."""
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
        """A source that R2R is at work on does not hold up the others; it is raised when they are done."""
        held_up: list[AtWork] = []

        async def attempt(item: T) -> None:
            try:
                await work(item)
            except AtWork as error:
                held_up.append(error)

        await for_each(attempt, items, at_once=at_once)
        if held_up:
            raise held_up[0]

    async def find(self, *, provider: ProviderId | None = None, user_id: UserId | None = None) -> AsyncIterator[Stored]:
        """Also sources that R2R may be at work on, whoever will be able to read them: R2R does not list those."""
        uploads = await self._journal.entries(provider)
        found = {entry.source_id: entry.provider for entry in uploads if not entry.given_up}
        for name in self._collections_of(provider, user_id):
            async for metadata in self._members(name):
                if provider in {None, metadata.provider}:
                    found[metadata.source_id] = metadata.provider
        for source_id, of_provider in found.items():
            yield Stored(source_id=source_id, provider=of_provider)

    def _collections_of(self, provider: ProviderId | None, user_id: UserId | None) -> list[str]:
        if user_id is not None:
            return [self._names.user(user_id)]
        if provider is not None:
            return [self._names.provider(provider)]
        return [name for name in self._collections.names if self._names.provider_of(name) is not None]

    async def _members(self, name: str) -> AsyncIterator[Metadata]:
        collection_id = await self._collections.find(name)
        offset = 0
        while collection_id is not None and (page := await self._client.members(UUID(collection_id), offset)):
            offset += len(page)
            for document in page:
                if (metadata := document.described) is not None and self._is_ours(document.id, metadata):
                    yield metadata

    def _is_ours(self, document_id: UUID, metadata: Metadata) -> bool:
        """R2R lets others add documents to a collection; nobody else can make our ids."""
        made_here = document_id in self._names.documents(metadata.source_id)
        return made_here and not self._journal.is_given_up(document_id, metadata)

    async def count(self) -> Mapping[ProviderId, int]:
        counts: dict[ProviderId, int] = {}

        async def ask(name: str) -> None:
            provider, id_ = self._names.provider_of(name), await self._collections.find(name)
            if provider is not None and id_ is not None:
                collection = await self._client.collection(UUID(id_))
                counts[provider] = 0 if collection is None else max(0, collection.document_count)

        if self.capabilities.shared:
            await self._learn_all_collections()  # another gateway may have met other providers
        await for_each(ask, self._collections_of(None, None), at_once=AT_ONCE)
        return {provider: number for provider, number in counts.items() if number}

    # ------------------------------------------------------------------ questions

    async def search(self, query: Query) -> Sequence[Hit]:
        return [as_hit(chunk, metadata) for chunk, metadata in await self._find_chunks(query)]

    async def answer(self, query: Query) -> Answer:
        """Searched first: R2R asks its model also when nothing was found, and then among the hits only."""
        if not self._settings.use_generated_answer:
            raise Unsupported("R2R_USE_GENERATED_ANSWER is off")
        found = await self._find_chunks(query)
        reach = await self._reach(query)
        if not found or reach is None:
            return Answer(text="", source_ids=())
        reach = replace(reach, documents=frozenset(chunk.document_id for chunk, _ in found))
        graphs = self._settings.graph_search
        settings = search_settings(reach, query.limit, self._settings, graphs=graphs)
        generated = await self._client.generate(storable(query.text), settings)
        chunks = generated.search_results.chunk_search_results
        used = self._own(chunks, reach)
        if not used or len(used) < len(chunks):
            raise Unavailable("what may be read changed while R2R wrote the answer")
        source_ids = dict.fromkeys(metadata.source_id for _, metadata in used)
        return Answer(text=without_citations(generated.generated_answer, chunks), source_ids=tuple(source_ids))

    async def _find_chunks(self, query: Query) -> list[Found]:
        reach = await self._reach(query)
        if reach is None or not storable(query.text).strip():
            return []
        settings = search_settings(reach, query.limit, self._settings)
        chunks = await self._client.search(storable(query.text), settings)
        return newest(await self._readable(self._own(chunks, reach), reach))[: query.limit]

    async def _readable(self, found: list[Found], reach: Reach) -> list[Found]:
        """Without chunks whose document does not say the same. R2R changes a document and its chunks one after the
        other, and removes them so: where it fails in between, the document has what is narrower."""
        ids = list({chunk.document_id for chunk, _ in found})
        documents = await self._library.documents(ids)
        allowed = {document.id for document in documents if reach.admits(document.id, document.collection_ids)}
        return [(chunk, metadata) for chunk, metadata in found if chunk.document_id in allowed]

    def _own(self, chunks: Iterable[Chunk], reach: Reach) -> list[Found]:
        """Chunks of documents of this installation, as long as they are in reach whatever R2R made of the filters."""
        described = ((chunk, chunk.described) for chunk in chunks)
        return [
            (chunk, metadata)
            for chunk, metadata in described
            if metadata is not None and self._is_ours(chunk.document_id, metadata) and reach.allows(chunk)
        ]

    async def _reach(self, query: Query) -> Reach | None:
        """None where there is nothing to search. Makes no collection."""
        user = await self._collections.find(self._names.user(query.user_id))
        if user is None:
            return None
        reach = Reach(user=UUID(user))
        match query.scope:
            case ProviderScope(providers):
                found = [await self._collections.find(self._names.provider(provider)) for provider in providers]
                ids = frozenset(UUID(id_) for id_ in found if id_ is not None)
                return replace(reach, providers=ids) if ids else None
            case SourceScope(sources):
                ids = frozenset(id_ for source_id in sources for id_ in self._names.documents(source_id))
                return replace(reach, documents=ids) if ids else None
            case None:
                return reach

    # ------------------------------------------------------------------ tools for admins

    async def check(self) -> Sequence[Finding]:
        await self.ping()
        return await findings(self._client, self._settings, collections=len(self._collections))

    async def inventory(
        self, source_ids: Set[SourceId] | None = None, *, skip: int = 0, bulk: bool = False
    ) -> AsyncIterator[StoredVersion]:
        """Lists say what there may be; each source is then looked up, since it may have several documents."""
        await self._learn_all_collections()
        async for batch in _in_batches(self._listed_ids(source_ids, skip, bulk=bulk), SOURCES_PER_CALL):
            for versions in (await self._library.versions_of(batch)).values():
                if (version := await self._as_version(versions)) is not None:
                    yield version

    async def _listed_ids(self, source_ids: Set[SourceId] | None, skip: int, *, bulk: bool) -> AsyncIterator[SourceId]:
        if source_ids is not None:
            for source_id in sorted(source_ids)[skip:]:
                yield source_id
            return
        async for document_id, metadata in self._exported(skip) if bulk else self._listed(skip):
            if metadata is not None and self._is_ours(document_id, metadata):
                yield metadata.source_id

    async def _listed(self, skip: int) -> AsyncIterator[tuple[UUID, Metadata | None]]:
        while page := await self._client.all_documents(skip):
            skip += len(page)
            for document in page:
                yield document.id, document.described

    async def _exported(self, skip: int) -> AsyncIterator[tuple[UUID, Metadata | None]]:
        async for line in self._client.export(EXPORTED):
            if skip > 0:
                skip -= 1
                continue
            for document_id, metadata in csv.reader([line]):
                yield UUID(document_id), as_metadata(json.loads(metadata))

    async def _as_version(self, versions: Versions) -> StoredVersion | None:
        document = versions.current
        if document is None or await self._journal.entry(document.id) is not None:
            return None
        metadata = described(document)
        return StoredVersion(
            source_id=metadata.source_id,
            provider=metadata.provider,
            title=metadata.cc_title,
            mime_type=metadata.cc_type,
            modified=metadata.modified,
            sha256=metadata.sha256,
            user_ids=await self._library.readers_of(document),
        )

    # ------------------------------------------------------------------ housekeeping

    async def _tidy_now_and_then(self) -> None:
        while True:
            await anyio.sleep(TIDY_SECONDS)
            try:
                await self._library.tidy()
            except DriverError as error:
                log.warning("R2R could not be tidied up: %s", error)


async def _in_batches(items: AsyncIterator[T], size: int) -> AsyncIterator[list[T]]:
    batch: list[T] = []
    async for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def create(config: DriverConfig) -> R2RDriver:
    """`RAG_BACKEND=r2r`, what has to be remembered in the folder of the config."""
    extractor = Extractor(driver_settings(ExtractSettings, config))
    return R2RDriver(driver_settings(R2RSettings, config), extractor, config.folder)
