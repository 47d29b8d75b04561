"""`ccbe eval answers`: how near answers come to known ones, and whether they cite the right documents."""

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence

import numpy as np

from ...contract import Misconfigured
from ..command import Variables
from .collection import Collection, Question
from .measures import estimate
from .results import Asked, SetResult
from .rouge import rouge_l
from .sandbox import Answered, Sandbox
from .texts import table
from .trial import SOME, Trial, evaluate, grouped, headline, with_progress

ROUGE, PRECISION, RECALL = "ROUGE-L", "citation precision", "citation recall"
MEASURES = (ROUGE, PRECISION, RECALL)


def run(options: Namespace, variables: Variables) -> int:
    """Ask, print and write; fails if there was a leak."""
    return evaluate(options, variables, chosen=_answered, ask=answer, print_=_print)


def _answered(collection: Collection) -> Sequence[Question]:
    questions = [question for question in collection.questions if question.answer]
    if not questions:
        raise Misconfigured(f"{collection.name}: no question has an answer to compare with")
    return questions


def answer(gateway: Sandbox, trial: Trial) -> Iterator[Asked]:
    for question in with_progress(trial.questions):
        answered = gateway.ask(trial.user(question, SOME), question.text)
        yield Asked(
            question=question.id,
            kind=question.kind,
            reads=SOME,
            user=trial.user(question, SOME),
            seconds=round(answered.seconds, 5),
            found=list(answered.documents),
            values=values_of(question, answered),
        )


def values_of(question: Question, answered: Answered) -> dict[str, float]:
    """Citations count where the question has relevant documents, their precision where there are any."""
    values = {ROUGE: rouge_l(question.answer or "", answered.text)}
    right = question.grades.keys() & set(answered.documents)
    if question.grades:
        values[RECALL] = len(right) / len(question.grades)
        if answered.documents:
            values[PRECISION] = len(right) / len(answered.documents)
    return values


def _print(result: SetResult, trial: Trial) -> None:
    head = ("may read", "", "questions", "without sources", *MEASURES, "p50 s", "p95 s")
    rows = [_row(*group) for group in grouped(result, trial, SOME)]
    sys.stdout.write(headline(result, trial) + table([head, *rows], text_columns=2))


def _row(reads: str, kind: str, asked: Sequence[Asked]) -> tuple[str, ...]:
    return (
        reads,
        kind,
        f"{len(asked):,}",
        f"{sum(not each.found for each in asked):,}",
        *(_cell([each.values[measure] for each in asked if measure in each.values]) for measure in MEASURES),
        *(f"{percentile:.2f}" for percentile in np.percentile([each.seconds for each in asked], [50, 95])),
    )


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "-"
    cell = estimate(values)
    return f"{cell.mean:.4f} [{cell.low:.3f}, {cell.high:.3f}]"
