"""Several things at a time: in parallel with `for_each`, together in one call with `Batcher`."""

from collections.abc import Mapping, Sequence

import anyio
import anyio.lowlevel
import pytest

from context_chat_backend.contract import Unavailable
from context_chat_backend.toolkit.concurrency import Batcher, for_each, let_finish

pytestmark = pytest.mark.anyio

LONG = 3600.0
"""Seconds that no test waits for."""


# ---------------------------------------------------------------------- for_each


async def test_each_item_is_worked_on_once() -> None:
    done: list[int] = []

    async def work(item: int) -> None:
        await anyio.lowlevel.checkpoint()
        done.append(item)

    await for_each(work, iter(range(10)), at_once=3)
    assert sorted(done) == list(range(10))
    await for_each(work, [], at_once=3)


@pytest.mark.parametrize("at_once", [1, 4])
async def test_no_more_are_worked_on_at_a_time_than_asked_for(at_once: int) -> None:
    running, most, go_on = 0, 0, anyio.Event()

    async def work(_: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go_on.wait()
        running -= 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: for_each(work, range(10), at_once=at_once))
        await anyio.wait_all_tasks_blocked()
        assert running == at_once
        go_on.set()
    assert most == at_once


async def test_the_first_failure_cancels_the_rest_and_comes_as_it_is() -> None:
    started: list[int] = []

    async def work(item: int) -> None:
        started.append(item)
        if item == 1:
            raise Unavailable("the second")
        await anyio.sleep_forever()

    with pytest.raises(Unavailable, match="the second"):
        await for_each(work, range(10), at_once=2)
    assert started == [0, 1]


async def test_of_nested_failures_the_first_comes_as_it_is() -> None:
    async def fail(_: int) -> None:
        raise Unavailable("inner")

    async def outer(_: int) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fail, 1)

    with pytest.raises(Unavailable, match="inner"):
        await for_each(outer, range(2), at_once=2)


# ---------------------------------------------------------------------- Batcher


