"""Keeps operations that touch the same sources in order: locks while they run, marks after they failed."""

import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import anyio

from ..contract import SourceId, Unavailable
from .actions import Action, Reach, digest_of, reach_of
from .state import State


class SourceLocks:
    """Operations on one source id take turns; provider- and user-wide ones run alone.

    A waiting wide operation holds back new narrow ones, so that a stream of uploads cannot starve a revocation.
    """

    def __init__(self) -> None:
        self._locks: dict[SourceId, tuple[anyio.Lock, int]] = {}
        self._narrow = 0
        self._wide = anyio.Lock()
        self._idle = anyio.Condition()

    @asynccontextmanager
    async def sources(self, source_ids: Iterable[SourceId]) -> AsyncIterator[None]:
        """Hold these ids. They are taken in sorted order, so that two holders cannot wait for each other."""
        async with self._wide:  # passes at once unless a wide operation waits or runs
            self._narrow += 1
        try:
            async with AsyncExitStack() as stack:
                for source_id in sorted(set(source_ids)):
                    await stack.enter_async_context(self._one(source_id))
                yield
        finally:
            with anyio.CancelScope(shield=True):
                async with self._idle:
                    self._narrow -= 1
                    self._idle.notify_all()

    @asynccontextmanager
    async def everything(self) -> AsyncIterator[None]:
        """Hold every id, known or not."""
        async with self._wide:
            async with self._idle:
                while self._narrow:
                    await self._idle.wait()
            yield

    @asynccontextmanager
    async def _one(self, source_id: SourceId) -> AsyncIterator[None]:
        lock, holders = self._locks.get(source_id, (anyio.Lock(), 0))
        self._locks[source_id] = (lock, holders + 1)
        try:
            async with lock:
                yield
        finally:
            lock, holders = self._locks.pop(source_id)
            if holders > 1:
                self._locks[source_id] = (lock, holders - 1)


class ActionLog:
    """Actions that were carried out while sources were on their way in.

    An upload may take minutes to arrive and longer until the last of its sources has its turn. An action that comes
    meanwhile finds those sources not stored yet, so it has to be taken into account when they are.
    """

    def __init__(self) -> None:
        self._done = 0
        self._actions: deque[tuple[int, Action]] = deque()
        self._open: Counter[int] = Counter()

    @contextmanager
    def arrival(self, number: int | None = None) -> Iterator[int]:
        """Keep all actions from now on, or from the moment of an earlier arrival that is still open."""
        number = self._done if number is None else number
        self._open[number] += 1
        try:
            yield number
        finally:
            self._open[number] -= 1
            self._open += Counter()  # drops zeros
            while self._actions and self._actions[0][0] <= min(self._open, default=self._done):
                self._actions.popleft()

    def record(self, action: Action) -> None:
        """An action was carried out."""
        self._done += 1
        if self._open:
            self._actions.append((self._done, action))

    def since(self, arrival: int) -> list[Action]:
        """Those that were carried out after an arrival, in order."""
        return [action for number, action in self._actions if number > arrival]


class HeldBack(Unavailable):
    """Not even tried, to keep the order."""


class HeldActions:
    """Marks of actions that were begun and are not known to be done, kept across restarts.

    Nextcloud repeats a failed action later but goes on with the next ones, so an `allow` that failed could be
    repeated after a `deny` that did not. Whatever meets the reach of a marked action is held back until that action
    has been repeated or its mark has expired. Marked actions hold back only those that were marked after them.
    """

    def __init__(self, state: State, hold_seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._state = state
        self._hold_seconds = hold_seconds
        self._clock = clock

    async def check(self, reach: Reach, action: Action | None = None) -> None:
        """Raise `HeldBack` when an earlier action that meets this reach is marked."""
        now, own = self._clock(), digest_of(action) if action is not None else ""
        others = (
            "expires_at > ? and digest <> ?"
            " and since < coalesce((select min(since) from held_actions where digest = ?), 9e99)"
        )
        earlier = (now, own, own)
        if not await self._state.fetch(f"select 1 from held_actions where {others} limit 1", *earlier):  # noqa: S608
            return  # as nearly always
        for condition, values in _meeting(reach):
            rows = await self._state.fetch(
                f"select 1 from held_actions where {others} and {condition} limit 1",  # noqa: S608 - constants only
                *earlier,
                *values,
            )
            if rows:
                raise HeldBack("an earlier action on the same source has to be repeated first")

    async def hold(self, action: Action) -> None:
        """Mark an action. A mark is not prolonged: an action that fails for ever must not block a revocation."""
        digest, now = digest_of(action), self._clock()
        await self._state.execute("delete from held_actions where expires_at <= ?", now)
        rows = [(digest, kind, key, now, now + self._hold_seconds) for kind, key in _keys(reach_of(action))]
        await self._state.execute_many(
            "insert into held_actions (digest, kind, key, since, expires_at) values (?, ?, ?, ?, ?)"
            " on conflict do nothing",
            rows,
        )

    async def release(self, action: Action) -> None:
        """Remove the mark of an action that was carried out or refused for ever, and all expired ones."""
        await self._state.execute(
            "delete from held_actions where digest = ? or expires_at <= ?", digest_of(action), self._clock()
        )


def _keys(reach: Reach) -> Iterable[tuple[str, str]]:
    yield from (("source", id_) for id_ in reach.sources)
    yield from (("provider", id_) for id_ in reach.providers)
    yield from (("everywhere", id_) for id_ in reach.everywhere)
    yield from (("user", id_) for id_ in reach.users)


def _meeting(reach: Reach) -> Iterable[tuple[str, tuple[object, ...]]]:
    """SQL conditions for the marks that meet a reach."""
    by_key = "kind = ? and key = ?"
    for source_id in reach.sources:
        yield by_key, ("source", source_id)
    for provider in {provider_of(source_id) for source_id in reach.sources}:
        yield by_key, ("provider", provider)
    for provider in reach.providers:
        yield by_key, ("provider", provider)
        prefix = provider + ": "
        yield "kind = ? and substr(key, 1, ?) = ?", ("source", len(prefix), prefix)
    for user_id in reach.users:
        yield by_key, ("everywhere", user_id)
    for user_id in reach.everywhere:
        yield by_key, ("user", user_id)


def provider_of(source_id: SourceId) -> str:
    """The provider in front of the item id; used to find conflicts only, never to address a source."""
    return source_id.partition(": ")[0]
