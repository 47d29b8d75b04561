"""`CollectionMap`: from names, e.g. of users, to the ids that a backend gave its collections."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Self
from weakref import WeakValueDictionary

import anyio

from .concurrency import for_each
from .sqlite import SqliteFile

MIGRATIONS = (
    """
    create table collections (
      store text not null, name text not null, id text not null, primary key (store, name)) without rowid;
    """,
)
AT_ONCE = 4

Find = Callable[[str], Awaitable[str | None]]
"""Looks a collection up by its name."""
Create = Callable[[str], Awaitable[str]]
"""Makes a collection, or finds it where it exists; returns its id."""


class CollectionMap:
    """Ids are asked for once, by one caller however many wait, and kept in memory and in a file.

    An async context manager. `open_store` has to be called before anything else: ids of another store, or of one that
    was emptied, are worthless.
    """

    def __init__(self, path: Path, *, find: Find, create: Create) -> None:
        self._file = SqliteFile(path, MIGRATIONS)
        self._find = find
        self._create = create
        self._store = ""
        self._ids: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._turns: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()

    async def __aenter__(self) -> Self:
        await self._file.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._file.__aexit__(*exc)

    async def open_store(self, store: str) -> None:
        """Use what is known of this store, e.g. an id that changes when it is emptied; forget any other."""
        await self._file.execute("delete from collections where store <> ?", store)
        rows = await self._file.fetch("select name, id from collections where store = ?", store)
        self._store = store
        self._ids = {str(name): str(id_) for name, id_ in rows}
        self._names = {id_: name for name, id_ in self._ids.items()}

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def names(self) -> list[str]:
        """All that are known."""
        return list(self._ids)

    def name_of(self, collection_id: str) -> str | None:
        """The name behind an id, if it is known."""
        return self._names.get(collection_id)

    async def find(self, name: str) -> str | None:
        """The id of a collection, None where there is none. Creates nothing."""
        return self._ids.get(name) or await self._once(name, self._look_up)

    async def ensure(self, names: Iterable[str]) -> Mapping[str, str]:
        """Ids by name; collections that do not exist are made."""
        wanted = list(dict.fromkeys(names))
        missing = [name for name in wanted if name not in self._ids]
        await for_each(lambda name: self._once(name, self._make), missing, at_once=AT_ONCE)
        return {name: self._ids[name] for name in wanted}

    async def learn(self, ids: Mapping[str, str]) -> None:
        """Take over ids by name that the backend gave."""
        new = {name: id_ for name, id_ in ids.items() if self._ids.get(name) != id_}
        if new:
            await self._file.execute_many(
                "insert or replace into collections values (?, ?, ?)",
                [(self._store, name, id_) for name, id_ in new.items()],
            )
            self._ids |= new
            self._names |= {id_: name for name, id_ in new.items()}

    async def forget(self, name: str) -> None:
        """The backend does not know this collection any more."""
        await self._file.execute("delete from collections where store = ? and name = ?", self._store, name)
        self._names.pop(self._ids.pop(name, ""), None)

    async def _once(self, name: str, ask: Find) -> str | None:
        async with self._turns.setdefault(name, anyio.Lock()):
            return self._ids.get(name) or await ask(name)

    async def _look_up(self, name: str) -> str | None:
        id_ = await self._find(name)
        if id_ is not None:
            await self.learn({name: id_})
        return id_

    async def _make(self, name: str) -> str:
        id_ = await self._create(name)
        await self.learn({name: id_})
        return id_
