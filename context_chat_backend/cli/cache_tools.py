"""Tools around the upsert cache: look at it, empty it, fill it from a backend, take over an older one, tidy it up.

Those that compare it with the backend have the storage to themselves. While a gateway serves, an access change could go
through between the reading of a source and the writing of its entry, and the entry would vouch for readers of before.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import anyio

from ..contract import Capabilities, Driver, Inventory, Misconfigured, SourceId, StoredVersion, Unsupported
from ..core.state import State
from ..layers import LayerSettings
from ..layers.upsert_cache import CacheEntry, Statistics, UpsertCache, entry_of
from ..storage import claimed_storage, state_file
from ..toolkit.concurrency import in_batches
from .fork_file import fork_line
from .progress import Progress

T = TypeVar("T")

BATCH = 500
"""Sources that are held in memory, asked for and written at a time."""


# ---------------------------------------------------------------------- may run while a gateway serves


async def statistics(storage: Path, layers: LayerSettings, *, now: float) -> list[Statistics]:
    """One item per store that the cache knows; creates nothing. `now` in Unix seconds."""
    if not state_file(storage).exists():
        return []
    async with State(state_file(storage)) as state:
        return await UpsertCache(state).statistics(
            now=now,
            all_window=layers.skip_upsert_all_within_secs,
            meta_window=layers.skip_upsert_meta_within_secs,
        )


def file_bytes(storage: Path) -> int:
    """Size of the cache's file and of the log beside it."""
    files = state_file(storage), Path(f"{state_file(storage)}-wal")
    return sum(file.stat().st_size for file in files if file.exists())


async def clear(storage: Path) -> None:
    """Forget the entries of all stores. A gateway may serve meanwhile: what is forgotten only costs another upload."""
    if not state_file(storage).exists():
        return
    async with State(state_file(storage)) as state:
        await UpsertCache(state).forget_everything()
        await state.execute("delete from flags where name glob ?", f"{Checkpoint.PREFIX}*")


# ---------------------------------------------------------------------- need the storage to themselves


@dataclass(frozen=True, slots=True)
class SeedReport:
    """What a walk through a store did."""

    written: int
    before: int
    """Sources at its beginning that were left to an earlier, interrupted walk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What became of the lines of an older cache."""

    taken_over: int
    missing: int
    """The backend does not have this source."""
    different: int
    """The backend has another version of it."""
    unreadable: int


