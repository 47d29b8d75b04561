"""Uploads and actions at once over a driver that fails now and then: some order of them explains what is stored."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from math import inf
from pathlib import Path
from typing import TypeVar

import anyio
import pytest
from anyio.lowlevel import checkpoint

from context_chat_backend.conformance.kit import FileContent
from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import AccessOp, Content, ProviderId, Source, SourceId, Unavailable, UserId
from context_chat_backend.core import turns
from context_chat_backend.core.actions import (
    Action,
    DeleteProvider,
    DeleteSources,
    DeleteUser,
    Reach,
    SetAccess,
    UpdateAccess,
    UpdateProviderAccess,
    as_after,
    reach_of,
)
from context_chat_backend.core.admission import Admissions
from context_chat_backend.core.contents import NoContent
from context_chat_backend.core.ledger import Ledger
from context_chat_backend.core.marks import Marks
from context_chat_backend.core.ordering import Order
from context_chat_backend.core.rules import Rules
from context_chat_backend.core.service import ContextChat, Verdict
from context_chat_backend.core.state import State
from context_chat_backend.layers.hash_cache import HashCache
from context_chat_backend.layers.layer import Layer
from context_chat_backend.layers.settings import LayerSettings
from context_chat_backend.metrics import Metrics
from context_chat_backend.retrieval.generators import Extractive
from tests.gateway import make_settings

pytestmark = pytest.mark.anyio

T = TypeVar("T")

FILES, MAIL = ProviderId("files__default"), ProviderId("mail__mail")
IDS = tuple(SourceId(f"{provider}: {item}") for provider, item in ((FILES, 1), (FILES, 2), (MAIL, 1)))
USERS = tuple(map(UserId, ("alice", "bob", "carol")))
ACTIONS, LOADERS, LOADS = 4, 2, 3

Stored = tuple[int, frozenset[UserId]] | None
"""The version and its readers."""


class Shaky(Layer):
    """Takes its time, fails before or after it did what it was asked to."""

    def __init__(self, inner: ReferenceDriver, rng: random.Random) -> None:
        super().__init__(inner)
        self._rng = rng

    async def around(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        await pause(self._rng)
        if self._rng.random() < 0.15:
            raise Unavailable("before")
        result = await call()
        await pause(self._rng)
        if self._rng.random() < 0.15:
            raise Unavailable("after")
        return result


async def pause(rng: random.Random, most: int = 12) -> None:
    for _ in range(rng.randrange(most)):
        await checkpoint()


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was asked for, and took effect between two moments: once at least, unless it may have failed."""

    begin: float
    end: float
    what: Action | Source
    may_fail: bool = False

    def touches(self, source_id: SourceId) -> bool:
        if isinstance(self.what, Source):
            return self.what.id == source_id
        reach = reach_of(self.what)
        return bool(reach.everywhere or source_id in reach.sources or provider_of(source_id) in reach.providers)

    def keeps_behind(self, action: "Event") -> bool:
        """An action that has to be repeated holds back what came after it; a deletion of a user only what names the
        user."""
        if isinstance(action.what, Source) or self.begin <= action.begin:
            return False
        mine = Reach(users=self.what.user_ids) if isinstance(self.what, Source) else reach_of(self.what)
        other = reach_of(action.what)
        return not (mine.everywhere or other.everywhere) or not mine.users.isdisjoint(other.users)


def provider_of(source_id: SourceId) -> ProviderId:
    return ProviderId(source_id.partition(": ")[0])


