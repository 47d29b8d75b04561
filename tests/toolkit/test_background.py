"""Loops beside requests outlive whatever fails in them."""

import logging

import anyio
import pytest

from context_chat_backend.contract import Unavailable
from context_chat_backend.toolkit import background
from context_chat_backend.toolkit.background import pause_after, periodically

pytestmark = pytest.mark.anyio


def test_the_pause_doubles_with_each_failure_up_to_the_longest() -> None:
    assert [pause_after(failures, 2, 60) for failures in range(1, 8)] == [2, 4, 8, 16, 32, 60, 60]


def test_the_pause_stays_as_it_is_without_a_longer_one() -> None:
    assert [pause_after(failures, 5, 0) for failures in (1, 2, 100)] == [5, 5, 5]


def test_a_loop_that_failed_ten_thousand_times_still_has_a_pause() -> None:
    assert pause_after(10_000, 5, 60) == 60


@pytest.mark.parametrize("failure", [OSError(24, "Too many open files"), Unavailable("down"), ValueError("a bug")])
async def test_what_fails_is_counted_and_said_once_and_run_again(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    runs, done = 0, anyio.Event()

    async def step() -> None:
        nonlocal runs
        runs += 1
        if runs <= 3:
            raise failure
        done.set()

    before = background.failures["the test"]
    with caplog.at_level(logging.INFO):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: periodically("the test", step, 0))
            await done.wait()
            tasks.cancel_scope.cancel()
    assert background.failures["the test"] - before == 3
    assert [record.levelno >= logging.WARNING for record in caplog.records].count(True) == 1


async def test_a_step_is_run_at_once_when_it_is_woken_and_not_while_it_fails() -> None:
    runs, woken, failing = 0, 0, anyio.Event()

    async def step() -> None:
        nonlocal runs
        runs += 1
        if runs == 3:
            failing.set()
            raise Unavailable("down")

    async def wake() -> None:
        nonlocal woken
        woken += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: periodically("the test", step, 3600, first=0, wake=wake))
        await failing.wait()
        await anyio.wait_all_tasks_blocked()
        assert (runs, woken) == (3, 2)
        tasks.cancel_scope.cancel()
