"""The driver over `DocumentStore`: what builtin and Supabase share besides the store itself."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...contract import Finding, Hit, Level, Outcome, Query, Source, SourceId
from ..background import HOUR, periodically, run_in_background
from ..concurrency import both
from ..indexing.indexer import Indexer
from ..indexing.section import Section
from ..indexing.words.terms import Question, question_of
from ..search.calibration import Calibration
from ..search.calibrator import Calibrator, findings, keep_calibrated
from ..search.fusion import fuse
from ..search.settings import SearchBy, SearchSettings
from .document_store import DocumentStore
from .documents import trials_in
from .driver import MAKING_WORDS, DocumentsDriver
from .functions import Functions
from .vectors import VectorMaker


class DocumentStoreDriver(DocumentsDriver):
    """A subclass brings the connection and what there is to say about it."""

    _documents: DocumentStore
    _identity: str
    _calibrator: Calibrator

    def __init__(self, indexer: Indexer, search: SearchSettings) -> None:
        super().__init__(indexer)
        self._search_by = search.by
        self._vectors: VectorMaker | None = None

    @property
    @abstractmethod
    def _name(self) -> str:
        """Of the backend."""

    @abstractmethod
    async def _connect(self, stack: AsyncExitStack, *, dimension: int) -> Functions:
        """Open a connection to a database with the schema of this version."""

    @abstractmethod
    def _about(self, status: Mapping[str, Any]) -> str:
        """What an admin is told of the database, by its status."""

    @property
    def identity(self) -> str:
        return f"{self._name}:{self._identity}"

    @property
    def waiting(self) -> int:
        return 0 if self._vectors is None else self._vectors.waiting

    async def _open(self, stack: AsyncExitStack) -> DocumentStore:
        embedder = self._indexer.embedder
        functions = await self._connect(stack, dimension=embedder.dimension)
        store = DocumentStore(functions, dimension=embedder.dimension)
        status = await store.open(dimension=embedder.dimension, model=embedder.model_name)
        self._identity = status["store_id"]
        self._calibrator = Calibrator(store.samples, embedder, store.keep_trials)
        self._calibrator.remember(trials_in(status))
        await keep_calibrated(stack, self._calibrator)
        if not self.capabilities.shared:
            await store.release_all_chunks()
        self._vectors = VectorMaker(store, self._indexer, self._calibrator.note_stored)
        await run_in_background(stack, self._vectors.run)
        await run_in_background(
            stack, partial(periodically, MAKING_WORDS, partial(_make_all_words, store), HOUR, first=0)
        )
        return store

    async def ping(self) -> None:
        await self._documents.status()

    async def _retitled(self, source_id: SourceId) -> None:
        await self._documents.make_words(source_id)

    async def _index(
        self, source: Source, content_hash: str, sections: Sequence[Section], ticket: str | None
    ) -> Outcome:
        pages = self._indexer.pages(self._indexer.chunks(sections, source.title))
        outcome = await self._documents.publish(source, content_hash, pages, ticket=ticket)
        if self._vectors is not None:
            self._vectors.note_stored()
        return outcome

    async def check(self) -> Sequence[Finding]:
        status = await self._documents.status()
        database = Finding(level=Level.OK, subject="database", text=self._about(status))
        waiting = await self._documents.waiting_chunks()
        return [database, *findings(trials_in(status), status["embedding_model"]), *self._vector_findings(waiting)]

    def _vector_findings(self, waiting: int) -> Sequence[Finding]:
        """Waiting is no fault: documents are found meanwhile."""
        if not waiting:
            return ()
        seconds = None if self._vectors is None else self._vectors.seconds_left
        ready = "" if seconds is None else f", for about {max(1, round(seconds / 60)):,} minutes to come"
        text = f"{waiting:,} chunks are found by their words only{ready}: their vectors are being made"
        return (Finding(level=Level.OK, subject="vectors", text=text),)

    async def search(self, query: Query) -> Sequence[Hit]:
        calibration = self._calibrator.calibration
        embedding, question = await both(
            partial(self._embedding_of, query.text), partial(self._words_of, query.text, calibration)
        )
        found = await self._documents.search(query, embedding, question)
        return fuse(
            found.candidates,
            mass=found.mass,
            unknown=found.unknown,
            question=question,
            embedding=embedding,
            calibration=calibration,
            limit=query.limit,
        )

    async def _embedding_of(self, question: str) -> NDArray[np.float32] | None:
        return None if self._search_by is SearchBy.WORDS else await self._indexer.embed_query(question)

    async def _words_of(self, question: str, calibration: Calibration) -> Question | None:
        return None if self._search_by is SearchBy.MEANING else question_of(question, calibration.drawn)


async def _make_all_words(store: DocumentStore) -> None:
    """Of the documents that an earlier version stored, and of those whose title changed while a gateway stopped."""
    while await store.make_words():
        pass
