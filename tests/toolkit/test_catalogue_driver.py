"""The driver over a store that knows nothing of users: nobody finds what they may not read, whatever the store does."""

import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import anyio
import pytest

from context_chat_backend.contract import (
    AccessOp,
    Level,
    Misconfigured,
    NotFound,
    Outcome,
    Overtaken,
    ProviderId,
    ProviderScope,
    Query,
    Rejected,
    Source,
    SourceId,
    SourceScope,
    TransientError,
    Unavailable,
    UserId,
)
from context_chat_backend.toolkit.catalogue import CatalogueDriver, ChunkRecord, DocumentKey, Match
from context_chat_backend.toolkit.catalogue.catalogue import NEW_DOCUMENTS
from context_chat_backend.toolkit.catalogue.guard import MARKER, StoreGuard
from context_chat_backend.toolkit.postgres.documents import Decision

from .catalogue_stage import ALICE, BOB, CAROL, FILES, MAIL, LineIndexer, Stage, WordEmbedder, set_up
from .memory_store import MemoryStore
from .test_schema import DIMENSION

pytest_plugins = ["tests.pg"]
pytestmark = pytest.mark.anyio

ONE, TWO = SourceId("files: 1"), SourceId("files: 2")
Change = Callable[[CatalogueDriver], Awaitable[None]]


@pytest.fixture
def stage(catalogue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with set_up(catalogue, tmp_path, monkeypatch) as stage:
        yield stage


@pytest.fixture
async def driver(stage: Stage) -> AsyncIterator[CatalogueDriver]:
    async with stage.driver() as driver:
        yield driver


def lines(word: str, count: int) -> str:
    return "\n".join(f"the whale {word} {number}" for number in range(count))


# -- a store that lags behind


TAKE_FROM_BOB: dict[str, Change] = {
    "deny": lambda driver: driver.update_access(AccessOp.DENY, ONE, {BOB}),
    "declarative": lambda driver: driver.set_access(ONE, {ALICE}),
    "declarative, nobody": lambda driver: driver.set_access(ONE, set()),
    "provider-wide deny": lambda driver: driver.update_provider_access(AccessOp.DENY, FILES, {BOB}),
    "delete user": lambda driver: driver.delete_user(BOB),
    "delete source": lambda driver: driver.delete({ONE}),
    "delete provider": lambda driver: driver.delete_provider(FILES),
}


@pytest.mark.parametrize("take", TAKE_FROM_BOB.values(), ids=TAKE_FROM_BOB)
async def test_a_revocation_acts_at_once_although_the_store_never_hears_of_it(
    stage: Stage, driver: CatalogueDriver, take: Change
) -> None:
    await driver.upsert(stage.source(1, [ALICE, BOB]))
    await driver.upsert(stage.source(2, [ALICE, BOB]))
    await driver.upsert(stage.source(3, [ALICE, BOB], provider=MAIL))
    stage.store.fall_behind()
    assert ONE in await stage.found(driver, BOB)
    await take(driver)
    for _ in range(2):
        for scope in (None, ProviderScope(frozenset({FILES})), SourceScope(frozenset({ONE}))):
            assert ONE not in await stage.found(driver, BOB, scope=scope)
            assert ONE not in await stage.found(driver, BOB, scope=scope, limit=1)
        await stage.deliver()


async def test_bob_still_finds_what_was_not_taken_from_him(stage: Stage, driver: CatalogueDriver) -> None:
    for item in (1, 2):
        await driver.upsert(stage.source(item, [ALICE, BOB]))
    stage.store.fall_behind()
    await driver.update_access(AccessOp.DENY, ONE, {BOB})
    assert await stage.found(driver, BOB) == {TWO}
    assert await stage.found(driver, ALICE) == {ONE, TWO}


GIVE_TO_BOB: dict[str, Change] = {
    "allow": lambda driver: driver.update_access(AccessOp.ALLOW, ONE, {BOB}),
    "declarative": lambda driver: driver.set_access(ONE, {BOB}),
    "provider-wide allow": lambda driver: driver.update_provider_access(AccessOp.ALLOW, FILES, {BOB}),
}


@pytest.mark.parametrize("give", GIVE_TO_BOB.values(), ids=GIVE_TO_BOB)
async def test_a_new_reader_finds_at_once_although_the_chunks_carry_the_old_group(
    stage: Stage, driver: CatalogueDriver, give: Change
) -> None:
    await driver.upsert(stage.source(1))
    stage.store.fall_behind()
    before = stage.stored()
    await give(driver)
    assert stage.stored() == before
    for scope in (None, ProviderScope(frozenset({FILES})), SourceScope(frozenset({ONE}))):
        assert await stage.found(driver, BOB, scope=scope) == {ONE}
    assert await stage.found(driver, BOB, scope=ProviderScope(frozenset({MAIL}))) == set()


async def test_more_new_documents_than_a_search_names_are_found_once_the_relay_has_run(
    stage: Stage, driver: CatalogueDriver
) -> None:
    many = NEW_DOCUMENTS + 200
    await stage.seed(many)
    stage.sql("select count(ccb_update_access('allow', '{bob}', source_id)) from ccb.documents")
    assert len(await stage.found(driver, BOB, limit=many)) == NEW_DOCUMENTS
    assert len(await stage.found(driver, ALICE, limit=many)) == NEW_DOCUMENTS
    some = frozenset(SourceId(f"files: {number}") for number in range(1, many + 1))
    assert await stage.found(driver, BOB, limit=many, scope=SourceScope(some)) == some
    assert await stage.deliver()
    assert await stage.found(driver, BOB, limit=many) == await stage.found(driver, ALICE, limit=many) == some


async def test_two_thousand_revocations_that_the_store_has_not_heard_of_show_nothing(
    stage: Stage, driver: CatalogueDriver
) -> None:
    await stage.seed(2000, [ALICE, BOB])
    await driver.upsert(stage.source("kept", [ALICE, BOB]))  # Bob goes on to search in the old group
    stage.store.fall_behind()
    stage.sql("select count(ccb_update_access('deny', '{bob}', source_id)) from ccb.documents where title = 'title'")
    assert await stage.found(driver, BOB) == {"files: kept"}


async def test_a_group_that_gains_readers_brings_them_nothing_that_has_left_it(
    stage: Stage, driver: CatalogueDriver
) -> None:
    await driver.upsert(stage.source(1, [ALICE]))
    await driver.upsert(stage.source(2, [ALICE]))
    stage.store.fall_behind()
    await driver.set_access(TWO, {CAROL})  # its chunks still carry the group of Alice
    await driver.update_provider_access(AccessOp.ALLOW, FILES, {BOB})
    await driver.update_access(AccessOp.DENY, TWO, {BOB})
    assert await stage.found(driver, BOB) == {ONE}
    assert await stage.found(driver, ALICE) == {ONE}
    assert await stage.found(driver, CAROL) == {TWO}


# -- replacing


async def test_the_old_version_is_found_until_the_new_one_is_searchable(stage: Stage, driver: CatalogueDriver) -> None:
    await driver.upsert(stage.source(1, [ALICE, BOB], lines("old", 5)))
    waiting, go_on = anyio.Event(), anyio.Event()

    async def hold(name: str) -> None:
        if name == "wait_until_searchable":
            waiting.set()
            await go_on.wait()

    stage.store.pause = hold
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driver.upsert, stage.source(1, [ALICE, CAROL], lines("new", 150), modified=2000))
            await waiting.wait()
            assert [hit.text.split()[2] for hit in await stage.hits(driver, ALICE)] == ["old"] * 5
            assert await stage.found(driver, BOB) == await stage.found(driver, CAROL) == set()
            go_on.set()
    for user in (ALICE, CAROL):
        assert [hit.text.split()[2] for hit in await stage.hits(driver, user)] == ["new"] * 150


