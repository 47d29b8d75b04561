"""A content that is none: for versions of a source that cannot be indexed whatever a driver does."""

from pathlib import Path

from ..contract import Rejected


class NoContent:
    """Implements `Content`. Reading it raises `Rejected`, so that a driver removes an older version in its own way."""

    size = 0

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def sha256(self) -> str:
        return ""

    async def path(self) -> Path:
        raise Rejected(self._reason)

    def release(self) -> None:
        return None
