"""The cases of the kit. Each docstring is a promise of the contract; the message of a failure says how to mend it."""

import random
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import dataclass, replace

import anyio

from ..contents import NoContent
from ..contract import (
    AccessOp,
    Driver,
    Level,
    Misconfigured,
    NotFound,
    Outcome,
    ProviderScope,
    Query,
    Rejected,
    Source,
    SourceId,
    SourceScope,
    StoredVersion,
    Unsupported,
)
from .kit import POLL_INTERVAL, CaseSkipped, Kit
from .reference import ReferenceDriver

STRANGE_USERS = (
    "with space",
    "jörg",
    "用户一",
    "anna@example.org",
    "O'Brien",
    "a,b",
    "a:b",
    'quo"te',
    "back\\slash",
    "%_",
)
RANDOM_STEPS = 150


@dataclass(frozen=True, slots=True)
class Case:
    """One promise and the code that checks it."""

    group: str
    name: str
    run: Callable[[Kit], Awaitable[None]]

    @property
    def promise(self) -> str:
        """The first line of the docstring."""
        return (self.run.__doc__ or "").partition("\n")[0]


CASES: list[Case] = []


def case(group: str) -> Callable[[Callable[[Kit], Awaitable[None]]], Callable[[Kit], Awaitable[None]]]:
    """Register a case."""

    def register(run: Callable[[Kit], Awaitable[None]]) -> Callable[[Kit], Awaitable[None]]:
        CASES.append(Case(group, run.__name__, run))
        return run

    return register


def expect(condition: bool, advice: str) -> None:
    """Fail with advice. `assert` would vanish under `python -O`."""
    if not condition:
        raise AssertionError(advice)


async def expect_error(error: type[Exception], call: Awaitable[object], advice: str) -> None:
    """The call raises this error."""
    try:
        await call
    except error:
        return
    raise AssertionError(advice)


# ---------------------------------------------------------------------- indexing


@case("indexing")
async def a_new_source_is_found_by_its_readers(kit: Kit) -> None:
    """A new source is created and found by each of its readers, by nobody else."""
    outcome = await kit.driver.upsert(kit.source(1, users=("alice", "bob")))
    expect(outcome in {Outcome.CREATED, Outcome.PENDING}, f"upsert of a new source answered {outcome}")
    await kit.expect("alice", {kit.id(1)})
    await kit.expect("bob", {kit.id(1)})
    await kit.expect("carol", set())
    await kit.expect_count(1)


@case("indexing")
async def hits_carry_id_title_and_text(kit: Kit) -> None:
    """A hit has the id byte for byte, the title and the text of its source."""
    await kit.driver.upsert(kit.source("a:b-1", title="files/Übergröße/文件.md"))
    await kit.expect("alice", {kit.id("a:b-1")})
    (hit,) = await kit.driver.search(Query(user_id=kit.user("alice"), text="whale", limit=5))
    expect(hit.title == "files/Übergröße/文件.md", f"the title came back as {hit.title!r}")
    expect("whale" in hit.text, f"the text came back as {hit.text!r}")


@case("indexing")
async def the_same_version_again_changes_nothing(kit: Kit) -> None:
    """Upserting the same version twice is UNCHANGED and stores it once."""
    await kit.driver.upsert(kit.source(1))
    await kit.expect("alice", {kit.id(1)})
    outcome = await kit.driver.upsert(kit.source(1))
    expect(outcome is Outcome.UNCHANGED, f"the second upsert of one version answered {outcome}")
    await kit.expect_count(1)


@case("indexing")
async def a_version_that_is_not_newer_adds_readers(kit: Kit) -> None:
    """Not newer by `modified`: the text stays, readers are added and none removed."""
    await kit.driver.upsert(kit.source(1, users=("alice",), modified=10))
    await kit.expect("alice", {kit.id(1)})
    await kit.driver.upsert(kit.source(1, users=("bob",), modified=9, text="A whale of another text."))
    await kit.expect("alice", {kit.id(1)})
    await kit.expect("bob", {kit.id(1)})
    (hit,) = await kit.driver.search(Query(user_id=kit.user("bob"), text="whale", limit=5))
    expect("deep blue" in hit.text, "an older version replaced the text of a newer one")


