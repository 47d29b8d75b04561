"""What the `VectorStore` of a `CatalogueDriver` promises; skipped for all other drivers.

The store is looked at without the catalogue, which checks each match again and asks for more than is needed: with a
store that breaks these promises nobody sees too much, but users miss hits, and deleted text stays for ever.
"""

import math
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from ...toolkit.catalogue import Candidates, CatalogueDriver, Chunk, DocumentKey, Extent, GroupKey, Match, VectorStore
from ...toolkit.catalogue.catalogue import NEW_DOCUMENTS
from ...toolkit.concurrency import for_each
from ..kit import WHALE, CaseSkipped, Kit, patiently
from .base import case, expect

MOST = 200
"""Matches asked for: more than any case has candidates."""
BETTER, PAGE, GROUPS = 150, 30, 300
"""How many chunks fit better, how many documents change at once, how many groups one user is in."""
COUNTED, TRIES = 100, 3
UPLOADS_AT_ONCE = 4
STORE_PATIENCE = 10.0
"""Seconds that a store may ask to be called again."""
QUESTION = "whale"
TEXTS = (
    WHALE,
    "The whale sings.\nIt dives.\n\n\n\tIt sleeps.\r\nThe end.\n",
    "   blanks   in front,  between and   behind   ",
    "no\u00a0break, ideographic\u3000blank, thin\u2009blank, soft\u00adhyphen",
    "Größe, façade, señor, 5 € “quoted” 'single' \"double\" back\\slash",
    "Å and A\u030a are two texts",
    "鯨は深い海を泳ぐ。" * 40,
    "Кит плывёт. Σε βαθιά νερά ζει η φάλαινα.",
    "الحوت يسبح في البحر. הלווייתן שוחה בים.",
    "व्हेल समुद्र में तैरती है। ปลาวาฬว่ายน้ำในทะเล",
    "🐋 👩\u200d👩\u200d👧 🇫🇮",
    "null",
    "1e3",
    '{"json": [1, null]} <b>&amp;</b> %s {0} ${x} \'; drop table x; --',
    "The whale sings its song. " * 80,
)


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
    ) -> list[Chunk]:
        """Of one document, by default a new one. The first is `degrees` away from the question, the others farther."""
        document = document or new_document()
        return [
            Chunk(
                document=document,
                ordinal=ordinal,
                group=group,
                text=text,
                embedding=self.vector(degrees + 0.2 * ordinal),
            )
            for ordinal, text in enumerate(texts)
        ]

    def vector(self, degrees: float) -> NDArray[np.float32]:
        """A unit vector at this angle to the question's."""
        angle = math.radians(degrees)
        return np.asarray(self.axes @ (math.cos(angle), math.sin(angle)), np.float32)

    async def put(self, *chunks: Chunk) -> None:
        """As the driver does: one document at a time, no more chunks at once than the store takes."""
        await for_each(self._put, list(self._uploads(chunks)), at_once=UPLOADS_AT_ONCE)

    def _uploads(self, chunks: Sequence[Chunk]) -> Iterator[Sequence[Chunk]]:
        for document, group in groupby(chunks, key=lambda chunk: chunk.document):
            pieces = list(group)
            self.sizes[document] = max(self.sizes.get(document, 0), *(chunk.ordinal + 1 for chunk in pieces))
            for begin in range(0, len(pieces), self.store.chunks_per_put):
                yield pieces[begin : begin + self.store.chunks_per_put]

    async def _put(self, chunks: Sequence[Chunk]) -> None:
        await patiently(lambda: self.store.put(chunks), patience=STORE_PATIENCE)

    async def regroup(self, chunks: Iterable[Chunk], group: GroupKey) -> None:
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

    def extents(self, chunks: Iterable[Chunk]) -> list[Extent]:
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
        """What fits the question best."""
        match kind:
            case Search.BY_MEANING:
                return await self.store.nearest(self.vector(0), candidates, limit)
            case Search.BY_WORDS:
                return await self.store.matching(QUESTION, candidates, limit)

    @property
    def kinds(self) -> Sequence[Search]:
        """Of searches that the store has."""
        without_words = type(self.store).matching is VectorStore.matching
        return (Search.BY_MEANING,) if without_words else (Search.BY_MEANING, Search.BY_WORDS)

    def require(self, kind: Search) -> None:
        """Raise `CaseSkipped` unless the store has searches of this kind."""
        if kind not in self.kinds:
            raise CaseSkipped(f"the store does not search {kind}")

    async def expect(
        self, kind: Search, candidates: Candidates, expected: Iterable[Chunk], *, passing: Iterable[Chunk] = ()
    ) -> None:
        """Within the settle time a search finds these chunks, and at no time others than these and the passing ones."""
        wanted = matches(expected)
        possible = wanted | matches(passing)
        limit = min(MOST, self.store.matches_per_search)
        where = f"a search {kind} among {len(candidates.groups)} groups and {len(candidates.documents)} documents"

        async def look() -> str:
            found = await self.search(kind, candidates, limit)
            problem = problem_of(found, wanted, limit)
            expect(possible.issuperset(found), f"{where} {problem}")  # waiting does not mend it
            return problem

        problem = await self.kit.settled(look, "")
        expect(not problem, f"{where} {problem}")

    async def expect_first(self, kind: Search, candidates: Candidates, expected: Sequence[Chunk]) -> None:
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


