"""The embedded server through everything that happens to processes and folders."""
# ruff: noqa: ASYNC220, ASYNC240 - nothing else runs in these event loops

import errno
import fcntl
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import psycopg
import pytest

from context_chat_backend.contract import Misconfigured, Unavailable
from context_chat_backend.toolkit.postgres import embedded
from context_chat_backend.toolkit.postgres.embedded import EmbeddedPostgres
from tests.disk import fill, full, small_disk

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
async def test_the_server_of_root_can_read_nothing_of_root(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "secret").write_text("of the admin")
    Path(tmp_path / "secret").chmod(0o644)
    async with EmbeddedPostgres(tmp_path / "data") as server:
        status = Path(f"/proc/{postmaster(tmp_path / 'data')}/status").read_text()
        assert "\nUid:\t0" not in status
        assert "\nCapPrm:\t0000000000000000\n" in status
        for file in ("/etc/shadow", str(tmp_path / "secret")):
            with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedFile)):
                ask(server.uri, f"select pg_read_file('{file}')")


def owned_by_root(folder: Path) -> None:
    """As an earlier version left it behind in a folder that only root could reach."""
    subprocess.run(["chown", "-R", "0:0", str(folder)], check=True)


@as_root
async def test_a_folder_that_belongs_to_root_is_handed_over_with_all_that_is_in_it(folder: Path) -> None:
    owned_by_root(folder)
    async with EmbeddedPostgres(folder) as server:
        assert note(server.uri) == "kept"
    assert 0 not in {path.stat().st_uid for path in [folder, *folder.rglob("*")]}


@as_root
async def test_a_server_that_an_earlier_version_left_running_as_root_is_replaced(folder: Path) -> None:
    before = start_as_earlier_versions_did(folder)
    async with EmbeddedPostgres(folder) as server:
        assert postmaster(folder) != before
        assert note(server.uri) == "kept"


