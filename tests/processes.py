"""Processes of this machine, as /proc tells."""

import os
from collections.abc import Iterable
from pathlib import Path

from context_chat_backend.toolkit.indexing.extract import starter

STARTER = starter.__name__


def command_line(pid: int) -> str:
    """Empty when there is no such process any more."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def processes(*texts: str) -> list[int]:
    """Processes with all of these in their command line, this one left out."""
    pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    return [pid for pid in pids if pid != os.getpid() and all(text in command_line(pid) for text in texts)]


def children(pid: int) -> list[int]:
    """Of all its threads."""
    pids: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            pids += map(int, path.read_text().split())
        except (FileNotFoundError, ProcessLookupError):  # the thread has ended
            continue
    return pids


def starters(pid: int) -> list[int]:
    """Those of a gateway that the workers which read documents are copies of."""
    return [child for child in children(pid) if STARTER in command_line(child)]


def workers(pid: int) -> list[int]:
    """The processes that read documents for this one now."""
    return [worker for starter in starters(pid) for worker in children(starter)]


def have_ended(extracting: Iterable[int]) -> bool:
    """Whether none of these starters and workers is there any more; another process may have its number."""
    return not any(STARTER in command_line(pid) for pid in extracting)