@case("indexing")
async def a_newer_version_replaces_text_and_readers(kit: Kit) -> None:
    """Newer by `modified`: the new text is found, the old is not, and the readers are exactly the new ones."""
    await kit.driver.upsert(kit.source(1, users=("alice", "bob"), modified=10))
    await kit.expect("bob", {kit.id(1)})
    await kit.driver.upsert(kit.source(1, users=("bob", "carol"), modified=11, text="A whale made of paper."))
    await kit.expect("alice", set())
    await kit.expect("carol", {kit.id(1)})
    hits = await kit.driver.search(Query(user_id=kit.user("bob"), text="whale", limit=5))
    texts = " ".join(hit.text for hit in hits)
    expect("paper" in texts and "deep blue" not in texts, f"after a replacement the text was {texts!r}")
    await kit.expect_count(1)


@case("indexing")
async def a_touched_source_has_the_new_readers(kit: Kit) -> None:
    """Newer by `modified` with equal bytes: the readers are exactly the new ones."""
    await kit.driver.upsert(kit.source(1, users=("alice",), modified=10))
    await kit.expect("alice", {kit.id(1)})
    await kit.driver.upsert(kit.source(1, users=("bob",), modified=11))
    await kit.expect("bob", {kit.id(1)})
    await kit.expect("alice", set())


@case("indexing")
async def a_long_source_is_one_source(kit: Kit) -> None:
    """A source of many chunks counts as one and is gone at once when it is deleted."""
    text = "\n\n".join(f"Paragraph {number}: the whale dives {number} fathoms deep. " * 8 for number in range(60))
    await kit.driver.upsert(kit.source(1, text=text))
    await kit.expect("alice", {kit.id(1)})
    await kit.expect_count(1)
    await kit.driver.delete({kit.id(1)})
    await kit.expect("alice", set())
    await kit.expect_count(0)


@case("indexing")
async def a_source_without_text_is_rejected(kit: Kit) -> None:
    """A source without text raises `Rejected`, and an older version of it is no longer found."""
    await kit.driver.upsert(kit.source(1, modified=10))
    await kit.expect("alice", {kit.id(1)})
    advice = "a source of blanks must raise Rejected, so that Nextcloud drops it from its queue"
    await expect_error(Rejected, kit.driver.upsert(kit.source(1, modified=11, text="  \n")), advice)
    await kit.expect("alice", set())


@case("indexing")
async def a_version_whose_content_is_refused_removes_the_old_one(kit: Kit) -> None:
    """A newer version whose content raises `Rejected` (too large, wrong type) is not indexed and removes older ones."""
    await kit.driver.upsert(kit.source(1, modified=10))
    await kit.expect("alice", {kit.id(1)})
    older = replace(kit.source(1, modified=9), content=NoContent("too large"))
    outcome = await kit.driver.upsert(older)
    expect(outcome is Outcome.UNCHANGED, f"a version that is not newer answered {outcome}")
    await kit.expect("alice", {kit.id(1)})
    newer = replace(kit.source(1, modified=11), content=NoContent("too large"))
    advice = "let the Rejected of content.path() pass, after removing the older version"
    await expect_error(Rejected, kit.driver.upsert(newer), advice)
    await kit.expect("alice", set())


# ---------------------------------------------------------------------- isolation


@case("isolation")
async def equal_bytes_are_two_sources(kit: Kit) -> None:
    """Two sources with equal bytes and different readers stay apart."""
    await kit.driver.upsert(kit.source(1, users=("alice",)))
    await kit.driver.upsert(kit.source(2, users=("bob",)))
    await kit.expect("alice", {kit.id(1)})
    await kit.expect("bob", {kit.id(2)})
    await kit.driver.delete({kit.id(1)})
    await kit.expect("alice", set())
    await kit.expect("bob", {kit.id(2)})


@case("isolation")
async def a_revoked_reader_finds_nothing(kit: Kit) -> None:
    """After a denial the reader finds nothing of the source; the others still do."""
    await kit.driver.upsert(kit.source(1, users=("alice", "bob")))
    await kit.expect("bob", {kit.id(1)})
    await kit.driver.update_access(AccessOp.DENY, kit.id(1), kit.users("bob"))
    await kit.expect("bob", set())
    await kit.expect("alice", {kit.id(1)})


