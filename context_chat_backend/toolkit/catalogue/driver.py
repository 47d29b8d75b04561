"""A driver for stores that keep chunks and know nothing of users."""

import logging
from collections import defaultdict
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Self

from ...contract import (
    Capabilities,
    DriverConfig,
    Finding,
    Hit,
    Level,
    Outcome,
    Query,
    Source,
)
from ..background import periodically, run_in_background
from ..concurrency import gather, in_batches
from ..indexing.extract import SUPPORTED_MIME_TYPES
from ..indexing.indexer import Indexer, Page
from ..postgres.database import Database, running_database
from ..postgres.documents import words_of
from ..postgres.driver import MAX_SOURCE_BYTES, DocumentsDriver
from ..postgres.migrations import Edition
from ..settings import driver_settings
from .catalogue import Catalogue, Changes, Outbox, Readable, Staged
from .guard import StoreGuard
from .outbox import OutboxRelay
from .settings import CatalogueSettings
from .store import Candidates, ChunkRecord, DocumentKey, Extent, Match, VectorStore

RANK_OFFSET = 60
"""Of reciprocal rank fusion: https://doi.org/10.1145/1571941.1572114"""
WATCH_SECONDS = 60.0
MORE = 4
"""A search that lost too many matches to the check is repeated with a limit so many times as large."""

log = logging.getLogger(__name__)


class CatalogueDriver(DocumentsDriver):
    """Keeps who may read what in a PostgreSQL of the gateway, and only chunks in the store."""

    _documents: Catalogue

    def __init__(
        self, name: str, store: VectorStore, indexer: Indexer, settings: CatalogueSettings, folder: Path
    ) -> None:
        super().__init__(indexer)
        self.capabilities = Capabilities(
            settle_seconds=store.settle_seconds,
            max_source_bytes=MAX_SOURCE_BYTES,
            mime_types=SUPPORTED_MIME_TYPES,
            shared=settings.catalogue_url is not None,  # other gateways may use an external catalogue, too
        )
        self._name = name
        self._store = store
        self._settings = settings
        self._folder = folder
        self._identity: str
        self._guard: StoreGuard

    @classmethod
    def from_config(cls, name: str, store: VectorStore, config: DriverConfig) -> Self:
        """For a backend with the variables `<NAME>_…`. The embedded catalogue is in the folder of the config."""
        settings = driver_settings(CatalogueSettings, config, prefix=f"{name.upper()}_")
        return cls(name, store, Indexer.from_config(config), settings, config.folder)

    @property
    def identity(self) -> str:
        self._guard.require()  # what was remembered of a store that was emptied must not be trusted
        return f"{self._name}:{self._identity}"

    @property
    def store(self) -> VectorStore:
        """Where the chunks are. Open as long as the driver is."""
        return self._store

    @property
    def dimension(self) -> int:
        """Of the vectors in the store. Known once the driver is open."""
        return self._indexer.embedder.dimension

    async def _open(self, stack: AsyncExitStack) -> Catalogue:
        embedder = self._indexer.embedder
        address, dimension, model = self._store.address, embedder.dimension, embedder.model_name
        url = await stack.enter_async_context(running_database(self._settings.catalogue_url, self._folder))
        database = await stack.enter_async_context(Database(url, Edition.CATALOGUE, dimension=dimension))
        changes = Changes()
        catalogue = Catalogue(database, changes)
        status = await catalogue.require(address, dimension=dimension, model=model)
        self._identity = status["store_id"]
        await stack.enter_async_context(self._store)
        await self._store.prepare(f"ccb-{self._identity.replace('-', '')}", dimension)
        self._guard = StoreGuard(self._store, catalogue, dimension)
        await self._guard.check()
        await catalogue.bind(address, dimension=dimension, model=model)  # not before: the address may be mistyped
        await self._guard.mark()
        if not self.capabilities.shared:  # so what is staged was left by a gateway that is gone; its chunks hide others
            await catalogue.collect_garbage(older_than="0 seconds")
        await run_in_background(stack, partial(periodically, "watching the store", self._guard.look, WATCH_SECONDS))
        relay = OutboxRelay(catalogue, self._store, database, changes)
        stack.push_async_callback(relay.deliver_last)
        await run_in_background(stack, relay.run)
        return catalogue

    async def upsert(self, source: Source) -> Outcome:
        self._guard.require()
        return await super().upsert(source)

    async def ping(self) -> None:
        self._guard.require()
        await self._documents.status()
        await self._store.ping()

    async def _index(self, source: Source, content_hash: str, text: str, ticket: str | None) -> Outcome:
        async with self._documents.staged(source, content_hash) as staged:
            count = 0
            pages = self._indexer.embedded(self._indexer.chunks(text, source.mime_type))
            async for records in in_batches(_records(pages, staged), self._store.chunks_per_put):
                count += len(records)
                await self._documents.expect_chunks(staged, count)
                await self._store.put(records)
            if staged.replaces:
                await self._store.wait_until_searchable(Extent(document=staged.document, chunks=count))
            return await self._documents.publish(staged, source, count, ticket=ticket)

    async def search(self, query: Query) -> Sequence[Hit]:
        self._guard.require()
        candidates = await self._documents.candidates(query)
        if not candidates.groups and not candidates.documents:
            return []
        wanted, most = 2 * query.limit + 10, self._store.matches_per_search
        hits, complete = await self._search(query, candidates, min(wanted, most))
        while len(hits) < query.limit and not complete and wanted < most:
            wanted *= MORE
            hits, complete = await self._search(query, candidates, min(wanted, most))
        return hits[: query.limit]

    async def _search(self, query: Query, candidates: Candidates, wanted: int) -> tuple[list[Hit], bool]:
        """Readable hits, best first, and whether the store had no others."""
        embedding = await self._indexer.embed_query(query.text)
        found = await gather(
            lambda: self._store.nearest(embedding, candidates, wanted),
            lambda: self._store.matching(words_of(query.text), candidates, wanted),
        )
        readable = await self._documents.readable(query, {match.document for matches in found for match in matches})
        return list(_hits(_fused(found), readable)), all(len(matches) < wanted for matches in found)

    async def check(self) -> Sequence[Finding]:
        outbox = await self._documents.outbox()
        return [*_outbox_findings(outbox), *await self._drift(outbox), *await self._store.check()]

    async def _drift(self, outbox: Outbox) -> Sequence[Finding]:
        count = await self._store.chunk_count()
        if count is None or outbox.removals or count == outbox.chunks + 1:
            return ()
        stored = max(0, count - 1)  # without the marker
        text = f"the store has {stored:,} chunks, the catalogue lists {outbox.chunks:,}"
        if stored > outbox.chunks:
            return (Finding(level=Level.OK, subject="chunks", text=f"{text}; nobody can find the others"),)
        remedy = "wait a minute and look again; if it stays so, remove store and catalogue and let Nextcloud fill them"
        return (Finding(level=Level.WARNING, subject="chunks", text=text, remedy=remedy),)


