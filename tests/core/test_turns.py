"""Operations that may touch the same source take turns; others pass."""

import anyio
import pytest

from context_chat_backend.contract import ProviderId, SourceId, UserId
from context_chat_backend.core import turns as module
from context_chat_backend.core.actions import Reach
from context_chat_backend.core.turns import Turns, begin_soon

pytestmark = pytest.mark.anyio

ONE, TWO, MAIL = SourceId("files__default: 1"), SourceId("files__default: 2"), SourceId("mail__mail: 1")
FILES = ProviderId("files__default")


def sources(*ids: SourceId) -> Reach:
    return Reach(sources=frozenset(ids))


EVERYTHING = Reach(everywhere=frozenset({UserId("bob")}))
ALL_FILES = Reach(providers=frozenset({FILES}))


@pytest.mark.parametrize(
    ("first", "second", "waits"),
    [
        (sources(ONE), sources(ONE), True),
        (sources(ONE, TWO), sources(TWO), True),
        (sources(ONE), sources(TWO), False),
        (sources(ONE), ALL_FILES, True),
        (ALL_FILES, sources(ONE), True),
        (sources(MAIL), ALL_FILES, False),
        (ALL_FILES, sources(MAIL), False),
        (ALL_FILES, ALL_FILES, True),
        (ALL_FILES, Reach(providers=frozenset({ProviderId("mail__mail")})), False),
        (sources(ONE), EVERYTHING, True),
        (EVERYTHING, sources(ONE), True),
        (EVERYTHING, ALL_FILES, True),
    ],
)
async def test_the_second_waits_for_the_first_only_if_both_may_touch_a_source(
    first: Reach, second: Reach, waits: bool
) -> None:
    turns = Turns()
    with turns.queued(first) as holder:
        assert holder.begun.is_set()
        with turns.queued(second) as other:
            assert other.begun.is_set() is not waits
    with turns.queued(second) as later:
        assert later.begun.is_set()


async def test_turns_come_in_the_order_of_asking_and_a_wide_one_is_not_starved() -> None:
    turns = Turns()
    with turns.queued(EVERYTHING) as wide, turns.queued(sources(ONE)) as later:
        assert wide.begun.is_set()
        with turns.queued(ALL_FILES) as last:
            assert not later.begun.is_set()
        assert not last.begun.is_set()
    with turns.queued(sources(ONE)) as holder, turns.queued(EVERYTHING) as wide, turns.queued(sources(TWO)) as later:
        assert holder.begun.is_set()
        assert not wide.begun.is_set()
        assert not later.begun.is_set(), "who comes after a wide operation does not overtake it"


async def test_an_unrelated_operation_does_not_wait_for_one_that_waits() -> None:
    turns = Turns()
    with turns.queued(sources(ONE)), turns.queued(ALL_FILES) as waiting, turns.queued(sources(MAIL)) as unrelated:
        assert not waiting.begun.is_set()
        assert unrelated.begun.is_set()


async def test_who_gives_up_waiting_leaves_the_queue_as_it_was() -> None:
    turns = Turns()
    with turns.queued(sources(ONE)):
        with turns.queued(sources(ONE)) as gone:
            assert not gone.begun.is_set()
        with turns.queued(sources(ONE)) as next_one:
            assert not next_one.begun.is_set()
    with turns.queued(EVERYTHING) as free:
        assert free.begun.is_set()


async def test_an_upload_that_is_in_the_way_for_too_long_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE", 0.0)
    turns, ended = Turns(), []

    async def upload() -> None:
        with turns.queued(sources(ONE)) as turn, anyio.CancelScope() as turn.upload:
            await anyio.sleep_forever()
        ended.append("upload")

    async def unrelated() -> None:
        with turns.queued(sources(MAIL)) as turn, anyio.CancelScope() as turn.upload:
            await anyio.sleep_forever()
        ended.append("unrelated")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(upload)
            tasks.start_soon(unrelated)
            await anyio.wait_all_tasks_blocked()
            with turns.queued(ALL_FILES) as turn:
                await begin_soon(turn)
                assert ended == ["upload"]
            tasks.cancel_scope.cancel()


async def test_work_that_is_no_upload_is_never_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE", 0.0)
    monkeypatch.setattr(module, "NEXT_GRACE", 0.0)
    turns = Turns()
    with turns.queued(sources(ONE)), turns.queued(EVERYTHING) as wide:
        with anyio.move_on_after(0.01):
            await begin_soon(wide)
        assert not wide.begun.is_set()
