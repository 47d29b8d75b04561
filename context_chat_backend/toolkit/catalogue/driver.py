"""A driver for stores that keep chunks and know nothing of users."""

import logging
from collections import defaultdict
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence, Set
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
from anyio import to_thread

from ...contract import Capabilities, DriverConfig, Finding, Hit, Level, Misconfigured, Outcome, Query, Source, SourceId
from ..background import HOUR, periodically, run_in_background
from ..concurrency import both, gather, in_batches
from ..indexing.extract import SUPPORTED_MIME_TYPES
from ..indexing.indexer import Indexer, Page
from ..indexing.section import Section
from ..indexing.words.chunks import words_of_chunks
from ..indexing.words.languages import UNKNOWN
from ..indexing.words.terms import Words, chunk_words, question_of, unknown_mass
from ..postgres.database import Database, running_database
from ..postgres.documents import trials_in, words_of
from ..postgres.driver import MAKING_WORDS, MAX_SOURCE_BYTES, DocumentsDriver
from ..postgres.migrations import Edition
from ..search.calibrator import Calibrator, findings, keep_calibrated
from ..settings import driver_settings
from .catalogue import Catalogue, Changes, Outbox, Staged
from .guard import StoreGuard
from .outbox import OutboxRelay
from .ranking import Asked, ranked
from .settings import CatalogueSettings
from .store import Candidates, ChunkRecord, DocumentKey, Extent, Match, VectorStore, WordQuery

WATCH_SECONDS = 60.0
READ_BACK = 500
"""Chunks that are read back from the store at once."""
DEPTH = 50
"""Chunks that are found by meaning, and as many by words, at least: between 20 and 100 makes little odds."""
SPARE = 10
"""For those that the check takes away."""
MORE = 4
"""A search that lost too many matches to the check is repeated with a limit so many times as large."""

log = logging.getLogger(__name__)


