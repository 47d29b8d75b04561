"""What the SDK raises, in the terms of the contract: by class and status, never by text.

Messages name what was being done, the status and Pinecone's own code for it. They hold nothing else of an answer, which
may quote a document, and no key.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import httpx
from pinecone.errors import (
    ApiError,
    ConflictError,
    FailedPreconditionError,
    ForbiddenError,
    NotFoundError,
    PayloadTooLargeError,
    PaymentRequiredError,
    PineconeConnectionError,
    PineconeTimeoutError,
    RateLimitError,
    ResponseParsingError,
    ServiceError,
    UnauthorizedError,
)

from context_chat_backend.contract import Busy, DriverError, Misconfigured, TransientError, Unavailable
from context_chat_backend.toolkit.http import retry_after

_STATE = "the index is in a state that does not allow this: see Pinecone's console"
_MEANINGS: Mapping[type[ApiError], tuple[type[DriverError], str]] = MappingProxyType(
    {
        RateLimitError: (
            Busy,
            "a limit of requests is reached; if it stays so, the plan's units of this month are used up",
        ),
        ServiceError: (Unavailable, "a failure on Pinecone's side"),
        UnauthorizedError: (Misconfigured, "PINECONE_API_KEY is wrong or revoked"),
        PaymentRequiredError: (Misconfigured, "a payment is due: see the billing page of Pinecone's console"),
        ForbiddenError: (
            Misconfigured,
            "the key may not do this, or a limit of the plan is reached: see both in Pinecone's console",
        ),
        NotFoundError: (
            Misconfigured,
            "the index is gone or was never there: check PINECONE_INDEX or PINECONE_HOST, and the project of the key",
        ),
        ConflictError: (Misconfigured, _STATE),
        FailedPreconditionError: (Misconfigured, _STATE),
        PayloadTooLargeError: (
            Misconfigured,
            "the request is too large: something between the gateway and Pinecone lets through less than 2 MB",
        ),
        # A 400 or 422 may in truth be about a single record: a vector that is not finite or all zero, a text or a word
        # over a limit. All of these are made by this package and its toolkit, which keep them within the limits, so a
        # source is never given up for one. What is left is an index of another schema, which an admin can fix.
        ApiError: (
            Misconfigured,
            "the index has another form; it has to be one that the gateway made for the same embedding model",
        ),
    }
)
"""By class, of which the most specific one counts: whose matter it is, and what to do."""

_PASSING = frozenset({408, 425})
"""Statuses without a class of their own that mean: later."""
_REFUSED = frozenset({400, 404, 422})


@contextmanager
def pinecone_errors(doing: str, *, refused: str = "") -> Iterator[None]:
    """Turn what the SDK raises into the contract's errors. Their messages say `doing`, e.g. "a search", and `refused`,
    where given, of requests that the service does not take as they are (400, 404, 422).

    `PineconeValueError` and `PineconeTypeError` are let through. The SDK raises them for arguments that it does not
    take, before anything is sent: that is a bug of this package, and reported as such with its traceback.
    """
    try:
        yield
    except ApiError as error:
        raise _from_answer(error, doing, refused) from None  # its message quotes the answer
    except PineconeTimeoutError:
        raise Unavailable(f"Pinecone: {doing} timed out") from None
    except TimeoutError:
        raise Unavailable(f"Pinecone: {doing} took too long") from None
    except (PineconeConnectionError, httpx.RequestError) as error:
        raise Unavailable(f"Pinecone: {doing} failed: {_cause(error)}") from None
    except ResponseParsingError:
        raise Unavailable(f"Pinecone: {doing} was answered with something unexpected") from None


def _from_answer(error: ApiError, doing: str, refused: str) -> DriverError:
    kind, meaning = next(_MEANINGS[class_] for class_ in type(error).__mro__ if class_ in _MEANINGS)
    if error.status_code in _PASSING:
        kind, meaning = Unavailable, "a passing failure"
    elif error.status_code in _REFUSED and refused:
        meaning = refused
    code = f" {error.error_code}" if (error.error_code or "").isidentifier() else ""
    message = f"Pinecone answered {error.status_code}{code} to {doing}: {meaning}"
    if issubclass(kind, TransientError):
        answer = httpx.Response(error.status_code, headers=error.headers)
        return kind(message, retry_after=retry_after(answer))
    return kind(message)


def _cause(error: Exception) -> str:
    """httpx's name of what went wrong; messages may show addresses of proxies with their passwords."""
    return type(error.__cause__ or error).__name__
