"""Brings a store up to what its catalogue says: in the background, in few calls, again after failures."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import anyio

from ...contract import TransientError, Unavailable
from ..background import periodically
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
        await periodically(
            "bringing the store up to date",
            self.deliver,
            LOOK_SECONDS,
            first=0,
            wake=self._next_changes,
            pause=FIRST_PAUSE,
            longest=LONGEST_PAUSE,
        )

    async def deliver_last(self) -> None:
        """What can be done in a moment, before the driver is left."""
        with anyio.move_on_after(LAST_SECONDS, shield=True):
            try:
                await self.deliver()
            except Exception as error:  # noqa: BLE001 - the next start does it; leaving must not fail
                log.warning("the store is brought up to date at the next start: %s", error)

    async def deliver(self) -> None:
        """Carry out what there is to do now. Where something fails the rest is done, and the first failure raised."""
        self._seen = self._changes.count
        async with self._database.alone("outbox") as alone:
            failures = [await _failure_of(step) for step in (self._regroup, self._remove)] if alone else []
        _raise_first(failures)

    async def _regroup(self) -> None:
        """Have the chunks of each document carry its group. Order does not matter: the newest state is what counts."""
        failures, after = list[Exception | None](), (0, 0)
        budget = self._budget()
        while stale := await self._catalogue.stale_documents(after, **budget):
            failure = await _failure_of(partial(self._tell_group, stale))
            if isinstance(failure, TransientError) and not isinstance(failure, _NotShown):
                raise failure  # the others would meet the same
            failures.append(failure)
            after = stale.last
        # what cannot be confirmed is isolated step by step, so that it does not keep the others of its batch waiting
        complete = not any(failures)
        self._divisor = 1 if complete else min(self._divisor * SMALLER, self._store.documents_per_call)
        _raise_first(failures)

    async def _tell_group(self, stale: StaleDocuments) -> None:
        if not await self._store.regroup(stale.extents, stale.group):
            raise _NotShown(f"the store does not show all chunks of {len(stale.extents)} documents yet")
        await self._catalogue.confirm_group(stale, settle_seconds=self._store.settle_seconds)

    async def _remove(self) -> None:
        after: DocumentKey | None = None
        while extents := await self._catalogue.due_removals(after, **self._budget()):
            await self._store.remove(extents)
            await self._catalogue.confirm_removals(extents)
            after = extents[-1].document

    def _budget(self) -> dict[str, int]:
        documents = max(1, self._store.documents_per_call // self._divisor)
        return {"documents": documents, "chunks": self._store.chunks_per_call}

    async def _next_changes(self) -> None:
        """Wait for changes, and then for them to cease, so that sharing a folder is a few calls and not thousands."""
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


class _NotShown(Unavailable):
    """The store lags behind with these documents; others may be fine."""


async def _failure_of(step: Callable[[], Awaitable[None]]) -> Exception | None:
    try:
        await step()
    except Exception as error:  # noqa: BLE001 - raised again once the rest is done
        return error
    return None


def _raise_first(failures: Sequence[Exception | None]) -> None:
    for failure in filter(None, failures):
        raise failure
