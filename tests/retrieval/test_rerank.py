"""Reordering by a reranker: the forms that servers speak, a model in a folder, and what happens without either."""

import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import anyio
import httpx
import numpy as np
import onnx
import pytest
from fastapi import Response
from fastapi.responses import HTMLResponse, JSONResponse
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import (
    Busy,
    DriverError,
    Finding,
    Hit,
    Level,
    Misconfigured,
    Query,
    Rejected,
    SourceId,
    Unavailable,
    UserId,
)
from context_chat_backend.doctor.reranking import check_reranking
from context_chat_backend.gateway import plan_gateway
from context_chat_backend.logs import Repeats
from context_chat_backend.metrics import Metrics
from context_chat_backend.nextcloud.push_client import part
from context_chat_backend.retrieval.ordering import MOST_CHARACTERS, NAME_CHARACTERS, Rerank, scored_text
from context_chat_backend.retrieval.rerankers import HttpReranker, Reranker, make_reranker
from context_chat_backend.retrieval.settings import RerankSettings
from context_chat_backend.retrieval.sources import find_sources
from context_chat_backend.retrieval.stages import stages_named
from context_chat_backend.toolkit.settings import read_settings
from tests.doubles.nextcloud import serving
from tests.doubles.reranker import CohereRequest, FakeReranker, JinaRequest, TeiRequest
from tests.gateway import make_settings, running_gateway

pytestmark = pytest.mark.anyio

HOST = "http://models.example"
PATHS = {"jina": "/v1", "cohere": "/v2", "tei": ""}
KEY = "secret-key"


# ---------------------------------------------------------------------- servers


def settings(of: str = "jina", /, **values: Any) -> RerankSettings:
    """To reach that server of the double."""
    return RerankSettings.model_validate({"api": of, "base_url": HOST + PATHS[of], "model": "reranker-1", **values})


@asynccontextmanager
async def reranker(server: FakeReranker, chosen: RerankSettings) -> AsyncIterator[Reranker]:
    assert chosen.base_url is not None
    async with HttpReranker(chosen, chosen.base_url, transport=httpx.ASGITransport(server)) as entered:
        yield entered


TEXTS = ["tea and salt", "the blue whale", "whale tea"]


@pytest.mark.parametrize(
    ("api", "sent"),
    [
        (
            "jina",
            JinaRequest(model="reranker-1", query="whale tea", documents=TEXTS, top_n=3, return_documents=False),
        ),
        ("cohere", CohereRequest(model="reranker-1", query="whale tea", documents=TEXTS, top_n=3)),
        ("tei", TeiRequest(query="whale tea", texts=TEXTS, truncate=True, raw_scores=True)),
    ],
)
async def test_each_form_is_sent_and_read(api: str, sent: object) -> None:
    server = FakeReranker(api_key=KEY)
    async with reranker(server, settings(api, api_key=KEY)) as entered:
        scores = await entered.scores("whale tea", TEXTS)
    shift = -8 if api == "tei" else 0
    assert scores == [0.5 + shift, 0.5 + shift, 1 + shift]
    assert server.requests == [sent]


@pytest.mark.parametrize(
    ("api", "values", "count", "batches"),
    [
        ("tei", {}, 50, [18, 32]),
        ("tei", {"batch_size": 20}, 50, [10, 20, 20]),
        ("jina", {}, 50, [50]),
        ("cohere", {"batch_size": 30}, 60, [30, 30]),
    ],
)
async def test_no_request_has_more_texts_than_the_server_takes(
    api: str, values: dict[str, int], count: int, batches: list[int]
) -> None:
    server = FakeReranker()
    texts = [f"text {number}" for number in range(count)]
    async with reranker(server, settings(api, **values)) as entered:
        scores = await entered.scores("text 41", texts)
    assert max(range(count), key=scores.__getitem__) == 41
    sent = [body.texts if isinstance(body, TeiRequest) else body.documents for body in server.requests]
    assert sorted(map(len, sent)) == batches


async def test_a_text_that_is_too_long_for_tei_is_cut_there() -> None:
    async with reranker(FakeReranker(max_input_characters=10), settings("tei")) as entered:
        assert len(await entered.scores("whale", ["word " * 100])) == 1


