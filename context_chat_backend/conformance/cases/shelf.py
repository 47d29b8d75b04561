"""What the cases about a `VectorStore` work with; they are skipped for drivers that are not built on one.

The store is looked at without the catalogue, which checks each match again and asks for more than it needs: with a
store that breaks these promises nobody sees too much, but users miss hits, and deleted text stays forever.
"""

import math
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from ...toolkit.catalogue import (
    Candidates,
    CatalogueDriver,
    ChunkRecord,
    DocumentKey,
    Extent,
    GroupKey,
    Match,
    VectorStore,
    WordQuery,
)
from ...toolkit.concurrency import for_each
from ...toolkit.indexing.words.languages import UNKNOWN
from ...toolkit.indexing.words.terms import chunk_words, question_of
from ..kit import CaseSkipped, Kit, patiently
from .base import expect

HEADINGS = ("", "Guide > Whales", '手册 > Größe: 5 € "quoted"')
MOST = 200
"""Matches asked for: more than any case has candidates."""
UPLOADS_AT_ONCE = 4
STORE_PATIENCE = 10.0
"""Seconds that a store may ask to be called again."""
QUESTION = "whale"


class Search(StrEnum):
    """The two kinds, as messages name them."""

    BY_MEANING = "by meaning"
    BY_WORDS = "by words"


@dataclass(frozen=True, slots=True)
class Shelf:
    """The chunks of a case in the store."""

    kit: Kit
    store: VectorStore
    axes: NDArray[np.float64]
    """Two unit vectors at a right angle, as columns. The first is the question's."""
    sizes: dict[DocumentKey, int]
    """Of all documents put so far, in chunks."""

    # ------------------------------------------------------------------ writing

    def chunks(
        self, group: GroupKey, texts: Iterable[str], *, document: DocumentKey | None = None, degrees: float = 10.0
    ) -> list[ChunkRecord]:
        """Of one document, by default a new one. The first is `degrees` away from the question, the others farther."""
        document = document or new_document()
        return [
            ChunkRecord(
                document=document,
                ordinal=ordinal,
                group=group,
                heading=HEADINGS[ordinal % len(HEADINGS)],
                text=text,
                embedding=self.vector(degrees + 0.2 * ordinal),
                words=chunk_words("", HEADINGS[ordinal % len(HEADINGS)], text),
            )
            for ordinal, text in enumerate(texts)
        ]

    def vector(self, degrees: float) -> NDArray[np.float32]:
        """A unit vector at this angle to the question's."""
        angle = math.radians(degrees)
        return np.asarray(self.axes @ (math.cos(angle), math.sin(angle)), np.float32)

    async def put(self, *chunks: ChunkRecord) -> None:
        """As the driver does: one document at a time, no more chunks at once than the store takes."""
        await for_each(self._put, list(self._uploads(chunks)), at_once=UPLOADS_AT_ONCE)

    def _uploads(self, chunks: Sequence[ChunkRecord]) -> Iterator[Sequence[ChunkRecord]]:
        for document, group in groupby(chunks, key=lambda chunk: chunk.document):
            pieces = list(group)
            self.sizes[document] = max(self.sizes.get(document, 0), *(chunk.ordinal + 1 for chunk in pieces))
            for begin in range(0, len(pieces), self.store.chunks_per_put):
                yield pieces[begin : begin + self.store.chunks_per_put]

    async def _put(self, chunks: Sequence[ChunkRecord]) -> None:
        await patiently(lambda: self.store.put(chunks), patience=STORE_PATIENCE)

    async def regroup(self, chunks: Iterable[ChunkRecord], group: GroupKey) -> None:
        """As the outbox does: again as long as the store has not seen all of these documents' chunks."""
        for call in self._calls(self.extents(chunks)):
            await self._regroup(call, group)

    async def _regroup(self, extents: Sequence[Extent], group: GroupKey) -> None:
        async def ask() -> bool:
            return await patiently(lambda: self.store.regroup(extents, group), patience=STORE_PATIENCE)

        expect(await self.kit.settled(ask, expected=True), "regroup answers False for chunks that searches find")

    async def remove(self, extents: Sequence[Extent]) -> None:
        """As the outbox does."""
        for call in self._calls(extents):
            await self._remove(call)

    async def _remove(self, extents: Sequence[Extent]) -> None:
        await patiently(lambda: self.store.remove(extents), patience=STORE_PATIENCE)

    def extents(self, chunks: Iterable[ChunkRecord]) -> list[Extent]:
        """The documents of these chunks."""
        documents = dict.fromkeys(chunk.document for chunk in chunks)
        return [Extent(document=document, chunks=self.sizes[document]) for document in documents]

    def _calls(self, extents: Sequence[Extent]) -> Iterator[Sequence[Extent]]:
        call: list[Extent] = []
        for extent in extents:
            chunks = extent.chunks + sum(each.chunks for each in call)
            if call and (len(call) == self.store.documents_per_call or chunks > self.store.chunks_per_call):
                yield call
                call = []
            call.append(extent)
        if call:
            yield call

    async def clear(self) -> None:
        """Remove all that was put."""
        await self.remove([Extent(document=document, chunks=size) for document, size in self.sizes.items()])

    # ------------------------------------------------------------------ searching

    async def search(self, kind: Search, candidates: Candidates, limit: int) -> Sequence[Match]:
        """What fits the question best, as it was put."""
        match kind:
            case Search.BY_MEANING:
                found = await self.store.nearest(self.vector(0), candidates, limit)
            case Search.BY_WORDS:
                found = await self.store.matching(self.words(QUESTION), candidates, limit)
        return list(map(as_put, found))

    def words(self, text: str) -> WordQuery:
        """A question whose terms are all worth the same."""
        question = question_of(text, {})
        return WordQuery(text=text, weights=question.terms, identifiers=question.distinctive, embedding=self.vector(0))

    @property
    def kinds(self) -> Sequence[Search]:
        """Of searches that the store has."""
        return (Search.BY_MEANING, Search.BY_WORDS) if self.store.searches_words else (Search.BY_MEANING,)

    def require(self, kind: Search) -> None:
        """Raise `CaseSkipped` unless the store has searches of this kind."""
        if kind not in self.kinds:
            raise CaseSkipped(f"the store does not search {kind}")

    async def expect(
        self,
        kind: Search,
        candidates: Candidates,
        expected: Iterable[ChunkRecord],
        *,
        passing: Iterable[ChunkRecord] = (),
    ) -> None:
        """Within the settle time a search finds these chunks, and at no time others than these and the passing ones."""
        wanted = matches(expected)
        possible = wanted | matches(passing)
        limit = min(MOST, self.store.matches_per_search)
        where = f"a search {kind} among {len(candidates.groups)} groups and {len(candidates.documents)} documents"

        async def look() -> str:
            found = await self.search(kind, candidates, limit)
            problem = problem_of(found, wanted, limit)
            expect(possible.issuperset(found), f"{where} {problem}")  # waiting does not excuse it
            return problem

        problem = await self.kit.settled(look, "")
        expect(not problem, f"{where} {problem}")

    async def expect_first(self, kind: Search, candidates: Candidates, expected: Sequence[ChunkRecord]) -> None:
        """Within the settle time a search for that many finds exactly these chunks in this order."""
        limit = min(len(expected), self.store.matches_per_search)
        wanted = [match_of(chunk) for chunk in expected][:limit]

        async def look() -> list[Match]:
            return list(await self.search(kind, candidates, limit))

        found = await self.kit.settled(look, wanted)
        shown, asked = names_of(found), names_of(wanted)
        expect(found == wanted, f"a search {kind} with limit {limit} should find {asked} and finds {shown}")


