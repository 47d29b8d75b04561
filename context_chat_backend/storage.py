"""The persistent storage: what is where in it, and who may use it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from .contract import Misconfigured

ROLES = "roles"


def role_folder(storage: Path, role: str) -> Path:
    """The persistent storage of one container of a deployment, on the volume that all of them share."""
    return storage / ROLES / role


def agreement_file(role_storage: Path) -> Path:
    """Where the containers of a deployment agree on their store."""
    return role_storage.parent / "store"


def state_file(storage: Path) -> Path:
    """Where the gateway keeps what it remembers."""
    return storage / "state.db"


def spool_folder(storage: Path) -> Path:
    """Where uploads are while they are indexed."""
    return storage / "spool"


def logs_folder(storage: Path) -> Path:
    """Where the log files are."""
    return storage / "logs"


def backend_folder(storage: Path, backend: str) -> Path:
    """For whatever the driver of a backend keeps on disk."""
    return storage / "backends" / backend


@contextmanager
def claimed_storage(folder: Path) -> Iterator[None]:
    """Keep other gateways away from the folder: a second one would empty the first one's spool. That of a role is kept
    from others of this role, and the volume from a gateway that does everything.

    Raises `Misconfigured` when it is in use or cannot be written.
    """
    with ExitStack() as stack:
        if folder.parent.name == ROLES:
            stack.enter_context(_locked(folder.parent.parent, fcntl.LOCK_SH))
        stack.enter_context(_locked(folder, fcntl.LOCK_EX))
        yield


@contextmanager
def _locked(folder: Path, kind: int) -> Iterator[None]:
    try:
        # not 0700: the embedded database may run under another account and has to pass through
        folder.mkdir(parents=True, exist_ok=True)
        # whoever may open it can hold it, and then no gateway starts
        lock = os.open(folder / "gateway.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Misconfigured(f"APP_PERSISTENT_STORAGE: {folder} cannot be used: {error.strerror}") from error
    with os.fdopen(lock):
        with suppress(OSError):  # it may be another account's; older versions left it readable by everybody
            os.fchmod(lock, 0o600)
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Misconfigured(f"APP_PERSISTENT_STORAGE: another gateway uses {folder.absolute()}") from error
        yield
