"""What `upsert` promises while a newer version is on its way, and when it fails halfway."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio

from ...contract import AccessOp, Content, NotFound, Source, Unavailable
from ..kit import PAPER, Kit
from .base import case, expect, expect_error


def _nothing() -> None:
    """Content that can be read."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """`Content` that calls a hook before its digest and another one before its bytes."""

    inner: Content
    before_digest: Callable[[], None] = _nothing
    before_path: Callable[[], None] = _nothing

    @property
    def size(self) -> int:
        return self.inner.size

    async def sha256(self) -> str:
        self.before_digest()
        return await self.inner.sha256()

    async def path(self) -> Path:
        self.before_path()
        return await self.inner.path()

    def release(self) -> None:
        return None


def _fail() -> None:
    raise Unavailable("the content cannot be fetched right now")


@case("indexing")
async def a_failed_update_leaves_the_old_version_to_readers_of_both(kit: Kit) -> None:
    """When a newer version fails halfway, only readers of both versions still find the old one.

    If this fails: before a newer version is indexed, reduce the readers of the stored one to those that both versions
    share, and delete it if there are none. The old text stays until the new one takes its place.
    """
    await kit.driver.upsert(kit.source(1, users=("alice", "bob"), modified=10))
    await kit.driver.upsert(kit.source(2, users=("alice",), modified=10))
    await kit.expect("alice", kit.ids(1, 2))
    for item, readers in ((1, ("bob", "carol")), (2, ("carol",))):
        source = kit.source(item, users=readers, modified=11, text=PAPER)
        broken = replace(source, content=Interrupted(source.content, before_path=_fail))
        advice = "the Unavailable of content.path() did not come out of upsert"
        await expect_error(Unavailable, kit.driver.upsert(broken), advice)
    await kit.expect("alice", set())
    await kit.expect("bob", kit.ids(1))
    await kit.expect("carol", set())
    text = await kit.text("bob", kit.id(1))
    expect("deep blue" in text and "paper" not in text, f"half of an update left the text {text!r}")
    advice = "nobody may read both versions, so the old one must be deleted"
    await expect_error(NotFound, kit.driver.update_access(AccessOp.ALLOW, kit.id(2), kit.users("alice")), advice)
    await kit.driver.upsert(kit.source(1, users=("bob", "carol"), modified=11, text=PAPER))
    await kit.expect("carol", kit.ids(1))


@dataclass
class _Cancellation:
    """Cancels an upsert from inside it."""

    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    async def upsert(self, kit: Kit, source: Source) -> None:
        with self.scope:
            await kit.driver.upsert(source)


@case("indexing")
async def a_cancelled_upsert_leaves_a_consistent_state(kit: Kit) -> None:
    """A cancelled upsert leaves the old version or the new one, each to its own readers, and can be repeated.

    If this fails: one step removes before another one adds. Build the new version beside the old one and switch over in
    one step; discard what was begun on cancellation, or find and finish it the next time.
    """
    for item in ("digest", "path"):
        await kit.driver.upsert(kit.source(item, users=("alice", "bob"), modified=10))
    await kit.expect("bob", kit.ids("digest", "path"))
    for item in ("digest", "path"):
        source, cancellation = kit.source(item, users=("bob", "carol"), modified=11, text=PAPER), _Cancellation()
        hook = cancellation.scope.cancel
        content = Interrupted(source.content, **{f"before_{item}": hook})
        await cancellation.upsert(kit, replace(source, content=content))
        await _expect_one_version(kit, item)
    for item in ("digest", "path"):
        await kit.driver.upsert(kit.source(item, users=("bob", "carol"), modified=11, text=PAPER))
    await kit.expect("alice", set())
    await kit.expect("carol", kit.ids("digest", "path"))
    await kit.expect_count(2)


async def _expect_one_version(kit: Kit, item: str) -> None:
    await kit.expect_found(kit.user("bob"), kit.ids(item), kit.ids("digest", "path"))
    text = {user: await kit.text(user, kit.id(item)) for user in ("alice", "bob", "carol")}
    expect("paper" not in text["alice"], "user 'alice' finds the new version and may not read it")
    expect("deep blue" not in text["carol"], "user 'carol' finds the old version and may not read it")
    expect(not ("paper" in text["bob"] and "deep blue" in text["bob"]), "both versions are found at once")


@case("indexing")
async def a_replacement_is_one_step(kit: Kit) -> None:
    """During a replacement every search finds all of one version or all of the other, never a mixture.

    If this fails: chunks appear or disappear one by one. Switch versions with a single write, such as a transaction or
    a record that names the current version.
    """
    texts = [" ".join([f"{word} whale number {n}." for n in range(400)]) for word in ("Ancient", "Modern")]
    await kit.driver.upsert(kit.source(1, modified=10, text=texts[0]))
    await kit.expect("alice", kit.ids(1))
    done = anyio.Event()

    async def replace_it() -> None:
        await kit.driver.upsert(kit.source(1, modified=11, text=texts[1]))
        done.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(replace_it)
        while not done.is_set():
            text = await kit.text("alice", kit.id(1))
            expect(not ("Ancient" in text and "Modern" in text), "a search found chunks of both versions")
            await anyio.sleep(0.001)
