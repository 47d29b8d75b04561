"""What a driver may raise. The branch says who has to act; docs/contract.md gives the HTTP side.

    DriverError
    ├── TransientError      nobody: wait and repeat
    │   ├── Busy            the backend or the gate is full
    │   ├── Unavailable     the backend cannot be reached or failed for a passing reason
    │   └── Overtaken       something else happened to the source meanwhile: never repeated in process
    ├── PermanentError      repeating the same call cannot help
    │   ├── Rejected        the source: it can never be indexed as it is
    │   │   └── BeyondReader    but what reads it may be able to, another time
    │   ├── NotFound        nobody: the source of an access change is unknown
    │   └── Unsupported     the caller: the driver did not declare this capability
    └── Misconfigured       the admin: credentials, versions, dimensions

Anything else that leaves a driver is a bug of that driver; a source is then kept for another try.
"""


class DriverError(Exception):
    """Base of everything a driver raises on purpose. The message is shown to admins and never holds document text."""


class TransientError(DriverError):
    """The same call may succeed later.

    `retry_after` is the number of seconds the backend asked to wait, None where it did not say.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Busy(TransientError):
    """No capacity right now."""


class Unavailable(TransientError):
    """Not reachable, timed out, or failed in a way that passes."""


class Overtaken(TransientError):
    """Something else happened to the source while it was being indexed. It has to be sent again, with what is true
    then: repeating the call with the same readers might undo a revocation."""


class PermanentError(DriverError):
    """Repeating the same call gives the same result."""


class Rejected(PermanentError):
    """This source can never be indexed as it is: no text, damaged, encrypted, too large, type not supported."""


class BeyondReader(Rejected):
    """Nothing here can read it, and something else may: a later version, or one that is given more to work with.

    `reader` names what gave up, as `toolkit.indexing.extract.reader` does; it is empty where nothing knew the type.
    """

    def __init__(self, message: str, *, reader: str = "") -> None:
        super().__init__(message)
        self.reader = reader


class NotFound(PermanentError):
    """The source of an access change is not stored. Raised by `set_access` and `update_access` only."""


class Unsupported(PermanentError):
    """The driver does not declare the capability that this call needs."""


class Misconfigured(DriverError):
    """Only an admin can fix this; the message says what and where."""
