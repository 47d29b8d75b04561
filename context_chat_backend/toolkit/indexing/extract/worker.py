"""What a worker process does, a copy of `starter`: one document, then it ends.

It writes the sections, a line of JSON each, or the reason why there is no text, to standard output; the exit status
says which.
"""

import json
import os
import pkgutil
import resource
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import BinaryIO

from ..section import Section
from . import ocr
from .contents import actual
from .formats import NO_TEXT, Unreadable
from .outline import outlined
from .protocol import Limits, Status


def main(function: str, path: str, limits: str) -> Status:
    """Returns the exit status of the process; what it raises is a failure of the worker itself."""
    pkgutil.resolve_name(function)
    allowed: Limits = json.loads(limits)
    output = _take_output()
    _limit(allowed)
    ocr.provide(allowed["ocr"])
    try:
        status, written = _read(function, Path(path), allowed["max_chars"])
        output.write(written)
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


def _read(function: str, path: Path, max_chars: int) -> tuple[Status, bytes]:
    data = path.read_bytes()
    os.dup2(1, 2)
    try:
        sections, complete = _bounded(outlined(actual(function, data)(data)), max_chars)
    except MemoryError:
        raise
    except Unreadable as error:
        return Status.UNREADABLE, str(error).encode()
    # Parsers raise whatever they like on damaged input; what is a panic in Rust is no Exception in Python. The message
    # may hold a part of the document, the type does not.
    except BaseException as error:  # noqa: BLE001
        return Status.UNREADABLE, f"damaged ({type(error).__name__})".encode()
    if not sections:
        return Status.UNREADABLE, NO_TEXT.encode()
    lines = "\n".join(json.dumps(asdict(section), ensure_ascii=False) for section in sections)
    return _status(is_complete=complete), lines.encode()


def _status(*, is_complete: bool) -> Status:
    if not is_complete:
        return Status.SHORTENED
    reader = ocr.reader()
    return Status.TEXT if reader is None or reader.has_time else Status.SOME_PICTURES


def _bounded(sections: Iterable[Section], max_chars: int) -> tuple[list[Section], bool]:
    """Those up to `max_chars`, and whether that is all. What a section repeats counts as often as it is there."""
    taken: list[Section] = []
    left = max_chars
    for section in sections:
        left -= sum(map(len, section.headings)) + len(section.header)
        text = section.text[: max(left, 0)].rstrip()
        if text:
            taken.append(replace(section, text=text))
        if len(section.text) > left:
            return taken, False
        left -= len(section.text) + 2
    return taken, True
