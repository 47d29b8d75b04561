"""Doing several things at a time against a backend: in parallel, and together in one call."""

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager, contextmanager
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Generic, Self, TypeVar

import anyio
from anyio.abc import TaskGroup

from ..contract import DriverError, Unavailable

K = TypeVar("K")
V = TypeVar("V")


async def for_each(work: Callable[[K], Awaitable[object]], items: Iterable[K], *, at_once: int) -> None:
    """Run `work` for each item, `at_once` of them at a time. The first failure cancels the rest and is raised as it
    is, not in a group."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    try:
        async with anyio.create_task_group() as tasks:
            for _ in range(at_once):
                tasks.start_soon(worker)
    except BaseExceptionGroup as group:
        raise first_of(group) from None


async def gather(*calls: Callable[[], Awaitable[V]]) -> list[V]:
    """What the calls return, in their order, all of them at a time. The first failure cancels the rest and is raised
    as it is, not in a group."""
    results: dict[int, V] = {}

    async def run(number: int) -> None:
        results[number] = await calls[number]()

    await for_each(run, range(len(calls)), at_once=len(calls))
    return [results[number] for number in range(len(calls))]


async def both(first: Callable[[], Awaitable[K]], second: Callable[[], Awaitable[V]]) -> tuple[K, V]:
    """What two calls return that are made at a time, as `gather` does."""
    calls: tuple[Callable[[], Awaitable[Any]], ...] = (first, second)
    one, other = await gather(*calls)
    return one, other


class Toggle:
    """A truth value that others can wait for."""

    def __init__(self, value: bool) -> None:
        self._value = value
        self._changed = anyio.Event()

    @property
    def value(self) -> bool:
        """At this moment."""
        return self._value

    def set(self, value: bool) -> None:
        """Change it."""
        if value != self._value:
            self._value = value
            self._changed.set()
            self._changed = anyio.Event()

    async def wait_for(self, value: bool) -> None:
        """Return once it is so."""
        while self._value != value:
            await self._changed.wait()


@asynccontextmanager
async def let_finish(seconds: float) -> AsyncIterator[None]:
    """When the task is cancelled, the block still gets so many seconds to end by itself; then it is cancelled, too."""

    async def wait_for_cancellation() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            block.deadline = anyio.current_time() + seconds

    try:
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope(shield=True) as block:
                tasks.start_soon(wait_for_cancellation)
                yield
            if block.cancelled_caught:  # the time is over, and what comes after the block must not run either
                await anyio.sleep_forever()
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise first_of(group) from None


async def in_batches(items: AsyncIterable[V], size: int) -> AsyncGenerator[list[V], None]:
    """The items in order, `size` at a time; the last batch may be smaller."""
    batch: list[V] = []
    async for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


async def within(seconds: float, items: AsyncGenerator[V, None]) -> AsyncGenerator[V, None]:
    """The items as they come. Raises `TimeoutError` where the next one, or the end, is not there so many seconds after
    the first was asked for."""
    deadline = anyio.current_time() + seconds
    async with aclosing(items):
        while True:
            with anyio.fail_after(deadline - anyio.current_time()):  # around each wait: no scope may span a yield
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
            yield item


def first_of(error: BaseException) -> BaseException:
    """What is inside a group, or of groups in groups; the error itself where it is none."""
    return first_of(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


@dataclass(eq=False)
class _Call(Generic[K, V]):
    key: K
    done: anyio.Event = field(default_factory=anyio.Event)
    value: V | None = None
    error: Exception | None = field(default_factory=lambda: Unavailable("the backend is being closed"))
    """Until there is a value: None would tell the caller that there is none."""


class Batcher(Generic[K, V]):
    """Turns look-ups that are asked for at the same time into one call (the data-loader pattern).

    An async context manager. A batch is sent `linger` seconds after its first key, or when it is full. It also waits,
    but no longer than `patience` seconds, for the callers who announced themselves by `expecting()`.
    """

    def __init__(
        self,
        fetch: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]],
        *,
        size: int,
        linger: float = 0.0,
        patience: float = 0.0,
    ) -> None:
        self._fetch = fetch
        self._size = size
        self._linger = linger
        self._patience = patience
        self._waiting: list[_Call[K, V]] = []
        self._expected = 0
        self._changed = anyio.Event()
        self._tasks: TaskGroup

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._send_batches)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)
        for call in self._waiting:
            call.done.set()

    async def get(self, key: K) -> V | None:
        """What `fetch` returns for the key, None where it does not. Raises what `fetch` raises."""
        call = _Call[K, V](key)
        self._waiting.append(call)
        self._notify()
        await call.done.wait()
        if call.error is not None:
            raise call.error
        return call.value

    @contextmanager
    def expecting(self) -> Iterator[Callable[[K], Awaitable[V | None]]]:
        """Announce a call of `get`, to be made with what is yielded or not at all."""
        announced = True
        self._expected += 1

        def arrive() -> None:
            nonlocal announced
            if announced:
                announced = False
                self._expected -= 1
                self._notify()

        async def get(key: K) -> V | None:
            arrive()
            return await self.get(key)

        try:
            yield get
        finally:
            arrive()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _send_batches(self) -> None:
        while True:
            while not self._waiting:
                await self._changed.wait()
            await self._gather()
            batch, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
            self._tasks.start_soon(self._send, batch)

    async def _gather(self) -> None:
        if len(self._waiting) < self._size:
            await anyio.sleep(self._linger)
        with anyio.move_on_after(self._patience):
            while self._expected and len(self._waiting) < self._size:
                await self._changed.wait()

    async def _send(self, batch: list[_Call[K, V]]) -> None:
        try:
            values = await self._fetch(list(dict.fromkeys(call.key for call in batch)))
        except DriverError as error:
            for call in batch:
                call.error = copy(error)  # one for all would collect the tracebacks of all callers
        except Exception as error:  # noqa: BLE001 - a bug, raised in each caller
            for call in batch:
                call.error = error
        else:
            for call in batch:
                call.value, call.error = values.get(call.key), None
        finally:
            for call in batch:
                call.done.set()
