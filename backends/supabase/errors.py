"""What Supabase answers in place of a value, and which of the contract's errors that is.

Three parts answer with errors: PostgreSQL with an SQLSTATE, PostgREST with a code of its own (`PGRST…`), the gateway
and proxies in front of it with nothing but an HTTP status. Messages never hold DETAIL, bodies or keys.
https://docs.postgrest.org/en/stable/references/errors.html
https://supabase.com/docs/guides/platform/http-status-codes
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
from pydantic import TypeAdapter, ValidationError

from context_chat_backend.contract import Busy, DriverError, Misconfigured, TransientError, Unavailable
from context_chat_backend.toolkit.http import retry_after, translate_errors
from context_chat_backend.toolkit.postgres.sqlstate import error_for

_PASSING = frozenset({"40001", "40P01", "53300", "55P03", "57P01", "429", "502", "503", "504", "520"})
_PASSING_PREFIXES = ("08", "PGRST0")
"""With these codes the same call will probably succeed a moment later."""

_STATUS_LENGTH = 3
_ABOUT_RIGHTS = frozenset({httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN})
"""PostgREST's statuses for missing rights. A role that does not exist is one of them; its SQLSTATE says bad data."""
_CODE = re.compile(r"PGRST\w+|[0-9A-Z]{5}")
_PROXY_STATUS = re.compile(r"PostgREST; error=(\w+)")
_OBJECT = TypeAdapter(dict[str, Any])

_KEY = "SUPABASE_KEY has to be the secret key, or the key of the role service_role, of the project in SUPABASE_URL"
_MIGRATE = "run `ccbe supabase-migration` and then its output in the project's SQL editor"

_POSTGREST: Mapping[str, tuple[type[DriverError], str]] = {
    "PGRST0": (Unavailable, "PostgREST cannot reach its database"),
    "PGRST106": (Misconfigured, "the API does not show the schema public: add it to the exposed schemas"),
    "PGRST1": (Misconfigured, "PostgREST does not understand the call: is there a Supabase behind SUPABASE_URL?"),
    "PGRST202": (Misconfigured, f"the project has no such function with these arguments: {_MIGRATE}"),
    "PGRST203": (Misconfigured, f"the project has several such functions: drop those in the schema public, {_MIGRATE}"),
    "PGRST3": (Misconfigured, f"the key is not accepted: {_KEY}"),
    "PGRST": (Unavailable, "PostgREST failed"),
}
"""By code or its beginning, the longest first."""
_STATUSES: Mapping[str, tuple[type[DriverError], str]] = {
    "200": (Unavailable, "the answer is not JSON: is there a proxy or a login page in between?"),
    "3": (Misconfigured, "a redirection: set SUPABASE_URL to the final address"),
    "4": (Misconfigured, "the call is refused: look at the state of the project in Supabase's dashboard"),
    "401": (Misconfigured, f"the key is not accepted: {_KEY}"),
    "403": (Misconfigured, f"the key or the address that we call from is not accepted: {_KEY}"),
    "404": (Misconfigured, "there is no Supabase API behind SUPABASE_URL"),
    "408": (Unavailable, "timeout"),
    "413": (Misconfigured, "a proxy in between refuses the size of the request: let it pass 5 MB"),
    "425": (Unavailable, "too early"),
    "429": (Busy, "too many requests"),
    "540": (Misconfigured, "the project is paused: restore it in Supabase's dashboard"),
    "": (Unavailable, "no answer from the database"),
}
"""By HTTP status or its beginning, the longest first."""


class Refusal(Exception):
    """An answer that is not a value."""

    def __init__(self, status: int, code: str, text: str = "", *, retry_after: float | None = None) -> None:
        """`code` is an SQLSTATE, a code of PostgREST or else the HTTP status again; `text` is for admins."""
        super().__init__(code)
        self.status = status
        self.code = code
        self.text = text
        self.retry_after = retry_after


def value_of(response: httpx.Response) -> Any:
    """The value of a function's result, None for no content. Raises `Refusal`."""
    if not response.is_success:
        raise _refusal(response)
    try:
        return response.json() if response.content else None
    except ValueError:
        raise Refusal(response.status_code, "200") from None


def is_passing(error: BaseException) -> bool:
    """Whether the call should be repeated at once."""
    if isinstance(error, Refusal):
        return error.code in _PASSING or error.code.startswith(_PASSING_PREFIXES)
    return isinstance(error, httpx.TransportError) and not isinstance(
        error, httpx.LocalProtocolError | httpx.UnsupportedProtocol
    )


@contextmanager
def supabase_errors(function: str) -> Iterator[None]:
    """Turn refusals and what httpx raises into `DriverError`s. A refusal that only a bug can cause stays as it is."""
    try:
        with translate_errors():
            yield
    except Refusal as refusal:
        kind, text = _meaning(refusal)
        if kind is None:
            raise
        message = f"Supabase, {function}: {text} ({refusal.code})"
        if issubclass(kind, TransientError):
            raise kind(message, retry_after=refusal.retry_after) from None
        raise kind(message) from None


def _refusal(response: httpx.Response) -> Refusal:
    try:
        body = _OBJECT.validate_json(response.content)
    except ValidationError:
        body = {}
    code = _code(body.get("code"), response)
    return Refusal(response.status_code, code, _said(code, body), retry_after=retry_after(response))


def _code(code: object, response: httpx.Response) -> str:
    if isinstance(code, str) and _CODE.fullmatch(code):
        return code
    from_header = _PROXY_STATUS.search(response.headers.get("Proxy-Status", ""))
    return from_header.group(1) if from_header else str(response.status_code)


def _said(code: str, body: Mapping[str, Any]) -> str:
    """What PostgreSQL said, unless it may quote data."""
    quotes_data = code.startswith("22") and code != "22023"  # the one that our functions raise themselves
    if quotes_data:
        return "the database cannot take a value"
    parts = [body.get("message"), body.get("hint")]
    return ". ".join(part for part in parts if isinstance(part, str))


def _meaning(refusal: Refusal) -> tuple[type[DriverError] | None, str]:
    code = refusal.code
    if code.startswith("PGRST"):
        return _POSTGREST[_longest_beginning(code, _POSTGREST)]
    if len(code) == _STATUS_LENGTH:
        return _STATUSES[_longest_beginning(code, _STATUSES)]
    if refusal.status in _ABOUT_RIGHTS:
        return Misconfigured, f"{refusal.text}: {_KEY}; if it is, {_MIGRATE}"
    return error_for(code), refusal.text


def _longest_beginning(code: str, beginnings: Iterable[str]) -> str:
    return max(filter(code.startswith, beginnings), key=len)
