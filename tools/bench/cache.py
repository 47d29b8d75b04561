"""A re-scan of unchanged sources through the upsert cache, against a cache that rewrites a JSON file for each."""

import json
import resource
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, time

import anyio

from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import Outcome, ProviderId, Source, SourceId, StoredVersion, UserId
from context_chat_backend.core.state import State
from context_chat_backend.layers import LayerSettings
from context_chat_backend.layers.hash_cache import HashCache
from context_chat_backend.layers.upsert_cache import UpsertCache, entry_of
from context_chat_backend.metrics import Metrics

from .report import Table
from .scale import Scale
from .timing import compared

AT_ONCE = 3
"""As many as the gateway indexes at a time."""
SEEDED = 1000
REWRITES = 3
DIGEST = "0" * 64
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Known:
    """Content whose digest the push side has computed while it received it."""

    size: int = 1000

    async def sha256(self) -> str:
        return DIGEST

    async def path(self) -> Path:
        raise AssertionError("an unchanged source was about to be indexed")

    def release(self) -> None:
        return None


class Silent(ReferenceDriver):
    """Counts what gets through to the backend."""

    calls = 0

    async def upsert(self, source: Source) -> Outcome:  # noqa: ARG002 - part of the contract
        self.calls += 1
        return Outcome.CREATED


@dataclass
class Scan:
    """Sources of one user after the other."""

    number: int
    content: Known = field(default_factory=Known)

    def __iter__(self) -> Iterator[Source]:
        for number in range(self.number):
            yield Source(
                id=SourceId(f"files__default: {number}"),
                provider=ProviderId("files__default"),
                title=f"files/Documents/report {number}.md",
                mime_type="text/markdown",
                modified=1_700_000_000,
                user_ids=frozenset({UserId(f"user {number % 100}"), UserId("admin")}),
                content=self.content,
            )


def measure_rescan(folder: Path, scale: Scale) -> Table:
    """Rates, their ratio, calls to the backend and growth of memory."""
    return anyio.run(_measure, folder, scale)


async def _measure(folder: Path, scale: Scale) -> Table:
    scan, driver = Scan(scale.cached_sources), Silent()
    settings = LayerSettings()
    async with State(folder / "state.db") as state:
        await _seed(UpsertCache(state), driver.identity, scan)
        cache = HashCache(driver, state, settings, backend="bench", metrics=Metrics())
        before = _memory()
        await _rate(cache, scan)
        growth = _memory() - before
        rounds = [(_json_rate(folder, scan), await _rate(cache, scan)) for _ in range(scale.rounds)]
    json_rate, rate, ratio = compared(rounds)
    row = (
        f"{scan.number:,}",
        f"{json_rate:.2f}",
        f"{rate:,.0f}",
        f"{ratio:.0f}",
        str(driver.calls),
        f"{growth / MIB:.1f}",
    )
    head = ("unchanged sources", "JSON file/s", "cache/s", "ratio", "backend calls", "memory growth, MiB")
    return Table("rescan", head, [row])


async def _seed(cache: UpsertCache, identity: str, scan: Scan) -> None:
    batch: list[StoredVersion] = []
    for source in scan:
        batch.append(_stored(source))
        if len(batch) == SEEDED:
            await _write(cache, identity, batch)
            batch = []
    await _write(cache, identity, batch)


async def _write(cache: UpsertCache, identity: str, batch: Sequence[StoredVersion]) -> None:
    await cache.remember(identity, [(stored.source_id, entry_of(stored, time())) for stored in batch])


def _stored(source: Source) -> StoredVersion:
    return StoredVersion(
        source_id=source.id,
        provider=source.provider,
        title=source.title,
        mime_type=source.mime_type,
        modified=source.modified,
        sha256=DIGEST,
        user_ids=source.user_ids,
    )


async def _rate(cache: HashCache, scan: Scan) -> float:
    sources = iter(scan)

    async def worker() -> None:
        for source in sources:
            await cache.upsert(source)

    start = perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(AT_ONCE):
            tasks.start_soon(worker)
    return scan.number / (perf_counter() - start)


def _json_rate(folder: Path, scan: Scan) -> float:
    """Of a cache with as many entries that is written as a whole whenever one of them is seen."""
    entries = {
        f"{number:064x}": {"ts": 1.7e9, "doc_id": DIGEST[:36], "filename": source.id}
        for number, source in enumerate(scan)
    }
    file = folder / "cache.json"
    start = perf_counter()
    for _ in range(REWRITES):
        file.write_text(json.dumps(entries), "utf-8")
    return REWRITES / (perf_counter() - start)


def _memory() -> int:
    """Resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
