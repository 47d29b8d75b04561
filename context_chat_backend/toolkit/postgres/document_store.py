"""Documents, their chunks and the search in them, all in one PostgreSQL: what builtin and Supabase share."""

from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from ...contract import Hit, Outcome, Query, Source, SourceId
from ..indexing.indexer import Page
from ..indexing.split import Chunk
from .documents import INTEGER, OBJECT, OUTCOME, Documents, read, source_argument, who_and_where, words_of
from .driver import DocumentsDriver
from .functions import Functions

PAGE_CHUNKS = 100
PAGE_BYTES = 2_000_000
"""Most chunks, and about the most bytes of vectors, per call of the database."""

_BYTES_PER_NUMBER = 10
_FLOAT = "%.5g"
"""Enough digits for the 11 significant bits of a halfvec."""


class _Found(TypedDict):
    source_id: SourceId
    title: str
    ordinal: int
    heading: str
    content: str
    score: float


_FOUND = TypeAdapter(list[_Found])


class DocumentStore(Documents):
    """A typed client of the functions in `sql/chunks` as well."""

    def __init__(self, functions: Functions, *, dimension: int) -> None:
        super().__init__(functions)
        self._page_size = max(1, min(PAGE_CHUNKS, PAGE_BYTES // (dimension * _BYTES_PER_NUMBER)))

    async def open(self, *, dimension: int, model: str) -> Mapping[str, Any]:
        """The status of the database. Raises `Misconfigured` if it was filled with another embedding model."""
        return read(await self._functions.call("ccb_open_store", p_dimension=dimension, p_model=model), OBJECT)

    async def publish(
        self, source: Source, content_hash: str, pages: AsyncIterable[Page], *, ticket: str | None = None
    ) -> Outcome:
        """Store the chunks and put them in the place of the older version in one step.

        Nothing of it is found before. Readers of the source become exactly its `user_ids`, unless a version that is
        not older was stored meanwhile: then they are added to that one (`UNCHANGED`). Holds two pages at a time.

        `ticket` is that of `begin`; without it nothing else may happen to the source meanwhile.
        """
        description = {**source_argument(source, content_hash), "ticket": ticket}
        async with aclosing(_arguments(pages, self._page_size)) as calls:
            first: list[dict[str, object]] = await anext(calls, [])
            second = await anext(calls, None)
            if second is None:
                stored = await self._functions.call("ccb_store_source", p_source={**description, "chunks": first})
                return read(stored, OUTCOME)
            async with self._staged(description) as document:
                count = await self._stage(document, first) + await self._stage(document, second)
                async for chunks in calls:
                    count += await self._stage(document, chunks)
                published = await self._functions.call(
                    "ccb_publish_source",
                    p_doc_id=document,
                    p_users=description["users"],
                    p_chunks=count,
                    p_ticket=ticket,
                )
                return read(published, OUTCOME)

    async def search(self, query: Query, embedding: NDArray[np.float32]) -> list[Hit]:
        """The best chunks that the user may read, by meaning (`embedding` of shape (dimension,)) and words."""
        rows = await self._functions.call(
            "ccb_search",
            p_embedding=_vector(embedding.tolist()),
            p_query=words_of(query.text),
            p_k=query.limit,
            **who_and_where(query),
        )
        return [
            Hit(
                source_id=row["source_id"],
                title=row["title"],
                ordinal=row["ordinal"],
                heading=row["heading"],
                text=row["content"],
                score=row["score"],
            )
            for row in read(rows, _FOUND)
        ]

    async def _stage(self, document: int, chunks: list[dict[str, object]]) -> int:
        return read(await self._functions.call("ccb_stage_chunks", p_doc_id=document, p_chunks=chunks), INTEGER)

    @asynccontextmanager
    async def _staged(self, description: Mapping[str, object]) -> AsyncIterator[int]:
        document = read(await self._functions.call("ccb_stage_source", p_source=description), INTEGER)
        async with self.discarded_on_failure(document):
            yield document


class DocumentStoreDriver(DocumentsDriver):
    """A subclass brings the connection and what there is to say about it."""

    _documents: DocumentStore
    _identity: str

    @property
    @abstractmethod
    def _name(self) -> str:
        """Of the backend."""

    @abstractmethod
    async def _connect(self, stack: AsyncExitStack, *, dimension: int) -> Functions:
        """Open a connection to a database with the schema of this version."""

    @property
    def identity(self) -> str:
        return f"{self._name}:{self._identity}"

    async def _open(self, stack: AsyncExitStack) -> DocumentStore:
        embedder = self._indexer.embedder
        functions = await self._connect(stack, dimension=embedder.dimension)
        store = DocumentStore(functions, dimension=embedder.dimension)
        status = await store.open(dimension=embedder.dimension, model=embedder.model_name)
        self._identity = status["store_id"]
        return store

    async def ping(self) -> None:
        await self._documents.status()

    async def _index(self, source: Source, content_hash: str, text: str, ticket: str | None) -> Outcome:
        pages = self._indexer.embedded(self._indexer.chunks(text, source.mime_type))
        return await self._documents.publish(source, content_hash, pages, ticket=ticket)

    async def search(self, query: Query) -> Sequence[Hit]:
        return await self._documents.search(query, await self._indexer.embed_query(query.text))


def _vector(numbers: Iterable[float]) -> str:
    return "[" + ",".join([_FLOAT % number for number in numbers]) + "]"


async def _arguments(pages: AsyncIterable[Page], size: int) -> AsyncGenerator[list[dict[str, object]], None]:
    """The chunks of all pages as the database takes them, at most `size` at a time."""
    async for page in pages:
        for start in range(0, len(page.chunks), size):
            chunks = page.chunks[start : start + size]
            vectors = page.vectors[start : start + size].tolist()
            yield [_argument(chunk, vector) for chunk, vector in zip(chunks, vectors, strict=True)]


def _argument(chunk: Chunk, vector: Iterable[float]) -> dict[str, object]:
    return {
        "ordinal": chunk.ordinal,
        "heading": chunk.heading,
        "content": chunk.text,
        "embedding": _vector(vector),
    }
