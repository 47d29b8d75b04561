"""What goes back: bodies, statuses and headers of PostgREST and of the gateway.

https://docs.postgrest.org/en/stable/references/errors.html
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import psycopg

JSON = {"Content-Type": "application/json; charset=utf-8"}

_BY_STATE: Mapping[str, int] = {
    "23503": 409,
    "23505": 409,
    "25006": 405,
    "42883": 404,
    "42P01": 404,
    "42P17": 500,
    "53400": 500,
    "57P01": 503,
    "P0001": 400,
}
_BY_CLASS: Mapping[str, int] = {
    "08": 503,
    "09": 500,
    "0L": 403,
    "0P": 403,
    "25": 500,
    "28": 403,
    "2D": 500,
    "38": 500,
    "39": 500,
    "3B": 500,
    "40": 500,
    "53": 503,
    "54": 500,
    "55": 500,
    "57": 500,
    "58": 500,
    "F0": 500,
    "HV": 500,
    "P0": 500,
    "XX": 500,
}


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """A reply that is not a success. `wrong` when this double does not know the request; PostgREST might."""

    def __init__(self, reply: Reply, message: str = "", *, wrong: bool = False) -> None:
        super().__init__(message)
        self.reply = reply
        self.wrong = wrong


def json_reply(status: int, body: object, headers: Mapping[str, str] | None = None) -> Reply:
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return Reply(status, text.encode(), {**JSON, **(headers or {})})


def error_reply(
    status: int,
    code: str,
    message: str,
    *,
    details: str | None = None,
    hint: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """An error as PostgREST shows it."""
    body = {"code": code, "details": details, "hint": hint, "message": message}
    return json_reply(status, body, {"Proxy-Status": f"PostgREST; error={code}", **(headers or {})})


def refused(status: int, code: str, message: str, *, details: str | None = None, hint: str | None = None) -> Refusal:
    """By PostgREST itself."""
    return Refusal(error_reply(status, code, message, details=details, hint=hint))


def bad_token(code: str, message: str) -> Refusal:
    challenge = f'Bearer error="invalid_token", error_description="{message}"'
    return Refusal(error_reply(401, code, message, headers={"WWW-Authenticate": challenge}))


def refused_by_gateway(message: str, hint: str) -> Refusal:
    """Supabase's gateway gives no code."""
    return Refusal(json_reply(401, {"message": message, "hint": hint}))


def wrong_driver(message: str) -> Refusal:
    """The real server may well take it; this double does not know it, so nobody may come to rely on it."""
    return Refusal(json_reply(422, {"code": "DOUBLE", "message": message}), message, wrong=True)


def refused_by_database(error: psycopg.Error, *, anonymous: bool) -> Refusal:
    """What PostgreSQL said, or that it did not answer."""
    if error.sqlstate is None:
        message = "Database client error. Retrying the connection."
        return refused(503, "PGRST001", message, details=str(error))
    said = error.diag
    status = _status(error.sqlstate, said.message_primary or "", anonymous=anonymous)
    return Refusal(
        error_reply(
            status,
            error.sqlstate,
            said.message_primary or "",
            details=said.message_detail,
            hint=said.message_hint,
            headers={"WWW-Authenticate": "Bearer"} if status == 401 else {},
        )
    )


def _status(state: str, message: str, *, anonymous: bool) -> int:
    if state == "42501":
        return 401 if anonymous else 403
    if state == "21000":
        return 400 if message.endswith("requires a WHERE clause") else 500
    if state == "22023":
        return 401 if message.startswith("role") and message.endswith("does not exist") else 400
    if state.startswith("PT"):  # chosen by the function
        return int(state[2:]) if state[2:].isdigit() else 500
    return _BY_STATE.get(state) or _BY_CLASS.get(state[:2], 400)
