from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import numpy as np
import pytest
from fastapi import Response
from fastapi.responses import JSONResponse
from pydantic import SecretStr, ValidationError

from context_chat_backend.contract import Busy, DriverError, Misconfigured, Rejected, Unavailable
from context_chat_backend.toolkit.indexing.embed import EmbedSettings, make_embedder
from context_chat_backend.toolkit.indexing.embed.local import LocalEmbedder
from context_chat_backend.toolkit.indexing.embed.openai import PROBE, OpenAIEmbedder
from context_chat_backend.toolkit.settings import read_settings
from tests.bombs import Bomb, bombed
from tests.doubles.openai import EmbeddingRequest, FakeOpenAI

pytestmark = pytest.mark.anyio

MODEL = "text-embedding-3-small"
DIMENSION = 8
BASE_URL = "http://models.example/v1"


@pytest.fixture
def server() -> FakeOpenAI:
    return FakeOpenAI()


def settings(**values: object) -> EmbedSettings:
    return EmbedSettings.model_validate({"base_url": BASE_URL, "model_name": MODEL, **values})


def embedder(server: FakeOpenAI, **values: object) -> OpenAIEmbedder:
    return OpenAIEmbedder(settings(**values), transport=httpx.ASGITransport(server))


@asynccontextmanager
async def entered(server: FakeOpenAI, **values: object) -> AsyncIterator[OpenAIEmbedder]:
    """Without the probe at start, so that the first request is the test's own."""
    async with embedder(server, dimension=DIMENSION, **values) as result:
        yield result


def batches(server: FakeOpenAI) -> list[list[str]]:
    return [r.input for r in server.requests if isinstance(r, EmbeddingRequest) and isinstance(r.input, list)]


def expected(server: FakeOpenAI, texts: list[str]) -> np.ndarray:
    vectors = np.array([server.vector(text, DIMENSION) for text in texts])
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


async def test_vectors_come_in_the_order_of_the_texts_and_of_unit_length(server: FakeOpenAI) -> None:
    texts = [f"chunk {number}" for number in range(7)]
    async with entered(server, batch_size=3) as openai:
        vectors = await openai.embed(texts)
    assert vectors.shape == (7, DIMENSION)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected(server, texts), atol=1e-6)
    assert sorted(map(len, batches(server))) == [1, 3, 3]


async def test_a_query_has_the_vector_of_the_same_text_in_a_document(server: FakeOpenAI) -> None:
    async with entered(server) as openai:
        np.testing.assert_array_equal(await openai.embed_query("whale"), (await openai.embed(["a", "whale"]))[1])


async def test_no_texts_cost_no_request(server: FakeOpenAI) -> None:
    async with entered(server) as openai:
        assert (await openai.embed([])).shape == (0, DIMENSION)
    assert server.requests == []


async def test_the_dimension_is_found_out_at_start(server: FakeOpenAI) -> None:
    async with embedder(server) as openai:
        assert openai.dimension == DIMENSION
        assert openai.model_name == MODEL
        assert openai.tokenizer is None
        assert openai.max_tokens is None


async def test_another_dimension_than_configured_is_misconfigured(server: FakeOpenAI) -> None:
    async with embedder(server, dimension=1536) as openai:
        with pytest.raises(Misconfigured, match="1536"):
            await openai.embed(["text"])


async def test_the_api_key_is_sent(server: FakeOpenAI) -> None:
    server.api_key = "sk-1"
    async with entered(server, api_key="sk-1", username="ignored", password="ignored") as openai:
        await openai.embed(["text"])


async def test_username_and_password_are_sent(server: FakeOpenAI) -> None:
    server.basic_auth = ("jane", "pässword")
    async with entered(server, username="jane", password="pässword") as openai:
        await openai.embed(["text"])


