"""Searches in a store of some size, by users who may read much or little of it."""

import re
from collections.abc import Sequence

from .corpus import CHUNKS_PER_DOCUMENT, Corpus
from .processes import Client, Server
from .report import Table
from .scale import Scale
from .store import ALL, HUNDREDTH, NOBODY, SINGLE, readers
from .timing import Call, Times, over_rounds, p50, p95, take_turns

MAY_READ = {NOBODY: "nothing (baseline)", SINGLE: "one document", HUNDREDTH: "1 %", ALL: "everything"}
WARM_UP = 3
HEAD = ("chunks stored", "may read", "in chunks", "p50 ms", "p95 ms", "ratio of p50", "backend searches per request")

_SEARCHES = re.compile(r'^ccb_operation_seconds_count\{[^}]*operation="search"[^}]*\} (\S+)$', re.MULTILINE)


def measure_searches(gateway: Server, corpus: Corpus, chunks: int, scale: Scale) -> list[tuple[str, ...]]:
    """A row per user. All users ask the same questions, but for a number: the gateway keeps the embeddings of the last
    ones, and the user who asks first would pay for the others."""
    with gateway.connect() as client:
        calls = {user: _asking(client, corpus, user) for user in MAY_READ}
        take_turns(calls, range(WARM_UP))
        rounds = [
            take_turns(calls, range(number * scale.searches, (number + 1) * scale.searches))
            for number in range(scale.rounds)
        ]
        searches = {user: _searches_per_request(client, call, scale.searches) for user, call in calls.items()}
    return [_row(user, chunks, rounds, searches[user]) for user in MAY_READ]


def search_table(rows: Sequence[Sequence[str]]) -> Table:
    """The rows of all sizes."""
    return Table("search", HEAD, rows, text_columns=2)


def _asking(client: Client, corpus: Corpus, user: str) -> Call:
    number = 1000 * (1 + list(MAY_READ).index(user))
    return lambda turn: client.post("/docSearch", userId=user, query=f"{corpus.question(turn)} {number + turn}")


def _row(user: str, chunks: int, rounds: Sequence[Times], searches: float) -> tuple[str, ...]:
    documents = sum(user in readers(number) for number in range(chunks // CHUNKS_PER_DOCUMENT))
    return (
        f"{chunks:,}",
        MAY_READ[user],
        f"{documents * CHUNKS_PER_DOCUMENT:,}",
        f"{over_rounds(rounds, lambda times: p50(times[user])):.1f}",
        f"{over_rounds(rounds, lambda times: p95(times[user])):.1f}",
        f"{over_rounds(rounds, lambda times: p50(times[user]) / p50(times[NOBODY])):.1f}",
        f"{searches:.1f}",
    )


def _searches_per_request(client: Client, call: Call, requests: int) -> float:
    """A search that finds too few distinct sources is repeated with a larger limit."""
    before = _searches(client)
    for turn in range(requests):
        call(turn)
    return (_searches(client) - before) / requests


def _searches(client: Client) -> float:
    return sum(map(float, _SEARCHES.findall(client.get("/metrics").decode())))
