"""What a driver declares, and whether it is so."""

import re
from collections.abc import Sequence, Set
from dataclasses import replace

import anyio

from ...contract import (
    AccessOp,
    Level,
    Misconfigured,
    Query,
    Source,
    SourceId,
    StoredVersion,
    Unsupported,
)
from ..kit import POLL_INTERVAL, CaseSkipped, Kit
from .base import case, expect, expect_error

LONGEST_SETTLE = 600.0
MIME_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")
"""https://www.rfc-editor.org/rfc/rfc6838#section-4.2, in lower case and without parameters"""


@case("capabilities")
async def declarations_make_sense(kit: Kit) -> None:
    """`max_source_bytes` is positive, `settle_seconds` at most 600, and types are written in lower case without more.

    If this fails: the gateway compares sizes and types with these values as they are, and waits for as long as they
    say. None means any size and any type.
    """
    declared = kit.driver.capabilities
    limit, settles = declared.max_source_bytes, declared.settle_seconds
    expect(limit is None or limit > 0, f"max_source_bytes is {limit}: no source could be indexed")
    expect(
        0 <= settles <= LONGEST_SETTLE, f"settle_seconds is {settles}: it has to be between 0 and {LONGEST_SETTLE:g}"
    )
    wrong = sorted(type_ for type_ in declared.mime_types or () if not MIME_TYPE.fullmatch(type_))
    expect(not wrong, f"these are no types as the gateway compares them: {wrong}")
    expect(kit.driver.capabilities == declared, "capabilities change while the driver is open")


@case("capabilities")
async def answers_work_exactly_if_declared(kit: Kit) -> None:
    """`answer` cites what the user may read, or raises `Unsupported` when it is not declared.

    If this fails: an answer may be built on hits of `search` only, and names each of their sources once; without any it
    has no sources. A driver that writes no answers leaves `capabilities.answers` and `BaseDriver.answer` as they are.
    """
    await kit.driver.upsert(kit.source(1))
    await kit.expect("alice", {kit.id(1)})
    query = Query(user_id=kit.user("alice"), text="Where does the whale swim?", limit=5)
    if not kit.driver.capabilities.answers:
        advice = "capabilities.answers is False, so answer must raise Unsupported"
        await expect_error(Unsupported, kit.driver.answer(query), advice)
        return
    answer = await kit.driver.answer(query)
    expect(set(answer.source_ids) == {kit.id(1)}, f"the answer cites {answer.source_ids}")
    stranger = await kit.driver.answer(Query(user_id=kit.user("bob"), text="whale", limit=5))
    expect(not stranger.source_ids, f"a user without documents got an answer from {stranger.source_ids}")


@case("capabilities")
async def unsupported_types_are_not_indexed(kit: Kit) -> None:
    """A declared list of types holds plain text and Markdown, and leaves out what the driver cannot read.

    If this fails: list the types whose text your driver can get at, see `capabilities.mime_types`.
    """
    types = kit.driver.capabilities.mime_types
    if types is None:
        raise CaseSkipped("the driver takes every type")
    expect("text/plain" in types and "text/markdown" in types, "plain text and Markdown must be supported")
    expect("application/zip" not in types, "an archive is not a document")


@case("capabilities")
async def inventory_describes_what_is_stored(kit: Kit) -> None:
    """`inventory` lists each stored source as it is now, only the asked ones, or raises `Unsupported` if undeclared.

    If this fails: the upsert cache trusts the inventory, so that a wrong item loses a source or a reader. List what
    searches find, with the digest of its bytes; leave out what you do not know for sure, or do not declare it.
    """
    if not kit.driver.capabilities.inventory:
        advice = "capabilities.inventory is False, so inventory must raise Unsupported"
        await expect_error(Unsupported, _inventory(kit, {kit.id(1)}), advice)
        return
    file = kit.source(1, users=("alice", "bob"), title="files/Übergröße/文件.md", modified=10)
    mail = kit.source(2, provider="mail", modified=12)
    other, deleted = kit.source("3:a-b"), kit.source(4)
    everything = {file.id, mail.id, other.id, deleted.id}
    for source in (file, mail, other, deleted):
        await kit.driver.upsert(source)
    await kit.expect("alice", everything)
    await _expect_inventory(kit, [file, mail], asked={file.id, mail.id, kit.id(99)})
    newer = kit.source(1, users=("alice", "bob"), title="files/new.md", modified=11, text="A whale made of paper.")
    await kit.driver.upsert(newer)
    await kit.driver.update_access(AccessOp.DENY, newer.id, kit.users("bob"))
    await kit.driver.delete({deleted.id})
    await kit.expect("bob", set())
    await kit.expect("alice", everything - {deleted.id})
    left = [replace(newer, user_ids=kit.users("alice")), mail, other]
    await _expect_inventory(kit, left, asked=everything)
    await _expect_inventory(kit, left, asked=None)
    await _expect_inventory(kit, left, asked=None, bulk=True)
    await _expect_skipping(kit, everything)


