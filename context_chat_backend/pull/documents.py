"""Takes documents from their queue, a few at a time, and has them indexed."""

import logging
import math
import time
from collections import deque
from collections.abc import Iterable, Sequence

import anyio

from ..contract import TransientError
from ..core.commands import Command, Verb
from ..core.service import ContextChat, Verdict
from ..core.state import State
from ..nextcloud.errors import Failed
from ..nextcloud.queues import LEASE_GRACE_SECONDS, DocumentRow, Queue, Queues
from ..toolkit.background import pause_after
from ..toolkit.concurrency import Toggle, let_finish
from .caution import Caution
from .leases import Key, Lease, Leases
from .media import Media

PLACES_PER_WORKER = 6
"""One row is indexed, and others wait, so that nobody waits for Nextcloud. No more: what changes while its row is
taken is not queued again."""
FIRST_PAUSE = 10.0
LONGEST_PAUSE = 3600.0
"""Seconds until a document that failed for a passing reason is tried again, doubled each time."""
MOST_PARKED = 10_000
"""Documents that wait for another try. With more of them no new ones are taken."""
MOST_MEDIA = 10_000
"""Images and recordings that wait to be read. That are many, because rows come in their order: text that stands behind
them would have to wait for models, too."""
MOST_FAILED_ACKNOWLEDGEMENTS = 3
"""Nextcloud may say that it failed when it did not; a row that is still there comes back after 24 hours."""

log = logging.getLogger(__name__)


