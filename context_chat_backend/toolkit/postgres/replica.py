"""Searches by a read replica of the database."""

import logging
import time
from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from ...contract import DriverError
from .database import Database
from .documents import read
from .functions import Functions

SEARCH = "ccb_search"
PAUSE = 30.0
"""Seconds without the replica after it failed."""
LAG_SECONDS = 5.0
"""That a replica is usually behind at most."""

log = logging.getLogger(__name__)


class _Hit(TypedDict):
    doc_id: int


class _Hits(TypedDict):
    hits: list[_Hit]


_HITS, _DOCUMENTS = TypeAdapter(_Hits), TypeAdapter(frozenset[int])


class ReplicaDatabase(Database):
    """One that others keep up to date, the schema included."""

    async def _install(self) -> None:
        """Not here."""


class SearchingElsewhere:
    """`Functions` of a primary database, but searches are done by its replica.

    A replica is behind, so the primary has the last word: what it finds is dropped unless the primary has the same
    version and lets the user read it now. While the replica fails, the primary does all.
    """

    def __init__(self, primary: Functions, replica: Functions, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._primary, self._replica, self._clock = primary, replica, clock
        self._not_before = clock()

    async def call(self, function: str, /, **arguments: object) -> Any:
        """See `Functions`."""
        if function == SEARCH and self._clock() >= self._not_before:
            try:
                found = await self._replica.call(function, **arguments)
            except DriverError as error:
                self._not_before = self._clock() + PAUSE
                log.warning("searches are done by the primary database for %.0f s: the replica fails: %s", PAUSE, error)
            else:
                return await self._checked(found, arguments["p_user"])
        return await self._primary.call(function, **arguments)

    async def _checked(self, found: Any, user: object) -> Any:
        documents = {hit["doc_id"] for hit in read(found, _HITS)["hits"]}
        if not documents:
            return found
        answer = await self._primary.call("ccb_readable", p_user=user, p_documents=sorted(map(str, documents)))
        readable = read(answer, _DOCUMENTS)
        return {**found, "hits": [hit for hit in found["hits"] if hit["doc_id"] in readable]}
