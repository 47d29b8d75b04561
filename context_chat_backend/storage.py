"""The persistent storage: created, checked and claimed before anything uses it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .contract import Misconfigured


def state_file(folder: Path) -> Path:
    """Where the gateway of this folder keeps what it remembers."""
    return folder / "state.db"


@contextmanager
def claimed_storage(folder: Path) -> Iterator[None]:
    """Keep other gateways away from the folder: a second one would empty the first one's spool.

    Raises `Misconfigured` when it is in use or cannot be written.
    """
    try:
        # not 0700: the embedded database may run under another account and has to pass through
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "gateway.lock").open("w")
    except OSError as error:
        raise Misconfigured(f"APP_PERSISTENT_STORAGE: {folder} cannot be used: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Misconfigured(f"APP_PERSISTENT_STORAGE: another gateway uses {folder.absolute()}") from error
        yield
