"""Two gateways on one database: what happens to a source while the other one indexes it is never undone."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import pytest
from pydantic import SecretStr

from backends.builtin.driver import BuiltinDriver
from backends.builtin.settings import BuiltinSettings
from context_chat_backend.contract import (
    AccessOp,
    Driver,
    NotFound,
    Outcome,
    Overtaken,
    Query,
    Source,
    SourceId,
    Unavailable,
    UserId,
)
from context_chat_backend.layers import LayerSettings
from context_chat_backend.layers.retry import Retry
from context_chat_backend.toolkit.indexing.section import Section
from context_chat_backend.toolkit.search.settings import SearchSettings

from .catalogue_stage import ALICE, BOB, FILES, LineIndexer, Stage, set_up

pytest_plugins = ["tests.pg"]
pytestmark = pytest.mark.anyio

Event = Callable[[Driver], Awaitable[object]]
ONE = SourceId("files: 1")
REVOCATIONS: dict[str, Event] = {
    "denied": lambda other: other.update_access(AccessOp.DENY, ONE, {BOB}),
    "set": lambda other: other.set_access(ONE, {ALICE}),
    "denied in its provider": lambda other: other.update_provider_access(AccessOp.DENY, FILES, {BOB}),
    "user deleted": lambda other: other.delete_user(BOB),
    "deleted": lambda other: other.delete({ONE}),
    "provider deleted": lambda other: other.delete_provider(FILES),
}


class InterruptedIndexer(LineIndexer):
    """Something happens while documents are read, each event once."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Callable[[], Awaitable[None]]] = []
        self.calls = 0

    async def sections(self, source: Source) -> list[Section]:
        self.calls += 1
        if self.events:
            await self.events.pop(0)()
        return await super().sections(source)


Make = Callable[[LineIndexer], AbstractAsyncContextManager[Driver]]


@pytest.fixture(params=["builtin", "catalogue"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes drivers of one store."""
    stage: Stage = request.getfixturevalue("stage")
    if request.param == "catalogue":
        return lambda indexer: stage.driver(indexer=indexer)
    settings = BuiltinSettings(db_url=SecretStr(request.getfixturevalue("database")))
    return lambda indexer: BuiltinDriver(settings, indexer, SearchSettings(), tmp_path)


@pytest.fixture
def stage(catalogue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with set_up(catalogue, tmp_path, monkeypatch) as stage:
        yield stage


@pytest.fixture
def indexer() -> InterruptedIndexer:
    return InterruptedIndexer()


@pytest.fixture
async def other(make: Make, anyio_backend: str) -> AsyncIterator[Driver]:
    async with make(LineIndexer()) as other:
        yield other


@pytest.fixture
async def gateway(make: Make, indexer: InterruptedIndexer, anyio_backend: str) -> AsyncIterator[Retry]:
    """Repeats what failed for a passing reason, as every gateway does."""
    async with make(indexer) as driver:
        yield Retry(driver, LayerSettings(attempts=3, upsert_timeout=5))


async def found(driver: Driver, user: UserId) -> set[str]:
    hits = await driver.search(Query(user_id=user, text="the whale", limit=10))
    return {hit.text for hit in hits}


@pytest.fixture(params=[False, True], ids=["new", "older version stored"])
async def before(request: pytest.FixtureRequest, stage: Stage, other: Driver) -> None:
    if request.param:
        await other.upsert(stage.source(1, [ALICE, BOB], "the old whale", modified=500))


@pytest.mark.parametrize("revocation", REVOCATIONS)
async def test_what_one_gateway_revokes_stays_revoked_when_another_was_indexing(
    stage: Stage, gateway: Retry, other: Driver, indexer: InterruptedIndexer, before: None, revocation: str
) -> None:
    async def revoke() -> None:
        with suppress(NotFound):
            await REVOCATIONS[revocation](other)

    indexer.events = [revoke]
    with pytest.raises(Overtaken):
        await gateway.upsert(stage.source(1, [ALICE, BOB]))
    assert indexer.calls == 1, "a void ticket is not repeated in process"
    assert await found(other, BOB) == set()
    assert "the whale" not in await found(other, ALICE)


@pytest.mark.parametrize("revocation", REVOCATIONS)
async def test_nor_does_an_upload_undo_it_that_failed_afterwards_and_is_repeated(
    stage: Stage, gateway: Retry, other: Driver, indexer: InterruptedIndexer, before: None, revocation: str
) -> None:
    async def revoke_and_fail() -> None:
        with suppress(NotFound):
            await REVOCATIONS[revocation](other)
        raise Unavailable("the machine is overloaded")

    indexer.events = [revoke_and_fail]
    with pytest.raises(Overtaken):
        await gateway.upsert(stage.source(1, [ALICE, BOB]))
    assert await found(other, BOB) == set()


async def test_an_upload_that_nothing_overtook_is_repeated_in_process(
    stage: Stage, gateway: Retry, indexer: InterruptedIndexer, before: None
) -> None:
    async def fail() -> None:
        raise Unavailable("the machine is overloaded")

    indexer.events = [fail, fail]
    assert await gateway.upsert(stage.source(1, [ALICE, BOB])) in {Outcome.CREATED, Outcome.UPDATED}
    assert await found(gateway, BOB) == {"the whale"}


async def test_what_was_overtaken_is_indexed_when_it_is_sent_again(
    stage: Stage, gateway: Retry, other: Driver, indexer: InterruptedIndexer
) -> None:
    async def revoke() -> None:
        with suppress(NotFound):
            await other.update_access(AccessOp.DENY, ONE, {BOB})

    indexer.events = [revoke]
    with pytest.raises(Overtaken):
        await gateway.upsert(stage.source(1, [ALICE, BOB]))
    assert await gateway.upsert(stage.source(1, [ALICE])) is Outcome.CREATED
    assert await found(gateway, ALICE) == {"the whale"}


async def test_a_source_may_be_indexed_again_after_it_was_deleted(stage: Stage, gateway: Retry) -> None:
    source = stage.source(1, [ALICE])
    for _ in range(2):
        assert await gateway.upsert(source) is Outcome.CREATED
        await gateway.delete({ONE})
