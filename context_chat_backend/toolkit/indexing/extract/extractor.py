"""Has documents read, and says what the end of their workers means."""

import json
import logging
import signal
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Self

import anyio
from pydantic import Field, PositiveFloat, PositiveInt

from context_chat_backend.contract import DriverError, Rejected, Unavailable
from context_chat_backend.toolkit.settings import VariableSettings

from .formats import EXTRACTORS
from .worker import Limits, Status
from .workers import Workers

logger = logging.getLogger(__name__)

_CRASHES = {
    signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGSYS, signal.SIGTRAP
}  # fmt: skip


class ExtractSettings(VariableSettings, env_prefix="EXTRACT_"):
    """Limits of text extraction."""

    workers: PositiveInt = Field(default=2, description="Documents read at the same time, each in its own process.")
    cpu_seconds: PositiveInt = Field(
        default=60, description="CPU time for one document, in seconds. A document that needs more is rejected."
    )
    wall_seconds: PositiveFloat = Field(
        default=600, description="Time for one document, in seconds. After that it is tried again later."
    )
    memory_mb: PositiveInt = Field(
        default=1024, description="Address space of one worker, in MiB. A document that needs more is rejected."
    )
    max_chars: PositiveInt = Field(
        default=20_000_000, description="Characters of text per document; the rest of a longer one is not indexed."
    )


class Extractor:
    """Extracts text, each document in a process of its own; an async context manager, for any number of tasks.

    Its limits are exact, it never holds memory or state of an earlier document, nothing but bytes comes back from it,
    and the way it ended tells a bad document from a passing problem.
    """

    def __init__(self, settings: ExtractSettings, extractors: Mapping[str, str] = EXTRACTORS) -> None:
        self._settings = settings
        self._extractors = extractors
        self._slots = anyio.CapacityLimiter(settings.workers)
        self._workers = Workers()

    async def __aenter__(self) -> Self:
        await self._workers.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._workers.__aexit__(*exc)

    async def text(self, path: Path, mime_type: str) -> str:
        """The text of a file: not empty, "\\n" as newline, no control characters but that and tabs.

        Raises `Rejected` when there will never be a text: type not supported, no text, encrypted, damaged, more CPU
        time or memory needed than allowed, parser crashed. Raises `Unavailable` when another try may help.
        Cancelling ends the worker.
        """
        if (function := self._extractors.get(mime_type)) is None:
            raise Rejected(f"type not supported: {mime_type}")
        async with self._slots:
            worker = await self._run(function, path)
        if worker.returncode == Status.SHORTENED:
            # Rejecting would hide all of the document from every search, cutting hides its end.
            logger.warning(
                "Only the first %d characters of a document (%s) are indexed", self._settings.max_chars, mime_type
            )
        elif worker.returncode != Status.TEXT:
            raise self._failure(worker)
        return worker.stdout.decode()

    async def _run(self, function: str, path: Path) -> CompletedProcess[bytes]:
        limits = Limits(
            cpu_seconds=self._settings.cpu_seconds,
            memory_mb=self._settings.memory_mb,
            max_chars=self._settings.max_chars,
        )
        try:
            with anyio.fail_after(self._settings.wall_seconds):
                return await self._workers.run([function, str(path), json.dumps(limits)])
        except TimeoutError as error:
            # CPU time does not depend on how busy the machine is, this does.
            raise Unavailable(f"extraction took more than {self._settings.wall_seconds:g} s") from error
        except OSError as error:
            raise Unavailable("extraction worker could not be started") from error

    def _failure(self, worker: CompletedProcess[bytes]) -> DriverError:
        match worker.returncode:
            case Status.UNREADABLE:
                return Rejected(worker.stdout.decode())
            case Status.OUT_OF_MEMORY:
                return Rejected(f"extraction needs more than {self._settings.memory_mb} MiB of memory")
            case code if code == -signal.SIGXCPU:
                return Rejected(f"extraction needs more than {self._settings.cpu_seconds} s of CPU time")
            case code if -code in _CRASHES:
                return Rejected(f"crashed the parser, perhaps out of memory ({signal.Signals(-code).name})")
            case code:
                logger.error(
                    "Extraction worker ended with %d: %s", code, worker.stderr.decode(errors="replace")[-2000:]
                )
                return Unavailable(f"extraction worker ended with status {code}")