async def test_a_new_source_does_not_wait_for_the_store(stage: Stage, driver: CatalogueDriver) -> None:
    def must_not_wait(name: str) -> None:
        assert name != "wait_until_searchable"

    stage.store.before_call = must_not_wait
    assert await driver.upsert(stage.source(1)) is Outcome.CREATED


async def test_no_result_mixes_versions_and_none_has_a_chunk_of_an_older_one(
    stage: Stage, driver: CatalogueDriver
) -> None:
    seen: list[set[str]] = []

    async def look(name: str) -> None:
        if name != "nearest":
            seen.append({hit.text.split()[2] for hit in await stage.hits(driver, ALICE)})

    async def look_into_the_catalogue(name: str) -> None:
        if name in {"ccb_stage_document", "ccb_expect_chunks", "ccb_publish_document"}:
            await look(name)

    stage.store.pause = look
    stage.wire.before = stage.wire.after = look_into_the_catalogue
    sizes = {"v1": 250, "v2": 3, "v3": 120, "v4": 1}
    for number, (version, size) in enumerate(sizes.items()):
        await driver.upsert(stage.source(1, [ALICE], lines(version, size), modified=number))
        assert Counter(hit.text.split()[2] for hit in await stage.hits(driver, ALICE)) == {version: size}
    assert all(len(versions) <= 1 for versions in seen)
    assert {version for versions in seen for version in versions} == set(sizes)


async def test_a_search_that_is_checked_after_a_replacement_returns_the_new_version_only(
    stage: Stage, driver: CatalogueDriver
) -> None:
    await driver.upsert(stage.source(1, [ALICE], lines("old", 5)))
    answered, published = anyio.Event(), anyio.Event()
    found: list[str] = []

    async def look() -> None:
        found.extend(hit.text.split()[2] for hit in await stage.hits(driver, ALICE))

    async def search_meanwhile(name: str) -> None:
        if name == "wait_until_searchable":
            tasks.start_soon(look)
            await answered.wait()

    async def check_later(function: str) -> None:
        if function == "ccb_readable":
            answered.set()
            await published.wait()

    stage.store.pause, stage.wire.before = search_meanwhile, check_later
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            await driver.upsert(stage.source(1, [ALICE], lines("new", 5), modified=2000))
            published.set()
    assert found == ["new"] * 5


