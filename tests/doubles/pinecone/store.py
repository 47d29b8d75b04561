"""What was written and what of it is indexed."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.doubles.pinecone.limits import Clock

Documents = dict[str, dict[str, Any]]
"""By id, each with its `_id`. A document is replaced, never changed."""
Change = Callable[[Documents], None]


@dataclass(frozen=True)
class Write:
    lsn: int
    due: float
    change: Change


class Namespace:
    """Writes take effect one after the other, in the order of their LSNs, each some time after it was accepted."""

    def __init__(self) -> None:
        self.indexed: Documents = {}
        """What searches see."""
        self.indexed_lsn = 0
        """Of the last write in `indexed`; 0 before the first."""
        self._written = 0
        self._pending: deque[Write] = deque()

    def write(self, change: Change, due: float) -> int:
        """The write's LSN."""
        self._written += 1
        self._pending.append(Write(self._written, due, change))
        return self._written

    @property
    def stored(self) -> Documents:
        """What `indexed` will be once everything is."""
        documents = {**self.indexed}
        for write in self._pending:
            write.change(documents)
        return documents

    def index(self, now: float) -> None:
        """What is due; a later write waits for the earlier ones."""
        while self._pending and self._pending[0].due <= now:
            write = self._pending.popleft()
            write.change(self.indexed)
            self.indexed_lsn = write.lsn


class Store:
    """A namespace comes into being with the first write to it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._namespaces: dict[str, Namespace] = {}
        self.lag = 0.0
        """Seconds until a write is indexed; one that is on its way keeps the lag that it was accepted with."""

    @property
    def namespaces(self) -> dict[str, Namespace]:
        """All, with everything indexed that is due."""
        for namespace in self._namespaces.values():
            namespace.index(self._clock.now())
        return self._namespaces

    def namespace(self, name: str) -> Namespace:
        """To read; an unknown one is empty."""
        return self.namespaces.get(name) or Namespace()

    def write(self, name: str, change: Change) -> int:
        """The write's LSN."""
        return self._namespaces.setdefault(name, Namespace()).write(change, self._clock.now() + self.lag)

    def index_everything(self) -> None:
        for namespace in self._namespaces.values():
            namespace.index(math.inf)

    def drop(self, name: str) -> None:
        del self._namespaces[name]

    def clear(self) -> None:
        self._namespaces.clear()


def put(documents: Iterable[dict[str, Any]]) -> Change:
    replaced = {document["_id"]: document for document in documents}
    return lambda state: state.update(replaced)


def patch(patches: Mapping[str, dict[str, Any]], removed: Mapping[str, frozenset[str]]) -> Change:
    """Fields to set and fields to remove, by id. An unknown id stays unknown."""

    def change(state: Documents) -> None:
        for id_ in patches.keys() & state.keys():
            kept = {name: value for name, value in state[id_].items() if name not in removed[id_]}
            state[id_] = kept | patches[id_]

    return change


def remove(ids: Iterable[str]) -> Change:
    gone = frozenset(ids)

    def change(state: Documents) -> None:
        for id_ in gone & state.keys():
            del state[id_]

    return change


def clear(state: Documents) -> None:
    state.clear()
