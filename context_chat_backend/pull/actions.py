"""Takes access changes and deletions from their queue and has them carried out, in the order of their numbers."""

import json
import logging
from collections.abc import Iterator, Sequence

import anyio

from ..core.service import ContextChat
from ..core.state import State
from ..nextcloud.errors import Failed, TryLater
from ..nextcloud.queues import LEASE_GRACE_SECONDS, ActionRow, Queues
from ..toolkit.concurrency import let_finish
from .caution import Caution
from .history import History, Numbered
from .leases import Leases
from .payloads import Unreadable, action_of

BATCH = 512
"""Rows that are taken at a time."""

log = logging.getLogger(__name__)


class Actions:
    """A batch costs two durable writes: one before it is begun, one when it is carried out. Call `open` before anything
    else. Raises `NextcloudError`s and `DriverError`s; what was taken is then tried again by the next call.
    """

    def __init__(self, queues: Queues, chat: ContextChat, leases: Leases, history: History, state: State) -> None:
        self._queues = queues
        self._chat = chat
        self._leases = leases
        self._history = history
        self._state = state
        self._caution = Caution(state, "actions")
        self._unwritten: list[ActionRow] = []
        """Taken from the queue, and refused by the disk."""
        self._waiting: list[ActionRow] = []
        self._done: dict[int, None] = {}
        """Carried out and not acknowledged."""
        self._acknowledged: list[int] = []
        """And still in the state."""

    async def open(self) -> None:
        """Take over what was taken before a restart."""
        await self._caution.open()
        for number, kind, payload, done in await self._state.fetch("select * from leased_actions order by number"):
            if done:
                self._done[int(str(number))] = None
            else:
                self._waiting.append(ActionRow(int(str(number)), str(kind), json.loads(str(payload))))

    async def carry_out_all(self, *, seconds: float) -> bool:
        """Until the queue is empty, or for so long. Whether there were any."""
        until = anyio.current_time() + seconds
        found = False
        while anyio.current_time() < until and await self._next_batch():
            found = True
            await self._carry_out_batch()
        return found

    async def _next_batch(self) -> bool:
        if not self._waiting:
            await self._acknowledge()
            await self._take()
        return bool(self._waiting)

    async def _take(self) -> None:
        async with let_finish(LEASE_GRACE_SECONDS):
            if not self._unwritten:
                self._unwritten = await self._lease()
            new = [row for row in self._unwritten if row.number not in self._done]
            await self._state.execute_all(
                ("delete from leased_actions where number = ?", [(number,) for number in self._acknowledged]),
                (
                    "insert or ignore into leased_actions values (?, ?, ?, false)",
                    [(row.number, row.type, json.dumps(row.payload)) for row in new],
                ),
            )
            self._acknowledged.clear()
            self._unwritten = []
            self._waiting = new

    async def _lease(self) -> list[ActionRow]:
        try:
            rows = await self._queues.lease_actions(self._caution.most(BATCH))
        except Failed:
            await self._history.note_lost()
            await self._caution.failed()
            raise
        except TryLater:
            await self._history.note_lost()
            raise
        self._caution.succeeded(BATCH)
        return rows

    async def _carry_out_batch(self) -> None:
        batch = self._waiting
        actions = list(_readable(batch))
        await self._notice_restart(batch)
        highest = self._history.numbers.highest
        if batch[0].number > highest and await self._history.may_be_lost_ones(batch[0].number):
            highest = batch[-1].number
        late = [(number, action) for number, action in actions if number <= highest]
        await self._carry_out_late(late)
        await self._chat.apply_all(action for _, action in actions[len(late) :])
        numbers = self._history.numbers.with_those(row.number for row in batch)
        changes = self._leases.changes()
        await self._state.execute_all(
            ("update leased_actions set done = true where number = ?", [(row.number,) for row in batch]),
            changes.statement,
            self._history.of_actions(actions),
            *numbers.statements(),
        )
        self._history.numbers = numbers
        self._leases.saved(changes)
        self._done.update(dict.fromkeys(row.number for row in batch))
        self._waiting = []
        await self._acknowledge()
        if not late:
            await self._history.tidy_up()

    async def _notice_restart(self, batch: Sequence[ActionRow]) -> None:
        if any(self._history.numbers.have_restarted(row.number) for row in batch):
            log.warning("the numbers of actions have started again: Context Chat was installed anew")
            await self._history.forget()

    async def _carry_out_late(self, late: Sequence[Numbered]) -> None:
        """Each alone: what is left of one depends on those before it."""
        if late:
            log.warning("%d actions come after newer ones: an answer of Nextcloud was lost a day ago", len(late))
            await self._chat.write_ledger()  # which knows the sources of a provider
        for number, action in late:
            await self._chat.apply_all([left async for left in self._history.left_of(number, action)])

    async def _acknowledge(self) -> None:
        numbers = list(self._done)
        if not numbers:
            return
        try:
            await self._queues.acknowledge_actions(numbers)
        except Failed as error:  # kept, and told again with the next ones: nothing waits for it
            log.warning("Nextcloud failed when it was told that actions are done: %s", error)
            return
        self._acknowledged += numbers
        self._done.clear()


def _readable(rows: Sequence[ActionRow]) -> Iterator[Numbered]:
    """In the order of their numbers. The others can never be done: they are acknowledged with them."""
    for row in sorted(rows, key=lambda row: row.number):
        try:
            yield row.number, action_of(row)
        except Unreadable as reason:
            log.warning("action %d (%s) is dropped: %s", row.number, row.type or "without a type", reason)
