"""Writes down what becomes of each source, for people who ask why something is not found."""

import logging
import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import anyio

from ..contract import DriverError, ProviderId, Source, SourceId
from ..metrics import Metrics
from ..toolkit.background import periodically
from .actions import Action, DeleteProvider, DeleteSources
from .sources import OPEN, Entry, SourceTable, Stage
from .state import State

K = TypeVar("K")
V = TypeVar("V")

FLUSH_SECONDS = 1.0
"""Between two writes. A crash loses as much: of such sources only the stage before is known."""
COUNT_SECONDS = 30.0
SMOOTHING = 0.1
"""How much of the rate the last count is, so that it is that of the last five minutes."""

log = logging.getLogger(__name__)


class Ledger:
    """Notes are kept in memory and written together. Reading and writing raise what `State` raises."""

    def __init__(self, state: State, metrics: Metrics) -> None:
        self.table = SourceTable(state)
        self._metrics = metrics
        self._gone_providers: dict[ProviderId, None] = {}
        self._gone: dict[SourceId, None] = {}
        self._notes: dict[SourceId, Entry] = {}
        self._next_tries: dict[SourceId, float] = {}
        self._one_flush = anyio.Lock()
        self._begun = False
        self._indexed = 0
        """Since they were counted last."""
        self._rate = 0.0
        """Indexed sources a second, of late."""

    async def run(self) -> None:
        """Ends by cancellation."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(periodically, "writing down what became of sources", self.flush, FLUSH_SECONDS)
            tasks.start_soon(periodically, "counting sources", self._count, COUNT_SECONDS)

    # ------------------------------------------------------------------ writing

    def note(
        self, source: Source, stage: Stage, reason: str = "", *, is_stored: bool = False, reader: str | None = None
    ) -> None:
        """A source has come so far; each time that it fails is another try. `is_stored` says that it is this version
        that the backend has now, `reader` which one could not read it."""
        before = self._notes.get(source.id)
        tries = int(stage is Stage.FAILING)
        if before is not None and stage in OPEN:
            tries += before.tries
        self._gone.pop(source.id, None)
        self._next_tries.pop(source.id, None)
        self._indexed += stage is Stage.INDEXED
        self._notes[source.id] = Entry(
            source_id=source.id,
            provider=source.provider,
            title=source.title,
            mime_type=source.mime_type,
            size=source.content.size,
            stage=stage,
            since=time.time(),
            tries=tries,
            reason=reason,
            modified=source.modified if is_stored else before.modified if before is not None else None,
            reader=reader,
        )

    def note_stage(self, entry: Entry, stage: Stage, reason: str) -> None:
        """The same of a source that only the ledger knows."""
        self._notes[entry.source_id] = replace(entry, stage=stage, since=time.time(), tries=0, reason=reason)

    def note_next_try(self, source_id: SourceId, seconds: float) -> None:
        """One that failed is tried again after so many seconds."""
        self._next_tries[source_id] = time.time() + seconds

    def note_action(self, action: Action) -> None:
        """What an action deleted is not known any more. Sources that lost their last reader stay until they are asked
        about: only the backend knows readers."""
        match action:
            case DeleteSources(source_ids):
                self.forget(source_ids)
            case DeleteProvider(provider):
                self._gone_providers[provider] = None
                self._notes = {id_: entry for id_, entry in self._notes.items() if entry.provider != provider}
            case _:
                return

    def forget(self, source_ids: Iterable[SourceId]) -> None:
        """These are not stored."""
        for source_id in source_ids:
            self._notes.pop(source_id, None)
            self._gone[source_id] = None

    async def flush(self) -> None:
        """Write down what was noted so far."""
        async with self._one_flush:
            await self._begin()
            providers, gone = list(self._gone_providers), list(self._gone)
            notes, next_tries = list(self._notes.values()), list(self._next_tries.items())
            if not (providers or gone or notes or next_tries):
                return
            await self.table.write(gone_providers=providers, gone=gone, notes=notes, next_tries=next_tries)
            # what was noted meanwhile is still to be written
            _drop(self._gone_providers, dict.fromkeys(providers))
            _drop(self._gone, dict.fromkeys(gone))
            _drop(self._notes, {entry.source_id: entry for entry in notes})
            _drop(self._next_tries, dict(next_tries))

    async def write(self) -> None:
        """Have what was noted survive a crash, if the disk takes it."""
        try:
            await self.flush()
        except DriverError as error:
            log.warning("what became of some sources is not written down: %s", error)

    async def _begin(self) -> None:
        if not self._begun:
            await self.table.interrupt()
            self._begun = True

    # ------------------------------------------------------------------ reading

    async def known(self, source_ids: Collection[SourceId]) -> Sequence[Entry]:
        """What is known of these at this moment, a thousand at most."""
        await self.flush()
        return await self.table.known(source_ids)

    async def _count(self) -> None:
        summary = await self.table.summary()
        self._rate += SMOOTHING * (self._indexed / COUNT_SECONDS - self._rate)
        self._indexed = 0
        for stage in Stage:
            self._metrics.sources_by_stage.labels(stage).set(summary.counts.get(stage, 0))
        oldest, waiting = summary.oldest_open, sum(summary.counts.get(stage, 0) for stage in OPEN)
        self._metrics.oldest_waiting.set(0 if oldest is None else max(time.time() - oldest, 0))
        self._metrics.time_left.set(waiting / self._rate if self._rate else math.nan if waiting else 0)


def _drop(notes: dict[K, V], written: Mapping[K, V]) -> None:
    for key, value in written.items():
        if key in notes and notes[key] == value:
            del notes[key]
