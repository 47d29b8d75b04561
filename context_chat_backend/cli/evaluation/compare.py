"""`ccbe eval compare`: whether one evaluation found more than another, question by question."""

import sys
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...contract import Misconfigured
from ..command import FAILURE, SUCCESS, Variables
from .measures import Comparison, compare
from .results import Results, SetResult, read_results
from .texts import say, table

Key = tuple[str, str]
"""How much the user may read, and a measure."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """What two evaluations measured of the same questions, in the same order."""

    name: str
    reads: str
    measure: str
    before: list[float]
    after: list[float]


def run(options: Namespace, _: Variables) -> int:
    """Print a line per set, reader and measure; fails if any mean is lower by more than the tolerance."""
    before, after = read_results(options.before), read_results(options.after)
    compared = [(pairs, compare(pairs.before, pairs.after)) for pairs in _paired(before, after)]
    head = ("set", "may read", "measure", "questions", "A", "B", "B - A", "p", "")
    sys.stdout.write(table([head, *(_row(*each, options.tolerance) for each in compared)], text_columns=3))
    worse = [pairs for pairs, comparison in compared if _is_worse(comparison, options.tolerance)]
    sys.stdout.write(f"\n{len(compared) - len(worse)} of {len(compared)} are not worse by more than ")
    sys.stdout.write(f"{options.tolerance:g}\n")
    return FAILURE if worse else SUCCESS


def _paired(before: Results, after: Results) -> Iterator[Pairs]:
    ours = {each.name: each for each in after.sets}
    for each in before.sets:
        if each.name not in ours:
            raise Misconfigured(f"the second file has no results of the set {each.name}")
        yield from _pairs(each, ours[each.name])


def _pairs(before: SetResult, after: SetResult) -> Iterator[Pairs]:
    if before.corpus != after.corpus:
        raise Misconfigured(
            f"{before.name}: other documents or access lists were loaded, so nothing can be said of the difference"
        )
    if _questions(before) != _questions(after):
        raise Misconfigured(f"{before.name}: other questions were asked; use the same --split and --limit")
    if before.store is not after.store:
        say(f"{before.name}: A is of a {before.store} store, B of a {after.store} one, which may be all the difference")
    second = _values(after)
    for (reads, measure), values in _values(before).items():
        others = second.get((reads, measure), {})
        both = [question for question in values if question in others]
        if not both:
            raise Misconfigured(f"{before.name}: the second file has no {measure} for whoever may read {reads}")
        first, then = ([each[question] for question in both] for each in (values, others))
        yield Pairs(before.name, reads, measure, first, then)


def _questions(result: SetResult) -> set[tuple[str, str]]:
    return {(asked.reads, asked.question) for asked in result.asked}


def _values(result: SetResult) -> dict[Key, dict[str, float]]:
    """What was measured, by question."""
    values: dict[Key, dict[str, float]] = {}
    for asked in result.asked:
        for measure, value in asked.values.items():
            values.setdefault((asked.reads, measure), {})[asked.question] = value
    return values


def _is_worse(comparison: Comparison, tolerance: float) -> bool:
    return comparison.difference.mean < -tolerance


def _row(pairs: Pairs, comparison: Comparison, tolerance: float) -> tuple[str, ...]:
    difference = comparison.difference
    return (
        pairs.name,
        pairs.reads,
        pairs.measure,
        f"{len(pairs.before):,}",
        f"{np.mean(pairs.before):.4f}",
        f"{np.mean(pairs.after):.4f}",
        f"{difference.mean:+.4f} [{difference.low:+.3f}, {difference.high:+.3f}]",
        f"{comparison.p:.4f}",
        "WORSE" if _is_worse(comparison, tolerance) else "",
    )
