"""A small SQLite file that survives power cuts: for what has to be remembered beside a backend."""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Self, TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

from ..contract import Misconfigured, Unavailable

T = TypeVar("T")
Row = tuple[object, ...]


class SqliteFile:
    """An async context manager. Statements run in a thread, one at a time, each in its own transaction.

    Every method raises `Unavailable` where the file cannot be used right now: the disk is full or fails, another
    process holds it for long. It raises `Misconfigured` where only an admin can help: the file is damaged, of a newer
    version, or in a folder that cannot be used.
    """

    def __init__(self, path: Path, migrations: Sequence[str]) -> None:
        """Step n of `migrations` brings a file of version n to version n + 1; only ever append to them."""
        self._path = path
        self._migrations = migrations
        self._one_at_a_time = CapacityLimiter(1)
        self._connection: sqlite3.Connection | None = None

    async def __aenter__(self) -> Self:
        self._connection = await to_thread.run_sync(self._open)
        return self

    async def __aexit__(self, *exc: object) -> None:
        with anyio.CancelScope(shield=True):
            await self._run(sqlite3.Connection.close)

    async def fetch(self, sql: str, *values: object) -> list[Row]:
        """Rows of a query."""
        return await self._run(lambda db: db.execute(sql, values).fetchall())

    async def execute(self, sql: str, *values: object) -> None:
        """Run one statement; it is committed when this returns."""
        await self.execute_all((sql, [values]))

    async def execute_many(self, sql: str, rows: Iterable[Row]) -> None:
        """Run a statement once per row in one transaction."""
        await self.execute_all((sql, rows))

    async def execute_all(self, *statements: tuple[str, Iterable[Row]]) -> None:
        """Run each statement once per row of its own, all of them in one transaction."""

        def run(db: sqlite3.Connection) -> None:
            with db:
                for sql, rows in statements:
                    db.executemany(sql, rows)

        await self._run(run)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._connection is None:
            raise RuntimeError(f"{type(self).__name__} is used before it is entered")
        with self._translated_errors():
            return await to_thread.run_sync(work, self._connection, limiter=self._one_at_a_time)

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise Unavailable(f"{self._path} cannot be used: {error}{self._shortage()}") from error
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:  # its subclasses tell of mistakes of ours
                raise
            raise Misconfigured(
                f"{self._path} is damaged ({error}): restore it from a backup, or stop the gateway and remove it; "
                "docs/operations.md says what is lost then"
            ) from error
        except OSError as error:
            raise Misconfigured(f"{self._path} cannot be used: {error.strerror}") from error

    def _shortage(self) -> str:
        """SQLite itself calls a full disk an I/O error, or a file that cannot be opened, as often as not."""
        with suppress(OSError):
            disk = os.statvfs(self._path.parent)
            if disk.f_bavail == 0 or (disk.f_files > 0 and disk.f_favail == 0):
                return "; there is no room on its disk"
        return ""

    def _open(self) -> sqlite3.Connection:
        with self._translated_errors():
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(mode=0o600)  # it names sources; the files beside it get the same mode
        with ExitStack() as stack:
            db = stack.enter_context(closing(sqlite3.connect(self._path, check_same_thread=False)))
            self._bring_up_to_date(db)
            stack.pop_all()
        return db

    def _bring_up_to_date(self, db: sqlite3.Connection) -> None:
        db.execute("pragma journal_mode = wal")
        # also after a power cut: what was lost would be vouched for, e.g. a cache entry of a source that is gone
        db.execute("pragma synchronous = full")
        (version,) = db.execute("pragma user_version").fetchone()
        if version > len(self._migrations):
            raise Misconfigured(f"{self._path} was written by a newer version of the gateway: install that one again")
        for number, script in enumerate(self._migrations[version:], start=version + 1):
            db.executescript(f"begin; {script} pragma user_version = {number}; commit;")
