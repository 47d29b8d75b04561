"""What the drivers whose documents are kept by the SQL functions have in common."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence, Set
from contextlib import AsyncExitStack
from functools import partial
from typing import Self
from weakref import WeakKeyDictionary

from ...contract import (
    AccessChange,
    AccessOp,
    Capabilities,
    Finding,
    Hit,
    NotFound,
    Outcome,
    Overtaken,
    ProviderId,
    Query,
    Rejected,
    Source,
    SourceId,
    TransientError,
    UserId,
)
from ...contract.driver import WritesNoAnswers
from ..background import DAY, periodically, run_in_background
from ..indexing.indexer import Indexer
from ..indexing.section import Section
from .documents import Decision, Documents

MIB = 2**20
MAX_SOURCE_BYTES = 100 * MIB
"""context_chat sends no larger files."""
MAKING_WORDS = "making words"
"""The loop for documents that an earlier version stored, and for changed titles."""

log = logging.getLogger(__name__)


class DocumentsDriver(WritesNoAnswers, ABC):
    """Embeds documents itself and leaves every decision about versions and readers to `Documents`.

    A subclass opens what it needs in `_open`, and brings indexing and searching.
    """

    capabilities: Capabilities
    _documents: Documents

    def __init__(self, indexer: Indexer) -> None:
        self._indexer = indexer
        self._tickets: WeakKeyDictionary[Source, str] = WeakKeyDictionary()
        """Of the uploads that are under way, or failed and may be repeated."""
        self._resources = AsyncExitStack()

    @property
    @abstractmethod
    def identity(self) -> str: ...

    @property
    def waiting(self) -> int:
        return 0

    @abstractmethod
    async def _open(self, stack: AsyncExitStack) -> Documents:
        """Enter what is needed until the driver is left."""

    @abstractmethod
    async def _index(
        self, source: Source, content_hash: str, sections: Sequence[Section], ticket: str | None
    ) -> Outcome:
        """Store the chunks of a text in the place of an older version, while the ticket is good."""

    async def _retitled(self, source_id: SourceId) -> None:
        """The title of a source changed, and nothing else."""

    @abstractmethod
    async def search(self, query: Query) -> Sequence[Hit]: ...

    @abstractmethod
    async def ping(self) -> None: ...

    @abstractmethod
    async def check(self) -> Sequence[Finding]: ...

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._indexer)
            self._documents = await self._open(stack)
            await self._tidy_up()
            await run_in_background(
                stack, partial(periodically, "the daily clean-up", self._documents.collect_garbage, DAY)
            )
            self._resources = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._resources.aclose()

    async def upsert(self, source: Source) -> Outcome:
        try:
            outcome = await self._bring_up_to_date(source)
        except Overtaken:
            self._tickets.pop(source, None)
            raise
        except Rejected:
            self._tickets.pop(source, None)
            await self._documents.delete_older(source.id, source.modified)
            raise
        self._tickets.pop(source, None)
        return outcome

    async def _bring_up_to_date(self, source: Source) -> Outcome:
        content_hash = await self._indexer.fingerprint(source)
        begun = await self._documents.begin(source, content_hash, ticket=self._tickets.get(source))
        match begun.state:
            case Decision.UNCHANGED:
                if begun.retitled:
                    await self._retitled(source.id)
                return Outcome.UNCHANGED
            case Decision.REFRESHED:
                return Outcome.UPDATED
            case Decision.INDEX:
                if begun.ticket is not None:
                    self._tickets[source] = begun.ticket
                return await self._index(source, content_hash, await self._indexer.sections(source), begun.ticket)

    async def delete(self, source_ids: Set[SourceId]) -> None:
        await self._documents.delete(source_ids)

    async def set_access(self, source_id: SourceId, user_ids: Set[UserId]) -> None:
        _require(await self._documents.set_access(source_id, user_ids))

    async def update_access(self, op: AccessOp, source_id: SourceId, user_ids: Set[UserId]) -> None:
        _require(await self._documents.update_access(op, source_id, user_ids))

    async def change_access(self, changes: Sequence[AccessChange]) -> None:
        await self._documents.change_access(changes)

    async def update_provider_access(self, op: AccessOp, provider: ProviderId, user_ids: Set[UserId]) -> None:
        await self._documents.update_provider_access(op, provider, user_ids)

    async def delete_provider(self, provider: ProviderId) -> None:
        await self._documents.delete_provider(provider)

    async def delete_user(self, user_id: UserId) -> None:
        await self._documents.delete_user(user_id)

    async def count(self) -> Mapping[ProviderId, int]:
        return await self._documents.count()

    async def _tidy_up(self) -> None:
        try:
            await self._documents.collect_garbage()
        except TransientError as error:  # no reason to stay down: the daily run will do it
            log.warning("the clean-up of the database failed: %s", error)


def _require(stored: bool) -> None:
    if not stored:
        raise NotFound("no such source")