@pytest.mark.parametrize(
    ("api", "server", "values"),
    [
        *((api, FakeReranker(api_key="other"), {"api_key": KEY}) for api in PATHS),
        *((api, FakeReranker(api_key="other"), {}) for api in PATHS),
        ("jina", FakeReranker(), {"model": "unknown"}),
        ("cohere", FakeReranker(), {"model": "unknown"}),
        ("jina", FakeReranker(), {"base_url": HOST}),
        ("cohere", FakeReranker(), {"base_url": f"{HOST}/v1", "api": "tei"}),
        ("tei", FakeReranker(is_reranker=False), {}),
        ("tei", FakeReranker(max_client_batch_size=2), {}),
    ],
)
async def test_what_only_an_admin_can_change_is_said_without_the_key(
    api: str, server: FakeReranker, values: dict[str, str]
) -> None:
    async with reranker(server, settings(api, **values)) as entered:
        with pytest.raises(Misconfigured, match=r"POST http://models.example/.*rerank answered 4\d\d") as caught:
            await entered.scores("whale", TEXTS)
    assert KEY not in str(caught.value)
    assert not server.requests


def ranks(*indices: int, score: object = 0.5) -> dict[str, object]:
    return {"results": [{"index": index, "relevance_score": score} for index in indices]}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (JSONResponse({"error": "overloaded"}, 429, {"Retry-After": "7"}), Busy),
        (Response(status_code=503), Unavailable),
        (Response(status_code=413), Rejected),
        (HTMLResponse("<h1>A proxy</h1>"), Unavailable),
        (JSONResponse([{"index": 0, "score": 1.0}]), Unavailable),
        (JSONResponse(ranks(0, 1)), Unavailable),
        (JSONResponse(ranks(0, 1, 1)), Unavailable),
        (JSONResponse(ranks(0, 1, 3)), Unavailable),
        (JSONResponse(ranks(0, 1, -1)), Unavailable),
        (JSONResponse(ranks(0, 1, 2, 2)), Unavailable),
        (JSONResponse(ranks(0, 1, 2, score="high")), Unavailable),
        (Response('{"results": [{"index": 0, "relevance_score": NaN}]}', media_type="application/json"), Unavailable),
    ],
)
async def test_answers_that_say_nothing_are_errors(answer: Response, error: type[DriverError]) -> None:
    server = FakeReranker()
    server.script.append(answer)
    async with reranker(server, settings()) as entered:
        with pytest.raises(error):
            await entered.scores("whale", TEXTS)


# ---------------------------------------------------------------------- the stage


def hit(name: str, text: str = "", *, title: str = "", heading: str = "", relevance: float | None = None) -> Hit:
    return Hit(
        source_id=SourceId(name), title=title, ordinal=0, heading=heading, text=text, score=9.0, relevance=relevance
    )


def asked(limit: int, text: str = "whale tea") -> Query:
    return Query(user_id=UserId("alice"), text=text, limit=limit)


class Found:
    """A search that finds what the test says, and notes what it was asked."""

    def __init__(self, hits: Iterable[Hit]) -> None:
        self.hits = list(hits)
        self.queries: list[Query] = []

    async def __call__(self, query: Query) -> Sequence[Hit]:
        self.queries.append(query)
        return self.hits[: query.limit]