class Documents:
    """Call `open` before anything else, run `work` as often as documents are to be indexed side by side."""

    def __init__(self, queues: Queues, chat: ContextChat, leases: Leases, state: State, *, workers: int) -> None:
        self._queues = queues
        self._caution = Caution(state, "documents")
        self._chat = chat
        self._leases = leases
        self._places = workers * PLACES_PER_WORKER
        self._asked_at, self._asked_for = 0.0, 0
        self._unwritten: list[DocumentRow] = []
        """Taken from the queue, and refused by the disk."""
        self._waiting: deque[Lease] = deque()
        self._handed_out = anyio.Event()
        self._at_hand: set[Key] = set()
        self._parked: dict[Key, tuple[float, Lease]] = {}
        self._done: list[Lease] = []
        self._unreadable: list[Key] = []
        self._failed_acknowledgements = 0
        self._changed = anyio.Event()
        self._media = Media(self._hand_out, self._failed)

    async def open(self) -> None:
        """Go on with what was taken before a restart."""
        await self._caution.open()
        for lease in await self._leases.open():
            self._hand_out(lease)

    @property
    def has_room(self) -> bool:
        """Whether more rows can be taken."""
        parked_media = sum(lease.transcript is not None for _, lease in self._parked.values())
        return (
            self._free >= self._places // 2  # each time costs Nextcloud three requests
            and len(self._parked) - parked_media < MOST_PARKED
            and len(self._media) + parked_media < MOST_MEDIA
        )

    @property
    def _free(self) -> int:
        return self._places - len(self._at_hand)

    async def take(self) -> bool:
        """As many rows as there is room for. Whether there were any, and there may be more."""
        async with let_finish(LEASE_GRACE_SECONDS):
            if not self._unwritten:
                self._unwritten = await self._lease(self._free // 2)  # of each of the two kinds
            rows = self._unwritten
            for lease in await self._leases.add(self._sorted_out(rows)):
                self._parked.pop(lease.key, None)
                self._hand_out(lease)
            self._unwritten = []
            if sum(row.queue is Queue.ITEMS for row in rows) < self._asked_for:
                self._leases.note_no_items_left(self._asked_at)
        if self._unreadable:
            self._notify()
        return bool(rows)

    async def _lease(self, wanted: int) -> list[DocumentRow]:
        self._asked_at, self._asked_for = time.time(), self._caution.most(wanted)
        try:
            rows = await self._queues.lease_documents(self._asked_for)
        except Failed:
            await self._caution.failed()
            raise
        self._caution.succeeded(wanted)
        return rows

    def resume(self) -> float:
        """Try those again whose pause is over. Seconds until the next one's is."""
        now = anyio.current_time()
        for due, lease in list(self._parked.values()):
            if due <= now:
                del self._parked[lease.key]
                if self._leases.is_current(lease):
                    self._hand_out(lease)
        return min((due - now for due, _ in self._parked.values()), default=math.inf)

    async def wait_until_through(self) -> None:
        """Until there is something to acknowledge."""
        while not (self._done or self._unreadable):
            await self._changed.wait()

    async def work(self, usable: Toggle) -> None:
        """Index one document after the other, while the backend is `usable`; ends by cancellation."""
        while True:
            await usable.wait_for(True)
            while not self._waiting:
                await self._handed_out.wait()
            lease = self._waiting.popleft()
            if not self._leases.is_current(lease):
                continue
            try:
                verdict = await self._load(lease)
            except anyio.get_cancelled_exc_class():  # for when pulling goes on
                self._waiting.appendleft(lease)
                raise
            match verdict:
                case Verdict.RETRY:
                    self._park(lease)
                case Verdict.UNREAD:
                    self._at_hand.discard(lease.key)
                    self._media.add(lease)
                case _:
                    self._done.append(lease)
            self._notify()

    async def read_media(self) -> None:
        """Have one image or recording after the other read; ends by cancellation. Run it as often as models may be
        busy for this."""
        await self._media.work()

    async def obey(self, command: Command) -> None:
        """The operator wants a source tried now, or not again."""
        for lease in await self._leases.drop(command.source_id, dropped=command.verb is Verb.DROP):
            was_parked = self._parked.pop(lease.key, None) is not None
            if was_parked or (lease.dropped and self._media.withdraw(lease)):
                self._hand_out(lease)

    @property
    def indexed(self) -> Sequence[Lease]:
        """What is through, and not acknowledged yet."""
        return tuple(self._done)

    async def acknowledge(self, indexed: Sequence[Lease]) -> None:
        """Tell Nextcloud what is through. Raises `NextcloudError`s.

        Only what was indexed before the waiting actions were asked for: a deletion among them may have been undone
        since then, and of that Nextcloud queues nothing as long as the row is there.
        """
        done = self._through(indexed)
        unreadable = list(self._unreadable)
        if not done and not unreadable:
            return
        await self._chat.write_ledger()  # after a crash nobody would know what became of them
        try:
            await self._queues.acknowledge_documents([*(lease.key for lease in done), *unreadable])
        except Failed:
            self._failed_acknowledgements += 1
            if self._failed_acknowledgements < MOST_FAILED_ACKNOWLEDGEMENTS:
                raise
        self._failed_acknowledgements = 0
        await self._leases.remove(done)
        for lease in done:
            self._done.remove(lease)
            self._at_hand.discard(lease.key)
        self._unreadable = [key for key in self._unreadable if key not in unreadable]

    def _through(self, indexed: Sequence[Lease]) -> list[Lease]:
        """Those that were not deleted since they were indexed. Of the others nobody knows which was first: their files
        are looked for again."""
        done = []
        for lease in indexed:
            if not self._leases.is_current(lease):
                self._done.remove(lease)
            elif lease.deletions != lease.deletions_before and not lease.dropped:
                self._done.remove(lease)
                self._hand_out(lease)
            else:
                done.append(lease)
        return done

    async def _load(self, lease: Lease) -> Verdict:
        """Again if it was deleted meanwhile: the content that was fetched before tells nothing."""
        while not lease.dropped:
            if lease.deletions != lease.deletions_before:  # since a model began to read it
                lease.release()
            lease.deletions_before = lease.deletions
            try:
                with self._chat.arrival() as arrival:
                    verdict = await self._chat.load(lease.source, arrival, exact=lease.is_file, text=lease.transcript)
            finally:
                lease.release()
            if lease.deletions == lease.deletions_before:
                return verdict
        return Verdict.REJECTED

    def _sorted_out(self, rows: Iterable[DocumentRow]) -> Iterable[DocumentRow]:
        """Those that are new to us, and can be read."""
        for row in rows:
            key = (row.queue, row.number)
            if row.document is None:
                log.warning("row %d of the queue %s is dropped: %s", row.number, row.queue.value, row.fault)
                self._unreadable = [*dict.fromkeys([*self._unreadable, key])]
            elif self._leases.source_of(key) != row.document.reference or not self._is_in_work(key):
                yield row

    def _is_in_work(self, key: Key) -> bool:
        return key in self._at_hand or key in self._media

    def _hand_out(self, lease: Lease) -> None:
        self._chat.note_received(lease.source)
        self._at_hand.add(lease.key)
        self._waiting.append(lease)
        self._handed_out.set()
        self._handed_out = anyio.Event()

    def _failed(self, lease: Lease, error: Exception) -> None:
        """No model could read it, this time."""
        self._chat.note_failed(lease.source, error)
        self._park(lease, at_least=error.retry_after or 0 if isinstance(error, TransientError) else 0)

    def _park(self, lease: Lease, *, at_least: float = 0) -> None:
        lease.tries += 1
        pause = max(pause_after(lease.tries, FIRST_PAUSE, LONGEST_PAUSE), at_least)
        self._parked[lease.key] = (anyio.current_time() + pause, lease)
        self._chat.note_next_try(lease.source.id, pause)
        self._at_hand.discard(lease.key)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
