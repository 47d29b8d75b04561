"""What became of each source: the table in the state. Holds neither readers nor text."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ..contract import ProviderId, SourceId
from ..toolkit.sqlite import Row
from .state import State

_NOTE = """
    insert into sources values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (source_id) do update set
      provider = excluded.provider, title = excluded.title, mime_type = excluded.mime_type, size = excluded.size,
      since = case when stage = excluded.stage then since else excluded.since end,
      tries = case when excluded.stage in ('waiting', 'indexing', 'failing') then tries else 0 end + excluded.tries,
      stage = excluded.stage, reason = excluded.reason, next_try = null,
      modified = coalesce(excluded.modified, modified), reader = excluded.reader
    where (stage, reason, tries, title, mime_type, size, provider)
       <> (excluded.stage, excluded.reason, 0, excluded.title, excluded.mime_type, excluded.size, excluded.provider)
       or modified is not coalesce(excluded.modified, modified) or reader is not excluded.reader
"""
_ENTRIES = """
    select * from sources
     where source_id > ?1 and (?2 is null or stage = ?2) and (?3 is null or provider = ?3)
     order by source_id limit ?4
"""
_NEXT_TRY = "update sources set next_try = ? where source_id = ? and stage = 'failing'"


class Stage(StrEnum):
    """How far a source has come."""

    WAITING = "waiting"
    INDEXING = "indexing"
    INDEXED = "indexed"
    SKIPPED = "skipped"
    """By a rule of the admin."""
    UNFIT = "unfit"
    """It can never be indexed as it is."""
    FAILING = "failing"
    """It is tried again."""


OPEN = (Stage.WAITING, Stage.INDEXING, Stage.FAILING)
"""Those that will change without anybody's doing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is known of one source."""

    source_id: SourceId
    provider: ProviderId
    title: str
    mime_type: str
    size: int
    """Bytes, as announced by the sender."""
    stage: Stage
    since: float
    """Unix seconds."""
    tries: int = 0
    """That failed since it was last indexed."""
    reason: str = ""
    next_try: float | None = None
    """Unix seconds; None where the sender decides, or where there will be none."""
    modified: int | None = None
    """Unix seconds, of the version that was indexed last; None where nobody knows."""
    reader: str | None = None
    """The one that could not read it, as `BeyondReader` names it; None where that is not what is wrong."""


@dataclass(frozen=True, slots=True)
class Unread:
    """How many sources of a type one reader could not read."""

    mime_type: str
    reader: str
    """As in `Entry`."""
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All sources in a few numbers."""

    counts: dict[Stage, int]
    oldest_open: float | None
    """Unix seconds since when the one that waits longest does."""


class SourceTable:
    """Every method raises what `State` raises."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def interrupt(self) -> None:
        """What was under way when the gateway ended waits again."""
        await self._state.execute("update sources set stage = 'waiting' where stage = 'indexing'")

    async def write(
        self,
        *,
        gone_providers: Iterable[ProviderId],
        gone: Iterable[SourceId],
        notes: Iterable[Entry],
        next_tries: Iterable[tuple[SourceId, float]],
    ) -> None:
        """All of it or nothing, in this order. The tries of a note are added to those that are known."""
        await self._state.execute_all(
            ("delete from sources where provider = ?", [(provider,) for provider in gone_providers]),
            ("delete from sources where source_id = ?", [(source_id,) for source_id in gone]),
            (_NOTE, map(_row_of, notes)),
            (_NEXT_TRY, [(time, source_id) for source_id, time in next_tries]),
        )

    async def known(self, source_ids: Collection[SourceId]) -> Sequence[Entry]:
        """What is known of these, a thousand at most."""
        marks = ", ".join("?" * len(source_ids))
        rows = await self._state.fetch(f"select * from sources where source_id in ({marks})", *source_ids)  # noqa: S608
        return [_entry_of(row) for row in rows]

    async def entries(
        self,
        *,
        stage: Stage | None = None,
        provider: ProviderId | None = None,
        after: SourceId | None = None,
        limit: int,
    ) -> Sequence[Entry]:
        """Those of a stage and a provider, where given, in the order of their ids, from the one behind `after`."""
        rows = await self._state.fetch(_ENTRIES, after or "", stage, provider, limit)
        return [_entry_of(row) for row in rows]

    async def unread(self) -> Sequence[Unread]:
        """What no reader could read, as it was written last."""
        rows = await self._state.fetch(
            "select mime_type, reader, count(*) from sources where stage = 'unfit' and reader is not null group by 1, 2"
        )
        return [Unread(str(mime_type), str(reader), int(str(count))) for mime_type, reader, count in rows]

    async def summary(self) -> Summary:
        """As it was written last."""
        rows = await self._state.fetch("select stage, count(*), min(since) from sources group by stage")
        counts = {Stage(str(stage)): int(str(count)) for stage, count, _ in rows}
        since = [float(str(oldest)) for stage, _, oldest in rows if stage in OPEN]
        return Summary(counts=counts, oldest_open=min(since, default=None))


def _row_of(entry: Entry) -> Row:
    return (
        entry.source_id,
        entry.provider,
        entry.title,
        entry.mime_type,
        entry.size,
        entry.stage,
        entry.since,
        entry.tries,
        entry.reason,
        entry.next_try,
        entry.modified,
        entry.reader,
    )


def _entry_of(row: Row) -> Entry:
    source_id, provider, title, mime_type, size, stage, since, tries, reason, next_try, modified, reader = row
    return Entry(
        source_id=SourceId(str(source_id)),
        provider=ProviderId(str(provider)),
        title=str(title),
        mime_type=str(mime_type),
        size=int(str(size)),
        stage=Stage(str(stage)),
        since=float(str(since)),
        tries=int(str(tries)),
        reason=str(reason),
        next_try=None if next_try is None else float(str(next_try)),
        modified=None if modified is None else int(str(modified)),
        reader=None if reader is None else str(reader),
    )