class Scores:
    """A reranker that gives each text the score that it is a number of."""

    def __init__(self, problem: Exception | None = None, *, seconds: float = 0) -> None:
        self.problem = problem
        self.seconds = seconds
        self.texts: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None: ...

    async def scores(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        self.texts += texts
        await anyio.sleep(self.seconds)
        if self.problem is not None:
            raise self.problem
        return [float(text) for text in texts]


def rerank(search: Found, scores: Scores, metrics: Metrics | None = None, **values: Any) -> Rerank:
    return Rerank(search, reranker=scores, settings=RerankSettings.model_validate(values), metrics=metrics or Metrics())


def names(hits: Sequence[Hit]) -> str:
    return "".join(each.source_id for each in hits)


async def test_the_best_are_reordered_and_keep_their_relevance() -> None:
    search = Found([hit("a", "1", relevance=0.9), hit("b", "3", relevance=0.2), hit("c", "2")])
    hits = await rerank(search, Scores())(asked(2))
    assert [(each.source_id, each.score, each.relevance) for each in hits] == [("b", 3.0, 0.2), ("c", 2.0, None)]


async def test_more_are_fetched_than_asked_for_and_only_candidates_are_scored() -> None:
    search, scores = Found(hit(name, number) for name, number in zip("abcdef", "123999", strict=True)), Scores()
    assert names(await rerank(search, scores, candidates=3)(asked(1))) == "c"
    assert search.queries == [asked(3)]
    assert scores.texts == ["1", "2", "3"]


async def test_what_was_not_scored_comes_after_what_was() -> None:
    search = Found(hit(name, number) for name, number in zip("abcdef", "123999", strict=True))
    hits = await rerank(search, Scores(), candidates=3)(asked(5))
    assert names(hits) == "cbade"
    assert [each.score for each in hits] == [3, 2, 1, 1, 1]


async def test_equal_scores_leave_the_order_as_it_was() -> None:
    search = Found(hit(name, "1") for name in "abc")
    assert names(await rerank(search, Scores())(asked(3))) == "abc"


@pytest.mark.parametrize("found", ["", "a"])
async def test_where_there_is_nothing_to_order_nobody_is_asked(found: str) -> None:
    scores = Scores()
    assert names(await rerank(Found(hit(name, "1") for name in found), scores)(asked(3))) == found
    assert scores.texts == []


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        (Scores(Unavailable("POST http://models.example/rerank failed: ConnectError")), "Unavailable"),
        (Scores(Misconfigured("POST http://models.example/rerank answered 401")), "Misconfigured"),
        (Scores(Rejected("POST http://models.example/rerank answered 413")), "Rejected"),
        (Scores(seconds=60), "Unavailable"),
    ],
)
async def test_a_reranker_that_fails_leaves_the_order_is_counted_and_warned_of_once_a_minute(
    scores: Scores, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    stage = rerank(Found(hit(name, "1") for name in "abc"), scores, metrics, timeout=0.05)
    for _ in range(3):
        assert names(await stage(asked(2))) == "ab"
    labels = {"stage": "rerank", "reason": reason}
    assert metrics.registry.get_sample_value("ccb_stages_left_out_total", labels) == 3
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    assert "goes on without the stage rerank" in caplog.text
    repeats = Repeats()
    assert [repeats.filter(record) for record in caplog.records] == [True, False, False]


async def test_a_search_that_fails_still_fails() -> None:
    class Failing(Found):
        async def __call__(self, query: Query) -> Sequence[Hit]:
            raise Unavailable("the backend is down")

    with pytest.raises(Unavailable, match="backend"):
        await rerank(Failing([]), Scores())(asked(2))


def test_a_text_is_scored_with_its_names_and_cut() -> None:
    long = "x" * 10_000
    assert scored_text(hit("a", "Text\n\nof it", title="A  title\nof two lines", heading="One › Two")) == (
        "A title of two lines\nOne › Two\nText\n\nof it"
    )
    assert scored_text(hit("a", "text")) == "text"
    cut = scored_text(hit("a", long, title=long, heading=long))
    assert [len(part) for part in cut.split("\n")][:2] == [NAME_CHARACTERS, NAME_CHARACTERS]
    assert len(cut) == MOST_CHARACTERS


async def test_halves_of_characters_fail_no_question() -> None:
    server = FakeReranker()
    async with reranker(server, settings()) as entered:
        search = Found([hit("a", "tea \udfff"), hit("b", "whale \ud800 tea", title="\ud800")])
        stage = Rerank(search, reranker=entered, settings=settings(), metrics=Metrics())
        assert names(await stage(asked(2, "whale tea \ud800"))) == "ba"


# ---------------------------------------------------------------------- which searches


async def test_documents_are_ordered_and_not_chosen() -> None:
    stages = stages_named(["fold", "rerank", "diversify"], {"rerank": rerank_of})
    assert len(stages.of_answers) == 3
    (only,) = stages.of_documents
    assert names(await only(Found([hit("a", "1"), hit("b", "2")]))(asked(2))) == "ba"


def rerank_of(search: Any) -> Rerank:
    return rerank(search, Scores())


async def test_a_long_search_for_documents_asks_the_reranker_once() -> None:
    """One document with many chunks: more are fetched until there are enough documents."""
    chunks = [replace(hit("a", str(number)), ordinal=number) for number in range(100)]
    plain, scores = Found([*chunks, hit("b", "999"), hit("c", "1")]), Scores()
    found = await find_sources(rerank(plain, scores, candidates=5), plain, asked(2))
    assert [source.source_id for source in found] == ["a", "b"]
    assert len(scores.texts) == 5
    assert [query.limit for query in plain.queries] == [6, 18, 54, 162]


# ---------------------------------------------------------------------- a folder

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "whale", "tea", "salt", "boat"]
WEIGHTS = np.array([0, 0, 0, 0, 1, 2, 4, 8], np.float32)
"""What a word of the text adds to the score; those of the question count nothing."""


