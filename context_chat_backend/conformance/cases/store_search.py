"""What the searches of a `VectorStore` promise."""

import math
from dataclasses import replace

from ...toolkit.catalogue import Candidates, chunk_id
from ...toolkit.catalogue.catalogue import NEW_DOCUMENTS
from ...toolkit.indexing.words.languages import UNKNOWN
from ..kit import WHALE, Kit
from .base import case, expect
from .shelf import QUESTION, Search, Shelf, as_put, match_of, new_document, new_group, open_shelf, within

TOLERANCE = 0.01
"""Of a cosine: stores may round vectors."""

BETTER, GROUPS = 150, 300
"""How many chunks fit better, how many groups one user is in."""


@case("store")
async def a_search_by_meaning_stays_in_reach(kit: Kit) -> None:
    """`nearest` returns chunks whose group or document was asked for, and no others.

    If this fails: the filter of `nearest` has to be "the group is one of these, or the document is one of these". An
    empty list matches nothing; it must not disable the filter.
    """
    async with open_shelf(kit) as shelf:
        await _expect_reach(shelf, Search.BY_MEANING)


@case("store")
async def a_search_by_words_stays_in_reach(kit: Kit) -> None:
    """`matching` returns chunks whose group or document was asked for, and no others.

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
    """`nearest` finds the one candidate even when many nearer ones are not.

    If this fails: the store fetches the nearest chunks overall and filters them afterwards. Filter inside the search.
    """
    async with open_shelf(kit) as shelf:
        await _expect_no_crowding(shelf, Search.BY_MEANING)


@case("store")
async def better_words_out_of_reach_do_not_crowd_out(kit: Kit) -> None:
    """`matching` finds the one candidate even when many better ones are not.

    If this fails: the store fetches the best chunks overall and filters them afterwards. Filter inside the search.
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

    If this fails: a distance is sorted as if it were a similarity or vice versa, the limit is not passed on, or vectors
    are not compared by cosine.
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
async def similarities_are_cosines(kit: Kit) -> None:
    """`Match.similarity` is the cosine of the chunk's and the question's embedding; a search by words may leave it out.

    If this fails: convert what the store answers, e.g. a distance (1 - cosine) or a similarity from 0 to 1, and never
    hand on the score of a search by words.
    """
    async with open_shelf(kit) as shelf:
        group, angles = new_group(), (0, 60, 90, 120)
        chunks = [shelf.chunks(group, (WHALE,), degrees=degrees)[0] for degrees in angles]
        cosines = {chunk.id: math.cos(math.radians(degrees)) for degrees, chunk in zip(angles, chunks, strict=True)}
        await shelf.put(*chunks)
        await shelf.expect(Search.BY_MEANING, within(group), chunks)
        nearest = await shelf.store.nearest(shelf.vector(0), within(group), len(chunks))
        expect(all(match.similarity is not None for match in nearest), "a search by meaning leaves similarities out")
        matching = await shelf.store.matching(shelf.words(QUESTION), within(group), len(chunks))
        for match in (*nearest, *matching):
            cosine = cosines.get(chunk_id(match.document, match.ordinal), 0.0)
            told = cosine if match.similarity is None else match.similarity
            expect(abs(told - cosine) < TOLERANCE, f"the similarity of a chunk is {told:.2f}, its cosine {cosine:.2f}")


@case("store")
async def a_language_comes_back_or_is_left_out(kit: Kit) -> None:
    """`Match.language` is that of the chunk's `words`, or empty.

    If this fails: store the language with the chunk, or leave `Match.language` as it is.
    """
    async with open_shelf(kit) as shelf:
        group, languages = new_group(), ("de", "fr", UNKNOWN)
        chunks = shelf.chunks(group, [WHALE] * len(languages))
        put = [
            replace(chunk, words=replace(chunk.words, language=language))
            for chunk, language in zip(chunks, languages, strict=True)
        ]
        await shelf.put(*put)
        await shelf.expect(Search.BY_MEANING, within(group), put)
        for match in await shelf.store.nearest(shelf.vector(0), within(group), len(put)):
            wanted = put[match.ordinal].words.language
            expect(match.language in {wanted, UNKNOWN}, f"a chunk in {wanted!r} comes back as in {match.language!r}")


@case("store")
async def the_best_fitting_words_come_first(kit: Kit) -> None:
    """`matching` returns at most `limit` chunks, the best match first.

    If this fails: the hits are not sorted by their rank for this question, or the limit is not passed on.
    """
    async with open_shelf(kit) as shelf:
        shelf.require(Search.BY_WORDS)
        group = new_group()
        places = "garden", "harbour", "street", "tower"
        chunks = [shelf.chunks(group, (f"The whale sleeps in the {place}.",))[0] for place in places]
        await shelf.put(*chunks)
        await shelf.expect(Search.BY_WORDS, within(group), chunks)
        for limit in (1, 3):
            found = await shelf.store.matching(shelf.words("whale harbour"), within(group), limit)
            expect(len(found) <= limit, f"a search by words with limit {limit} returns {len(found)} chunks")
            best = as_put(found[0]) if found else None
            expect(best == match_of(chunks[1]), "the only chunk with both words of a question does not come first")
        found = await shelf.search(Search.BY_WORDS, within(group), 2)
        expect(len(found) == 2, f"a search by words with limit 2 returns {len(found)} chunks")  # noqa: PLR2004


@case("store")
async def many_groups_and_documents_fit_in_a_reach(kit: Kit) -> None:
    """Candidates may be named by hundreds of groups and a thousand documents.

    If this fails: the store considers only some of them, or refuses the request. Split it into requests that the store
    accepts, and merge their matches by score.
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
