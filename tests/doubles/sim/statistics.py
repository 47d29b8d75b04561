"""What the client asked for. All times are the wall clock's, not the travelled ones."""

import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

REMEMBERED = 200_000


class Exchange(NamedTuple):
    at: float
    route: str
    """With the method."""
    status: int


@dataclass
class RouteReport:
    first: float
    last: float
    statuses: Counter[str] = field(default_factory=Counter)
    per_second: Counter[int] = field(default_factory=Counter)
    last_10_s: int = 0

    def count(self, exchange: Exchange, now: float) -> None:
        self.last = exchange.at
        self.statuses[str(exchange.status)] += 1
        self.per_second[int(exchange.at)] += 1
        self.last_10_s += exchange.at > now - 10

    def as_json(self, now: float) -> dict[str, Any]:
        requests = self.statuses.total()
        return {
            "requests": requests,
            "status": dict(self.statuses),
            "last_10_s": self.last_10_s,
            "per_second": round(requests / max(self.last - self.first, 1.0), 3),
            "max_in_a_second": max(self.per_second.values()),
            "seconds_since_last": round(now - self.last, 1),
        }


class Statistics:
    def __init__(self) -> None:
        self.violations: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        """The first of each violation."""
        self.leases: Counter[str] = Counter()
        """How often `files:11` was handed out."""
        self.fetched: Counter[int] = Counter()
        """Bodies sent, by file id."""
        self.results: Counter[int] = Counter()
        """Results accepted, by task id."""
        self.acks: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.exchanges: deque[Exchange] = deque(maxlen=REMEMBERED)

    def request(self, route: str, method: str, status: int, fault: str) -> None:
        self.exchanges.append(Exchange(time.time(), f"{method} {route}", status))
        if fault:
            self.faults[fault] += 1

    def violation(self, what: str, detail: str = "") -> None:
        self.violations[what] += 1
        self.examples.setdefault(what, detail)

    def report(self, since: float = 0.0) -> dict[str, Any]:
        return {
            "routes": self._routes(since),
            "leased_more_than_once": _repeated(self.leases),
            "fetched_more_than_once": _repeated(self.fetched),
            "results_more_than_once": _repeated(self.results),
            "acks": dict(self.acks),
            "faults_fired": dict(self.faults),
            "violations": dict(self.violations),
            "violation_examples": self.examples,
        }

    def _routes(self, since: float) -> dict[str, dict[str, Any]]:
        now = time.time()
        routes: dict[str, RouteReport] = {}
        for exchange in self.exchanges:
            if exchange.at < since:
                continue
            routes.setdefault(exchange.route, RouteReport(exchange.at, exchange.at)).count(exchange, now)
        return {route: report.as_json(now) for route, report in routes.items()}


def _repeated(counter: Mapping[Any, int]) -> dict[Any, int]:
    return {what: count for what, count in counter.items() if count > 1}
