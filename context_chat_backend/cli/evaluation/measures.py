"""Measures of retrieval, by ir-measures; their intervals and tests, by SciPy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ir_measures
import numpy as np
from ir_measures import RR, R, nDCG
from scipy import stats

MEASURES = {"nDCG@10": nDCG @ 10, "recall@10": R @ 10, "recall@100": R @ 100, "MRR@10": RR @ 10}
"""By the names under which they are reported. The gain of nDCG is the grade itself, as in trec_eval."""
NAMES = {measure: name for name, measure in MEASURES.items()}
RESAMPLES = 9_999
BATCH = 500
"""Resamples in memory at a time."""
SEED = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over questions with its 95 % confidence interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The mean of the differences, with its 95 % confidence interval and the probability of one as large by chance."""

    difference: Estimate
    p: float


def measured(
    grades: Mapping[str, Mapping[str, int]], rankings: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, float]]:
    """Question id to measure to value. Rankings are document ids, best first; all questions of `grades` are measured,
    whether they were answered or not."""
    scores = {
        question: {document: float(-rank) for rank, document in enumerate(ranking)}
        for question, ranking in rankings.items()
    }
    values = {question: dict.fromkeys(MEASURES, 0.0) for question in grades}
    for metric in ir_measures.iter_calc(list(NAMES), grades, scores):
        values[metric.query_id][NAMES[metric.measure]] = metric.value
    return values


def estimate(values: Sequence[float], *, bounds: tuple[float, float] = (0.0, 1.0)) -> Estimate:
    """Percentile bootstrap over questions. A single one says nothing about others: the interval is then `bounds`."""
    mean = float(np.mean(values))
    if len(values) == 1:
        return Estimate(mean, *bounds)
    interval = stats.bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, batch=BATCH, method="percentile", rng=SEED
    ).confidence_interval
    return Estimate(mean, float(interval.low), float(interval.high))


def compare(before: Sequence[float], after: Sequence[float]) -> Comparison:
    """Two-sided randomisation test of values in pairs, one pair for each question."""
    differences = np.subtract(after, before)
    test = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=RESAMPLES, batch=BATCH, rng=SEED
    )
    return Comparison(estimate(list(differences), bounds=(-1.0, 1.0)), float(test.pvalue))
