"""What a case is, and how it says that a promise is broken."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..kit import Kit

REMEDY = "If this fails: "


@dataclass(frozen=True, slots=True)
class Case:
    """One promise and the code that checks it."""

    group: str
    name: str
    run: Callable[[Kit], Awaitable[None]]

    @property
    def promise(self) -> str:
        """The first line of the docstring."""
        return (self.run.__doc__ or "").partition("\n")[0]

    @property
    def remedy(self) -> str:
        """What the author of a driver has to do: the docstring from `REMEDY` on, in one line."""
        return " ".join((self.run.__doc__ or "").partition(REMEDY)[2].split())


CASES: list[Case] = []
"""In the order in which they run."""


def case(group: str) -> Callable[[Callable[[Kit], Awaitable[None]]], Callable[[Kit], Awaitable[None]]]:
    """Register a case."""

    def register(run: Callable[[Kit], Awaitable[None]]) -> Callable[[Kit], Awaitable[None]]:
        CASES.append(Case(group, run.__name__, run))
        return run

    return register


def expect(condition: bool, advice: str) -> None:
    """Fail with advice. `assert` would vanish under `python -O`."""
    if not condition:
        raise AssertionError(advice)


async def expect_error(error: type[Exception], call: Awaitable[object], advice: str) -> None:
    """The call raises this error."""
    try:
        await call
    except error:
        return
    raise AssertionError(advice)


async def name_of_error(call: Awaitable[object], *errors: type[Exception]) -> str | None:
    """Which of these errors the call raises, None for none; any other one is passed on."""
    try:
        await call
    except errors as error:
        return type(error).__name__
    return None
