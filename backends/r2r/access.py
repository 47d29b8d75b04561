"""Who may read a document: R2R keeps it in one collection per reader, and in one of its provider."""

from collections.abc import Collection, Iterable, Set
from uuid import UUID

from context_chat_backend.contract import ProviderId, Source, Unavailable, UserId
from context_chat_backend.toolkit.collections import CollectionMap
from context_chat_backend.toolkit.concurrency import for_each

from .client import IDS_PER_CALL, R2RClient
from .errors import Missing
from .names import Names
from .wire import Collection as R2RCollection
from .wire import Document

AT_ONCE = 4


class Readers:
    """Turns readers into memberships and back."""

    def __init__(self, client: R2RClient, names: Names, collections: CollectionMap, *, reset_graphs: bool) -> None:
        self._client = client
        self._names = names
        self._collections = collections
        self._reset_graphs = reset_graphs
        self._foreign: set[UUID] = set()

    async def of(self, document: Document) -> frozenset[UserId]:
        """Who may read a document."""
        await self._learn(document.collection_ids)
        names = (self._collections.name_of(str(id_)) for id_ in document.collection_ids)
        users = (self._names.user_of(name) for name in names if name is not None)
        return frozenset(user for user in users if user is not None)

    async def set(self, document: Document, provider: ProviderId, wanted: Set[UserId]) -> None:
        """Make the readers exactly these, at least one; also put the document into the provider's collection."""
        readers = await self.of(document)
        await for_each(lambda user: self._take_away(document, user), readers - wanted, at_once=AT_ONCE)
        await self.add(document, provider, wanted)

    async def add(self, document: Document, provider: ProviderId, users: Set[UserId]) -> None:
        """Let these users read a document as well; also put it into the provider's collection."""
        names = [self._names.provider(provider), *map(self._names.user, users)]
        ids = await self._collections.ensure(names)
        missing = [name for name in names if UUID(ids[name]) not in document.collection_ids]
        await for_each(lambda name: self._add(document, name, UUID(ids[name])), missing, at_once=AT_ONCE)

    async def collections_of(self, source: Source) -> tuple[UUID, list[UUID]]:
        """The collection of a source's provider and those of its readers; made where they do not exist."""
        provider, *users = (self._names.provider(source.provider), *sorted(map(self._names.user, source.user_ids)))
        ids = await self._collections.ensure([provider, *users])
        return UUID(ids[provider]), [UUID(ids[user]) for user in users]

    async def forget_graphs(self, document: Document) -> None:
        """Reset the graphs of all readers' collections, where graphs are in use: they keep what they were built of."""
        if self._reset_graphs:
            ids = await self._collections.ensure(map(self._names.user, await self.of(document)))
            await for_each(lambda id_: self._client.reset_graph(UUID(id_)), ids.values(), at_once=AT_ONCE)

    async def learn(self, collections: Iterable[R2RCollection]) -> None:
        """Remember those that belong to this installation."""
        ours = {entry.name: str(entry.id) for entry in collections if self._names.is_ours(entry.name)}
        await self._collections.learn(ours)

    async def learn_all(self) -> None:
        """Ask for all collections, e.g. those that another gateway made."""
        offset = 0
        while page := await self._client.collections(offset):
            await self.learn(page)
            offset += len(page)

    async def _learn(self, collection_ids: Collection[UUID]) -> None:
        """Ask for collections that this gateway has not met, e.g. those of another one."""
        unknown = [id_ for id_ in collection_ids if self._collections.name_of(str(id_)) is None]
        unknown = [id_ for id_ in unknown if id_ not in self._foreign]
        for start in range(0, len(unknown), IDS_PER_CALL):
            asked = unknown[start : start + IDS_PER_CALL]
            await self.learn(await self._client.collections_by_id(asked))
            self._foreign |= {id_ for id_ in asked if self._collections.name_of(str(id_)) is None}

    async def _take_away(self, document: Document, user_id: UserId) -> None:
        collection_id = await self._collections.find(self._names.user(user_id))
        if collection_id is None:
            return
        if self._reset_graphs:  # first, so that repeating it after a failure does this again
            await self._client.reset_graph(UUID(collection_id))
        await self._client.remove_member(UUID(collection_id), document.id)

    async def _add(self, document: Document, name: str, collection_id: UUID) -> None:
        try:
            await self._client.add_member(collection_id, document.id)
        except Missing:
            if not await self._client.documents([document.id]):
                raise  # another gateway has deleted it, perhaps for a newer version: the next try will tell
            await self._collections.forget(name)
            message = f"R2R has lost collection {name}, and with it the text of its documents: see docs/backends/r2r.md"
            raise Unavailable(message) from None
