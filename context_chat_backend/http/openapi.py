"""What the OpenAPI document says beyond what FastAPI works out itself."""

from typing import Any

from pydantic import BaseModel
from starlette import status

Responses = dict[int | str, dict[str, Any]]
"""As FastAPI's `responses` want them."""


class Problem(BaseModel):
    """The body of every answer that is not a success."""

    error: str


MEANINGS = {
    status.HTTP_400_BAD_REQUEST: "Can never be carried out as it is, or nothing was found for the question",
    status.HTTP_401_UNAUTHORIZED: "Without AppAPI's headers or with a wrong secret",
    status.HTTP_413_CONTENT_TOO_LARGE: "The body is too large",
    status.HTTP_422_UNPROCESSABLE_CONTENT: "The body or a parameter is not of the form that is described here",
    status.HTTP_500_INTERNAL_SERVER_ERROR: "An error in the gateway; its log says more",
    status.HTTP_501_NOT_IMPLEMENTED: "The backend cannot do this",
    status.HTTP_503_SERVICE_UNAVAILABLE: "Not now; `Retry-After`, if there is one, says when to try again",
}


def problems(*codes: int) -> Responses:
    """Refusals that a route documents."""
    return {code: {"model": Problem, "description": MEANINGS[code]} for code in codes}


def content(media_type: str, description: str) -> Responses:
    """A success that is not JSON."""
    return {200: {"description": description, "content": {media_type: {"schema": {"type": "string"}}}}}


_PART_HEADERS = {
    "userIds": "readers, joined by commas, raw UTF-8",
    "title": "raw UTF-8",
    "type": "MIME type",
    "modified": "Unix seconds",
    "provider": "the first part of the id, `appId__providerId`",
}

UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A part per source, with its id `appId__providerId: itemId` as file name",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "sources": {"type": "array", "items": {"type": "string", "contentMediaType": "*/*"}}
                    },
                },
                "encoding": {
                    "sources": {
                        "headers": {
                            name: {"required": True, "description": text, "schema": {"type": "string"}}
                            for name, text in _PART_HEADERS.items()
                        }
                    }
                },
            }
        },
    }
}
"""The body of `/loadSources`, which no model describes."""
