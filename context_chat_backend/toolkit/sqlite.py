"""A small SQLite file that survives power cuts: for what has to be remembered beside a backend."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

T = TypeVar("T")
Row = tuple[object, ...]


class SqliteFile:
    """An async context manager. Statements run in a thread, one at a time, each in its own transaction."""

    def __init__(self, path: Path, migrations: Sequence[str]) -> None:
        """Step n of `migrations` brings a file of version n to version n + 1; only ever append to them."""
        self._path = path
        self._migrations = migrations
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

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._connection is None:
            raise RuntimeError(f"{type(self).__name__} is used before it is entered")
        return await to_thread.run_sync(work, self._connection, limiter=self._one_at_a_time)

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(mode=0o600)  # it names sources; the files beside it get the same mode
        db = sqlite3.connect(self._path, check_same_thread=False)
        db.execute("pragma journal_mode = wal")
        # also after a power cut: what was lost would be vouched for, e.g. a cache entry of a source that is gone
        db.execute("pragma synchronous = full")
        (version,) = db.execute("pragma user_version").fetchone()
        if version > len(self._migrations):
            db.close()
            raise RuntimeError(f"{self._path} was written by a newer version of the gateway; use that version")
        for number, script in enumerate(self._migrations[version:], start=version + 1):
            db.executescript(f"begin; {script} pragma user_version = {number}; commit;")
        return db
