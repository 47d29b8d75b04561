"""A backend that comes back after another one does not know what was revoked meanwhile."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from context_chat_backend.state import State
from context_chat_backend.switching import note_backend

pytestmark = pytest.mark.anyio


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[State]:
    async with State(tmp_path / "state.db") as state:
        yield state


@pytest.mark.parametrize("used", [["a"], ["a", "a"], ["a", "b"], ["a", "b", "b", "c"]])
async def test_going_on_and_going_elsewhere_is_fine(
    state: State, used: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    for identity in used:
        await note_backend(state, identity)
    assert caplog.records == []


async def test_coming_back_is_a_warning_with_both_names(state: State, caplog: pytest.LogCaptureFixture) -> None:
    for identity in ("builtin:1", "supabase:2", "builtin:1", "builtin:1"):
        await note_backend(state, identity)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "builtin:1 was in use before, then supabase:2" in record.getMessage()
