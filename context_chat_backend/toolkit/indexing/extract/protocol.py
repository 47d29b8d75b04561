"""What the gateway's side and a worker say to each other."""

from enum import IntEnum
from typing import TypedDict


class Ocr(TypedDict):
    program: str
    languages: str
    """As Tesseract names them, joined by "+"."""
    seconds: float
    """CPU time for the pictures of one document."""


class Limits(TypedDict):
    """What one document may use."""

    cpu_seconds: int
    memory_mb: int
    max_chars: int
    ocr: Ocr | None
    """None where pictures are not read."""


class Status(IntEnum):
    """Exit status; every other one means that the worker itself failed."""

    TEXT = 0
    SHORTENED = 80
    """There was more text than `max_chars`."""
    SOME_PICTURES = 83
    """There was no time to read the other ones."""
    UNREADABLE = 81
    """Standard output holds the reason."""
    OUT_OF_MEMORY = 82