def within(*groups: GroupKey, documents: Iterable[Chunk] = ()) -> Candidates:
    """The chunks of these groups, and of the documents of these chunks."""
    return Candidates(groups=groups, documents=list(dict.fromkeys(chunk.document for chunk in documents)))


def match_of(chunk: Chunk) -> Match:
    """How a search returns the chunk."""
    return Match(document=chunk.document, ordinal=chunk.ordinal, text=chunk.text)


def matches(chunks: Iterable[Chunk]) -> frozenset[Match]:
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


# ---------------------------------------------------------------------- searching


@case("store")
async def a_search_by_meaning_stays_in_reach(kit: Kit) -> None:
    """`nearest` returns the chunks of the groups and of the documents asked for, of either, and no others.

    If this fails: the filter of `nearest` has to be "the group is one of these, or the document is one of these". An
    empty list matches nothing, and must not switch the filter off.
    """
    async with open_shelf(kit) as shelf:
        await _expect_reach(shelf, Search.BY_MEANING)


@case("store")
async def a_search_by_words_stays_in_reach(kit: Kit) -> None:
    """`matching` returns the chunks of the groups and of the documents asked for, of either, and no others.

    If this fails: `matching` needs the filter of `nearest`. A store that has no search by words leaves `matching` as it
    is.
    """
    async with open_shelf(kit) as shelf:
        shelf.require(Search.BY_WORDS)
        await _expect_reach(shelf, Search.BY_WORDS)


async def _expect_reach(shelf: Shelf, kind: Search) -> None:
    groups = one, two, three = new_group(), new_group(), new_group()
    first, second, third = (shelf.chunks(group, (WHALE, "A whale sings.")) for group in groups)
    absent = shelf.chunks(new_group(), (WHALE,))
    await shelf.put(*first, *second, *third)
    await shelf.expect(kind, within(one), first)
    await shelf.expect(kind, within(one, two), first + second)
    await shelf.expect(kind, within(documents=third), third)
    await shelf.expect(kind, within(documents=first + third), first + third)
    await shelf.expect(kind, within(one, documents=second), first + second)
    await shelf.expect(kind, within(one, documents=first), first)
    await shelf.expect(kind, within(new_group(), documents=third), third)
    await shelf.expect(kind, within(three, documents=absent), third)
    await shelf.expect(kind, within(new_group()), ())
    await shelf.expect(kind, within(documents=absent), ())


@case("store")
async def nearer_chunks_out_of_reach_do_not_crowd_out(kit: Kit) -> None:
    """`nearest` finds the one candidate also when many nearer ones are not.

    If this fails: the store takes the nearest chunks of all and filters them afterwards. The filter has to act inside
    of the search.
    """
    async with open_shelf(kit) as shelf:
        await _expect_no_crowding(shelf, Search.BY_MEANING)


