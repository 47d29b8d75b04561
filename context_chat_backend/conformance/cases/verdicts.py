"""What is wrong with how the operations of a battery ended."""

from collections.abc import Iterator, Mapping, Sequence

from ...contract import DriverError, NotFound
from .base import expect
from .battery import QUOTED, Battery, Outcomes, Read, Write

SECRETS = ("PASSWORD", "SECRET", "TOKEN", "KEY")
SHORTEST_SECRET = 6


def expect_branches(battery: Battery, outcomes: Outcomes, *allowed: type[Exception]) -> None:
    """Every error is one of these, and whatever was answered is true."""
    problems = problems_of(battery, outcomes, allowed)
    expect(not problems, "; ".join(problems))


def problems_of(battery: Battery, outcomes: Outcomes, allowed: tuple[type[Exception], ...]) -> list[str]:
    """What is wrong with the errors and with the answers to questions."""
    operations: Sequence[Write | Read] = (*battery.writes, *battery.reads)
    problems = [problem for operation in operations for problem in _problems(operation, outcomes, allowed)]
    return [*problems, *_told_secrets(outcomes, battery.faults.plan.variables)]


def _problems(operation: Write | Read, outcomes: Outcomes, allowed: tuple[type[Exception], ...]) -> Iterator[str]:
    if (error := outcomes.errors.get(operation.name)) is not None:
        yield from _problems_of_error(operation, error, allowed)
    elif isinstance(operation, Read) and operation.name in outcomes.values:
        yield from _problems_of_value(operation, outcomes.values[operation.name])


def _problems_of_error(
    operation: Write | Read, error: Exception, allowed: tuple[type[Exception], ...]
) -> Iterator[str]:
    name, what = operation.name, type(error).__name__
    may_not_find = isinstance(operation, Write) and operation.may_not_find
    right = [each for each in allowed if may_not_find or each is not NotFound]
    if not isinstance(error, DriverError):
        yield f"{name} raised {what}, which is not a DriverError: {error}"
    elif not isinstance(error, tuple(right)) or (isinstance(error, NotFound) and not may_not_find):
        yield f"{name} raised {what} instead of {' or '.join(each.__name__ for each in right)}: {error}"
    if QUOTED in str(error):
        yield f"{name}: the message of its {what} quotes what the backend said"


def _problems_of_value(read: Read, value: object) -> Iterator[str]:
    if read.expected is None:
        yield f"{read.name} succeeded although the backend fails"
    elif value != read.expected:
        yield f"{read.name} answered {value} instead of an error; {read.expected} would be true"


def _told_secrets(outcomes: Outcomes, variables: Mapping[str, str]) -> Iterator[str]:
    values = [value for name, value in variables.items() if name.upper().endswith(SECRETS)]
    secrets = [value for value in values if len(value) >= SHORTEST_SECRET]
    for name, error in outcomes.errors.items():
        if any(secret in str(error) for secret in secrets):
            yield f"{name}: the message of its {type(error).__name__} tells a secret"
