"""What a driver that can list what it stores promises; skipped for all others."""

from collections.abc import Sequence, Set
from dataclasses import replace

from ...contract import AccessOp, Inventory, Misconfigured, Source, SourceId, StoredVersion
from ..kit import PAPER, CaseSkipped, Kit
from .base import case, expect


@case("inventory")
async def inventory_describes_what_is_stored(kit: Kit) -> None:
    """`inventory` lists every stored source as it is now, or of those asked for each one that is stored.

    If this fails: the upsert cache trusts the inventory, so a wrong item loses a source or a reader. List what
    searches find, with the digest of its bytes; leave out whatever you are not sure of, or do without `Inventory`.
    """
    _inventory_of(kit)
    file = kit.source(1, users=("alice", "bob"), title="files/Übergröße/文件.md", modified=10)
    mail = kit.source(2, provider="mail", modified=12)
    other, deleted = kit.source("3:a-b"), kit.source(4)
    everything = {file.id, mail.id, other.id, deleted.id}
    for source in (file, mail, other, deleted):
        await kit.driver.upsert(source)
    await kit.expect("alice", everything)
    await _expect_inventory(kit, [file, mail], asked={file.id, mail.id, kit.id(99)})
    newer = kit.source(1, users=("alice", "bob"), title="files/new.md", modified=11, text=PAPER)
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
        found = await kit.settled(lambda: _listed_here(kit, expected, asked, bulk=bulk), expected)
    except Misconfigured:
        if bulk:
            return  # an export may need more rights than these
        raise
    advice = "the upsert cache trusts the inventory, so a wrong item loses a source or a reader"
    expect(found == expected, f"inventory(bulk={bulk}) should give {expected} and gives {found}: {advice}")


async def _listed_here(
    kit: Kit, expected: Sequence[StoredVersion], asked: Set[SourceId] | None, *, bulk: bool
) -> list[StoredVersion]:
    """In the order of `expected`; readers that the backend does not tell are taken as right."""
    order = {stored.source_id: place for place, stored in enumerate(expected)}
    found = []
    for stored in await _listed(kit, asked, bulk=bulk):
        place = order.get(stored.source_id)
        if place is not None and stored.user_ids is None:
            found.append(replace(stored, user_ids=expected[place].user_ids))
        elif place is not None or asked is not None or kit.namespace in stored.provider:
            found.append(stored)
    return sorted(found, key=lambda stored: order.get(stored.source_id, len(order)))


async def _expect_skipping(kit: Kit, asked: Set[SourceId]) -> None:
    everything = [stored.source_id for stored in await _listed(kit, asked)]
    for skip in range(1, len(everything) + 1):
        rest = [stored.source_id for stored in await _listed(kit, asked, skip=skip)]
        kept = len(rest) >= len(everything) - skip and rest == everything[len(everything) - len(rest) :]
        expect(kept, f"skip={skip} may leave out that many of {everything} at the start, but it left {rest}")


async def _listed(kit: Kit, asked: Set[SourceId] | None, *, skip: int = 0, bulk: bool = False) -> list[StoredVersion]:
    return [stored async for stored in _inventory_of(kit).inventory(asked, skip=skip, bulk=bulk)]


def _inventory_of(kit: Kit) -> Inventory:
    if not isinstance(kit.driver, Inventory):
        raise CaseSkipped("the driver does not list what it stores")
    return kit.driver


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
