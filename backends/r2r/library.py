"""What R2R has of each source, and who may read it.

A source may have several documents: while a newer version is being made the older one stays findable. Which one counts
is told by their metadata alone, so that nothing has to be remembered beside R2R.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self
from uuid import UUID

from context_chat_backend.contract import ProviderId, SourceId, Unavailable, UserId
from context_chat_backend.toolkit.collections import CollectionMap
from context_chat_backend.toolkit.concurrency import Batcher, for_each

from .client import Missing, R2RClient
from .journal import Journal
from .names import PLACES, Names
from .wire import Collection as R2RCollection
from .wire import Document, Metadata

IDS_PER_CALL = 150
"""Proxies usually stop at addresses of 8 kB."""
SOURCES_PER_CALL = IDS_PER_CALL // PLACES
LINGER = 0.005
AT_ONCE = 4
ASK_AGAIN = 60.0
"""Seconds until a source is worth another look that R2R is at work on."""
JUST_SENT = 60.0
"""Seconds after which R2R shows a document that it was sent, or does not have it."""
DAY = 86_400.0
MONTH = 30 * DAY

log = logging.getLogger(__name__)


class AtWork(Unavailable):
    """R2R is at work on a version of a source."""


@dataclass(frozen=True, slots=True)
class Versions:
    """The documents that R2R has of one source."""

    documents: tuple[Document, ...]
    given_up: frozenset[UUID] = frozenset()
    """Those of them that were deleted and came back."""

    @property
    def current(self) -> Document | None:
        """The newest version that searches find."""
        known = [document for document in self.documents if document.id not in self.given_up]
        searchable = [document for document in known if document.is_searchable and document.described]
        return max(searchable, key=_modified, default=None)

    @property
    def unfinished(self) -> list[Document]:
        """Those that R2R is at work on, or was when it was killed. What is changed in them is undone by R2R."""
        return [document for document in self.documents if not document.is_final]

    @property
    def leftovers(self) -> list[Document]:
        """Older versions and failed ones."""
        current = self.current
        return [document for document in self.documents if document.is_final and document is not current]

    def without(self, document: Document) -> "Versions":
        """The others."""
        return replace(self, documents=tuple(each for each in self.documents if each is not document))


NOTHING = Versions(())


class Library:
    """An async context manager; enter it inside of the entered client, map and journal."""

    def __init__(
        self,
        client: R2RClient,
        names: Names,
        collections: CollectionMap,
        journal: Journal,
        *,
        stuck_after: float,
        reset_graphs: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._names = names
        self._collections = collections
        self._journal = journal
        self._stuck_after = stuck_after
        self._reset_graphs = reset_graphs
        self._clock = clock
        self._foreign: set[UUID] = set()
        self._look_ups = Batcher(self.versions_of, size=SOURCES_PER_CALL, linger=LINGER)
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._resources.enter_async_context(self._look_ups)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._resources.aclose()

    # ------------------------------------------------------------------ versions

    async def versions_of(self, source_ids: Sequence[SourceId]) -> Mapping[SourceId, Versions]:
        """Of each source, in one call for up to 50."""
        places = {id_: source_id for source_id in source_ids for id_ in self._names.documents(source_id)}
        found: dict[SourceId, list[Document]] = {source_id: [] for source_id in source_ids}
        for document in await self.documents(list(places)):
            found[places[document.id]].append(document)
        return {source_id: self._as_versions(documents) for source_id, documents in found.items()}

    def _as_versions(self, documents: Sequence[Document]) -> Versions:
        back = (each.id for each in documents if self._journal.is_given_up(each.id, each.described))
        return Versions(tuple(documents), frozenset(back))

    async def documents(self, ids: Sequence[UUID]) -> list[Document]:
        """Those that exist, whatever their number."""
        calls = [ids[start : start + IDS_PER_CALL] for start in range(0, len(ids), IDS_PER_CALL)]
        return [document for call in calls for document in await self._client.documents(call)]

    async def versions(self, source_id: SourceId) -> Versions:
        """Of one source; asked together with others that are asked for at the same time."""
        return await self._look_ups.get(source_id) or NOTHING

    async def settled(self, source_id: SourceId) -> Versions:
        """The versions once R2R is not at work on any of them, see `settle`."""
        versions = await self.versions(source_id)
        await self.settle(source_id, versions)
        return replace(versions, documents=tuple(document for document in versions.documents if document.is_final))

    async def settle(self, source_id: SourceId, versions: Versions) -> None:
        """Remove documents that R2R will never finish. Raises `AtWork` as long as it may be at work on one."""
        for document in versions.unfinished:
            await self._give_up_if_stuck(document, source_id)
        present = {document.id for document in versions.documents}
        for id_ in self._names.documents(source_id):
            if id_ not in present and await self._was_just_sent(id_):
                raise AtWork("it was just sent to R2R", retry_after=JUST_SENT)

    async def _was_just_sent(self, document_id: UUID) -> bool:
        """Whether R2R may have a document of which it tells nothing yet: its sender did not wait for the answer."""
        entry = await self._journal.entry(document_id)
        return entry is not None and not entry.given_up and self._clock() - entry.since < JUST_SENT

    async def _give_up_if_stuck(self, document: Document, source_id: SourceId) -> None:
        idle = self._clock() + self._client.clock_ahead - document.updated_at.timestamp()
        if (entry := await self._journal.entry(document.id)) is not None:
            idle = min(idle, self._clock() - entry.since)  # the zone of R2R's clock may be wrong
        if idle <= self._stuck_after:
            raise AtWork(f"R2R is at work on it ({document.ingestion_status})", retry_after=ASK_AGAIN)
        log.warning("R2R does not finish document %s (%s): it is removed", document.id, document.ingestion_status)
        metadata = document.described
        upload = "" if metadata is None else metadata.cc_upload
        await self._journal.give_up(document.id, source_id, upload=upload, now=self._clock())
        await self._client.delete_document(document.id)

    async def tidy(self) -> None:
        """Remove given-up documents that came back, and forget uploads that nothing came of."""
        entries = {entry.document_id: entry for entry in await self._journal.entries()}
        stored = {document.id: document for document in await self.documents(list(entries))}
        for id_, entry in entries.items():
            if id_ in stored and entry.given_up:
                await self._remove_if_back(stored[id_])
            elif id_ not in stored and self._clock() - entry.since > (MONTH if entry.given_up else DAY):
                await self._journal.end(id_)

    async def _remove_if_back(self, document: Document) -> None:
        if not self._journal.is_given_up(document.id, document.described):
            await self._journal.end(document.id)  # made anew, by another gateway
        elif document.is_final:
            await self._client.delete_document(document.id)

    async def remove(self, documents: Iterable[Document]) -> None:
        """Delete documents that R2R is not at work on."""

        async def remove(document: Document) -> None:
            await self._delete(document)
            await self._journal.end(document.id)

        await for_each(remove, documents, at_once=AT_ONCE)

    async def make_room(self, documents: Iterable[Document]) -> None:
        """The same where another try follows: it stays known how many there were."""
        await for_each(self._delete, documents, at_once=AT_ONCE)

    async def _delete(self, document: Document) -> None:
        if self._reset_graphs:
            await for_each(self._client.reset_graph, await self._user_collections(document), at_once=AT_ONCE)
        if (metadata := document.described) is not None:
            await self._journal.doubt(document.id, metadata.source_id, metadata.provider, upload=metadata.cc_upload)
        await self._client.delete_document(document.id)

    # ------------------------------------------------------------------ readers

    async def readers_of(self, document: Document) -> frozenset[UserId]:
        """Who may read a document."""
        await self._learn(document.collection_ids)
        names = (self._collections.name_of(str(id_)) for id_ in document.collection_ids)
        users = (self._names.user_of(name) for name in names if name is not None)
        return frozenset(user for user in users if user is not None)

    async def set_readers(self, document: Document, provider: ProviderId, wanted: Set[UserId]) -> None:
        """Make the readers exactly these, which are never none; also see to the collection of the provider."""
        readers = await self.readers_of(document)
        await for_each(lambda user: self._take_away(document, user), readers - wanted, at_once=AT_ONCE)
        await self.add_readers(document, provider, wanted)

    async def add_readers(self, document: Document, provider: ProviderId, users: Set[UserId]) -> None:
        """Let these users read a document, too; also see to the collection of the provider."""
        names = [self._names.provider(provider), *map(self._names.user, users)]
        ids = await self._collections.ensure(names)
        missing = [name for name in names if UUID(ids[name]) not in document.collection_ids]
        await for_each(lambda name: self._add(document, name, UUID(ids[name])), missing, at_once=AT_ONCE)

    async def _take_away(self, document: Document, user_id: UserId) -> None:
        collection_id = await self._collections.find(self._names.user(user_id))
        if collection_id is None:
            return
        if self._reset_graphs:  # first, so that a repetition after a failure does it, too
            await self._client.reset_graph(UUID(collection_id))
        await self._client.remove_member(UUID(collection_id), document.id)

    async def _add(self, document: Document, name: str, collection_id: UUID) -> None:
        try:
            await self._client.add_member(collection_id, document.id)
        except Missing:
            if not await self._client.documents([document.id]):
                raise  # another gateway deleted it meanwhile, perhaps for a newer version: a repetition will tell
            await self._collections.forget(name)
            message = f"R2R has lost collection {name}, and with it the text of its documents: see docs/backends/r2r.md"
            raise Unavailable(message) from None

    async def _user_collections(self, document: Document) -> list[UUID]:
        ids = await self._collections.ensure(map(self._names.user, await self.readers_of(document)))
        return [UUID(id_) for id_ in ids.values()]

    async def _learn(self, collection_ids: Collection[UUID]) -> None:
        """Ask for collections that this gateway has not met, e.g. those of another one."""
        unknown = [id_ for id_ in collection_ids if self._collections.name_of(str(id_)) is None]
        unknown = [id_ for id_ in unknown if id_ not in self._foreign]
        for start in range(0, len(unknown), IDS_PER_CALL):
            asked = unknown[start : start + IDS_PER_CALL]
            found = await self._client.collections_by_id(asked)
            await self.learn_collections(found)
            self._foreign |= {id_ for id_ in asked if self._collections.name_of(str(id_)) is None}

    async def learn_collections(self, collections: Iterable[R2RCollection]) -> None:
        """Remember those of this installation."""
        ours = {entry.name: str(entry.id) for entry in collections if self._names.is_ours(entry.name)}
        await self._collections.learn(ours)


def described(document: Document) -> Metadata:
    """The metadata of a document that has been seen to have them."""
    metadata = document.described
    if metadata is None:
        raise Unavailable("the metadata of a document in R2R were damaged")
    return metadata


def _modified(document: Document) -> int:
    return described(document).modified
