"""Text files."""

from collections.abc import Iterator

from .decoding import decode


def text(data: bytes) -> Iterator[str]:
    yield decode(data)