class Episode:
    """One gateway's share of work, with a clock that only counts."""

    def __init__(self, chat: ContextChat, rng: random.Random, contents: Sequence[FileContent]) -> None:
        self.events: list[Event] = []
        self._chat = chat
        self._rng = rng
        self._contents = contents
        self._moment = 0

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._act)
            for _ in range(LOADERS):
                tasks.start_soon(self._load)

    def _now(self) -> int:
        self._moment += 1
        return self._moment

    async def _act(self) -> None:
        """As Nextcloud does: in order, those that failed again in the next round."""
        queue = list(dict.fromkeys(self._action() for _ in range(ACTIONS)))  # two equal ones cannot be told apart
        begun: dict[Action, int] = {}
        while queue:
            for action in list(queue):
                await pause(self._rng)
                begun.setdefault(action, self._now())
                with suppress(Unavailable):
                    async with self._chat.apply(action) as place:
                        if self._rng.random() < 0.15:
                            continue  # the answer is lost
                        await place.settle()
                    queue.remove(action)
                    self.events.append(Event(begun[action], self._now(), action))

    def _action(self) -> Action:
        rng = self._rng
        users, id_, provider, op = self._users(), rng.choice(IDS), rng.choice((FILES, MAIL)), rng.choice(list(AccessOp))
        actions: dict[Action, int] = {
            UpdateAccess(op, users, id_): 9,
            SetAccess(users, id_): 3,
            UpdateProviderAccess(op, users, provider): 3,
            DeleteSources(frozenset(rng.sample(IDS, 2))): 2,
            DeleteUser(rng.choice(USERS)): 2,
            DeleteProvider(provider): 1,
        }
        return rng.choices(list(actions), weights=list(actions.values()))[0]

    async def _load(self) -> None:
        for _ in range(LOADS):
            await pause(self._rng)
            with self._chat.arrival() as arrival:
                begin, sources = self._now(), [self._source(id_) for id_ in self._rng.sample(IDS, 2)]
                await pause(self._rng)
                for source in sources:
                    verdict = await self._chat.load(source, arrival)
                    failed = verdict is not Verdict.LOADED
                    self.events.append(Event(begin, self._now(), source, may_fail=failed))

    def _source(self, source_id: SourceId) -> Source:
        modified, content = self._rng.randint(1, 4), self._rng.choice(self._contents)
        return _source(source_id, modified, self._users(), content)

    def _users(self) -> frozenset[UserId]:
        return frozenset(self._rng.sample(USERS, self._rng.randint(1, 2)))


class Explanation:
    """Looks for an order of the events of one source that ends in what is stored."""

    def __init__(self, source_id: SourceId, events: Sequence[Event], final: Stored) -> None:
        self._source_id = source_id
        self._events = [event for event in events if event.touches(source_id)]
        self._final = final
        self._known: set[tuple[frozenset[int], Stored]] = set()

    def exists(self, done: frozenset[int] = frozenset(), stored: Stored = None) -> bool:
        if (done, stored) in self._known:
            return False
        self._known.add((done, stored))
        left = [number for number in range(len(self._events)) if number not in done]
        if stored == self._final and all(self._events[number].may_fail for number in left):
            return True
        return any(self._goes_on(number, done, stored) for number in left if self._may_be_next(number, left))

    def _may_be_next(self, number: int, left: Sequence[int]) -> bool:
        event, others = self._events[number], [self._events[other] for other in left]
        horizon = min((other.end for other in others if not other.may_fail), default=inf)
        return event.begin <= horizon and not any(event.keeps_behind(other) for other in others)

    def _goes_on(self, number: int, done: frozenset[int], stored: Stored) -> bool:
        event = self._events[number]
        outcomes = list(self._outcomes(event, done, stored))
        # a try that failed may have had its effect, or half of it, before the one that did not
        early = [*outcomes, *_narrowed(event.what, stored)]
        return any(self.exists(done | {number}, outcome) for outcome in outcomes) or any(
            self.exists(done, outcome) for outcome in early
        )

    def _outcomes(self, event: Event, done: frozenset[int], stored: Stored) -> Iterator[Stored]:
        if not isinstance(event.what, Source):
            yield self._after_action(event.what, stored)
            return
        # an action that was under way when it began to come in may have been carried out before, or meets it, too
        for late in self._may_be_late(event, done):
            current = as_after(event.what, [each.what for each in late if not isinstance(each.what, Source)])
            yield stored if current is None or not current.user_ids else _after_load(current, stored)

    def _may_be_late(self, event: Event, done: frozenset[int]) -> Iterator[list[Event]]:
        met = sorted((self._events[number] for number in done), key=lambda other: other.begin)
        certain = [each for each in met if each.begin > event.begin]
        perhaps = [each for each in met if each.begin <= event.begin < each.end and not isinstance(each.what, Source)]
        for count in range(len(perhaps) + 1):
            for some in combinations(perhaps, count):
                yield [*some, *certain]

    def _after_action(self, action: Action, stored: Stored) -> Stored:
        if stored is None:
            return None
        current = as_after(_source(self._source_id, stored[0], stored[1], NoContent("")), [action])
        return None if current is None or not current.user_ids else (stored[0], current.user_ids)