async def test_wrong_credentials_are_misconfigured_and_never_shown(server: FakeOpenAI) -> None:
    server.api_key = "sk-right"
    openai = embedder(server, api_key="sk-wrong")
    with pytest.raises(Misconfigured, match="401") as caught:
        await openai.__aenter__()
    assert "sk-wrong" not in f"{caught.value!r} {openai!r} {settings(api_key='sk-wrong')!r}"


async def test_an_unknown_model_is_misconfigured(server: FakeOpenAI) -> None:
    async with entered(server, model_name="nonsense") as openai:
        with pytest.raises(Misconfigured, match="404"):
            await openai.embed(["text"])


async def test_a_model_is_asked_for_only_when_configured(server: FakeOpenAI) -> None:
    """The real API needs one, so that leaving it out must end as the admin's matter and reject no document."""
    async with entered(server, model_name=None) as openai:
        with pytest.raises(Misconfigured, match="CC_EM_MODEL_NAME"):
            await openai.embed(["text", "more text"])


async def test_a_wrong_path_is_misconfigured(server: FakeOpenAI) -> None:
    async with entered(server, base_url="http://models.example/") as openai:
        with pytest.raises(Misconfigured, match=r"http://models\.example/embeddings answered 404"):
            await openai.embed(["text"])


async def test_too_many_requests_are_busy_for_as_long_as_the_server_says(server: FakeOpenAI) -> None:
    server.script.append(Response(status_code=429, headers={"Retry-After": "12"}))
    async with entered(server) as openai:
        with pytest.raises(Busy) as caught:
            await openai.embed(["text"])
        assert caught.value.retry_after == 12
        await openai.embed(["text"])


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504])
async def test_a_passing_failure_is_unavailable(server: FakeOpenAI, status: int) -> None:
    server.script.append(Response(status_code=status))
    async with entered(server) as openai:
        with pytest.raises(Unavailable):
            await openai.embed(["text"])


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_batch_that_is_refused_as_a_whole_is_sent_in_parts(server: FakeOpenAI, status: int) -> None:
    server.script.append(Response(status_code=status))
    texts = ["a", "b", "c", "d", "e"]
    async with entered(server) as openai:
        np.testing.assert_allclose(await openai.embed(texts), expected(server, texts), atol=1e-6)
    assert batches(server) == [["a", "b"], ["c", "d", "e"]]


async def test_a_smaller_limit_of_the_server_costs_requests_but_no_document(server: FakeOpenAI) -> None:
    server.max_inputs = 4
    texts = [str(number) for number in range(40)]
    async with entered(server) as openai:
        np.testing.assert_allclose(await openai.embed(texts), expected(server, texts), atol=1e-6)


@pytest.mark.parametrize("longest", [32, 100, 249, 250, 999])
@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_text_that_is_too_long_has_the_vector_of_its_beginning(
    server: FakeOpenAI, longest: int, status: int
) -> None:
    server.max_characters, server.too_long_status = longest, status
    long = "".join(f"{number:04d}" for number in range(250))
    kept = next(long[:length] for length in (500, 250, 125, 62, 32) if length <= longest)
    texts = ["short", long, "short too"]
    async with entered(server) as openai:
        np.testing.assert_allclose(await openai.embed(texts), expected(server, ["short", kept, "short too"]), atol=1e-6)
        np.testing.assert_allclose(await openai.embed_query(long), expected(server, [kept])[0], atol=1e-6)


async def test_a_text_whose_words_are_refused_has_a_neutral_vector_and_the_others_their_own(
    server: FakeOpenAI,
) -> None:
    server.refused_word = "forbidden"
    texts = ["short", "forbidden " * 100, "forbidden", "short too"]
    async with entered(server) as openai:
        vectors = await openai.embed(texts)
    np.testing.assert_allclose(vectors, expected(server, ["short", PROBE, PROBE, "short too"]), atol=1e-6)


async def test_a_question_whose_words_are_refused_is_rejected(server: FakeOpenAI) -> None:
    """To answer it with whatever is near to something else would be no answer."""
    server.refused_word = "forbidden"
    async with entered(server) as openai:
        for question in ("forbidden", "forbidden " * 100, ""):
            with pytest.raises(Rejected):
                await openai.embed_query(question)
        await openai.embed_query("short")


