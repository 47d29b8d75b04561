"""Remembers what was indexed, so that a re-scan of unchanged sources costs little or nothing."""

import hashlib
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Set
from dataclasses import astuple, dataclass, replace

from ..contract import AccessOp, Driver, NotFound, Outcome, ProviderId, Source, SourceId, UserId
from ..metrics import Metrics
from ..state import State
from .base import Layer
from .settings import LayerSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a stored source, and when that was last true."""

    content: str | None
    """Digest of the bytes that are indexed; None when only `modified` is known of the stored version."""
    meta: str | None
    readers: str | None
    """Digest of users who may read it; None once an access change went through: then only the backend knows."""
    exact: bool
    """Nobody but `readers` may read it."""
    modified: int
    seen_at: float

    def covers(self, source: Source) -> bool:
        """The backend would neither index this version nor change its readers."""
        return self.readers == digest_of(source.user_ids) and (self.exact or source.modified <= self.modified)


class HashCache(Layer):
    """One row per backend identity and source id; nothing is ever skipped because *another* source has equal bytes.

    Current is a source whose version is not newer than the known one, or newer with equal content and metadata.
    Within the first window a current source with known readers is not sent at all; within the second it costs only
    the access call. Every access change or deletion forgets what it may touch *before* the backend is called, so that
    no outcome of that call can leave a wrong entry behind.
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
        self._state = state
        self._all_window = settings.skip_upsert_all_within_secs
        self._meta_window = settings.skip_upsert_meta_within_secs
        self._backend = backend
        self._metrics = metrics
        self._clock = clock

    async def upsert(self, source: Source) -> Outcome:
        if not (self._all_window or self._meta_window) or not self.capabilities.exclusive:
            return await self.inner.upsert(source)
        entry = await self._recall(source.id)
        if entry is not None and await _is_current(source, entry) and await self._skip(source, entry):
            return Outcome.UNCHANGED
        if entry is not None:
            await self._forget([source.id])
        return await self._pass_on(source)

    async def _skip(self, source: Source, entry: Entry) -> bool:
        age = self._clock() - entry.seen_at
        if age <= self._all_window and entry.covers(source):
            return self._skipped("all")
        if age <= self._meta_window and await self._bring_readers_up_to_date(source, entry):
            return self._skipped("meta")
        return False

    async def _bring_readers_up_to_date(self, source: Source, entry: Entry) -> bool:
        """False when the backend does not know the source any more."""
        newer = source.modified > entry.modified
        await self._forget_readers([source.id])
        try:
            if newer:
                await self.inner.set_access(source.id, source.user_ids)
            else:
                await self.inner.update_access(AccessOp.ALLOW, source.id, source.user_ids)
        except NotFound:
            await self._forget([source.id])
            return False
        await self._remember(
            source, replace(entry, modified=max(source.modified, entry.modified), exact=newer, seen_at=self._clock())
        )
        return True

    async def _pass_on(self, source: Source) -> Outcome:
        outcome = await self.inner.upsert(source)
        if outcome is Outcome.PENDING:
            return outcome
        # UNCHANGED says that the stored version is not older, but not what its bytes are
        indexed = outcome is not Outcome.UNCHANGED
        entry = Entry(
            content=await source.content.sha256() if indexed else None,
            meta=meta_digest(source) if indexed else None,
            readers=None,
            exact=indexed,
            modified=source.modified,
            seen_at=self._clock(),
        )
        await self._remember(source, entry)
        return outcome

    def _skipped(self, window: str) -> bool:
        self._metrics.skipped.labels(self._backend, window).inc()
        log.debug("Quick-skip %s", window)
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

    async def _recall(self, source_id: SourceId) -> Entry | None:
        rows = await self._state.fetch(
            "select content, meta, readers, exact, modified, seen_at from upserts where backend = ? and source_id = ?",
            self.identity,
            source_id,
        )
        return Entry(*rows[0]) if rows else None  # type: ignore[arg-type] # column types are those of the table

    async def _remember(self, source: Source, entry: Entry) -> None:
        """Store the entry with the readers of `source`."""
        readers = digest_of(source.user_ids)
        row = (self.identity, source.id, *astuple(replace(entry, readers=readers)))
        try:
            await self._state.execute("insert or replace into upserts values (?, ?, ?, ?, ?, ?, ?, ?)", *row)
        except sqlite3.OperationalError:  # e.g. a full disk: a lost entry costs one more upload, not this one
            log.warning("the upsert cache cannot be written", exc_info=True)

    async def _forget(self, source_ids: Iterable[SourceId]) -> None:
        identity = self.identity
        await self._state.execute_many(
            "delete from upserts where backend = ? and source_id = ?", [(identity, id_) for id_ in source_ids]
        )

    async def _forget_readers(self, source_ids: Iterable[SourceId]) -> None:
        identity = self.identity
        await self._state.execute_many(
            "update upserts set readers = null where backend = ? and source_id = ?",
            [(identity, id_) for id_ in source_ids],
        )

    async def _forget_all_readers(self) -> None:
        # rare operations; afterwards each source costs one access call, which also finds those that were deleted
        await self._state.execute("update upserts set readers = null where backend = ?", self.identity)


async def _is_current(source: Source, entry: Entry) -> bool:
    if source.modified <= entry.modified:
        return True
    return entry.meta == meta_digest(source) and entry.content == await source.content.sha256()


def meta_digest(source: Source) -> str:
    """Digest of what is stored beside the text. `modified` is compared by order, not by equality."""
    return digest_of([source.provider, source.title, source.mime_type], keep_order=True)


def digest_of(values: Iterable[str], *, keep_order: bool = False) -> str:
    """Digest of a set (or, with `keep_order`, of a sequence) of texts."""
    canonical = json.dumps(list(values) if keep_order else sorted(values))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
