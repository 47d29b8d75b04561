"""`ccbe eval run`: how well a gateway finds the documents of test collections, and whether it finds forbidden ones."""

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence

import numpy as np

from ...contract import Misconfigured
from ..command import Variables
from .collection import Collection, Question
from .measures import MEASURES, estimate, measured
from .results import Asked, SetResult
from .sandbox import NO_MODEL, Sandbox
from .texts import table
from .trial import ALL, SOME, Trial, evaluate, grouped, headline, with_progress


def run(options: Namespace, variables: Variables) -> int:
    """Measure, print and write; fails if there was a leak."""
    return evaluate(options, {**variables, **NO_MODEL}, chosen=judged, ask=search, print_=_print)


def judged(collection: Collection) -> Sequence[Question]:
    """Raises `Misconfigured` if there are none."""
    if not collection.judged:
        raise Misconfigured(f"{collection.name}: no question has a relevant document")
    return collection.judged


def search(gateway: Sandbox, trial: Trial) -> Iterator[Asked]:
    """All of them by one user after the other: the gateway keeps the vectors of the last questions."""
    grades = {question.id: question.grades for question in trial.questions}
    for reads in (ALL, SOME):
        answers = {
            each.id: gateway.search(trial.user(each, reads), each.text) for each in with_progress(trial.questions)
        }
        values = measured(grades, {id_: found.documents for id_, found in answers.items()})
        for question in trial.questions:
            found = answers[question.id]
            yield Asked(
                question=question.id,
                kind=question.kind,
                reads=reads,
                user=trial.user(question, reads),
                seconds=round(found.seconds, 5),
                found=list(found.documents),
                values=values[question.id],
            )


# ---------------------------------------------------------------------- printing


def _print(result: SetResult, trial: Trial) -> None:
    head = ("may read", "", "questions", *MEASURES, "p50 ms", "p95 ms")
    rows = [_row(*group) for reads in (ALL, SOME) for group in grouped(result, trial, reads)]
    sys.stdout.write(headline(result, trial) + table([head, *rows], text_columns=2))


def _row(reads: str, kind: str, asked: Sequence[Asked]) -> tuple[str, ...]:
    cells = [estimate([each.values[measure] for each in asked]) for measure in MEASURES]
    milliseconds = [each.seconds * 1000 for each in asked]
    return (
        reads,
        kind,
        f"{len(asked):,}",
        *(f"{cell.mean:.4f} [{cell.low:.3f}, {cell.high:.3f}]" for cell in cells),
        *(f"{percentile:.1f}" for percentile in np.percentile(milliseconds, [50, 95])),
    )
