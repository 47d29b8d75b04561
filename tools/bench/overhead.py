"""What the gateway costs by itself: with a driver that does nothing, against a server that does nothing."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from context_chat_backend.nextcloud.push_client import part

from .processes import Client, Server
from .report import Table
from .scale import Scale
from .timing import Times, compared, over_rounds, p50, rate, take_turns

CONNECTIONS = 4
SOURCES, SOURCE_BYTES = 25, 4096
GATEWAY, BARE = "gateway", "bare"
HEAD = (
    "request",
    "gateway p50 ms",
    "bare p50 ms",
    "difference ms",
    "ratio of p50",
    "gateway requests/s",
    "bare requests/s",
    "ratio of requests/s",
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of request: its name and how to make the one of some number."""

    name: str
    send: Callable[[Client, int], object]
    cost: int = 1
    """How many of the cheapest ones take about as long."""


def _search(client: Client, number: int) -> None:
    client.post("/docSearch", userId="alice", query=f"What is the answer to question {number}?")


def _allow(client: Client, number: int) -> None:
    client.post("/updateAccess", op="allow", userIds=["alice"], sourceId=f"files__default: {number}")


def _load(client: Client, number: int) -> None:
    # never seen before: the hash cache has to look and to remember
    first = number * SOURCES
    client.load(part(f"files__default: {first + index}", _CONTENT) for index in range(SOURCES))


_CONTENT = b"x" * SOURCE_BYTES
KINDS = (
    Kind("`/docSearch`", _search),
    Kind("`/updateAccess`", _allow),
    Kind(f"`/loadSources`, {SOURCES} of {SOURCE_BYTES // 1024} KiB", _load, cost=4),
)


def measure_overhead(gateway: Server, bare: Server, scale: Scale) -> Table:
    """A row per kind of request."""
    return Table("overhead", HEAD, [_measure(kind, {GATEWAY: gateway, BARE: bare}, scale) for kind in KINDS])


def _measure(kind: Kind, servers: Mapping[str, Server], scale: Scale) -> tuple[str, ...]:
    count = scale.requests // kind.cost
    numbers = itertools.count()
    _latencies(kind, servers, count, numbers)  # warms up
    latencies = [_latencies(kind, servers, count, numbers) for _ in range(scale.rounds)]
    rates = [
        (_rate(kind, servers[BARE], count, numbers), _rate(kind, servers[GATEWAY], count, numbers))
        for _ in range(scale.rounds)
    ]
    bare_rate, gateway_rate, rate_ratio = compared(rates)
    return (
        kind.name,
        f"{over_rounds(latencies, lambda times: p50(times[GATEWAY])):.2f}",
        f"{over_rounds(latencies, lambda times: p50(times[BARE])):.2f}",
        f"{over_rounds(latencies, lambda times: p50(times[GATEWAY]) - p50(times[BARE])):.2f}",
        f"{over_rounds(latencies, lambda times: p50(times[GATEWAY]) / p50(times[BARE])):.1f}",
        f"{gateway_rate:.0f}",
        f"{bare_rate:.0f}",
        f"{rate_ratio:.2f}",
    )


def _latencies(kind: Kind, servers: Mapping[str, Server], count: int, numbers: "itertools.count[int]") -> Times:
    with servers[GATEWAY].connect() as gateway, servers[BARE].connect() as bare:
        calls = {
            GATEWAY: lambda number: kind.send(gateway, number),
            BARE: lambda number: kind.send(bare, number),
        }
        return take_turns(calls, itertools.islice(numbers, count))


def _rate(kind: Kind, server: Server, count: int, numbers: "itertools.count[int]") -> float:
    """Requests per second over several connections at once."""
    todo = list(itertools.islice(numbers, count))
    shares = [todo[start::CONNECTIONS] for start in range(CONNECTIONS)]
    return rate(count, *(_worker(kind, server, share) for share in shares))


def _worker(kind: Kind, server: Server, numbers: Sequence[int]) -> Callable[[], None]:
    def work() -> None:
        with server.connect() as client:
            for number in numbers:
                kind.send(client, number)

    return work