def write_model(
    folder: Path,
    *,
    inputs: Sequence[str] = ("input_ids", "attention_mask", "token_type_ids"),
    output: str = "logits",
    labels: int = 1,
    tokens: int = 12,
    weights: np.ndarray = WEIGHTS,
) -> Path:
    """A cross-encoder whose score is the sum of the weights of the text's words, which are those of type 1."""
    types = "token_type_ids" if "token_type_ids" in inputs else "attention_mask"
    nodes = [
        helper.make_node("Gather", ["weights", "input_ids"], ["words"]),
        helper.make_node("Cast", [types], ["counts"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["attention_mask"], ["there"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["words", "counts"], ["counted"]),
        helper.make_node("Mul", ["counted", "there"], ["seen"]),
        helper.make_node("ReduceSum", ["seen", "axes"], ["sum"], keepdims=1),
        helper.make_node("Concat", ["sum"] * labels, [output], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in inputs],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", labels])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array([1], np.int64), "axes")],
    )
    (folder / "onnx").mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, folder / "onnx" / "model.onnx")
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_padding(length=tokens)  # as many published ones do
    tokenizer.enable_truncation(tokens)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


async def computed(folder: Path, question: str, texts: Sequence[str]) -> Sequence[float]:
    async with make_reranker(RerankSettings(model_path=folder, threads=1)) as entered:
        return await entered.scores(question, texts)


async def test_a_model_in_a_folder_scores_pairs_of_all_lengths(tmp_path: Path) -> None:
    texts = ["whale", "tea tea salt", "", "boat whale unknown", "salt"]
    assert await computed(write_model(tmp_path), "boat tea", texts) == [1, 8, 0, 9, 4]


async def test_more_texts_than_a_batch_come_back_in_their_order(tmp_path: Path) -> None:
    """A batch has 1,024 tokens."""
    texts = ["whale " * (number % 7) for number in range(300)]
    assert await computed(write_model(tmp_path), "tea", texts) == [number % 7 for number in range(300)]


async def test_a_model_without_types_is_given_none(tmp_path: Path) -> None:
    folder = write_model(tmp_path, inputs=("input_ids", "attention_mask"))
    assert await computed(folder, "boat", ["tea", "salt"]) == [10, 12]


async def test_what_is_too_long_is_cut_without_losing_the_question(tmp_path: Path) -> None:
    folder = write_model(tmp_path, tokens=12)
    assert await computed(folder, "tea tea", ["salt " * 1000]) == [4 * (12 - 3 - 2)]
    assert await computed(folder, "tea " * 1000, ["salt"]) == [4]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"output": "last_hidden_state"}, "none is logits"),
        ({"labels": 2}, r"scores of shape \(2, 2\)"),
        ({"inputs": ("input_ids", "attention_mask", "position_ids")}, "position_ids is not known"),
    ],
)
async def test_what_is_no_cross_encoder_is_refused(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(Misconfigured, match=message):
        await computed(write_model(tmp_path, **values), "tea", ["salt"])


async def test_a_graph_that_cannot_be_computed_is_named(tmp_path: Path) -> None:
    folder = write_model(tmp_path, weights=WEIGHTS[:3])  # the tokenizer knows more words
    with pytest.raises(Misconfigured, match=r"model\.onnx cannot be computed"):
        await computed(folder, "tea", ["salt"])


async def test_files_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"CC_RERANK_MODEL_PATH: neither onnx/model\.onnx"):
        await computed(tmp_path, "tea", ["salt"])
    (write_model(tmp_path) / "tokenizer.json").unlink()
    with pytest.raises(Misconfigured, match=r"tokenizer\.json"):
        await computed(tmp_path, "tea", ["salt"])


