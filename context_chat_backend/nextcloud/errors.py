"""What calls to Nextcloud may raise, in words of their own: to a driver `NotFound` and `Rejected` are about a source.

NextcloudError
├── TryLater       Nextcloud cannot answer now: away, in maintenance, busy
│   └── Failed     it met an error of its own
├── NotAccepted    it does not accept this app: wrong id or secret, or not registered
├── NoProvider     nobody there takes this kind of task
├── TaskFailed     its model could not do a task
├── Refused        it understood the call and refuses it for good
└── Missing        it does not know this object
    └── NoRoute    it does not know this route: the app behind it is not there, or too old
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from types import MappingProxyType

import httpx

from ..contract import DriverError, Misconfigured, Rejected, Unavailable
from ..toolkit.http import AnswerTooLarge, name_of, retry_after

NOT_ACCEPTED = "Nextcloud does not accept this app: check APP_ID and APP_SECRET"


class NextcloudError(Exception):
    """Base of all. The message is shown to admins and never holds credentials or text of users."""


class TryLater(NextcloudError):
    """The same call may succeed later; `retry_after` is how many seconds Nextcloud asked to wait, None if it did
    not."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Failed(TryLater):
    """Nextcloud met an error of its own; the same call may fail forever."""


class NotAccepted(NextcloudError):
    """Nextcloud does not accept this app."""


class NoProvider(NextcloudError):
    """No app in Nextcloud takes this kind of task."""


class TaskFailed(NextcloudError):
    """A model of Nextcloud took the task and could not do it."""


class Refused(NextcloudError):
    """Nextcloud refuses what was sent."""


class Missing(NextcloudError):
    """Nextcloud does not know what the call names."""


class NoRoute(Missing):
    """Nextcloud does not know this route."""


def as_driver_error(error: NextcloudError) -> DriverError:
    """The same in the words of the contract: for work that fails because Nextcloud did."""
    match error:
        case TryLater(retry_after=seconds):
            return Unavailable(str(error), retry_after=seconds)
        case NotAccepted() | NoProvider():
            return Misconfigured(str(error))
        case Refused():
            return Rejected(str(error))
        case _:
            return Unavailable(str(error))


@contextmanager
def nextcloud_errors() -> Iterator[None]:
    """Turn what httpx raises, `raise_for_status` included, into these."""
    try:
        yield
    except httpx.HTTPStatusError as exc:
        raise _of_status(exc.response) from None  # httpx's message shows the password of a URL
    except (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as exc:
        raise NotAccepted(f"{name_of(exc.request)} cannot be sent: {type(exc).__name__}") from None
    except AnswerTooLarge as exc:  # what was asked for may have been done
        raise Failed(str(exc)) from None
    except httpx.RequestError as exc:
        raise TryLater(f"{name_of(exc.request)} failed: {type(exc).__name__}{_cause(exc)}") from exc


def _cause(error: httpx.RequestError) -> str:
    """What the system says, e.g. that a name is not known or a connection was refused."""
    return f" ({error})" if isinstance(error, httpx.ConnectError) and str(error) else ""


_STATUS_ERRORS: Mapping[int, type[NextcloudError]] = MappingProxyType(
    {
        400: Refused,
        405: NoRoute,
        408: TryLater,
        409: TryLater,
        413: Refused,
        422: Refused,
        425: TryLater,
        429: TryLater,
        500: Failed,
    }
)
"""Of an HTTP answer. All others: 5xx is `TryLater`, the rest `NotAccepted`, also 412 without an envelope, which is
"ExApp required": a wrong secret, a user who is gone, or the app is not enabled in Nextcloud."""

_ENVELOPE_ERRORS: Mapping[int, NextcloudError] = MappingProxyType(
    {
        400: Refused("Nextcloud refuses the request"),
        401: NotAccepted(NOT_ACCEPTED),
        403: NotAccepted(NOT_ACCEPTED),
        404: Missing("Nextcloud does not know what was asked for"),
        412: NoProvider(
            "Nextcloud has no provider for this kind of task: install an app that provides it, or set CC_GENERATOR"
        ),
        429: TryLater("Nextcloud limits the rate of requests"),
        997: NotAccepted(NOT_ACCEPTED),  # OCS's own word for it
        998: NoRoute("Nextcloud does not know this route"),
    }
)


def _of_status(response: httpx.Response) -> NextcloudError:
    code, message = response.status_code, f"{name_of(response.request)} answered {response.status_code}"
    if code == httpx.codes.NOT_FOUND:
        return (Missing if ocs_status(response) == code else NoRoute)(message)
    if code == httpx.codes.UNAUTHORIZED and ocs_status(response) == code:  # a failed login is 997
        return Refused(message)
    if code == httpx.codes.PRECONDITION_FAILED and ocs_status(response) == code:  # of v2, which hides nothing
        return error_of_envelope(code)
    error = _STATUS_ERRORS.get(code, TryLater if response.is_server_error else NotAccepted)
    if issubclass(error, TryLater):
        return error(f"{message}{_maintenance(code)}", retry_after=retry_after(response))
    return error(message)


def _maintenance(code: int) -> str:
    return ", perhaps in maintenance" if code == httpx.codes.SERVICE_UNAVAILABLE else ""


def error_of_envelope(code: int) -> NextcloudError:
    """What a status in an OCS envelope means: v1 answers HTTP 200 and hides the status there."""
    return copy(_ENVELOPE_ERRORS.get(code) or Failed(f"Nextcloud answered OCS status {code}"))


def ocs_status(response: httpx.Response) -> int | None:
    """The status in the envelope of an answer; None where it has none."""
    try:
        body = response.json()
    except ValueError:
        return None
    match body:
        case {"ocs": {"meta": {"statuscode": int(code)}}}:
            return code
        case _:
            return None
