"""Chunks and vectors are two steps, and neither needs all of a document in memory."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from context_chat_backend.conformance.kit import FileContent
from context_chat_backend.contract import ProviderId, Source, SourceId
from context_chat_backend.toolkit.indexing.chunk_embedder import QUESTION_CHARS
from context_chat_backend.toolkit.indexing.embed.local import WORD_CHARS
from context_chat_backend.toolkit.indexing.embed.shipped import minilm
from context_chat_backend.toolkit.indexing.extract.extractor import Extractor, ExtractSettings
from context_chat_backend.toolkit.indexing.indexer import PAGE_CHUNKS, Indexer
from context_chat_backend.toolkit.indexing.section import Section
from context_chat_backend.toolkit.indexing.split import Chunk

from .catalogue_stage import WordEmbedder

pytestmark = pytest.mark.anyio

TEXT = "\n\n".join(f"Paragraph {number}. {'The whale dives. ' * 50}" for number in range(300))

SECTIONS = [Section(TEXT, ("Whales",))]


class Counting(WordEmbedder):
    """Knows how many texts it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.texts += texts
        return await super().embed(texts)


def indexer(embedder: WordEmbedder) -> Indexer:
    return Indexer(Extractor(ExtractSettings()), embedder)


async def test_chunks_are_numbered_in_the_order_of_the_text_and_need_no_vectors() -> None:
    embedder = Counting()
    async with indexer(embedder) as opened:
        chunks = list(opened.chunks(SECTIONS, "files/Whales.txt"))
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    places = [TEXT.index(chunk.text) for chunk in chunks]
    assert places == sorted(places)
    assert embedder.texts == []


async def test_stored_chunks_get_the_vectors_that_new_ones_get() -> None:
    async with indexer(WordEmbedder()) as opened:
        new = [page async for page in opened.embedded(opened.chunks(SECTIONS, "files/Whales.txt"))]
        stored = [chunk for page in new for chunk in page.chunks]
        again = [page async for page in opened.embedded(stored)]
    assert stored == list(opened.chunks(SECTIONS, "files/Whales.txt"))
    np.testing.assert_array_equal(
        np.concatenate([page.vectors for page in again]), np.concatenate([page.vectors for page in new])
    )


async def test_what_is_embedded_begins_with_title_and_headings_and_what_is_stored_does_not() -> None:
    embedder = Counting()
    async with indexer(embedder) as opened:
        chunks = list(opened.chunks(SECTIONS, "files/Whales.txt"))
        _ = [page async for page in opened.embedded(chunks)]
    assert embedder.texts == [f"Whales\nWhales\n{chunk.text}" for chunk in chunks]


def source(path: Path, title: str = "files/whale.txt") -> Source:
    return Source(
        id=SourceId("files__default: 1"),
        provider=ProviderId("files__default"),
        title=title,
        mime_type="text/plain",
        modified=1,
        user_ids=frozenset(),
        content=FileContent(path),
    )


async def test_a_source_is_read_as_sections(tmp_path: Path) -> None:
    (path := tmp_path / "whale.txt").write_text("The whale dives.")
    async with indexer(WordEmbedder()) as opened:
        assert [section.text.strip() for section in await opened.sections(source(path))] == ["The whale dives."]


async def test_a_file_that_is_renamed_is_embedded_again_and_one_that_is_moved_is_not(tmp_path: Path) -> None:
    (path := tmp_path / "whale.txt").write_text("The whale dives.")
    opened = indexer(WordEmbedder())
    before = await opened.fingerprint(source(path))
    assert await opened.fingerprint(source(path, "files/sea/whale.txt")) == before
    assert await opened.fingerprint(source(path, "files/shark.txt")) != before


async def test_neither_chunks_nor_vectors_are_made_before_they_are_asked_for() -> None:
    embedder, made = Counting(), list[int]()

    def endless() -> Iterator[Chunk]:
        while True:
            assert threading.current_thread() is not threading.main_thread(), "the event loop has to wait"
            made.append(len(made))
            yield Chunk(made[-1], "", f"whale {made[-1]}")

    async with indexer(embedder) as opened:
        pages = opened.embedded(endless())
        for number in (1, 2, 3):
            page = await anext(pages)
            assert page.vectors.shape == (len(page.chunks), embedder.dimension)
            assert len(made) == len(embedder.texts) == number * PAGE_CHUNKS


async def test_of_an_endless_question_only_the_beginning_is_embedded_and_kept() -> None:
    class Asked(WordEmbedder):
        texts: ClassVar[list[str]] = []

        async def embed_query(self, text: str) -> NDArray[np.float32]:
            self.texts.append(text)
            return np.ones(self.dimension, np.float32)

    async with indexer(Asked()) as opened:
        for end in ("whale", "sea"):
            await opened.model.embed_query("x" * 5_000_000 + end)
        await opened.model.embed_query("x" * QUESTION_CHARS)
    assert Asked.texts == ["x" * QUESTION_CHARS]


def test_no_question_is_cut_before_the_model_in_process_would_cut_it() -> None:
    assert minilm().max_tokens * WORD_CHARS <= QUESTION_CHARS


async def test_nothing_has_no_pages() -> None:
    async with indexer(WordEmbedder()) as opened:
        assert list(opened.chunks([Section(" \n ")], "")) == []
        assert [page async for page in opened.embedded([])] == []
