"""Content that does not exist, for good or not yet."""

import hashlib
from pathlib import Path

from ..contract import Rejected, Unavailable

LONG = 3600.0
"""Seconds that nobody waits for."""
NO_BYTES = hashlib.sha256(b"").hexdigest()


class NotRead(Unavailable):
    """The text is still to be asked for, which takes long: no layer repeats the call meanwhile."""

    def __init__(self) -> None:
        super().__init__("its text is still to be asked for", retry_after=LONG)


class NoContent:
    """Implements `Content`, for versions of a source that cannot be indexed whatever a driver does. Reading it raises
    `Rejected`, so that a driver removes an older version in its own way."""

    size = 0

    def __init__(self, reason: str, kind: type[Rejected] = Rejected) -> None:
        self._reason = reason
        self._kind = kind

    async def sha256(self) -> str:
        return NO_BYTES

    async def path(self) -> Path:
        raise self._kind(self._reason)

    def release(self) -> None:
        return None
