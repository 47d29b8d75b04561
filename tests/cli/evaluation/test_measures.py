"""Measures against values computed by hand."""

from math import log2

import pytest

from context_chat_backend.cli.evaluation.answers import values_of
from context_chat_backend.cli.evaluation.collection import Question
from context_chat_backend.cli.evaluation.measures import compare, estimate, measured
from context_chat_backend.cli.evaluation.rouge import rouge_l
from context_chat_backend.cli.evaluation.sandbox import Answered


def test_the_gain_of_ndcg_is_the_grade() -> None:
    values = measured({"q": {"a": 3, "b": 1}}, {"q": ["x", "b", "a"]})["q"]
    gained, ideal = 1 / log2(3) + 3 / log2(4), 3 / log2(2) + 1 / log2(3)
    assert values["nDCG@10"] == pytest.approx(gained / ideal)
    assert values["recall@10"] == 1
    assert values["MRR@10"] == 1 / 2


def test_what_comes_after_rank_ten_counts_for_the_hundred_only() -> None:
    ranking = [f"x{number}" for number in range(10)] + ["a"]
    assert measured({"q": {"a": 1, "b": 1}}, {"q": ranking})["q"] == {
        "nDCG@10": 0,
        "recall@10": 0,
        "recall@100": 0.5,
        "MRR@10": 0,
    }


def test_a_question_without_an_answer_counts_as_nothing_found() -> None:
    values = measured({"q": {"a": 1}, "silent": {"a": 1}, "empty": {"a": 1}}, {"q": ["a"], "empty": []})
    assert set(values["q"].values()) == {1}
    assert set(values["silent"].values()) == set(values["empty"].values()) == {0}


def test_an_interval_is_as_wide_as_statistics_say() -> None:
    half = estimate([0.0, 1.0] * 50)
    assert half.mean == 0.5
    assert half.low == pytest.approx(0.5 - 1.96 * 0.05, abs=0.015)
    assert half.high == pytest.approx(0.5 + 1.96 * 0.05, abs=0.015)
    assert estimate([0.25] * 4).low == estimate([0.25] * 4).high == 0.25


def test_a_single_question_says_nothing_about_others() -> None:
    assert (estimate([0.7]).low, estimate([0.7]).high) == (0, 1)


def test_differences_are_tested_question_by_question() -> None:
    before = [0.1 * number for number in range(10)]
    better = compare(before, [value + 0.05 for value in before])
    assert better.difference.mean == pytest.approx(0.05)
    assert better.p == pytest.approx(2 / 2**10)  # of all choices of signs, only two give as much
    same = compare(before, before)
    assert (same.difference.mean, same.p) == (0, 1)
    mixed = compare(before, [value + (0.3 if number % 2 else -0.3) for number, value in enumerate(before)])
    assert mixed.p > 0.5
    assert mixed.difference.low < 0 < mixed.difference.high


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        ("the cat sat on the mat", "The cat lay on a mat.", 2 * 4 / (6 + 6)),
        ("one two three", "three two one", 2 * 1 / (3 + 3)),
        ("Größe", "größe", 1),
        ("yes", "", 0),
        ("東京の天気", "天気は東京", 2 * 2 / (5 + 5)),
    ],
)
def test_rouge_l_is_that_of_the_longest_common_subsequence(reference: str, answer: str, expected: float) -> None:
    assert rouge_l(reference, answer) == pytest.approx(expected)


def test_citations_are_measured_where_something_is_relevant() -> None:
    question = Question("q", "?", answer="yes", grades={"a": 1, "b": 1})
    cited = values_of(question, Answered("yes", ("a", "x", "y", "z"), 0.1))
    assert cited == {"ROUGE-L": 1, "citation precision": 0.25, "citation recall": 0.5}
    assert values_of(question, Answered("no", (), 0.1)) == {"ROUGE-L": 0, "citation recall": 0}
    assert values_of(Question("q", "?", answer="yes"), Answered("yes", ("a",), 0.1)) == {"ROUGE-L": 1}
