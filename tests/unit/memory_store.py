"""A store of vectors in memory, as simple as it can be, with the weaknesses of remote ones on demand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from context_chat_backend.toolkit.catalogue import Chunk, Extent, GroupKey, Match, Reach, VectorStore

Record = dict[str, Chunk]


@dataclass
class Calls:
    """How often what was called."""

    put: int = 0
    regroup: int = 0
    remove: int = 0
    searches: int = 0


class MemoryStore(VectorStore):
    """Writes become visible when the test says so, if it asked for that."""

    chunks_per_put = 100

    def __init__(self) -> None:
        self.accepted: Record = {}
        """What all writes so far amount to."""
        self.visible: Record = self.accepted
        """What searches and changes by document see."""
        self.calls = Calls()
        self.before_call: Callable[[str], None] = lambda name: None
        """Raises to make a call fail."""
        self.namespace = ""

    @property
    def address(self) -> str:
        return "memory"

    def fall_behind(self) -> None:
        """From now on writes are accepted and not visible."""
        self.visible = dict(self.accepted)

    def catch_up(self) -> None:
        """Everything is visible at once from now on."""
        self.visible = self.accepted

    async def prepare(self, namespace: str, dimension: int) -> None:
        self.before_call("prepare")
        self.namespace = namespace

    async def put(self, chunks: Sequence[Chunk]) -> None:
        self.calls.put += 1
        self.before_call("put")
        assert 0 < len(chunks) <= self.chunks_per_put
        assert len({chunk.document for chunk in chunks}) == 1
        self.accepted.update({chunk.id: chunk for chunk in chunks})

    async def regroup(self, documents: Sequence[Extent], group: GroupKey) -> bool:
        self.calls.regroup += 1
        self.before_call("regroup")
        self._check(documents)
        wanted = {extent.document for extent in documents}
        seen = [id_ for id_, chunk in self.visible.items() if chunk.document in wanted]
        for id_ in seen:
            if id_ in self.accepted:
                self.accepted[id_] = replace(self.accepted[id_], group=group)
        return len(seen) >= sum(extent.chunks for extent in documents)

    async def remove(self, documents: Sequence[Extent]) -> None:
        self.calls.remove += 1
        self.before_call("remove")
        self._check(documents)
        gone = {extent.document for extent in documents}
        for id_ in [id_ for id_, chunk in self.accepted.items() if chunk.document in gone]:
            del self.accepted[id_]

    async def nearest(self, embedding: NDArray[np.float32], reach: Reach, limit: int) -> Sequence[Match]:
        self.calls.searches += 1
        self.before_call("nearest")
        assert reach.groups or reach.documents
        hits = [
            chunk for chunk in self.visible.values() if chunk.group in reach.groups or chunk.document in reach.documents
        ]
        hits.sort(key=lambda chunk: -float(chunk.embedding @ embedding))
        return [Match(document=c.document, ordinal=c.ordinal, text=c.text) for c in hits[:limit]]

    async def chunk_count(self) -> int | None:
        return len(self.visible)

    def _check(self, documents: Sequence[Extent]) -> None:
        assert 0 < len(documents) <= self.documents_per_call
        assert len(documents) == 1 or sum(extent.chunks for extent in documents) <= self.chunks_per_call
