"""From a document to chunks, and from chunks to vectors: what a driver for a vector store needs before it can store
anything."""

import hashlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import islice
from typing import Self

import numpy as np
from anyio import to_thread
from numpy.typing import NDArray

from ...contract import DriverConfig, Source
from ..settings import driver_settings
from .embed import Embedder, EmbedSettings, make_embedder
from .extract.extractor import Extractor, ExtractSettings
from .section import Section
from .split import Chunk, Splitter, document_name
from .words.terms import question_of

CHUNK_TOKENS = 256
"""At most, also for models that read more: in longer ones e5 finds less."""
CHUNK_CHARS = 1000
"""For models whose tokens the gateway cannot count."""
PAGE_CHUNKS = 64
QUESTIONS_KEPT = 32
QUESTION_CHARS = 32_768
"""The rest of a longer question is not looked for: models read 8,192 tokens, some 4 characters each, most of them far
less."""
ANY_QUESTION = "What is it about?"
FORMAT = 2
"""Raise it when extraction or splitting changes so much that stored text should be indexed again."""


@dataclass(frozen=True, slots=True)
class Page:
    """Consecutive chunks with their vectors."""

    chunks: tuple[Chunk, ...]
    vectors: NDArray[np.float32]
    """Shape (number of chunks, dimension)."""


class Indexer:
    """Extracts, splits and embeds. An async context manager; safe for any number of tasks."""

    def __init__(self, extractor: Extractor, embedder: Embedder) -> None:
        self.embedder = embedder
        self._extractor = extractor
        self._questions: dict[str, NDArray[np.float32]] = {}
        self._splitter: Splitter
        self._resources = AsyncExitStack()

    @classmethod
    def from_config(cls, config: DriverConfig) -> Self:
        """As the variables `EXTRACT_*` and `CC_EM_*` say."""
        return cls(
            Extractor(driver_settings(ExtractSettings, config)), make_embedder(driver_settings(EmbedSettings, config))
        )

    async def __aenter__(self) -> Self:
        await self._resources.enter_async_context(self._extractor)
        await self._resources.enter_async_context(self.embedder)
        await to_thread.run_sync(question_of, ANY_QUESTION, {})  # else the first user waits for stemmers and languages
        self._splitter = _make_splitter(self.embedder)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._resources.aclose()

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        """The vector of a question, shape (dimension,). The last ones are kept: one question may need two searches."""
        text = text[:QUESTION_CHARS]
        if (vector := self._questions.pop(text, None)) is None:
            vector = await self.embedder.embed_query(text)
        self._questions[text] = vector
        if len(self._questions) > QUESTIONS_KEPT:
            del self._questions[next(iter(self._questions))]
        return vector

    async def fingerprint(self, source: Source) -> str:
        """Equal for sources that give equal chunks and embeddings with the same embedder."""
        named = f"{await source.content.sha256()} {document_name(source.title)}"  # the name is embedded, too
        return f"{FORMAT}:{source.mime_type}:{hashlib.sha256(named.encode('utf-8', 'surrogatepass')).hexdigest()}"

    async def sections(self, source: Source) -> list[Section]:
        """The text of a source under its headings. Raises `Rejected` if it can never be read, `Unavailable` if another
        try may help."""
        return await self._extractor.sections(await source.content.path(), source.mime_type)

    def chunks(self, sections: Iterable[Section], title: str) -> Iterator[Chunk]:
        """The chunks of a source with this title in order. They are made as they are taken, which costs CPU time: do
        that in a thread."""
        return self._splitter.split(sections, title)

    async def pages(self, chunks: Iterable[Chunk]) -> AsyncIterator[tuple[Chunk, ...]]:
        """Consecutive chunks, `PAGE_CHUNKS` at a time. Takes them in a thread."""
        waiting = iter(chunks)
        while page := await to_thread.run_sync(_take, waiting):
            yield page

    async def embed(self, chunks: Sequence[Chunk]) -> NDArray[np.float32]:
        """Their vectors, shape (number of chunks, dimension)."""
        texts = await to_thread.run_sync(lambda: list(map(self._splitter.embedded, chunks)))
        return await self.embedder.embed(texts)

    async def embedded(self, chunks: Iterable[Chunk]) -> AsyncIterator[Page]:
        """Chunks with their vectors, a page at a time: vectors are never in memory all at once."""
        async for page in self.pages(chunks):
            yield Page(page, await self.embed(page))


def _make_splitter(embedder: Embedder) -> Splitter:
    if embedder.tokenizer is None or embedder.max_tokens is None:
        return Splitter(CHUNK_CHARS)
    return Splitter(min(embedder.max_tokens, CHUNK_TOKENS), embedder.tokenizer)


def _take(chunks: Iterator[Chunk]) -> tuple[Chunk, ...]:
    return tuple(islice(chunks, PAGE_CHUNKS))
