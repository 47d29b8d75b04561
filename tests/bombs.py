"""Answers that are small on the wire and immense when they are unpacked."""

import zlib
from collections.abc import AsyncIterator, Mapping

import httpx

_WINDOW_BITS = {"gzip": 31, "deflate": 15}


class Bomb(httpx.AsyncByteStream):
    """A body of blanks, by default of 500 MB."""

    PART = 2**20

    def __init__(self, encoding: str = "gzip", size: int = 500 * 2**20) -> None:
        self.encoding = encoding
        self.unpacked = 0
        """Bytes that were asked for, as they are when unpacked."""
        self.closed = False
        self._size = size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        packer = zlib.compressobj(wbits=_WINDOW_BITS[self.encoding]) if self.encoding in _WINDOW_BITS else None
        while self.unpacked < self._size:
            part = b" " * min(self.PART, self._size - self.unpacked)
            self.unpacked += len(part)
            yield part if packer is None else packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH)
        if packer is not None:
            yield packer.flush()

    async def aclose(self) -> None:
        self.closed = True


def bombed(bomb: Bomb, status: int = 200, headers: Mapping[str, str] | None = None) -> httpx.MockTransport:
    """Answers each request with it."""
    encoded = {**(headers or {}), "Content-Encoding": bomb.encoding, "Content-Type": "application/json"}
    return httpx.MockTransport(lambda _: httpx.Response(status, headers=encoded, stream=bomb))