class CacheTools:
    """Works on the entries of one open driver, a batch at a time: what is written stays, whatever comes after."""

    def __init__(
        self, driver: Driver, state: State, progress: Progress, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._driver = driver
        self._inventory = inventory_of(driver)
        self._state = state
        self._cache = UpsertCache(state)
        self._progress = progress
        self._clock = clock

    async def seed(self, *, bulk: bool = False) -> SeedReport:
        """Write an entry for everything that is stored. After an interruption the next call resumes there. `bulk`
        uses the backend's export."""
        checkpoint = Checkpoint(self._state, self._driver.identity, "export" if bulk else "list")
        before = await checkpoint.read()
        self._progress.begin(total=sum((await self._driver.count()).values()), done=before)
        async with _batches(self._inventory.inventory(skip=before, bulk=bulk)) as batches:
            async for batch in batches:
                await self._remember((stored, self._clock()) for stored in batch)
                self._progress.advance(len(batch))
                await checkpoint.write(self._progress.done)
        await checkpoint.remove()
        return SeedReport(self._progress.done - before, before)

    async def take_over(self, lines: Mapping[str, object]) -> ImportReport:
        """Write entries for those lines of the earlier fork's cache that the backend confirms.

        A line is `sha256: {"ts": Unix seconds, "filename": source id}`. An entry that the backend does not confirm
        would have a later upload skipped, and its source would be lost.
        """
        readable = [line for line in (fork_line(*item) for item in lines.items()) if line is not None]
        self._progress.begin(total=len(readable))
        missing = different = 0
        for start in range(0, len(readable), BATCH):
            batch = readable[start : start + BATCH]
            stored = await self._stored({line.source_id for line in batch})
            known = [line for line in batch if line.source_id in stored]
            same = [line for line in known if line.sha256 == stored[line.source_id].sha256]
            # a date in the future would never leave the windows
            await self._remember((stored[line.source_id], min(line.seen_at, self._clock())) for line in same)
            missing += len(batch) - len(known)
            different += len(known) - len(same)
            self._progress.advance(len(batch))
        return ImportReport(
            taken_over=len(readable) - missing - different,
            missing=missing,
            different=different,
            unreadable=len(lines) - len(readable),
        )

    async def prune(self) -> int:
        """Remove the entries that the backend contradicts; returns how many."""
        self._progress.begin(total=await self._cache.count(self._driver.identity))
        removed = 0
        async for page in self._pages():
            stored = await self._stored({source_id for source_id, _ in page})
            wrong = [id_ for id_, entry in page if id_ not in stored or not entry.holds_for(stored[id_])]
            await self._cache.forget(self._driver.identity, wrong)
            removed += len(wrong)
            self._progress.advance(len(page))
        return removed

    async def _remember(self, seen: Iterable[tuple[StoredVersion, float]]) -> None:
        entries = ((stored.source_id, entry_of(stored, seen_at)) for stored, seen_at in seen)
        await self._cache.remember(self._driver.identity, entries)

    async def _stored(self, source_ids: Collection[SourceId]) -> dict[SourceId, StoredVersion]:
        versions = self._inventory.inventory(frozenset(source_ids))
        return {stored.source_id: stored async for stored in versions}

    async def _pages(self) -> AsyncIterator[list[tuple[SourceId, CacheEntry]]]:
        after = ""
        while page := await self._cache.page(self._driver.identity, after, BATCH):
            yield page
            after = page[-1][0]


class Checkpoint:
    """How much of a walk through a store is done; survives an interruption."""

    PREFIX = "seed "

    def __init__(self, state: State, identity: str, method: str) -> None:
        self._state = state
        self._name = f"{self.PREFIX}{method} {identity}"

    async def read(self) -> int:
        """0 where nothing was interrupted."""
        return int(await self._state.flag(self._name) or 0)

    async def write(self, done: int) -> None:
        """So many are done."""
        await self._state.set_flag(self._name, str(done))

    async def remove(self) -> None:
        """The walk is over."""
        await self._state.execute("delete from flags where name = ?", self._name)


@asynccontextmanager
async def open_tools(storage: Path, driver: Driver, progress: Progress) -> AsyncIterator[CacheTools]:
    """Tools around a driver that is not open. Raises `Unsupported` where it cannot list what it stores, `Misconfigured`
    while a gateway runs."""
    inventory_of(driver)
    async with AsyncExitStack() as stack:
        stack.enter_context(_storage_of_our_own(storage))
        state = await stack.enter_async_context(State(state_file(storage)))
        await stack.enter_async_context(driver)
        # what a gateway wrote just before it stopped has to be visible
        await anyio.sleep(driver.capabilities.settle_seconds)
        yield CacheTools(driver, state, progress)


def inventory_of(driver: Driver) -> Inventory:
    """The same driver. Raises `Unsupported` where it cannot list what it stores."""
    if not isinstance(driver, Inventory):
        raise Unsupported(
            "this backend cannot list what it stores, so there is nothing to compare the cache with; "
            "the cache fills by itself as sources arrive"
        )
    return driver


def require_cache(capabilities: Capabilities, layers: LayerSettings, backend: str) -> None:
    """Raise `Misconfigured` where the gateway would never look at an entry."""
    if capabilities.shared:
        raise Misconfigured(f"the upsert cache is off: others may write to this store of RAG_BACKEND={backend}")
    if not (layers.skip_upsert_all_within_secs or layers.skip_upsert_meta_within_secs):
        raise Misconfigured("the upsert cache is off: both …_SKIP_UPSERT_…_WITHIN_SECS are 0")


@contextmanager
def _storage_of_our_own(folder: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(claimed_storage(folder))
        except Misconfigured as error:
            raise Misconfigured(
                f"{error}. Stop the gateway first, because this command needs the folder to itself: an entry computed "
                "while an access change goes through would be wrong"
            ) from error
        yield


@asynccontextmanager
async def _batches(items: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[list[T]]]:
    """Lists of up to `BATCH` items. Where these come from is closed at the end, while the driver is still open."""
    async with AsyncExitStack() as stack:
        if isinstance(items, AsyncGenerator):
            await stack.enter_async_context(aclosing(items))
        yield await stack.enter_async_context(aclosing(in_batches(items, BATCH)))
