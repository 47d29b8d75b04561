"""Vectors for chunks that are stored without: words are found at once, meaning a little later."""

import time
from collections.abc import Callable
from contextlib import suppress

import anyio

from ...contract import DriverError
from ..concurrency import gather
from ..indexing.chunk_embedder import ChunkEmbedder
from ..indexing.split import Chunk
from .document_store import Claimed, DocumentStore

AT_ONCE = 2
"""Batches: one is embedded while another is read or stored."""
RELEASE_SECONDS = 2.0


class VectorMaker:
    """Makes the vectors of all chunks of a store that have none of a model, beside other gateways that do the same.

    Nothing is remembered here: what is claimed and not done, because the embedder failed or the process was killed, is
    claimed again after `LEASE_SECONDS`; so a text that the embedder always fails on keeps no other one waiting.
    """

    def __init__(
        self,
        store: DocumentStore,
        model: ChunkEmbedder,
        on_made: Callable[[], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_made` is called each time that there are more vectors."""
        self._store, self._model, self._on_made, self._clock = store, model, on_made, clock
        self._more = anyio.Event()
        self._stored = 0
        self._per_second = 0.0
        self.waiting = 0
        """Chunks without a vector."""

    def note_stored(self) -> None:
        """A source was stored."""
        self._stored += 1
        self.waiting = max(1, self.waiting)
        self._more.set()

    @property
    def seconds_left(self) -> float | None:
        """How long it will take until none waits, at the speed of the last batches; None where that is not known."""
        return self.waiting / self._per_second if self._per_second else None

    async def make_all(self) -> None:
        """Until none is left that nobody is at. Raises what the embedder or the store raises, with nothing lost."""
        self._more = anyio.Event()
        await gather(*[self._make] * AT_ONCE)

    async def due(self) -> None:
        """Return when there is more to make."""
        await self._more.wait()

    async def _make(self) -> None:
        while True:
            stored, began = self._stored, self._clock()
            claimed = await self._store.claim_chunks(self._model.model_name, self._model.dimension)
            done = len(claimed.chunks) + claimed.copied
            # the answer may be older than what was stored since
            self.waiting = claimed.waiting if stored == self._stored else max(1, claimed.waiting)
            if not done:
                return
            await self._embed(claimed)
            self._on_made()
            self._per_second = AT_ONCE * done / max(self._clock() - began, 1e-3)

    async def _embed(self, claimed: Claimed) -> None:
        """Each text once."""
        places: dict[Chunk, int] = {}
        which = [places.setdefault(chunk, len(places)) for chunk in claimed.chunks]
        try:
            if places:
                vectors = await self._model.embed(list(places))
                await self._store.put_vectors(self._model.model_name, claimed.ids, vectors[which])
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(RELEASE_SECONDS, shield=True), suppress(DriverError):
                await self._store.release_chunks(self._model.model_name, claimed.ids)
            raise
