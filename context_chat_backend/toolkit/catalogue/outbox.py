"""Brings a store up to what its catalogue says: in the background, in few calls, again after failures."""

import logging
from collections.abc import Awaitable, Callable

import anyio

from ...contract import DriverError, Misconfigured, TransientError
from ..postgres.database import Database
from .catalogue import Catalogue, Changes, StaleDocuments
from .store import DocumentKey, VectorStore

QUIET_SECONDS = 1.0
"""Changes are carried out once none has come for so long, ..."""
LONGEST_WAIT = 15.0
"""... but at the latest so long after the first."""
LOOK_SECONDS = 60.0
"""How often to look for removals that have become due, and for what other gateways left."""
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0
"""After a failure."""
LAST_SECONDS = 3.0
SMALLER = 4

log = logging.getLogger(__name__)


class OutboxRelay:
    """Carries the outbox of a catalogue to its store.

    Nobody waits for it: every match is checked in the catalogue, so that a store which is behind shows nothing that it
    should not. What has to be done is read from the catalogue, so that it survives crashes, and needs doing only once
    however often a document has changed.
    """

    def __init__(self, catalogue: Catalogue, store: VectorStore, database: Database, changes: Changes) -> None:
        self._catalogue = catalogue
        self._store = store
        self._database = database
        self._changes = changes
        self._seen = 0
        self._divisor = 1

    async def run(self) -> None:
        """Ends by cancellation."""
        pause = FIRST_PAUSE
        while True:
            if await self.deliver():
                if pause > FIRST_PAUSE:
                    log.info("the store is up to date again")
                pause = FIRST_PAUSE
                await self._next_changes()
            else:
                await anyio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def deliver_last(self) -> None:
        """What can be done in a moment, before the driver is left."""
        with anyio.move_on_after(LAST_SECONDS, shield=True):
            await self.deliver()

    async def deliver(self) -> bool:
        """Carry out what there is to do now. False where some of it has to be tried again; why is in the log."""
        self._seen = self._changes.count
        return await _attempt(self._deliver_alone)

    async def _deliver_alone(self) -> bool:
        async with self._database.alone("outbox") as alone:
            return not alone or all([await _attempt(self._regroup), await _attempt(self._remove)])

    async def _regroup(self) -> bool:
        """Have the chunks of each document carry its group. Order does not matter: the newest state is what counts."""
        complete, after = True, (0, 0)
        budget = self._budget()
        while stale := await self._catalogue.stale_documents(after, **budget):
            try:
                complete &= await self._tell_group(stale)
            except TransientError:
                raise  # the others would meet the same
            except Exception as error:  # noqa: BLE001 - reported; what is wrong with these must not keep the others
                _report(error)
                complete = False
            after = stale.last
        # what cannot be confirmed is isolated step by step, so that it does not keep the others of its batch waiting
        self._divisor = 1 if complete else min(self._divisor * SMALLER, self._store.documents_per_call)
        return complete

    async def _tell_group(self, stale: StaleDocuments) -> bool:
        if not await self._store.regroup(stale.extents, stale.group):
            log.info("the store does not show all chunks of %d documents yet, it is told again", len(stale.extents))
            return False
        await self._catalogue.confirm_group(stale, settle_seconds=self._store.settle_seconds)
        return True

    async def _remove(self) -> bool:
        after: DocumentKey | None = None
        while extents := await self._catalogue.due_removals(after, **self._budget()):
            await self._store.remove(extents)
            await self._catalogue.confirm_removals(extents)
            after = extents[-1].document
        return True

    def _budget(self) -> dict[str, int]:
        documents = max(1, self._store.documents_per_call // self._divisor)
        return {"documents": documents, "chunks": self._store.chunks_per_call}

    async def _next_changes(self) -> None:
        """Wait for changes, and then for them to cease, so that sharing a folder is a few calls and not thousands."""
        with anyio.move_on_after(LOOK_SECONDS):
            while not self._new_changes:
                await self._changes.wait()
            with anyio.move_on_after(LONGEST_WAIT):
                await self._silence()

    async def _silence(self) -> None:
        before = 0
        while before != self._new_changes < self._store.documents_per_call:
            before = self._new_changes
            with anyio.move_on_after(QUIET_SECONDS):
                await self._changes.wait()

    @property
    def _new_changes(self) -> int:
        return self._changes.count - self._seen


async def _attempt(step: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await step()
    except Exception as error:  # noqa: BLE001 - reported; a bug here must not end the gateway, which is right without it
        _report(error)
        return False


def _report(error: Exception) -> None:
    match error:
        case Misconfigured():
            log.error("the store cannot be brought up to date: %s", error)
        case DriverError():
            log.warning("the store could not be brought up to date, it is tried again: %s", error)
        case _:
            log.error("the store could not be brought up to date, it is tried again", exc_info=error)
