"""The stages that ask a model in which order chunks are to come. Where it fails a search goes on without the stage."""

import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import anyio

from ..contract import DriverError, Hit, PermanentError, Query, SourceId, Unavailable
from ..metrics import Metrics
from ..toolkit.concurrency import gather
from .generators import whole
from .models import TextModel
from .pipeline import Search
from .prompt import build_wordings_prompt
from .rerankers import Reranker
from .settings import RerankSettings, RetrievalSettings, StageName
from .wordings import wordings_in

NAME_CHARACTERS = 200
"""Of a title, and of a heading."""
MOST_CHARACTERS = 4000
"""Of a text that is scored with title and heading, and of a question: models read 512 to 8,192 tokens of both."""
RANK_OFFSET = 60
"""The k of reciprocal rank fusion, https://doi.org/10.1145/1571941.1572114."""

log = logging.getLogger(__name__)
T = TypeVar("T")


class Rerank:
    """Reorders the best chunks by how well a reranker finds them to answer the question."""

    def __init__(self, search: Search, *, reranker: Reranker, settings: RerankSettings, metrics: Metrics) -> None:
        self._search = search
        self._reranker = reranker
        self._candidates = settings.candidates
        self._seconds = settings.timeout
        self._metrics = metrics

    async def __call__(self, query: Query) -> Sequence[Hit]:
        hits = await self._search(replace(query, limit=max(query.limit, self._candidates)))
        best, others = hits[: self._candidates], hits[self._candidates :]
        scores = await self._scores(query.text, best) if len(best) > 1 else None
        if scores is None:
            return hits[: query.limit]
        ranked = [replace(hit, score=score) for hit, score in zip(best, scores, strict=True)]
        # Their own scores cannot be compared with those of the reranker.
        unread = [replace(hit, score=min(scores)) for hit in others]
        return sorted([*ranked, *unread], key=lambda hit: -hit.score)[: query.limit]

    async def _scores(self, question: str, hits: Sequence[Hit]) -> Sequence[float] | None:
        ask = partial(self._reranker.scores, _sendable(question), [scored_text(hit) for hit in hits])
        return await _attempt(ask, "rerank", seconds=self._seconds, metrics=self._metrics)


def scored_text(hit: Hit) -> str:
    """What is scored of a chunk: the name of its document, the headings above it, and its text."""
    title, heading = (" ".join(name.split())[:NAME_CHARACTERS] for name in (hit.title, hit.heading))
    return _sendable("\n".join(part for part in (title, heading, hit.text) if part))


def _sendable(text: str) -> str:
    """Its beginning, without halves of characters, which neither JSON nor a tokenizer takes."""
    return text[:MOST_CHARACTERS].encode("utf-8", "replace").decode()


class Questions:
    """Searches other wordings of the question, too, and fuses what all of them found by reciprocal rank."""

    def __init__(self, search: Search, *, model: TextModel, settings: RetrievalSettings, metrics: Metrics) -> None:
        self._search = search
        self._model = model
        self._count = settings.questions
        self._seconds = settings.questions_timeout
        self._metrics = metrics

    async def __call__(self, query: Query) -> Sequence[Hit]:
        ask = partial(self._wordings, query)
        wordings = await _attempt(ask, "questions", seconds=self._seconds, metrics=self._metrics)
        others = (partial(self._found_by, replace(query, text=wording)) for wording in wordings or ())
        own, *found = await gather(partial(self._search, query), *others)
        return fused(own, found)[: query.limit] if any(found) else own

    async def _wordings(self, query: Query) -> Sequence[str]:
        prompt = build_wordings_prompt(_sendable(query.text), self._count)
        written = await whole(self._model.stream(query.user_id, prompt))
        return wordings_in(written, query.text, self._count)

    async def _found_by(self, query: Query) -> Sequence[Hit]:
        try:
            return await self._search(query)
        except PermanentError as error:  # of what a model wrote: the question itself may well be searched
            log.warning("a wording of a question cannot be searched: %s", error)
            return ()


def fused(own: Sequence[Hit], others: Sequence[Sequence[Hit]]) -> list[Hit]:
    """All hits, best first, each as the first search that found it gave it, but for its score.

    The question itself counts as much as all other wordings together, and its finds come before equally good ones:
    wordings that one model wrote go astray together."""
    hits: dict[tuple[SourceId, int], Hit] = {}
    scores: defaultdict[tuple[SourceId, int], float] = defaultdict(float)
    for weight, found in [(len(others) or 1, own), *((1, other) for other in others)]:
        for rank, hit in enumerate(found, start=1):
            chunk = hit.source_id, hit.ordinal
            hits.setdefault(chunk, hit)
            scores[chunk] += weight / (RANK_OFFSET + rank)
    return sorted((replace(hit, score=scores[chunk]) for chunk, hit in hits.items()), key=lambda hit: -hit.score)


async def _attempt(ask: Callable[[], Awaitable[T]], stage: StageName, *, seconds: float, metrics: Metrics) -> T | None:
    """What the model says; None where it fails or takes longer, which is counted and logged."""
    try:
        with anyio.fail_after(seconds):
            return await ask()
    except TimeoutError:
        reason: DriverError = Unavailable(f"its model took longer than {seconds:g} s")
    except DriverError as error:
        reason = error
    log.warning("a search goes on without the stage %s: %s", stage, reason)
    metrics.stages_left_out.labels(stage, type(reason).__name__).inc()
    return None
