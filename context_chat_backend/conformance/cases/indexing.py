"""What `upsert` promises."""

import re
from dataclasses import replace
from functools import partial

import anyio

from ...contract import AccessOp, NotFound, Outcome, Rejected
from ...core.contents import NoContent
from ..kit import PAPER, POLL_INTERVAL, Kit
from .base import case, expect, expect_error, name_of_error

READERS_OF_ONE = 300
AT_ONCE = 12
MEANING_PATIENCE = 150.0
"""Seconds: somebody else may have claimed what waits, and be gone."""
LONG = "\n\n".join(f"Paragraph {number}: the whale dives {number} fathoms deep. " * 8 for number in range(60))

FATHOMS = re.compile(r"dives (\d+) fathoms")


@case("indexing")
async def a_new_source_is_created(kit: Kit) -> None:
    """A new source is `CREATED` (or `PENDING`, if `settle_seconds` is set) and counts as one.

    If this fails: check what `upsert` returns. `PENDING` is for backends that index after they have answered; they
    have to declare how long it takes until a write is searchable.
    """
    outcome = await kit.driver.upsert(kit.source(1, users=("alice", "bob")))
    expect(outcome in {Outcome.CREATED, Outcome.PENDING}, f"upsert of a new source answered {outcome}")
    at_once = kit.driver.capabilities.settle_seconds == 0
    expect(not (at_once and outcome is Outcome.PENDING), "PENDING, but settle_seconds is 0")
    await kit.expect("alice", kit.ids(1))
    await kit.expect_count(1)


@case("indexing")
async def hits_carry_id_title_and_text(kit: Kit) -> None:
    """A hit carries its source's id (byte for byte), title and text.

    If this fails: store the title and the id beside each chunk as they are; Nextcloud shows the title and finds the
    file by the id.
    """
    await kit.driver.upsert(kit.source("a:b-1", title="files/Übergröße/文件.md"))
    await kit.expect("alice", kit.ids("a:b-1"))
    (hit,) = await kit.hits("alice", limit=5)
    expect(hit.title == "files/Übergröße/文件.md", f"the title came back as {hit.title!r}")
    expect("whale" in hit.text, f"the text came back as {hit.text!r}")


@case("indexing")
async def hits_tell_their_place_in_the_document(kit: Kit) -> None:
    """Chunks of a source have distinct ordinals, in the order of its text and the same in each search.

    If this fails: number the chunks from 0 when you split a text, store the number and the heading beside each and give
    them back with each hit. A backend that keeps no headings gives an empty one.
    """
    await kit.driver.upsert(kit.source(1, text=LONG))
    await kit.expect("alice", kit.ids(1))
    hits = [*await kit.hits("alice"), *await kit.hits("alice", text="Paragraph 40: 40 fathoms deep", limit=3)]
    for hit in hits:
        expect(isinstance(hit.heading, str), f"the heading of a hit is {hit.heading!r}")
        expect(hit.ordinal >= 0, f"the ordinal of a hit is {hit.ordinal!r}")
    texts = {hit.ordinal: hit.text for hit in hits}
    expect(all(hit.text == texts[hit.ordinal] for hit in hits), "two chunks of one source have the same ordinal")
    expect(len(set(texts.values())) == len(texts), "one chunk has two ordinals")
    places = [[int(number) for number in FATHOMS.findall(text)] for _, text in sorted(texts.items())]
    depths = [(min(numbers), max(numbers)) for numbers in places if numbers]
    expect(depths == sorted(depths), "the ordinals do not follow the order of the text")


@case("indexing")
async def the_same_version_again_changes_nothing(kit: Kit) -> None:
    """Upserting the same version again returns `UNCHANGED` and stores it once.

    If this fails: look up the stored `modified` before indexing; Nextcloud sends the same version again and again.
    """
    await kit.driver.upsert(kit.source(1))
    await kit.expect("alice", kit.ids(1))
    outcome = await kit.driver.upsert(kit.source(1))
    expect(outcome is Outcome.UNCHANGED, f"the second upsert of one version answered {outcome}")
    await kit.expect_count(1)


@case("indexing")
async def a_version_that_is_not_newer_adds_readers(kit: Kit) -> None:
    """If `modified` is not greater, the text stays and readers are only added.

    If this fails: only a greater `modified` is a newer version. For all others store the union of the readers and
    leave the text alone.
    """
    await kit.driver.upsert(kit.source(1, users=("alice",), modified=10))
    await kit.expect("alice", kit.ids(1))
    await kit.driver.upsert(kit.source(1, users=("bob",), modified=9, text="A whale of another text."))
    await kit.driver.upsert(kit.source(1, users=("carol",), modified=10, text="A whale of a third text."))
    for user in ("alice", "bob", "carol"):
        await kit.expect(user, kit.ids(1))
    text = await kit.text("bob", kit.id(1))
    expect("deep blue" in text, f"a version that is not newer replaced the text by {text!r}")


