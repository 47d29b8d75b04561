"""Chunks and questions to vectors, by one model."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Self

import numpy as np
from anyio import to_thread
from numpy.typing import NDArray

from .embed import Embedder
from .section import Section
from .split import Chunk, Splitter

CHUNK_TOKENS = 256
"""At most, also for models that read more: in longer ones e5 finds less."""
CHUNK_CHARS = 1000
"""For models whose tokens the gateway cannot count."""
QUESTIONS_KEPT = 32
QUESTION_CHARS = 32_768
"""The rest of a longer question is not looked for: models read 8,192 tokens, some 4 characters each, most of them far
less."""


class ChunkEmbedder:
    """An embedder that knows what of a chunk is embedded. An async context manager; safe for any number of tasks."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self._questions: dict[str, NDArray[np.float32]] = {}
        self._splitter: Splitter
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._resources.enter_async_context(self.embedder)
        self._splitter = _make_splitter(self.embedder)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._resources.aclose()

    @property
    def model_name(self) -> str:
        """See `Embedder`."""
        return self.embedder.model_name

    @property
    def dimension(self) -> int:
        """See `Embedder`."""
        return self.embedder.dimension

    def split(self, sections: Iterable[Section], title: str) -> Iterator[Chunk]:
        """Chunks that the model reads to their ends."""
        return self._splitter.split(sections, title)

    async def embed(self, chunks: Sequence[Chunk]) -> NDArray[np.float32]:
        """Their vectors, shape (number of chunks, dimension)."""
        texts = await to_thread.run_sync(lambda: list(map(self._splitter.embedded, chunks)))
        return await self.embedder.embed(texts)

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        """The vector of a question, shape (dimension,). The last ones are kept: one question may need two searches."""
        text = text[:QUESTION_CHARS]
        if (vector := self._questions.pop(text, None)) is None:
            vector = await self.embedder.embed_query(text)
        self._questions[text] = vector
        if len(self._questions) > QUESTIONS_KEPT:
            del self._questions[next(iter(self._questions))]
        return vector


def _make_splitter(embedder: Embedder) -> Splitter:
    if embedder.tokenizer is None or embedder.max_tokens is None:
        return Splitter(CHUNK_CHARS)
    return Splitter(min(embedder.max_tokens, CHUNK_TOKENS), embedder.tokenizer)