def _outbox_findings(outbox: Outbox) -> Sequence[Finding]:
    text = f"{outbox.chunks:,} chunks; not yet passed on to the store: {outbox.stale:,} changes of access, "
    return [Finding(level=Level.OK, subject="catalogue", text=f"{text}{outbox.removals:,} removals")]


def _fused(found: Sequence[Sequence[Match]]) -> Sequence[tuple[Match, float]]:
    """All matches with their scores by reciprocal rank fusion, best first."""
    matches: dict[tuple[DocumentKey, int], Match] = {}
    scores: defaultdict[tuple[DocumentKey, int], float] = defaultdict(float)
    for ranking in found:
        for rank, match in enumerate(ranking, start=1):
            chunk = (match.document, match.ordinal)
            matches[chunk] = match
            scores[chunk] += 1 / (RANK_OFFSET + rank)
    return sorted(((matches[chunk], score) for chunk, score in scores.items()), key=lambda hit: -hit[1])


def _hits(scored: Iterable[tuple[Match, float]], readable: Mapping[DocumentKey, Readable]) -> Iterator[Hit]:
    for match, score in scored:
        document = readable.get(match.document)
        if document is not None and match.ordinal < document.chunks:
            yield Hit(
                source_id=document.source_id,
                title=document.title,
                ordinal=match.ordinal,
                heading=match.heading,
                text=match.text,
                score=score,
            )


async def _records(pages: AsyncIterable[Page], staged: Staged) -> AsyncIterator[ChunkRecord]:
    """The chunks of all pages as they are to be stored."""
    async for page in pages:
        for chunk, vector in zip(page.chunks, page.vectors, strict=True):
            yield ChunkRecord(
                document=staged.document,
                ordinal=chunk.ordinal,
                group=staged.group,
                heading=chunk.heading,
                text=chunk.text,
                embedding=vector,
            )
