"""R2R's own errors: what the driver tells apart, by status and by R2R's name for the error, never by its text."""

from typing import Any

import httpx
from pydantic import BaseModel, ValidationError

from context_chat_backend.contract import Misconfigured, Rejected, Unavailable


class Refused(Rejected):
    """R2R does not take this form of a document; another one may do."""


class FailedAt(Refused):
    """R2R failed to read this form of a document, which may be for a reason of its own."""


class Failed(Unavailable):
    """R2R failed at an upload. Whether it could not read the document or not ask its models is not in the answer."""


class Exists(Unavailable):
    """There is a document with this id, or it is being made."""


class Missing(Unavailable):
    """R2R itself does not know what a request names. Not `NotFound`, which would say that a source is unknown."""


class AtWork(Unavailable):
    """R2R is working on a version of a source."""


class _Failure(BaseModel):
    """The body of R2R's own errors, either alone or in `detail`."""

    error_type: str = ""
    detail: "_Failure | Any" = None


def error_type(response: httpx.Response) -> str:
    """The kind of an error that is R2R's own; empty where it is somebody else's."""
    try:
        body = _Failure.model_validate_json(response.content)
    except ValidationError:
        return ""
    return body.error_type or (body.detail.error_type if isinstance(body.detail, _Failure) else "")


async def refuse_foreign_404(response: httpx.Response) -> None:
    """Let only R2R's own 404 pass: those speak of what the request names.

    Proxies answer 404 while R2R starts, and so does whatever else a wrong R2R_BASE_URL leads to. That says nothing
    about what is stored, and must not pass for a finished deletion or an empty collection. `Misconfigured` loses
    nothing: Nextcloud sends again what failed this way, and the gateway is not ready until R2R answers. `Unavailable`
    would keep no more, but would have each request repeated and tell nobody of a wrong address.
    """
    if response.status_code != httpx.codes.NOT_FOUND:
        return
    await response.aread()
    if not error_type(response):
        raise Misconfigured(
            f"something other than R2R answered 404 to {response.request.method} {response.request.url.path}: "
            "R2R_BASE_URL does not lead to R2R, or a proxy does not find it (yet)"
        )