class CatalogueDriver(DocumentsDriver):
    """Keeps who may read what in a PostgreSQL of the gateway, and only chunks in the store."""

    _documents: Catalogue
    _is_former: bool
    """The model that is used is not that of the settings."""

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
        self._calibrator: Calibrator

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
        return self._indexer.model.dimension

    async def _open(self, stack: AsyncExitStack) -> Catalogue:
        address, wanted = self._store.address, self._indexer.model
        url = await stack.enter_async_context(running_database(self._settings.catalogue_url, self._folder))
        database = await stack.enter_async_context(Database(url, Edition.CATALOGUE, dimension=wanted.dimension))
        changes = Changes()
        catalogue = Catalogue(database, changes)
        with suppress(Misconfigured):  # what follows says more
            await self._indexer.keep_to((await catalogue.status()).get("embedding_model", wanted.model_name))
        self._is_former = self._indexer.model is not wanted
        embedder = self._indexer.model.embedder
        dimension, model = embedder.dimension, embedder.model_name
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
        self._calibrator = Calibrator(catalogue.samples, embedder, partial(catalogue.keep_trials, model))
        self._calibrator.remember(trials_in(status))
        await keep_calibrated(stack, self._calibrator)
        make_words = partial(self._make_all_words, catalogue)
        await run_in_background(stack, partial(periodically, MAKING_WORDS, make_words, HOUR, first=0))
        return catalogue

    async def upsert(self, source: Source) -> Outcome:
        self._guard.require()
        return await super().upsert(source)

    async def ping(self) -> None:
        self._guard.require()
        await self._documents.status()
        await self._store.ping()

    async def _index(
        self, source: Source, content_hash: str, sections: Sequence[Section], ticket: str | None
    ) -> Outcome:
        async with self._documents.staged(source, content_hash) as staged:
            count = 0
            pages = self._indexer.embedded(self._indexer.chunks(sections, source.title))
            async for records in in_batches(_records(pages, source.title, staged), self._store.chunks_per_put):
                count += len(records)
                await self._documents.expect_chunks(staged, records)
                await self._store.put(records)
            if staged.replaces:
                await self._store.wait_until_searchable(Extent(document=staged.document, chunks=count))
            outcome = await self._documents.publish(staged, source, count, ticket=ticket)
        self._calibrator.note_stored()
        return outcome

    # ------------------------------------------------------------------ searching

    async def search(self, query: Query) -> Sequence[Hit]:
        self._guard.require()
        candidates = await self._documents.candidates(query)
        if not candidates.groups and not candidates.documents:
            return []
        asked = await self._asked(query)
        wanted, most = max(DEPTH, query.limit + SPARE), self._store.matches_per_search
        hits, complete = await self._search(query, asked, candidates, min(wanted, most))
        while len(hits) < query.limit and not complete and wanted < most:
            wanted *= MORE
            hits, complete = await self._search(query, asked, candidates, min(wanted, most))
        return hits

    async def _asked(self, query: Query) -> Asked:
        calibration = self._calibrator.calibration
        question = question_of(query.text, calibration.drawn)
        embedding, sought = await both(
            partial(self._indexer.model.embed_query, query.text), partial(self._documents.sought, query, question)
        )
        words = WordQuery(
            text=words_of(query.text),
            weights=sought.worths,
            identifiers=question.distinctive,
            embedding=embedding,
        )
        unknown = unknown_mass(question, sought.worths, sought.chunks)
        return Asked(
            words=words,
            unknown=unknown,
            question=question,
            titled=sought.titled,
            calibration=calibration,
            limit=query.limit,
        )

    async def _search(self, query: Query, asked: Asked, candidates: Candidates, wanted: int) -> tuple[list[Hit], bool]:
        """The best readable hits, best first, and whether the store had no others."""
        nearest, matching = await gather(
            lambda: self._store.nearest(asked.words.embedding, candidates, wanted),
            lambda: self._store.matching(asked.words, candidates, wanted),
        )
        others = [*matching, *await self._titled(asked, {match.document for match in (*nearest, *matching)})]
        readable = await self._documents.readable(query, {match.document for match in (*nearest, *others)})
        hits = await to_thread.run_sync(ranked, nearest, others, readable, asked)
        return hits, max(len(nearest), len(matching)) < wanted

    async def _titled(self, asked: Asked, found: Set[DocumentKey]) -> list[Match]:
        """What fits best of each document whose title says much about the question, beside those that were found."""
        missing = [Candidates(groups=(), documents=(document,)) for document in asked.titled if document not in found]
        embedding = asked.words.embedding
        of_each = await gather(*(partial(self._store.nearest, embedding, document, 1) for document in missing))
        return [match for some in of_each for match in some]

    # ------------------------------------------------------------------ words

    async def _retitled(self, source_id: SourceId) -> None:
        await self._make_words(self._documents, source_id)

    async def _make_all_words(self, catalogue: Catalogue) -> None:
        while await self._make_words(catalogue, None):
            pass

    async def _make_words(self, catalogue: Catalogue, source_id: SourceId | None) -> bool:
        """Have documents found by their newest title, and count what an earlier version did not. False if there was
        nothing to do."""
        wordless = await catalogue.wordless(source_id, chunks=self._read_back)
        words = await self._stored_words([document.document for document in wordless if not document.counted])
        for document in wordless:
            await catalogue.put_title(document, None if document.counted else words[document.document])
        return bool(wordless)

    async def _stored_words(self, documents: Sequence[DocumentKey]) -> Mapping[DocumentKey, Sequence[Words]]:
        """Of the chunks of these documents, read back from the store by the only way that there is."""
        words: defaultdict[DocumentKey, list[Words]] = defaultdict(list)
        if documents:
            anywhere = np.eye(1, self.dimension, dtype=np.float32)[0]
            reach = Candidates(groups=(), documents=documents)
            for match in await self._store.nearest(anywhere, reach, self._read_back):
                words[match.document].append(await to_thread.run_sync(chunk_words, "", match.heading, match.text))
        return words

    @property
    def _read_back(self) -> int:
        return min(READ_BACK, self._store.matches_per_search)

    # ------------------------------------------------------------------ looking after it

    async def check(self) -> Sequence[Finding]:
        outbox = await self._documents.outbox()
        languages = findings(self._calibrator.calibration.trials, self._indexer.model.model_name)
        found = [*_outbox_findings(outbox), *await self._drift(outbox), *languages, *self._model_findings()]
        return [*found, *await self._store.check()]

    def _model_findings(self) -> Sequence[Finding]:
        if not self._is_former:
            return ()
        text = (
            f"the vectors in the store are of the model {self._indexer.model.model_name}, not of that of the settings"
        )
        remedy = "name that model in the settings, or empty the store and have everything indexed again"
        return [Finding(level=Level.WARNING, subject="model", text=text, remedy=remedy)]

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


async def _records(pages: AsyncIterable[Page], title: str, staged: Staged) -> AsyncIterator[ChunkRecord]:
    """The chunks of all pages as they are to be stored."""
    language = UNKNOWN
    async for page in pages:
        words = await to_thread.run_sync(words_of_chunks, title, page.chunks, language)
        language = words[-1].language
        for chunk, vector, of in zip(page.chunks, page.vectors, words, strict=True):
            yield ChunkRecord(
                document=staged.document,
                ordinal=chunk.ordinal,
                group=staged.group,
                heading=chunk.heading,
                text=chunk.text,
                embedding=vector,
                words=of,
            )