@case("isolation")
async def a_scope_cannot_widen_access(kit: Kit) -> None:
    """A scope narrows what a user finds and never adds to it."""
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
async def a_deleted_source_does_not_come_back_with_its_readers(kit: Kit) -> None:
    """After delete and a new upsert only the new readers find a source."""
    await kit.driver.upsert(kit.source(1, users=("alice",), modified=10))
    await kit.expect("alice", {kit.id(1)})
    await kit.driver.delete({kit.id(1)})
    await kit.expect("alice", set())
    await kit.driver.upsert(kit.source(1, users=("bob",), modified=10))
    await kit.expect("bob", {kit.id(1)})
    await kit.expect("alice", set())


@case("isolation")
async def the_last_reader_takes_the_source_along(kit: Kit) -> None:
    """A source that nobody may read is deleted: allowing somebody later finds nothing to allow."""
    await kit.driver.upsert(kit.source(1, users=("alice", "bob")))
    await kit.expect("alice", {kit.id(1)})
    await kit.driver.update_access(AccessOp.DENY, kit.id(1), kit.users("alice", "bob", "carol"))
    await kit.expect("alice", set())
    await kit.expect_count(0)
    advice = "the source still exists after its last reader was removed"
    await expect_error(NotFound, kit.driver.update_access(AccessOp.ALLOW, kit.id(1), kit.users("alice")), advice)


@case("isolation")
async def strange_user_ids_stay_apart(kit: Kit) -> None:
    """User ids with blanks, commas, quotes, wildcards and other scripts are compared byte for byte."""
    for item, user in enumerate(STRANGE_USERS):
        await kit.driver.upsert(kit.source(item, users=(user,)))
    for item, user in enumerate(STRANGE_USERS):
        await kit.expect(user, {kit.id(item)})
    for other in ("with", "JÖRG", "jorg", "a", "b", "o'brien", "", "%", "*"):
        await kit.expect(other, set())


@case("isolation")
async def ids_that_look_alike_stay_apart(kit: Kit) -> None:
    """Source ids that are prefixes of each other are different sources."""
    for item in ("1", "11", "1:1"):
        await kit.driver.upsert(kit.source(item))
    await kit.expect("alice", {kit.id("1"), kit.id("11"), kit.id("1:1")})
    await kit.driver.delete({kit.id("1")})
    await kit.expect("alice", {kit.id("11"), kit.id("1:1")})


# ---------------------------------------------------------------------- access


@case("access")
async def allowing_adds_readers(kit: Kit) -> None:
    """`update_access(ALLOW)` adds readers, also ones that have access already."""
    await kit.driver.upsert(kit.source(1))
    for _ in range(2):
        await kit.driver.update_access(AccessOp.ALLOW, kit.id(1), kit.users("alice", "bob"))
    await kit.expect("alice", {kit.id(1)})
    await kit.expect("bob", {kit.id(1)})


@case("access")
async def denying_twice_is_fine(kit: Kit) -> None:
    """`update_access(DENY)` may be repeated and may name users that have no access."""
    await kit.driver.upsert(kit.source(1, users=("alice", "bob")))
    for _ in range(2):
        await kit.driver.update_access(AccessOp.DENY, kit.id(1), kit.users("bob", "nobody"))
    await kit.expect("bob", set())
    await kit.expect("alice", {kit.id(1)})


@case("access")
async def setting_makes_readers_exact(kit: Kit) -> None:
    """`set_access` makes the readers exactly the given ones; none deletes the source."""
    await kit.driver.upsert(kit.source(1, users=("alice", "bob")))
    for _ in range(2):
        await kit.driver.set_access(kit.id(1), kit.users("bob", "carol"))
    await kit.expect("alice", set())
    await kit.expect("carol", {kit.id(1)})
    await kit.driver.set_access(kit.id(1), frozenset())
    await kit.expect("carol", set())
    await kit.expect_count(0)


@case("access")
async def access_of_an_unknown_source_is_not_found(kit: Kit) -> None:
    """Access changes of an unknown source raise `NotFound` and create nothing."""
    advice = "an access change of a source that is not stored must raise NotFound"
    await expect_error(NotFound, kit.driver.set_access(kit.id(1), kit.users("alice")), advice)
    for op in AccessOp:
        await expect_error(NotFound, kit.driver.update_access(op, kit.id(1), kit.users("alice")), advice)
    await kit.expect_count(0)


