"""Which embedding model a store is searched with, and which one takes its place."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from ...contract import Finding, Level, Misconfigured
from ..background import MINUTE, periodically, run_in_background
from ..indexing.chunk_embedder import ChunkEmbedder
from ..indexing.indexer import Indexer
from ..search.calibration import Calibration
from ..search.calibrator import Calibrator, keep_calibrated
from .document_store import DocumentStore, QuestionVector
from .documents import trials_in
from .vectors import VectorMaker

LOOK_SECONDS = 10.0
"""Until it is looked again for what another gateway left, stored without making its vectors, or asked for."""

log = logging.getLogger(__name__)


class ModelAtWork:
    """A model that makes vectors for a store, and how well it does."""

    def __init__(self, store: DocumentStore, model: ChunkEmbedder) -> None:
        name = model.model_name
        draw, keep = partial(store.samples, name), partial(store.keep_trials, name)
        self.model = model
        self.calibrator = Calibrator(draw, model.embedder, keep)
        self.vectors = VectorMaker(store, model, self.calibrator.note_stored)


class StoreModels:
    """Embeds questions with the model that the vectors of the store are of.

    That is the model of the settings, or one of before. Then searches go on with that one until the store has been told
    to change and all vectors are made; by words only, where it is not to be found any more.
    """

    _store: DocumentStore

    def __init__(self, indexer: Indexer) -> None:
        self._indexer = indexer
        self._at_work: Mapping[str, ModelAtWork] = {}
        self._searched = ""

    async def open(self, stack: AsyncExitStack, store: DocumentStore, status: Mapping[str, Any]) -> None:
        """Work until the stack is closed. `status` is that of the store."""
        self._store = store
        self._searched = status["embedding_model"]
        models = [self._indexer.model]
        if self._indexer.model.model_name != self._searched:
            models += await self._former(stack, self._searched, int(status["embedding_dim"]))
        self._at_work = {model.model_name: ModelAtWork(store, model) for model in models}
        for finding in self._former_findings():
            log.warning("%s; %s", finding.text, finding.remedy)
        if (searched := self._at_work.get(self._searched)) is not None:
            searched.calibrator.remember(trials_in(status))
        for each in self._at_work.values():
            await keep_calibrated(stack, each.calibrator)
            await run_in_background(stack, partial(self._keep_making, each))

    @property
    def waiting(self) -> int:
        """Chunks that are not found by their meaning yet."""
        return sum(each.vectors.waiting for name, each in self._at_work.items() if name == self._searched)

    @property
    def calibration(self) -> Calibration:
        """How well the model that is searched with does, as far as that is known."""
        at_work = self._at_work.get(self._searched)
        return Calibration() if at_work is None else at_work.calibrator.calibration

    def note_stored(self) -> None:
        """A source was stored."""
        for each in self._at_work.values():
            each.vectors.note_stored()

    async def embed_query(self, text: str) -> QuestionVector | None:
        """None if there is nothing to search with."""
        at_work = self._at_work.get(self._searched)
        if at_work is None:
            return None
        return QuestionVector(await at_work.model.embed_query(text), model=at_work.model.model_name)

    def follow(self, name: str) -> None:
        """The store turned out to be searched with this model."""
        log.info("searches are by the embedding model %s from now on", name)
        self._searched = name
        if name in self._at_work:
            self._at_work[name].calibrator.draw_again()

    def findings(self, waiting: int) -> Sequence[Finding]:
        """What an admin should know. `waiting` counts the chunks without a vector, which are no fault: documents are
        found meanwhile."""
        return [*self._former_findings(), *self._waiting_findings(waiting)]

    def _former_findings(self) -> Sequence[Finding]:
        wanted = self._indexer.model.model_name
        if wanted == self._searched:
            return ()
        by = f"searches are by {self._searched}" if self._searched in self._at_work else "searches are by words only"
        text = f'the vectors in the store are of the model "{self._searched}", not of "{wanted}": {by}'
        remedy = "run `ccbe reembed start`, look with `ccbe reembed status`, or go back to the former model"
        return [Finding(level=Level.WARNING, subject="model", text=text, remedy=remedy)]

    def _waiting_findings(self, waiting: int) -> Sequence[Finding]:
        at_work = self._at_work.get(self._searched)
        if not waiting or at_work is None:
            return ()
        seconds = at_work.vectors.seconds_left
        ready = "" if seconds is None else f", for about {max(1, round(seconds / 60)):,} minutes to come"
        text = f"{waiting:,} chunks are found by their words only{ready}: their vectors are being made"
        return [Finding(level=Level.OK, subject="vectors", text=text)]

    async def _keep_making(self, each: ModelAtWork) -> None:
        make, wake = partial(self._make, each), each.vectors.due
        await periodically("making vectors", make, LOOK_SECONDS, first=0, wake=wake, pause=1, longest=MINUTE)

    async def _make(self, each: ModelAtWork) -> None:
        await each.vectors.make_all()
        name = each.model.model_name
        if name != self._searched and await self._store.switch_model(name):
            self.follow(name)

    async def _former(self, stack: AsyncExitStack, name: str, dimension: int) -> list[ChunkEmbedder]:
        try:
            model = await stack.enter_async_context(self._indexer.former_model(name))
            if (model.model_name, model.dimension) == (name, dimension):
                return [model]
            reason = f"there is {model.model_name} of {model.dimension} dimensions in its place"
        except Misconfigured as error:
            reason = str(error)
        log.warning("the store is searched by words only, as its embedding model is not to be had: %s", reason)
        return []
