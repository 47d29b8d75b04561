"""The store of an installation, told from an emptied one by a collection that holds nothing."""

from pathlib import Path
from uuid import UUID

from context_chat_backend.contract import Unavailable
from context_chat_backend.toolkit.collections import CollectionMap

from .access import Readers
from .client import R2RClient
from .names import Names


def collection_map(client: R2RClient, path: Path) -> CollectionMap:
    """Of R2R's collections; those that are missing are made."""

    async def find(name: str) -> str | None:
        id_ = await client.find_collection(name)
        return None if id_ is None else str(id_)

    async def create(name: str) -> str:
        id_, _ = await _ensure(client, name)
        return str(id_)

    return CollectionMap(path, find=find, create=create)


class Store:
    """Has to be opened before anything else is asked."""

    def __init__(self, client: R2RClient, names: Names, collections: CollectionMap, readers: Readers) -> None:
        self._client = client
        self._names = names
        self._collections = collections
        self._readers = readers
        self._marker: UUID

    async def open(self) -> str:
        """Find the collection that marks the store, or make it. Returns the id of the store, which is another
        one once R2R has been emptied; what is known of any other store is forgotten."""
        marker, is_new = await _ensure(self._client, self._names.store)
        await self._collections.open_store(str(marker))
        if not is_new and not len(self._collections):
            await self._readers.learn_all()
        self._marker = marker
        return str(marker)

    async def is_lost(self) -> bool:
        """Whether R2R does not have this store any more. Changes nothing."""
        # a real read: R2R's own health check is content without a database
        return await self._client.collection(self._marker) is None


async def _ensure(client: R2RClient, name: str) -> tuple[UUID, bool]:
    """The id of a collection, and whether it is a new one."""
    if (made := await client.create_collection(name)) is not None:
        return made, True
    if (found := await client.find_collection(name)) is not None:
        return found, False
    raise Unavailable("R2R says that a collection exists, and does not find it")