@case("indexing")
async def a_renamed_source_has_the_new_title(kit: Kit) -> None:
    """A version with another title, but no newer, gives the source this title; an older one does not.

    If this fails: a file that is renamed or moved keeps its `modified`. Compare the title, too, before you skip a
    version that is not newer; if chunks hold the title, write them again.
    """
    await kit.driver.upsert(kit.source(1, users=("alice",), modified=10))
    await kit.expect("alice", kit.ids(1))
    await kit.driver.upsert(kit.source(1, users=("bob",), modified=10, title="files/renamed.md"))
    await kit.driver.upsert(kit.source(1, users=("bob",), modified=9, title="files/of before.md"))
    for user in ("alice", "bob"):
        await kit.expect(user, kit.ids(1))
        titles = await kit.settled(partial(_titles, kit, user), {"files/renamed.md"})
        expect(titles == {"files/renamed.md"}, f"after a renaming the titles of its hits were {sorted(titles)}")
    await kit.expect_count(1)


async def _titles(kit: Kit, user: str) -> set[str]:
    return {hit.title for hit in await kit.hits(user)}


@case("indexing")
async def what_waits_for_its_meaning_gets_it(kit: Kit) -> None:
    """What `upsert` left for later is done without anybody asking, and a source is found meanwhile and afterwards.

    If this fails: `waiting` counts chunks that are found by their words only. Work through them in the background, and
    count anew from the store, where others may delete what waits.
    """
    await kit.driver.upsert(kit.source(1, users=("alice",)))
    await kit.expect("alice", kit.ids(1))
    with anyio.move_on_after(MEANING_PATIENCE):
        while kit.driver.waiting:  # noqa: ASYNC110 - a driver tells when it is asked
            await anyio.sleep(POLL_INTERVAL)
    expect(kit.driver.waiting == 0, f"{kit.driver.waiting} chunks still waited after {MEANING_PATIENCE:g} s")
    await kit.expect("alice", kit.ids(1))


@case("indexing")
async def a_newer_version_replaces_text_and_readers(kit: Kit) -> None:
    """If `modified` is greater, the new text replaces the old and the readers are exactly the new ones.

    If this fails: remove the chunks of the old version when the new one is in place, and set the readers instead of
    adding to them.
    """
    await kit.driver.upsert(kit.source(1, users=("alice", "bob"), modified=10))
    await kit.expect("bob", kit.ids(1))
    await kit.driver.upsert(kit.source(1, users=("bob", "carol"), modified=11, text=PAPER))
    await kit.expect("alice", set())
    await kit.expect("carol", kit.ids(1))
    text = await kit.text("bob", kit.id(1))
    expect("paper" in text and "deep blue" not in text, f"after a replacement the text was {text!r}")
    await kit.expect_count(1)


@case("indexing")
async def a_touched_source_has_the_new_readers(kit: Kit) -> None:
    """A newer version with identical bytes still makes the readers exactly the new ones.

    If this fails: if you skip indexing unchanged content, you still have to set the readers and `modified`.
    """
    await kit.driver.upsert(kit.source(1, users=("alice",), modified=10))
    await kit.expect("alice", kit.ids(1))
    await kit.driver.upsert(kit.source(1, users=("bob",), modified=11))
    await kit.expect("bob", kit.ids(1))
    await kit.expect("alice", set())
    outcome = await kit.driver.upsert(kit.source(1, users=("bob",), modified=11, text=PAPER))
    expect(outcome is Outcome.UNCHANGED, f"`modified` of a touched source was not stored: its version is {outcome}")


@case("indexing")
async def every_upsert_may_be_repeated(kit: Kit) -> None:
    """Any upsert may be repeated: it leaves the same state and raises the same error.

    If this fails: Nextcloud repeats requests whose answer it did not get. Look for state that the first call leaves and
    the second trips over, such as a record that exists already.
    """
    await kit.driver.upsert(kit.source("newer", users=("alice", "bob"), modified=10))
    await kit.driver.upsert(kit.source("older", users=("alice",), modified=10))
    await kit.driver.upsert(kit.source("emptied", users=("alice",), modified=10))
    await kit.expect("alice", kit.ids("newer", "older", "emptied"))
    for _ in range(2):
        await kit.driver.upsert(kit.source("new", users=("alice",), modified=10))
        await kit.driver.upsert(kit.source("newer", users=("bob", "carol"), modified=11, text=PAPER))
        await kit.driver.upsert(kit.source("older", users=("carol",), modified=9, text=PAPER))
        for item, text in (("emptied", " "), ("blank", "\n")):
            advice = f"the source {item!r} has no text: Rejected was expected, each time that it comes"
            await expect_error(Rejected, kit.driver.upsert(kit.source(item, modified=11, text=text)), advice)
        await kit.expect("alice", kit.ids("new", "older"))
        await kit.expect("bob", kit.ids("newer"))
        await kit.expect("carol", kit.ids("newer", "older"))
        await kit.expect_count(3)


