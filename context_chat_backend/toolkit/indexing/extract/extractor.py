"""Has documents read, and says what the end of their workers means."""

import json
import logging
import signal
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Self

import anyio
from anyio import to_thread
from pydantic import Field, PositiveFloat, PositiveInt, TypeAdapter, ValidationError

from context_chat_backend.contract import BeyondReader, DriverError, Rejected, Unavailable
from context_chat_backend.toolkit.settings import VariableSettings

from ..section import Section
from . import formats, ocr
from .formats import EXTRACTORS
from .outline import as_text
from .protocol import Limits, Ocr, Status
from .reader import Reader, Shortage
from .workers import Workers

logger = logging.getLogger(__name__)

_SECTION = TypeAdapter(Section)
_OCR_SHARE = 0.4
"""Of the time for a document, so that what was read of its pictures is not lost with the rest."""

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
    ocr: bool = Field(
        default=True, description="Whether pages that are only scanned are read by Tesseract, where it is installed."
    )
    ocr_languages: str = Field(
        default="eng+deu",
        description="Languages of scanned pages, as Tesseract names them; those that it does not have are left out.",
    )
    ocr_seconds: PositiveInt = Field(
        default=240, description="CPU time for the scanned pages of one document, in seconds; the rest is not read."
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
        self._ocr: Ocr | None = None

    async def __aenter__(self) -> Self:
        await self._workers.__aenter__()
        self._ocr = await to_thread.run_sync(_ocr_of, self._settings)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._workers.__aexit__(*exc)

    async def text(self, path: Path, mime_type: str) -> str:
        """All of `sections` as one text, with headings and headers of tables as lines of it. Raises as that does."""
        return as_text(await self.sections(path, mime_type))

    async def sections(self, path: Path, mime_type: str) -> list[Section]:
        """What people read in a file, at least one section: "\\n" as newline, no control characters but that and tabs.

        Raises `Rejected` when there will never be a text, because it is encrypted, and `BeyondReader` where another
        reader may find one: type not supported, no text, damaged, more CPU time or memory needed than allowed, parser
        crashed. Raises `Unavailable` when another try may help.
        Cancelling ends the worker.
        """
        if (function := self._extractors.get(mime_type.lower())) is None:
            raise BeyondReader(f"type not supported: {mime_type}")
        async with self._slots:
            worker = await self._run(function, path)
        if worker.returncode == Status.SHORTENED:
            # Rejecting would hide all of the document from every search, cutting hides its end.
            logger.warning(
                "Only the first %d characters of a document (%s) are indexed", self._settings.max_chars, mime_type
            )
        elif worker.returncode == Status.SOME_PICTURES:
            logger.warning("Only some scanned pages of a document (%s) are indexed (EXTRACT_OCR_SECONDS)", mime_type)
        elif worker.returncode != Status.TEXT:
            raise self._failure(worker)
        return await to_thread.run_sync(_parsed, worker.stdout)

    async def _run(self, function: str, path: Path) -> CompletedProcess[bytes]:
        limits = Limits(
            cpu_seconds=self._settings.cpu_seconds,
            memory_mb=self._settings.memory_mb,
            max_chars=self._settings.max_chars,
            ocr=self._ocr,
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
                return self._unreadable(worker.stdout.decode())
            case Status.OUT_OF_MEMORY:
                return self._short_of("MiB of memory", self._settings.memory_mb)
            case code if code == -signal.SIGXCPU:
                return self._short_of("s of CPU time", self._settings.cpu_seconds)
            case code if -code in _CRASHES:
                return self._beyond(f"crashed the parser, perhaps out of memory ({signal.Signals(-code).name})")
            case code:
                logger.error(
                    "Extraction worker ended with %d: %s", code, worker.stderr.decode(errors="replace")[-2000:]
                )
                return Unavailable(f"extraction worker ended with status {code}")

    def _unreadable(self, reason: str) -> Rejected:
        match reason:
            case formats.ENCRYPTED:
                return Rejected(reason)
            case formats.SCAN:
                return self._beyond(reason, "Tesseract")
            case _:
                return self._beyond(reason)

    def _short_of(self, what: Shortage, limit: int) -> BeyondReader:
        return self._beyond(f"extraction needs more than {limit} {what}", what)

    def _beyond(self, reason: str, short_of: Shortage | None = None) -> BeyondReader:
        return BeyondReader(reason, reader=_reader_of(self._settings, self._ocr).name(short_of))


def installed_reader(settings: ExtractSettings) -> Reader:
    """The one that an `Extractor` with these settings has here and now. Blocks."""
    return _reader_of(settings, _ocr_of(settings))


def _ocr_of(settings: ExtractSettings) -> Ocr | None:
    if not settings.ocr:
        return None
    return ocr.installed(settings.ocr_languages, min(settings.ocr_seconds, settings.wall_seconds * _OCR_SHARE))


def _reader_of(settings: ExtractSettings, found: Ocr | None) -> Reader:
    languages = found["languages"].split("+") if found is not None else ()
    return Reader(settings.memory_mb, settings.cpu_seconds, frozenset(languages))


def _parsed(lines: bytes) -> list[Section]:
    """Of a worker, which a document may have taken over: nothing but data can come of it."""
    try:
        return [_SECTION.validate_json(line) for line in lines.splitlines()]
    except ValidationError as error:
        raise Rejected("crashed the parser, which wrote no text") from error