async def test_a_chunk_beyond_those_of_the_document_is_no_hit(stage: Stage, driver: CatalogueDriver) -> None:
    await driver.upsert(stage.source(1))
    (key,) = stage.stored()
    beyond = [Match(document=DocumentKey(key), ordinal=ordinal, heading="", text="stale") for ordinal in (1, 2, 10**6)]
    stage.store.strangers = beyond
    assert [hit.text for hit in await stage.hits(driver, ALICE)] == ["the whale"]


# -- what a store may return


STRANGE = ["f" * 32, "", " ", "'; drop table ccb.documents; --", "{}", "F" * 32, "é" * 40, "x" * 9000]


async def test_matches_of_documents_that_the_catalogue_does_not_know_are_ignored(
    stage: Stage, driver: CatalogueDriver
) -> None:
    await driver.upsert(stage.source(1))
    stage.store.strangers = [Match(document=DocumentKey(key), ordinal=0, heading="", text="secret") for key in STRANGE]
    assert [hit.text for hit in await stage.hits(driver, ALICE)] == ["the whale"]


@pytest.mark.parametrize("key", ["\0", "a\0b", "\ud800"])
async def test_matches_of_documents_that_no_catalogue_can_know_are_ignored(
    stage: Stage, driver: CatalogueDriver, key: str
) -> None:
    await driver.upsert(stage.source(1))
    stage.store.strangers = [Match(document=DocumentKey(key), ordinal=0, heading="", text="secret")]
    assert [hit.text for hit in await stage.hits(driver, ALICE)] == ["the whale"]


async def test_matches_of_documents_that_another_user_reads_are_ignored(stage: Stage, driver: CatalogueDriver) -> None:
    await driver.upsert(stage.source(1, [ALICE], "secret"))
    await driver.upsert(stage.source(2, [BOB]))
    (key,) = stage.rows("select document_key from ccb.documents where source_id = 'files: 1'")[0]
    stage.store.strangers = [Match(document=DocumentKey(key), ordinal=0, heading="", text="secret")]
    assert [hit.text for hit in await stage.hits(driver, BOB)] == ["the whale"]
    assert await stage.hits(driver, BOB, scope=SourceScope(frozenset({ONE}))) == []


@pytest.mark.parametrize("limit", [1, 2, 20])
async def test_the_limit_is_reached_although_the_best_matches_are_not_readable(
    stage: Stage, driver: CatalogueDriver, limit: int
) -> None:
    denied = 8 * limit + 20
    for item in range(denied):
        await driver.upsert(stage.source(item, [ALICE, BOB], "the whale"))
    for item in range(limit):
        await driver.upsert(stage.source(f"kept {item}", [ALICE, BOB], "the whale and many other words"))
    stage.store.fall_behind()
    stage.sql("select count(ccb_update_access('deny', '{bob}', source_id)) from ccb.documents where title !~ 'kept'")
    assert await stage.found(driver, BOB, limit=limit) == {f"files: kept {item}" for item in range(limit)}


async def test_one_upload_of_a_large_document_leaves_searches_what_they_find(
    stage: Stage, driver: CatalogueDriver
) -> None:
    await driver.upsert(stage.source(1, [ALICE], "a few words about the whale"))
    found: list[set[str]] = []

    async def look(name: str) -> None:
        if name == "ccb_publish_document":
            found.append(await stage.found(driver, ALICE, limit=1))

    stage.wire.before = look
    await driver.upsert(stage.source(2, [ALICE], "\n".join(["the whale"] * 3000)))
    assert found == [{ONE}]


async def test_at_most_limit_hits_come_back_best_first(stage: Stage, driver: CatalogueDriver) -> None:
    for item in range(30):
        await driver.upsert(stage.source(item, [ALICE], f"the white whale swims in the cold sea {'sailor ' * item}"))
    hits = await stage.hits(driver, ALICE, limit=7)
    assert len(hits) == 7
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert hits[0].source_id == "files: 0"


async def test_words_count_also_where_a_store_finds_by_meaning_only(stage: Stage, driver: CatalogueDriver) -> None:
    await driver.upsert(stage.source(1, [ALICE], "apple pie"))
    await driver.upsert(stage.source(2, [ALICE], "banana split"))
    best, other = await stage.hits(driver, ALICE, text="Banana-Split!")
    assert (best.source_id, other.source_id) == (TWO, ONE)
    assert best.score > 0.5 > other.score


async def test_a_scope_narrows_and_never_widens(stage: Stage, driver: CatalogueDriver) -> None:
    await driver.upsert(stage.source(1, [ALICE, BOB]))
    await driver.upsert(stage.source(2, [BOB]))
    await driver.upsert(stage.source(3, [ALICE], provider=MAIL))

    async def found(scope: ProviderScope | SourceScope) -> set[str]:
        return await stage.found(driver, ALICE, scope=scope)

    assert await found(ProviderScope(frozenset({MAIL}))) == {"mail: 3"}
    assert await found(ProviderScope(frozenset({FILES, MAIL}))) == {ONE, "mail: 3"}
    assert await found(SourceScope(frozenset({TWO}))) == set()
    assert await found(SourceScope(frozenset({ONE, TWO}))) == {ONE}
    for nothing in (ProviderScope(frozenset()), SourceScope(frozenset()), SourceScope(frozenset({SourceId("\0")}))):
        assert await found(nothing) == set()


