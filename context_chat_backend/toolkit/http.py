"""What every HTTP client of the gateway needs: foreign errors translated once, by status, never by substring.

    with translate_errors(rejected={413, 415}):
        response = await client.post("documents", files=parts)
        response.raise_for_status()
    document = json_object(response)

`limited_request` in place of `client.post` bounds the memory that an answer may take.

Messages name the method, the URL and the status. They never hold credentials, nor anything from a body, which may
quote document text.
"""

import math
from collections.abc import AsyncGenerator, Iterator, Mapping, Set
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import httpx
from pydantic import AfterValidator, BaseModel, SecretStr, TypeAdapter, ValidationError

from context_chat_backend.contract import (
    Busy,
    DriverError,
    Misconfigured,
    NotFound,
    Rejected,
    TransientError,
    Unavailable,
)

Model = TypeVar("Model", bound=BaseModel)

STATUS_ERRORS: Mapping[int, type[DriverError]] = MappingProxyType(
    {429: Busy, 408: Unavailable, 409: Unavailable, 425: Unavailable, 413: Rejected, 415: Rejected}
)
"""What a status means unless the caller says otherwise. All others: 5xx is `Unavailable`, the rest `Misconfigured`,
because a request that is refused for itself is a matter of addresses, keys or versions, never of one source."""

ANSWER_BYTES = 16 * 2**20
"""The largest answer, unless the caller says otherwise: texts and lists are far smaller."""

_ENCODING = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""Headers that tell how a body was sent, and nothing of the body itself."""

_JSON_OBJECT = TypeAdapter(dict[str, Any])


@contextmanager
def translate_errors(
    *,
    busy: Set[int] = frozenset(),
    unavailable: Set[int] = frozenset(),
    misconfigured: Set[int] = frozenset(),
    rejected: Set[int] = frozenset(),
    not_found: Set[int] = frozenset(),
) -> Iterator[None]:
    """Turn what httpx raises, `raise_for_status` included, into the contract's errors.

    Statuses given here win over `STATUS_ERRORS`. `Retry-After` becomes `retry_after` of a transient error.
    """
    statuses = {
        **STATUS_ERRORS,
        **dict.fromkeys(busy, Busy),
        **dict.fromkeys(unavailable, Unavailable),
        **dict.fromkeys(misconfigured, Misconfigured),
        **dict.fromkeys(rejected, Rejected),
        **dict.fromkeys(not_found, NotFound),
    }
    try:
        yield
    except httpx.HTTPStatusError as exc:
        raise _from_response(exc.response, statuses) from None  # httpx's message shows the password of a URL
    except (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as exc:
        # h11 quotes an illegal header, such as a key with a line break, in its message.
        raise Misconfigured(f"{name_of(exc.request)} cannot be sent: {type(exc).__name__}") from None
    except AnswerTooLarge as exc:
        raise Unavailable(str(exc)) from None
    except httpx.RequestError as exc:
        raise Unavailable(f"{name_of(exc.request)} failed: {type(exc).__name__}") from exc


class AnswerTooLarge(httpx.RequestError):
    """An error like httpx's own, and translated together with them."""

    def __init__(self, limit: int, request: httpx.Request) -> None:
        super().__init__(f"{name_of(request)} answered with more than {limit:,} bytes", request=request)


async def limited_request(
    client: httpx.AsyncClient, method: str, url: str, *, limit: int = ANSWER_BYTES, **options: Any
) -> httpx.Response:
    """The answer to `client.request(method, url, **options)`, read. Raises `AnswerTooLarge`."""
    async with client.stream(method, url, **options) as answer:
        return await read_limited(answer, limit)


async def read_limited(answer: httpx.Response, limit: int) -> httpx.Response:
    """A streamed answer, read. Raises `AnswerTooLarge` as soon as its body, unpacked, is larger than `limit` bytes,
    whatever it says of its length."""
    body = bytearray()
    async for part in limited_bytes(answer, limit):
        body += part
    headers = [(name, value) for name, value in answer.headers.multi_items() if name not in _ENCODING]
    return httpx.Response(answer.status_code, headers=headers, content=bytes(body), request=answer.request)


async def limited_bytes(answer: httpx.Response, limit: int) -> AsyncGenerator[bytes, None]:
    """The body of a streamed answer, unpacked, as it comes. Raises `AnswerTooLarge` like `read_limited`."""
    size = 0
    async for part in answer.aiter_bytes():  # by 64 KB as sent, which gzip makes 66 MB of at most
        size += len(part)
        if size > limit:
            raise AnswerTooLarge(limit, answer.request)
        yield part


def retry_after(response: httpx.Response) -> float | None:
    """Seconds to wait as asked by the `Retry-After` header, at least 0; None where it is missing or meaningless.

    Either form is understood: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    value = response.headers.get("Retry-After", "")
    try:
        seconds = float(value)
    except ValueError:
        seconds = _seconds_until(value)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def json_object(response: httpx.Response) -> dict[str, Any]:
    """The body as a JSON object. Raises `Unavailable` for anything else, e.g. a proxy's HTML page."""
    try:
        return _JSON_OBJECT.validate_json(response.content)
    except ValidationError:
        raise _unexpected_body(response) from None  # pydantic's message quotes the body


def json_model(response: httpx.Response, model: type[Model]) -> Model:
    """The body as `model`. Raises `Unavailable` where it is something else."""
    try:
        return model.model_validate_json(response.content)
    except ValidationError:
        raise _unexpected_body(response) from None  # pydantic's message quotes the body


def http_url(value: str) -> str:
    """The address of a server, as settings hold it: no slash at its end. Raises `ValueError` for anything else."""
    address = value.strip().rstrip("/")
    try:
        parts = urlsplit(address)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid or any(map(str.isspace, address)):
        raise ValueError("has to begin with http:// or https:// and name a host")
    if "@" in address:
        raise ValueError("has to be an address without user and password")
    return address


HttpAddress = Annotated[str, AfterValidator(http_url)]


def header_value(secret: SecretStr) -> SecretStr:
    """A key, as settings hold it, that can be sent in a header. Raises `ValueError` for anything else."""
    value = secret.get_secret_value().strip()
    if not (value.isascii() and value.isprintable()):
        raise ValueError("only printable ASCII characters can be sent")
    return SecretStr(value)


HttpKey = Annotated[SecretStr, AfterValidator(header_value)]


def _from_response(response: httpx.Response, statuses: Mapping[int, type[DriverError]]) -> DriverError:
    default = Unavailable if response.is_server_error else Misconfigured
    error = statuses.get(response.status_code, default)
    message = f"{name_of(response.request)} answered {response.status_code}"
    if issubclass(error, TransientError):
        return error(message, retry_after=retry_after(response))
    return error(message)


def _seconds_until(http_date: str) -> float:
    try:
        date = parsedate_to_datetime(http_date)
    except ValueError:
        return math.nan
    if date.tzinfo is None:  # "-0000": the sender's zone is unknown
        date = date.replace(tzinfo=UTC)
    return (date - datetime.now(UTC)).total_seconds()


def _unexpected_body(response: httpx.Response) -> Unavailable:
    return Unavailable(f"{name_of(response.request)} answered {response.status_code} with an unexpected body")


def name_of(request: httpx.Request) -> str:
    """Method and address of a request, for messages: without credentials and query."""
    return f"{request.method} {request.url.copy_with(userinfo=b'', query=None, fragment=None)}"
