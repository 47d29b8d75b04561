import logging

import pytest

from context_chat_backend.logs import MOST_REPEATING, REPEAT_SECONDS, Repeats


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def repeats(clock: Clock) -> Repeats:
    return Repeats(clock)


def record(text: str = "%s is full", level: int = logging.ERROR, error: Exception | None = None) -> logging.LogRecord:
    exc_info = (type(error), error, None) if error is not None else None
    return logging.LogRecord("some.logger", level, __file__, 1, text, ("the disk",), exc_info)


def test_an_error_that_repeats_is_one_line_a_minute_that_says_how_often(repeats: Repeats, clock: Clock) -> None:
    assert repeats.filter(record())
    assert not any(repeats.filter(record()) for _ in range(1234))
    clock.now += REPEAT_SECONDS
    later = record()
    assert repeats.filter(later)
    assert logging.Formatter("%(message)s%(repeated)s").format(later) == (
        "the disk is full (1,234 more like this were not logged)"
    )
    assert not repeats.filter(record())


def test_other_errors_are_logged_meanwhile(repeats: Repeats) -> None:
    others = [
        record(),
        record("%s is not full"),
        record(level=logging.WARNING),
        record(error=ValueError("a")),
        record(error=ValueError("b")),
    ]
    assert all(map(repeats.filter, others))
    assert not any(map(repeats.filter, others))


def test_what_is_no_problem_is_always_logged(repeats: Repeats) -> None:
    assert all(repeats.filter(record(level=logging.INFO)) for _ in range(3))


def test_it_remembers_so_many_only(repeats: Repeats) -> None:
    assert all(repeats.filter(record(f"%s {number}")) for number in range(MOST_REPEATING + 1))
    assert repeats.filter(record("%s 0"))
    assert not repeats.filter(record(f"%s {MOST_REPEATING}"))