async def test_a_user_who_may_read_nothing_costs_the_store_nothing(stage: Stage, driver: CatalogueDriver) -> None:
    await driver.upsert(stage.source(1))
    before = stage.store.calls.searches
    assert await stage.found(driver, BOB) == set()
    assert stage.store.calls.searches == before


async def test_a_user_in_ten_thousand_groups_and_a_document_with_five_thousand_readers(
    stage: Stage, driver: CatalogueDriver
) -> None:
    stage.sql(
        "do $$ declare a int := (ccb.user_numbers('{alice}', true))[1]; b int; g bigint; begin"
        " for n in 1 .. 10500 loop"
        "  b := (ccb.user_numbers(array['user ' || n], true))[1]; g := ccb.group_for('files', array[a, b]);"
        "  insert into ccb.documents (source_id, provider, group_id, store_group, title, doc_type, modified,"
        "   content_hash, chunk_count) values ('files: ' || n, 'files', g, g, 'title', 'text', 1, 'hash', 1);"
        " end loop; end $$"
    )
    readers = [ALICE, *(f"user {number}" for number in range(1, 5000))]
    assert await driver.upsert(stage.source("all", readers)) is Outcome.CREATED
    assert await stage.found(driver, ALICE) == await stage.found(driver, "user 4999") == {"files: all"}
    assert await stage.found(driver, "user 5000") == set()
    await driver.update_access(AccessOp.ALLOW, SourceId("files: all"), {UserId("user 5000")})
    await driver.update_access(AccessOp.DENY, SourceId("files: all"), {UserId("user 17")})
    assert await stage.found(driver, "user 5000") == {"files: all"}
    assert await stage.found(driver, "user 17") == set()


# -- crashes of uploads


CRASHES = [
    (where, name, count)
    for name, counts in {
        "ccb_begin_upsert": 1,
        "ccb_stage_document": 1,
        "ccb_expect_chunks": 2,
        "put": 2,
        "wait_until_searchable": 1,
        "ccb_publish_document": 1,
    }.items()
    for count in range(1, counts + 1)
    for where in ("before", "after")
    if (where, name) != ("after", "wait_until_searchable")
]


class Bomb:
    """Ends the process at a step, the `count`th time that it is reached."""

    def __init__(self, stage: Stage, where: str, step: str, count: int) -> None:
        self._stage, self._step, self._count = stage, step, count
        setattr(stage.wire, where, self._on_wire)
        setattr(stage.store, f"{where}_call", self)

    def __call__(self, step: str) -> None:
        if step != self._step:
            return
        self._count -= 1
        if self._count == 0:
            self._stage.crash()
            raise Unavailable("the end")

    async def _on_wire(self, function: str) -> None:
        self(function)


@pytest.mark.parametrize("lag", [False, True], ids=["", "lag"])
@pytest.mark.parametrize(("where", "step", "count"), CRASHES)
async def test_an_upload_that_ends_anywhere_leaves_one_whole_version_and_can_be_repeated(
    stage: Stage, where: str, step: str, count: int, lag: bool
) -> None:
    new = stage.source(1, [ALICE, CAROL], lines("new", 150), modified=2000)

    async def versions(driver: CatalogueDriver, user: str) -> dict[str, int]:
        hits = await stage.hits(driver, user)
        return Counter(hit.text.split()[2] for hit in hits if hit.source_id == ONE)

    async with stage.driver() as driver:
        await driver.upsert(stage.source(1, [ALICE, BOB], lines("old", 5)))
        await driver.upsert(stage.source(2, [ALICE, BOB, CAROL]))
        if lag:
            stage.store.fall_behind()
        Bomb(stage, where, step, count)
        with pytest.raises(TransientError):
            await driver.upsert(new)
    stage.restart()
    async with stage.driver() as driver:
        published = (where, step) == ("after", "ccb_publish_document")
        assert await versions(driver, ALICE) == ({"old": 5} if not published else {} if lag else {"new": 150})
        assert "new" not in await versions(driver, BOB)
        assert await driver.upsert(new) in {Outcome.UPDATED, Outcome.UNCHANGED}
        stage.store.catch_up()
        for user in (ALICE, CAROL):
            assert await versions(driver, user) == {"new": 150}
        assert await stage.found(driver, BOB) == {TWO}
        assert await stage.deliver()
        stage.make_due()
        assert await stage.deliver()
        assert stage.stored() == stage.wanted()
        assert stage.sql("select count(*) from ccb.removals") == 0


async def test_what_a_failed_upload_left_is_removed_no_sooner_than_it_can_have_arrived(
    stage: Stage, driver: CatalogueDriver
) -> None:
    def fail(name: str) -> None:
        if name == "put" and stage.store.calls.put == 2:
            raise Unavailable("not now")

    stage.store.before_call = fail
    with pytest.raises(Unavailable):
        await driver.upsert(stage.source(1, [ALICE], lines("x", 150)))
    assert len(stage.store.accepted) == 100
    assert await stage.deliver()
    assert len(stage.store.accepted) == 100
    assert stage.sql(
        "select min(due) between now() + interval '4 minutes' and now() + interval '5 minutes' from ccb.removals"
    )
    stage.make_due()
    assert await stage.deliver()
    assert stage.store.accepted == {}


