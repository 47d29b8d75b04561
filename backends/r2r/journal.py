"""Uploads that R2R may still be working on, or that nobody has looked at since.

R2R goes on with a document whose sender is gone, and shows it in no collection before it is done. Operations on
many sources find such documents here. Only a `SourceRecord` changes what is written.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import UUID

from context_chat_backend.contract import ProviderId, SourceId
from context_chat_backend.toolkit.sqlite import Row, SqliteFile

from .wire import Metadata

MIGRATIONS = (
    """
    create table uploads (
      document_id text primary key, source_id text not null, provider text not null,
      tries integer not null, first real not null, since real not null,
      upload text not null, given_up integer not null default 0) without rowid;
    create index uploads_provider on uploads (provider);
    """,
)


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """An upload."""

    document_id: UUID
    source_id: SourceId
    provider: ProviderId
    tries: int
    """How often it was sent."""
    first: float
    """Unix seconds of the first try."""
    since: float
    """Unix seconds of the last try."""
    upload: str
    """The last one, see `wire.Metadata.cc_upload`."""
    given_up: bool
    """Deleted while R2R may have been working on it, in which case it comes back."""


class Journal(SqliteFile):
    """The file of these uploads."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        super().__init__(path, MIGRATIONS)
        self._clock = clock
        self.given_up: dict[UUID, str] = {}
        """The uploads that count as deleted, although they may come back, by id of their document."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        # whoever sent them is gone, and R2R may not have begun with them
        await self.execute("update uploads set since = ? where since > 0 and given_up = 0", self._clock())
        self.given_up = {entry.document_id: entry.upload for entry in await self.entries() if entry.given_up}
        return self

    async def begin(
        self, document_id: UUID, source_id: SourceId, provider: ProviderId, *, upload: str, now: float
    ) -> None:
        """An upload is about to be sent."""
        await self.execute(
            "insert into uploads values (?1, ?2, ?3, 1, ?4, ?4, ?5, 0) on conflict (document_id)"
            " do update set tries = tries + 1, since = excluded.since, upload = excluded.upload, given_up = 0",
            str(document_id),
            source_id,
            provider,
            now,
            upload,
        )
        self.given_up.pop(document_id, None)

    async def left(self, document_id: UUID) -> None:
        """The sender of an upload no longer waits; R2R may start on it only now."""
        await self.execute("update uploads set since = ? where document_id = ?", self._clock(), str(document_id))

    async def doubt(self, document_id: UUID, source_id: SourceId, provider: ProviderId, *, upload: str) -> None:
        """A document is about to be deleted, which R2R may do only halfway."""
        await self.execute(
            "insert into uploads values (?1, ?2, ?3, 0, ?4, 0, ?5, 0) on conflict (document_id) do nothing",
            str(document_id),
            source_id,
            provider,
            self._clock(),
            upload,
        )

    async def give_up(self, document_id: UUID, source_id: SourceId, *, upload: str, now: float) -> None:
        """A document is deleted although R2R may be working on it."""
        await self.execute(
            "insert into uploads values (?1, ?2, '', 0, ?3, ?3, ?4, 1) on conflict (document_id)"
            " do update set since = excluded.since, upload = excluded.upload, given_up = 1",
            str(document_id),
            source_id,
            now,
            upload,
        )
        self.given_up[document_id] = upload

    async def end(self, document_id: UUID) -> None:
        """A document is as it should be, or gone."""
        await self.execute("delete from uploads where document_id = ?", str(document_id))
        self.given_up.pop(document_id, None)

    def is_given_up(self, document_id: UUID, metadata: Metadata | None) -> bool:
        """Whether a document in R2R is one that came back, and not a later one under the same id."""
        upload = self.given_up.get(document_id)
        return upload is not None and (metadata is None or metadata.cc_upload == upload)

    async def entry(self, document_id: UUID) -> JournalEntry | None:
        """What is known of a document; None for one that was found to be good, or is unknown."""
        rows = await self.fetch("select * from uploads where document_id = ?", str(document_id))
        return _entry(rows[0]) if rows else None

    async def entries(self, provider: ProviderId | None = None) -> list[JournalEntry]:
        """All of them, or those of a provider."""
        rows = await self.fetch("select * from uploads where ? is null or provider = ?", provider, provider)
        return [_entry(row) for row in rows]


def _entry(row: Row) -> JournalEntry:
    document_id, source_id, provider, tries, first, since, upload, given_up = row
    return JournalEntry(
        document_id=UUID(str(document_id)),
        source_id=SourceId(str(source_id)),
        provider=ProviderId(str(provider)),
        tries=int(str(tries)),
        first=float(str(first)),
        since=float(str(since)),
        upload=str(upload),
        given_up=bool(given_up),
    )
