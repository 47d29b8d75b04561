"""Contents on disk while their sources wait to be indexed."""

import hashlib
import logging
import os
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

from ..contract import Misconfigured, Unavailable

_SUFFIX = ".upload"
PROBE_BYTES = 4096
"""Takes a block of its own on any disk."""

log = logging.getLogger(__name__)


class SpooledContent:
    """The bytes of one part in a file of their own; implements `Content`.

    The file exists as long as this object does; `release` removes it earlier and may be called any number of times.
    """

    def __init__(self, path: Path, *, size: int, sha256: str) -> None:
        self.size = size
        self._path = path
        self._sha256 = sha256
        self._remove = weakref.finalize(self, _remove, path)

    async def sha256(self) -> str:
        return self._sha256

    async def path(self) -> Path:
        return self._path

    def release(self) -> None:
        self._remove()


class SpoolFile:
    """A file that is being written; becomes a `SpooledContent` or is discarded. Every method blocks."""

    def __init__(self, spool: Path) -> None:
        descriptor, name = tempfile.mkstemp(dir=spool, suffix=_SUFFIX)
        self._path = Path(name)
        self._file = os.fdopen(descriptor, "w+b")
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """Of what is written so far."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self.size += len(data)

    def restart(self) -> None:
        """Forget what was written."""
        self._file.seek(0)
        self._file.truncate()
        self._digest = hashlib.sha256()
        self.size = 0

    def content(self) -> SpooledContent:
        self._file.close()
        return SpooledContent(self._path, size=self.size, sha256=self.sha256)

    def discard(self) -> None:
        # Closing writes what is still in the buffer; it may fail on a full disk, and nobody needs it.
        with suppress(OSError):
            self._file.close()
        _remove(self._path)


def open_spool(spool: Path) -> None:
    """Make the folder, or remove what a killed process left in it. No other process may be using it.

    Raises `Misconfigured` where it cannot be made.
    """
    try:
        spool.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise Misconfigured(f"APP_PERSISTENT_STORAGE: {spool} cannot be used: {error.strerror}") from error
    for path in spool.glob(f"*{_SUFFIX}"):
        _remove(path)


def spool_problem(spool: Path) -> Unavailable | None:
    """Why no upload can be kept now, or None. Keeps a small one to find out, and blocks."""
    try:
        file = SpoolFile(spool)
        try:
            file.write(bytes(PROBE_BYTES))
            file.content().release()
        finally:
            file.discard()
    except OSError as error:
        return Unavailable(f"uploads cannot be kept in {spool}: {error.strerror}")
    return None


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:  # costs space until the next start, but no source
        log.warning("an upload stays in %s: %s", path.parent, error.strerror)