def _after_load(source: Source, stored: Stored) -> Stored:
    if stored is not None and stored[0] >= source.modified:
        return stored[0], stored[1] | source.user_ids
    return source.modified, source.user_ids


def _narrowed(what: Action | Source, stored: Stored) -> Iterator[Stored]:
    """The older version while a newer one is made: for those who may read both."""
    if isinstance(what, Source) and stored is not None and stored[0] < what.modified:
        both = stored[1] & what.user_ids
        yield (stored[0], both) if both else None


def _source(source_id: SourceId, modified: int, users: frozenset[UserId], content: Content) -> Source:
    return Source(
        id=source_id,
        provider=provider_of(source_id),
        title="whale",
        mime_type="text/plain",
        modified=modified,
        user_ids=users,
        content=content,
    )


async def stored_by(driver: ReferenceDriver) -> dict[SourceId, Stored]:
    versions = [version async for version in driver.inventory()]
    return {version.source_id: (version.modified, frozenset(version.user_ids or ())) for version in versions}


@pytest.fixture
def contents(tmp_path: Path) -> list[FileContent]:
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_text(f"a whale {file.name}")
    return [FileContent(file) for file in files]


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[State]:
    async with State(tmp_path / "state.db") as state:
        await state.fetch("pragma synchronous = off")  # no power cut here, and ten thousand writes
        yield state


async def play(state: State, contents: Sequence[FileContent], seed: int) -> tuple[list[Event], dict[SourceId, Stored]]:
    """What happened, and what is stored then."""
    rng, driver, metrics = random.Random(seed), ReferenceDriver(), Metrics()
    cache = HashCache(Shaky(driver, rng), state, LayerSettings(), backend="reference", metrics=metrics)
    order = Order(Marks(state, 3600), patience=600)
    chat = ContextChat(
        cache,
        order=order,
        ledger=Ledger(state, metrics),
        rules=Rules(),
        generator=Extractive(),
        metrics=metrics,
        admissions=Admissions.of(make_settings(Path()), metrics),
    )
    await chat.open()
    episode = Episode(chat, rng, contents)
    await episode.run()
    return episode.events, await stored_by(driver)


async def assert_explained(state: State, contents: Sequence[FileContent], seed: int) -> None:
    events, stored = await play(state, contents, seed)
    for source_id in IDS:
        if not Explanation(source_id, events, stored.get(source_id)).exists():
            lines = "\n".join(str(event) for event in events if event.touches(source_id))
            pytest.fail(f"seed {seed}: nothing explains {stored.get(source_id)} of {source_id}\n{lines}", pytrace=False)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Actions interrupt the uploads in their way at once."""
    monkeypatch.setattr(turns, "GRACE", 0)
    monkeypatch.setattr(turns, "NEXT_GRACE", 0)


async def test_some_order_explains_what_is_stored(state: State, contents: list[FileContent]) -> None:
    for seed in range(10):
        await assert_explained(state, contents, seed)


@pytest.mark.slow
async def test_some_order_explains_what_is_stored_each_time(state: State, contents: list[FileContent]) -> None:
    for seed in range(10, 500):
        await assert_explained(state, contents, seed)
