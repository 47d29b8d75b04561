"""What may go wrong between a client and Nextcloud, made to happen.

| kind | what happens |
|---|---|
| `status` | this `status` instead, in an envelope (`message`, `data`, `retry_after`) |
| `maintenance` | 503 with the header of the maintenance mode |
| `html` | a proxy's error page with this `status` |
| `reset` | the connection breaks before anything is done |
| `lost` | it is done, but the connection breaks in place of the answer |
| `truncate` | the body ends early, cleanly, after `at` bytes |
| `cut` | the body ends early, by a reset, after `at` bytes |
| `slow` | the body comes in pieces of `chunk` bytes, one every `delay` seconds |
| `stall` | nothing happens for `delay` seconds |
| `late` | it is done at once and answered after `delay` seconds |
"""

import random
import re
from dataclasses import dataclass
from typing import Any

from tests.doubles.sim.http import Request, Response

KINDS = ("status", "maintenance", "reset", "lost", "truncate", "cut", "slow", "stall", "late", "html")
PROXY_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


@dataclass
class Fault:
    kind: str
    path: re.Pattern[str]
    """Looked for in the target, which has the query."""
    method: str
    """An empty one is any."""
    times: int | None
    """None: always."""
    probability: float
    skip: int
    """So many requests that match are spared before."""
    args: dict[str, Any]
    fired: int = 0

    def concerns(self, request: Request) -> bool:
        if self.times is not None and self.fired >= self.times:
            return False
        return self.method in {"", request.method} and self.path.search(request.target) is not None


class Faults:
    """The first rule that fires decides."""

    def __init__(self, seed: int = 1) -> None:
        self._rules: list[Fault] = []
        self._random = random.Random(seed)

    def add(
        self,
        kind: str,
        path: str = "",
        method: str = "",
        times: int | None = 1,
        p: float = 1.0,
        skip: int = 0,
        **args: Any,
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"unknown fault {kind!r}, one of {', '.join(KINDS)}")
        self._rules.append(Fault(kind, re.compile(path), method.upper(), times, p, skip, args))

    def clear(self) -> None:
        self._rules.clear()

    def pick(self, request: Request) -> Fault | None:
        """What shall happen to this request."""
        for rule in self._rules:
            if not rule.concerns(request):
                continue
            if rule.skip > 0:
                rule.skip -= 1
            elif self._random.random() < rule.probability:
                rule.fired += 1
                return rule
        return None


def proxy_page(fault: Fault) -> Response:
    return Response(fault.args.get("status", 502), PROXY_PAGE, {"Content-Type": "text/html"})


def shortened(fault: Fault, response: Response) -> Response:
    """The body has no length any more, so that only the size that Nextcloud told shows what is missing."""
    at = min(fault.args.get("at", len(response.body) // 2), max(len(response.body) - 1, 0))
    is_cut = fault.kind == "cut"
    short = Response(response.status, response.body, response.headers, True, response.before, at=at, abort=is_cut)
    if short.is_reset:
        short.at = None
    return short


def slowed(fault: Fault, response: Response) -> Response:
    response.piece, response.delay = fault.args.get("chunk", 1024), fault.args.get("delay", 0.05)
    return response
