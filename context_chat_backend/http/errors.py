"""One table from exceptions to HTTP answers. Every body is a JSON object: the PHP client dies on anything else."""

import logging
import math
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ..contract import DriverError, Misconfigured, TransientError, Unsupported
from ..core.questions import ScopeError
from ..core.service import NothingFound
from ..logs import request_id

RETRY_AFTER = 30
"""Seconds, where the backend names none."""

log = logging.getLogger(__name__)


class BadRequest(Exception):
    """The request can never be carried out; the message names the field and what was expected."""


class Disabled(Exception):
    """The app is disabled in Nextcloud."""


class ReadOnly(Exception):
    """This process may not change what is stored: another container of the deployment does."""

    def __init__(self) -> None:
        super().__init__(
            "this container only answers questions, and the one that indexes cannot be called: Context Chat before "
            "5.4, which sends its documents, does not work with APP_ROLE"
        )


def error(status: int, text: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """`{"error": text}`"""
    return JSONResponse({"error": text}, status_code=status, headers=headers)


def install_error_handlers(app: FastAPI) -> None:
    """Starlette picks the handler of the nearest base class. Bugs are answered by `middleware.ErrorBoundary`."""
    app.add_exception_handler(DriverError, _driver_error)
    app.add_exception_handler(BadRequest, lambda _, exc: error(400, str(exc)))
    app.add_exception_handler(ScopeError, lambda _, exc: error(400, f"Context Retrieval Error: {exc}"))
    app.add_exception_handler(NothingFound, _nothing_found)
    app.add_exception_handler(Disabled, lambda *_: error(503, "Context Chat Backend is disabled"))
    app.add_exception_handler(ReadOnly, _read_only)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def _driver_error(_: Request, exc: Exception) -> JSONResponse:
    # Nextcloud shows the text to whoever asked: addresses and reasons are for the log only
    # and the log has it for each request, so the id is part of what is logged
    log.warning("request %s is answered with an error: %s: %s", request_id.get(), type(exc).__name__, exc)
    hint = f"; the log of the gateway says why, request {request_id.get()}"
    match exc:
        case TransientError(retry_after=seconds):
            # never with cc-retry: outside of /loadSources that header aborts the client's whole job
            return error(503, f"not available right now, try again later{hint}", _retry_after(seconds))
        case Misconfigured():
            return error(503, f"not set up correctly{hint}", _retry_after(None))
        case Unsupported():
            return error(501, f"not supported by this backend{hint}")
        case _:
            return error(400, f"this cannot be done{hint}")


def _read_only(_: Request, exc: Exception) -> JSONResponse:
    log.error("a document or an action is turned away: %s", exc)
    return error(503, str(exc), _retry_after(None))


def _retry_after(seconds: float | None) -> dict[str, str]:
    return {"Retry-After": str(RETRY_AFTER if seconds is None else max(1, math.ceil(seconds)))}


def _nothing_found(*_: object) -> JSONResponse:
    # the words of the upstream backend: Nextcloud shows them to the user
    return error(400, "Context Retrieval Error: No documents retrieved, please index a few documents first")


def _invalid(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, RequestValidationError)  # noqa: S101 - for the type checker
    return error(422, "; ".join(f"{_field(item)}: {item['msg']}" for item in exc.errors()))


def _field(item: Mapping[str, Any]) -> str:
    """The field that is wrong; for a body that is not JSON the error names no field but a position."""
    names = () if item["type"] == "json_invalid" else item["loc"][1:]
    return ".".join(map(str, names)) or "body"


def _http(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HTTPException)  # noqa: S101
    return error(exc.status_code, exc.detail, dict(exc.headers or {}))