async def _expect_inventory(
    kit: Kit, sources: Sequence[Source], *, asked: Set[SourceId] | None, bulk: bool = False
) -> None:
    """Within the settle time the inventory has exactly these sources of the kit."""
    expected = [await _described(source) for source in sources]
    try:
        found = await _own_inventory(kit, expected, asked, bulk=bulk)
        with anyio.move_on_after(kit.driver.capabilities.settle_seconds):
            while found != expected:
                await anyio.sleep(POLL_INTERVAL)
                found = await _own_inventory(kit, expected, asked, bulk=bulk)
    except Misconfigured:
        if bulk:
            return  # an export may need more rights than these
        raise
    advice = "the upsert cache trusts the inventory, so that a wrong item loses a source or a reader"
    expect(found == expected, f"inventory(bulk={bulk}) should give {expected} and gives {found}: {advice}")


async def _own_inventory(
    kit: Kit, expected: Sequence[StoredVersion], asked: Set[SourceId] | None, *, bulk: bool
) -> list[StoredVersion]:
    """In the order of `expected`; readers that the backend does not tell are taken as right."""
    order = {stored.source_id: place for place, stored in enumerate(expected)}
    found = []
    for stored in await _inventory(kit, asked, bulk=bulk):
        place = order.get(stored.source_id)
        if place is not None and stored.user_ids is None:
            found.append(replace(stored, user_ids=expected[place].user_ids))
        elif place is not None or asked is not None or kit.namespace in stored.provider:
            found.append(stored)
    return sorted(found, key=lambda stored: order.get(stored.source_id, len(order)))


async def _expect_skipping(kit: Kit, asked: Set[SourceId]) -> None:
    everything = [stored.source_id for stored in await _inventory(kit, asked)]
    for skip in range(1, len(everything) + 1):
        rest = [stored.source_id for stored in await _inventory(kit, asked, skip=skip)]
        kept = len(rest) >= len(everything) - skip and rest == everything[len(everything) - len(rest) :]
        expect(kept, f"skip={skip} may leave out that many of {everything} at the start, but it left {rest}")


async def _inventory(
    kit: Kit, asked: Set[SourceId] | None, *, skip: int = 0, bulk: bool = False
) -> list[StoredVersion]:
    return [stored async for stored in kit.driver.inventory(asked, skip=skip, bulk=bulk)]


async def _described(source: Source) -> StoredVersion:
    return StoredVersion(
        source_id=source.id,
        provider=source.provider,
        title=source.title,
        mime_type=source.mime_type,
        modified=source.modified,
        sha256=await source.content.sha256(),
        user_ids=source.user_ids,
    )


@case("capabilities")
async def check_answers_with_findings(kit: Kit) -> None:
    """`check` raises nothing while the backend works, and each finding that is not ok says what to do.

    If this fails: give each `Finding` a subject and a text, and each warning or error a `cure`.
    """
    for finding in await kit.driver.check():
        expect(bool(finding.subject and finding.text), f"{finding} needs a subject and a text")
        has_cure = bool(finding.cure) or finding.level is Level.OK
        expect(has_cure, f"the finding {finding.subject!r} is a {finding.level} and needs a cure")


@case("capabilities")
async def the_identity_is_stable(kit: Kit) -> None:
    """`identity` is not empty and does not change while the driver is open.

    If this fails: make it once when the driver is opened, of something that is kept in the store itself.
    """
    before = kit.driver.identity
    await kit.driver.upsert(kit.source(1))
    expect(bool(before) and kit.driver.identity == before, "identity must be a fixed, non-empty text")
    await kit.driver.ping()
