"""A backend that comes back after another one does not know what was revoked meanwhile."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import pytest
from anyio.abc import TaskGroup

from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import Misconfigured
from context_chat_backend.core.state import State
from context_chat_backend.core.switching import accept_next, note_backend, require_admitted
from context_chat_backend.layers.opening import Opening

pytestmark = pytest.mark.anyio


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[State]:
    async with State(tmp_path / "state.db") as state:
        yield state


async def use(state: State, *identities: str) -> None:
    """One gateway after the other."""
    for identity in identities:
        await note_backend(state, identity)


async def remembered(state: State) -> list[tuple[object, ...]]:
    return await state.fetch("select * from flags order by name")


@pytest.mark.parametrize("used", [["a"], ["a", "a"], ["a", "b"], ["a", "b", "b", "c"]])
async def test_going_on_and_going_elsewhere_is_fine(state: State, used: list[str]) -> None:
    await use(state, *used)
    assert await state.flag("backend") == used[-1]


async def test_an_emptied_store_is_another_one(state: State) -> None:
    await use(state, "builtin:1", "supabase:2", "builtin:3", "builtin:3")
    assert await state.flag("backend") == "builtin:3"


async def test_coming_back_is_refused_with_both_names_and_the_ways_out(state: State) -> None:
    await use(state, "builtin:1", "supabase:2")
    with pytest.raises(Misconfigured) as refusal:
        await note_backend(state, "builtin:1")
    text = str(refusal.value)
    assert "builtin:1 was in use before, then supabase:2" in text
    assert "Empty it (docs/operations.md, Switching backends)" in text
    assert "`ccbe accept-backend`" in text


async def test_a_refusal_is_not_remembered(state: State) -> None:
    await use(state, "a", "b")
    before = await remembered(state)
    for _ in range(2):
        with pytest.raises(Misconfigured):
            await note_backend(state, "a")
    assert await remembered(state) == before
    await use(state, "b")


async def test_an_acceptance_is_good_for_one_way_back(state: State) -> None:
    await use(state, "a", "b")
    await accept_next(state)
    await use(state, "a", "a")  # a restart of what was accepted needs no more
    with pytest.raises(Misconfigured):
        await note_backend(state, "b")


@pytest.mark.parametrize("next_one", ["b", "c"])
async def test_an_acceptance_that_was_not_needed_is_used_up_too(state: State, next_one: str) -> None:
    await use(state, "a", "b")
    await accept_next(state)
    await use(state, next_one)
    with pytest.raises(Misconfigured):
        await note_backend(state, "a")


async def test_looking_changes_nothing_and_sees_the_acceptance(state: State) -> None:
    await use(state, "a", "b")
    with pytest.raises(Misconfigured):
        await require_admitted(state, "a")
    await accept_next(state)
    before = await remembered(state)
    await require_admitted(state, "a")
    assert await remembered(state) == before


class Busybody(ReferenceDriver):
    """Has a task group, which is left with whatever was raised inside."""

    def __init__(self) -> None:
        super().__init__()
        self.open = 0
        self.times_closed = 0
        self.closed_twice = anyio.Event()
        self._tasks: TaskGroup

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self.open += 1
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.open -= 1
        self.times_closed += 1
        if self.times_closed == 2:
            self.closed_twice.set()
        await self._tasks.__aexit__(exc_type, exc, tb)


async def test_a_refused_backend_is_closed_and_serves_once_it_is_accepted(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("context_chat_backend.layers.opening.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("context_chat_backend.layers.opening.LONGEST_PAUSE", 0.01)
    backend, opened = Busybody(), anyio.Event()
    await use(state, backend.identity, "another")

    async def note(identity: str) -> None:
        await note_backend(state, identity)
        opened.set()

    with anyio.fail_after(60):
        async with Opening(backend, note) as driver:
            await backend.closed_twice.wait()
            with pytest.raises(Misconfigured, match="accept-backend"):
                await driver.count()
            assert not opened.is_set()
            await accept_next(state)
            await opened.wait()
            await anyio.wait_all_tasks_blocked()
            assert backend.open == 1
            assert await driver.count() == {}
    assert backend.open == 0


async def test_a_gateway_can_stop_while_its_backend_is_refused(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("context_chat_backend.layers.opening.FIRST_PAUSE", 0.01)
    backend = Busybody()
    await use(state, backend.identity, "another")
    with anyio.fail_after(60):
        async with Opening(backend, partial(note_backend, state)):
            await backend.closed_twice.wait()
    assert backend.open == 0
