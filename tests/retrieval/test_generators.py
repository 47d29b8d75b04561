"""Answers from language models: generators against strict doubles, and `/query` of a real gateway in front of them."""

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx
import pytest
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import (
    Busy,
    DriverError,
    Misconfigured,
    Rejected,
    SourceId,
    Unavailable,
    UserId,
)
from context_chat_backend.nextcloud.client import NextcloudClient
from context_chat_backend.nextcloud.consumer import TaskConsumer
from context_chat_backend.nextcloud.push_client import part
from context_chat_backend.nextcloud.text_model import NextcloudText
from context_chat_backend.nextcloud.webhooks import Webhooks
from context_chat_backend.retrieval.context import Excerpt
from context_chat_backend.retrieval.generators import Prompted, whole
from context_chat_backend.retrieval.models import OpenAIChat
from context_chat_backend.retrieval.settings import AnswerSettings
from context_chat_backend.retrieval.tokens import EstimatedTokens
from tests.bombs import Bomb, bombed
from tests.doubles.nextcloud import EXAPP_REQUIRED, MAINTENANCE, RATE_LIMITED, FakeNextcloud, serving
from tests.doubles.openai import ChatRequest, FakeOpenAI
from tests.gateway import make_settings, running_gateway

pytestmark = pytest.mark.anyio

ALICE = UserId("alice")
KEY = "sk-hunter2"
EXCERPTS = [Excerpt("whale.md", "The whale swims in the sea.", (SourceId("files__default: 1"),))]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for routes in ("FOR_APPS", "FOR_USERS"):
        quick = replace(getattr(TaskConsumer, routes), first_pause=0.001, longest_pause=0.001)
        monkeypatch.setattr(TaskConsumer, routes, quick)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


# ------------------------------------------------------------------ OpenAI


@pytest.fixture
def openai() -> FakeOpenAI:
    return FakeOpenAI(api_key=KEY)


async def chat(app: ASGIApp | httpx.AsyncBaseTransport, *, key: str = KEY, **settings: object) -> str:
    transport = app if isinstance(app, httpx.AsyncBaseTransport) else httpx.ASGITransport(app)
    options = AnswerSettings(llm_base_url="http://llm/v1", **{"llm_model": "gpt-4o-mini", **settings})  # type: ignore[arg-type]
    async with httpx.AsyncClient(
        base_url="http://llm/v1/", transport=transport, headers={"Authorization": f"Bearer {key}"}
    ) as client:
        return await whole(OpenAIChat(client, options).stream(ALICE, "Hello"))


async def test_an_immense_answer_of_a_model_is_unavailable_before_it_fills_the_memory() -> None:
    bomb = Bomb()
    with pytest.raises(Unavailable, match="chat/completions answered with more than"):
        await chat(bombed(bomb))
    assert bomb.unpacked < 20 * 2**20


async def test_the_models_text_is_the_answer(openai: FakeOpenAI) -> None:
    assert await chat(openai, answer_tokens=77) == "You said: Hello"
    (request,) = openai.requests
    assert isinstance(request, ChatRequest)
    assert request.max_tokens == 77


async def test_no_limit_is_sent_to_models_that_refuse_one(openai: FakeOpenAI) -> None:
    await chat(openai, answer_tokens=0)
    (request,) = openai.requests
    assert isinstance(request, ChatRequest)
    assert request.max_tokens is None


async def test_the_model_gets_question_and_excerpts(openai: FakeOpenAI) -> None:
    options = AnswerSettings(llm_base_url="http://llm/v1", llm_model="gpt-4o-mini")
    async with httpx.AsyncClient(
        base_url="http://llm/v1/",
        transport=httpx.ASGITransport(openai),
        headers={"Authorization": f"Bearer {KEY}"},
    ) as client:
        prompt = await whole(
            Prompted(OpenAIChat(client, options), EstimatedTokens()).answer(ALICE, "Where is the whale?", EXCERPTS)
        )
    assert "The whale swims in the sea." in prompt
    assert "Where is the whale?" in prompt


async def test_a_wrong_key_and_an_unknown_model_are_the_admins_to_mend(openai: FakeOpenAI) -> None:
    with pytest.raises(Misconfigured, match="401"):
        await chat(openai, key="another")
    with pytest.raises(Misconfigured, match="404"):
        await chat(openai, llm_model="gpt-0")


async def test_a_prompt_that_is_too_long_is_rejected(openai: FakeOpenAI) -> None:
    openai.max_characters = 3
    with pytest.raises(Rejected, match="400"):
        await chat(openai)


