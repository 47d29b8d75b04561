"""What a worker process does, a copy of `starter`: one document, then it ends.

It writes the text (UTF-8), or the reason why there is none, to standard output; the exit status says which.
"""

import json
import os
import pkgutil
import re
import resource
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, TypedDict

from .formats import NO_TEXT, Extract, Unreadable


class Limits(TypedDict):
    """What one document may use."""

    cpu_seconds: int
    memory_mb: int
    max_chars: int


class Status(IntEnum):
    """Exit status; every other one means that the worker itself failed."""

    TEXT = 0
    SHORTENED = 80
    """There was more text than `max_chars`."""
    UNREADABLE = 81
    """Standard output holds the reason."""
    OUT_OF_MEMORY = 82


_NEWLINES = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_NOT_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff\ufeff\ufffe\uffff]")


def main(function: str, path: str, limits: str) -> Status:
    """Returns the exit status of the process; what it raises is a failure of the worker itself."""
    extract: Extract = pkgutil.resolve_name(function)
    allowed: Limits = json.loads(limits)
    output = _take_output()
    _limit(allowed)
    try:
        status, text = _read(extract, Path(path), allowed["max_chars"])
        output.write(text.encode())
        output.close()
    except MemoryError:
        return Status.OUT_OF_MEMORY
    return status


def _take_output() -> BinaryIO:
    """Standard output for the result alone; what parsers print would damage it, or fill up the gateway's memory."""
    output = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    return output


def _limit(limits: Limits) -> None:
    cpu, memory = limits["cpu_seconds"], limits["memory_mb"] * 1024**2
    # At the soft limit SIGXCPU ends the process, which the gateway can tell from a SIGKILL by the kernel's OOM killer.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _read(extract: Extract, path: Path, max_chars: int) -> tuple[Status, str]:
    data = path.read_bytes()
    os.dup2(1, 2)
    try:
        text, complete = _bounded(extract(data), max_chars)
    except MemoryError:
        raise
    except Unreadable as error:
        return Status.UNREADABLE, str(error)
    # Parsers raise whatever they like on damaged input. The message may hold a part of the document, the type does not.
    except Exception as error:  # noqa: BLE001
        return Status.UNREADABLE, f"damaged ({type(error).__name__})"
    if not text:
        return Status.UNREADABLE, NO_TEXT
    return (Status.TEXT if complete else Status.SHORTENED), text


def _bounded(parts: Iterable[str], max_chars: int) -> tuple[str, bool]:
    """Cleaned parts up to `max_chars`, and whether that is all."""
    cleaned: list[str] = []
    left = max_chars
    for part in parts:
        if left <= 0:
            return "\n\n".join(cleaned), False
        if text := clean(part[:left]):
            cleaned.append(text)
        if len(part) > left:
            return "\n\n".join(cleaned), False
        left -= len(text) + 2
    return "\n\n".join(cleaned), True


def clean(text: str) -> str:
    """Newlines as "\\n"; no control characters but those and tabs, no lone surrogates; stripped."""
    return _NOT_TEXT.sub("", _NEWLINES.sub("\n", text)).strip()
