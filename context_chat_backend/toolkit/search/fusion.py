"""The one place where finds by meaning and finds by words are weighed against each other.

    score = a * z / 10 + (1 - a) * coverage

`z` is by how many standard deviations the cosine of a chunk stands off from those of chunks at random, `coverage` the
share of the question's words that it has, weighed by how rare they are. `a` is how far meaning is trusted: where the
model knows the language, or where the best finds by words stand out by meaning, too. Chunks with more of the numbers,
codes and names that the question holds come before those with fewer, whatever else they say.

Found by experiment on fifteen sets in twelve languages; docs/evaluation.md has the figures.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...contract import Hit, SourceId
from ..indexing.words.terms import Question
from .calibration import Calibration

MOST_TRUST = 0.4
"""`a` of a model that knows the language: above .6 the exact word is lost."""
KNOWN, WELL_KNOWN = 5.0, 6.5
"""Strengths between which a model comes to be trusted whatever the words say."""
UNKNOWN, HALF_KNOWN = 0.5, 2.5
"""Strengths between which it comes to be trusted where the words agree."""
AGREEING = 3.0
"""Standard deviations by which the best finds by words then stand off."""
BEST_WORDS = 5
MOST_EVIDENCE, IDENTIFIER = 0.999, 2.0
"""No evidence for or against a chunk outweighs an identifier."""
SCALE = 10.0
"""Standard deviations of a perfect find, about."""
ANOTHER = 0.3
"""Most of what has none of the numbers and codes of a question, however alike: another invoice is the wrong one."""
CLOSENESS, COVERAGE, DOUBT = 6.2, 7.0, 4.4
"""Of a logistic regression of whether a question belongs to a collection at all, on five of them: at one half it takes
4 % of the others for its own, and misses 6 % of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A chunk that one of the stages found, with what both say of it."""

    source_id: SourceId
    title: str
    ordinal: int
    heading: str
    text: str
    language: str
    similarity: float | None
    """Cosine; None where nobody looked."""
    words: float
    """BM25."""
    identifiers: frozenset[int]
    """Those of the question's that the chunk has."""

    def hit(self, score: float, relevance: float | None) -> Hit:
        """As the contract has it."""
        return Hit(
            source_id=self.source_id,
            title=self.title,
            ordinal=self.ordinal,
            heading=self.heading,
            text=self.text,
            score=score,
            relevance=relevance,
        )


def fuse(
    candidates: Sequence[Candidate],
    *,
    mass: float,
    unknown: float,
    question: Question | None,
    embedding: NDArray[np.float32] | None,
    calibration: Calibration,
    limit: int,
) -> list[Hit]:
    """The best `limit` candidates, best first, in an order that does not change. `mass` is the most that
    `Candidate.words` can be, `unknown` what words of the question that no text has would add to it; `question` is None
    where only meaning is looked for, `embedding` where only words are."""
    if not candidates:
        return []
    distance = _standardized(candidates, embedding, calibration)
    trust = _trust(candidates, distance, calibration) if embedding is not None else {}
    scored = [
        (_score(candidate, z, mass, trust.get(candidate.language, 0.0)), candidate)
        for candidate, z in zip(candidates, distance, strict=True)
    ]
    scored.sort(key=lambda found: (-found[0], _place(found[1])))
    return [
        candidate.hit(score, _relevance(candidate, mass + unknown, question, calibration))
        for score, candidate in scored[:limit]
    ]


def _score(candidate: Candidate, distance: float, mass: float, trust: float) -> float:
    evidence = trust * distance / SCALE + (1 - trust) * _coverage(candidate, mass)
    return min(max(evidence, -MOST_EVIDENCE), MOST_EVIDENCE) + IDENTIFIER * len(candidate.identifiers)


def _coverage(candidate: Candidate, mass: float) -> float:
    return candidate.words / mass if mass else 0.0


def _place(candidate: Candidate) -> tuple[str, int]:
    """So that the order never depends on that in which a database found them."""
    return candidate.source_id, candidate.ordinal


def _relevance(candidate: Candidate, mass: float, question: Question | None, calibration: Calibration) -> float | None:
    if question is not None:
        if question.vague:
            return None
        if question.named and question.named <= candidate.identifiers:
            return 1.0
    if candidate.similarity is None:
        return None
    closeness = calibration.closeness(candidate.language, candidate.similarity)
    if closeness is None:
        return None
    evidence = CLOSENESS * max(0.0, closeness) + COVERAGE * _coverage(candidate, mass) - DOUBT
    likely = 1 / (1 + math.exp(-evidence))
    another = question is not None and question.named and question.named.isdisjoint(candidate.identifiers)
    return min(likely, ANOTHER) if another else likely


def _standardized(
    candidates: Sequence[Candidate], embedding: NDArray[np.float32] | None, calibration: Calibration
) -> list[float]:
    """What nobody looked at is as far away as a chunk at random."""
    if embedding is None:
        return [0.0] * len(candidates)
    languages = {candidate.language for candidate in candidates}
    background = calibration.backgrounds(embedding, languages)
    return [
        0.0 if candidate.similarity is None else background[candidate.language].standard(candidate.similarity)
        for candidate in candidates
    ]


def _trust(candidates: Sequence[Candidate], distance: Sequence[float], calibration: Calibration) -> Mapping[str, float]:
    """How far meaning is trusted, by language."""
    by_words = sorted(zip(candidates, distance, strict=True), key=lambda found: (-found[0].words, _place(found[0])))
    best = [z for candidate, z in by_words[:BEST_WORDS] if candidate.words > 0]
    agreement = _ramp(sum(best) / len(best), 0, AGREEING) if best else 1.0
    return {
        language: MOST_TRUST * max(_ramp(strength, KNOWN, WELL_KNOWN), agreement * _ramp(strength, UNKNOWN, HALF_KNOWN))
        for language in {candidate.language for candidate in candidates}
        for strength in [calibration.strength(language)]
    }


def _ramp(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))
