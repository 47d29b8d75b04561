"""What the access operations promise."""

from collections.abc import Awaitable, Callable

from ...contract import AccessChange, AccessOp, NotFound
from ..kit import Kit
from .base import case, expect, expect_error, name_of_error


@case("access")
async def allowing_adds_readers(kit: Kit) -> None:
    """`update_access(ALLOW)` adds readers; some may have access already.

    If this fails: store the union of the readers, in one step.
    """
    await kit.driver.upsert(kit.source(1))
    for _ in range(2):
        await kit.driver.update_access(AccessOp.ALLOW, kit.id(1), kit.users("alice", "bob"))
    await kit.expect("alice", kit.ids(1))
    await kit.expect("bob", kit.ids(1))


@case("access")
async def a_revoked_reader_finds_nothing(kit: Kit) -> None:
    """A reader who is denied access no longer finds the source; the others still do.

    If this fails: the change reaches the list of readers but not what searches filter by, or only one of the chunks.
    """
    await kit.driver.upsert(kit.source(1, users=("alice", "bob")))
    await kit.expect("bob", kit.ids(1))
    await kit.driver.update_access(AccessOp.DENY, kit.id(1), kit.users("bob"))
    await kit.expect("bob", set())
    await kit.expect("alice", kit.ids(1))


@case("access")
async def denying_twice_is_fine(kit: Kit) -> None:
    """`update_access(DENY)` may be repeated and may name users who have no access.

    If this fails: removing somebody who is not a reader counts as done.
    """
    await kit.driver.upsert(kit.source(1, users=("alice", "bob")))
    await kit.expect("alice", kit.ids(1))
    for _ in range(2):
        await kit.driver.update_access(AccessOp.DENY, kit.id(1), kit.users("bob", "nobody"))
    await kit.expect("bob", set())
    await kit.expect("alice", kit.ids(1))


@case("access")
async def setting_makes_readers_exact(kit: Kit) -> None:
    """`set_access` makes the readers exactly those given; an empty set deletes the source.

    If this fails: remove those who are not in the new list as well as adding those who are.
    """
    await kit.driver.upsert(kit.source(1, users=("alice", "bob")))
    await kit.expect("alice", kit.ids(1))
    for _ in range(2):
        await kit.driver.set_access(kit.id(1), kit.users("bob", "carol"))
    await kit.expect("alice", set())
    await kit.expect("carol", kit.ids(1))
    await kit.driver.set_access(kit.id(1), frozenset())
    await kit.expect("carol", set())
    await kit.expect_count(0)


@case("access")
async def access_of_an_unknown_source_is_not_found(kit: Kit) -> None:
    """Access changes of an unknown source raise `NotFound` and create nothing.

    If this fails: check that the source exists in the same step that changes its readers. The gateway takes `NotFound`
    as done; an entry without a text would give access to whatever comes later under this id.
    """
    advice = "an access change of a source that is not stored must raise NotFound"
    for _ in range(2):
        await expect_error(NotFound, kit.driver.set_access(kit.id(1), kit.users("alice")), advice)
        await expect_error(NotFound, kit.driver.set_access(kit.id(1), frozenset()), advice)
        for op in AccessOp:
            await expect_error(NotFound, kit.driver.update_access(op, kit.id(1), kit.users("alice")), advice)
    await kit.expect_count(0)


@case("access")
async def every_access_change_may_be_repeated(kit: Kit) -> None:
    """Any access change may be repeated: it leaves the same state.

    If this fails: Nextcloud repeats actions whose answer it did not get. A change that is in place already
    succeeds. The one exception is a change that deleted its source: its repetition raises `NotFound`.
    """
    driver, bob, carol = kit.driver, kit.users("bob"), kit.users("carol")
    changes: dict[str, Callable[[], Awaitable[object]]] = {
        "allow": lambda: driver.update_access(AccessOp.ALLOW, kit.id("allow"), carol),
        "deny": lambda: driver.update_access(AccessOp.DENY, kit.id("deny"), bob),
        "set": lambda: driver.set_access(kit.id("set"), bob | carol),
        "allow all": lambda: driver.update_provider_access(AccessOp.ALLOW, kit.provider("allowed"), carol),
        "deny all": lambda: driver.update_provider_access(AccessOp.DENY, kit.provider("denied"), bob),
    }
    for item in ("allow", "deny", "set"):
        await driver.upsert(kit.source(item, users=("alice", "bob")))
    for provider in ("allowed", "denied"):
        await driver.upsert(kit.source(1, users=("alice", "bob"), provider=provider))
    allowed, denied = kit.id(1, "allowed"), kit.id(1, "denied")
    await kit.expect("alice", {*kit.ids("allow", "deny", "set"), allowed, denied})
    for name, change in changes.items():
        for _ in range(2):
            error = await name_of_error(change(), NotFound)
            expect(error is None, f"the change {name!r} raised {error}")
    await kit.expect("alice", {*kit.ids("allow", "deny"), allowed, denied})
    await kit.expect("bob", {*kit.ids("allow", "set"), allowed})
    await kit.expect("carol", {*kit.ids("allow", "set"), allowed})
    await kit.expect_count(3)


@case("access")
async def many_changes_do_what_each_of_them_does(kit: Kit) -> None:
    """`change_access` makes each change as `set_access` and `update_access` do; unknown sources are fine.

    If this fails: a source of the batch that is not stored must not end it, one that loses its last reader is deleted,
    and a user of one change must not get into another.
    """
    for item in ("allow", "deny", "last", "set", "empty"):
        await kit.driver.upsert(kit.source(item, users=("alice", "bob")))

    def change(item: str, op: AccessOp | None, *users: str) -> AccessChange:
        return AccessChange(source_id=kit.id(item), user_ids=kit.users(*users), op=op)

    changes = [
        change("unknown", None, "alice"),
        change("allow", AccessOp.ALLOW, "carol"),
        change("deny", AccessOp.DENY, "bob", "nobody"),
        change("last", AccessOp.DENY, "alice", "bob"),
        change("never", AccessOp.DENY, "alice"),
        change("set", None, "carol"),
        change("empty", None),
    ]
    await kit.expect("bob", kit.ids("allow", "deny", "last", "set", "empty"))
    for _ in range(2):
        await kit.driver.change_access(changes)
    await kit.driver.change_access([])
    await kit.expect("alice", kit.ids("allow", "deny"))
    await kit.expect("bob", kit.ids("allow"))
    await kit.expect("carol", kit.ids("allow", "set"))
    await kit.expect_count(3)


@case("access")
async def a_provider_wide_change_reaches_each_source_of_it(kit: Kit) -> None:
    """`update_provider_access` changes every source of that provider and no other.

    If this fails: `find` misses sources, for instance those on later pages or those that are changed while it lists.
    """
    for item in range(4):
        await kit.driver.upsert(kit.source(item, users=("alice",) if item % 2 else ("alice", "bob")))
    await kit.driver.upsert(kit.source(9, provider="mail"))
    for _ in range(2):
        await kit.driver.update_provider_access(AccessOp.ALLOW, kit.provider(), kit.users("carol"))
    await kit.expect("carol", kit.ids(*range(4)))
    await kit.driver.update_provider_access(AccessOp.DENY, kit.provider(), kit.users("alice", "carol"))
    await kit.expect("carol", set())
    await kit.expect("alice", {kit.id(9, "mail")})
    await kit.expect("bob", kit.ids(0, 2))
    await kit.expect_count(2)
