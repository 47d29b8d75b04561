"""What a `VectorStore` promises of the chunks that are put, moved and removed."""

from ...toolkit.catalogue import Extent
from ..kit import WHALE, CaseSkipped, Kit
from .base import case, expect
from .shelf import Search, Shelf, new_document, new_group, open_shelf, within

PAGE = 30
"""How many documents change at once."""
COUNTED, TRIES = 100, 3
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


@case("store")
async def text_heading_and_ordinal_come_back_unchanged(kit: Kit) -> None:
    """A match has its chunk's document, ordinal, heading and text unchanged, in any script and with any whitespace.

    If this fails: the text or the heading is trimmed, normalised, parsed, cut or left out on its way, or the ordinal is
    renumbered. Keep them as fields of the record, texts in UTF-8.
    """
    async with open_shelf(kit) as shelf:
        group = new_group()
        chunks = shelf.chunks(group, TEXTS)
        await shelf.put(*chunks)
        await shelf.expect(Search.BY_MEANING, within(group), chunks)
        await shelf.expect(Search.BY_MEANING, within(documents=chunks), chunks)


@case("store")
async def chunks_put_again_replace_those_with_the_same_ids(kit: Kit) -> None:
    """A chunk that is put again replaces the text, group and embedding of the one with its id, and no other.

    If this fails: derive the id of a record from document and ordinal, so that a repeated upload overwrites what the
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
    """Once `regroup` returns True, every chunk of its documents is in the new group, and no other chunk is.

    If this fails: only some of the documents or chunks are changed, e.g. those on the first page of a listing, or too
    many are. Return False as long as the store cannot be sure that it has changed them all; it is then called again.
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
    """`regroup` may be repeated, and never changes texts or embeddings.

    If this fails: what is already right counts as done. Change nothing but the group field.
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
    """`remove` removes every chunk of its documents, and no others.

    If this fails: deleted text stays in the store forever, because nobody asks for it again, or text that is needed is
    lost. Remove every chunk of every document named, even if they fill more than one page of a listing.
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
    """`remove` succeeds for documents that are unknown, already removed, or have fewer chunks than stated.

    If this fails: what is not there counts as removed, and the other documents of the same call still have to go. The
    number of chunks is the most there may be: an upload that failed left fewer.
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
    """`chunk_count`, if the store can tell it, follows what is put and removed.

    If this fails: count what is in the namespace now; it may be slightly off. The gateway refuses to start when the
    catalogue lists chunks and the count is 0. Return None if the store cannot tell.
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
