"""The documents that were taken from the queue and are not acknowledged yet."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..contract import Content, ProviderId, Source, SourceId, UserId
from ..core.actions import Action, DeleteSources, SetAccess, UpdateAccess, as_after
from ..core.contents import NoContent
from ..core.descriptions import MAX_MODIFIED, clean_mime_type, clean_title
from ..core.state import State
from ..nextcloud.queues import Document, DocumentRow, Queue
from ..toolkit.sqlite import Row
from .history import History
from .transcripts import Transcript

Key = tuple[Queue, int]
"""Of a row: its queue and its number there."""
UNKNOWN_TYPE = "application/octet-stream"
NOT_YET = NoContent("not fetched")

_ADD = "insert or replace into leased_documents values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, false)"
_OPEN = """
    select queue, number, source_id, provider, title, mime_type, modified, size, user_ids, dropped
      from leased_documents order by queue, number
"""


@dataclass(eq=False, slots=True)
class Lease:
    """A row in our hands."""

    queue: Queue
    number: int
    source: Source
    """As it is to be stored by now."""
    size: int
    """Bytes, as the row says."""
    deletions: int = 0
    """How often the source was deleted since the row was taken."""
    deletions_before: int = 0
    """The same when its content was begun to be fetched."""
    tries: int = 0
    dropped: bool = False
    """The operator does not want it: it is acknowledged as it is."""
    transcript: Transcript | None = None
    """What is indexed in place of the content of an image or a recording, where a backend does not read those."""

    @property
    def key(self) -> Key:
        """Of its row."""
        return self.queue, self.number

    @property
    def is_file(self) -> bool:
        """Nextcloud looks up all readers of a file when it hands out its row, and has its content as long as the file
        is there. What apps submitted waits in the queue as it was then."""
        return self.queue is Queue.FILES

    def release(self) -> None:
        """Nobody needs its bytes any more; those who do will fetch them again."""
        self.source.content.release()
        if self.transcript is not None:
            self.transcript.release()

    def note(self, action: Action) -> bool:
        """An action was carried out: change the source as that would have changed it. False if it does not."""
        if not self.source.user_ids:  # deleted: what comes later finds nothing
            return False
        changed = as_after(self.source, [action])
        if changed is not None:
            is_new = changed.user_ids != self.source.user_ids
            self.source = changed
            return is_new
        self.deletions += 1
        if self.is_file:  # may be from before the row: whether the file is there, only its content tells
            return False
        self.source = replace(self.source, user_ids=frozenset())
        return True


ContentOf = Callable[[Lease], Content]
"""Makes the content of a lease whose source has none yet."""
TranscriptOf = Callable[[Lease], Transcript | None]
"""Makes the transcript of a lease, where it may need one."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Readers by lease, as they are to be in the state."""

    readers: Mapping[Lease, frozenset[UserId]]

    @property
    def statement(self) -> tuple[str, list[Row]]:
        """A statement with its rows."""
        rows = [(_json(user_ids), *_names(lease)) for lease, user_ids in self.readers.items()]
        return "update leased_documents set user_ids = ? where queue = ? and number = ?", rows