@case("access")
async def a_provider_wide_change_reaches_each_source_of_it(kit: Kit) -> None:
    """`update_provider_access` changes each source of that provider and no other."""
    for item in range(4):
        await kit.driver.upsert(kit.source(item, users=("alice",) if item % 2 else ("alice", "bob")))
    await kit.driver.upsert(kit.source(9, provider="mail"))
    all_files = {kit.id(item) for item in range(4)}
    for _ in range(2):
        await kit.driver.update_provider_access(AccessOp.ALLOW, kit.provider(), kit.users("carol"))
    await kit.expect("carol", all_files)
    await kit.driver.update_provider_access(AccessOp.DENY, kit.provider(), kit.users("alice", "carol"))
    await kit.expect("carol", set())
    await kit.expect("alice", {kit.id(9, "mail")})
    await kit.expect("bob", {kit.id(0), kit.id(2)})
    await kit.expect_count(2)


# ---------------------------------------------------------------------- deletion


@case("deletion")
async def unknown_things_can_be_deleted(kit: Kit) -> None:
    """Deleting unknown sources, providers and users is fine, also twice."""
    await kit.driver.upsert(kit.source(1))
    for _ in range(2):
        await kit.driver.delete({kit.id(77), kit.id(78)})
        await kit.driver.delete_provider(kit.provider("unknown"))
        await kit.driver.delete_user(kit.user("unknown"))
        await kit.driver.update_provider_access(AccessOp.DENY, kit.provider("unknown"), kit.users("alice"))
    await kit.expect("alice", {kit.id(1)})


@case("deletion")
async def a_deleted_provider_leaves_the_others(kit: Kit) -> None:
    """`delete_provider` removes its sources only, also those of a longer name stay."""
    for item in range(3):
        await kit.driver.upsert(kit.source(item))
    await kit.driver.upsert(kit.source(1, provider="default2"))
    await kit.driver.delete_provider(kit.provider())
    await kit.expect("alice", {kit.id(1, "default2")})
    await kit.expect_count(0)
    await kit.expect_count(1, "default2")


@case("deletion")
async def a_deleted_user_is_gone_everywhere(kit: Kit) -> None:
    """`delete_user` removes the reader everywhere, and sources that nobody else may read."""
    await kit.driver.upsert(kit.source(1, users=("alice",)))
    await kit.driver.upsert(kit.source(2, users=("alice", "bob")))
    await kit.driver.upsert(kit.source(3, users=("alice",), provider="mail"))
    await kit.expect("alice", {kit.id(1), kit.id(2), kit.id(3, "mail")})
    await kit.driver.delete_user(kit.user("alice"))
    await kit.expect("alice", set())
    await kit.expect("bob", {kit.id(2)})
    await kit.expect_count(1)
    await kit.expect_count(0, "mail")


# ---------------------------------------------------------------------- search


@case("search")
async def a_limit_is_kept(kit: Kit) -> None:
    """A search returns at most `limit` hits, best first."""
    for item in range(5):
        await kit.driver.upsert(kit.source(item, text=f"Whale number {item} sings."))
    await kit.expect("alice", {kit.id(item) for item in range(5)})
    hits = await kit.driver.search(Query(user_id=kit.user("alice"), text="whale", limit=3))
    expect(len(hits) == 3, f"limit 3 gave {len(hits)} hits")  # noqa: PLR2004
    scores = [hit.score for hit in hits]
    expect(scores == sorted(scores, reverse=True), f"scores are not in order: {scores}")


@case("search")
async def the_fitting_source_comes_first(kit: Kit) -> None:
    """A question about one of several sources finds that one first."""
    texts = {
        "recipe": "Bake the apple cake for forty minutes. Flour, butter, apples and cinnamon are needed.",
        "budget": "The marketing budget for next year is 50,000 euros, the travel budget is 10,000 euros.",
        "holiday": "The office is closed between Christmas and New Year. Holiday requests go to Carol.",
    }
    for item, text in texts.items():
        await kit.driver.upsert(kit.source(item, text=text, title=f"files/{item}.md"))
    await kit.expect("alice", {kit.id(item) for item in texts})
    for question, item in {"how long to bake the apple cake": "recipe", "marketing budget": "budget"}.items():
        hits = await kit.driver.search(Query(user_id=kit.user("alice"), text=question, limit=3))
        expect(hits[0].source_id == kit.id(item), f"{question!r} found {hits[0].source_id} first")


@case("search")
async def odd_questions_do_no_harm(kit: Kit) -> None:
    """Questions with quotes, operators, control characters or no words at all raise nothing."""
    await kit.driver.upsert(kit.source(1))
    for text in ("'; drop table x; --", '"', "a & b | !c <-> d:*", "😀", "?!", "\x00 whale \x01", "whale " * 2000):
        await kit.driver.search(Query(user_id=kit.user("alice"), text=text, limit=3))