def start_as_earlier_versions_did(folder: Path) -> int:
    owned_by_root(folder)
    namespace = ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--"]
    if subprocess.run([*namespace, "true"], check=False).returncode != 0:
        pytest.skip("no user namespaces here")
    command = [*namespace, str(embedded.PROGRAMS / "bin" / "pg_ctl"), "start", "-w", "-D", str(folder / "cluster")]
    with (folder / "server.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, pass_fds=(lock.fileno(),))
    return postmaster(folder)


@as_root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv to give up a right of root")
def test_without_the_right_to_mount_a_closed_folder_is_refused_by_name(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    without = ["setpriv", "--bounding-set", "-sys_admin", sys.executable, "-c", GATEWAY, str(tmp_path / "data")]
    done = subprocess.run(
        without, check=False, capture_output=True, text=True, env={"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert done.returncode != 0
    assert "Misconfigured" in done.stderr
    assert f"another account cannot enter {tmp_path / 'data'}" in done.stderr


# -- a machine that is short of something

PATCHED = {
    "create the folder": (Path, "mkdir"),
    "close the folder": (Path, "chmod"),
    "open a file": (Path, "open"),
    "take a lock": (fcntl, "flock"),
    "make the folder of the cluster": (tempfile, "mkdtemp"),
    "read the version": (Path, "read_text"),
    "write the settings": (tempfile, "NamedTemporaryFile"),
    "replace the settings": (Path, "replace"),
    "read what a program says": (tempfile, "TemporaryFile"),
    "run a program": (subprocess, "run"),
    "remove what is stale": (Path, "unlink"),
}
SHORTAGES = [errno.ENOSPC, errno.EMFILE]


def break_down(monkeypatch: pytest.MonkeyPatch, operation: str, number: int) -> anyio.Event:
    """From now on the operation fails. The event is set when it does."""
    failed = anyio.Event()

    def fail(*_: object, **__: object) -> None:
        anyio.from_thread.run_sync(failed.set)
        raise OSError(number, os.strerror(number))

    owner, name = PATCHED[operation]
    monkeypatch.setattr(owner, name, fail)
    return failed


@pytest.mark.parametrize("number", SHORTAGES)
@pytest.mark.parametrize("operation", PATCHED)
async def test_a_start_that_the_machine_has_too_little_for_may_be_tried_again(
    folder: Path, parent: Path, monkeypatch: pytest.MonkeyPatch, operation: str, number: int
) -> None:
    data = parent / "new" if operation == "make the folder of the cluster" else folder
    with monkeypatch.context() as broken:
        break_down(broken, operation, number)
        with pytest.raises(Unavailable, match=re.escape(os.strerror(number))):
            async with EmbeddedPostgres(data):
                pytest.fail("entered")
    async with EmbeddedPostgres(folder) as server:
        assert note(server.uri) == "kept"


async def test_a_start_that_only_an_admin_can_help_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_down(monkeypatch, "close the folder", errno.EROFS)
    with pytest.raises(Misconfigured, match="Read-only file system"):
        async with EmbeddedPostgres(folder):
            pytest.fail("entered")


@contextmanager
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as quick:
        quick.setattr(embedded, "LOOK_SECONDS", 0.01)
        quick.setattr(embedded, "LONGEST_PAUSE", 0.01)
        yield


async def until(condition: Callable[[], bool]) -> None:
    """Of real processes, which tell nobody."""
    with anyio.fail_after(120):
        while not await anyio.to_thread.run_sync(condition):  # noqa: ASYNC110
            await anyio.sleep(0.05)


async def revived(server: EmbeddedPostgres) -> None:
    await until(server._accepts_connections)


@pytest.mark.parametrize("number", SHORTAGES)
@pytest.mark.parametrize("operation", ["open a file", "take a lock", "run a program"])
async def test_a_gateway_outlives_that_its_server_cannot_be_revived_and_revives_it_later(
    folder: Path, monkeypatch: pytest.MonkeyPatch, operation: str, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    with without_pauses(monkeypatch):
        async with EmbeddedPostgres(folder) as server, anyio.create_task_group() as tasks:
            with monkeypatch.context() as broken:
                pid = postmaster(folder)
                failed = break_down(broken, operation, number)
                os.kill(pid, signal.SIGKILL)
                tasks.start_soon(server.keep_running)
                await failed.wait()
            await revived(server)
            assert note(server.uri) == "kept"
            tasks.cancel_scope.cancel()
    assert os.strerror(number) in caplog.text


async def test_leaving_does_not_fail_when_the_machine_is_short_of_something(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EmbeddedPostgres(folder) as server:
        before = start_time(server.uri)
        monkeypatch.setattr(fcntl, "flock", raising(errno.EMFILE))
    monkeypatch.undo()
    async with EmbeddedPostgres(folder) as server:
        assert start_time(server.uri) == before


def raising(number: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def write_much(uri: str) -> None:
    """To the write-ahead log alone: without it the server cannot live."""
    for _ in range(200):
        ask(uri, "select pg_logical_emit_message(true, 'test', repeat('x', 1000000))")


async def test_starts_on_a_full_disk_leave_nothing_in_the_folder(parent: Path) -> None:
    with small_disk(parent / "disk", mib=200) as disk:
        async with EmbeddedPostgres(disk / "data"):
            pass
        before = {path.name for path in (disk / "data" / "cluster").iterdir()}
        with full(disk):
            for _ in range(3):
                with pytest.raises(Unavailable, match="No space left on device"):
                    async with EmbeddedPostgres(disk / "data"):
                        pytest.fail("entered")
        assert {path.name for path in (disk / "data" / "cluster").iterdir()} == before
        async with EmbeddedPostgres(disk / "data") as server:
            ask(server.uri, "create table note as select 'kept' as content")


async def test_a_full_disk_stops_the_server_and_not_the_gateway_and_room_brings_it_back(
    parent: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk(parent / "disk", mib=200) as disk, without_pauses(monkeypatch):
        filler = fill(disk)
        with pytest.raises(Unavailable, match="No space left on device"):
            async with EmbeddedPostgres(disk / "data"):
                pytest.fail("entered")
        filler.unlink()
        async with EmbeddedPostgres(disk / "data") as server, anyio.create_task_group() as tasks:
            ask(server.uri, "create table note as select 'kept' as content")
            tasks.start_soon(server.keep_running)
            filler = fill(disk)
            with pytest.raises(psycopg.OperationalError):
                await anyio.to_thread.run_sync(write_much, server.uri)
            await until(lambda: "watching the embedded PostgreSQL failed" in caplog.text)
            assert "MiB of disk space are free" in caplog.text
            filler.unlink()
            await revived(server)
            assert note(server.uri) == "kept"
            tasks.cancel_scope.cancel()
