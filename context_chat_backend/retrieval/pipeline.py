"""From a question to the chunks that its answer is built on: searches around the search of the backend."""

from collections.abc import Awaitable, Callable, Sequence

from ..contract import Hit, Query

Search = Callable[[Query], Awaitable[Sequence[Hit]]]
"""The best chunks for a question, best first, at most `Query.limit`. Raises `DriverError`s."""

Stage = Callable[[Search], Search]
"""Makes a search out of another one."""


def compose(search: Search, stages: Sequence[Stage]) -> Search:
    """The search with the stages around it: hits pass through them from the first to the last."""
    for stage in stages:
        search = stage(search)
    return search
