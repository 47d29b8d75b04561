"""An answer is shown in Nextcloud while it is written, and nothing that happens to that costs the answer."""

import math
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import Answer, Capabilities, Driver, Hit, Query, SourceId, Unavailable, UserId
from context_chat_backend.core.admission import Admissions
from context_chat_backend.core.ledger import Ledger
from context_chat_backend.core.marks import Marks
from context_chat_backend.core.ordering import Order
from context_chat_backend.core.rules import Rules
from context_chat_backend.core.service import ContextChat
from context_chat_backend.core.state import State
from context_chat_backend.metrics import Metrics
from context_chat_backend.nextcloud import optional, tasks
from context_chat_backend.nextcloud.client import NextcloudClient
from context_chat_backend.nextcloud.optional import OptionalRoute
from context_chat_backend.nextcloud.scopes import Scopes
from context_chat_backend.nextcloud.tasks import TaskProvider
from context_chat_backend.pull import streaming
from context_chat_backend.pull.tasks import Tasks
from context_chat_backend.retrieval.context import Excerpt
from context_chat_backend.retrieval.generators import Generator, Prompted
from context_chat_backend.retrieval.models import OpenAIChat, llm_client
from context_chat_backend.retrieval.relevance import EVERYTHING
from context_chat_backend.retrieval.settings import AnswerSettings
from context_chat_backend.retrieval.tokens import EstimatedTokens, Tokens
from tests.doubles.nextcloud import EXAPP_REQUIRED, MAINTENANCE, NO_ROUTE, RATE_LIMITED, serving
from tests.doubles.openai import FakeOpenAI
from tests.doubles.tasks import SEARCH, FakeTasks, Task
from tests.gateway import make_settings

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

WHALE = SourceId("files__default: 1")
PAUSE = streaming.PAUSE
"""Before the tests change it."""
NEVER = 3600.0
"""Seconds that no test waits."""

Step = str | Callable[[], Awaitable[object]] | Exception


class Finds(ReferenceDriver):
    async def search(self, query: Query) -> Sequence[Hit]:
        return [Hit(source_id=WHALE, title="files/whale.md", ordinal=0, heading="", text="A whale.", score=1)]


class Writer:
    """Writes what the test says, when it says so, and the same for each question."""

    context_tokens = 100
    tokens: Tokens = EstimatedTokens()
    bar = EVERYTHING

    def __init__(self, *steps: Step) -> None:
        self._steps = steps

    async def answer(self, user_id: UserId, question: str, excerpts: Sequence[Excerpt]) -> AsyncGenerator[str, None]:
        for step in self._steps:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, str):
                yield step
            else:
                await step()

    async def chat(self, user_id: UserId, text: str) -> AsyncGenerator[str, None]:
        yield text


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "PAUSE", 0.0)
    monkeypatch.setattr(streaming, "PAUSE_AFTER_FAILURE", 0.0)


@pytest.fixture
def nextcloud() -> Iterator[FakeTasks]:
    nextcloud = FakeTasks()
    yield nextcloud
    assert not nextcloud.violations


