"""What the gateway remembers across restarts: one SQLite file in the persistent storage."""

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

T = TypeVar("T")
Row = tuple[object, ...]

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
)
"""Step n brings a file of version n to version n + 1. Only ever append."""


class State:
    """An async context manager. Statements run in a thread, one at a time, each in its own transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._one_at_a_time = CapacityLimiter(1)
        self._connection: sqlite3.Connection | None = None

    async def __aenter__(self) -> Self:
        self._connection = await to_thread.run_sync(self._open)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._run(sqlite3.Connection.close)

    async def fetch(self, sql: str, *values: object) -> list[Row]:
        """Rows of a query."""
        return await self._run(lambda db: db.execute(sql, values).fetchall())

    async def execute(self, sql: str, *values: object) -> None:
        """Run one statement; it is committed when this returns."""

        def run(db: sqlite3.Connection) -> None:
            with db:
                db.execute(sql, values)

        await self._run(run)

    async def execute_many(self, sql: str, rows: Iterable[Row]) -> None:
        """Run a statement once per row in one transaction."""

        def run(db: sqlite3.Connection) -> None:
            with db:
                db.executemany(sql, rows)

        await self._run(run)

    async def flag(self, name: str) -> str | None:
        """A single remembered value."""
        rows = await self.fetch("select value from flags where name = ?", name)
        return str(rows[0][0]) if rows else None

    async def set_flag(self, name: str, value: str) -> None:
        """Remember a single value."""
        await self.execute("insert or replace into flags values (?, ?)", name, value)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._connection is None:
            raise RuntimeError("State is used before it is entered")
        return await to_thread.run_sync(work, self._connection, limiter=self._one_at_a_time)

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(mode=0o600)  # it names sources; the files beside it get the same mode
        db = sqlite3.connect(self._path, check_same_thread=False)
        db.execute("pragma journal_mode = wal")
        # also after a power cut: a lost "forget" would have the cache vouch for a source that is gone
        db.execute("pragma synchronous = full")
        (version,) = db.execute("pragma user_version").fetchone()
        if version > len(MIGRATIONS):
            db.close()
            raise RuntimeError(f"{self._path} was written by a newer version of the gateway; use that version")
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            db.executescript(f"begin; {script} pragma user_version = {number}; commit;")
        return db
