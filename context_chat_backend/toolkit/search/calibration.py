"""What the cosines of an embedding model are worth, by the language of the text.

A cosine of .6 is a find for one model and noise for another, and a model may know English well and Arabic not at all.
Both show without any judgements: in how far chunks drawn at random stand off from a question, and whether a sentence
is nearer to its own chunk than to others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FEWEST = 15
"""Chunks of a language that say something about it; of others all languages together do."""
ENOUGH = 32
"""Sentences that say how well a model knows a language."""
PASSAGES = "passages"
"""Instead of a language, for the trial with the texts in `passages`."""
UNTESTED = 6.5
"""The strength of a model in a language that it was not tried in yet: in a small store words alone find little."""
LEAST_DEVIATION = 0.02
"""Of texts in many languages; a few chunks of one store may be alike."""


@dataclass(frozen=True, slots=True)
class Background:
    """The cosines of one question to chunks drawn at random. As they are by default, nothing is known of a store."""

    mean: float = 0.0
    deviation: float = 0.1

    def standard(self, cosine: float) -> float:
        """By how many standard deviations a chunk stands off from those."""
        return (cosine - self.mean) / self.deviation


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of trying a model in one language, with sentences of chunks as questions."""

    sentences: int
    strength: float
    """The mean `standard` of a sentence to its own chunk. Models that know a language have 4 to 7, those that do not 1
    to 3."""
    own: float
    """The mean cosine of a sentence to its own chunk."""
    others: float
    """The same to other chunks."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Immutable; a newer one takes its place."""

    samples: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Vectors of chunks drawn at random, shape (number, dimension), by language."""
    trials: Mapping[str, Trial] = field(default_factory=dict)
    """By language, or `PASSAGES`."""

    def strength(self, language: str) -> float:
        """How well the model knows a language."""
        trial = self.trials.get(language)
        return UNTESTED if trial is None or trial.sentences < ENOUGH else trial.strength

    def closeness(self, language: str, cosine: float) -> float | None:
        """0 for a chunk that is as near to a question as any other, 1 for one as near as to a sentence of its own. None
        where the model was not tried at all."""
        trials = self._trials_for(language)
        if not trials:
            return None
        sentences = sum(each.sentences for each in trials)
        own = sum(each.own * each.sentences for each in trials) / sentences
        others = sum(each.others * each.sentences for each in trials) / sentences
        return (cosine - others) / max(own - others, LEAST_DEVIATION)

    def _trials_for(self, language: str) -> Sequence[Trial]:
        """Those of a language and of the passages, else all: a few chunks say more of each other than of the model."""
        if language not in self.trials:
            return list(self.trials.values())
        return [trial for key, trial in self.trials.items() if key in {language, PASSAGES}]

    def backgrounds(self, question: NDArray[np.float32], languages: set[str]) -> dict[str, Background]:
        """By language, for chunks of these."""
        cosines = {language: sample @ question for language, sample in self.samples.items()}
        alone = {language: _background([cosines[language]]) for language in languages & self.languages}
        others = languages - alone.keys()
        together = _background(list(cosines.values())) if others else Background()
        return alone | dict.fromkeys(others, together)

    @property
    def drawn(self) -> Mapping[str, int]:
        """By language, how many chunks."""
        return {language: len(sample) for language, sample in self.samples.items()}

    @property
    def languages(self) -> frozenset[str]:
        """Those that enough chunks are in."""
        return frozenset(language for language, sample in self.samples.items() if len(sample) >= FEWEST)


def _background(cosines: list[NDArray[np.float32]]) -> Background:
    if not cosines:
        return Background()
    together = np.concatenate(cosines)
    return Background(float(together.mean()), max(float(together.std()), LEAST_DEVIATION))
