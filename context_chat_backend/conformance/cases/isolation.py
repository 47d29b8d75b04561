"""Nobody finds what they may not read."""

import unicodedata
from collections.abc import Awaitable, Callable

from ...contract import AccessOp, NotFound, ProviderScope, Scope, SourceId, SourceScope
from ..kit import PAPER, WHALE, Kit
from .base import case, expect, expect_error

STRANGE_USERS = (
    "with space",
    "jörg",
    unicodedata.normalize("NFD", "jörg"),
    "用户一",
    "anna@example.org",
    "O'Brien",
    "a,b",
    "a:b",
    'quo"te',
    "back\\slash",
    "%_",
)
NOBODY = ("with", "JÖRG", "jorg", "a", "b", "o'brien", "", "%", "*")
CROWD = 20


@case("isolation")
async def a_new_source_is_found_by_its_readers(kit: Kit) -> None:
    """A new source is found by each of its readers and by nobody else.

    If this fails: look at the filter of `search`. It has to compare the user of the query with the stored readers,
    inside the backend.
    """
    await kit.driver.upsert(kit.source(1, users=("alice", "bob")))
    await kit.expect("alice", kit.ids(1))
    await kit.expect("bob", kit.ids(1))
    await kit.expect("carol", set())


@case("isolation")
async def equal_bytes_are_two_sources(kit: Kit) -> None:
    """Two sources with identical bytes but different readers stay separate.

    If this fails: you derive ids from the content alone. Include the source id, or keep readers per source and not per
    content.
    """
    await kit.driver.upsert(kit.source(1, users=("alice",)))
    await kit.driver.upsert(kit.source(2, users=("bob",)))
    await kit.expect("alice", kit.ids(1))
    await kit.expect("bob", kit.ids(2))
    await kit.driver.delete(kit.ids(1))
    await kit.expect("alice", set())
    await kit.expect("bob", kit.ids(2))


@case("isolation")
async def an_update_of_one_of_two_equal_sources_leaves_the_other(kit: Kit) -> None:
    """When one of two sources with identical bytes changes, the other keeps its text and its readers.

    If this fails: the update writes into content that both share. Give the new version content of its own, and remove
    the old content only when no source refers to it any more.
    """
    await kit.driver.upsert(kit.source(1, users=("alice",), modified=10))
    await kit.driver.upsert(kit.source(2, users=("bob",), modified=10))
    await kit.expect("bob", kit.ids(2))
    await kit.driver.upsert(kit.source(1, users=("carol",), modified=11, text=PAPER))
    await kit.expect("carol", kit.ids(1))
    await kit.expect("alice", set())
    await kit.expect("bob", kit.ids(2))
    texts = await kit.text("carol", kit.id(1)), await kit.text("bob", kit.id(2))
    expect("paper" in texts[0] and "deep blue" not in texts[0], f"the changed source has the text {texts[0]!r}")
    expect("deep blue" in texts[1] and "paper" not in texts[1], f"the unchanged source has the text {texts[1]!r}")
    await kit.driver.delete(kit.ids(1))
    await kit.expect("bob", kit.ids(2))


@case("isolation")
async def a_revoked_hit_is_never_seen(kit: Kit) -> None:
    """The first search after a revocation or deletion no longer shows the source, whatever `settle_seconds` says.

    If this fails: your backend applies writes late. Check its hits against what is certain (a table of your own, or a
    consistent read) before you return them. `settle_seconds` excuses late additions only.
    """
    alice, bob = kit.users("alice"), kit.users("bob")
    changes: dict[str, Callable[[], Awaitable[object]]] = {
        "update_access": lambda: kit.driver.update_access(AccessOp.DENY, kit.id("update_access"), bob),
        "set_access": lambda: kit.driver.set_access(kit.id("set_access"), alice),
        "delete": lambda: kit.driver.delete(kit.ids("delete")),
        "upsert": lambda: kit.driver.upsert(kit.source("upsert", modified=11, text=PAPER)),
        "touch": lambda: kit.driver.upsert(kit.source("touch", modified=11)),
    }
    wide: dict[str, Callable[[], Awaitable[object]]] = {
        "denied": lambda: kit.driver.update_provider_access(AccessOp.DENY, kit.provider("denied"), bob),
        "deleted": lambda: kit.driver.delete_provider(kit.provider("deleted")),
        "left": lambda: kit.driver.delete_user(kit.user("bob")),
    }
    for item in changes:
        await kit.driver.upsert(kit.source(item, users=("alice", "bob"), modified=10))
    for provider in wide:
        await kit.driver.upsert(kit.source(1, users=("alice", "bob"), modified=10, provider=provider))
    left = {kit.id(item) for item in changes} | {kit.id(1, provider) for provider in wide}
    await kit.expect("bob", left)
    for item, change in changes.items():
        left.remove(kit.id(item))
        await _expect_at_once(kit, item, change, left)
    for provider, change in wide.items():
        left.remove(kit.id(1, provider))
        await _expect_at_once(kit, provider, change, left)


