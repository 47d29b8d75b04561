"""All operations of a driver on sources of their own, to be run while the backend fails, and what has to hold then."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

import anyio

from ...contract import AccessOp, Driver, DriverError, Inventory, Query, Rejected, Source, SourceId
from ..faults import Faults
from ..kit import Kit, patiently
from ..proxy import Endless
from .base import expect

SECONDS = 120.0
"""For the operations of one pass. Drivers may repeat a request a few times before they give up."""
CANCEL_SECONDS = 5.0
QUOTED = "The walrus keeps a secret diary."
"""Part of each document, and of what a failing backend says; no message may repeat it."""
OLD, NEW = f"The ancient whale sings. {QUOTED}", f"The modern whale sings. {QUOTED}"
READERS = ("alice", "bob", "carol", "dora", "leaver")


# ---------------------------------------------------------------------- the operations


Run = Callable[[Driver], Awaitable[object]]
BOTH = frozenset({"alice", "bob"})


@dataclass(frozen=True, slots=True)
class Write:
    """An operation that changes who reads one source."""

    name: str
    source: Source
    """As it is stored before."""
    before: frozenset[str]
    after: frozenset[str]
    run: Run
    may_not_find: bool = False
    """`NotFound` is an error that this operation has."""

    @property
    def id(self) -> SourceId:
        return self.source.id


@dataclass(frozen=True, slots=True)
class Read:
    """An operation that changes nothing, and what it has to return if it succeeds; None: it must fail."""

    name: str
    run: Run
    expected: object = None


@dataclass
class Outcomes:
    """What the operations of a pass did: the value or the error by the name of the operation."""

    values: dict[str, object] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)

    async def record(self, operation: Write | Read, driver: Driver) -> None:
        """Run an operation."""
        try:
            self.values[operation.name] = await operation.run(driver)
        except Exception as error:  # noqa: BLE001 - what is raised is what is tested
            self.errors[operation.name] = error


class Battery:
    """Sources in a namespace of their own, and an operation for each."""

    def __init__(self, kit: Kit, faults: Faults, *, size: int = 0) -> None:
        self.kit, self.faults = kit, faults
        self._new = NEW + " The whale dives." * (size // 17)
        self.steady = kit.source("steady", users=("dora",), provider="steady", text=OLD)
        self.upserts = self._upserts()
        self.single = [*self.upserts, *self._changes()]
        self.wide = self._wide()
        self.reads = self._reads()

    @property
    def writes(self) -> list[Write]:
        """All that change something."""
        return [*self.single, *self.wide]

    @property
    def _narrow(self) -> Sequence[Write | Read]:
        """What may overlap."""
        return [*self.single, *self.reads]

    def _old(self, item: str, users: Iterable[str] = BOTH, provider: str = "default") -> Source:
        return self.kit.source(item, users=users, text=OLD, modified=10, provider=provider)

    def _upserts(self) -> list[Write]:
        kit, nobody = self.kit, frozenset[str]()
        new = kit.source("new", users=("alice",), text=self._new, modified=11)
        newer = kit.source("newer", users=("bob", "carol"), text=self._new, modified=11)
        changed = frozenset({"bob", "carol"})
        return [
            Write("upsert", new, nobody, frozenset({"alice"}), lambda driver: driver.upsert(new)),
            Write("upsert of a newer version", self._old("newer"), BOTH, changed, lambda driver: driver.upsert(newer)),
        ]

    def _changes(self) -> list[Write]:
        bob, carol, allow, deny = self.kit.users("bob"), self.kit.users("carol"), AccessOp.ALLOW, AccessOp.DENY
        deleted, set_, denied, allowed = (self._old(item) for item in ("deleted", "set", "denied", "allowed"))

        def write(name: str, source: Source, after: set[str], run: Run, *, may_not_find: bool = True) -> Write:
            return Write(name, source, BOTH, frozenset(after), run, may_not_find)

        return [
            write("delete", deleted, set(), lambda driver: driver.delete({deleted.id}), may_not_find=False),
            write("set_access", set_, {"bob", "carol"}, lambda driver: driver.set_access(set_.id, bob | carol)),
            write("denial", denied, {"alice"}, lambda driver: driver.update_access(deny, denied.id, bob)),
            write(
                "allowance", allowed, {*BOTH, "carol"}, lambda driver: driver.update_access(allow, allowed.id, carol)
            ),
        ]

    def _wide(self) -> list[Write]:
        kit, deny = self.kit, AccessOp.DENY
        denied, deleted = (self._old("1", provider=provider) for provider in ("denied", "deleted"))
        left = self._old("1", {*BOTH, "leaver"}, "left")

        def deny_bob(driver: Driver) -> Awaitable[object]:
            return driver.update_provider_access(deny, denied.provider, kit.users("bob"))

        return [
            Write("update_provider_access", denied, BOTH, frozenset({"alice"}), deny_bob),
            Write(
                "delete_provider", deleted, BOTH, frozenset(), lambda driver: driver.delete_provider(deleted.provider)
            ),
            Write("delete_user", left, BOTH | {"leaver"}, BOTH, lambda driver: driver.delete_user(kit.user("leaver"))),
        ]

    def _reads(self) -> list[Read]:
        kit, steady = self.kit, self.steady
        query = Query(user_id=kit.user("dora"), text="whale", limit=20)
        capabilities = kit.driver.capabilities

        async def search(driver: Driver) -> object:
            return {hit.source_id for hit in await driver.search(query)}

        async def count(driver: Driver) -> object:
            return (await driver.count()).get(steady.provider, 0)

        async def answer(driver: Driver) -> object:
            return set((await driver.answer(query)).source_ids)

        async def inventory(driver: Driver) -> object:
            if not isinstance(driver, Inventory):
                return None
            return {stored.source_id async for stored in driver.inventory({steady.id})}

        async def ping(driver: Driver) -> object:
            await driver.ping()
            return "the backend can serve requests"

        reads = [Read("ping", ping), Read("search", search, {steady.id}), Read("count", count, 1)]
        reads += [Read("answer", answer, {steady.id})] if capabilities.answers else []
        reads += [Read("inventory", inventory, {steady.id})] if isinstance(kit.driver, Inventory) else []
        return reads

    async def store(self) -> None:
        """Everything as it is before the trouble."""
        await self.kit.driver.upsert(self.steady)
        for write in self.writes:
            if write.before:
                await self.kit.driver.upsert(write.source)
        await self._expect_readers(Outcomes(), exact=True)

    # ------------------------------------------------------------------ the passes

    async def run_all(self) -> Outcomes:
        """All operations: those on single sources and the questions at once, the wide ones alone."""
        outcomes = Outcomes()
        with anyio.move_on_after(SECONDS) as waiting:
            async with anyio.create_task_group() as tasks:
                for operation in self._narrow:
                    tasks.start_soon(outcomes.record, operation, self.kit.driver)
            for write in self.wide:
                await outcomes.record(write, self.kit.driver)
        expect(not waiting.cancelled_caught, f"operations did not come back within {SECONDS:g} s of a failing backend")
        return outcomes

    async def run_upserts(self) -> Outcomes:
        """Only those that send a document."""
        outcomes = Outcomes()
        with anyio.fail_after(SECONDS):
            for operation in self.upserts:
                await outcomes.record(operation, self.kit.driver)
        return outcomes

    async def cancel_all(self) -> Outcomes:
        """Each operation alone: it is cancelled as soon as its backend keeps it waiting."""
        outcomes = Outcomes()
        for operation in (*self._narrow, *self.wide):
            self.faults.proxy.make_trouble(Endless())
            await self._cancel(operation, outcomes)
        return outcomes

    async def _cancel(self, operation: Write | Read, outcomes: Outcomes) -> None:
        done, scope = anyio.Event(), anyio.CancelScope()

        async def run() -> None:
            with scope:
                await outcomes.record(operation, self.kit.driver)
            done.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            with anyio.move_on_after(SECONDS):
                await _either(self.faults.proxy.hanging, done)
            scope.cancel()
            with anyio.move_on_after(CANCEL_SECONDS):
                await done.wait()
            late = not done.is_set()
            self.faults.proxy.recover()  # what does not listen comes back now
        expect(not late, f"{operation.name} went on for {CANCEL_SECONDS:g} s after it was cancelled")

    # ------------------------------------------------------------------ what has to hold

    async def expect_half(self, outcomes: Outcomes) -> None:
        """With the trouble gone: what was answered holds, what failed did nothing that it should not."""
        self.faults.proxy.recover()
        await patiently(self.kit.driver.ping)
        await self._expect_readers(outcomes)
        await self._expect_right_texts()

    async def repeat_single(self) -> None:
        """The operations on single sources succeed now."""
        async with anyio.create_task_group() as tasks:
            for write in self.single:
                tasks.start_soon(self._repeat, write)

    async def repeat_wide(self) -> None:
        """The wide ones do, too."""
        for write in self.wide:
            await self._repeat(write)

    async def expect_done(self) -> None:
        """Everything is as all the operations should leave it."""
        await self._expect_readers(Outcomes(values=dict.fromkeys(write.name for write in self.writes)))
        for read in self.reads:
            if read.expected is not None:
                await self._expect_value(read)

    async def _repeat(self, write: Write) -> None:
        try:
            await patiently(lambda: write.run(self.kit.driver))
        except DriverError as error:
            message = f"{write.name} still raises {type(error).__name__} when the backend has recovered: {error}"
            raise AssertionError(message) from error

    async def _expect_value(self, read: Read) -> None:
        value = await self.kit.settled(lambda: read.run(self.kit.driver), read.expected)
        expect(value == read.expected, f"{read.name} gives {value} when the backend has recovered, not {read.expected}")

    async def _expect_readers(self, outcomes: Outcomes, *, exact: bool = False) -> None:
        """Nobody reads more than before and after, nobody loses what they may read before and after."""
        for user in READERS:
            least, most = set[SourceId](), set[SourceId]()
            for write in self.writes:
                certain, possible = _readers(write, outcomes, exact=exact)
                least |= {write.id} if user in certain else set()
                most |= {write.id} if user in possible else set()
            steady = {self.steady.id} if user == "dora" else set[SourceId]()
            await self.kit.expect_found(self.kit.user(user), least | steady, most | steady)

    async def _expect_right_texts(self) -> None:
        id_ = self.kit.id("newer")
        for user, forbidden in (("alice", "modern"), ("carol", "ancient")):
            text = await self.kit.text(user, id_)
            expect(forbidden not in text, f"user {user!r} finds a version of a source that they may not read")


def _readers(write: Write, outcomes: Outcomes, *, exact: bool) -> tuple[frozenset[str], frozenset[str]]:
    """Who has to find a source, and who may."""
    if write.name in outcomes.values:
        return write.after, write.after
    if isinstance(outcomes.errors.get(write.name), Rejected):
        return frozenset(), frozenset()
    return (write.before, write.before) if exact else (write.before & write.after, write.before | write.after)


async def _either(*events: anyio.Event) -> None:
    async with anyio.create_task_group() as tasks:

        async def wait(event: anyio.Event) -> None:
            await event.wait()
            tasks.cancel_scope.cancel()

        for event in events:
            tasks.start_soon(wait, event)


async def expect_recovery(batteries: Sequence[Battery], outcomes: Sequence[Outcomes]) -> None:
    """With the trouble gone each outcome was true, and all that is repeated works."""
    for battery, seen in zip(batteries, outcomes, strict=True):
        await battery.expect_half(seen)
    async with anyio.create_task_group() as tasks:
        for battery in batteries:
            tasks.start_soon(battery.repeat_single)
    for battery in batteries:
        await battery.repeat_wide()
        await battery.expect_done()