async def test_an_upload_that_is_cancelled_is_given_up_and_leaves_nothing(
    stage: Stage, driver: CatalogueDriver
) -> None:
    reached = anyio.Event()

    async def hold(name: str) -> None:
        if name == "wait_until_searchable":
            reached.set()
            await anyio.sleep_forever()

    await driver.upsert(stage.source(1, [ALICE], "old whale"))
    stage.store.pause = hold
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driver.upsert, stage.source(1, [ALICE], lines("new", 5), modified=2000))
            await reached.wait()
            tasks.cancel_scope.cancel()
    assert [hit.text for hit in await stage.hits(driver, ALICE)] == ["old whale"]
    assert stage.sql("select count(*) from ccb.documents") == 1
    stage.make_due()
    assert await stage.deliver()
    assert stage.stored() == stage.wanted()


@pytest.mark.parametrize("end", [lambda driver: driver.delete({ONE}), lambda driver: driver.delete_provider(FILES)])
async def test_a_source_that_is_deleted_while_it_is_uploaded_is_not_stored(
    stage: Stage, driver: CatalogueDriver, end: Change
) -> None:
    async def delete(name: str) -> None:
        if name == "put":
            await end(driver)

    stage.store.pause = delete
    with pytest.raises(TransientError):
        await driver.upsert(stage.source(1, [ALICE], lines("x", 150)))
    assert await stage.found(driver, ALICE) == set()
    assert await driver.count() == {}
    stage.make_due()
    assert await stage.deliver()
    assert stage.store.accepted == {}


async def test_an_upload_is_to_be_repeated_when_readers_change_meanwhile(stage: Stage, driver: CatalogueDriver) -> None:
    """What it would bring may be older than the change."""

    async def allow(name: str) -> None:
        if name == "put":
            await driver.update_provider_access(AccessOp.ALLOW, FILES, {BOB})

    stage.store.pause = allow
    with pytest.raises(Overtaken):
        await driver.upsert(stage.source(1, [ALICE]))
    stage.store.pause = MemoryStore().pause
    await driver.upsert(stage.source(1, [ALICE]))
    assert await stage.found(driver, BOB) == set()
    assert await stage.found(driver, ALICE) == {ONE}
    stage.make_due()
    assert await stage.deliver()
    assert stage.stored() == stage.wanted()
    assert await stage.found(driver, ALICE) == {ONE}


async def test_of_two_gateways_that_upload_versions_of_a_source_the_newer_one_wins(stage: Stage) -> None:
    async with stage.driver() as one, stage.driver() as other:
        older = stage.source(1, ["older"], lines("older", 150), modified=2000)
        newer = stage.source(1, ["newer"], lines("newer", 150), modified=3000)

        async def upsert(driver: CatalogueDriver, version: Source) -> None:
            """Until it is through, as Nextcloud does."""
            while True:
                try:
                    await driver.upsert(version)
                except Overtaken:
                    await anyio.sleep(0.01)
                else:
                    return

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(upsert, one, older)
            tasks.start_soon(upsert, other, newer)
        hits = await stage.hits(one, "newer")
        assert Counter(hit.text.split()[2] for hit in hits) == {"newer": 150}
        stage.make_due()
        assert await stage.deliver()
        assert stage.stored() == stage.wanted()


async def test_a_version_that_can_never_be_stored_takes_the_older_one_with_it(
    stage: Stage, driver: CatalogueDriver
) -> None:
    def refuse(name: str) -> None:
        if name == "put":
            raise Rejected("too odd")

    await driver.upsert(stage.source(1))
    stage.store.before_call = refuse
    with pytest.raises(Rejected):
        await driver.upsert(stage.source(1, text="odd", modified=2000))
    assert await stage.found(driver, ALICE) == set()


# -- opening


@pytest.fixture
async def used(stage: Stage) -> dict[str, str]:
    """The settings of a catalogue with a document."""
    async with stage.driver() as driver:
        await driver.upsert(stage.source(1))
    return settings_of(stage)


def settings_of(stage: Stage) -> dict[str, str]:
    return dict(stage.rows("select key, value from ccb.settings"))


async def misconfigured(driver: CatalogueDriver) -> str:
    with pytest.raises(Misconfigured) as error:
        async with driver:
            pass
    return str(error.value)


async def test_a_catalogue_of_another_store_is_left_alone(stage: Stage, used: dict[str, str]) -> None:
    message = await misconfigured(stage.make(store=MemoryStore("elsewhere")))
    assert "belongs to the store memory, not to elsewhere" in message
    assert "Go back to the former store" in message
    assert settings_of(stage) == used


async def test_a_catalogue_of_another_model_is_left_alone(stage: Stage, used: dict[str, str]) -> None:
    message = await misconfigured(stage.make(indexer=LineIndexer(WordEmbedder("sentences"))))
    assert 'holds embeddings of the model "words", not of "sentences"' in message
    assert "Go back to the former embedding model" in message
    assert settings_of(stage) == used


