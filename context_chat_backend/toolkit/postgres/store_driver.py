"""The driver over `DocumentStore`: what builtin and Supabase share besides the store itself."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from ...contract import Finding, Hit, Level, Outcome, Query, ReembedAction, Reembedded, Reembedding, Source, SourceId
from ..background import HOUR, periodically, run_in_background
from ..concurrency import both
from ..indexing.indexer import Indexer
from ..indexing.precedence import Precedence
from ..indexing.section import Section
from ..indexing.words.terms import Question, question_of
from ..search.calibration import Calibration
from ..search.calibrator import findings
from ..search.fusion import fuse
from ..search.settings import SearchBy, SearchSettings
from .document_store import DocumentStore, OtherModel, QuestionVector
from .documents import trials_in
from .driver import MAKING_WORDS, DocumentsDriver
from .functions import Functions
from .models import StoreModels


class DocumentStoreDriver(DocumentsDriver, Reembedding):
    """A subclass brings the connection and what there is to say about it."""

    _documents: DocumentStore
    _identity: str

    def __init__(self, indexer: Indexer, search: SearchSettings) -> None:
        super().__init__(indexer)
        self._search_by = search.by
        self._precedence = Precedence()
        self._models = StoreModels(indexer)

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
        return self._models.waiting

    async def _open(self, stack: AsyncExitStack) -> DocumentStore:
        model = self._indexer.model
        store = DocumentStore(await self._connect(stack, dimension=model.dimension))
        status = await store.open(dimension=model.dimension, model=model.model_name)
        self._identity = status["store_id"]
        if not self.capabilities.shared:
            for name in {model.model_name, status["embedding_model"]}:
                await store.release_chunks(name)
        await self._models.open(stack, store, status)
        await run_in_background(
            stack, partial(periodically, MAKING_WORDS, partial(_make_all_words, store), HOUR, first=0)
        )
        return store

    async def reembed(self, action: ReembedAction | None = None) -> Reembedded:
        async with AsyncExitStack() as stack:
            model = await stack.enter_async_context(self._indexer.model)
            store = DocumentStore(await self._connect(stack, dimension=model.dimension))
            return await store.reembed(action, model=model.model_name, dimension=model.dimension)

    async def ping(self) -> None:
        await self._documents.status()

    async def _retitled(self, source_id: SourceId) -> None:
        await self._documents.make_words(source_id)

    async def _index(
        self, source: Source, content_hash: str, sections: Sequence[Section], ticket: str | None
    ) -> Outcome:
        pages = self._indexer.pages(self._indexer.chunks(sections, source.title))
        pages = self._precedence.after_questions(pages)
        outcome = await self._documents.publish(source, content_hash, pages, ticket=ticket)
        self._models.note_stored()
        return outcome

    async def check(self) -> Sequence[Finding]:
        status = await self._documents.status()
        database = Finding(level=Level.OK, subject="database", text=self._about(status))
        model = status["embedding_model"]
        waiting = await self._documents.waiting_chunks(model)
        return [database, *findings(trials_in(status), model), *self._models.findings(waiting)]

    async def search(self, query: Query) -> Sequence[Hit]:
        with self._precedence.question():
            try:
                return await self._search(query)
            except OtherModel as other:
                self._models.follow(other.model)
                return await self._search(query)

    async def _search(self, query: Query) -> Sequence[Hit]:
        calibration = self._models.calibration
        vector, question = await both(
            partial(self._vector_of, query.text), partial(self._words_of, query.text, calibration)
        )
        found = await self._documents.search(query, vector, question)
        return fuse(
            found.candidates,
            mass=found.mass,
            unknown=found.unknown,
            question=question,
            embedding=None if vector is None else vector.numbers,
            calibration=calibration,
            limit=query.limit,
        )

    async def _vector_of(self, question: str) -> QuestionVector | None:
        return None if self._search_by is SearchBy.WORDS else await self._models.embed_query(question)

    async def _words_of(self, question: str, calibration: Calibration) -> Question | None:
        return None if self._search_by is SearchBy.MEANING else question_of(question, calibration.drawn)


async def _make_all_words(store: DocumentStore) -> None:
    """Of the documents that an earlier version stored, and of those whose title changed while a gateway stopped."""
    while await store.make_words():
        pass