@case("indexing")
async def a_long_source_is_one_source(kit: Kit) -> None:
    """A source of many chunks counts as one and is deleted as a whole.

    If this fails: `count` counts chunks, or `delete` removes only the first page of them.
    """
    await kit.driver.upsert(kit.source(1, text=LONG))
    await kit.expect("alice", kit.ids(1))
    await kit.expect_count(1)
    await kit.driver.delete(kit.ids(1))
    await kit.expect("alice", set())
    await kit.expect_count(0)


@case("indexing")
async def a_source_without_text_is_rejected(kit: Kit) -> None:
    """A source without text raises `Rejected`, and an older version of it is no longer found.

    If this fails: raise `Rejected` for text that is all whitespace, so that Nextcloud drops the source from its queue;
    before that, remove what is stored of it.
    """
    await kit.driver.upsert(kit.source(1, modified=10))
    await kit.expect("alice", kit.ids(1))
    advice = "a source of blanks must raise Rejected"
    await expect_error(Rejected, kit.driver.upsert(kit.source(1, modified=11, text="  \n")), advice)
    await kit.expect("alice", set())
    await kit.expect_count(0)


@case("indexing")
async def a_version_whose_content_is_refused_removes_the_old_one(kit: Kit) -> None:
    """A newer version whose content raises `Rejected` is not indexed, and the older one is removed.

    If this fails: let the `Rejected` of `content.path()` through, after removing the older version. Look at `modified`
    first: a version that is not newer removes nothing.
    """
    await kit.driver.upsert(kit.source(1, modified=10))
    await kit.expect("alice", kit.ids(1))
    older = replace(kit.source(1, modified=9), content=NoContent("too large"))
    outcome = await kit.driver.upsert(older)
    expect(outcome is Outcome.UNCHANGED, f"a version that is not newer answered {outcome}")
    await kit.expect("alice", kit.ids(1))
    newer = replace(kit.source(1, modified=11), content=NoContent("too large"))
    advice = "the Rejected of content.path() did not come out of upsert"
    await expect_error(Rejected, kit.driver.upsert(newer), advice)
    await kit.expect("alice", set())


@case("indexing")
async def sources_can_be_indexed_at_the_same_time(kit: Kit) -> None:
    """Concurrent upserts of different sources do not interfere with each other.

    If this fails: look for attributes of the driver that one upsert sets and another one reads, and for records that
    two sources share.
    """
    words = [f"word{number}x" for number in range(AT_ONCE)]
    async with anyio.create_task_group() as tasks:
        for item, word in enumerate(words):
            source = kit.source(item, users=("alice", word), text=f"The whale says {word}.", title=f"files/{word}.md")
            tasks.start_soon(kit.driver.upsert, source)
    await kit.expect("alice", kit.ids(*range(AT_ONCE)))
    await kit.expect_count(AT_ONCE)
    for item, word in enumerate(words):
        await kit.expect(word, kit.ids(item))
        (hit,) = await kit.hits(word, limit=3)
        expect(
            hit.title == f"files/{word}.md" and word in hit.text, f"source {word!r} has the text or title of another"
        )


@case("indexing")
async def a_source_may_have_many_readers(kit: Kit) -> None:
    """A source with 300 readers is found by each of them, and by those left when some are removed.

    If this fails: the list of readers is cut, or does not fit into one request or record of your backend. Send it in
    parts, or keep readers in a table of their own. Nextcloud shares folders with whole companies.
    """
    everybody = [f"reader {number}" for number in range(READERS_OF_ONE)]
    await kit.driver.upsert(kit.source(1, users=everybody))
    some = (everybody[0], everybody[100], everybody[199], everybody[-1])
    for user in some:
        await kit.expect(user, kit.ids(1))
    await kit.driver.update_access(AccessOp.DENY, kit.id(1), kit.users(*everybody[::2]))
    for user in some:
        removed = everybody.index(user) % 2 == 0
        await kit.expect(user, set() if removed else kit.ids(1))
    await kit.driver.set_access(kit.id(1), kit.users(*everybody))
    for user in some:
        await kit.expect(user, kit.ids(1))
    error = await name_of_error(kit.driver.set_access(kit.id(1), kit.users("alice")), NotFound)
    expect(error is None, "the source is lost after its readers were changed")
    await kit.expect(everybody[1], set())
    await kit.expect("alice", kit.ids(1))
