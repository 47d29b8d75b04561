"""The limiter of questions, on a clock that only the test moves: order, bounds, and no place that is ever lost."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup

from context_chat_backend.contract import UserId
from context_chat_backend.core.admission import Admission, TooManyQuestions
from context_chat_backend.metrics import Metrics

pytestmark = pytest.mark.anyio

SECONDS = 30


class Timeless(asyncio.SelectorEventLoop):
    """Its clock stands still while there is anything to do, and is at the next date when there is not."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        loop: Any = self
        if not loop._ready and loop._scheduled:
            self._now = max(self._now, loop._scheduled[0].when())
        super()._run_once()  # type: ignore[misc]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Callable[[], object]]]:
    return "asyncio", {"loop_factory": Timeless}


async def settled() -> None:
    """When all have done what they can; anyio's own way to wait for that takes time."""
    for _ in range(10):
        await asyncio.sleep(0)


class Room:
    """A limiter, and questions that stay until they are told to go."""

    def __init__(self, tasks: TaskGroup, *, at_once: int = 1, waiting: int = 10, seconds: float = SECONDS) -> None:
        self.metrics = Metrics()
        self.limiter = Admission("search", self.metrics, at_once=at_once, waiting=waiting, seconds=seconds)
        self.began: list[str] = []
        self.refused: dict[str, float] = {}
        """When."""
        self.scopes: dict[str, anyio.CancelScope] = {}
        self._tasks = tasks
        self._over: dict[str, anyio.Event] = {}

    async def ask(self, *questions: str) -> None:
        """The first letter is the user."""
        for question in questions:
            self._over[question], self.scopes[question] = anyio.Event(), anyio.CancelScope()
            self._tasks.start_soon(self._ask, question)
            await settled()

    async def end(self, *questions: str) -> None:
        for question in questions:
            self._over[question].set()
            await settled()

    async def hang_up(self, question: str) -> None:
        self.scopes[question].cancel()
        await settled()

    async def _ask(self, question: str) -> None:
        with self.scopes[question]:
            try:
                async with self.limiter.place(UserId(question[0])):
                    self.began.append(question)
                    await self._over[question].wait()
            except TooManyQuestions:
                self.refused[question] = anyio.current_time()

    def counted(self, outcome: str) -> float | None:
        labels = {"step": "search", "outcome": outcome}
        return self.metrics.registry.get_sample_value("ccb_questions_total", labels)

    async def assert_empty(self, at_once: int) -> None:
        """So many have a place at once, neither more nor less."""
        assert self.limiter.waiting == 0
        questions = [f"z{number}" for number in range(at_once + 1)]
        await self.ask(*questions)
        assert self.began[-at_once:] == questions[:-1]
        assert self.limiter.waiting == 1
        await self.end(*questions)


async def test_so_many_at_once_and_the_others_in_their_order() -> None:
    async with anyio.create_task_group() as tasks:
        room = Room(tasks, at_once=2)
        await room.ask("a1", "a2", "a3", "a4")
        assert room.began == ["a1", "a2"]
        assert room.limiter.waiting == 2
        assert room.metrics.registry.get_sample_value("ccb_questions_waiting", {"step": "search"}) == 2
        await room.end("a2")
        assert room.began == ["a1", "a2", "a3"]
        await room.end("a1", "a3", "a4")
        assert room.counted("accepted") == 4
        await room.assert_empty(2)


async def test_users_take_turns() -> None:
    async with anyio.create_task_group() as tasks:
        room = Room(tasks)
        await room.ask("a1", "a2", "a3", "a4", "b1", "c1", "c2")
        await room.end("a1", "a2", "b1", "c1", "a3", "c2", "a4")
        assert room.began == ["a1", "a2", "b1", "c1", "a3", "c2", "a4"]


async def test_what_is_more_than_may_wait_is_refused_at_once() -> None:
    async with anyio.create_task_group() as tasks:
        room = Room(tasks, waiting=2)
        await room.ask("a1", "a2", "a3", "a4")
        assert room.refused == {"a4": 0}
        assert room.counted("refused") == 1
        await room.end("a1", "a2", "a3")
        await room.assert_empty(1)