def completion(finish_reason: str = "stop", **message: object) -> Response:
    return JSONResponse(
        {"choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}]}
    )


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Response(b"", 429), Busy),
        (Response(b"", 500), Unavailable),
        (Response(b"", 502), Unavailable),
        (Response(b"", 503), Unavailable),
        (Response(b"", 403), Misconfigured),
        (Response(b"", 413), Rejected),
        (Response(b"", 422), Rejected),
        (HTMLResponse("<html>a proxy's page</html>"), Unavailable),
        (Response(b'{"choices": [{"mess'), Unavailable),
        (Response(b"\xff"), Unavailable),
        (Response(b""), Unavailable),
        (JSONResponse([]), Unavailable),
        (JSONResponse({}), Unavailable),
        (JSONResponse({"choices": None}), Unavailable),
        (JSONResponse({"choices": []}), Unavailable),
        (JSONResponse({"choices": ["text"]}), Unavailable),
        (JSONResponse({"choices": [{"message": None}]}), Unavailable),
        (completion(), Unavailable),
        (completion(content=None), Unavailable),
        (completion(content=["parts"]), Unavailable),
        (completion(content=" \n"), Unavailable),
        (completion(content="", finish_reason="length"), Misconfigured),
        (completion(content=None, finish_reason="length"), Misconfigured),
        (completion(content=None, refusal="I cannot"), Rejected),
    ],
)
async def test_an_answer_decides_the_error(openai: FakeOpenAI, answer: Response, error: type[DriverError]) -> None:
    openai.script.extend([answer, answer])  # some statuses are asked for twice: they may be about streaming
    with pytest.raises(DriverError) as caught:
        await chat(openai)
    assert type(caught.value) is error


async def test_a_cut_answer_is_better_than_none(openai: FakeOpenAI) -> None:
    openai.script.append(completion(content="The whale", finish_reason="length", refusal=None))
    assert await chat(openai) == "The whale"


async def test_the_wait_that_the_server_asks_for_reaches_the_caller(openai: FakeOpenAI) -> None:
    openai.script.append(Response(b"", 429, {"Retry-After": "12"}))
    with pytest.raises(Busy) as caught:
        await chat(openai)
    assert caught.value.retry_after == 12


class Failing(httpx.AsyncBaseTransport):
    def __init__(self, error: type[httpx.RequestError]) -> None:
        self._error = error

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise self._error("failed", request=request)


@pytest.mark.parametrize(
    "error", [httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError]
)
async def test_a_broken_connection_is_unavailable(error: type[httpx.RequestError]) -> None:
    with pytest.raises(Unavailable) as caught:
        await chat(Failing(error))
    assert KEY not in str(caught.value)


# ------------------------------------------------------------------ Nextcloud


@pytest.fixture(params=[32, 33])
def nextcloud(request: pytest.FixtureRequest) -> Iterator[FakeNextcloud]:
    nextcloud = FakeNextcloud(major=request.param)
    yield nextcloud
    assert not nextcloud.violations


async def text_of(stack: AsyncExitStack, app: ASGIApp, **settings: object) -> NextcloudText:
    folder = Path("unused")
    client = NextcloudClient(
        make_settings(folder, nextcloud_url="http://cloud.example"), transport=httpx.ASGITransport(app)
    )
    ocs = await stack.enter_async_context(client)
    return NextcloudText(TaskConsumer(ocs, Webhooks()), AnswerSettings.model_validate(settings))


@pytest.fixture
async def text(stack: AsyncExitStack, nextcloud: FakeNextcloud) -> NextcloudText:
    return await text_of(stack, nextcloud)


@pytest.mark.parametrize("user", ["alice", "jörg"])
async def test_the_task_is_one_of_the_user_who_asks(text: NextcloudText, nextcloud: FakeNextcloud, user: str) -> None:
    assert await whole(text.stream(UserId(user), "Größe?")) == "Answer to: Größe?"
    (task,) = nextcloud.tasks.values()
    assert (task.user_id, task.prompt, task.polls, task.cancelled) == (user, "Größe?", 3, False)


async def test_the_task_gets_question_and_excerpts(text: NextcloudText, nextcloud: FakeNextcloud) -> None:
    await whole(Prompted(text, EstimatedTokens()).answer(ALICE, "Where is the whale?", EXCERPTS))
    assert "The whale swims in the sea." in nextcloud.tasks[1].prompt
    assert "Where is the whale?" in nextcloud.tasks[1].prompt


@pytest.mark.parametrize("status", ["STATUS_FAILED", "STATUS_CANCELLED", "STATUS_UNKNOWN"])
async def test_a_task_that_ends_otherwise_is_unavailable(
    text: NextcloudText, nextcloud: FakeNextcloud, status: str
) -> None:
    nextcloud.statuses = ["STATUS_RUNNING", status]
    with pytest.raises(Unavailable, match=status):
        await whole(text.stream(ALICE, "Hello"))