async def _expect_at_once(kit: Kit, name: str, change: Callable[[], Awaitable[object]], left: set[SourceId]) -> None:
    await change()
    seen = sorted(await kit.found("bob") - left)
    expect(not seen, f"after the change {name!r} was carried out, user 'bob' still finds {seen}")


@case("isolation")
async def a_scope_cannot_widen_access(kit: Kit) -> None:
    """A scope narrows what a user finds and never adds to it.

    If this fails: the scope takes the place of the access filter, or is joined to it by `or`. It has to be one more
    condition, joined by `and`; ids that the user may not read then add nothing.
    """
    await kit.driver.upsert(kit.source(1, users=("alice",)))
    await kit.driver.upsert(kit.source(2, users=("bob",)))
    await kit.driver.upsert(kit.source(3, users=("alice",), provider="mail"))
    both = frozenset({kit.id(1), kit.id(2)})
    await kit.expect("alice", {kit.id(1), kit.id(3, "mail")})
    await kit.expect("alice", {kit.id(1)}, scope=SourceScope(both))
    await kit.expect("alice", {kit.id(1)}, scope=ProviderScope(frozenset({kit.provider()})))
    await kit.expect("alice", {kit.id(3, "mail")}, scope=ProviderScope(frozenset({kit.provider("mail")})))
    await kit.expect("bob", set(), scope=ProviderScope(frozenset({kit.provider("mail")})))
    await kit.expect("bob", set(), scope=SourceScope(frozenset({kit.id(1), kit.id(99)})))


@case("isolation")
async def what_others_may_read_does_not_crowd_out(kit: Kit) -> None:
    """A user finds the few sources within reach, however many better matches are out of reach.

    If this fails: the best hits overall are fetched and then filtered. Pass the filter to the backend.
    """
    for item in range(CROWD):
        text = f"The whale, whale number {item}, is a whale."
        await kit.driver.upsert(kit.source(item, users=("bob", "carol"), text=text))
    await kit.driver.upsert(kit.source("own", users=("alice",), text="On holiday we also saw a whale from afar."))
    await kit.driver.upsert(kit.source(1, users=("carol",), text="Once a whale was mentioned.", provider="mail"))
    await kit.expect("alice", kit.ids("own"))
    await kit.expect("carol", kit.ids(*range(CROWD)) | {kit.id(1, "mail")})
    await _expect_first(kit, "alice", kit.id("own"), None)
    scope = ProviderScope(frozenset({kit.provider("mail")}))
    await _expect_first(kit, "carol", kit.id(1, "mail"), scope)


async def _expect_first(kit: Kit, user: str, expected: SourceId, scope: Scope) -> None:
    found = [hit.source_id for hit in await kit.hits(user, limit=1, scope=scope)]
    expect(found == [expected], f"of what user {user!r} may read in scope, a limit of 1 gave {found}, not {expected}")


@case("isolation")
async def a_deleted_source_does_not_come_back_with_its_readers(kit: Kit) -> None:
    """A source that is deleted and uploaded again is found by its new readers only.

    If this fails: `delete` leaves the list of readers behind, and the next version of the source finds it again.
    """
    await kit.driver.upsert(kit.source(1, users=("alice",), modified=10))
    await kit.expect("alice", kit.ids(1))
    await kit.driver.delete(kit.ids(1))
    await kit.expect("alice", set())
    await kit.driver.upsert(kit.source(1, users=("bob",), modified=10))
    await kit.expect("bob", kit.ids(1))
    await kit.expect("alice", set())


@case("isolation")
async def the_last_reader_takes_the_source_along(kit: Kit) -> None:
    """A source that loses its last reader is deleted; granting access later raises `NotFound`.

    If this fails: delete the source in the same step that removes its last reader, in `update_access`, `set_access`,
    `update_provider_access` and `delete_user`.
    """
    everybody = kit.users("alice", "bob", "carol")
    await kit.driver.upsert(kit.source("denied", users=("alice", "bob")))
    await kit.driver.upsert(kit.source("set", users=("alice", "bob")))
    await kit.driver.upsert(kit.source("left", users=("dora",)))
    await kit.driver.upsert(kit.source(1, users=("alice", "bob"), provider="mail"))
    await kit.expect("alice", {*kit.ids("denied", "set"), kit.id(1, "mail")})
    await kit.driver.update_access(AccessOp.DENY, kit.id("denied"), everybody)
    await kit.driver.set_access(kit.id("set"), frozenset())
    await kit.driver.delete_user(kit.user("dora"))
    await kit.driver.update_provider_access(AccessOp.DENY, kit.provider("mail"), everybody)
    for user in ("alice", "bob", "carol", "dora"):
        await kit.expect(user, set())
    await kit.expect_count(0)
    await kit.expect_count(0, "mail")
    for id_ in (*kit.ids("denied", "set", "left"), kit.id(1, "mail")):
        advice = f"{id_} still exists after its last reader was removed"
        await expect_error(NotFound, kit.driver.update_access(AccessOp.ALLOW, id_, kit.users("alice")), advice)