async def test_nobody_waits_where_nobody_may() -> None:
    async with anyio.create_task_group() as tasks:
        room = Room(tasks, waiting=0)
        await room.ask("a1", "b1")
        assert room.refused == {"b1": 0}
        await room.end("a1")


async def test_who_asks_much_makes_room_for_others() -> None:
    async with anyio.create_task_group() as tasks:
        room = Room(tasks, waiting=4)
        await room.ask("a1", "a2", "a3", "a4", "a5", "b1")
        assert room.refused == {"a5": 0}, "the newest of who has most"
        await room.ask("b2")
        assert [*room.refused] == ["a5", "a4"]
        await room.ask("b3", "a6")
        assert [*room.refused] == ["a5", "a4", "b3", "a6"], "each has two, so nobody has to go for them"
        await room.ask("c1")
        assert [*room.refused] == ["a5", "a4", "b3", "a6", "a3"]
        await room.end("a1", "a2", "b1", "c1", "b2")
        assert room.began == ["a1", "a2", "b1", "c1", "b2"]
        await room.assert_empty(1)


async def test_none_waits_longer_than_it_may() -> None:
    async with anyio.create_task_group() as tasks:
        room = Room(tasks)
        await room.ask("a1", "a2")
        await anyio.sleep(SECONDS / 2)
        await room.ask("b1")
        await anyio.sleep(SECONDS)
        assert room.refused == {"a2": SECONDS, "b1": SECONDS * 1.5}
        assert room.limiter.waiting == 0
        await room.end("a1")
        await room.assert_empty(1)


async def test_a_place_that_comes_in_the_last_moment_is_taken() -> None:
    async with anyio.create_task_group() as tasks:
        room = Room(tasks)
        await room.ask("a1", "a2")
        await anyio.sleep(SECONDS - 1)
        await room.end("a1")
        await anyio.sleep(SECONDS)
        assert room.began == ["a1", "a2"]
        await room.end("a2")
        await room.assert_empty(1)


async def test_who_has_gone_away_is_passed_over() -> None:
    async with anyio.create_task_group() as tasks:
        room = Room(tasks)
        await room.ask("a1", "a2", "b1")
        await room.hang_up("a2")
        assert room.limiter.waiting == 1
        assert room.counted("gone") == 1
        await room.end("a1")
        assert room.began == ["a1", "b1"]
        await room.end("b1")
        await room.assert_empty(1)


async def test_who_goes_away_with_a_place_gives_it_back() -> None:
    async with anyio.create_task_group() as tasks:
        room = Room(tasks)
        await room.ask("a1", "b1")
        await room.hang_up("a1")
        assert room.began == ["a1", "b1"]
        await room.end("b1")
        await room.assert_empty(1)


async def test_a_place_that_is_given_to_somebody_who_goes_away_just_then_goes_on_to_the_next() -> None:
    async with anyio.create_task_group() as tasks:
        room = Room(tasks)
        await room.ask("a1", "b1", "c1")
        room._over["a1"].set()
        await asyncio.sleep(0)  # a1 gives its place to b1, which does not run before it is cancelled
        room.scopes["b1"].cancel()
        await settled()
        assert "c1" in room.began
        await room.end("b1", "c1")
        await room.assert_empty(1)


@pytest.mark.parametrize("seed", range(30))
async def test_whatever_happens_no_place_is_lost(seed: int) -> None:
    rng, at_once = random.Random(seed), 3
    async with anyio.create_task_group() as tasks:
        room = Room(tasks, at_once=at_once, waiting=8, seconds=5)
        questions = [f"{rng.choice('abcd')}{number}" for number in range(200)]
        for question in questions:
            await room.ask(question)
            for other in rng.sample([*room.scopes], min(2, len(room.scopes))):
                match rng.randrange(4):
                    case 0:
                        room.scopes[other].cancel()  # both in one turn of the loop, as it may be
                        room._over[rng.choice([*room.scopes])].set()
                    case 1:
                        await room.end(other)
                    case 2:
                        await anyio.sleep(rng.random() * 4)
                    case _:
                        pass
            running = sum(question in room.began and not room._over[question].is_set() for question in room.scopes)
            assert room.limiter.waiting <= 8
            assert running - sum(scope.cancel_called for scope in room.scopes.values()) <= at_once
        await room.end(*questions)
        await room.assert_empty(at_once)