@pytest.mark.parametrize("output", [None, 7, ["text"]])
async def test_an_output_that_is_no_text_is_unavailable(
    text: NextcloudText, nextcloud: FakeNextcloud, output: object
) -> None:
    nextcloud.reply = lambda _: output
    with pytest.raises(Unavailable, match="cannot be read"):
        await whole(text.stream(ALICE, "Hello"))


async def test_a_missing_provider_is_the_admins_to_mend(text: NextcloudText, nextcloud: FakeNextcloud) -> None:
    nextcloud.has_text_provider = False
    with pytest.raises(Misconfigured, match="Nextcloud has no provider for this kind of task"):
        await whole(text.stream(ALICE, "Hello"))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (RATE_LIMITED, Unavailable),
        (MAINTENANCE, Unavailable),
        (EXAPP_REQUIRED, Misconfigured),
        (JSONResponse({"ocs": {"meta": {"statuscode": 100}, "data": []}}), Unavailable),
        (JSONResponse({"ocs": {"meta": {"statuscode": 100}, "data": {"task": {"id": None}}}}), Unavailable),
    ],
)
async def test_a_task_that_is_not_scheduled_says_why(
    text: NextcloudText, nextcloud: FakeNextcloud, answer: Response, error: type[DriverError]
) -> None:
    nextcloud.script.append(answer)
    with pytest.raises(DriverError) as caught:
        await whole(text.stream(ALICE, "Hello"))
    assert type(caught.value) is error


class PollFaults:
    """Answers these instead of telling how the first task is doing."""

    def __init__(self, nextcloud: FakeNextcloud, *faults: Response) -> None:
        self._nextcloud = nextcloud
        self._faults = list(faults)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._faults and scope["path"].endswith("/task/1"):
            await self._faults.pop(0)(scope, receive, send)
        else:
            await self._nextcloud(scope, receive, send)


async def test_an_answer_outlives_an_outage_of_nextcloud(stack: AsyncExitStack, nextcloud: FakeNextcloud) -> None:
    faults = PollFaults(nextcloud, MAINTENANCE, RATE_LIMITED, HTMLResponse("a proxy's page"))
    text = await text_of(stack, faults)
    assert await whole(text.stream(ALICE, "Hello")) == "Answer to: Hello"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (JSONResponse({"ocs": {"meta": {"statuscode": 404}, "data": []}}), Unavailable),
        (JSONResponse({"ocs": {"meta": {"statuscode": 100}, "data": []}}), Unavailable),
        (JSONResponse({"ocs": {"meta": {"statuscode": 100}, "data": {"task": None}}}), Unavailable),
        (JSONResponse({"ocs": {"meta": {"statuscode": 100}, "data": {"task": {"status": "NEW"}}}}), Unavailable),
        (Response(b"", 401), Misconfigured),
    ],
)
async def test_a_task_that_cannot_be_followed_says_why(
    stack: AsyncExitStack, nextcloud: FakeNextcloud, answer: Response, error: type[DriverError]
) -> None:
    text = await text_of(stack, PollFaults(nextcloud, answer))
    with pytest.raises(DriverError) as caught:
        await whole(text.stream(ALICE, "Hello"))
    assert type(caught.value) is error


async def test_a_task_that_takes_too_long_is_cancelled(stack: AsyncExitStack, nextcloud: FakeNextcloud) -> None:
    nextcloud.statuses = ["STATUS_RUNNING"]
    text = await text_of(stack, nextcloud, CC_LLM_TIMEOUT=0.05)
    with pytest.raises(Unavailable, match=r"longer than 0\.05 s"):
        await whole(text.stream(ALICE, "Hello"))
    assert nextcloud.tasks[1].cancelled


async def test_a_task_that_nobody_waits_for_is_cancelled(stack: AsyncExitStack, nextcloud: FakeNextcloud) -> None:
    nextcloud.statuses = ["STATUS_RUNNING"]
    polled = anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.lowlevel.checkpoint()  # as a socket would have
        await nextcloud(scope, receive, send)
        if scope["method"] == "GET":
            polled.set()

    text = await text_of(stack, app)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(whole, text.stream(ALICE, "Hello"))
        await polled.wait()
        tasks.cancel_scope.cancel()
    assert nextcloud.tasks[1].cancelled


async def test_a_failed_cancellation_costs_nothing(stack: AsyncExitStack, nextcloud: FakeNextcloud) -> None:
    nextcloud.statuses = ["STATUS_RUNNING"]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (MAINTENANCE if scope["path"].endswith("/cancel") else nextcloud)(scope, receive, send)

    text = await text_of(stack, app, CC_LLM_TIMEOUT=0.05)
    with pytest.raises(Unavailable, match="longer than"):
        await whole(text.stream(ALICE, "Hello"))


