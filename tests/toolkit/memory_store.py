"""A store of vectors in memory, as simple as it can be, with the weaknesses of remote ones on demand."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from context_chat_backend.toolkit.catalogue import Candidates, ChunkRecord, Extent, GroupKey, Match, VectorStore
from context_chat_backend.toolkit.catalogue.guard import MARKER

Record = dict[str, ChunkRecord]


@dataclass
class Calls:
    """How often what was called."""

    put: int = 0
    regroup: int = 0
    remove: int = 0
    searches: int = 0


async def nothing(_: str) -> None:
    """The hook that does nothing."""


def match_of(chunk: ChunkRecord, embedding: NDArray[np.float32]) -> Match:
    """How a search returns the chunk."""
    return Match(
        document=chunk.document,
        ordinal=chunk.ordinal,
        heading=chunk.heading,
        text=chunk.text,
        language=chunk.words.language,
        similarity=float(chunk.embedding @ embedding),
    )


class MemoryStore(VectorStore):
    """Writes become visible when the test says so, if it asked for that."""

    chunks_per_put = 100

    def __init__(self, address: str = "memory") -> None:
        self.accepted: Record = {}
        """What all writes so far amount to, without the marker."""
        self.marker: Record = {}
        self.visible: Record = self.accepted
        """What searches and changes by document see."""
        self.calls = Calls()
        self.before_call: Callable[[str], None] = lambda name: None
        """Raises to make a call fail."""
        self.after_call: Callable[[str], None] = lambda name: None
        """Raises to lose the answer of a call that was carried out."""
        self.pause: Callable[[str], Awaitable[None]] = nothing
        """Awaited before a call is carried out."""
        self.strangers: Sequence[Match] = ()
        """Found first by every search, whoever asks."""
        self.namespace = ""
        self._address = address

    @property
    def address(self) -> str:
        return self._address

    def empty(self) -> None:
        """Lose everything."""
        for record in (self.accepted, self.visible, self.marker):
            record.clear()

    def fall_behind(self) -> None:
        """From now on writes are accepted and not visible."""
        self.visible = dict(self.accepted)

    def catch_up(self) -> None:
        """Everything is visible at once from now on."""
        self.visible = self.accepted

    def show(self, chosen: Callable[[str], bool]) -> None:
        """The newest state of the chunks with these ids is visible from now on, also while the store is behind."""
        for id_ in {*self.accepted, *self.visible}:
            if chosen(id_) and id_ in self.accepted:
                self.visible[id_] = self.accepted[id_]
            elif chosen(id_):
                self.visible.pop(id_, None)

    async def prepare(self, namespace: str, dimension: int) -> None:
        await self._begin("prepare")
        self.namespace = namespace

    async def put(self, chunks: Sequence[ChunkRecord]) -> None:
        is_marker = chunks[0].document == MARKER
        self.calls.put += not is_marker
        await self._begin("put")
        assert 0 < len(chunks) <= self.chunks_per_put
        assert len({chunk.document for chunk in chunks}) == 1
        record = self.marker if is_marker else self.accepted
        record.update({chunk.id: chunk for chunk in chunks})
        self.after_call("put")

    async def regroup(self, documents: Sequence[Extent], group: GroupKey) -> bool:
        self.calls.regroup += 1
        await self._begin("regroup")
        self._check(documents)
        wanted = {extent.document for extent in documents}
        seen = [id_ for id_, chunk in self.visible.items() if chunk.document in wanted]
        for id_ in seen:
            if id_ in self.accepted:
                self.accepted[id_] = replace(self.accepted[id_], group=group)
        self.after_call("regroup")
        return len(seen) >= sum(extent.chunks for extent in documents)

    async def remove(self, documents: Sequence[Extent]) -> None:
        self.calls.remove += 1
        await self._begin("remove")
        self._check(documents)
        gone = {extent.document for extent in documents}
        for id_ in [id_ for id_, chunk in self.accepted.items() if chunk.document in gone]:
            del self.accepted[id_]
        self.after_call("remove")

    async def nearest(self, embedding: NDArray[np.float32], candidates: Candidates, limit: int) -> Sequence[Match]:
        self.calls.searches += 1
        await self._begin("nearest")
        assert candidates.groups or candidates.documents
        groups, documents = set(candidates.groups), set(candidates.documents)
        stored = [*self.visible.values(), *self.marker.values()]
        hits = [chunk for chunk in stored if chunk.group in groups or chunk.document in documents]
        hits.sort(key=lambda chunk: -float(chunk.embedding @ embedding))
        return [*self.strangers, *(match_of(chunk, embedding) for chunk in hits)][:limit]

    async def wait_until_searchable(self, document: Extent) -> None:
        await self._begin("wait_until_searchable")

    async def chunk_count(self) -> int | None:
        return len(self.visible) + len(self.marker)

    async def _begin(self, name: str) -> None:
        await self.pause(name)
        self.before_call(name)

    def _check(self, documents: Sequence[Extent]) -> None:
        assert 0 < len(documents) <= self.documents_per_call
        assert len({extent.document for extent in documents}) == len(documents)
        assert len(documents) == 1 or sum(extent.chunks for extent in documents) <= self.chunks_per_call