async def test_a_score_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    weights = np.where(np.arange(len(WORDS)) == WORDS.index("boat"), np.nan, WEIGHTS).astype(np.float32)
    with pytest.raises(Unavailable, match="no number"):
        await computed(write_model(tmp_path, weights=weights), "tea", ["salt", "boat"])


# ---------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"CC_STAGES": "rerank"}, "CC_STAGES: rerank needs CC_RERANK_BASE_URL or CC_RERANK_MODEL_PATH"),
        ({"CC_RERANK_BASE_URL": HOST, "CC_RERANK_API": "tei", "CC_RERANK_MODEL_PATH": "/models"}, "only one of"),
        ({"CC_RERANK_BASE_URL": HOST}, "CC_RERANK_API=jina needs CC_RERANK_MODEL"),
        ({"CC_RERANK_BASE_URL": HOST, "CC_RERANK_API": "cohere"}, "CC_RERANK_API=cohere needs CC_RERANK_MODEL"),
        ({"CC_RERANK_API": "voyage"}, "CC_RERANK_API: "),
        ({"CC_RERANK_CANDIDATES": "1001"}, "CC_RERANK_CANDIDATES: "),
        ({"CC_RERANK_API_KEY": "schlüssel"}, "CC_RERANK_API_KEY: only printable ASCII"),
        ({"CC_STAGES": "fold,rerank,fold"}, "CC_STAGES: a stage is named twice"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, variables: Mapping[str, str], message: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        plan_gateway(make_settings(tmp_path, rag_backend="reference"), variables, ReferenceDriver())
    assert message in str(caught.value)


def test_none_is_no_stage(tmp_path: Path) -> None:
    def stages(**variables: str) -> Sequence[str]:
        settings = make_settings(tmp_path, rag_backend="reference")
        return plan_gateway(settings, variables, ReferenceDriver()).retrieval.stages

    assert stages(CC_STAGES="none") == ()
    assert stages(CC_STAGES="") == stages() == ("fold", "diversify")


def test_a_setting_of_a_folder_is_read(tmp_path: Path) -> None:
    read = read_settings(RerankSettings, {"CC_RERANK_MODEL_PATH": str(tmp_path), "CC_RERANK_THREADS": "1"})
    assert (read.model_path, read.threads, read.candidates, read.is_set) == (tmp_path, 1, 50, True)


# ---------------------------------------------------------------------- a gateway


def saltiness(question: str, text: str) -> float:
    return text.count("salt")


def found_with(tmp_path: Path, **variables: str) -> tuple[list[str], list[str]]:
    """Documents of a search and of an answer, by a gateway whose backend finds 1 before 2."""
    settings = make_settings(tmp_path, rag_backend="reference")
    with running_gateway(settings, ReferenceDriver(), {"CC_STAGES": "rerank,fold", **variables}) as nextcloud:
        nextcloud.load(
            part("files__default: 1", b"A whale in the sea", users=["alice"]),
            part("files__default: 2", b"A whale in the salt salt sea", users=["alice"]),
            part("files__default: 3", b"A whale in the salt salt salt salt sea", users=["bob"]),
        )
        documents = nextcloud.post("/docSearch", userId="alice", query="whale", ctxLimit=9).json()
        answer = nextcloud.post("/query", userId="alice", query="whale", useContext=True, ctxLimit=9).json()
        left_out = nextcloud.http.get("/metrics").text.count("ccb_stages_left_out_total{")
    assert left_out == ("http://127.0.0.1:1" in variables.get("CC_RERANK_BASE_URL", ""))
    return [each["source_id"][-1] for each in documents], [source_id[-1] for source_id in answer["sources"]]


@pytest.mark.parametrize("api", PATHS)
def test_a_gateway_reorders_documents_and_those_of_answers(tmp_path: Path, api: str) -> None:
    server = FakeReranker(api_key=KEY, score=saltiness)
    with serving(server) as url:
        model = {} if api == "tei" else {"CC_RERANK_MODEL": "reranker-1"}
        address = {"CC_RERANK_BASE_URL": url + PATHS[api], "CC_RERANK_API": api, "CC_RERANK_API_KEY": KEY}
        assert found_with(tmp_path, **address, **model) == (["2", "1"], ["2", "1"])
    assert len(server.requests) == 2
    assert "salt salt salt" not in str(server.requests), "what another user may read was sent"


def test_a_gateway_whose_reranker_is_down_answers_all_the_same(tmp_path: Path) -> None:
    variables = {"CC_RERANK_BASE_URL": "http://127.0.0.1:1", "CC_RERANK_API": "tei"}
    assert found_with(tmp_path, **variables) == (["1", "2"], ["1", "2"])


def test_a_gateway_computes_in_process(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", tokens=40)
    assert found_with(tmp_path / "storage", CC_RERANK_MODEL_PATH=str(folder)) == (["2", "1"], ["2", "1"])


# ---------------------------------------------------------------------- the doctor


async def reranking(tmp_path: Path, **variables: str) -> Sequence[Finding]:
    settings = make_settings(tmp_path, rag_backend="reference")
    return await check_reranking(plan_gateway(settings, variables, ReferenceDriver()))


@pytest.mark.parametrize(
    ("api", "path", "server", "level", "text"),
    [
        ("tei", "", FakeReranker(api_key=KEY), Level.OK, "50 texts are scored"),
        ("jina", "/v1", FakeReranker(api_key=KEY), Level.OK, "50 texts are scored"),
        ("cohere", "/v2", FakeReranker(api_key=KEY), Level.OK, "50 texts are scored"),
        ("tei", "", FakeReranker(api_key="other"), Level.ERROR, "answered 401"),
        ("jina", "/v1", FakeReranker(api_key="other"), Level.ERROR, "answered 401"),
        ("cohere", "", FakeReranker(api_key=KEY), Level.ERROR, "answered 422"),
        ("cohere", "/v3", FakeReranker(api_key=KEY), Level.ERROR, "answered 404"),
        ("tei", "", FakeReranker(api_key=KEY, is_reranker=False), Level.ERROR, "answered 424"),
        ("tei", "", FakeReranker(api_key=KEY, max_client_batch_size=16), Level.ERROR, "answered 422"),
        ("jina", "/v1", FakeReranker(api_key=KEY, most_documents=40), Level.ERROR, "answered 422"),
    ],
)
async def test_the_doctor_asks_the_reranker_as_a_search_does(
    tmp_path: Path, api: str, path: str, server: FakeReranker, level: Level, text: str
) -> None:
    with serving(server) as url:
        variables = {"CC_RERANK_BASE_URL": url + path, "CC_RERANK_API": api, "CC_RERANK_API_KEY": KEY}
        (finding,) = await reranking(tmp_path, CC_STAGES="rerank", CC_RERANK_MODEL="reranker-1", **variables)
    assert (finding.level, finding.subject) == (level, "reranking"), finding
    assert text in finding.text
    assert KEY not in finding.text + finding.remedy
    assert bool(finding.remedy) is (level is Level.ERROR)


async def test_the_doctor_opens_the_folder(tmp_path: Path) -> None:
    stages = {"CC_STAGES": "rerank", "CC_RERANK_MODEL_PATH": str(tmp_path / "model")}
    (finding,) = await reranking(tmp_path, **stages)
    assert (finding.level, "CC_RERANK_MODEL_PATH" in finding.text) == (Level.ERROR, True)
    write_model(tmp_path / "model")
    (finding,) = await reranking(tmp_path, **stages)
    assert finding.level is Level.OK


async def test_the_doctor_says_that_a_reranker_is_not_used(tmp_path: Path) -> None:
    (finding,) = await reranking(tmp_path, CC_RERANK_MODEL_PATH=str(tmp_path))
    assert (finding.level, "CC_STAGES" in finding.remedy) == (Level.WARNING, True)
    assert await reranking(tmp_path) == []


async def test_the_doctor_tells_a_server_that_hangs_or_is_not_there(tmp_path: Path) -> None:
    async def hang(scope: object, receive: object, send: object) -> None:
        await anyio.sleep(1)

    with serving(hang) as url:
        variables = {"CC_STAGES": "rerank", "CC_RERANK_API": "tei", "CC_RERANK_TIMEOUT": "0.2"}
        (slow,) = await reranking(tmp_path, CC_RERANK_BASE_URL=url, **variables)
        (gone,) = await reranking(tmp_path, CC_RERANK_BASE_URL="http://127.0.0.1:1", **variables)
    assert (slow.level, gone.level) == (Level.ERROR, Level.ERROR)
    assert gone.remedy.startswith("Start the reranker")
