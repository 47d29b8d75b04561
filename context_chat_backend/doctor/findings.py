"""How the doctor says what it found."""

import traceback
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from ..contract import DriverError, Finding, Level, Misconfigured, TransientError

Check = Callable[[], Awaitable[Sequence[Finding]]]


async def guarded(subject: str, check: Check) -> Sequence[Finding]:
    """What the check finds; if it raises, that is the finding."""
    try:
        return await check()
    except DriverError as error:
        return [failure(subject, error)]
    except Exception as error:  # noqa: BLE001 - the doctor goes on with the next subject whatever happens
        return [bug(subject, error)]


def ok(subject: str, text: str) -> Finding:
    """Nothing to do."""
    return Finding(level=Level.OK, subject=subject, text=text)


def warning(subject: str, text: str, remedy: str) -> Finding:
    """It works, but not as well as it could."""
    return Finding(level=Level.WARNING, subject=subject, text=text, remedy=remedy)


def problem(subject: str, text: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(level=Level.ERROR, subject=subject, text=text, remedy=remedy)


def failure(subject: str, error: DriverError) -> Finding:
    """A problem in the words of an error."""
    match error:
        case Misconfigured():
            remedy = "Do what the message says; docs/configuration.md explains variables, docs/backends the backends."
        case TransientError():
            remedy = "Check that it is running and can be reached from this machine. A gateway keeps trying by itself."
        case _:
            remedy = "See the message."
    return problem(subject, str(error), remedy)


def bug(subject: str, error: Exception) -> Finding:
    """The check itself crashed."""
    # without the message, which may hold a password
    frame = traceback.extract_tb(error.__traceback__)[-1]
    text = f"the check failed: {type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}"
    return problem(subject, text, "This is a bug in the gateway or in the driver: please report it.")
