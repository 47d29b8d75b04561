"""From a document to chunks, and from chunks to vectors: what a driver for a vector store needs before it can store
anything."""

from collections.abc import AsyncIterator, Iterable, Iterator
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
from .split import Chunk, Splitter

SPECIAL_TOKENS = 2
"""Added by BERT-like models to each text."""
OVERLAP_TOKENS = 32
CHUNK_CHARS, OVERLAP_CHARS = 1000, 120
"""For models whose tokens the gateway cannot count."""
PAGE_CHUNKS = 64
QUESTIONS_KEPT = 32
QUESTION_CHARS = 32_768
"""The rest of a longer question is not looked for: models read 8,192 tokens, some 4 characters each, most of them far
less."""
FORMAT = 1
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
        return f"{FORMAT}:{source.mime_type}:{await source.content.sha256()}"

    async def text(self, source: Source) -> str:
        """The text of a source. Raises `Rejected` if it can never be read, `Unavailable` if another try may help."""
        return await self._extractor.text(await source.content.path(), source.mime_type)

    def chunks(self, text: str, mime_type: str) -> Iterator[Chunk]:
        """The chunks of a text in order. They are made as they are taken, which costs CPU time: do that in a thread."""
        for ordinal, piece in enumerate(self._splitter.split(text, mime_type)):
            yield Chunk(ordinal, "", piece)

    async def embedded(self, chunks: Iterable[Chunk]) -> AsyncIterator[Page]:
        """Chunks with their vectors, a page at a time: vectors are never in memory all at once. Takes the chunks in a
        thread."""
        waiting = iter(chunks)
        while page := await to_thread.run_sync(_take, waiting):
            yield Page(page, await self.embedder.embed([chunk.text for chunk in page]))


def _make_splitter(embedder: Embedder) -> Splitter:
    if embedder.tokenizer is None or embedder.max_tokens is None:
        return Splitter(CHUNK_CHARS, OVERLAP_CHARS)
    return Splitter(embedder.max_tokens - SPECIAL_TOKENS, OVERLAP_TOKENS, embedder.tokenizer)


def _take(chunks: Iterator[Chunk]) -> tuple[Chunk, ...]:
    return tuple(islice(chunks, PAGE_CHUNKS))
