"""Who may go on with a question, who waits, and who is told to come back: the one place that decides."""

from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Self

import anyio

from ..contract import Busy, UserId
from ..metrics import Metrics
from ..settings import Settings

RETRY_AFTER = 10.0
"""Seconds, for whoever is told to come back: a room full of questions is usually empty by then."""


class TooManyQuestions(Busy):
    """More than are answered within the time that a question may wait."""

    def __init__(self) -> None:
        super().__init__("too many questions at once", retry_after=RETRY_AFTER)


class _Turn(Enum):
    AWAITED = auto()
    COME = auto()
    GIVEN_UP = auto()


@dataclass(eq=False, slots=True)
class _Waiter:
    turn: _Turn = _Turn.AWAITED
    decided: anyio.Event = field(default_factory=anyio.Event)

    def decide(self, turn: _Turn) -> None:
        self.turn = turn
        self.decided.set()


class Admission:
    """So many questions at once are in one step of their way, so many wait for it, each for some seconds at most.

    Users take turns: one who asks much waits for themselves. Where no more can wait, the user with most questions
    waiting loses the newest of them, be it the one that has just come.
    """

    def __init__(self, step: str, metrics: Metrics, *, at_once: int, waiting: int, seconds: float) -> None:
        """`step` is its label in the metrics."""
        self._free = at_once
        self._most_waiting = waiting
        self._seconds = seconds
        self._queues: OrderedDict[UserId, deque[_Waiter]] = OrderedDict()
        """Of the users that wait, in the order of their turns; none is empty."""
        self._outcomes = {name: metrics.questions.labels(step, name) for name in ("accepted", "refused", "gone")}
        metrics.questions_waiting.labels(step).set_function(lambda: self.waiting)

    @property
    def waiting(self) -> int:
        """How many questions wait."""
        return sum(map(len, self._queues.values()))

    @asynccontextmanager
    async def place(self, user_id: UserId) -> AsyncIterator[None]:
        """Held while a question of this user is in the step. Raises `TooManyQuestions`, at once or after waiting."""
        outcome = "gone"  # nobody waits for it any more
        try:
            await self._enter(user_id)
            outcome = "accepted"
        except TooManyQuestions:
            outcome = "refused"
            raise
        finally:
            self._outcomes[outcome].inc()
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, user_id: UserId) -> None:
        if self._free:  # then nobody waits
            self._free -= 1
            return
        self._make_room(user_id)
        waiter = _Waiter()
        self._queues.setdefault(user_id, deque()).append(waiter)
        try:
            with anyio.move_on_after(self._seconds):
                await waiter.decided.wait()
        except anyio.get_cancelled_exc_class():
            if waiter.turn is _Turn.COME:  # in the moment in which its client went away
                self._leave()
            raise
        finally:
            if waiter.turn is _Turn.AWAITED:
                self._queues[user_id].remove(waiter)
                self._forget_if_empty(user_id)
        if waiter.turn is not _Turn.COME:
            raise TooManyQuestions

    def _make_room(self, user_id: UserId) -> None:
        if self.waiting < self._most_waiting:
            return
        most = max(self._queues, key=lambda user: len(self._queues[user]), default=user_id)
        if len(self._queues.get(most, ())) <= len(self._queues.get(user_id, ())) + 1:
            raise TooManyQuestions
        self._queues[most].pop().decide(_Turn.GIVEN_UP)

    def _leave(self) -> None:
        """The place goes to the next one."""
        if not self._queues:
            self._free += 1
            return
        user_id, queue = next(iter(self._queues.items()))
        queue.popleft().decide(_Turn.COME)
        self._queues.move_to_end(user_id)
        self._forget_if_empty(user_id)

    def _forget_if_empty(self, user_id: UserId) -> None:
        if not self._queues[user_id]:
            del self._queues[user_id]


@dataclass(frozen=True, slots=True)
class Admissions:
    """The steps of a question. A place in one is given back before the next is waited for: searches take CPU time and
    connections to the database, and must not stand behind a language model that takes minutes."""

    searches: Admission
    answers: Admission
    """That are written, by a model or by a backend."""

    @classmethod
    def of(cls, settings: Settings, metrics: Metrics) -> Self:
        """As the settings say."""
        waiting, seconds = settings.questions_waiting, settings.question_wait_secs
        return cls(
            Admission("search", metrics, at_once=settings.searches_at_once, waiting=waiting, seconds=seconds),
            Admission("answer", metrics, at_once=settings.answers_at_once, waiting=waiting, seconds=seconds),
        )
