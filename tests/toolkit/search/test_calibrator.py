"""Keeping the calibration up to date while chunks come."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import anyio
import numpy as np
import pytest
from numpy.typing import NDArray

from context_chat_backend.contract import Level
from context_chat_backend.toolkit.indexing.words.languages import language_of
from context_chat_backend.toolkit.search.calibration import ENOUGH, PASSAGES, UNTESTED, Trial
from context_chat_backend.toolkit.search.calibrator import (
    FEWEST_TRIED,
    LONGEST,
    TRIED,
    Calibrator,
    Sample,
    findings,
    sentence_of,
)
from context_chat_backend.toolkit.search.passages import TEXTS

pytestmark = pytest.mark.anyio

DIMENSION = 64
KNOWN = Trial(sentences=TRIED, strength=5.0, own=0.7, others=0.1)
UNKNOWN = replace(KNOWN, strength=1.0)


class Store:
    """A store whose chunks are all drawn, and a model that knows some languages."""

    def __init__(self, knows: Sequence[str] = ("en",)) -> None:
        self.knows = knows
        self.chunks: list[Sample] = []
        self.passages: Sequence[Sample] = ()
        self.draws = 0
        self.asked: list[str] = []
        self.kept: list[Mapping[str, Trial]] = []
        self.now = 0.0
        self._random = np.random.default_rng(1)
        self.calibrator = Calibrator(self._draw, self, self._keep, clock=lambda: self.now)

    def add(self, language: str, count: int) -> None:
        for _ in range(count):
            text = f"Sentence number {len(self.chunks):06} in {language}."
            self.chunks.append(Sample(language, self._unit(), text))
            self.calibrator.note_stored()

    async def _draw(self) -> Sequence[Sample]:
        self.draws += 1
        return list(self.chunks)

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.passages = [Sample("en", self._unit(), text) for text in texts]
        return np.stack([passage.embedding for passage in self.passages])

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        (chunk,) = [sample for sample in (*self.passages, *self.chunks) if text in sample.text]
        if any(chunk is known for known in self.chunks):
            self.asked.append(text)
        return chunk.embedding if chunk.language in self.knows else self._unit()

    async def _keep(self, trials: Mapping[str, Trial]) -> None:
        self.kept.append(trials)

    def _unit(self) -> NDArray[np.float32]:
        vector = self._random.standard_normal(DIMENSION).astype(np.float32)
        return np.asarray(vector / np.linalg.norm(vector), np.float32)


async def test_what_was_remembered_counts_from_the_start() -> None:
    store = Store()
    store.calibrator.remember({"en": KNOWN})
    assert store.calibrator.calibration.strength("en") == KNOWN.strength


async def test_samples_are_due_when_the_store_has_doubled() -> None:
    store = Store()
    for count in (1, 1, 2, 4, 8, 16, 32):
        store.add("en", count - 1)
        with anyio.move_on_after(0.01) as too_early:
            await store.calibrator.due()
        assert too_early.cancelled_caught
        store.add("en", 1)
        with anyio.fail_after(1):
            await store.calibrator.due()
        await store.calibrator.calibrate()
    assert store.calibrator.calibration.drawn["en"] == 64


async def test_a_model_is_tried_in_each_language_once() -> None:
    store = Store()
    store.add("en", TRIED)
    store.add("ar", 2 * TRIED)
    await store.calibrator.calibrate()
    calibration = store.calibrator.calibration
    assert calibration.strength("en") > 4
    assert calibration.strength("ar") < 1
    assert store.kept[-1] == calibration.trials
    await store.calibrator.calibrate()
    assert len(store.asked) == 2 * TRIED


async def test_a_small_store_is_tried_and_again_when_it_has_grown() -> None:
    store = Store()
    store.add("en", 4)
    await store.calibrator.calibrate()
    assert store.calibrator.calibration.trials["en"].own == pytest.approx(1, abs=1e-3)
    assert abs(store.calibrator.calibration.trials["en"].others) < 0.3
    assert store.calibrator.calibration.strength("en") == UNTESTED
    store.add("en", 3)
    await store.calibrator.calibrate()
    assert len(store.asked) == 4
    store.add("en", 1)
    await store.calibrator.calibrate()
    assert len(store.asked) == 12


async def test_too_few_chunks_and_no_language_are_not_tried() -> None:
    store = Store()
    store.add("en", FEWEST_TRIED - 1)
    store.add("", 500)
    await store.calibrator.calibrate()
    assert store.asked == []
    assert store.calibrator.calibration.trials.keys() == {PASSAGES}


async def test_a_model_is_tried_before_a_store_has_chunks() -> None:
    store = Store()
    await store.calibrator.calibrate()
    (trial,) = store.kept[-1].values()
    assert trial.sentences == len(TEXTS)
    assert trial.own == pytest.approx(1, abs=1e-3)
    assert abs(trial.others) < 0.1
    assert trial.strength > 3
    store.passages = ()
    await store.calibrator.calibrate()
    assert store.passages == ()


def test_passages_are_different_texts() -> None:
    sentences = [sentence_of(text) for text in TEXTS]
    assert all(sum(sentence in text for text in TEXTS) == 1 for sentence in sentences)
    assert all(language_of(text) == "en" for text in TEXTS)


async def test_all_languages_are_tried_again_after_a_day() -> None:
    store = Store()
    store.add("en", TRIED)
    for hours, times in ((0, 1), (23, 1), (24, 2), (25, 2)):
        store.now = hours * 3600.0
        await store.calibrator.calibrate()
        assert len(store.asked) == times * TRIED


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("A first sentence here. The middle sentence. And the last sentence!", "The middle sentence"),
        ("Short. A longer sentence of it. No.", "A longer sentence of it"),
        ("ok", "ok"),
        ("", ""),
        ("第一句话在这里写得很长。第二句话也在这里写得很长。", "第二句话也在这里写得很长"),
        ("x" * 1000, "x" * LONGEST),
    ],
)
def test_a_sentence_stands_for_a_question(text: str, sentence: str) -> None:
    assert sentence_of(text) == sentence


def test_an_admin_is_told_which_languages_a_model_does_not_know() -> None:
    assert findings({}, "a model") == ()
    assert findings({"ar": replace(UNKNOWN, sentences=ENOUGH - 1)}, "a model") == ()
    (good,) = findings({"en": KNOWN, "de": KNOWN}, "a model")
    assert good.level is Level.OK
    assert "de, en" in good.text
    (bad,) = findings({PASSAGES: replace(UNKNOWN, sentences=ENOUGH), "en": KNOWN, "ar": UNKNOWN}, "a model")
    assert bad.level is Level.WARNING
    assert "ar" in bad.text
    assert "en" not in bad.text.removeprefix("a model").split(":")[0].split()