async def test_a_server_that_refuses_everything_is_misconfigured(server: FakeOpenAI) -> None:
    server.max_characters = 0
    async with entered(server) as openai:
        with pytest.raises(Misconfigured):
            await openai.embed(["text", "more text" * 100])
        with pytest.raises(Misconfigured):
            await openai.embed_query("text" * 100)


GOOD = [1.0] * DIMENSION


@pytest.mark.parametrize("refusals", range(1, 7))
async def test_a_server_that_fails_while_a_text_is_shortened_is_unavailable(server: FakeOpenAI, refusals: int) -> None:
    refused = Response(status_code=400)
    server.script.extend([refused, listing((0, GOOD)), *[refused] * 5][:refusals])
    server.script.append(Response(status_code=502))
    async with entered(server) as openai:
        with pytest.raises(Unavailable):
            await openai.embed(["text" * 250])


async def test_what_is_logged_of_a_shortened_text_does_not_quote_it(
    server: FakeOpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    server.max_characters, server.refused_word = 100, "forbidden"
    async with entered(server) as openai:
        await openai.embed(["secret" * 100, "forbidden secret"])
    assert "600 characters" in caplog.text
    assert "secret" not in caplog.text


async def test_a_server_that_fails_while_the_refused_text_is_looked_for_is_unavailable(server: FakeOpenAI) -> None:
    server.script.extend([Response(status_code=400), Response(status_code=502)])
    async with entered(server) as openai:
        with pytest.raises(Unavailable):
            await openai.embed(["text"])


def listing(*items: tuple[int, object]) -> JSONResponse:
    return JSONResponse({"data": [{"index": index, "embedding": vector} for index, vector in items]})


@pytest.mark.parametrize(
    "answer",
    [
        Response("<html>Welcome</html>"),
        Response('{"data": [{"index": 0, "embedding": [' + "NaN," * (DIMENSION - 1) + "1]}]}"),
        JSONResponse({"error": "overloaded"}),
        listing(),
        listing((1, GOOD)),
        listing((0, GOOD), (0, GOOD)),
        listing((0, GOOD), (1, GOOD)),
        listing((0, [0.0] * DIMENSION)),
        listing((0, [None] * DIMENSION)),
        listing((0, "AACAPw==")),
    ],
    ids=["HTML", "NaN", "error", "none", "wrong index", "twice", "too many", "zero", "null", "base64"],
)
async def test_an_answer_that_makes_no_sense_is_unavailable(server: FakeOpenAI, answer: Response) -> None:
    server.script.append(answer)
    async with entered(server) as openai:
        with pytest.raises(Unavailable):
            await openai.embed(["text"])


async def test_an_immense_answer_is_unavailable_before_it_fills_the_memory() -> None:
    bomb = Bomb()
    async with OpenAIEmbedder(settings(dimension=8), transport=bombed(bomb)) as openai:
        with pytest.raises(Unavailable, match="answered with more than 2,097,152 bytes"):
            await openai.embed(["text", "more text"])
    assert bomb.unpacked < 10 * 2**20


async def test_the_longest_vectors_in_the_largest_batch_are_read(server: FakeOpenAI) -> None:
    server.embedding_models = {MODEL: 8192}
    texts = [str(number) for number in range(128)]
    async with embedder(server, batch_size=128) as openai:
        assert (await openai.embed(texts)).shape == (128, 8192)


@pytest.mark.parametrize("vector", [[], [1.0], [1.0] * 9])
async def test_vectors_of_another_length_are_misconfigured(server: FakeOpenAI, vector: list[float]) -> None:
    server.script.append(listing((0, vector)))
    async with entered(server) as openai:
        with pytest.raises(Misconfigured):
            await openai.embed(["text"])


async def test_a_server_whose_model_was_corrected_is_asked_for_its_dimension_again(server: FakeOpenAI) -> None:
    server.script.append(listing((0, [1.0] * (DIMENSION + 1))))
    openai = embedder(server)
    for dimension in (DIMENSION + 1, DIMENSION):
        async with openai:
            assert openai.dimension == dimension


async def test_an_empty_vector_at_start_is_unavailable(server: FakeOpenAI) -> None:
    server.script.append(listing((0, [])))
    with pytest.raises(Unavailable):
        await embedder(server).__aenter__()


@dataclass
class BrokenTransport(httpx.AsyncBaseTransport):
    error: Callable[[str], httpx.RequestError]
    closed: bool = field(default=False, init=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise self.error("broken")

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    "error", [httpx.ConnectError, httpx.ReadError, httpx.ReadTimeout, httpx.ConnectTimeout, httpx.RemoteProtocolError]
)
async def test_a_broken_connection_is_unavailable(error: Callable[[str], httpx.RequestError]) -> None:
    async with OpenAIEmbedder(settings(dimension=8), transport=BrokenTransport(error)) as openai:
        with pytest.raises(Unavailable):
            await openai.embed(["text"] * 100)


async def test_a_failed_start_leaves_no_connection_open() -> None:
    transport = BrokenTransport(httpx.ConnectError)
    with pytest.raises(Unavailable):
        await OpenAIEmbedder(settings(), transport=transport).__aenter__()
    assert transport.closed


async def test_one_failed_batch_fails_the_call_and_stops_the_others(server: FakeOpenAI) -> None:
    server.script.append(Response(status_code=429))
    async with entered(server, batch_size=1) as openai:
        with pytest.raises(DriverError) as caught:
            await openai.embed([str(number) for number in range(50)])
    assert type(caught.value) is Busy
    assert len(server.requests) < 10


def test_settings_are_read_from_upstreams_variables() -> None:
    variables = {
        "CC_EM_BASE_URL": BASE_URL,
        "CC_EM_APIKEY": " sk-1\n",
        "CC_EM_MODEL_NAME": "bge-m3",
        "CC_EM_BATCH_SIZE": "16",
        "CC_EM_DIMENSION": "",
    }
    read = read_settings(EmbedSettings, variables)
    assert read.api_key == SecretStr("sk-1")
    assert (read.model_name, read.batch_size, read.dimension) == ("bge-m3", 16, None)
    assert isinstance(make_embedder(read), OpenAIEmbedder)


def test_the_api_keys_other_spelling_is_read_too() -> None:
    assert read_settings(EmbedSettings, {"CC_EM_API_KEY": "sk-1"}).api_key == SecretStr("sk-1")


def test_without_a_server_the_model_runs_in_process() -> None:
    assert isinstance(make_embedder(EmbedSettings()), LocalEmbedder)


@pytest.mark.parametrize(
    "values",
    [
        {"base_url": "http://jane:hunter2@models.example/v1"},
        {"api_key": "hunter2 “quoted”"},
        {"username": "jane"},
        {"password": "hunter2"},
    ],
)
def test_wrong_settings_are_named_without_their_values(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(**values)
    assert "hunter2" not in str(caught.value)


async def test_the_double_refuses_what_the_real_server_refuses(server: FakeOpenAI) -> None:
    good = {"model": MODEL, "input": ["text"]}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server), base_url=BASE_URL) as client:
        bad_fields: list[dict[str, object]] = [
            {"user_id": 1},
            {"input": []},
            {"input": [1]},
            {"input": ""},
            {"model": 1},
            {"model": None},
        ]
        for bad in bad_fields:
            assert (await client.post("embeddings", json={**good, **bad})).status_code == 400, bad
        assert (await client.post("embedding", json=good)).status_code == 404
        assert (await client.get("embeddings")).status_code == 405
        chat = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}
        assert (await client.post("chat/completions", json={**chat, "top": 1})).status_code == 400
        answer = await client.post("chat/completions", json=chat)
    assert answer.json()["choices"][0]["message"]["content"] == "You said: Hello"