async def test_a_catalogue_keeps_the_model_that_it_was_filled_with(stage: Stage, used: dict[str, str]) -> None:
    new = WordEmbedder("sentences", dimension=9)
    async with stage.make(indexer=LineIndexer(new, WordEmbedder)) as driver:
        await driver.upsert(stage.source(7, [ALICE], "the moon"))
        assert [hit.text for hit in await driver.search(Query(user_id=ALICE, text="the moon", limit=1))] == ["the moon"]
        assert "model" in {finding.subject for finding in await driver.check() if finding.level is Level.WARNING}
    assert settings_of(stage)["embedding_model"] == used["embedding_model"] == "words"


async def test_a_catalogue_of_another_dimension_is_left_alone(stage: Stage, used: dict[str, str]) -> None:
    message = await misconfigured(stage.make(indexer=LineIndexer(WordEmbedder(dimension=9))))
    assert "8 dimensions, the embedding model makes 9" in message
    assert settings_of(stage) == used


async def test_a_database_of_the_builtin_backend_is_left_alone(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(database, tmp_path)
    before = settings_of(stage)
    assert "in use by another backend of the gateway" in await misconfigured(stage.make())
    assert settings_of(stage) == before
    assert stage.sql("select to_regclass('ccb.removals')") is None


async def test_a_store_that_was_emptied_is_reported_and_not_taken_for_well(stage: Stage, used: dict[str, str]) -> None:
    stage.store.empty()
    message = await misconfigured(stage.make())
    assert "memory was emptied: the catalogue lists 1 chunks" in message
    assert "remove the catalogue, too" in message
    assert settings_of(stage) == used


async def test_an_empty_catalogue_fits_an_empty_store(stage: Stage) -> None:
    async with stage.driver() as driver:
        await driver.upsert(stage.source(1))
        await driver.delete({ONE})
        assert await stage.deliver()
    assert stage.store.accepted == {}
    async with stage.driver() as driver:
        assert await driver.count() == {}


async def test_a_mistaken_address_that_nothing_was_stored_at_can_be_corrected(stage: Stage) -> None:
    class Absent(MemoryStore):
        async def prepare(self, namespace: str, dimension: int) -> None:
            raise Misconfigured("no such index")

    assert "no such index" in await misconfigured(stage.make(store=Absent("a typo")))
    async with stage.driver() as driver:
        await driver.upsert(stage.source(1))
        assert await stage.found(driver, ALICE) == {ONE}


async def test_the_identity_and_the_namespace_stay_over_restarts_and_differ_between_catalogues(
    stage: Stage, used: dict[str, str]
) -> None:
    async with stage.driver() as driver:
        assert driver.identity == f"memory:{used['store_id']}"
        assert stage.store.namespace == f"ccb-{used['store_id'].replace('-', '')}"
        assert len(stage.store.namespace) == 36


async def test_an_older_catalogue_shows_nothing_of_what_the_store_got_since(
    stage: Stage, catalogue_copy: Callable[[], AbstractContextManager[str]]
) -> None:
    async with stage.driver() as driver:
        await driver.upsert(stage.source(1, [ALICE], "old whale"))
        await driver.upsert(stage.source(2, [ALICE, BOB]))
        await driver.upsert(stage.source("kept", [ALICE, BOB]))
    newest = stage.uri
    with catalogue_copy() as older:
        async with stage.driver() as driver:
            await driver.upsert(stage.source(1, [BOB], lines("new", 3), modified=2000))
            await driver.upsert(stage.source(4, [CAROL], "secret of carol"))
            await driver.update_access(AccessOp.DENY, TWO, {BOB})
            assert await stage.deliver()
        stage.uri = older
        async with stage.driver() as driver:
            for group in range(3):  # their numbers are those that chunks in the store carry already
                await driver.upsert(stage.source(f"later {group}", [BOB, f"user {group}"], "another"))
            for user in (ALICE, BOB, CAROL, "user 0", "user 1"):
                texts = {hit.text for hit in await stage.hits(driver, user)}
                assert not {text for text in texts if "new" in text or "secret" in text}
            assert ONE not in await stage.found(driver, BOB)
            assert await stage.found(driver, CAROL) == set()
            assert "files: kept" in await stage.found(driver, BOB)
        stage.uri = newest


async def test_an_older_catalogue_whose_groups_are_declared_unknown_is_found_again(
    stage: Stage, catalogue_copy: Callable[[], AbstractContextManager[str]]
) -> None:
    async with stage.driver() as driver:
        for item in (1, 2):
            await driver.upsert(stage.source(item, [ALICE, BOB]))
    newest = stage.uri
    with catalogue_copy() as older:
        async with stage.driver() as driver:
            await driver.set_access(ONE, {CAROL})
            assert await stage.deliver()
        stage.uri = older
        stage.sql("update ccb.documents set store_group = 0")
        async with stage.driver() as driver:
            for _ in range(2):
                assert await stage.found(driver, BOB) == {ONE, TWO}
                assert await stage.found(driver, CAROL) == set()
                assert await stage.deliver()
            assert stage.stored() == stage.wanted()
        stage.uri = newest


async def test_check_tells_of_what_the_store_does_not_know_yet(stage: Stage, driver: CatalogueDriver) -> None:
    for item in (1, 2):
        await driver.upsert(stage.source(item))
    await driver.update_access(AccessOp.ALLOW, ONE, {BOB})
    await driver.delete({TWO})
    (finding,) = await driver.check()
    assert finding.text == "1 chunks; not yet passed on to the store: 1 changes of access, 1 removals"
    assert await stage.deliver()
    stage.store.empty()
    warning = (await driver.check())[-1]
    assert warning.text == "the store has 0 chunks, the catalogue lists 1"
    assert warning.remedy


# -- ids


ODD = ["a,b{}\"'\\", "日本 語", " ", "%s", "é\N{COMBINING ACUTE ACCENT}", "NULL", "x" * 500]


@pytest.mark.parametrize("odd", ODD)
async def test_ids_come_back_as_they_went_in(stage: Stage, driver: CatalogueDriver, odd: str) -> None:
    source = stage.source(1, [odd], id=SourceId(odd), provider=ProviderId(odd), title=odd)
    assert await driver.upsert(source) is Outcome.CREATED
    (hit,) = await stage.hits(driver, odd, scope=ProviderScope(frozenset({ProviderId(odd)})))
    assert (hit.source_id, hit.title) == (odd, odd)
    assert await stage.found(driver, odd, scope=SourceScope(frozenset({SourceId(odd)}))) == {odd}
    await driver.update_access(AccessOp.ALLOW, SourceId(odd), {ALICE})
    await driver.delete_user(UserId(odd))
    assert await stage.found(driver, odd) == set()
    assert await stage.found(driver, ALICE) == {odd}
    await driver.delete_provider(ProviderId(odd))
    assert await stage.found(driver, ALICE) == set()


IMPOSSIBLE = {"NUL": "a\0b", "surrogate": "a\ud800", "5 KB": os.urandom(2500).hex()}


@pytest.mark.parametrize("odd", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
async def test_ids_that_cannot_be_stored_are_refused_and_widen_nothing(
    stage: Stage, driver: CatalogueDriver, odd: str
) -> None:
    await driver.upsert(stage.source(1, [ALICE, BOB]))
    refused = {
        "source": stage.source(2, [ALICE], id=SourceId(odd)),
        "provider": stage.source(2, [ALICE], provider=ProviderId(odd), id=TWO),
        "reader": stage.source(2, [ALICE, odd]),
    }
    for source in refused.values():
        with pytest.raises(Rejected):
            await driver.upsert(source)
    with suppress(Rejected):  # or nobody is given anything
        await driver.update_provider_access(AccessOp.ALLOW, ProviderId("unknown"), {UserId(odd)})
    await driver.update_provider_access(AccessOp.DENY, ProviderId("unknown"), {UserId(odd)})
    await driver.delete({SourceId(odd), SourceId("unknown")})
    with pytest.raises(Rejected):
        await driver.set_access(ONE, {UserId(odd)})
    await driver.update_access(AccessOp.DENY, ONE, {UserId(odd), BOB})
    assert await driver.count() == {FILES: 1}
    assert await stage.found(driver, ALICE) == {ONE}
    assert await stage.found(driver, BOB) == set()
    assert await stage.found(driver, ALICE, scope=SourceScope(frozenset({SourceId(odd)}))) == set()
    assert await stage.found(driver, ALICE, scope=ProviderScope(frozenset({ProviderId(odd)}))) == set()


@pytest.mark.parametrize("odd", ["a\0b", "a\ud800"], ids=["NUL", "surrogate"])
async def test_a_question_of_a_user_who_cannot_exist_is_refused(
    stage: Stage, driver: CatalogueDriver, odd: str
) -> None:
    await driver.upsert(stage.source(1))
    with pytest.raises(Rejected):
        await stage.found(driver, odd)


@pytest.mark.parametrize("words", ["whale \0", "whale \ud800", "", "'; drop schema ccb cascade; --"])
async def test_a_question_with_any_characters_is_searched_for(
    stage: Stage, driver: CatalogueDriver, words: str
) -> None:
    await driver.upsert(stage.source(1))
    assert await stage.found(driver, ALICE, text=words) == {ONE}


# -- versions and unknown ones, as every driver


async def test_versions_follow_the_contract(stage: Stage, driver: CatalogueDriver) -> None:
    assert await driver.upsert(stage.source(1, [ALICE, BOB])) is Outcome.CREATED
    assert await driver.upsert(stage.source(1, [CAROL], "other", modified=1000)) is Outcome.UNCHANGED
    assert [await stage.found(driver, user) for user in (ALICE, BOB, CAROL)] == [{ONE}] * 3
    puts = stage.store.calls.put
    assert await driver.upsert(stage.source(1, [CAROL], modified=2000)) is Outcome.UPDATED
    assert stage.store.calls.put == puts  # the same text
    assert [await stage.found(driver, user) for user in (ALICE, BOB, CAROL)] == [set(), set(), {ONE}]
    assert await driver.upsert(stage.source(1, [BOB, CAROL], "new whale", modified=3000)) is Outcome.UPDATED
    assert [await stage.found(driver, user) for user in (ALICE, BOB, CAROL)] == [set(), {ONE}, {ONE}]


async def test_access_to_an_unknown_source_is_reported_and_creates_nothing(
    stage: Stage, driver: CatalogueDriver
) -> None:
    with pytest.raises(NotFound):
        await driver.set_access(ONE, {ALICE})
    with pytest.raises(NotFound):
        await driver.update_access(AccessOp.ALLOW, ONE, {ALICE})
    assert await driver.count() == {}
    assert (await stage.catalogue(driver).begin(stage.source(1), "hash")).state is Decision.INDEX


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("context_chat_backend.toolkit.catalogue.driver.WATCH_SECONDS", 0.01)


async def ping_until_it_fails(driver: CatalogueDriver) -> None:
    with anyio.fail_after(60):
        while True:
            await driver.ping()
            await anyio.sleep(0.01)


async def test_a_store_that_is_emptied_and_filled_a_little_is_not_believed(stage: Stage) -> None:
    async with stage.driver() as driver:
        for number in range(5):
            await driver.upsert(stage.source(number))
        stage.store.empty()
        await driver.upsert(stage.source("later"))
        await driver._guard.look()
        with pytest.raises(Misconfigured, match=r"emptied: the catalogue lists 6 chunks.*remove the catalogue, too"):
            await driver.ping()
        with pytest.raises(Misconfigured):
            await stage.found(driver, ALICE)
        with pytest.raises(Misconfigured):
            await driver.upsert(stage.source("another"))
        with pytest.raises(Misconfigured):  # so that the hash cache vouches for nothing
            _ = driver.identity
    assert "emptied" in await misconfigured(stage.make())


async def test_a_store_that_was_restored_is_believed_again(stage: Stage, watched: None) -> None:
    async with stage.driver() as driver:
        await driver.upsert(stage.source(1))
        for _ in range(2):  # a look from before the upload would put a marker into the emptied store
            await driver._guard.look()
        chunks, marker = dict(stage.store.accepted), dict(stage.store.marker)
        stage.store.empty()
        with pytest.raises(Misconfigured):
            await ping_until_it_fails(driver)
        stage.store.accepted.update(chunks)
        stage.store.marker.update(marker)
        with anyio.fail_after(20):
            while await fails(driver.ping):  # noqa: ASYNC110 - a double tells nobody
                await anyio.sleep(0.01)
        assert await stage.found(driver, ALICE) == {ONE}


async def fails(call: Callable[[], Awaitable[None]]) -> bool:
    try:
        await call()
    except Misconfigured:
        return True
    return False


async def test_a_store_of_an_earlier_version_gets_its_marker_when_it_is_opened(stage: Stage) -> None:
    async with stage.driver() as driver:
        await driver.upsert(stage.source(1))
    stage.store.marker.clear()
    stage.sql("delete from ccb.settings where key = 'store_marked'")
    async with stage.driver() as driver:
        assert await stage.found(driver, ALICE) == {ONE}
    stage.store.marker.clear()
    assert "emptied" in await misconfigured(stage.make())


async def test_an_emptied_store_that_nothing_was_in_is_marked_again(stage: Stage) -> None:
    async with stage.driver():
        stage.store.empty()
    async with stage.driver() as driver:
        await driver.upsert(stage.source(1))
    async with stage.driver() as driver:
        assert await stage.found(driver, ALICE) == {ONE}


async def test_a_look_at_a_store_that_lags_behind_is_no_proof(stage: Stage) -> None:
    """Two looks have to agree, as far apart as writes may take to be seen."""
    waited: list[float] = []

    class Late(MemoryStore):
        settle_seconds = 60.0

        async def holds(self, chunk: ChunkRecord) -> bool:
            return bool(waited) and await super().holds(chunk)

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    stage.store = Late()
    async with stage.driver() as driver:
        await driver.upsert(stage.source(1))
        guard = StoreGuard(stage.store, stage.catalogue(driver), DIMENSION, sleep=sleep)
        await guard.check()
        assert waited == [60.0]
        stage.store.empty()
        with pytest.raises(Misconfigured):
            await guard.check()
        assert waited == [60.0] * 2


async def test_a_store_that_cannot_take_its_marker_yet_is_opened_all_the_same(stage: Stage, watched: None) -> None:
    def refuse(name: str) -> None:
        if name == "put":
            raise Unavailable("not now")

    stage.store.before_call = refuse
    async with stage.driver():
        assert stage.store.marker == {}
        stage.store.before_call = lambda name: None
        with anyio.fail_after(20):
            while not stage.store.marker:  # noqa: ASYNC110 - a double tells nobody
                await anyio.sleep(0.01)


async def test_no_search_returns_the_marker(stage: Stage, driver: CatalogueDriver) -> None:
    await driver.upsert(stage.source(1))
    stage.store.strangers = [Match(document=MARKER, ordinal=0, heading="", text="a marker")]
    assert await stage.found(driver, ALICE, text="this record shows that its store was not emptied") == {ONE}
