"""The upsert cache, the rows of `HashCache`: what is known of stored sources, by the identity of their store."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

from ..contract import Source, SourceId, StoredVersion
from ..core.state import State

FORGET_BATCH = 1000
"""Rows per transaction when everything is forgotten: a gateway that serves meanwhile has to get its turn."""


@dataclass(frozen=True, slots=True)
class CacheEntry:
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
        return source.modified <= self.modified and self.readers == digest_of(source.user_ids)

    def holds_for(self, stored: StoredVersion) -> bool:
        """Whether nothing in this entry contradicts what the backend says of the source."""
        if self.exact and None not in (self.readers, stored.user_ids) and self.readers != _readers_digest(stored):
            return False
        if self.content is None:
            return self.modified <= stored.modified
        # a newer `modified` than the stored one is fine: backends need not tell of a touched source
        return self.content == stored.sha256 and self.meta == meta_digest(stored)


def entry_of(stored: StoredVersion, seen_at: float) -> CacheEntry:
    """The entry that would be there if the gateway had just indexed what the backend stores."""
    return CacheEntry(
        content=stored.sha256 or None,
        meta=meta_digest(stored),
        readers=_readers_digest(stored),
        exact=stored.user_ids is not None,
        modified=stored.modified,
        seen_at=seen_at,
    )


def meta_digest(item: Source | StoredVersion) -> str:
    """Digest of what is stored beside the text. `modified` is compared by order, not by equality."""
    return digest_of([item.provider, item.title, item.mime_type], keep_order=True)


def digest_of(values: Iterable[str], *, keep_order: bool = False) -> str:
    """Digest of a set (or, with `keep_order`, of a sequence) of texts."""
    canonical = json.dumps(list(values) if keep_order else sorted(values))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def _readers_digest(stored: StoredVersion) -> str | None:
    return None if stored.user_ids is None else digest_of(stored.user_ids)


@dataclass(frozen=True, slots=True)
class Statistics:
    """The entries of one store. The last three numbers add up to `entries`."""

    identity: str
    entries: int
    known_readers: int
    """Entries that say who may read the source."""
    in_all_window: int
    """Young enough that an identical source with known readers costs no call."""
    in_meta_window: int
    """Older, and young enough that an unchanged source costs only an access call."""
    expired: int


class UpsertCache:
    """Entries by identity of the store and source id. Raises what `SqliteFile` raises."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def recall(self, identity: str, source_id: SourceId) -> CacheEntry | None:
        """The entry of one source."""
        rows = await self._state.fetch(
            "select content, meta, readers, exact, modified, seen_at from upserts where backend = ? and source_id = ?",
            identity,
            source_id,
        )
        return _entry(rows[0]) if rows else None

    async def remember(self, identity: str, entries: Iterable[tuple[SourceId, CacheEntry]]) -> None:
        """Add or replace entries, in one transaction."""
        await self._state.execute_many(
            "insert or replace into upserts values (?, ?, ?, ?, ?, ?, ?, ?)",
            [(identity, source_id, *astuple(entry)) for source_id, entry in entries],
        )

    async def forget(self, identity: str, source_ids: Iterable[SourceId]) -> None:
        """Remove entries; unknown ids are fine."""
        await self._state.execute_many(
            "delete from upserts where backend = ? and source_id = ?", [(identity, id_) for id_ in source_ids]
        )

    async def forget_readers(self, identity: str, source_ids: Iterable[SourceId]) -> None:
        """Keep what is known of the content, but not who may read it."""
        await self._state.execute_many(
            "update upserts set readers = null where backend = ? and source_id = ?",
            [(identity, id_) for id_ in source_ids],
        )

    async def forget_all_readers(self, identity: str) -> None:
        """The same for every source of a store."""
        await self._state.execute("update upserts set readers = null where backend = ?", identity)

    async def forget_everything(self) -> None:
        """Remove the entries of all stores, some at a time."""
        while await self._state.fetch("select 1 from upserts limit 1"):
            await self._state.execute(
                "delete from upserts where (backend, source_id) in (select backend, source_id from upserts limit ?)",
                FORGET_BATCH,
            )

    async def page(self, identity: str, after: str, limit: int) -> list[tuple[SourceId, CacheEntry]]:
        """The next entries of a store in the order of their ids; the first page is after `""`."""
        rows = await self._state.fetch(
            "select source_id, content, meta, readers, exact, modified, seen_at from upserts "
            "where backend = ? and source_id > ? order by source_id limit ?",
            identity,
            after,
            limit,
        )
        return [(SourceId(str(source_id)), _entry(columns)) for source_id, *columns in rows]

    async def count(self, identity: str) -> int:
        """Number of entries of a store."""
        ((entries,),) = await self._state.fetch("select count(*) from upserts where backend = ?", identity)
        return int(str(entries))

    async def statistics(self, *, now: float, all_window: float, meta_window: float) -> list[Statistics]:
        """One item per store, by identity. `now` in Unix seconds, the windows in seconds."""
        rows = await self._state.fetch(
            "select backend, count(*), count(readers), sum(age <= ?1), sum(age > ?1 and age <= ?2), "
            "sum(age > ?1 and age > ?2) from (select backend, readers, ?3 - seen_at as age from upserts) "
            "group by backend order by backend",
            all_window,
            meta_window,
            now,
        )
        return [Statistics(*row) for row in rows]  # type: ignore[arg-type] # the order of the columns is that of the fields


def _entry(columns: Sequence[object]) -> CacheEntry:
    return CacheEntry(*columns)  # type: ignore[arg-type] # column types are those of the table