@asynccontextmanager
async def answering(
    nextcloud: FakeTasks, folder: Path, generator: Generator, driver: Driver | None = None
) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Takes what waits when called, and answers it meanwhile, over a real socket."""
    async with AsyncExitStack() as stack:
        url = stack.enter_context(serving(nextcloud))
        client = await stack.enter_async_context(NextcloudClient(make_settings(folder, nextcloud_url=url)))
        state = await stack.enter_async_context(State(folder / "state.db"))
        order = Order(Marks(state, 3600), patience=600)
        metrics = Metrics()
        chat = ContextChat(
            driver or Finds(),
            order=order,
            ledger=Ledger(state, metrics),
            rules=Rules(),
            generator=generator,
            metrics=metrics,
            admissions=Admissions.of(make_settings(folder), Metrics()),
        )
        questions = Tasks(TaskProvider(client), Scopes(client), chat, state)
        workers = await stack.enter_async_context(anyio.create_task_group())
        await questions.begin(workers)
        yield questions.take
        workers.cancel_scope.cancel()


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - what it waits for happens in another thread
        await anyio.sleep(0.002)


async def answer_all(nextcloud: FakeTasks, folder: Path, generator: Generator, driver: Driver | None = None) -> None:
    async with answering(nextcloud, folder, generator, driver) as take:
        await take()
        await until(lambda: all(task.result for task in nextcloud.tasks.values()))


async def a_moment() -> None:
    """Long enough for what must not happen."""
    await anyio.sleep(0.05)


def text_of(task: Task) -> str:
    assert task.result is not None
    assert task.result["output"] is not None, task.result
    return str(task.result["output"]["output"])


def times_asked(nextcloud: FakeTasks) -> int:
    return nextcloud.requests.count("stream-result")


# ---------------------------------------------------------------------- what is shown


async def test_the_answer_grows_with_its_sources_and_ends_with_the_result(nextcloud: FakeTasks, tmp_path: Path) -> None:
    task = nextcloud.ask()

    def shown(number: int) -> Step:
        return lambda: until(lambda: len(task.shown) == number)

    await answer_all(nextcloud, tmp_path, Writer("The ", shown(1), "whale ", shown(2), "swims", shown(3), "."))
    assert task.shown[:3] == ["The ", "The whale ", "The whale swims"]
    assert all(sources == [WHALE] for sources in task.sources)
    assert text_of(task) == "The whale swims."
    assert nextcloud.requests[-1] == "result"
    assert nextcloud.requests.count("enrich_sources") == 1


async def test_only_the_newest_text_is_shown_and_one_at_a_time(nextcloud: FakeTasks, tmp_path: Path) -> None:
    task, first_is_there, go_on = nextcloud.ask(), threading.Event(), threading.Event()

    async def hold(_: Request) -> Response | None:
        first_is_there.set()
        await anyio.to_thread.run_sync(go_on.wait)
        return None

    async def release() -> None:
        go_on.set()
        await until(lambda: len(task.shown) == 2)

    nextcloud.on_stream = hold
    writer = Writer("a", lambda: until(first_is_there.is_set), "b", "c", "d", release)
    await answer_all(nextcloud, tmp_path, writer)
    assert task.shown == ["a", "abcd"]


async def test_nextcloud_is_not_called_for_each_word(
    nextcloud: FakeTasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "PAUSE", NEVER)
    task = nextcloud.ask()
    await answer_all(nextcloud, tmp_path, Writer("a", lambda: until(lambda: task.shown), "b", a_moment, "c", a_moment))
    assert task.shown == ["a"]
    assert text_of(task) == "abc"


def test_the_pause_between_two_calls_suits_readers() -> None:
    assert 0.5 <= PAUSE <= 1


async def test_only_those_who_ask_for_it_are_shown_the_answer_so_far(nextcloud: FakeTasks, tmp_path: Path) -> None:
    plain, search = nextcloud.ask(streams=False), nextcloud.ask(SEARCH)

    await answer_all(nextcloud, tmp_path, Writer("a", a_moment, "b"))
    assert times_asked(nextcloud) == 0
    assert text_of(plain) == "ab"
    assert search.result is not None
    assert set(search.result["output"]) == {"sources"}


async def test_sources_that_cannot_be_described_cost_only_themselves(nextcloud: FakeTasks, tmp_path: Path) -> None:
    nextcloud.describes = False
    task = nextcloud.ask()
    await answer_all(nextcloud, tmp_path, Writer("a", lambda: until(lambda: task.shown), "b"))
    assert (task.sources, text_of(task)) == ([[]], "ab")


async def test_a_backend_that_answers_by_itself_is_shown_when_it_is_done(nextcloud: FakeTasks, tmp_path: Path) -> None:
    class Answers(ReferenceDriver):
        capabilities = Capabilities(answers=True)

        async def answer(self, query: Query) -> Answer:
            return Answer(text="In the sea.", source_ids=(WHALE,))

    task = nextcloud.ask()
    await answer_all(nextcloud, tmp_path, Writer(), Answers())
    assert text_of(task) == "In the sea."
    assert times_asked(nextcloud) == 0


async def test_what_a_language_model_streams_is_shown(nextcloud: FakeTasks, tmp_path: Path) -> None:
    openai = FakeOpenAI(reply=lambda _: "The whale swims. 🐋" * 50)
    with serving(openai) as url:
        options = AnswerSettings(llm_base_url=f"{url}/v1", llm_model="gpt-4o-mini")
        async with llm_client(options) as client:
            task = nextcloud.ask()
            await answer_all(nextcloud, tmp_path, Prompted(OpenAIChat(client, options), EstimatedTokens()))
    assert text_of(task) == "The whale swims. 🐋" * 50
    assert task.shown == sorted(task.shown, key=len)
    assert all(text_of(task).startswith(text) for text in task.shown)


# ---------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("absent", [NO_ROUTE, Response(b"", 404), Response(b"", 405)])
async def test_a_nextcloud_without_the_route_is_asked_again_only_later(
    nextcloud: FakeTasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absent: Response
) -> None:
    now = 0.0
    monkeypatch.setattr(tasks, "OptionalRoute", lambda: OptionalRoute(clock=lambda: now))

    async def refuse(_: Request) -> Response:
        return absent

    async def asked() -> None:
        await until(lambda: times_asked(nextcloud) == wanted)
        await a_moment()

    nextcloud.on_stream = refuse
    async with answering(nextcloud, tmp_path, Writer("a", asked, "b", asked, "c")) as take:
        for now, wanted in [(0.0, 1), (1.0, 1), (optional.ABSENCE_SECONDS, 2)]:  # noqa: B007
            task = nextcloud.ask()
            await take()
            await until(lambda: task.result)  # noqa: B023
            assert text_of(task) == "abc"
            assert times_asked(nextcloud) == wanted


FAILURES = {
    "a shape that it does not want": Response(b"", 400),
    "the task is gone": JSONResponse({"ocs": {"meta": {"statuscode": 404}, "data": []}}, 404),
    "not accepted": EXAPP_REQUIRED,
    "too often": RATE_LIMITED,
    "an error": Response(b"", 500),
    "maintenance": MAINTENANCE,
    "no OCS": HTMLResponse("<html>a proxy's page</html>"),
    "nothing": Response(b""),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_a_failure_to_show_costs_nothing_else(nextcloud: FakeTasks, tmp_path: Path, name: str) -> None:
    async def fail(_: Request) -> Response:
        return FAILURES[name]

    nextcloud.on_stream = fail
    task = nextcloud.ask()
    await answer_all(nextcloud, tmp_path, Writer("a", lambda: until(lambda: times_asked(nextcloud)), "b", "c"))
    assert text_of(task) == "abc"


@pytest.mark.parametrize("name", ["the task is gone", "not accepted", "a shape that it does not want"])
async def test_what_will_not_change_is_not_tried_again(nextcloud: FakeTasks, tmp_path: Path, name: str) -> None:
    async def fail(_: Request) -> Response:
        return FAILURES[name]

    async def asked() -> None:
        await until(lambda: times_asked(nextcloud))
        await a_moment()

    nextcloud.on_stream = fail
    nextcloud.ask()
    await answer_all(nextcloud, tmp_path, Writer("a", asked, "b", asked, "c"))
    assert times_asked(nextcloud) == 1


async def test_after_a_passing_failure_the_rest_is_shown(nextcloud: FakeTasks, tmp_path: Path) -> None:
    faults = [MAINTENANCE, RATE_LIMITED]

    async def fail(_: Request) -> Response | None:
        return faults.pop() if faults else None

    nextcloud.on_stream = fail
    task = nextcloud.ask()
    steps: list[Step] = []
    for number in (1, 2, 3):
        steps += ["a", lambda number=number: until(lambda: times_asked(nextcloud) == number)]  # type: ignore[misc]
    await answer_all(nextcloud, tmp_path, Writer(*steps, lambda: until(lambda: task.shown)))
    assert task.shown == ["aaa"]


class Hanging:
    """Answers without ever coming to an end, so that no limit of a client on silence helps."""

    def __init__(self, *, times: float = math.inf) -> None:
        self.left = threading.Event()
        """The client has gone away once."""
        self._times = times

    async def __call__(self, _: Request) -> Response | None:
        self._times -= 1
        return StreamingResponse(self._blanks()) if self._times >= 0 else None

    async def _blanks(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b" "
                await anyio.sleep(0.01)
        finally:
            self.left.set()


async def test_a_call_that_hangs_delays_the_result_by_no_more_than_a_moment(
    nextcloud: FakeTasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "CALL_SECONDS", NEVER)
    monkeypatch.setattr(streaming, "LAST_CALL_SECONDS", 0.01)
    nextcloud.on_stream = hanging = Hanging()
    task = nextcloud.ask()
    await answer_all(nextcloud, tmp_path, Writer("a", lambda: until(lambda: times_asked(nextcloud)), "b"))
    assert text_of(task) == "ab"
    assert await anyio.to_thread.run_sync(hanging.left.wait, 30)


async def test_a_call_that_hangs_is_given_up_for_the_next_one(
    nextcloud: FakeTasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "CALL_SECONDS", 0.2)
    nextcloud.on_stream = hanging = Hanging(times=1)
    task = nextcloud.ask()
    given_up, shown = (lambda: until(hanging.left.is_set)), (lambda: until(lambda: task.shown))
    await answer_all(nextcloud, tmp_path, Writer("a", given_up, "b", shown))
    assert task.shown == ["ab"]


async def test_the_result_comes_after_the_end_of_the_last_call(
    nextcloud: FakeTasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "LAST_CALL_SECONDS", NEVER)
    task, written = nextcloud.ask(), threading.Event()

    async def slow(_: Request) -> Response | None:
        await anyio.to_thread.run_sync(written.wait)
        await anyio.sleep(0.1)  # time enough for a result that does not wait
        assert task.result is None
        return None

    async def the_end() -> None:
        await until(lambda: times_asked(nextcloud))
        written.set()

    nextcloud.on_stream = slow
    await answer_all(nextcloud, tmp_path, Writer("a", the_end, "b"))
    assert (task.shown, text_of(task)) == (["a"], "ab")
    assert nextcloud.requests[-2:] == ["stream-result", "result"]


@pytest.mark.parametrize("error", [Unavailable("the model is away"), RuntimeError("a bug")])
async def test_nothing_is_shown_of_an_answer_that_failed_any_more(
    nextcloud: FakeTasks, tmp_path: Path, error: Exception
) -> None:
    task = nextcloud.ask()
    await answer_all(nextcloud, tmp_path, Writer("a", lambda: until(lambda: task.shown), "b", error))
    assert task.result is not None
    assert task.result["output"] is None
    assert "Please ask again" in task.result["errorMessage"]
    assert nextcloud.requests[-1] == "result"
    assert task.shown[0] == "a"


async def test_a_gateway_that_ends_reports_what_it_was_showing(nextcloud: FakeTasks, tmp_path: Path) -> None:
    task = nextcloud.ask()
    async with answering(nextcloud, tmp_path, Writer("a", anyio.sleep_forever)) as take:
        await take()
        await until(lambda: task.shown)
    assert task.result is not None
    assert "restarted" in task.result["errorMessage"]
