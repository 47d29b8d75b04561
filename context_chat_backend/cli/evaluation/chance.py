"""Chance that falls alike on every machine and in every run."""

import hashlib

BITS = 64


def drawn(*words: str) -> float:
    """A number in [0, 1) that depends on the words only."""
    digest = hashlib.sha256("\0".join(words).encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[: BITS // 8]) / (1 << BITS)
