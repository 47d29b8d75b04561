"""Uploads on disk while they wait to be indexed."""

import hashlib
import logging
import os
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

_SUFFIX = ".upload"

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
        self._size = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._size += len(data)

    def content(self) -> SpooledContent:
        self._file.close()
        return SpooledContent(self._path, size=self._size, sha256=self._digest.hexdigest())

    def discard(self) -> None:
        # Closing writes what is still in the buffer; it may fail on a full disk, and nobody needs it.
        with suppress(OSError):
            self._file.close()
        _remove(self._path)


def clean_spool(spool: Path) -> None:
    """Remove what a killed process left behind. No other process may be using the folder."""
    for path in spool.glob(f"*{_SUFFIX}"):
        _remove(path)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:  # costs space until the next start, but no source
        log.warning("an upload stays in %s: %s", path.parent, error.strerror)
