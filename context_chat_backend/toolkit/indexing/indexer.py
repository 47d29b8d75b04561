"""From a document to chunks, and from chunks to vectors: what a driver for a vector store needs before it can store
anything."""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Self

import numpy as np
from anyio import to_thread
from numpy.typing import NDArray

from ...contract import DriverConfig, Misconfigured, Source
from ..settings import driver_settings
from .chunk_embedder import ChunkEmbedder
from .embed import Embedder, EmbedSettings, make_embedder, make_former_embedder
from .extract.extractor import Extractor, ExtractSettings
from .section import Section
from .split import Chunk, document_name
from .words.terms import question_of

PAGE_CHUNKS = 64
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

    def __init__(
        self, extractor: Extractor, embedder: Embedder, make_former: Callable[[str], Embedder] | None = None
    ) -> None:
        """`make_former` makes the embedder with the model of this name; it raises `Misconfigured` if it cannot."""
        self.model = ChunkEmbedder(embedder)
        self._extractor = extractor
        self._make_former = make_former
        self._resources = AsyncExitStack()

    @classmethod
    def from_config(cls, config: DriverConfig) -> Self:
        """As the variables `EXTRACT_*` and `CC_EM_*` say."""
        settings = driver_settings(EmbedSettings, config)
        return cls(
            Extractor(driver_settings(ExtractSettings, config)),
            make_embedder(settings),
            partial(make_former_embedder, settings),
        )

    async def __aenter__(self) -> Self:
        await self._resources.enter_async_context(self._extractor)
        await self._resources.enter_async_context(self.model)
        await to_thread.run_sync(question_of, ANY_QUESTION, {})  # else the first user waits for stemmers and languages
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._resources.aclose()

    def former_model(self, name: str) -> ChunkEmbedder:
        """The model that a store was filled with before, not entered. Raises `Misconfigured` if nobody knows where it
        is."""
        if self._make_former is None:
            raise Misconfigured(f"the model {name} is not known any more")
        return ChunkEmbedder(self._make_former(name))

    async def keep_to(self, name: str) -> None:
        """Embed with the model that a store was filled with, even if that is a former one. Raises as `former_model`."""
        if name != self.model.model_name:
            self.model = await self._resources.enter_async_context(self.former_model(name))

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
        return self.model.split(sections, title)

    async def pages(self, chunks: Iterable[Chunk]) -> AsyncIterator[tuple[Chunk, ...]]:
        """Consecutive chunks, `PAGE_CHUNKS` at a time. Takes them in a thread."""
        waiting = iter(chunks)
        while page := await to_thread.run_sync(_take, waiting):
            yield page

    async def embedded(self, chunks: Iterable[Chunk]) -> AsyncIterator[Page]:
        """Chunks with their vectors, a page at a time: vectors are never in memory all at once."""
        async for page in self.pages(chunks):
            yield Page(page, await self.model.embed(page))


def _take(chunks: Iterator[Chunk]) -> tuple[Chunk, ...]:
    return tuple(islice(chunks, PAGE_CHUNKS))
