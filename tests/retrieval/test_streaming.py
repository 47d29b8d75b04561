"""Streamed answers of an OpenAI-compatible server: the form of events, what comes when, and every way to end badly."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from threading import Event

import anyio
import anyio.to_thread
import pytest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from context_chat_backend.contract import DriverError, Misconfigured, Rejected, Unavailable, UserId
from context_chat_backend.retrieval.event_stream import EventStream
from context_chat_backend.retrieval.generators import whole
from context_chat_backend.retrieval.models import OpenAIChat, llm_client
from context_chat_backend.retrieval.settings import AnswerSettings
from context_chat_backend.toolkit.http import ANSWER_BYTES
from tests.doubles.nextcloud import serving
from tests.doubles.openai import ChatRequest, FakeOpenAI

pytestmark = pytest.mark.anyio

ALICE = UserId("alice")
PATIENCE = 30.0

# ---------------------------------------------------------------------- events


def fed(pieces: Iterable[bytes]) -> list[str]:
    stream = EventStream()
    return [data for piece in pieces for data in stream.feed(piece)]


STREAMS: dict[str, tuple[bytes, list[str]]] = {
    "line feeds": (b"data: one\n\ndata: two\n\n", ["one", "two"]),
    "carriage returns and line feeds": (b"data: one\r\n\r\ndata: two\r\n\r\n", ["one", "two"]),
    "carriage returns": (b"data: one\r\rdata: two\r\r", ["one", "two"]),
    "all of them": (b"data: a\r\ndata: b\rdata: c\n\r\n", ["a\nb\nc"]),
    "several lines": (b"data: a\ndata:\ndata: c\n\n", ["a\n\nc"]),
    "one space is no part of it": (b"data:one\n\ndata:  two\n\n", ["one", " two"]),
    "comments and keep-alives": (b":\n\n: ping\n\ndata: one\n: ping\n\n:\n\n\n\n", ["one"]),
    "other fields": (b"event: message\nid: 7\nretry: 10\ndata: one\ndata\n\n\n", ["one\n"]),
    "no fields at all": (b"error: {}\n\nid: 1\n\n", []),
    "UTF-8": ("data: Größe 鲸 🐋\n\n".encode(), ["Größe 鲸 🐋"]),
    "what only texts take for line ends": (
        "data: a\u2028b\u0085c\x0bd\x1ce\n\n".encode(),
        ["a\u2028b\u0085c\x0bd\x1ce"],
    ),
    "a byte order mark": (b"\xef\xbb\xbfdata: one\n\n", ["one"]),
    "the end in the middle of an event": (b"data: one\n\ndata: two\n", ["one"]),
    "the end in the middle of a line": (b"data: one\n\ndata: tw", ["one"]),
    "no UTF-8": (b"data: a\xffb\n\n", ["a\ufffdb"]),
}


@pytest.mark.parametrize("name", STREAMS)
def test_events_are_found_wherever_the_stream_is_cut(name: str) -> None:
    raw, data = STREAMS[name]
    assert fed([raw]) == data
    assert fed(raw[i : i + 1] for i in range(len(raw))) == data
    for first in range(len(raw) + 1):
        for second in range(first, len(raw) + 1):
            assert fed([raw[:first], b"", raw[first:second], raw[second:]]) == data, (first, second)


def test_an_event_is_there_as_soon_as_it_ends() -> None:
    for end in ("\n\n", "\r\n\r\n", "\r\r"):
        assert fed([f"data: one{end}".encode()]) == ["one"]


# ---------------------------------------------------------------------- answers


def event(finish_reason: str | None = None, **delta: object) -> bytes:
    return of({"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})


def of(body: object) -> bytes:
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


def streamed(*events: bytes, media_type: str = "text/event-stream; charset=utf-8") -> Response:
    async def body() -> AsyncIterator[bytes]:
        for each in events:
            yield each

    return StreamingResponse(body(), media_type=media_type)


STOP = event("stop")
DONE = b"data: [DONE]\n\n"
ROLE = event(role="assistant", content="")


@asynccontextmanager
async def opened(app: ASGIApp, *, timeout: float = PATIENCE) -> AsyncIterator[AsyncGenerator[str, None]]:  # noqa: ASYNC109
    """The answer of a model behind a real socket: in memory, httpx hands on whole bodies only."""
    with serving(app) as url:
        options = AnswerSettings.model_validate(
            {"llm_base_url": f"{url}/v1", "llm_model": "gpt-4o-mini", "CC_LLM_TIMEOUT": timeout}
        )
        async with (
            llm_client(options) as client,
            aclosing(OpenAIChat(client, options).stream(ALICE, "Hello")) as pieces,
        ):
            yield pieces


async def pieces_of(*events: bytes, media_type: str = "text/event-stream") -> list[str]:
    async with opened(streamed(*events, media_type=media_type)) as pieces:
        return [piece async for piece in pieces]


async def test_an_answer_comes_in_pieces() -> None:
    openai = FakeOpenAI()
    async with opened(openai) as pieces:
        assert [piece async for piece in pieces] == ["You ", "said", ": He", "llo"]
    (request,) = openai.requests
    assert isinstance(request, ChatRequest)
    assert request.stream


async def test_a_piece_is_there_before_the_next_one_is_written() -> None:
    seen = Event()

    async def body() -> AsyncIterator[bytes]:
        yield event(content="The whale ")
        await anyio.to_thread.run_sync(seen.wait, PATIENCE)
        yield event(content="swims." if seen.is_set() else "came late.")
        yield STOP

    async with opened(StreamingResponse(body(), media_type="text/event-stream")) as pieces:
        first = await anext(pieces)
        seen.set()
        assert [first, *[piece async for piece in pieces]] == ["The whale ", "swims."]


async def test_characters_and_lines_may_be_cut_anywhere_on_their_way() -> None:
    raw = ROLE + event(content="Größe ") + event(content="鲸\u2028🐋") + STOP + DONE
    cut = [raw[i : i + 1] for i in range(len(raw))]
    assert await pieces_of(*cut) == ["Größe ", "鲸\u2028🐋"]


COMPLETE: dict[str, list[bytes]] = {
    "OpenAI": [ROLE, event(content="Yes"), STOP, of({"choices": [], "usage": {"total_tokens": 7}}), DONE],
    "without its last line": [event(content="Yes"), STOP],
    "the end comes with the text": [event("stop", content="Yes")],
    "filters before the text, as of Azure": [
        of({"choices": [], "prompt_filter_results": []}),
        event(content="Yes"),
        STOP,
    ],
    "no delta at the end": [event(content="Yes"), of({"choices": [{"index": 0, "finish_reason": "stop"}]})],
    "thoughts": [event(reasoning_content="Hm"), event(content=None), event(content="Yes"), STOP],
    "keep-alives": [b": ping\n\n", event(content="Yes"), b":\r\n\r\n", STOP],
    "no error": [of({"error": None, "choices": [{"delta": {"content": "Yes"}}]}), STOP],
    "cut by the limit of tokens": [event(content="Yes"), event("length")],
}


@pytest.mark.parametrize("name", COMPLETE)
async def test_servers_that_differ_are_understood(name: str) -> None:
    assert await pieces_of(*COMPLETE[name]) == ["Yes"]


YES = event(content="Yes")
BROKEN: dict[str, tuple[list[bytes], type[DriverError], str]] = {
    "nothing": ([], Unavailable, "broke off"),
    "no end": ([ROLE, YES], Unavailable, "broke off"),
    "no end, and the line that is the last one": ([YES, DONE], Unavailable, "cannot be read"),
    "the end in the middle of an event": ([YES, STOP[:-1]], Unavailable, "broke off"),
    "an error in place of an answer": ([of({"error": {"message": "out of memory"}})], Unavailable, "met an error"),
    "an error in the middle": ([YES, of({"error": {"message": "out of memory"}})], Unavailable, "met an error"),
    "an error beside a choice": (
        [YES, of({"error": {"code": 502}, "choices": [{"delta": {"content": ""}, "finish_reason": "error"}]})],
        Unavailable,
        "met an error",
    ),
    "no JSON": ([YES, b'data: {"choices": [\n\n'], Unavailable, "cannot be read"),
    "half a character": (
        [b'data: {"choices": [{"delta": {"content": "\\ud83d"}}]}\n\n'],
        Unavailable,
        "cannot be read",
    ),
    "JSON of another kind": ([YES, of(["Yes"])], Unavailable, "cannot be read"),
    "no choices": ([YES, of({"id": "1"})], Unavailable, "cannot be read"),
    "choices of another kind": ([YES, of({"choices": ["Yes"]})], Unavailable, "cannot be read"),
    "text of another kind": ([YES, event(content=["Yes"])], Unavailable, "cannot be read"),
    "a delta of another kind": ([YES, of({"choices": [{"delta": "Yes"}]})], Unavailable, "cannot be read"),
    "no text": ([ROLE, STOP, DONE], Unavailable, "cannot be read"),
    "blanks": ([event(content=" \n"), STOP, DONE], Unavailable, "cannot be read"),
    "thoughts and no room for more": (
        [event(reasoning_content="Hm"), event("length")],
        Misconfigured,
        "CC_ANSWER_TOKENS",
    ),
    "a refusal": ([event(refusal="I can"), event(refusal="not"), STOP], Rejected, "refused"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_an_answer_that_is_none_says_why(name: str) -> None:
    events, error, words = BROKEN[name]
    with pytest.raises(DriverError, match=words) as caught:
        await pieces_of(*events)
    assert type(caught.value) is error
    assert "memory" not in str(caught.value)


async def test_a_page_that_is_no_stream_of_events_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="unexpected body"):
        await pieces_of(YES, STOP, media_type="text/html")


async def test_a_server_that_does_not_know_streaming_answers_in_one_piece() -> None:
    whole_answer = {"choices": [{"message": {"role": "assistant", "content": "Yes"}, "finish_reason": "stop"}]}
    async with opened(JSONResponse(whole_answer)) as pieces:
        assert [piece async for piece in pieces] == ["Yes"]


async def test_a_model_that_may_not_be_streamed_answers_in_one_piece() -> None:
    openai = FakeOpenAI(may_stream=False)
    async with opened(openai) as pieces:
        assert [piece async for piece in pieces] == ["You said: Hello"]


async def test_what_is_refused_in_either_way_is_refused() -> None:
    async with opened(FakeOpenAI(refused_word="Hello")) as pieces:
        with pytest.raises(Rejected, match="400"):
            await anext(pieces)


async def test_a_connection_that_breaks_in_the_middle_is_unavailable() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream"), (b"content-length", b"1000000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": YES, "more_body": True})
        # and nothing more: the server then closes the connection

    async with opened(app) as pieces:
        assert await anext(pieces) == "Yes"
        with pytest.raises(Unavailable, match="RemoteProtocolError"):
            await anext(pieces)


async def test_a_server_that_only_keeps_the_connection_alive_is_given_up() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield YES
        while True:
            await anyio.sleep(0.01)
            yield b": ping\n\n"

    async with opened(StreamingResponse(body(), media_type="text/event-stream"), timeout=0.3) as pieces:
        with pytest.raises(Unavailable, match=r"longer than 0\.3 s"):
            await whole(pieces)


async def test_a_server_that_says_nothing_is_given_up() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async with opened(app, timeout=0.3) as pieces:
        with pytest.raises(Unavailable):
            await whole(pieces)


async def test_a_stream_without_text_is_given_up_at_the_limit_of_all_answers() -> None:
    with pytest.raises(Unavailable, match="answered with more than"):
        await pieces_of(*[b":" * 2**20] * (ANSWER_BYTES // 2**20 + 1), YES, STOP)


async def test_a_model_that_nobody_listens_to_any_more_is_left() -> None:
    left = Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": YES, "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    async with opened(app) as pieces:
        assert await anext(pieces) == "Yes"
        await pieces.aclose()
        assert await anyio.to_thread.run_sync(left.wait, PATIENCE)


async def test_nobody_waits_for_what_follows_the_end() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": YES + STOP, "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    async with opened(app) as pieces:
        assert await whole(pieces) == "Yes"
