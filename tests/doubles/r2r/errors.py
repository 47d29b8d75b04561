"""The three shapes of R2R's errors, and the double's own: a request that R2R would take but no right driver sends."""

import json

from pydantic import ValidationError
from starlette.responses import JSONResponse, PlainTextResponse, Response

IGNORED = "the real server ignores this silently"


class Refusal(Exception):
    """An answer that is not a success. `wrong` when no right driver sends such a request."""

    def __init__(self, response: Response, message: str, *, wrong: bool = False) -> None:
        super().__init__(message)
        self.response = response
        self.message = message
        self.wrong = wrong


def refused(status: int, message: str, error_type: str = "R2RException") -> Refusal:
    """R2R's own shape."""
    return Refusal(JSONResponse({"message": message, "error_type": error_type}, status), message)


def detail(status: int, text: str) -> Refusal:
    """FastAPI's shape."""
    return Refusal(JSONResponse({"detail": text}, status), text)


def failed(endpoint: str, error: str, error_type: str) -> Refusal:
    """What R2R makes of an exception that it does not know; always 500."""
    message = f"An error '{error}' occurred during {endpoint}"
    body = {"detail": {"message": message, "error": error, "error_type": error_type}}
    return Refusal(JSONResponse(body, 500), error)


def crashed() -> Refusal:
    """Starlette's plain text, for example when the database is down."""
    return Refusal(PlainTextResponse("Internal Server Error", 500), "Internal Server Error")


def wrong_driver(message: str, *loc: str | int) -> Refusal:
    """The real server accepts it, or this double does not know it: either way nobody may come to rely on it."""
    body = {"detail": [{"type": "refused_by_double", "loc": list(loc), "msg": message, "input": None}]}
    return Refusal(JSONResponse(body, 422), message, wrong=True)


def invalid(error: ValidationError, *loc: str) -> Refusal:
    """FastAPI's validation error; `loc` is the part of the request that was checked."""
    found = json.loads(error.json(include_url=False))
    for each in found:
        each["loc"] = [*loc, *each["loc"]]
        if each["type"] == "extra_forbidden":
            each["msg"] = f"{'.'.join(map(str, each['loc']))}: {IGNORED}"
    return Refusal(JSONResponse({"detail": found}, 422), "; ".join(each["msg"] for each in found), wrong=True)