@case("store")
async def better_words_out_of_reach_do_not_crowd_out(kit: Kit) -> None:
    """`matching` finds the one candidate also when many that fit better are not.

    If this fails: the store takes the best chunks of all and filters them afterwards. The filter has to act inside of
    the search.
    """
    async with open_shelf(kit) as shelf:
        shelf.require(Search.BY_WORDS)
        await _expect_no_crowding(shelf, Search.BY_WORDS)


async def _expect_no_crowding(shelf: Shelf, kind: Search) -> None:
    mine, others = new_group(), new_group()
    better = [
        chunk
        for degrees in (1, 12, 23)
        for chunk in shelf.chunks(others, ["Whale, whale, whale!"] * (BETTER // 3), degrees=degrees)
    ]
    chunk = shelf.chunks(mine, (f"{WHALE} Nothing else is in this text about ships and harbours.",), degrees=60)
    await shelf.put(*better, *chunk)
    await shelf.expect(kind, within(others), better)
    await shelf.expect_first(kind, within(mine), chunk)
    await shelf.expect_first(kind, within(documents=chunk), chunk)
    await shelf.expect_first(kind, within(mine, documents=chunk), chunk)


@case("store")
async def the_nearest_come_first(kit: Kit) -> None:
    """`nearest` returns at most `limit` chunks, the most similar first.

    If this fails: a distance is sorted like a similarity or the other way round, the limit is not passed on, or vectors
    are compared by another measure than the cosine.
    """
    async with open_shelf(kit) as shelf:
        group, angles = new_group(), (60, 0, 80, 20, 40)
        chunks = [shelf.chunks(group, (WHALE,), degrees=degrees)[0] for degrees in angles]
        await shelf.put(*chunks)
        await shelf.expect(Search.BY_MEANING, within(group), chunks)
        ranked = [chunk for _, chunk in sorted(zip(angles, chunks, strict=True), key=lambda pair: pair[0])]
        for limit in (1, 3, len(ranked)):
            await shelf.expect_first(Search.BY_MEANING, within(group), ranked[:limit])


@case("store")
async def the_best_fitting_words_come_first(kit: Kit) -> None:
    """`matching` returns at most `limit` chunks, the ones that fit the words best first.

    If this fails: the hits are sorted by something else than their rank for this question, or the limit is not passed
    on.
    """
    async with open_shelf(kit) as shelf:
        shelf.require(Search.BY_WORDS)
        group = new_group()
        places = "garden", "harbour", "street", "tower"
        chunks = [shelf.chunks(group, (f"The whale sleeps in the {place}.",))[0] for place in places]
        await shelf.put(*chunks)
        await shelf.expect(Search.BY_WORDS, within(group), chunks)
        for limit in (1, 3):
            found = await shelf.store.matching("whale harbour", within(group), limit)
            expect(len(found) <= limit, f"a search by words with limit {limit} returns {len(found)} chunks")
            best = found[0] if found else None
            expect(best == match_of(chunks[1]), "the only chunk with both words of a question does not come first")
        found = await shelf.search(Search.BY_WORDS, within(group), 2)
        expect(len(found) == 2, f"a search by words with limit 2 returns {len(found)} chunks")  # noqa: PLR2004


@case("store")
async def many_groups_and_documents_fit_in_a_reach(kit: Kit) -> None:
    """Candidates may be named by hundreds of groups and a thousand documents.

    If this fails: the store looks at some of them only, or refuses the request. Ask in parts that it takes and join
    their matches by score.
    """
    async with open_shelf(kit) as shelf:
        groups = [new_group() for _ in range(GROUPS)]
        by_group = [shelf.chunks(groups[place], (WHALE,))[0] for place in (0, GROUPS // 2, GROUPS - 1)]
        by_document = [shelf.chunks(new_group(), (WHALE,))[0] for _ in range(2)]
        await shelf.put(*by_group, *by_document)
        unknown = [new_document() for _ in range(NEW_DOCUMENTS - len(by_document))]
        documents = [by_document[0].document, *unknown, by_document[1].document]
        for kind in shelf.kinds:
            await shelf.expect(kind, Candidates(groups=groups, documents=()), by_group)
            await shelf.expect(kind, Candidates(groups=(), documents=documents), by_document)
            await shelf.expect(kind, Candidates(groups=groups, documents=documents), by_group + by_document)


# ---------------------------------------------------------------------- writing


@case("store")
async def text_and_ordinal_come_back_unchanged(kit: Kit) -> None:
    """A match has the document, the ordinal and the text of its chunk, whatever script, blanks and line breaks it has.

    If this fails: the text is trimmed, normalised, parsed or cut on its way, or the ordinal is made up anew. Keep both
    as fields of the record, the text in UTF-8.
    """
    async with open_shelf(kit) as shelf:
        group = new_group()
        chunks = shelf.chunks(group, TEXTS)
        await shelf.put(*chunks)
        await shelf.expect(Search.BY_MEANING, within(group), chunks)
        await shelf.expect(Search.BY_MEANING, within(documents=chunks), chunks)


@case("store")
async def chunks_put_again_replace_those_with_the_same_ids(kit: Kit) -> None:
    """A chunk that is put again replaces the one with its id, in text, group and embedding, and no other.

    If this fails: make the id of the record of document and ordinal, so that a repeated upload writes over what the
    first one left, and write whole records.
    """
    async with open_shelf(kit) as shelf:
        before, after = new_group(), new_group()
        old = shelf.chunks(before, ("A whale.", "The whale.", "No whale."))
        await shelf.put(*old)
        await shelf.put(*old)
        await shelf.expect(Search.BY_MEANING, within(before), old)
        _, new, _ = shelf.chunks(after, ("", "A whale of paper.", ""), document=old[0].document, degrees=0)
        left = [old[0], old[2]]
        await shelf.put(new)
        for kind in shelf.kinds:
            await shelf.expect(kind, within(before), left, passing=old)
            await shelf.expect(kind, within(after), [new])
            await shelf.expect(kind, within(documents=old), [*left, new], passing=old)
        await shelf.expect_first(Search.BY_MEANING, within(documents=old), [new, *left])


@case("store")
async def regroup_moves_all_chunks_of_its_documents_and_no_others(kit: Kit) -> None:
    """After `regroup` returned True all chunks of all the documents are in the new group, and no others.

    If this fails: some of the documents or of their chunks are changed only, e.g. those on the first page of a list, or
    others as well. Return False as long as the store cannot tell that it has changed them all; it is then called again.
    """
    async with open_shelf(kit) as shelf:
        before, after = new_group(), new_group()
        moved = [chunk for _ in range(PAGE) for chunk in shelf.chunks(before, [WHALE] * 3)]
        left = [chunk for _ in range(3) for chunk in shelf.chunks(before, [WHALE] * 3)]
        await shelf.put(*moved, *left)
        await shelf.expect(Search.BY_MEANING, within(before), moved + left)
        await shelf.regroup(moved, after)
        for kind in shelf.kinds:
            await shelf.expect(kind, within(after), moved)
            await shelf.expect(kind, within(before), left, passing=moved)
            await shelf.expect(kind, within(documents=moved[:6] + left), moved[:6] + left)


@case("store")
async def regroup_may_be_repeated(kit: Kit) -> None:
    """`regroup` to the group that the chunks have already returns True, and any `regroup` leaves texts and embeddings.

    If this fails: what is as it should be counts as done. Change the field of the group only.
    """
    async with open_shelf(kit) as shelf:
        groups = new_group(), new_group()
        chunks = shelf.chunks(groups[0], ("A whale.", "The whale.", "No whale."))
        await shelf.put(*chunks)
        await shelf.expect(Search.BY_MEANING, within(groups[0]), chunks)
        for group in (groups[1], groups[1], groups[0]):
            await shelf.regroup(chunks, group)
            for kind in shelf.kinds:
                await shelf.expect(kind, within(group), chunks)
            await shelf.expect_first(Search.BY_MEANING, within(group), chunks)
        await shelf.expect(Search.BY_MEANING, within(groups[1]), (), passing=chunks)


@case("store")
async def remove_takes_all_chunks_of_its_documents_and_no_others(kit: Kit) -> None:
    """After `remove` no chunk of the documents is left, and all others are.

    If this fails: deleted text stays in the store for ever, since nobody asks for it again, or text that is needed
    goes. Remove every chunk of every document that is named, also when they are more than one page of a list.
    """
    async with open_shelf(kit) as shelf:
        group = new_group()
        gone = [chunk for _ in range(PAGE) for chunk in shelf.chunks(group, [WHALE] * 3)]
        left = [chunk for _ in range(3) for chunk in shelf.chunks(group, [WHALE] * 3)]
        await shelf.put(*gone, *left)
        await shelf.expect(Search.BY_MEANING, within(group), gone + left)
        await shelf.remove(shelf.extents(gone))
        for kind in shelf.kinds:
            await shelf.expect(kind, within(group), left, passing=gone)
            await shelf.expect(kind, within(documents=gone[:6] + left), left, passing=gone)


@case("store")
async def what_is_not_there_may_be_removed(kit: Kit) -> None:
    """`remove` of unknown documents, of removed ones, and of more chunks than there are is fine.

    If this fails: what is not there counts as removed; the other documents of the same call have to go all the same.
    The number of chunks says how many there may be: an upload that failed left fewer.
    """
    async with open_shelf(kit) as shelf:
        group = new_group()
        first, second, left = (shelf.chunks(group, [WHALE] * 2) for _ in range(3))
        await shelf.put(*first, *second, *left)
        await shelf.expect(Search.BY_MEANING, within(group), first + second + left)
        unknown = Extent(document=new_document(), chunks=3)
        await shelf.remove([unknown])
        await shelf.remove([unknown, *shelf.extents(first)])
        longer = Extent(document=second[0].document, chunks=len(second) + 3)
        await shelf.remove([*shelf.extents(first), unknown, longer])
        await shelf.expect(Search.BY_MEANING, within(group), left, passing=first + second)


@case("store")
async def what_the_store_holds_is_told(kit: Kit) -> None:
    """`holds` answers True for a chunk that was put, and False for one that never was or was removed.

    If this fails: the gateway stores a marker beside its chunks and looks for it this way. A store without the marker
    is taken for one that was emptied.
    """
    async with open_shelf(kit) as shelf:
        chunks = shelf.chunks(new_group(), [WHALE] * 3)

        async def held() -> list[bool]:
            return [await shelf.store.holds(chunk) for chunk in chunks]

        await shelf.put(*chunks[:2])
        expect(await kit.settled(held, [True, True, False]) == [True, True, False], "holds is wrong after a put")
        await shelf.remove(shelf.extents(chunks[:2]))
        expect(await kit.settled(held, [False] * 3) == [False] * 3, "holds is wrong after a removal")


@case("store")
async def the_chunk_count_follows(kit: Kit) -> None:
    """`chunk_count`, where the store tells it, grows with what is put and shrinks with what is removed.

    If this fails: count what is under the namespace now. The gateway refuses to start when the catalogue lists chunks
    and the count is 0. It may be off by some; return None if the store cannot tell.
    """
    async with open_shelf(kit) as shelf:
        if await shelf.store.chunk_count() is None:
            raise CaseSkipped("the store does not count")
        problem = ""
        for _ in range(TRIES):  # the outbox may be removing what other cases left
            problem = await _miscount(shelf)
            if not problem:
                return
        raise AssertionError(problem)


async def _miscount(shelf: Shelf) -> str:
    """What is wrong with the count after chunks are put and after they are removed; empty if it is about right."""
    before = await shelf.store.chunk_count() or 0
    chunks = shelf.chunks(new_group(), [WHALE] * COUNTED)
    await shelf.put(*chunks)
    if (seen := await _count(shelf, before + COUNTED)) is not None:
        return f"{COUNTED} chunks were put and chunk_count went from {before} to {seen}"
    await shelf.remove(shelf.extents(chunks))
    if (seen := await _count(shelf, before)) is not None:
        return f"{COUNTED} chunks were removed and chunk_count went from {before + COUNTED} to {seen}"
    return ""


async def _count(shelf: Shelf, expected: int) -> int | None:
    """The count, unless it is about as expected within the settle time."""

    async def look() -> int | None:
        seen = await shelf.store.chunk_count() or 0
        return None if abs(seen - expected) <= COUNTED // 2 else seen

    return await shelf.kit.settled(look, None)
