"""Sizes and rates of docs.pinecone.io/reference/api/database-limits, and the clock that rates and lag go by."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from tests.doubles.pinecone.errors import Refusal

MAX_REQUEST_BYTES = 2 * 1024 * 1024
MAX_RESPONSE_BYTES = 4 * 1024 * 1024
MAX_METADATA_BYTES = 40 * 1024
"""Of one document, without full-text and vector fields. How to count is not recorded; here: names and JSON values."""
MAX_TEXT_BYTES = 100 * 1024
MAX_TEXT_TOKENS = 10_000
MAX_TOKEN_BYTES = 256
"""Longer tokens are cut off silently, says github.com/pinecone-io/skills; the limits page does not say."""
MAX_QUERY_BYTES = 10 * 1024
MAX_MATCH_TOKENS = 128
MAX_FIELD_NAME_BYTES = 64
MAX_IN_VALUES = 10_000
MIN_MAGNITUDE = 1e-8
"""A vector all of whose values are smaller counts as zero."""


class Clock:
    """Runs with the given time, by default the real one, until it is stopped; moves forward only."""

    def __init__(self, time: Callable[[], float] = time.monotonic) -> None:
        self._time = time
        self._ahead = 0.0
        self._stopped_at: float | None = None

    def now(self) -> float:
        return self._ahead + (self._time() if self._stopped_at is None else self._stopped_at)

    def advance(self, seconds: float) -> None:
        self._ahead += seconds

    def stop(self) -> None:
        """From here on only `advance` moves it."""
        self._stopped_at = self._time()


Name = Literal[
    "upsert requests",
    "upsert bytes",
    "search requests",
    "update requests",
    "update records",
    "update by filter",
    "update by filter of the index",
    "delete requests",
    "delete records",
    "delete records of the index",
    "delete by filter",
    "delete by filter of the index",
    "fetch requests",
    "fetch by filter",
    "list requests",
    "stats requests",
]


@dataclass(frozen=True)
class Limit:
    per_second: float
    scope: Literal["namespace", "index"]
    reached: str
    """What the message says was reached; `%s` stands for the namespace or the index."""
    pace: str


LIMITS: Mapping[Name, Limit] = {
    "upsert requests": Limit(100, "namespace", "the upsert QPS limit for namespace %s (100 QPS)", "upsert requests"),
    # the wording of this one and of "fetch by filter" is not recorded
    "upsert bytes": Limit(
        50 * 1024 * 1024, "namespace", "the max upsert size per second for namespace %s", "upsert requests"
    ),
    "search requests": Limit(
        100,
        "namespace",
        "the query QPS limit for namespace %s (100 QPS)",
        "queries, consider Dedicated Read Nodes for your index,",
    ),
    "update requests": Limit(100, "namespace", "the update QPS limit for namespace %s (100 QPS)", "update requests"),
    "update records": Limit(100, "namespace", "the max update records per second for namespace %s", "update requests"),
    "update by filter": Limit(
        5,
        "namespace",
        "the max update by metadata requests per second for namespace %s",
        "update by metadata requests",
    ),
    "update by filter of the index": Limit(
        500, "index", "the max update by metadata requests per second for index %s", "update by metadata requests"
    ),
    "delete requests": Limit(100, "namespace", "the delete QPS limit for namespace %s (100 QPS)", "delete requests"),
    "delete records": Limit(5000, "namespace", "the max delete records per second for namespace %s", "delete requests"),
    "delete records of the index": Limit(
        5000, "index", "the max delete records per second for index %s", "delete requests"
    ),
    "delete by filter": Limit(
        5,
        "namespace",
        "the max delete by metadata requests per second for namespace %s",
        "delete by metadata requests",
    ),
    "delete by filter of the index": Limit(
        500, "index", "the max delete by metadata requests per second for index %s", "delete by metadata requests"
    ),
    "fetch requests": Limit(100, "index", "the max fetch requests per second for index %s", "fetch requests"),
    "fetch by filter": Limit(
        5, "namespace", "the max fetch by metadata requests per second for namespace %s", "fetch by metadata requests"
    ),
    "list requests": Limit(200, "index", "the max list requests per second for index %s", "list requests"),
    "stats requests": Limit(
        100,
        "index",
        "the max describe_index_stats requests per second for index %s",
        "describe_index_stats requests",
    ),
}
SUPPORT = "Pinecone Support (https://app.pinecone.io/organizations/-/settings/support/ticket)"


@dataclass
class Bucket:
    per_second: float
    level: float
    filled: float

    def refill(self, now: float) -> None:
        # rounded, because the difference of two large readings is not exact
        gained = round((now - self.filled) * self.per_second, 6)
        self.level = min(self.per_second, self.level + gained)
        self.filled = now

    def allows(self, amount: float) -> bool:
        """What is more than a second's worth goes through a full bucket, and is waited for afterwards."""
        return self.level >= min(amount, self.per_second)


class Rates:
    """A token bucket for each limit and each namespace or index, one second deep."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[tuple[Name, str], Bucket] = {}
        self.enabled = True
        self.retry_after: float | None = None
        """In seconds, on every 429. The documentation does not promise this header."""

    def spend(self, index: str, namespace: str, costs: Mapping[Name, float]) -> None:
        """A refused request costs nothing."""
        if not self.enabled:
            return
        names = {"index": index, "namespace": namespace}
        buckets = {limit: self._bucket(limit, names[LIMITS[limit].scope]) for limit in costs}
        for limit, bucket in buckets.items():
            if not bucket.allows(costs[limit]):
                message = _message(LIMITS[limit], names[LIMITS[limit].scope])
                raise Refusal(429, message, retry_after=self.retry_after)
        for limit, bucket in buckets.items():
            bucket.level -= costs[limit]

    def _bucket(self, limit: Name, name: str) -> Bucket:
        per_second, now = LIMITS[limit].per_second, self._clock.now()
        bucket = self._buckets.setdefault((limit, name), Bucket(per_second, per_second, now))
        bucket.refill(now)
        return bucket


def _message(limit: Limit, name: str) -> str:
    reached = limit.reached % name
    advice = f"Pace your {limit.pace} or contact {SUPPORT} to request a higher limit."
    return f"Request failed. You've reached {reached}. {advice}"
