"""What the deletions promise."""

from ...contract import AccessOp
from ..kit import Kit
from .base import case


@case("deletion")
async def unknown_things_can_be_deleted(kit: Kit) -> None:
    """Deleting unknown sources, providers or users succeeds, however often.

    If this fails: what is not there counts as deleted. Turn your backend's "not found" into success in these places.
    """
    await kit.driver.upsert(kit.source(1))
    for _ in range(2):
        await kit.driver.delete(kit.ids(77, 78))
        await kit.driver.delete_provider(kit.provider("unknown"))
        await kit.driver.delete_user(kit.user("unknown"))
        await kit.driver.update_provider_access(AccessOp.DENY, kit.provider("unknown"), kit.users("alice"))
    await kit.expect("alice", kit.ids(1))


@case("deletion")
async def every_deletion_may_be_repeated(kit: Kit) -> None:
    """Any deletion may be repeated, also when part of what it names is already gone.

    If this fails: Nextcloud repeats deletions whose answer it did not get, and names unknown sources beside
    known ones. Delete what is there and succeed.
    """
    for item in (1, 2, 3):
        await kit.driver.upsert(kit.source(item))
    await kit.driver.upsert(kit.source(1, provider="mail"))
    await kit.driver.upsert(kit.source("left", users=("alice", "dora")))
    await kit.expect("alice", {*kit.ids(1, 2, 3, "left"), kit.id(1, "mail")})
    await kit.driver.delete(kit.ids(1))
    for _ in range(2):
        await kit.driver.delete(kit.ids(1, 2, 77))
        await kit.driver.delete_provider(kit.provider("mail"))
        await kit.driver.delete_user(kit.user("dora"))
        await kit.expect("alice", kit.ids(3, "left"))
        await kit.expect("dora", set())
        await kit.expect_count(2)
        await kit.expect_count(0, "mail")


@case("deletion")
async def a_deleted_provider_leaves_the_others(kit: Kit) -> None:
    """`delete_provider` leaves other providers alone, even one whose name begins with this one's.

    If this fails: providers are compared by prefix. Compare `source.provider`, the whole of it.
    """
    for item in range(3):
        await kit.driver.upsert(kit.source(item))
    await kit.driver.upsert(kit.source(1, provider="default2"))
    await kit.expect("alice", {*kit.ids(0, 1, 2), kit.id(1, "default2")})
    await kit.driver.delete_provider(kit.provider())
    await kit.expect("alice", {kit.id(1, "default2")})
    await kit.expect_count(0)
    await kit.expect_count(1, "default2")


@case("deletion")
async def a_deleted_user_is_gone_everywhere(kit: Kit) -> None:
    """`delete_user` removes the reader everywhere and deletes sources that nobody else may read.

    If this fails: `find(user_id=...)` misses sources, or `count` still counts what was deleted.
    """
    await kit.driver.upsert(kit.source(1, users=("alice",)))
    await kit.driver.upsert(kit.source(2, users=("alice", "bob")))
    await kit.driver.upsert(kit.source(3, users=("alice",), provider="mail"))
    await kit.expect("alice", {*kit.ids(1, 2), kit.id(3, "mail")})
    await kit.driver.delete_user(kit.user("alice"))
    await kit.expect("alice", set())
    await kit.expect("bob", kit.ids(2))
    await kit.expect_count(1)
    await kit.expect_count(0, "mail")
