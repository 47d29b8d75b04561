"""Notices that a store was emptied behind the back of its catalogue, by a record that goes with the rest."""

import logging
from collections.abc import Awaitable, Callable

import anyio
import numpy as np

from ...contract import Misconfigured, TransientError
from ..indexing.words.languages import UNKNOWN
from ..indexing.words.terms import Words
from .catalogue import Catalogue, Outbox
from .store import ChunkRecord, DocumentKey, GroupKey, VectorStore

log = logging.getLogger(__name__)

MARKER = DocumentKey("0" * 32)
"""The document of the record, which no catalogue lists, so that no search can return it."""
NOBODY = GroupKey("0")
"""Its group, which no user is in."""


class StoreGuard:
    """A store without the marker that it once had is not trusted: it would look healthy, hold only what came since,
    and nobody would fill in the rest. A store may lag behind, so two looks have to agree that the marker is gone."""

    def __init__(
        self,
        store: VectorStore,
        catalogue: Catalogue,
        dimension: int,
        *,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._sleep = sleep
        self._marker = ChunkRecord(
            document=MARKER,
            ordinal=0,
            group=NOBODY,
            heading="",
            text="This record shows a Context Chat gateway that its store was not emptied.",
            embedding=np.eye(1, dimension, dtype=np.float32)[0],
            words=Words(UNKNOWN, {}),
        )
        self._lost: str | None = None

    def require(self) -> None:
        """Raises `Misconfigured` once the store is known to have been emptied, until its content is back."""
        if self._lost is not None:
            raise Misconfigured(self._lost)

    async def check(self) -> None:
        """Before the catalogue is bound to the store. Raises `Misconfigured` if that does not hold what is listed."""
        outbox = await self._catalogue.outbox()
        if await self._is_emptied(outbox):
            raise Misconfigured(self._complaint(outbox))

    async def mark(self) -> None:
        """Leave the marker. Stores of earlier versions have none until they are opened."""
        try:
            await self._mark()
        except TransientError as error:
            log.warning("the store gets its marker later: %s", error)  # from `look`

    async def look(self) -> None:
        """Meant to run every minute."""
        outbox = await self._catalogue.outbox()
        self._lost = self._complaint(outbox) if await self._is_emptied(outbox) else None
        if self._lost is None and not (outbox.chunks and outbox.marked):
            await self._mark()  # nothing can have been lost

    async def _mark(self) -> None:
        if not await self._store.holds(self._marker):
            await self._store.put([self._marker])
        await self._catalogue.confirm_marker()

    async def _is_emptied(self, outbox: Outbox) -> bool:
        if not outbox.chunks or await self._is_there(outbox):
            return False
        await self._sleep(self._store.settle_seconds)
        return not await self._is_there(outbox)

    async def _is_there(self, outbox: Outbox) -> bool:
        if outbox.marked:
            return await self._store.holds(self._marker)
        return await self._store.chunk_count() != 0

    def _complaint(self, outbox: Outbox) -> str:
        return (
            f"{self._store.address} was emptied: the catalogue lists {outbox.chunks:,} chunks, and the record that was "
            "stored beside them is gone. Restore it, or remove the catalogue, too, so that Nextcloud's next scan fills "
            "both again"
        )
