"""What may go wrong on the way, made to happen."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Literal

from tests.doubles.postgrest.replies import Reply, json_reply

LONGEST_WAIT = 30.0


@dataclass(frozen=True)
class Drop:
    """The connection is closed without an answer, before the function is called or when it has committed."""

    when: Literal["before", "after"] = "before"


@dataclass(frozen=True)
class Stall:
    """Nothing more comes until `release`: the function is not called yet, or half of its answer has been sent."""

    at: Literal["call", "body"] = "call"
    reached: Event = field(default_factory=Event)
    _released: Event = field(default_factory=Event)

    def release(self) -> None:
        self._released.set()

    def wait(self) -> None:
        self.reached.set()
        self._released.wait(LONGEST_WAIT)


Fault = Reply | Drop | Stall
"""A reply is given in place of PostgREST's."""


def gateway_page(status: int, text: str = "") -> Reply:
    """HTML, as proxies answer."""
    page = f"<html><head><title>{status} {text}</title></head><body><h1>{text}</h1></body></html>"
    return Reply(status, page.encode(), {"Content-Type": "text/html; charset=UTF-8"})


BAD_GATEWAY = gateway_page(502, "Bad Gateway")
UNAVAILABLE = gateway_page(503, "Service Temporarily Unavailable")
TOO_LARGE = gateway_page(413, "Request Entity Too Large")
GARBAGE = gateway_page(200, "Please log in")
"""As of a captive portal, or of a proxy that wants a login."""
RATE_LIMITED = json_reply(429, {"message": "API rate limit exceeded"}, {"Retry-After": "30"})


@dataclass(frozen=True)
class _Scripted:
    fault: Fault
    function: str | None

    def concerns(self, function: str) -> bool:
        return self.function in {None, function}


class Faults:
    """`next` go before `standing` ones."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._next: deque[_Scripted] = deque()
        self._standing: list[_Scripted] = []
        self._stalls: list[Stall] = []

    def add(self, fault: Fault, times: int, function: str | None) -> None:
        self._note(fault)
        with self._lock:
            self._next.extend([_Scripted(fault, function)] * times)

    @contextmanager
    def standing(self, fault: Fault, function: str | None) -> Iterator[None]:
        self._note(fault)
        scripted = _Scripted(fault, function)
        with self._lock:
            self._standing.append(scripted)
        try:
            yield
        finally:
            with self._lock:
                self._standing.remove(scripted)

    def take(self, function: str) -> Fault | None:
        """What shall happen to this call."""
        with self._lock:
            for scripted in self._next:
                if scripted.concerns(function):
                    self._next.remove(scripted)
                    return scripted.fault
            return next((each.fault for each in self._standing if each.concerns(function)), None)

    def release(self) -> None:
        """Everything that stalls goes on."""
        for stall in self._stalls:
            stall.release()

    def _note(self, fault: Fault) -> None:
        if isinstance(fault, Stall):
            self._stalls.append(fault)
