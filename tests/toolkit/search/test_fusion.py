"""How finds by meaning and finds by words become one list."""

import itertools
import random
from functools import partial

import numpy as np
import pytest

from context_chat_backend.contract import SourceId
from context_chat_backend.toolkit.indexing.words.terms import Question
from context_chat_backend.toolkit.search.calibration import Calibration, Trial
from context_chat_backend.toolkit.search.fusion import MOST_TRUST, Candidate, fuse

QUESTION = np.array([1, 0], np.float32)
KNOWN = Calibration(
    trials={
        language: Trial(64, strength, own=0.7, others=0.1)
        for language, strength in {"en": 6.0, "ar": 2.0, "xx": 0.2}.items()
    }
)


def candidate(
    name: str,
    similarity: float | None = 0.0,
    words: float = 0.0,
    identifiers: frozenset[int] = frozenset(),
    language: str = "en",
) -> Candidate:
    return Candidate(
        source_id=SourceId(name),
        title="",
        ordinal=0,
        heading="",
        text="",
        language=language,
        similarity=similarity,
        words=words,
        identifiers=identifiers,
    )


def question(*named: int, vague: bool = False) -> Question:
    return Question(terms={}, typed={}, named=frozenset(named), distinctive=named, steady=(), vague=vague)


PLAIN = question()
fused = partial(fuse, mass=10, unknown=0, question=PLAIN, embedding=QUESTION, calibration=KNOWN, limit=100)


def order(
    *candidates: Candidate, mass: float = 10.0, by_meaning: bool = True, calibration: Calibration = KNOWN
) -> list[str]:
    embedding = QUESTION if by_meaning else None
    return [hit.source_id for hit in fused(candidates, mass=mass, embedding=embedding, calibration=calibration)]


def test_nothing_is_found_in_nothing() -> None:
    assert order() == []


def test_by_words_only_the_best_words_come_first() -> None:
    assert order(candidate("a", None, 1), candidate("b", None, 9), by_meaning=False) == ["b", "a"]


def test_a_model_that_knows_the_language_is_heard() -> None:
    assert order(candidate("near", 0.9, 4), candidate("far", 0.1, 5)) == ["near", "far"]


def test_a_model_that_does_not_know_the_language_is_not() -> None:
    near, far = candidate("near", 0.9, 4, language="xx"), candidate("far", 0.1, 5, language="xx")
    assert order(near, far) == ["far", "near"]


def test_a_model_that_half_knows_it_is_heard_where_words_agree() -> None:
    found = [candidate("best words", 0.2, 9, language="ar"), candidate("near", 0.9, 8, language="ar")]
    assert order(*found) == ["near", "best words"]
    disagreeing = [candidate(f"words {n}", -0.2, 9, language="ar") for n in range(5)]
    assert order(candidate("near", 0.9, 8, language="ar"), *disagreeing)[-1] == "near"


@pytest.mark.parametrize("by_meaning", [True, False])
def test_more_of_the_identifiers_beats_everything(by_meaning: bool) -> None:
    found = [
        candidate("none", 1.0, 10),
        candidate("one", 0.0, 1, frozenset({1})),
        candidate("both", -1.0, 0, frozenset({1, 2})),
    ]
    # a cosine of 1 is ten deviations of a store that nothing is known of
    assert order(*found, by_meaning=by_meaning)[0] == "both"
    assert order(*found, by_meaning=False) == ["both", "one", "none"]


def test_what_nobody_looked_at_by_meaning_is_as_far_as_any() -> None:
    assert order(candidate("near", 0.5), candidate("unknown", None), candidate("farther", -0.5)) == [
        "near",
        "unknown",
        "farther",
    ]


def test_nothing_is_worth_anything_in_a_question_without_words() -> None:
    assert order(candidate("b", 0.2), candidate("a", 0.4), mass=0) == ["a", "b"]


def test_the_score_is_the_documented_sum() -> None:
    (hit,) = fused([candidate("a", 0.5, 4)])
    assert hit.score == pytest.approx(MOST_TRUST * 5 / 10 + (1 - MOST_TRUST) * 0.4)


def test_everything_comes_back_once_with_a_score_of_its_own() -> None:
    found = [candidate(str(number), number / 10, number) for number in range(10)]
    hits = fused(found)
    assert sorted(hit.source_id for hit in hits) == sorted(map(str, range(10)))
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_the_best_of_them_are_the_beginning_of_all_of_them() -> None:
    found = [candidate(str(number), number / 10, 10 - number) for number in range(10)]
    assert fused(found, limit=3) == fused(found)[:3]


@pytest.mark.parametrize("seed", range(20))
def test_the_order_does_not_depend_on_the_order_of_the_candidates(seed: int) -> None:
    rng = random.Random(seed)
    found = [
        candidate(
            f"{number}",
            rng.choice([None, 0.1, 0.1, rng.random()]),
            rng.choice([0, 1, 1, rng.random() * 10]),
            frozenset(rng.sample(range(3), rng.randrange(3))),
            rng.choice(["en", "ar", "xx", ""]),
        )
        for number in range(8)
    ]
    orders = {tuple(order(*shuffled)) for shuffled in itertools.islice(itertools.permutations(found), 0, 40_000, 997)}
    assert len(orders) == 1


def relevance(
    similarity: float | None,
    words: float,
    *,
    of: Question = PLAIN,
    unknown: float = 0,
    calibration: Calibration = KNOWN,
) -> float | None:
    found = [candidate("a", similarity, words)]
    (hit,) = fused(found, unknown=unknown, question=of, calibration=calibration)
    return hit.relevance


def test_a_chunk_is_relevant_by_its_meaning_or_its_words() -> None:
    for similarity, words, low, high in ((0.1, 0, 0, 0.05), (0.7, 0, 0.8, 1), (0.1, 10, 0.9, 1), (0.35, 3, 0.5, 0.8)):
        found = relevance(similarity, words)
        assert found is not None
        assert low <= found <= high, (similarity, words)


def test_words_that_no_text_has_count_against_it() -> None:
    known, half_known = relevance(0.2, 8), relevance(0.2, 8, unknown=10)
    assert known is not None
    assert half_known is not None
    assert half_known < 0.5 < known


def test_where_nothing_was_tried_nothing_is_said_of_relevance() -> None:
    assert relevance(0.7, 5, calibration=Calibration()) is None
    assert relevance(None, 5) is None


def test_another_number_than_the_one_that_was_asked_for_fits_no_better_for_being_alike() -> None:
    of_another = relevance(0.7, 9, of=question(1))
    assert of_another is not None
    assert of_another < 0.5


def test_no_text_fits_a_question_of_stop_words_better_than_another() -> None:
    assert relevance(0.1, 0) is not None
    assert relevance(0.1, 0, of=question(vague=True)) is None


def test_what_has_the_number_that_was_asked_for_is_relevant_whatever_else_it_says() -> None:
    named, similar = candidate("named", -0.9, 1, frozenset({1, 2})), candidate("similar", 0.1, 1, frozenset({1}))
    found = fused([similar, named], unknown=50, question=question(1, 2))
    assert [hit.source_id for hit in found] == ["named", "similar"]
    assert found[0].relevance == 1.0
    assert found[1].relevance is not None
    assert found[1].relevance < 0.1
