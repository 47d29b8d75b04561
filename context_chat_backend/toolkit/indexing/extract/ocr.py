"""Words in pictures, by Tesseract, where the machine has it."""

import ctypes
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping

from .protocol import Ocr

DPI = 300
MAX_PIXELS = 12_000_000
"""A page of A4 has nine million at 300 dpi; larger ones are made smaller."""
_PAGE_SECONDS = 60
_BUSY = 2
"""How much longer than its CPU time something may take."""
_LANGUAGES_SECONDS = 10
_ENVIRONMENT: Mapping[str, str] = {"OMP_THREAD_LIMIT": "1", "LC_ALL": "C.UTF-8", "PATH": os.defpath}
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def installed(languages: str, seconds: float) -> Ocr | None:
    """Those of the languages that Tesseract has here, joined by "+" as they are given; None for none. Blocks."""
    program = shutil.which("tesseract")
    if program is None:
        return None
    command = [program, "--list-langs"]
    try:
        listed = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=_LANGUAGES_SECONDS, env=_ENVIRONMENT, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    present = [language for language in languages.split("+") if language in listed.stdout.split()]
    return Ocr(program=program, languages="+".join(present), seconds=seconds) if present else None


class Reader:
    """What one document may have read. Its processes end with this one."""

    def __init__(self, settings: Ocr) -> None:
        self._settings = settings
        self._started = time.monotonic()
        self.has_time = True
        """Whether all that was asked for has been read."""

    def text(self, picture: bytes, dpi: int = DPI) -> str:
        """Of a picture in a format that Tesseract knows; empty where it fails."""
        left = self._seconds_left()
        if left <= 0:
            self.has_time = False
            return ""
        command = [self._settings["program"], "stdin", "stdout", "-l", self._settings["languages"], "--dpi", str(dpi)]
        try:
            run = subprocess.run(  # noqa: S603
                command,
                input=picture,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_ENVIRONMENT,
                timeout=min(left, _PAGE_SECONDS) * _BUSY,
                preexec_fn=_end_with_parent,
                check=False,
            )
        except (OSError, subprocess.SubprocessError):
            return ""
        return run.stdout.decode(errors="replace") if run.returncode == 0 else ""

    def _seconds_left(self) -> float:
        """Of CPU time, which the limit of the worker does not count where its children use it; and of the time on a
        busy machine: the worker is ended, and all is lost, when it has too little of that."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        passed = time.monotonic() - self._started
        return self._settings["seconds"] - max(used.ru_utime + used.ru_stime, passed / _BUSY)


def _end_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    seconds = _PAGE_SECONDS if most == resource.RLIM_INFINITY else min(_PAGE_SECONDS, most)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


_reader: Reader | None = None


def provide(settings: Ocr | None) -> None:
    """For the rest of this process, which reads one document."""
    global _reader  # noqa: PLW0603 - functions of extraction take nothing but the document
    _reader = None if settings is None else Reader(settings)


def reader() -> Reader | None:
    return _reader
