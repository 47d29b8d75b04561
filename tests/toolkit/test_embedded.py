"""The embedded server through everything that happens to processes and folders."""
# ruff: noqa: ASYNC220, ASYNC240 - nothing else runs in these event loops

import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from context_chat_backend.contract import Misconfigured
from context_chat_backend.toolkit.postgres.embedded import EmbeddedPostgres

pytestmark = pytest.mark.anyio

GATEWAY = """
import os
import sys
from pathlib import Path
import anyio
from context_chat_backend.toolkit.postgres.embedded import EmbeddedPostgres

async def main():
    async with EmbeddedPostgres(Path(sys.argv[1])) as server:
        print(server.uri, flush=True)
        await anyio.to_thread.run_sync(sys.stdin.read)

if len(sys.argv) > 2:
    anyio.run(anyio.sleep, 0)  # imports what the user may not be able to read
    os.setgroups([])
    os.setgid(int(sys.argv[3]))
    os.setuid(int(sys.argv[2]))
anyio.run(main)
"""


@pytest.fixture(scope="module")
def parent() -> Iterator[Path]:
    """A folder that the server's account may enter, unlike those of pytest when run by root."""
    path = Path(tempfile.mkdtemp(prefix="ccb-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
async def folder(parent: Path, anyio_backend: str) -> Path:
    """A data folder with a note in its database; the server has stopped. Made once, because that takes seconds."""
    path = parent / "data"
    async with EmbeddedPostgres(path) as server:
        ask(server.uri, "create table note as select 'kept' as content")
    return path


def ask(uri: str, statement: str) -> object:
    with psycopg.connect(uri, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def start_time(uri: str) -> object:
    return ask(uri, "select pg_postmaster_start_time()")


def note(uri: str) -> object:
    return ask(uri, "select content from note")


def postmaster(folder: Path) -> int:
    return int((folder / "cluster" / "postmaster.pid").read_text().splitlines()[0])


@contextmanager
def gateway(folder: Path, *user_and_group: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that uses the folder until its stdin closes, and the URI that it got."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", GATEWAY, str(folder), *map(str, user_and_group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},  # neither HOME nor PATH
    ) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()


async def test_the_folder_is_closed_to_others_and_the_server_listens_on_its_socket_only(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert ask(server.uri, "show listen_addresses") == ""
        assert stat.S_IMODE((folder / "cluster" / ".s.PGSQL.5432").stat().st_mode) == 0o700


async def test_nothing_is_traded_for_speed_that_could_lose_data(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        for setting in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums"):
            assert ask(server.uri, f"show {setting}") == "on"


async def test_words_of_all_scripts_are_lower_cased_for_the_text_search(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        assert ask(server.uri, "select to_tsvector('simple', '„ÄRGER“ — ΑΘΗΝΑ')::text") == "'ärger':1 'αθηνα':2"


async def test_data_is_kept_over_a_restart(folder: Path) -> None:
    for _ in range(2):
        async with EmbeddedPostgres(folder) as server:
            assert note(server.uri) == "kept"
        assert not (folder / "cluster" / "postmaster.pid").exists()


async def test_the_server_of_a_killed_gateway_is_taken_over_and_stopped_in_the_end(folder: Path) -> None:
    with gateway(folder) as (process, uri):
        before = start_time(uri)
        process.kill()
    async with EmbeddedPostgres(folder) as server:
        assert start_time(server.uri) == before
    with pytest.raises(psycopg.OperationalError):
        start_time(server.uri)


@pytest.mark.parametrize("killed_again", [False, pytest.param(True, marks=pytest.mark.slow)])
async def test_a_killed_server_recovers_at_the_next_start(folder: Path, killed_again: bool) -> None:
    with gateway(folder) as (process, uri):
        ask(uri, "create table if not exists late (at timestamptz default now())")
        ask(uri, "insert into late default values")
        count = ask(uri, "select count(*) from late")
        os.kill(postmaster(folder), signal.SIGKILL)
        process.kill()
    if killed_again:
        with gateway(folder) as (process, _):
            os.kill(postmaster(folder), signal.SIGKILL)
            process.kill()
    async with EmbeddedPostgres(folder) as server:
        assert ask(server.uri, "select count(*) from late") == count


async def test_the_lock_of_the_server_is_held_as_long_as_the_server_lives(folder: Path) -> None:
    with (folder / "server.lock").open("a") as lock:
        async with EmbeddedPostgres(folder):
            with pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(lock, fcntl.LOCK_EX)  # its last processes may need a moment


async def test_a_process_id_in_a_file_that_belongs_to_another_program_now_does_not_stop_the_start(folder: Path) -> None:
    owner = folder.stat()
    user = owner.st_uid if os.geteuid() == 0 else None  # another's process would be taken for dead anyway
    with subprocess.Popen(["sleep", "60"], user=user) as stranger:
        for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
            path = folder / "cluster" / name
            path.write_text(f"{stranger.pid}\n{folder / 'cluster'}\n1700000000\n5432\n.\n\n  1 1\nready\n")
            os.chown(path, owner.st_uid, owner.st_gid)
        try:
            async with EmbeddedPostgres(folder) as server:
                assert note(server.uri) == "kept"
            assert stranger.poll() is None
        finally:
            stranger.kill()


async def test_the_server_runs_until_the_last_of_several_processes_leaves(folder: Path) -> None:
    with gateway(folder) as (process, uri):
        before = start_time(uri)
        async with EmbeddedPostgres(folder) as first:
            async with EmbeddedPostgres(folder) as second:
                assert start_time(second.uri) == before
            assert start_time(first.uri) == before
            process.communicate()
            assert start_time(first.uri) == before
    with pytest.raises(psycopg.OperationalError):
        start_time(uri)


@pytest.mark.parametrize("name", ["with blanks", "Größe 文書", "a,b%20c'd", "long" * 40])
async def test_any_usual_path_works(folder: Path, parent: Path, name: str) -> None:
    moved = parent / name
    folder.rename(moved)
    try:
        async with EmbeddedPostgres(moved) as server:
            assert note(server.uri) == "kept"
    finally:
        moved.rename(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process as another user")
async def test_a_gateway_that_is_no_longer_root_goes_on_with_the_folder(folder: Path) -> None:
    owner = folder.stat()
    with gateway(folder, owner.st_uid, owner.st_gid) as (process, uri):
        assert note(uri) == "kept"
        process.communicate()
    assert process.returncode == 0


@pytest.mark.slow
async def test_an_interrupted_first_start_is_repeated(folder: Path, parent: Path) -> None:
    (folder / "initdb-killed").mkdir()
    (folder / "cluster").rename(parent / "aside")
    try:
        async with EmbeddedPostgres(folder) as server:
            assert ask(server.uri, "select to_regclass('note') is null")
        assert not (folder / "initdb-killed").exists()
        shutil.rmtree(folder / "cluster")
    finally:
        (parent / "aside").rename(folder / "cluster")


async def test_a_folder_of_another_major_version_is_refused_and_left_alone(folder: Path) -> None:
    version = folder / "cluster" / "PG_VERSION"
    version.write_text("17\n")
    try:
        with pytest.raises(Misconfigured, match=r"PostgreSQL 17.*18"):
            async with EmbeddedPostgres(folder):
                pytest.fail("entered")
    finally:
        version.write_text("18\n")


async def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.touch()
    with pytest.raises(Misconfigured, match=str(occupied)):
        async with EmbeddedPostgres(occupied):
            pytest.fail("entered")


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="the server of a user may enter what the user may enter")


@as_root
async def test_root_can_use_a_folder_that_nobody_else_can_reach(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    for existing in ("", "if not exists"):
        async with EmbeddedPostgres(tmp_path / "data") as server:
            ask(server.uri, f"create table {existing} kept ()")
    assert tmp_path.stat().st_mode & 0o777 == 0o700


@as_root
async def test_a_folder_that_the_account_of_the_server_cannot_reach_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))  # no program for user namespaces
    with pytest.raises(Misconfigured, match=str(tmp_path)):
        async with EmbeddedPostgres(tmp_path / "data"):
            pytest.fail("entered")
