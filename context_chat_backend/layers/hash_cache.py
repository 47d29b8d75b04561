"""Remembers what was indexed, so that a re-scan of unchanged sources costs little or nothing."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import replace
from types import TracebackType
from typing import Self

from ..contract import (
    AccessChange,
    AccessOp,
    Driver,
    DriverError,
    NotFound,
    Outcome,
    ProviderId,
    Source,
    SourceId,
    UserId,
)
from ..core.state import State
from ..metrics import Metrics
from .layer import Layer
from .settings import LayerSettings
from .upsert_cache import CacheEntry, UpsertCache, digest_of, meta_digest

REPORT_SECONDS = 30.0

log = logging.getLogger(__name__)


class SkipReport:
    """Tells admins that sources are skipped, in a line now and then instead of one per source."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._skipped: Counter[str] = Counter()
        self._reported_at = float("-inf")

    def count(self, window: str) -> None:
        """A source was skipped; the first one is reported at once."""
        self._skipped[window] += 1
        if self._clock() - self._reported_at >= REPORT_SECONDS:
            self.write()

    def write(self) -> None:
        """Report what was not reported yet."""
        for window, number in sorted(self._skipped.items()):
            log.info("Quick-skip %s: %d source(s)", window, number)
        self._skipped.clear()
        self._reported_at = self._clock()


class HashCache(Layer):
    """One row per backend identity and source id; nothing is ever skipped because *another* source has equal bytes.

    A source whose version is newer than the known one always reaches the backend, which has to know how new the stored
    one is, or a late older version could replace it. So does one that was renamed, which does not make it newer. Others
    are not indexed: within the first window one with known
    readers is not sent at all; within the second it costs only the access call. Every access change or deletion
    forgets what it may touch *before* the backend is called, so that no outcome of that call can leave a wrong entry
    behind.
    """

    def __init__(
        self,
        inner: Driver,
        state: State,
        settings: LayerSettings,
        *,
        backend: str,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(inner)
        self._entries = UpsertCache(state)
        self._all_window = settings.skip_upsert_all_within_secs
        self._meta_window = settings.skip_upsert_meta_within_secs
        self._backend = backend
        self._metrics = metrics
        self._clock = clock
        self._report = SkipReport(clock)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        if self.capabilities.shared:
            log.info("Upsert skip windows: off, others may write to this backend, too")
        else:
            log.info("Upsert skip windows: all %d s, meta %d s", self._all_window, self._meta_window)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._report.write()
        await super().__aexit__(exc_type, exc, tb)

    async def upsert(self, source: Source) -> Outcome:
        if not (self._all_window or self._meta_window) or self.capabilities.shared:
            return await self.inner.upsert(source)
        identity = self.identity  # the store may be emptied meanwhile: the one after that has nothing of this source
        entry = await self._entries.recall(identity, source.id)
        if entry is not None and source.modified <= entry.modified and await self._skip(identity, source, entry):
            return Outcome.UNCHANGED
        if entry is not None:
            await self._entries.forget(identity, [source.id])
        return await self._pass_on(identity, source)

    async def _skip(self, identity: str, source: Source, entry: CacheEntry) -> bool:
        age = self._clock() - entry.seen_at
        if age < 0:  # the clock was set back, so nobody knows how old it is
            return False
        if source.modified == entry.modified and entry.meta not in {None, meta_digest(source)}:
            return False
        if age <= self._all_window and entry.covers(source):
            return self._skipped("all")
        if age <= self._meta_window and await self._bring_readers_up_to_date(identity, source, entry):
            return self._skipped("meta")
        return False

    async def _bring_readers_up_to_date(self, identity: str, source: Source, entry: CacheEntry) -> bool:
        """False when the backend does not know the source any more."""
        await self._entries.forget_readers(identity, [source.id])
        try:
            await self.inner.update_access(AccessOp.ALLOW, source.id, source.user_ids)
        except NotFound:
            return False
        await self._remember(identity, source, replace(entry, exact=False, seen_at=self._clock()))
        return True

    async def _pass_on(self, identity: str, source: Source) -> Outcome:
        outcome = await self.inner.upsert(source)
        if outcome is Outcome.PENDING:
            return outcome
        # UNCHANGED says that the stored version is not older, but not what its bytes are
        indexed = outcome is not Outcome.UNCHANGED
        entry = CacheEntry(
            content=await source.content.sha256() if indexed else None,
            meta=meta_digest(source),
            readers=None,
            exact=indexed,
            modified=source.modified,
            seen_at=self._clock(),
        )
        await self._remember(identity, source, entry)
        return outcome

    def _skipped(self, window: str) -> bool:
        self._metrics.skipped.labels(self._backend, window).inc()
        self._report.count(window)
        return True

    # ------------------------------------------------------- what may change a remembered source

    async def delete(self, source_ids: Set[SourceId]) -> None:
        await self._forget(source_ids)
        await self.inner.delete(source_ids)

    async def set_access(self, source_id: SourceId, user_ids: Set[UserId]) -> None:
        await self._forget_readers([source_id])
        await self.inner.set_access(source_id, user_ids)

    async def update_access(self, op: AccessOp, source_id: SourceId, user_ids: Set[UserId]) -> None:
        await self._forget_readers([source_id])
        await self.inner.update_access(op, source_id, user_ids)

    async def change_access(self, changes: Sequence[AccessChange]) -> None:
        await self._forget_readers([change.source_id for change in changes])
        await self.inner.change_access(changes)

    async def update_provider_access(self, op: AccessOp, provider: ProviderId, user_ids: Set[UserId]) -> None:
        await self._forget_all_readers()
        await self.inner.update_provider_access(op, provider, user_ids)

    async def delete_provider(self, provider: ProviderId) -> None:
        await self._forget_all_readers()
        await self.inner.delete_provider(provider)

    async def delete_user(self, user_id: UserId) -> None:
        await self._forget_all_readers()
        await self.inner.delete_user(user_id)

    # ------------------------------------------------------- rows

    async def _remember(self, identity: str, source: Source, entry: CacheEntry) -> None:
        """Store the entry with the readers of `source`."""
        known = replace(entry, readers=digest_of(source.user_ids))
        try:
            await self._entries.remember(identity, [(source.id, known)])
        except DriverError as error:  # e.g. a full disk: a lost entry costs one more upload, not this one
            log.warning("the upsert cache cannot be written: %s", error)

    async def _forget(self, source_ids: Iterable[SourceId]) -> None:
        await self._entries.forget(self.identity, source_ids)

    async def _forget_readers(self, source_ids: Iterable[SourceId]) -> None:
        await self._entries.forget_readers(self.identity, source_ids)

    async def _forget_all_readers(self) -> None:
        # rare operations; afterwards each source costs one access call, which also finds those that were deleted
        await self._entries.forget_all_readers(self.identity)
