"""What is known of one source: its documents in R2R, and the journal's rows about them.

A source may have several documents: while a newer version is being made the older one stays findable. Which one counts
is told by their metadata alone, so that nothing has to be remembered beside R2R. The journal knows what R2R does not
tell: what was sent, what is doubted, what was given up. Its rows are changed here and nowhere else:

    sent        by `sending`; ends by `vouch_for`, `discard`, `remove`, or after a day by `tidy`
    in doubt    by `remove` and `make_room`, as R2R may delete only halfway; ends by `remove`, or by `sending` again
    given up    by `settle` and `give_up_absent`; ends by `sending` again, or after a month by `tidy`
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import anyio

from context_chat_backend.contract import NotFound, SourceId, Unavailable, UserId
from context_chat_backend.toolkit.concurrency import for_each

from .access import AT_ONCE, Readers
from .client import ASK_AGAIN, NewDocument, R2RClient
from .errors import AtWork, Exists, Refused
from .journal import Journal, JournalEntry
from .names import Names
from .wire import Document, Metadata

JUST_SENT = 60.0
"""Seconds after which R2R either shows a document that it was sent, or does not have it."""
DAY = 86_400.0
MONTH = 30 * DAY
LEAST_TRIES, LEAST_SECONDS = 5, DAY
"""After this many failures over this long a time the document is to blame, not R2R or its models."""

Wanted = Callable[[Document], Awaitable[Set[UserId]]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What the records of all sources share."""

    client: R2RClient
    names: Names
    journal: Journal
    readers: Readers
    stuck_after: float
    """Seconds after which R2R will not finish a document any more."""
    clock: Callable[[], float]


