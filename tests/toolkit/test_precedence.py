"""Indexing waits for questions, and for no more than a moment."""

from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import pytest

from context_chat_backend.toolkit.indexing import precedence
from context_chat_backend.toolkit.indexing.precedence import Precedence

pytestmark = pytest.mark.anyio


async def pages() -> AsyncIterator[int]:
    for number in range(3):
        yield number


async def test_no_page_is_taken_while_a_question_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precedence, "LONGEST_PAUSE", 600)
    questions, taken = Precedence(), list[int]()

    async def index() -> None:
        async for page in questions.after_questions(pages()):
            taken.append(page)

    async with anyio.create_task_group() as tasks:
        with questions.question():
            with questions.question():
                tasks.start_soon(index)
                await anyio.wait_all_tasks_blocked()
            await anyio.wait_all_tasks_blocked()
            assert taken == []
    assert taken == [0, 1, 2]


async def test_indexing_goes_on_under_any_number_of_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precedence, "LONGEST_PAUSE", 0.01)
    questions = Precedence()
    with questions.question():
        assert [page async for page in questions.after_questions(pages())] == [0, 1, 2]