# ---------------------------------------------------------------------- capabilities


@case("capabilities")
async def answers_work_exactly_if_declared(kit: Kit) -> None:
    """`answer` cites what the user may read, or raises `Unsupported` when it is not declared."""
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
    """A declared list of types leaves out what the driver cannot read."""
    types = kit.driver.capabilities.mime_types
    if types is None:
        raise CaseSkipped("the driver takes every type")
    expect("text/plain" in types and "text/markdown" in types, "plain text and Markdown must be supported")
    expect("application/zip" not in types, "an archive is not a document")


@case("capabilities")
async def inventory_describes_what_is_stored(kit: Kit) -> None:
    """`inventory` lists each stored source as it is now, only the asked ones, or raises `Unsupported` if undeclared."""
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
    """`check` raises nothing while the backend works, and each finding that is not ok says what to do."""
    for finding in await kit.driver.check():
        expect(bool(finding.subject and finding.text), f"{finding} needs a subject and a text")
        has_cure = bool(finding.cure) or finding.level is Level.OK
        expect(has_cure, f"the finding {finding.subject!r} is a {finding.level} and needs a cure")


@case("capabilities")
async def the_identity_is_stable(kit: Kit) -> None:
    """`identity` is not empty and does not change while the driver is open."""
    before = kit.driver.identity
    await kit.driver.upsert(kit.source(1))
    expect(bool(before) and kit.driver.identity == before, "identity must be a fixed, non-empty text")
    await kit.driver.ping()


# ---------------------------------------------------------------------- congruence


READERS, PROVIDERS, ITEMS = ("ann", "ben joe", "çem", "dò", "e,f"), ("default", "mail"), range(5)


@case("congruence")
async def random_operations_agree_with_the_reference_driver(kit: Kit) -> None:
    """A random sequence of operations leaves the same sources to the same users as the reference driver."""
    rng = random.Random(20)  # noqa: S311 - repeatable, not secret
    reference = Kit(ReferenceDriver(), kit.folder, kit.namespace)
    for step in range(RANDOM_STEPS):
        operation = _random_operation(kit, rng, step)
        mine, theirs = [await _outcome(operation, driver) for driver in (kit.driver, reference.driver)]
        expect(mine == theirs, f"step {step}: the driver raised {mine}, the reference {theirs}")
        if step % 10 == 0 or step == RANDOM_STEPS - 1:
            await _expect_congruence(kit, reference)


async def _expect_congruence(kit: Kit, reference: Kit) -> None:
    for user in READERS:
        await kit.expect(user, await reference.found(user))
    for provider in PROVIDERS:
        await kit.expect_count((await reference.driver.count()).get(kit.provider(provider), 0), provider)


async def _outcome(operation: Callable[[Driver], Awaitable[object]], driver: Driver) -> str | None:
    try:
        await operation(driver)
    except (NotFound, Rejected) as error:
        return type(error).__name__
    return None


def _random_operation(  # noqa: PLR0911 - one line per operation of the contract
    kit: Kit, rng: random.Random, step: int
) -> Callable[[Driver], Awaitable[object]]:
    provider, item = rng.choice(PROVIDERS), rng.choice(ITEMS)
    id_, users = kit.id(item, provider), kit.users(*rng.sample(READERS, rng.randint(1, 3)))
    provider_id, op = kit.provider(provider), rng.choice(list(AccessOp))
    text = rng.choice(["The whale sings.", f"The whale dives, step {step}."])
    readers, modified = rng.sample(READERS, rng.randint(1, 3)), rng.randint(1, 10)
    source = kit.source(item, users=readers, provider=provider, text=text, modified=modified)
    match rng.choices(range(8), weights=(40, 18, 10, 8, 6, 2, 3, 3))[0]:
        case 0:
            return lambda driver: driver.upsert(source)
        case 1:
            return lambda driver: driver.update_access(op, id_, users)
        case 2:
            return lambda driver: driver.set_access(id_, users)
        case 3:
            return lambda driver: driver.update_provider_access(op, provider_id, users)
        case 4:
            return lambda driver: driver.delete({id_})
        case 5:
            return lambda driver: driver.delete_provider(provider_id)
        case 6:
            return lambda driver: driver.set_access(id_, frozenset())
        case _:
            return lambda driver: driver.delete_user(min(users))
