"""What a file of SQLite does when the disk, another process or a newer version is in its way."""

import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from context_chat_backend.contract import DriverError, Misconfigured, Unavailable
from context_chat_backend.toolkit.sqlite import SqliteFile
from tests.disk import full, small_disk, without_inodes

pytestmark = pytest.mark.anyio

MIGRATIONS = ("create table words (word text primary key);",)


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[SqliteFile]:
    async with SqliteFile(tmp_path / "words.db", MIGRATIONS) as file:
        yield file


BIG = "x" * 100_000
INSERT = "insert into words values (?)"


@pytest.mark.parametrize(
    "write",
    [
        lambda file: file.execute(INSERT, BIG),
        lambda file: file.execute_many(INSERT, [("a",), (BIG,)]),
        lambda file: file.execute_all((INSERT, [("a",)]), (INSERT, [(BIG,)])),
    ],
)
async def test_a_full_disk_is_a_passing_failure_that_changes_nothing(
    file: SqliteFile, write: Callable[[SqliteFile], Awaitable[None]]
) -> None:
    await file.fetch("pragma max_page_count = 1")  # no page is left, as on a full disk
    with pytest.raises(Unavailable, match=r"words\.db cannot be used: database or disk is full"):
        await write(file)
    assert await file.fetch("select * from words") == []
    await file.fetch("pragma max_page_count = 1000000")
    await write(file)


async def test_a_full_disk_is_named_whatever_sqlite_calls_it(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", mib=1, inodes=20) as disk:
        path = disk / "words.db"
        for block in (full, without_inodes):
            with block(disk), pytest.raises(Unavailable, match="no room on its disk"):
                await SqliteFile(path, MIGRATIONS).__aenter__()
            async with SqliteFile(path, MIGRATIONS):
                pass


async def test_a_file_that_another_process_holds_is_a_passing_failure(file: SqliteFile, tmp_path: Path) -> None:
    await file.fetch("pragma busy_timeout = 0")
    other = sqlite3.connect(tmp_path / "words.db", isolation_level=None)
    other.execute("begin immediate")
    with pytest.raises(Unavailable, match="locked"):
        await file.execute("insert into words values ('a')")
    other.execute("rollback")
    other.close()
    await file.execute("insert into words values ('a')")


async def test_a_damaged_file_is_for_the_admin(tmp_path: Path) -> None:
    (tmp_path / "words.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(Misconfigured, match=r"is damaged .*restore it"):
        await SqliteFile(tmp_path / "words.db", MIGRATIONS).__aenter__()


async def test_a_file_that_is_damaged_at_work_is_for_the_admin(tmp_path: Path) -> None:
    path = tmp_path / "words.db"
    async with SqliteFile(path, MIGRATIONS) as file:
        await file.execute_many("insert into words values (?)", [(f"{number:0500}",) for number in range(500)])
    with path.open("r+b") as raw:
        raw.seek(8192)
        raw.write(b"\xff" * (path.stat().st_size - 8192))
    async with SqliteFile(path, MIGRATIONS) as file:
        with pytest.raises(DriverError):
            await file.fetch("select count(word), max(word) from words")


async def test_a_newer_file_is_for_the_admin_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "words.db"
    async with SqliteFile(path, (*MIGRATIONS, "create table more (a);")):
        pass
    before = path.read_bytes()
    with pytest.raises(Misconfigured, match="newer version"):
        await SqliteFile(path, MIGRATIONS).__aenter__()
    assert path.read_bytes() == before


async def test_a_folder_that_cannot_be_used_is_for_the_admin(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="cannot be used"):
        await SqliteFile(tmp_path / "file" / "words.db", MIGRATIONS).__aenter__()


async def test_a_mistake_of_ours_is_not_taken_for_a_failure_of_the_disk(file: SqliteFile) -> None:
    await file.execute("insert into words values ('a')")
    with pytest.raises(sqlite3.IntegrityError):
        await file.execute("insert into words values ('a')")


async def test_an_interrupted_migration_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "words.db"
    with pytest.raises(DriverError):
        await SqliteFile(path, ("create table words (word); create table words (word);",)).__aenter__()
    async with SqliteFile(path, MIGRATIONS) as file:
        assert await file.fetch("select * from words") == []
    shutil.rmtree(tmp_path)
