"""From hits to the sources that hold them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..contract import Hit, Query, SourceId
from .pipeline import Search

MOST_HITS = 1_000
"""The most chunks fetched to find enough distinct sources."""


@dataclass(frozen=True, slots=True)
class FoundSource:
    """A source found by a search."""

    source_id: SourceId
    title: str


async def find_sources(ordered: Search, plain: Search, query: Query) -> Sequence[FoundSource]:
    """Distinct sources, best first, at most `query.limit`: those of the `ordered` search, which may ask models, and
    where they are too few, of a longer `plain` one. Raises what these raise."""
    search, limit, known = ordered, query.limit, list[Hit]()
    while True:
        limit = min(limit * 3, MOST_HITS)
        hits = await search(replace(query, limit=limit))
        known += hits
        found = _distinct(known)
        if len(found) >= query.limit or len(hits) < limit or limit >= MOST_HITS:
            return found[: query.limit]
        search = plain


def _distinct(hits: Sequence[Hit]) -> list[FoundSource]:
    titles = {hit.source_id: hit.title for hit in reversed(hits)}
    return [FoundSource(source_id, titles[source_id]) for source_id in dict.fromkeys(hit.source_id for hit in hits)]
