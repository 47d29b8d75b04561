"""Loops beside the requests survive whatever happens in them."""

from collections.abc import Callable

import anyio
import pytest

from context_chat_backend.contract import Unavailable
from context_chat_backend.metrics import Metrics
from context_chat_backend.toolkit.background import failures, pause_after, periodically

pytestmark = pytest.mark.anyio


class Step:
    """Does what it is told, one after the other, and then ends the test."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.scope = anyio.CancelScope()

    async def __call__(self) -> None:
        if not self.outcomes:
            self.scope.cancel()
        elif (outcome := self.outcomes.pop(0)) is not None:
            raise outcome


async def run(step: Step, name: str = "the loop", wake: Callable[[], object] | None = None) -> None:
    with anyio.fail_after(5), step.scope:
        await periodically(name, step, 0.001, first=0)


@pytest.mark.parametrize("error", [Unavailable("away"), ValueError("bug"), OSError(28, "No space left on device")])
async def test_a_failure_is_logged_and_counted_and_the_loop_goes_on(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    before = failures["the loop"]
    await run(Step(error, None, error))
    assert failures["the loop"] == before + 2
    assert sum("the loop failed and is tried again" in message for message in caplog.messages) == 2


async def test_it_is_said_when_it_works_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await run(Step(Unavailable("away"), None, None))
    assert caplog.messages == ["the loop failed and is tried again: away", "the loop works again"]


async def test_failures_are_shown_by_the_metrics() -> None:
    await run(Step(Unavailable("away")), name="a loop of the test")
    metrics = Metrics()
    labels = {"loop": "a loop of the test"}
    assert metrics.registry.get_sample_value("ccb_background_failures_total", labels) == 1


async def test_a_failure_that_says_when_it_is_over_is_not_tried_before() -> None:
    begun = anyio.current_time()
    await run(Step(Unavailable("busy", retry_after=0.3)))
    assert anyio.current_time() - begun >= 0.3


async def test_it_is_woken_before_its_time() -> None:
    events = [anyio.Event() for _ in range(2)]
    woken = iter(events)
    step = Step(None, None)

    async def wake() -> None:
        next(woken).set()

    with anyio.fail_after(5), step.scope:
        await periodically("the loop", step, 3600, first=0, wake=wake)
    assert [event.is_set() for event in events] == [True, True]


async def test_cancellation_ends_it() -> None:
    with anyio.move_on_after(0.01) as scope:
        await periodically("the loop", Step(*[None] * 100_000), 0.0)
    assert scope.cancelled_caught


def test_the_pause_doubles_with_each_failure_up_to_the_longest() -> None:
    assert [pause_after(failures, 2, 60) for failures in range(1, 8)] == [2, 4, 8, 16, 32, 60, 60]


def test_the_pause_stays_as_it_is_without_a_longer_one() -> None:
    assert [pause_after(failures, 5, 0) for failures in (1, 2, 100)] == [5, 5, 5]


def test_a_loop_that_failed_ten_thousand_times_still_has_a_pause() -> None:
    assert pause_after(10_000, 5, 60) == 60


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
