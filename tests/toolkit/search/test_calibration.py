"""What a cosine is worth, by language."""

import numpy as np
import pytest
from numpy.typing import NDArray

from context_chat_backend.toolkit.search.calibration import (
    ENOUGH,
    FEWEST,
    LEAST_DEVIATION,
    PASSAGES,
    UNTESTED,
    Background,
    Calibration,
    Trial,
)

QUESTION = np.array([1, 0], np.float32)


def vectors(*cosines: float) -> NDArray[np.float32]:
    return np.array([(cosine, (1 - cosine**2) ** 0.5) for cosine in cosines], np.float32)


def test_nothing_is_known_of_an_empty_store() -> None:
    assert Calibration().backgrounds(QUESTION, {"en"}) == {"en": Background()}
    assert Calibration().strength("en") == UNTESTED
    assert Calibration().languages == frozenset()
    assert Calibration().drawn == {}


def test_a_cosine_is_measured_by_those_of_chunks_at_random() -> None:
    calibration = Calibration(samples={"en": vectors(*[0.2, 0.4] * 10)})
    background = calibration.backgrounds(QUESTION, {"en"})["en"]
    assert background.mean == pytest.approx(0.3)
    assert background.deviation == pytest.approx(0.1)
    assert background.standard(0.5) == pytest.approx(2)


def test_each_language_has_its_own() -> None:
    calibration = Calibration(samples={"en": vectors(*[0.8, 0.9] * 10), "ar": vectors(*[0.1, 0.2] * 10)})
    backgrounds = calibration.backgrounds(QUESTION, {"en", "ar"})
    assert backgrounds["en"].mean == pytest.approx(0.85)
    assert backgrounds["ar"].mean == pytest.approx(0.15)


def test_few_chunks_of_a_language_say_too_little() -> None:
    few, many = vectors(*[0.9] * (FEWEST - 1)), vectors(*[0.1] * (FEWEST - 1), *[0.9] * 100)
    calibration = Calibration(samples={"en": few, "de": many})
    together = calibration.backgrounds(QUESTION, {"en", "xx"})
    assert together["en"] == together["xx"]
    assert calibration.languages == {"de"}
    assert calibration.drawn == {"en": FEWEST - 1, "de": FEWEST + 99}


def test_chunks_that_are_all_alike_do_not_make_every_other_one_stand_out() -> None:
    calibration = Calibration(samples={"en": vectors(*[0.5] * 50)})
    assert calibration.backgrounds(QUESTION, {"en"})["en"].deviation == LEAST_DEVIATION


def test_closeness_is_measured_by_sentences_of_the_texts_themselves() -> None:
    trials = {"en": Trial(64, 5.0, own=0.8, others=0.2), "ar": Trial(64, 1.0, own=0.9, others=0.8)}
    calibration = Calibration(trials=trials)
    assert calibration.closeness("en", 0.5) == pytest.approx(0.5)
    assert calibration.closeness("ar", 0.9) == pytest.approx(1)
    assert calibration.closeness("el", 0.85) == pytest.approx(1)  # by all languages together
    assert Calibration().closeness("en", 0.5) is None


def test_a_few_sentences_count_little_beside_the_passages() -> None:
    passages, few = Trial(20, 5.0, own=0.8, others=0.0), Trial(5, 5.0, own=0.9, others=0.5)
    assert Calibration(trials={PASSAGES: passages}).closeness("en", 0.4) == pytest.approx(0.5)
    calibration = Calibration(trials={PASSAGES: passages, "en": few, "ar": Trial(64, 1.0, own=0.9, others=0.8)})
    assert calibration.closeness("en", 0.1) == pytest.approx(0)
    assert calibration.closeness("en", 0.82) == pytest.approx(1)


def test_few_sentences_say_nothing_on_how_well_a_model_knows_a_language() -> None:
    few, enough = Trial(ENOUGH - 1, 1.0, own=0.8, others=0.2), Trial(ENOUGH, 1.0, own=0.8, others=0.2)
    assert Calibration(trials={"en": few}).strength("en") == UNTESTED
    assert Calibration(trials={"en": enough}).strength("en") == 1
