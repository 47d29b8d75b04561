"""What the gateway remembers across restarts: one SQLite file in the persistent storage."""

from collections.abc import Mapping
from pathlib import Path

from ..contract import DriverError
from ..toolkit.sqlite import SqliteFile

MIGRATIONS = (
    """
    create table flags (name text primary key, value text not null) without rowid;
    create table upserts (
      backend text not null, source_id text not null, content text, meta text,
      readers text, exact integer not null, modified integer not null, seen_at real not null,
      primary key (backend, source_id)) without rowid;
    create table held_actions (
      digest text not null, kind text not null, key text not null, since real not null, expires_at real not null,
      primary key (kind, key, digest)) without rowid;
    create index held_actions_digest on held_actions (digest);
    """,
    # a row per action instead of one per source and reader, ordered by a sequence instead of the clock
    """
    create table marks (
      key text primary key, sequence integer not null, expires_at real not null, reach text not null) without rowid;
    insert into marks
      select digest, dense_rank() over (order by min(since), digest), max(expires_at),
        json_object(
          'sources', json(json_group_array(key) filter (where kind = 'source')),
          'providers', json(json_group_array(key) filter (where kind = 'provider')),
          'everywhere', json(json_group_array(key) filter (where kind = 'everywhere')),
          'users', json(json_group_array(key) filter (where kind = 'user')))
      from held_actions group by digest;
    drop table held_actions;
    """,
    # no time of a clock that can be set
    """
    create table timeless (key text primary key, sequence integer not null, reach text not null) without rowid;
    insert into timeless select key, sequence, reach from marks;
    drop table marks;
    alter table timeless rename to marks;
    """,
    # what was taken from Nextcloud's queues and is not acknowledged yet
    """
    create table leased_documents (
      queue text not null, number integer not null, source_id text not null, provider text not null,
      title text not null, mime_type text not null, modified integer not null, size integer not null,
      content text, user_ids text not null, primary key (queue, number)) without rowid;
    create table leased_actions (
      number integer primary key, type text not null, payload text not null, done integer not null);
    create table taken_tasks (number integer primary key, result text);
    """,
    # what became of each source
    """
    create table sources (
      source_id text primary key, provider text not null, title text not null, mime_type text not null,
      size integer not null, stage text not null, since real not null, tries integer not null, reason text not null,
      next_try real) without rowid;
    create index sources_stage on sources (stage, since);
    create table operator_commands (number integer primary key, verb text not null, source_id text not null);
    """,
    # the order of actions of late
    """
    create table action_numbers (first integer primary key, last integer not null);
    create table action_history (
      scope text not null, name text not null, event text not null, user_id text not null, number integer not null,
      allowed integer, at real not null, primary key (scope, name, event, user_id)) without rowid;
    """,
    # rows that the operator gave up
    """
    alter table leased_documents add column dropped integer not null default 0;
    """,
    # which version of a source was indexed last
    """
    alter table sources add column modified integer;
    """,
    # which reader could not read a source; the first one, where none was named, by the reasons that it gave
    """
    alter table sources add column reader text;
    update sources set reader = '' where stage = 'unfit'
      and (reason = 'the type is not supported' or reason like 'type not supported: %');
    update sources set reader = '1' where stage = 'unfit' and (
      reason in ('no text found', 'binary data, not a text', 'an old Word document, not a DOCX')
      or reason like 'damaged (%' or reason like 'crashed the parser%' or reason like 'unpacks to more than %'
      or reason like 'extraction needs more than %');
    """,
)
"""Step n brings a file of version n to version n + 1. Only ever append."""


class State(SqliteFile):
    """The file of the gateway itself."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, MIGRATIONS)

    async def flag(self, name: str) -> str | None:
        """A single remembered value."""
        rows = await self.fetch("select value from flags where name = ?", name)
        return str(rows[0][0]) if rows else None

    async def set_flag(self, name: str, value: str) -> None:
        """Remember a single value."""
        await self.set_flags({name: value})

    async def problem(self) -> DriverError | None:
        """Why nothing can be remembered now, or None; remembers something to find out."""
        try:
            await self.set_flag("probe", "")
        except DriverError as error:
            return error
        return None

    async def set_flags(self, flags: Mapping[str, str]) -> None:
        """Remember several values, all or none of them."""
        await self.execute_many("insert or replace into flags values (?, ?)", flags.items())