def new_document() -> DocumentKey:
    """That no catalogue has."""
    return DocumentKey(secrets.token_hex(16))


def new_group() -> GroupKey:
    """One far above those that a catalogue ever counts to."""
    return GroupKey(str(2**62 + secrets.randbits(62)))


def within(*groups: GroupKey, documents: Iterable[ChunkRecord] = ()) -> Candidates:
    """The chunks of these groups, and of the documents of these chunks."""
    return Candidates(groups=groups, documents=list(dict.fromkeys(chunk.document for chunk in documents)))


def match_of(chunk: ChunkRecord) -> Match:
    """How a search returns the chunk."""
    return Match(document=chunk.document, ordinal=chunk.ordinal, heading=chunk.heading, text=chunk.text)


def as_put(match: Match) -> Match:
    """Without what a store may leave out."""
    return replace(match, language=UNKNOWN, similarity=None)


def matches(chunks: Iterable[ChunkRecord]) -> frozenset[Match]:
    """How a search returns them."""
    return frozenset(map(match_of, chunks))


def problem_of(found: Sequence[Match], wanted: frozenset[Match], limit: int) -> str:
    """What is wrong with what a search found, if these chunks are the candidates; empty if nothing is. Quotes no text,
    which may belong to others."""
    places = {(match.document, match.ordinal) for match in wanted}
    strays = [match for match in found if match not in wanted]
    changed = sorted(match.ordinal for match in strays if (match.document, match.ordinal) in places)
    least = min(len(wanted), limit)
    if changed:
        return f"returns chunks with another text than they were put with, e.g. the one with ordinal {changed[0]}"
    if strays:
        return f"returns {len(strays)} chunks that must not be there any more or are no candidates"
    if len(found) > len(set(found)):
        return "returns a chunk twice"
    return f"returns {len(found)} of {least} chunks" if len(found) != least else ""


def names_of(found: Sequence[Match]) -> list[str]:
    """Short ones, in order."""
    return [f"{match.document[:4]}…#{match.ordinal}" for match in found]


@asynccontextmanager
async def open_shelf(kit: Kit) -> AsyncIterator[Shelf]:
    """A shelf in the store of the driver; cleared at the end. Raises `CaseSkipped` where there is no such store."""
    if not isinstance(kit.driver, CatalogueDriver):
        raise CaseSkipped("the driver is not built on a vector store")
    axes = np.linalg.qr(np.random.default_rng().standard_normal((kit.driver.dimension, 2))).Q
    shelf = Shelf(kit, kit.driver.store, axes, {})
    try:
        yield shelf
    finally:
        await shelf.clear()
