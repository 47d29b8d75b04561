"""How often a Nextcloud is asked that refuses this app."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.lowlevel
import pytest

from context_chat_backend.nextcloud import refusals
from context_chat_backend.nextcloud.errors import NotAccepted, TryLater
from context_chat_backend.nextcloud.refusals import Refusals

pytestmark = pytest.mark.anyio


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def refused(by: Refusals) -> None:
    with pytest.raises(NotAccepted):
        async with by.asking():
            raise NotAccepted("no")


async def may_ask(by: Refusals) -> bool:
    """Whether it is let through at once."""
    let_through = False
    with anyio.move_on_after(0.05):
        async with by.asking():
            let_through = True
    return let_through


async def test_each_refusal_in_a_row_doubles_the_pause_up_to_an_hour() -> None:
    clock = Clock()
    by = Refusals(clock=clock)
    for pause in (600, 1200, 2400, 3600, 3600):
        await refused(by)
        clock.now += pause - 1
        assert not await may_ask_without_success(by)
        clock.now += 1


async def may_ask_without_success(by: Refusals) -> bool:
    let_through = False
    with anyio.move_on_after(0.05), suppress(TryLater):
        async with by.asking():
            let_through = True
            raise TryLater("busy")
    return let_through


async def test_success_ends_it() -> None:
    clock = Clock()
    by = Refusals(clock=clock)
    await refused(by)
    clock.now += refusals.FIRST_PAUSE
    assert await may_ask(by)
    assert await may_ask(by)
    await refused(by)
    clock.now += refusals.FIRST_PAUSE - 1
    assert not await may_ask(by)


async def test_what_says_nothing_about_the_secret_changes_nothing() -> None:
    clock = Clock()
    by = Refusals(clock=clock)
    await refused(by)
    clock.now += refusals.FIRST_PAUSE
    assert await may_ask_without_success(by)
    await refused(by)
    clock.now += 2 * refusals.FIRST_PAUSE - 1
    assert not await may_ask(by)


async def test_who_waits_goes_on_when_it_is_forgotten() -> None:
    by = Refusals(clock=Clock())
    await refused(by)
    asked = anyio.Event()

    async def ask() -> None:
        async with by.asking():
            asked.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert not asked.is_set()
        by.forget()
        with anyio.fail_after(5):
            await asked.wait()


async def test_of_several_who_wait_only_one_finds_out() -> None:
    clock = Clock()
    by = Refusals(clock=clock)
    await refused(by)
    clock.now += refusals.FIRST_PAUSE
    calls = 0

    @asynccontextmanager
    async def calling() -> AsyncIterator[None]:
        nonlocal calls
        async with by.asking():
            calls += 1
            await anyio.lowlevel.checkpoint()
            yield

    async def ask() -> None:
        with pytest.raises(NotAccepted):
            async with calling():
                raise NotAccepted("no")

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(ask)
        await anyio.sleep(0.05)
        tasks.cancel_scope.cancel()
    assert calls == 1