@case("isolation")
async def strange_user_ids_stay_apart(kit: Kit) -> None:
    """User ids with spaces, commas, quotes, wildcards or other scripts are compared byte for byte.

    If this fails: user ids are joined into one string, used as a pattern, or folded (case, accents, Unicode normal
    forms) on the way. Pass them as parameters; encode them if your backend allows less.
    """
    for item, user in enumerate(STRANGE_USERS):
        await kit.driver.upsert(kit.source(item, users=(user,)))
    for item, user in enumerate(STRANGE_USERS):
        await kit.expect(user, kit.ids(item))
    for other in NOBODY:
        await kit.expect(other, set())


@case("isolation")
async def source_ids_are_kept_byte_for_byte(kit: Kit) -> None:
    """Ids that are prefixes of one another, very long, or differ only in case or accents name different sources.

    If this fails: source ids are cut, folded or compared as a pattern. Where your backend limits the length or the
    characters of its own ids, use a digest (SHA-256) of the source id there, and store the id itself beside it.
    """
    long = "9" * 480
    items = ("1", "11", "1:1", "a", "A", "%", "文件/é", unicodedata.normalize("NFD", "文件/é"), long, f"{long}9")
    for item in items:
        await kit.driver.upsert(kit.source(item))
    left = set(kit.ids(*items))
    await kit.expect("alice", left)
    await kit.expect_count(len(items))
    for item in items:
        left.remove(kit.id(item))
        await kit.driver.delete(kit.ids(item))
        await kit.expect("alice", left)


@case("isolation")
async def wide_changes_keep_to_names_byte_for_byte(kit: Kit) -> None:
    """Operations on a whole provider or user do not touch others with a similar name.

    If this fails: providers or users are looked up by a prefix or a pattern, in which `_` stands for any character, or
    a list of users is searched as text. Compare whole ids.
    """
    providers, users = ("d_fault", "default", "d_fault2", "D_fault"), ("al", "alice", "AL", "al,ice")
    for provider in providers:
        await kit.driver.upsert(kit.source(1, users=users, provider=provider))
    everything = {kit.id(1, provider) for provider in providers}
    for user in users:
        await kit.expect(user, everything)
    await kit.driver.delete_user(kit.user("al"))
    await kit.driver.update_provider_access(AccessOp.DENY, kit.provider("d_fault"), kit.users("alice"))
    await kit.expect("al", set())
    await kit.expect("alice", everything - {kit.id(1, "d_fault")})
    await kit.expect("AL", everything)
    await kit.driver.delete_provider(kit.provider("d_fault"))
    await kit.expect("al,ice", everything - {kit.id(1, "d_fault")})
    await kit.driver.update_provider_access(AccessOp.ALLOW, kit.provider("default"), kit.users("carol"))
    await kit.expect("carol", {kit.id(1, "default")})


@case("isolation")
async def errors_do_not_quote_documents(kit: Kit) -> None:
    """Error messages never contain text from a document.

    If this fails: the message of a parser or of your backend is passed on as it is. Say what happened in your own
    words, and `raise ... from None` where the original quotes its input.
    """
    secret = "abracadabra"  # noqa: S105 - not a password
    broken = {
        "application/pdf": f"%PDF-1.7 {secret}",
        "application/json": f'{{"{secret}": ',
        "text/xml": f"<a><b>{secret}</a>",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document": f"PK {secret}",
    }
    types = kit.driver.capabilities.mime_types
    for item, (mime_type, text) in enumerate(broken.items()):
        if types is None or mime_type in types:
            await _expect_no_quotation(kit, item, mime_type, text + WHALE, secret)


async def _expect_no_quotation(kit: Kit, item: int, mime_type: str, text: str, secret: str) -> None:
    try:
        await kit.driver.upsert(kit.source(item, mime_type=mime_type, text=text))
    except Exception as error:  # noqa: BLE001 - whatever it is, its message goes into a log
        expect(secret not in str(error), f"the message of a {type(error).__name__} quotes a damaged {mime_type}")