class Leases:
    """In memory and in the state, so that a row that was taken is finished after a crash: Nextcloud gives it to nobody
    for 24 hours. Call `open` before anything else. Raises what `State` raises.
    """

    def __init__(self, state: State, history: History, content_of: ContentOf, transcript_of: TranscriptOf) -> None:
        self._state = state
        self._history = history
        self._content_of = content_of
        self._transcript_of = transcript_of
        self._leases: dict[Key, Lease] = {}
        self._of_source: defaultdict[SourceId, set[Lease]] = defaultdict(set)
        self._unsaved: dict[Lease, None] = {}
        self._no_items_left = 0.0

    async def open(self) -> list[Lease]:
        """Those from before a restart."""
        for row in await self._state.fetch(_OPEN):
            self._add(self._with_content(_lease_of(row)))
        return list(self._leases.values())

    async def text_of(self, key: Key) -> str:
        """The text that came with a row: kept on the disk only, since thousands of rows may wait for another try."""
        rows = await self._state.fetch("select content from leased_documents where queue = ? and number = ?", *key)
        return str(rows[0][0] or "") if rows else ""

    async def add(self, rows: Iterable[DocumentRow]) -> list[Lease]:
        """Take rows over, before anything is begun with them. Only those that have a document."""
        texts = {_lease_from(row, row.document): row.document.content for row in rows if row.document is not None}
        new = list(texts)
        for lease in new:
            if not lease.is_file:
                await self._narrow(lease)
        await self._state.execute_all(
            (_ADD, [_row_of(lease, text) for lease, text in texts.items()]),
            self._history.of_leases((lease.source.id, lease.is_file) for lease in new),
        )
        for lease in new:
            self._add(self._with_content(lease))
        return new

    def note_no_items_left(self, when: float) -> None:
        """At that moment (Unix seconds) no row of an app waited in the queue: those that come were submitted later."""
        self._no_items_left = when

    async def _narrow(self, lease: Lease) -> None:
        source = lease.source
        readers = await self._history.narrowed(source.id, source.user_ids, self._no_items_left)
        lease.source = replace(source, user_ids=readers)

    async def remove(self, leases: Iterable[Lease]) -> None:
        """Their rows are acknowledged."""
        gone = [lease for lease in leases if self.is_current(lease)]
        await self._state.execute_many("delete from leased_documents where queue = ? and number = ?", map(_names, gone))
        for lease in gone:
            self._drop(lease)

    async def drop(self, source_id: SourceId, *, dropped: bool) -> list[Lease]:
        """Whether the operator wants the rows of a source; they are returned."""
        await self._state.execute("update leased_documents set dropped = ? where source_id = ?", dropped, source_id)
        for lease in self.of(source_id):
            lease.dropped = dropped
        return self.of(source_id)

    def is_current(self, lease: Lease) -> bool:
        """Whether it stands for its row still: numbers may come again for another source."""
        return self._leases.get(lease.key) is lease

    def source_of(self, key: Key) -> SourceId | None:
        """What a row in our hands is about."""
        return self._leases[key].source.id if key in self._leases else None

    def of(self, source_id: SourceId) -> list[Lease]:
        """The rows of a source."""
        return list(self._of_source.get(source_id, ()))

    def note(self, action: Action) -> None:
        """An action was carried out. What it changes is kept with the next `changes`."""
        for lease in self._met_by(action):
            if lease.note(action):
                self._unsaved[lease] = None

    def changes(self) -> Changes:
        """What was noted and is not in the state, for a transaction of the caller, who calls `saved` then."""
        return Changes({lease: lease.source.user_ids for lease in self._unsaved})

    def saved(self, changes: Changes) -> None:
        """The state agrees with these."""
        for lease, user_ids in changes.readers.items():
            if lease.source.user_ids == user_ids:
                self._unsaved.pop(lease, None)

    async def flush(self) -> None:
        """Have the state agree with what was noted."""
        if self._unsaved:
            changes = self.changes()
            await self._state.execute_all(changes.statement)
            self.saved(changes)

    def _met_by(self, action: Action) -> list[Lease]:
        match action:
            case DeleteSources(source_ids):
                return [lease for id_ in source_ids for lease in self._of_source.get(id_, ())]
            case SetAccess(_, source_id) | UpdateAccess(_, _, source_id):
                return self.of(source_id)
            case _:
                return list(self._leases.values())

    def _add(self, lease: Lease) -> None:
        if (former := self._leases.get(lease.key)) is not None:
            self._drop(former)
        self._leases[lease.key] = lease
        self._of_source[lease.source.id].add(lease)

    def _drop(self, lease: Lease) -> None:
        del self._leases[lease.key]
        self._unsaved.pop(lease, None)
        self._of_source[lease.source.id].discard(lease)
        if not self._of_source[lease.source.id]:
            del self._of_source[lease.source.id]

    def _with_content(self, lease: Lease) -> Lease:
        lease.source = replace(lease.source, content=self._content_of(lease))
        lease.transcript = self._transcript_of(lease)
        return lease


def _names(lease: Lease) -> Row:
    return lease.queue.value, lease.number


def _lease_from(row: DocumentRow, document: Document) -> Lease:
    source = Source(
        id=SourceId(document.reference),
        provider=ProviderId(document.provider),
        title=clean_title(document.title),
        mime_type=clean_mime_type(document.type) or UNKNOWN_TYPE,
        modified=max(-MAX_MODIFIED, min(document.modified, MAX_MODIFIED)),
        user_ids=frozenset(map(UserId, document.user_ids)),
        content=NOT_YET,
    )
    return Lease(row.queue, row.number, source, document.size)


def _row_of(lease: Lease, text: str | None) -> Row:
    source = lease.source
    return (
        lease.queue.value,
        lease.number,
        source.id,
        source.provider,
        source.title,
        source.mime_type,
        source.modified,
        lease.size,
        text,
        _json(source.user_ids),
    )


def _lease_of(row: Sequence[Any]) -> Lease:
    queue, number, source_id, provider, title, mime_type, modified, size, user_ids, dropped = row
    source = Source(
        id=SourceId(source_id),
        provider=ProviderId(provider),
        title=title,
        mime_type=mime_type,
        modified=modified,
        user_ids=frozenset(map(UserId, json.loads(user_ids))),
        content=NOT_YET,
    )
    return Lease(Queue(queue), number, source, size, dropped=bool(dropped))


def _json(user_ids: Iterable[UserId]) -> str:
    return json.dumps(sorted(user_ids))
