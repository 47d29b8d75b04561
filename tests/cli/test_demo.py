"""The demo can be stopped, however it was started."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from context_chat_backend.cli.own_gateway import Handler, signals_handled_by


@contextmanager
def disposition(number: signal.Signals, handler: Handler) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize(
    ("number", "handler"),
    [
        (signal.SIGINT, signal.SIG_IGN),  # as a shell has it for what runs in the background
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGTERM, signal.SIG_IGN),
        (signal.SIGTERM, signal.SIG_DFL),
        (signal.SIGHUP, signal.SIG_DFL),
    ],
)
def test_what_asks_it_to_stop_stops_it(number: signal.Signals, handler: Handler) -> None:
    with disposition(number, handler), pytest.raises(KeyboardInterrupt), signals_handled_by(signal.default_int_handler):
        signal.raise_signal(number)


def test_under_nohup_it_outlives_its_terminal() -> None:
    with disposition(signal.SIGHUP, signal.SIG_IGN), signals_handled_by(signal.default_int_handler):
        signal.raise_signal(signal.SIGHUP)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_impatience_does_not_interrupt_the_stopping(number: signal.Signals) -> None:
    with disposition(number, signal.default_int_handler), signals_handled_by(signal.default_int_handler):
        with signals_handled_by(signal.SIG_IGN):
            signal.raise_signal(number)
        assert signal.getsignal(number) is signal.default_int_handler
