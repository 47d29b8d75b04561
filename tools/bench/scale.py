"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Numbers of things, so that a smoke run can be small. Every figure is the median over `rounds`."""

    rounds: int
    topics: int
    store_chunks: tuple[int, ...]
    """Sizes that the store is grown to, one after the other."""
    searches: int
    """Per round and user."""
    requests: int
    """Per round and kind of request, for the overhead."""
    small_sources: int
    """Per round."""
    cached_sources: int
    """That a re-scan meets."""
    documents: int
    """Of about 3 KB, per round."""
    access_changes: int
    """Per round by the pull contract; a twentieth of them by the push contract."""
    busy_documents: int
    """That wait in the queue while `searches` questions are asked."""
    crowd: int
    """Questions that come at once."""


FULL = Scale(
    rounds=5,
    topics=1000,
    store_chunks=(10_000, 100_000),
    searches=40,
    requests=400,
    small_sources=200,
    cached_sources=100_000,
    documents=40,
    access_changes=10_000,
    busy_documents=200,
    crowd=200,
)
QUICK = Scale(
    rounds=2,
    topics=50,
    store_chunks=(1_000,),
    searches=5,
    requests=20,
    small_sources=25,
    documents=4,
    cached_sources=2_000,
    access_changes=1_000,
    busy_documents=50,
    crowd=40,
)