async def test_the_question_survives_any_number_of_excerpts(stack: AsyncExitStack, nextcloud: FakeNextcloud) -> None:
    text = await text_of(stack, nextcloud, context_tokens=10_000_000)
    excerpts = [
        Excerpt("whale.md", "鲸" * (text.context_tokens // 20), (SourceId("files__default: 1"),)) for _ in range(20)
    ]
    question = "Where is the whale? " * 5_000
    assert sum(EstimatedTokens().count(excerpt.text) for excerpt in excerpts) >= text.context_tokens
    await whole(Prompted(text, EstimatedTokens()).answer(ALICE, question, excerpts))
    assert question in nextcloud.tasks[1].prompt


async def test_what_nextcloud_cannot_take_is_refused_and_not_cut(text: NextcloudText, nextcloud: FakeNextcloud) -> None:
    with pytest.raises(Rejected):
        await whole(text.stream(ALICE, "x" * 512_001))
    assert not nextcloud.tasks


# ------------------------------------------------------------------ what the user gets


QUESTION = {"query": "Where is the whale?", "userId": "alice"}
Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask_openai(openai: FakeOpenAI, tmp_path: Path) -> Iterator[Ask]:
    with serving(openai) as url:
        variables = {"CC_LLM_BASE_URL": f"{url}/v1", "CC_LLM_API_KEY": KEY, "CC_LLM_MODEL": "gpt-4o-mini"}
        with running_gateway(make_settings(tmp_path), ReferenceDriver(), variables) as gateway:
            gateway.load(part("files__default: 1"))
            yield lambda **more: gateway.post("/query", **QUESTION, **more)


@pytest.fixture
def ask_nextcloud(nextcloud: FakeNextcloud, tmp_path: Path) -> Iterator[Ask]:
    with (
        serving(nextcloud) as url,
        running_gateway(make_settings(tmp_path, nextcloud_url=url), ReferenceDriver()) as gateway,
    ):
        gateway.http.put("/enabled?enabled=1")
        gateway.load(part("files__default: 1"))
        while not nextcloud.requests:  # the state, asked for once at the start
            time.sleep(0.005)
        yield lambda **more: gateway.post("/query", **QUESTION, **more)


async def test_a_query_is_answered_by_the_model_with_its_sources(ask_openai: Ask, openai: FakeOpenAI) -> None:
    openai.reply = lambda messages: "In the sea." if "blue sea" in messages[0].content else "?"
    response = ask_openai()
    assert response.json() == {"output": "In the sea.", "sources": ["files__default: 1"]}


async def test_a_query_without_context_is_the_users_own_prompt(ask_openai: Ask) -> None:
    response = ask_openai(useContext=False)
    assert response.json() == {"output": "You said: Where is the whale?", "sources": []}


async def test_a_query_is_answered_by_nextcloud(ask_nextcloud: Ask, nextcloud: FakeNextcloud) -> None:
    nextcloud.reply = lambda prompt: "In the sea." if "blue sea" in prompt else "?"
    assert ask_nextcloud().json() == {"output": "In the sea.", "sources": ["files__default: 1"]}
    response = ask_nextcloud(useContext=False)
    assert response.json() == {"output": "?", "sources": []}
    assert [task.user_id for task in nextcloud.tasks.values()] == ["alice", "alice"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Response(b"", 429, {"Retry-After": "12"}), (503, "12")),
        (Response(b"", 502), (503, "30")),
        (Response(b"", 401), (503, "30")),
        (Response(b"", 400), (400, None)),
        (completion(content=None, refusal="I cannot"), (400, None)),
    ],
)
@pytest.mark.parametrize("use_context", [True, False])
async def test_a_failing_model_is_a_readable_error(
    ask_openai: Ask, openai: FakeOpenAI, answer: Response, expected: tuple[int, str | None], use_context: bool
) -> None:
    openai.script.extend([answer, answer])
    response = ask_openai(useContext=use_context)
    assert (response.status_code, response.headers.get("retry-after")) == expected
    assert "cc-retry" not in response.headers
    assert set(response.json()) == {"error"}
    assert KEY not in json.dumps(response.json())


async def test_a_nextcloud_without_a_model_is_a_readable_error(
    ask_nextcloud: Ask, nextcloud: FakeNextcloud, caplog: pytest.LogCaptureFixture
) -> None:
    nextcloud.has_text_provider = False
    response = ask_nextcloud()
    assert response.status_code == 503
    assert "not set up correctly" in response.json()["error"]
    assert "no provider" in caplog.text  # for the admin
