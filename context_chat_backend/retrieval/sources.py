"""From hits to the sources that hold them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..contract import Driver, Hit, Query, SourceId

MOST_HITS = 1_000
"""The most chunks fetched to find enough distinct sources."""


@dataclass(frozen=True, slots=True)
class FoundSource:
    """A source found by a search."""

    source_id: SourceId
    title: str


async def find_sources(driver: Driver, query: Query) -> Sequence[FoundSource]:
    """Distinct sources, best first, at most `query.limit`. Raises what `Driver.search` raises."""
    limit = query.limit
    while True:
        limit = min(limit * 3, MOST_HITS)
        hits = await driver.search(replace(query, limit=limit))
        found = _distinct(hits)
        if len(found) >= query.limit or len(hits) < limit or limit >= MOST_HITS:
            return found[: query.limit]


def _distinct(hits: Sequence[Hit]) -> list[FoundSource]:
    titles = {hit.source_id: hit.title for hit in reversed(hits)}
    return [FoundSource(source_id, titles[source_id]) for source_id in dict.fromkeys(hit.source_id for hit in hits)]