class SourceRecord:
    """As R2R answered when the record was made; make another one to see what has changed since."""

    def __init__(self, installation: Installation, source_id: SourceId, documents: Iterable[Document]) -> None:
        self.source_id = source_id
        self.documents = tuple(documents)
        self._client = installation.client
        self._names = installation.names
        self._journal = installation.journal
        self._readers = installation.readers
        self._stuck_after = installation.stuck_after
        self._clock = installation.clock

    # ------------------------------------------------------------------ versions

    @property
    def current(self) -> Document | None:
        """The newest version that searches find."""
        return next(iter(self._searchable), None)

    @property
    def _searchable(self) -> list[Document]:
        """Newest first, without those that were given up and came back."""
        found = [
            each for each in self.documents if each.is_searchable and each.own_metadata and not self._is_back(each)
        ]
        return sorted(found, key=lambda document: metadata_of(document).modified, reverse=True)

    def without(self, document: Document | None) -> list[Document]:
        """The others, as far as R2R is done with them."""
        return [each for each in self.documents if each.is_final and each is not document]

    async def confirmed(self, is_found: Callable[[Document], Awaitable[bool]]) -> Document | None:
        """The newest version that searches really find: those that are in doubt are looked at."""
        for document in self._searchable:
            if not await self.is_doubted(document) or await is_found(document):
                return document
        return None

    async def is_doubted(self, document: Document) -> bool:
        """Whether nobody has seen yet that all of a document is there."""
        return await self._journal.entry(document.id) is not None

    def free_place(self, taken: Sequence[Document]) -> UUID:
        """The id for a new version. R2R may bring back a document that was given up: not under its id if avoidable."""
        places = set(self._names.documents(self.source_id)) - {document.id for document in taken}
        return min(places, key=lambda place: (place in self._journal.given_up, place))

    # ------------------------------------------------------------------ what R2R is working on

    async def settle(self) -> None:
        """Remove documents that R2R will never finish. Raises `AtWork` as long as it may be working on one."""
        for document in self.documents:
            if not document.is_final:
                await self._give_up_if_stuck(document)
        for id_ in self._absent:
            if await self._was_just_sent(id_):
                raise AtWork("it has just been sent to R2R", retry_after=JUST_SENT)

    async def give_up_absent(self) -> None:
        """Let nothing count that was sent and that R2R may not have started on yet."""
        for id_ in self._absent:
            if (entry := await self._journal.entry(id_)) is not None:
                await self._give_up(id_, entry.upload)

    @property
    def _absent(self) -> list[UUID]:
        present = {document.id for document in self.documents}
        return [id_ for id_ in self._names.documents(self.source_id) if id_ not in present]

    async def _was_just_sent(self, document_id: UUID) -> bool:
        """Whether R2R may have a document that it does not show yet: its sender did not wait for the answer."""
        entry = await self._journal.entry(document_id)
        return entry is not None and not entry.given_up and self._clock() - entry.since < JUST_SENT

    async def _give_up_if_stuck(self, document: Document) -> None:
        idle = self._clock() + self._client.clock_ahead - document.updated_at.timestamp()
        if (entry := await self._journal.entry(document.id)) is not None:
            idle = min(idle, self._clock() - entry.since)  # the time zone of R2R's clock may be wrong
        if idle <= self._stuck_after:
            raise AtWork(f"R2R is still at work on it ({document.ingestion_status})", retry_after=ASK_AGAIN)
        log.warning("R2R does not finish document %s (%s): it is removed", document.id, document.ingestion_status)
        metadata = document.own_metadata
        await self._give_up(document.id, "" if metadata is None else metadata.cc_upload)
        await self._client.delete_document(document.id)

    async def _give_up(self, document_id: UUID, upload: str) -> None:
        await self._journal.give_up(document_id, self.source_id, upload=upload, now=self._clock())

    def _is_back(self, document: Document) -> bool:
        return self._journal.is_given_up(document.id, document.own_metadata)

    # ------------------------------------------------------------------ a new version

    @asynccontextmanager
    async def sending(self, document: NewDocument) -> AsyncIterator[None]:
        """A document is on its way to R2R. From now on it is in doubt."""
        provider, upload = document.metadata["provider"], document.metadata["cc_upload"]
        await self._journal.begin(document.id, self.source_id, provider, upload=upload, now=self._clock())
        try:
            yield
        except (Refused, Exists):  # R2R has answered
            raise
        except BaseException:  # also when it is cancelled
            with anyio.CancelScope(shield=True):
                await self._journal.left(document.id)
            raise

    async def blame(self, document_id: UUID, reason: str) -> None:
        """Raise `Unavailable` as long as a failure may be R2R's own, or that of its models."""
        entry = await self._journal.entry(document_id)
        if entry is None or entry.tries < LEAST_TRIES or self._clock() - entry.first < LEAST_SECONDS:
            raise Unavailable(reason, retry_after=ASK_AGAIN)
        await self._client.embed("document")  # raises if the embedding model is away right now

    async def vouch_for(self, document: Document) -> None:
        """A document was looked at, and is in all of its collections."""
        if await self.is_doubted(document):
            await self._journal.end(document.id)

    async def discard(self, document_id: UUID) -> None:
        """Nothing came of an upload, and R2R has nothing of it. It stays known if an earlier one may come back."""
        if document_id not in self._journal.given_up:
            await self._journal.end(document_id)

    # ------------------------------------------------------------------ deletion

    async def delete(self) -> None:
        """Remove the source. Raises `AtWork` as long as R2R may bring some of it back."""
        await self.remove(self.without(None))
        await self.settle()
        await self.give_up_absent()

    async def remove(self, documents: Iterable[Document]) -> None:
        """Delete documents that R2R is not working on."""

        async def remove(document: Document) -> None:
            await self._delete(document)
            await self._journal.end(document.id)

        await for_each(remove, documents, at_once=AT_ONCE)

    async def make_room(self, documents: Iterable[Document]) -> None:
        """The same where another try follows: the number of tries stays known."""
        await for_each(self._delete, documents, at_once=AT_ONCE)

    async def _delete(self, document: Document) -> None:
        await self._readers.forget_graphs(document)
        if (metadata := document.own_metadata) is not None:
            await self._journal.doubt(document.id, metadata.source_id, metadata.provider, upload=metadata.cc_upload)
        await self._client.delete_document(document.id)

    # ------------------------------------------------------------------ access

    async def change_readers(self, wanted: Wanted) -> None:
        """Give all versions that can be found the readers that are wanted of the current one.

        Raises `NotFound` where there is none, and `AtWork` where R2R may undo the change.
        """
        current = self.current
        if current is not None:
            await self._set_all_readers(current, self.without(current), await wanted(current))
        # what can be found is right by now; a version that R2R is working on would get its earlier readers back
        await self.settle()
        if current is None:
            await self.give_up_absent()
            raise NotFound("no such source")

    async def _set_all_readers(self, current: Document, older: Sequence[Document], user_ids: Set[UserId]) -> None:
        """Older versions are removed, unless there may be nothing to find of the current one."""
        await self._set_readers(current, user_ids)
        if not await self.is_doubted(current) or await self._client.has_chunks(current.id):
            await self.remove(older)
            return
        for document in (each for each in older if each.is_searchable):
            await self._set_readers(document, await self._readers.of(document) & user_ids)

    async def _set_readers(self, document: Document, user_ids: Set[UserId]) -> None:
        if user_ids:
            await self._readers.set(document, metadata_of(document).provider, user_ids)
        else:
            await self.remove([document])

    # ------------------------------------------------------------------ tidying up

    async def tidy(self, entries: Iterable[JournalEntry]) -> None:
        """Remove given-up documents that came back, and forget uploads that nothing came of."""
        stored = {document.id: document for document in self.documents}
        for entry in entries:
            if (document := stored.get(entry.document_id)) is not None:
                await self._tidy_stored(document, entry)
            elif self._clock() - entry.since > (MONTH if entry.given_up else DAY):
                await self._journal.end(entry.document_id)

    async def _tidy_stored(self, document: Document, entry: JournalEntry) -> None:
        if entry.given_up and not self._is_back(document):
            await self._journal.end(document.id)  # made anew, by another gateway
        elif entry.given_up and document.is_final:
            await self._client.delete_document(document.id)


def metadata_of(document: Document) -> Metadata:
    """The metadata of a document that has been seen to have them."""
    metadata = document.own_metadata
    if metadata is None:
        raise Unavailable("the metadata of a document in R2R were damaged")
    return metadata
