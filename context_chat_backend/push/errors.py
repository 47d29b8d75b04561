"""One table from exceptions to HTTP answers. Every body is a JSON object: the PHP client dies on anything else."""

import logging
import math

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ..contract import DriverError, Misconfigured, PermanentError, TransientError, Unsupported
from ..logs import request_id
from ..service import NothingFound
from .schemas import ScopeError

RETRY_AFTER = 30
"""Seconds, where the backend names none."""

log = logging.getLogger(__name__)


class BadRequest(Exception):
    """The request can never be carried out; the message names the field and what was expected."""


class Disabled(Exception):
    """The app is disabled in Nextcloud."""


def error(status: int, text: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """`{"error": text}`"""
    return JSONResponse({"error": text}, status_code=status, headers=headers)


def install_error_handlers(app: FastAPI) -> None:
    """Starlette picks the handler of the nearest base class."""
    app.add_exception_handler(TransientError, _transient)
    app.add_exception_handler(Misconfigured, _misconfigured)
    app.add_exception_handler(Unsupported, lambda _, exc: error(501, str(exc)))
    app.add_exception_handler(PermanentError, lambda _, exc: error(400, str(exc)))
    app.add_exception_handler(BadRequest, lambda _, exc: error(400, str(exc)))
    app.add_exception_handler(ScopeError, lambda _, exc: error(400, f"Context Retrieval Error: {exc}"))
    app.add_exception_handler(NothingFound, _nothing_found)
    app.add_exception_handler(Disabled, lambda *_: error(503, "Context Chat Backend is disabled"))
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _bug)


def _transient(_: Request, exc: Exception) -> JSONResponse:
    # never with cc-retry: outside of /loadSources that header aborts the client's whole job
    assert isinstance(exc, TransientError)  # noqa: S101 - for the type checker
    seconds = RETRY_AFTER if exc.retry_after is None else max(1, math.ceil(exc.retry_after))
    return error(503, str(exc), {"Retry-After": str(seconds)})


def _misconfigured(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, DriverError)  # noqa: S101
    log.error("misconfigured: %s", exc)
    return error(503, str(exc), {"Retry-After": str(RETRY_AFTER)})


def _nothing_found(*_: object) -> JSONResponse:
    # the words of the upstream backend: Nextcloud shows them to the user
    return error(400, "Context Retrieval Error: No documents retrieved, please index a few documents first")


def _invalid(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, RequestValidationError)  # noqa: S101
    problems = (f"{'.'.join(map(str, item['loc'][1:])) or 'body'}: {item['msg']}" for item in exc.errors())
    return error(422, "; ".join(problems))


def _http(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HTTPException)  # noqa: S101
    return error(exc.status_code, exc.detail, dict(exc.headers or {}))


def _bug(_: Request, exc: Exception) -> JSONResponse:
    log.error("unexpected error", exc_info=exc)
    return error(500, f"internal error, see the log for request {request_id.get()}")
