"""Keeps the calibration of a store up to date while chunks come."""

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import anyio
import numpy as np
from numpy.typing import NDArray

from ...contract import Finding, Level
from ..background import DAY, HOUR, MINUTE, periodically, run_in_background
from .calibration import ENOUGH, PASSAGES, Calibration, Trial
from .passages import TEXTS

DRAWN = 256
"""Chunks of each language."""
TRIED = 64
"""Sentences of each language."""
FEWEST_TRIED = 3
WEAK = 3.0
"""Strength of a model that says little about a language."""
SHORTEST, LONGEST = 12, 300
"""Characters of a sentence that is taken for a question."""
_SENTENCE = re.compile(r"[^.!?\u3002\uff01\uff1f\u0964\n]+")


@dataclass(frozen=True, slots=True)
class Sample:
    """A chunk drawn at random."""

    language: str
    """ISO 639-1; empty if it is not known."""
    embedding: NDArray[np.float32]
    """Shape (dimension,)."""
    text: str


class Model(Protocol):
    """What of an `Embedder` is tried."""

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of passages, shape (number, dimension)."""

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        """That of a question, shape (dimension,)."""


class Calibrator:
    """Draws samples each time the store has doubled, and tries the model in languages that are new. It starts over once
    a day."""

    def __init__(
        self,
        draw: Callable[[], Awaitable[Sequence[Sample]]],
        model: Model,
        keep: Callable[[Mapping[str, Trial]], Awaitable[None]],
        *,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        """`draw` gives up to `DRAWN` chunks of each language, `keep` remembers the trials."""
        self._draw, self._model, self._keep, self._clock = draw, model, keep, clock
        self._started = -DAY
        self._stored, self._due_at = 0, 1
        self._due = anyio.Event()
        self.calibration = Calibration()

    def remember(self, trials: Mapping[str, Trial]) -> None:
        """Begin with what was kept: no reason to try all languages again at each start."""
        self.calibration = Calibration(trials=dict(trials))
        if trials:
            self._started = self._clock()

    def note_stored(self) -> None:
        """A source was stored."""
        self._stored += 1
        if self._stored >= self._due_at:
            self._due.set()

    def draw_again(self) -> None:
        """There are other vectors to draw from."""
        self._due.set()

    async def due(self) -> None:
        """Return when there is much more to draw from."""
        await self._due.wait()

    async def calibrate(self) -> None:
        """Draw, and try the model in each language of which there is much more than when it was tried."""
        if PASSAGES not in self.calibration.trials:
            await self._try_passages()
        self._due, self._due_at = anyio.Event(), 2 * self._stored or 1
        over = self._clock() - self._started >= DAY
        samples = await self._drawn()
        for language, drawn in samples.items():
            sentences = min(len(drawn), TRIED)
            known = self.calibration.trials.get(language)
            if language and sentences >= FEWEST_TRIED and (over or known is None or sentences >= 2 * known.sentences):
                await self._try(language, drawn[:TRIED])
        if over:
            self._started = self._clock()

    async def _drawn(self) -> Mapping[str, Sequence[Sample]]:
        by_language: defaultdict[str, list[Sample]] = defaultdict(list)
        for sample in await self._draw():
            by_language[sample.language].append(sample)
        vectors = {
            language: np.stack([sample.embedding for sample in drawn]) for language, drawn in by_language.items()
        }
        self.calibration = replace(self.calibration, samples=vectors)
        return by_language

    async def _try_passages(self) -> None:
        vectors = await self._model.embed(TEXTS)
        await self._try(PASSAGES, [Sample("en", *each) for each in zip(vectors, TEXTS, strict=True)])

    async def _try(self, language: str, drawn: Sequence[Sample]) -> None:
        vectors = np.stack([sample.embedding for sample in drawn])
        known = replace(self.calibration, samples={language: vectors, **self.calibration.samples})
        own, others, distances = [], [], []
        for number, sample in enumerate(drawn):
            question = await self._model.embed_query(sentence_of(sample.text))
            cosines = vectors @ question
            background = known.backgrounds(question, {language})[language]
            own.append(cosines[number])
            others.append((cosines.sum() - cosines[number]) / (len(drawn) - 1))
            distances.append(background.standard(float(cosines[number])))
        trial = Trial(len(drawn), *(round(float(np.mean(values)), 4) for values in (distances, own, others)))
        self.calibration = replace(self.calibration, trials={**self.calibration.trials, language: trial})
        await self._keep(self.calibration.trials)


async def keep_calibrated(stack: AsyncExitStack, calibrator: Calibrator) -> None:
    """In the background until the stack is closed."""
    step, wake = calibrator.calibrate, calibrator.due
    work = partial(periodically, "calibrating", step, DAY, first=0, wake=wake, pause=MINUTE, longest=HOUR)
    await run_in_background(stack, work)


def sentence_of(text: str) -> str:
    """One from the middle, else what is there."""
    sentences = [found[0].strip()[:LONGEST] for found in _SENTENCE.finditer(text)]
    fitting = [sentence for sentence in sentences if len(sentence) >= SHORTEST] or [text[:LONGEST]]
    return fitting[len(fitting) // 2]


def findings(trials: Mapping[str, Trial], model: str) -> Sequence[Finding]:
    """What an admin should know about the languages of the documents."""
    tried = {
        language: trial
        for language, trial in sorted(trials.items())
        if trial.sentences >= ENOUGH and language != PASSAGES
    }
    weak = [language for language, trial in tried.items() if trial.strength < WEAK]
    if weak:
        return [
            Finding(
                level=Level.WARNING,
                subject="languages",
                text=f"{model} hardly knows {', '.join(weak)}: documents in these languages are found by words only",
                remedy="choose a model that does with CC_EM_MODEL, and have everything indexed again",
            )
        ]
    known = [Finding(level=Level.OK, subject="languages", text=f"{model} knows {', '.join(tried)}")]
    return known if tried else ()
