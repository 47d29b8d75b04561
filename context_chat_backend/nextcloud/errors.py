"""What calls to Nextcloud may raise, in words of their own: to a driver `NotFound` and `Rejected` are about a source.

NextcloudError
├── TryLater       Nextcloud cannot answer now: away, in maintenance, busy, or it failed
├── NotAccepted    it does not accept this app: wrong id or secret, or not registered
├── NoProvider     nobody there takes this kind of task
├── Refused        it understood the call and refuses it for good
└── Missing        it does not know this route or object
"""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from ..toolkit.http import AnswerTooLarge, name_of, retry_after


class NextcloudError(Exception):
    """Base of all. The message is shown to admins and never holds credentials or text of users."""


class TryLater(NextcloudError):
    """The same call may succeed later; `retry_after` is how many seconds Nextcloud asked to wait, None if it did
    not."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotAccepted(NextcloudError):
    """Nextcloud does not accept this app."""


class NoProvider(NextcloudError):
    """No app in Nextcloud takes this kind of task."""


class Refused(NextcloudError):
    """Nextcloud refuses what was sent."""


class Missing(NextcloudError):
    """Nextcloud does not know what the call names."""


@contextmanager
def nextcloud_errors() -> Iterator[None]:
    """Turn what httpx raises, `raise_for_status` included, into these."""
    try:
        yield
    except httpx.HTTPStatusError as exc:
        raise _of_status(exc.response) from None  # httpx's message shows the password of a URL
    except (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as exc:
        raise NotAccepted(f"{name_of(exc.request)} cannot be sent: {type(exc).__name__}") from None
    except AnswerTooLarge as exc:
        raise TryLater(str(exc)) from None
    except httpx.RequestError as exc:
        raise TryLater(f"{name_of(exc.request)} failed: {type(exc).__name__}") from exc


def _of_status(response: httpx.Response) -> NextcloudError:
    message = f"{name_of(response.request)} answered {response.status_code}"
    match response.status_code:
        case 400:
            return Refused(message)
        case 404:
            return Missing(message)
        case 408 | 409 | 425 | 429:
            return TryLater(message, retry_after=retry_after(response))
        case code if response.is_server_error:
            return TryLater(f"{message}{_maintenance(code)}", retry_after=retry_after(response))
        case _:  # 412: "ExApp required": a wrong secret, or the app is not enabled in Nextcloud
            return NotAccepted(message)


def _maintenance(code: int) -> str:
    return ", perhaps in maintenance" if code == httpx.codes.SERVICE_UNAVAILABLE else ""


def error_of_envelope(code: int) -> NextcloudError:
    """What a status in an OCS envelope means: v1 answers HTTP 200 and hides the status there; 997 is its word for
    unauthorised, 998 for not found."""
    match code:
        case 400:
            return Refused("Nextcloud refuses the request")
        case 401 | 403 | 997:
            return NotAccepted("Nextcloud does not accept this app: check APP_ID and APP_SECRET")
        case 404 | 998:
            return Missing("Nextcloud does not know this route or object")
        case 412:
            return NoProvider(
                "Nextcloud has no provider for this kind of task: install an app that provides it, or set CC_GENERATOR"
            )
        case 429:
            return TryLater("Nextcloud limits the rate of requests")
        case _:
            return TryLater(f"Nextcloud answered OCS status {code}")