class Fetch:
    """Doubles even numbers and knows no others. Records what it is called with."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.error: Exception | None = None

    async def __call__(self, keys: Sequence[int]) -> Mapping[int, int]:
        self.batches.append([*keys])
        await anyio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        return {key: 2 * key for key in keys if key % 2 == 0}


async def get_all(batcher: Batcher[int, int], keys: Sequence[int]) -> dict[int, int | None]:
    """All at the same time."""
    values: dict[int, int | None] = {}

    async def get(key: int) -> None:
        values[key] = await batcher.get(key)

    async with anyio.create_task_group() as tasks:
        for key in keys:
            tasks.start_soon(get, key)
    return values


async def test_keys_of_the_same_moment_go_in_one_call() -> None:
    fetch = Fetch()
    async with Batcher(fetch, size=10) as batcher:
        assert await get_all(batcher, [2, 3, 4]) == {2: 4, 3: None, 4: 8}
    assert fetch.batches == [[2, 3, 4]]


async def test_a_key_that_several_ask_for_is_sent_once() -> None:
    fetch = Fetch()
    async with Batcher(fetch, size=10) as batcher:
        await get_all(batcher, [2, 2, 2])
    assert fetch.batches == [[2]]


async def test_a_key_that_is_asked_for_later_is_fetched_again() -> None:
    fetch = Fetch()
    async with Batcher(fetch, size=10) as batcher:
        await batcher.get(2)
        await batcher.get(2)
    assert fetch.batches == [[2], [2]]


async def test_no_call_is_larger_than_the_size_and_a_full_one_does_not_linger() -> None:
    fetch = Fetch()
    async with Batcher(fetch, size=4, linger=LONG) as batcher:
        await get_all(batcher, range(8))
    assert fetch.batches == [[0, 1, 2, 3], [4, 5, 6, 7]]


async def test_the_rest_of_a_full_call_goes_in_the_next_one() -> None:
    fetch = Fetch()
    async with Batcher(fetch, size=4) as batcher:
        await get_all(batcher, range(6))
    assert fetch.batches == [[0, 1, 2, 3], [4, 5]]


async def test_a_failure_reaches_each_caller_and_not_the_next_ones() -> None:
    fetch = Fetch()
    fetch.error = Unavailable("down")
    failed: list[int] = []

    async def get(key: int) -> None:
        try:
            await batcher.get(key)
        except Unavailable:
            failed.append(key)

    async with Batcher(fetch, size=10) as batcher:
        async with anyio.create_task_group() as tasks:
            for key in range(3):
                tasks.start_soon(get, key)
        assert sorted(failed) == [0, 1, 2]
        fetch.error = None
        assert await batcher.get(2) == 4


async def test_each_caller_gets_a_failure_of_its_own() -> None:
    """One object for all would collect the tracebacks of all."""

    async def fetch(_: Sequence[int]) -> Mapping[int, int]:
        raise Unavailable("reset", retry_after=3)

    failures: list[Unavailable] = []

    async def ask(batcher: Batcher[int, int], key: int) -> None:
        try:
            await batcher.get(key)
        except Unavailable as error:
            failures.append(error)

    async with Batcher(fetch, size=100) as batcher, anyio.create_task_group() as tasks:
        for key in range(10):
            tasks.start_soon(ask, batcher, key)
    assert len({id(failure) for failure in failures}) == 10
    assert {(str(failure), failure.retry_after) for failure in failures} == {("reset", 3)}


async def test_an_announced_call_is_waited_for() -> None:
    fetch, go_on = Fetch(), anyio.Event()

    async def late() -> None:
        with batcher.expecting() as get:
            await go_on.wait()
            assert await get(4) == 8

    async with Batcher(fetch, size=10, patience=LONG) as batcher, anyio.create_task_group() as tasks:
        tasks.start_soon(late)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(batcher.get, 2)
        await anyio.wait_all_tasks_blocked()
        assert fetch.batches == []
        go_on.set()
    assert fetch.batches == [[2, 4]]


async def test_a_full_call_waits_for_nobody() -> None:
    fetch = Fetch()
    async with Batcher(fetch, size=2, patience=LONG) as batcher:
        with batcher.expecting():
            await get_all(batcher, [2, 4])
    assert fetch.batches == [[2, 4]]


async def test_an_announced_call_that_is_not_made_holds_nothing_up() -> None:
    fetch = Fetch()
    async with Batcher(fetch, size=10, patience=LONG) as batcher, anyio.create_task_group() as tasks:
        with batcher.expecting():
            tasks.start_soon(batcher.get, 2)
            await anyio.wait_all_tasks_blocked()
            assert fetch.batches == []
    assert fetch.batches == [[2]]


async def test_who_is_too_late_is_not_waited_for() -> None:
    fetch = Fetch()
    async with Batcher(fetch, size=10, patience=0.001) as batcher:
        with batcher.expecting() as get:
            assert await batcher.get(2) == 4
            assert await get(4) == 8
    assert fetch.batches == [[2], [4]]


async def test_a_second_call_of_one_announcement_counts_once() -> None:
    fetch = Fetch()
    async with Batcher(fetch, size=10, patience=LONG) as batcher:
        with batcher.expecting() as get:
            await get(2)
            await get(4)
        assert await batcher.get(6) == 12
    assert fetch.batches == [[2], [4], [6]]


async def test_a_cancelled_caller_takes_nobody_along() -> None:
    fetch, go_on = Fetch(), anyio.Event()
    async with Batcher(fetch, size=10, patience=LONG) as batcher, anyio.create_task_group() as others:

        async def announce() -> None:
            with batcher.expecting():
                await go_on.wait()

        others.start_soon(announce)
        await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(batcher.get, 2)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        others.start_soon(batcher.get, 4)
        await anyio.wait_all_tasks_blocked()
        go_on.set()
    assert 4 in fetch.batches[0]


@pytest.mark.parametrize("is_sent", [True, False], ids=["under way", "waiting"])
async def test_who_waits_when_it_is_closed_is_told(is_sent: bool) -> None:
    told = anyio.Event()

    async def never(_: Sequence[int]) -> Mapping[int, int]:
        await anyio.sleep_forever()
        return {}

    async def get() -> None:
        with pytest.raises(Unavailable, match="closed"):
            await batcher.get(2)
        told.set()

    batcher = Batcher(never, size=1 if is_sent else 10, linger=LONG)
    async with anyio.create_task_group() as tasks, batcher:
        tasks.start_soon(get)
        await anyio.wait_all_tasks_blocked()
        assert not told.is_set()
    assert told.is_set()


# ---------------------------------------------------------------------- let_finish


@pytest.mark.parametrize(("seconds", "ends"), [(0.05, True), (LONG, False)])
async def test_a_cancelled_block_gets_some_time_and_without_its_end_nothing_that_follows_runs(
    seconds: float, ends: bool
) -> None:
    ended = follows = False
    with anyio.move_on_after(0.01):
        async with let_finish(0.3):
            await anyio.sleep(seconds)
            ended = True
        follows = True
    assert ended is ends
    assert ends or not follows


async def test_a_block_that_is_not_cancelled_takes_as_long_as_it_takes() -> None:
    async with let_finish(0.01):
        await anyio.sleep(0.05)


async def test_what_a_block_raises_is_raised_as_it_is() -> None:
    with pytest.raises(ValueError, match="a bug"):
        async with let_finish(1):
            raise ValueError("a bug")
