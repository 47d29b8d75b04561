"""The relay: a store that is behind, fails or lies about it is healed, in few calls, and never shows too much."""

import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence, Set
from pathlib import Path

import anyio
import pytest

from context_chat_backend.contract import (
    AccessOp,
    Busy,
    DriverError,
    Misconfigured,
    NotFound,
    ProviderId,
    SourceId,
    TransientError,
    Unavailable,
    UserId,
)
from context_chat_backend.toolkit.catalogue import CatalogueDriver, Extent, GroupKey
from context_chat_backend.toolkit.catalogue import outbox as outbox_module

from .catalogue_stage import ALICE, BOB, CAROL, FILES, Stage, set_up

pytest_plugins = ["tests.pg"]
pytestmark = pytest.mark.anyio

ONE, TWO = SourceId("files: 1"), SourceId("files: 2")


@pytest.fixture
def stage(catalogue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with set_up(catalogue, tmp_path, monkeypatch) as stage:
        yield stage


@pytest.fixture
async def driver(stage: Stage) -> AsyncIterator[CatalogueDriver]:
    async with stage.driver() as driver:
        yield driver


def raiser(step: str, error: Exception) -> Callable[[str], None]:
    def raise_at(name: str) -> None:
        if name == step:
            raise error

    return raise_at


def crash_at(stage: Stage, where: str, step: str) -> None:
    """The process ends just before or just after this call."""

    def end(name: str) -> None:
        if name == step:
            stage.crash()
            raise Unavailable("the end")

    async def end_on_wire(function: str) -> None:
        end(function)

    setattr(stage.store, f"{where}_call", end)
    setattr(stage.wire, where, end_on_wire)


def watch_regroups(stage: Stage) -> list[tuple[list[Extent], GroupKey]]:
    """Fills with the calls to come."""
    seen: list[tuple[list[Extent], GroupKey]] = []
    regroup = stage.store.regroup

    async def watched(documents: Sequence[Extent], group: GroupKey) -> bool:
        seen.append((list(documents), group))
        return await regroup(documents, group)

    stage.store.regroup = watched  # type: ignore[method-assign]
    return seen


# -- what the store ends with


async def test_the_store_ends_with_what_the_catalogue_says(stage: Stage, driver: CatalogueDriver) -> None:
    for item in range(1, 7):
        await driver.upsert(stage.source(item, [ALICE, BOB]))
    await driver.update_access(AccessOp.DENY, ONE, {BOB})
    await driver.set_access(TWO, {CAROL})
    await driver.delete({SourceId("files: 3")})
    await driver.upsert(stage.source(4, [ALICE, BOB], "new\nwhale", modified=2000))
    await driver.update_provider_access(AccessOp.ALLOW, FILES, {CAROL})
    assert stage.stored() != stage.wanted()
    assert await stage.deliver()
    assert stage.stored() == stage.wanted()
    calls = stage.store.calls.regroup, stage.store.calls.remove
    assert await stage.deliver()
    assert (stage.store.calls.regroup, stage.store.calls.remove) == calls


async def test_however_often_a_document_changes_it_is_carried_out_once(stage: Stage, driver: CatalogueDriver) -> None:
    await driver.upsert(stage.source(1))
    for number in range(20):
        await driver.update_access(AccessOp.ALLOW, ONE, {UserId(f"user {number}")})
    assert await stage.deliver()
    assert stage.store.calls.regroup == 1
    assert stage.stored() == stage.wanted()


async def test_readers_of_a_whole_provider_change_without_a_call_of_the_store(
    stage: Stage, driver: CatalogueDriver
) -> None:
    for item in range(5):
        await driver.upsert(stage.source(item, [ALICE, f"user {item}"]))
    await driver.update_provider_access(AccessOp.ALLOW, FILES, {BOB})
    await driver.update_provider_access(AccessOp.DENY, FILES, {CAROL})
    assert await stage.deliver()
    assert stage.store.calls.regroup == 0
    assert len(await stage.found(driver, BOB)) == 5


async def test_groups_that_become_equal_are_merged_in_one_call(stage: Stage, driver: CatalogueDriver) -> None:
    for item in range(10):
        await driver.upsert(stage.source(item, [ALICE] if item % 2 else [ALICE, BOB]))
    await driver.delete_user(BOB)
    assert await stage.found(driver, BOB) == set()
    assert len(await stage.found(driver, ALICE)) == 10
    assert await stage.deliver()
    assert stage.store.calls.regroup == 1
    assert stage.stored() == stage.wanted()
    assert {tuple(groups) for groups, _ in stage.stored().values()} == {
        (str(stage.sql("select group_id from ccb.access_groups")),)
    }


@pytest.mark.slow
async def test_ten_thousand_documents_moved_one_by_one_are_a_few_calls(stage: Stage, driver: CatalogueDriver) -> None:
    many = 10_000
    await stage.seed(many, [ALICE])
    for number in range(1, many + 1):
        await driver.update_access(AccessOp.ALLOW, SourceId(f"files: {number}"), {BOB})
    assert await stage.deliver()
    assert stage.store.calls.regroup <= 20
    assert stage.stored() == stage.wanted()
    stage.sql("select ccb_delete_provider('files', 20000)")
    assert await stage.deliver()
    assert stage.store.calls.remove <= 20
    assert stage.store.accepted == {}


@pytest.mark.parametrize(
    ("documents", "chunks", "sizes"), [(3, 1000, [3, 3, 1]), (100, 5, [2, 2, 2, 1]), (100, 1, [1] * 7), (1, 4, [1] * 7)]
)
async def test_calls_stay_within_the_budgets_of_the_store(
    stage: Stage, driver: CatalogueDriver, documents: int, chunks: int, sizes: list[int]
) -> None:
    """A document that has more chunks than one call may change is one call. The store asserts the rest."""
    regroups = watch_regroups(stage)
    await stage.seed(7, [ALICE], chunks=2)
    stage.store.documents_per_call, stage.store.chunks_per_call = documents, chunks
    for number in range(1, 8):
        await driver.update_access(AccessOp.ALLOW, SourceId(f"files: {number}"), {BOB})
    assert await stage.deliver()
    assert [len(extents) for extents, _ in regroups] == sizes
    assert stage.stored() == stage.wanted()
    await driver.delete_provider(FILES)
    assert await stage.deliver()
    assert stage.store.calls.remove == len(sizes)
    assert stage.store.accepted == {}


async def test_a_large_document_among_small_ones_goes_alone(stage: Stage, driver: CatalogueDriver) -> None:
    regroups = watch_regroups(stage)
    stage.store.chunks_per_call = 10
    for item, size in enumerate([3, 4, 50, 2, 2, 9], start=1):
        await driver.upsert(stage.source(item, text="\n".join(["whale"] * size)))
    for item in range(1, 7):
        await driver.update_access(AccessOp.ALLOW, SourceId(f"files: {item}"), {BOB})
    assert await stage.deliver()
    assert [[extent.chunks for extent in extents] for extents, _ in regroups] == [[3, 4], [50], [2, 2], [9]]
    assert stage.stored() == stage.wanted()


# -- failures


async def test_what_the_store_could_not_change_is_repeated(stage: Stage, driver: CatalogueDriver) -> None:
    stage.store.fall_behind()
    await driver.upsert(stage.source(1))
    await driver.update_access(AccessOp.ALLOW, ONE, {BOB})
    for _ in range(3):
        assert not await stage.deliver()
    assert stage.store.calls.regroup == 3
    stage.store.catch_up()
    assert await stage.found(driver, BOB) == {ONE}
    assert await stage.deliver()
    assert stage.stored() == stage.wanted()


async def test_a_store_that_changed_a_part_is_asked_again(stage: Stage, driver: CatalogueDriver) -> None:
    await driver.upsert(stage.source(1, text="whale\n" * 5))
    stage.store.fall_behind()
    stage.store.show(lambda id_: id_.endswith(("1", "3")))
    del stage.store.visible[next(id_ for id_ in stage.store.visible if id_.endswith("4"))]
    await driver.update_access(AccessOp.ALLOW, ONE, {BOB})
    assert not await stage.deliver()
    assert len({chunk.group for chunk in stage.store.accepted.values()}) == 2
    stage.store.catch_up()
    assert len(await stage.hits(driver, ALICE)) == len(await stage.hits(driver, BOB)) == 5
    assert await stage.deliver()
    assert stage.stored() == stage.wanted()


ERRORS = [Busy("slow down"), Unavailable("down"), Misconfigured("the key was revoked"), ValueError("a bug")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_a_failing_regroup_keeps_no_removal_from_being_done(
    stage: Stage, driver: CatalogueDriver, error: Exception
) -> None:
    await driver.upsert(stage.source(1, [ALICE, BOB]))
    await driver.upsert(stage.source(2, [ALICE, BOB]))
    await driver.update_access(AccessOp.DENY, ONE, {BOB})
    await driver.delete({TWO})
    stage.store.before_call = raiser("regroup", error)
    assert not await stage.deliver()
    assert stage.failure is error
    assert stage.stored().keys() == stage.wanted().keys()
    assert await stage.found(driver, BOB) == set()
    assert await stage.found(driver, ALICE) == {ONE}
    stage.store.before_call = lambda name: None
    assert await stage.deliver()
    assert stage.stored() == stage.wanted()


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_a_failing_removal_keeps_no_regroup_from_being_done(
    stage: Stage, driver: CatalogueDriver, error: Exception
) -> None:
    await driver.upsert(stage.source(1))
    await driver.upsert(stage.source(2))
    await driver.update_access(AccessOp.ALLOW, ONE, {BOB})
    await driver.delete({TWO})
    stage.store.before_call = raiser("remove", error)
    assert not await stage.deliver()
    assert stage.stored().items() >= stage.wanted().items()
    assert await stage.found(driver, ALICE) == {ONE}
    stage.store.before_call = lambda name: None
    assert await stage.deliver()
    assert stage.stored() == stage.wanted()


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_the_driver_outlives_its_store_and_heals_it_by_itself(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    for name in ("QUIET_SECONDS", "FIRST_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(outbox_module, name, 0.01)
    failed, healed = anyio.Event(), anyio.Event()

    def fail_twice(name: str) -> None:
        if name == "regroup" and stage.store.calls.regroup <= 2:
            if stage.store.calls.regroup == 2:
                failed.set()
            raise error

    async def confirmed(function: str) -> None:
        if function == "ccb_confirm_group":
            healed.set()

    stage.store.before_call, stage.wire.after, stage.relays_run = fail_twice, confirmed, True
    async with stage.driver() as driver:
        await driver.upsert(stage.source(1, [ALICE, BOB]))
        await driver.update_access(AccessOp.DENY, ONE, {BOB})
        with anyio.fail_after(60):
            await failed.wait()
            assert await stage.found(driver, BOB) == set()
            await healed.wait()
        assert stage.stored() == stage.wanted()


async def test_changes_come_to_the_store_soon_and_together(stage: Stage) -> None:
    done = anyio.Event()

    async def confirmed(function: str) -> None:
        if function == "ccb_confirm_group" and not stage.sql(
            "select count(*) from ccb.documents where group_id <> store_group"
        ):
            done.set()

    stage.wire.after, stage.relays_run = confirmed, True
    async with stage.driver() as driver:
        await stage.seed(50)
        for number in range(1, 51):
            await driver.update_access(AccessOp.ALLOW, SourceId(f"files: {number}"), {BOB})
        with anyio.fail_after(60):
            await done.wait()
    assert stage.store.calls.regroup < 10
    assert stage.stored() == stage.wanted()


async def test_removals_that_become_due_are_carried_out_without_any_change(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "LOOK_SECONDS", 0.01)
    looked, removed = anyio.Event(), anyio.Event()

    async def watch(function: str) -> None:
        if function == "ccb_due_removals":
            looked.set()
        if function == "ccb_confirm_removals":
            removed.set()

    async with stage.driver() as driver:
        await driver.upsert(stage.source("kept"))
        stage.store.before_call = raiser("wait_until_searchable", Unavailable("not now"))
        with pytest.raises(Unavailable):
            await driver.upsert(stage.source("kept", text="new", modified=2000))
    assert len(stage.store.accepted) == 2
    stage.wire.after, stage.relays_run = watch, True
    async with stage.driver() as driver:
        with anyio.fail_after(60):
            await looked.wait()
            stage.sql("update ccb.removals set due = now()")
            await removed.wait()
    assert stage.stored() == stage.wanted()


async def test_a_catalogue_that_cannot_be_reached_ends_no_relay(stage: Stage, driver: CatalogueDriver) -> None:
    await driver.upsert(stage.source(1))
    await driver.update_access(AccessOp.ALLOW, ONE, {BOB})
    stage.wire.cut = True
    assert not await stage.deliver()
    stage.restart()
    assert await stage.deliver()
    assert stage.stored() == stage.wanted()


# -- crashes


CRASHES = [
    ("before", "ccb_stale_documents"),
    ("after", "ccb_stale_documents"),
    ("before", "regroup"),
    ("after", "regroup"),
    ("before", "ccb_confirm_group"),
    ("after", "ccb_confirm_group"),
    ("before", "ccb_due_removals"),
    ("after", "ccb_due_removals"),
    ("before", "remove"),
    ("after", "remove"),
    ("before", "ccb_confirm_removals"),
    ("after", "ccb_confirm_removals"),
]


@pytest.mark.parametrize("lag", [False, True], ids=["", "lag"])
@pytest.mark.parametrize(("where", "step"), CRASHES)
async def test_a_relay_that_ends_anywhere_is_followed_by_one_that_heals(
    stage: Stage, where: str, step: str, lag: bool
) -> None:
    async with stage.driver() as driver:
        for item in (1, 2, 3):
            await driver.upsert(stage.source(item, [ALICE, BOB], "the\nwhale"))
        if lag:
            stage.store.fall_behind()
        await driver.update_access(AccessOp.DENY, ONE, {BOB})
        await driver.update_access(AccessOp.ALLOW, TWO, {CAROL})
        await driver.delete({SourceId("files: 3")})
        crash_at(stage, where, step)
        assert not await stage.deliver()
    stage.restart()
    readable = {ALICE: {ONE, TWO}, BOB: {TWO}, CAROL: {TWO}}
    async with stage.driver() as driver:
        for _ in range(2):
            for user, sources in readable.items():
                assert await stage.found(driver, user) <= sources
            assert await stage.deliver()
        stage.store.catch_up()
        for user, sources in readable.items():
            assert await stage.found(driver, user) == sources
        assert stage.stored() == stage.wanted()


@pytest.mark.parametrize("where", ["before", "after"])
async def test_readers_that_are_changed_back_before_a_call_is_confirmed_go_on_finding(stage: Stage, where: str) -> None:
    """The store may have carried out the call, so that its chunks carry a group that nobody reads any more."""
    async with stage.driver() as driver:
        for item in (1, "keeps the group"):
            await driver.upsert(stage.source(item))
        await driver.update_access(AccessOp.ALLOW, ONE, {BOB})
        crash_at(stage, where, "regroup")
        assert not await stage.deliver()
    stage.restart()
    async with stage.driver() as driver:
        await driver.update_access(AccessOp.DENY, ONE, {BOB})
        assert ONE in await stage.found(driver, ALICE)
        assert await stage.deliver()
        assert ONE in await stage.found(driver, ALICE)
        assert stage.stored() == stage.wanted()


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_readers_that_are_changed_back_after_an_answer_was_lost_go_on_finding(
    stage: Stage, driver: CatalogueDriver, error: Exception
) -> None:
    for item in (1, "keeps the group"):
        await driver.upsert(stage.source(item, [ALICE, BOB]))
    stage.store.after_call = raiser("regroup", error)
    await driver.update_access(AccessOp.DENY, ONE, {BOB})
    assert not await stage.deliver()
    stage.store.after_call = lambda name: None
    await driver.update_access(AccessOp.ALLOW, ONE, {BOB})
    for _ in range(2):
        assert ONE in await stage.found(driver, ALICE)
        assert ONE in await stage.found(driver, BOB)
        assert await stage.deliver()
    assert stage.stored() == stage.wanted()


async def test_readers_that_are_changed_back_after_a_part_was_changed_go_on_finding_all(
    stage: Stage, driver: CatalogueDriver
) -> None:
    for item in (1, "keeps the group"):
        await driver.upsert(stage.source(item, text="whale\n" * 5))
    stage.store.fall_behind()
    del stage.store.visible[next(iter(stage.store.visible))]
    await driver.update_access(AccessOp.ALLOW, ONE, {BOB})
    assert not await stage.deliver()
    await driver.update_access(AccessOp.DENY, ONE, {BOB})
    stage.store.catch_up()
    assert len(await stage.hits(driver, ALICE)) == 10
    assert await stage.deliver()
    assert len(await stage.hits(driver, ALICE)) == 10
    assert stage.stored() == stage.wanted()


@pytest.mark.parametrize("back", [False, True], ids=["further", "back"])
async def test_readers_that_change_while_the_store_is_called_win(
    stage: Stage, driver: CatalogueDriver, back: bool
) -> None:
    for item in (1, "keeps the group"):
        await driver.upsert(stage.source(item))

    async def change(name: str) -> None:
        if name == "regroup" and stage.store.calls.regroup == 1:
            await driver.set_access(ONE, {ALICE} if back else {CAROL})

    stage.store.pause = change
    await driver.update_access(AccessOp.ALLOW, ONE, {BOB})
    await stage.deliver()
    for _ in range(2):
        assert await stage.found(driver, BOB) == set()
        assert ONE in await stage.found(driver, ALICE if back else CAROL)
        assert await stage.deliver()
    assert stage.stored() == stage.wanted()


async def test_a_document_that_is_deleted_while_the_store_is_called_is_removed(
    stage: Stage, driver: CatalogueDriver
) -> None:
    await driver.upsert(stage.source(1))

    async def delete(name: str) -> None:
        if name == "regroup":
            await driver.delete({ONE})

    stage.store.pause = delete
    await driver.update_access(AccessOp.ALLOW, ONE, {BOB})
    assert await stage.deliver()
    assert await stage.deliver()
    assert stage.store.accepted == {}


async def test_a_document_is_named_until_searches_see_its_new_group(stage: Stage, driver: CatalogueDriver) -> None:
    """Else those who could read it all the time would miss it for so long."""
    await driver.upsert(stage.source(1))
    stage.store.settle_seconds = 33.0
    stage.store.fall_behind()
    await driver.update_access(AccessOp.ALLOW, ONE, {BOB})
    assert await stage.deliver()
    assert stage.stored() == stage.wanted()
    for user in (ALICE, BOB):
        assert await stage.found(driver, user) == {ONE}
    stage.store.catch_up()
    assert stage.sql("select count(*) from ccb.documents where visible_at > now() + interval '30 seconds'") == 1
    stage.sql("update ccb.documents set visible_at = now()")
    for user in (ALICE, BOB):
        assert await stage.found(driver, user) == {ONE}


async def test_naming_a_document_leaves_off_when_its_group_is_visible(stage: Stage, driver: CatalogueDriver) -> None:
    stage.store.settle_seconds = 33.0
    for item in (1, 2):
        stage.sql("update ccb.documents set visible_at = now()")
        await driver.upsert(stage.source(item))
        await driver.update_access(AccessOp.ALLOW, SourceId(f"files: {item}"), {BOB})
        assert await stage.deliver()
    assert stage.sql("select array_agg(source_id) from ccb.documents where visible_at is not null") == ["files: 2"]


async def test_what_was_told_before_a_failure_is_not_told_again(stage: Stage, driver: CatalogueDriver) -> None:
    stage.store.documents_per_call = 1
    for item in range(5):
        await driver.upsert(stage.source(item))
        await driver.update_access(AccessOp.ALLOW, SourceId(f"files: {item}"), {BOB})

    def fail(name: str) -> None:
        if stage.store.calls.regroup == 4:
            raise Busy("slow down")

    stage.store.before_call = fail
    assert not await stage.deliver()
    assert await stage.deliver()
    assert stage.store.calls.regroup == 4 + 2


# -- several gateways


async def test_of_two_relays_one_works_at_a_time(stage: Stage) -> None:
    inside, go_on = anyio.Event(), anyio.Event()

    async def hold(name: str) -> None:
        if name == "regroup":
            inside.set()
            await go_on.wait()

    async with stage.driver() as one, stage.driver() as other:
        first, second = stage.relays
        await one.upsert(stage.source(1))
        await other.update_access(AccessOp.ALLOW, ONE, {BOB})
        stage.store.pause = hold
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(first.deliver)
                await inside.wait()
                assert await stage.deliver(second)
                assert stage.store.calls.regroup == 1
                go_on.set()
        assert await stage.deliver(second)
        assert stage.store.calls.regroup == 1
        assert stage.stored() == stage.wanted()


async def test_a_relay_leaves_to_the_other_what_it_did_not_live_to_do(stage: Stage) -> None:
    async with stage.driver() as one:
        await one.upsert(stage.source(1))
        await one.update_access(AccessOp.ALLOW, ONE, {BOB})
        inside = anyio.Event()

        async def hold(name: str) -> None:
            inside.set()
            await anyio.sleep_forever()

        stage.store.pause = hold
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stage.deliver)
                await inside.wait()
                tasks.cancel_scope.cancel()
    stage.restart()

    async def go(name: str) -> None:
        return None

    stage.store.pause = go
    async with stage.driver():
        assert await stage.deliver()
    assert stage.stored() == stage.wanted()


# -- anything, in any order


class Model:
    """What is stored, by the plainest rules: source -> (readers, version, text)."""

    def __init__(self) -> None:
        self.sources: dict[str, tuple[frozenset[str], int, str]] = {}

    def upsert(self, key: str, readers: Set[str], version: int, text: str) -> None:
        stored = self.sources.get(key)
        if stored is None or version > stored[1]:
            self.sources[key] = (frozenset(readers), version, text)
        else:
            self.sources[key] = (stored[0] | readers, *stored[1:])

    def begin(self, key: str, readers: Set[str], version: int) -> None:
        """An upload that failed: an older version is only for those who may read both, an equal one for both."""
        stored = self.sources.get(key)
        if stored is not None:
            self._set(key, stored[0] & readers if version > stored[1] else stored[0] | readers)

    def change(self, op: str, readers: Set[str], keys: Sequence[str]) -> None:
        for key in [key for key in keys if key in self.sources]:
            before = self.sources[key][0]
            self._set(key, {"allow": before | readers, "deny": before - readers, "set": frozenset(readers)}[op])

    def of(self, provider: str) -> list[str]:
        return [key for key in self.sources if key.startswith(provider)]

    def found(self, user: str) -> set[tuple[str, str]]:
        return {(key, text) for key, (readers, _, text) in self.sources.items() if user in readers}

    def _set(self, key: str, readers: Set[str]) -> None:
        if readers:
            self.sources[key] = (frozenset(readers), *self.sources[key][1:])
        else:
            self.sources.pop(key, None)


class Player:
    """Does the same to a driver and to the model, while the store does what it likes."""

    USERS = tuple(f"user {number}" for number in range(4))
    """Few, so that sets of readers come back."""
    PROVIDERS = ("files", "mail")

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage, self.rng, self.model = stage, random.Random(seed), Model()
        self.driver: CatalogueDriver
        self.version = 0

    def users(self, least: int = 1) -> frozenset[UserId]:
        return frozenset(map(UserId, self.rng.sample(self.USERS, self.rng.randint(least, 2))))

    def key(self) -> SourceId:
        return SourceId(f"{self.rng.choice(self.PROVIDERS)}: {self.rng.randrange(8)}")

    # ------------------------------------------------------------------ what Nextcloud does

    async def upsert(self) -> None:
        key, readers, number = self.key(), self.users(), self.version - self.rng.choice([0, 0, 0, 1, 3])
        self.version += 1
        text = self.rng.choice(["the whale", f"the whale {number}\n" * self.rng.choice([1, 3, 120])])
        provider, _, item = key.partition(": ")
        # a source always has the same text at the same time
        text = f"{number} {text}" if text != "the whale" else text
        source = self.stage.source(item, readers, text, max(number, 0), ProviderId(provider))
        self.stage.store.before_call, self.stage.store.after_call = self.failures(0.1), self.failures(0.05)
        try:
            await self.driver.upsert(source)
        except (DriverError, ValueError):
            self.model.begin(key, readers, source.modified)
        else:
            self.model.upsert(key, readers, source.modified, text)
        finally:
            self.stage.store.before_call = self.stage.store.after_call = lambda name: None

    async def update_access(self) -> None:
        op, key, readers = self.rng.choice([*AccessOp]), self.key(), self.users()
        await self.known(key, lambda: self.driver.update_access(op, key, readers))
        self.model.change(op.value, readers, [key])

    async def set_access(self) -> None:
        key, readers = self.key(), self.users(least=0)
        await self.known(key, lambda: self.driver.set_access(key, readers))
        self.model.change("set", readers, [key])

    async def known(self, key: str, change: Callable[[], Awaitable[None]]) -> None:
        try:
            await change()
        except NotFound:
            assert key not in self.model.sources
        else:
            assert key in self.model.sources

    async def update_provider(self) -> None:
        op, provider, readers = self.rng.choice([*AccessOp]), self.rng.choice(self.PROVIDERS), self.users()
        await self.driver.update_provider_access(op, ProviderId(provider), readers)
        self.model.change(op.value, readers, self.model.of(provider))

    async def delete(self) -> None:
        keys = frozenset({self.key(), self.key()})
        await self.driver.delete(keys)
        self.model.change("set", frozenset(), [*keys])

    async def delete_user(self) -> None:
        user = UserId(self.rng.choice(self.USERS))
        await self.driver.delete_user(user)
        self.model.change("deny", {user}, [*self.model.sources])

    async def delete_provider(self) -> None:
        provider = self.rng.choice(self.PROVIDERS)
        await self.driver.delete_provider(ProviderId(provider))
        self.model.change("set", frozenset(), self.model.of(provider))

    # ------------------------------------------------------------------ what the store does

    async def lag(self) -> None:
        if self.stage.store.visible is self.stage.store.accepted:
            self.stage.store.fall_behind()

    async def trickle(self) -> None:
        if self.stage.store.visible is not self.stage.store.accepted:
            self.stage.store.show(lambda id_: self.rng.random() < 0.5)

    async def catch_up(self) -> None:
        self.stage.store.catch_up()

    async def deliver(self) -> None:
        await self.stage.deliver()

    async def deliver_and_fail(self) -> None:
        self.stage.store.before_call, self.stage.store.after_call = self.failures(0.3), self.failures(0.3)
        await self.stage.deliver()
        self.stage.store.before_call = self.stage.store.after_call = lambda name: None

    async def deliver_and_crash(self) -> None:
        where = self.rng.choice(["before", "after"])
        crash_at(self.stage, where, self.rng.choice(["regroup", "remove", "ccb_confirm_group", "ccb_confirm_removals"]))
        await self.stage.deliver()
        self.stage.restart()

    async def late_removals(self) -> None:
        self.stage.make_due()

    def failures(self, probability: float) -> Callable[[str], None]:
        def fail(name: str) -> None:
            if name != "nearest" and self.rng.random() < probability:
                raise self.rng.choice(ERRORS)

        return fail

    # ------------------------------------------------------------------ the play

    async def look(self, *, exact: bool) -> None:
        for user in self.USERS:
            hits = await self.stage.hits(self.driver, user)
            found: dict[str, list[str]] = {}
            for hit in hits:
                found.setdefault(hit.source_id, []).append(hit.text)
            allowed = {key: text.splitlines() for key, text in self.model.found(user)}
            for key, texts in found.items():
                assert key in allowed, (user, key)
                assert set(texts) <= set(allowed[key]), (user, key)
                assert len(texts) <= len(allowed[key])
            if exact:
                assert {key: sorted(texts) for key, texts in found.items()} == {
                    key: sorted(texts) for key, texts in allowed.items()
                }, user

    async def settle(self) -> None:
        """Whatever happened before: now store, catalogue and model are one."""
        self.stage.store.catch_up()
        assert await self.stage.deliver()
        await self.look(exact=True)
        self.stage.make_due()
        assert await self.stage.deliver()
        assert self.stage.stored() == self.stage.wanted()
        assert self.stage.violations() == {}

    async def play(self, steps: int) -> None:
        weights = {
            self.upsert: 35,
            self.update_access: 20,
            self.set_access: 10,
            self.update_provider: 6,
            self.delete: 6,
            self.delete_user: 2,
            self.delete_provider: 1,
            self.lag: 5,
            self.trickle: 8,
            self.catch_up: 2,
            self.deliver: 5,
            self.deliver_and_fail: 6,
            self.deliver_and_crash: 6,
            self.late_removals: 1,
        }
        done = 0
        while done < steps:
            async with self.stage.driver() as self.driver:
                for _ in range(self.rng.randint(20, 60)):
                    await self.rng.choices([*weights], [*weights.values()])[0]()
                    await self.look(exact=False)
                    done += 1
                if self.rng.random() < 0.7:
                    await self.settle()
        async with self.stage.driver() as self.driver:
            await self.settle()


async def test_any_sequence_of_changes_failures_and_restarts_shows_no_more_than_the_model(stage: Stage) -> None:
    await Player(stage, 4).play(150)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5, 8))
async def test_many_such_sequences_show_no_more_than_the_model(stage: Stage, seed: int) -> None:
    await Player(stage, seed).play(500)


async def change_something(stage: Stage, driver: CatalogueDriver, rng: random.Random) -> None:
    op, readers = rng.choice([*AccessOp]), frozenset(map(UserId, rng.sample(Player.USERS, 2)))
    text, modified = f"whale\n{rng.random()}", rng.randrange(10_000)
    source = stage.source(rng.randrange(10), readers, text, modified)
    match rng.choices(["upsert", "access", "declarative", "provider", "delete"], [8, 5, 3, 2, 2])[0]:
        case "upsert":
            await driver.upsert(source)
        case "access":
            await driver.update_access(op, source.id, readers)
        case "declarative":
            await driver.set_access(source.id, readers)
        case "provider":
            await driver.update_provider_access(op, FILES, readers)
        case "delete":
            await driver.delete({source.id})


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_two_busy_gateways_leave_one_store_that_agrees_with_the_catalogue(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    for name in ("QUIET_SECONDS", "LONGEST_WAIT", "LOOK_SECONDS", "FIRST_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(outbox_module, name, 0.001)
    rng = random.Random(seed)

    async def work(driver: CatalogueDriver) -> None:
        for _ in range(150):
            with contextlib.suppress(NotFound, TransientError):
                await change_something(stage, driver, rng)
            await stage.hits(driver, rng.choice(Player.USERS))

    stage.relays_run = True
    async with stage.driver() as one, stage.driver() as other, anyio.create_task_group() as tasks:
        for driver in (one, other) * 3:
            tasks.start_soon(work, driver)
    assert stage.store.calls.regroup > 0
    stage.relays_run = False
    async with stage.driver():
        stage.make_due()
        assert await stage.deliver()
        assert stage.stored() == stage.wanted()
