"""Content that does not exist: for versions of a source that cannot be indexed whatever a driver does."""

import hashlib
from pathlib import Path

from ..contract import Rejected

NO_BYTES = hashlib.sha256(b"").hexdigest()


class NoContent:
    """Implements `Content`. Reading it raises `Rejected`, so that a driver removes an older version in its own way."""

    size = 0

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def sha256(self) -> str:
        return NO_BYTES

    async def path(self) -> Path:
        raise Rejected(self._reason)

    def release(self) -> None:
        return None
