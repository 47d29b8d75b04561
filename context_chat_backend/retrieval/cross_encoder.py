"""A model in process that reads a question and a text together, in a folder as optimum exports it."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
from anyio import CapacityLimiter, to_thread
from numpy.typing import NDArray
from tokenizers import Encoding

from ..contract import Misconfigured, Unavailable
from ..toolkit.indexing.embed.folder import graph_in, read_max_tokens, read_tokenizer
from ..toolkit.indexing.embed.local import INPUTS, batches, open_session

VARIABLE = "CC_RERANK_MODEL_PATH"
LOGITS = "logits"

T = TypeVar("T")


class CrossEncoder:
    """A `Reranker` that computes in a worker thread, one batch at a time whoever asks, so that users take turns and
    cancellation acts between batches.

    Entering raises `Misconfigured` when the files are missing or cannot be used."""

    _model: "PairModel"

    def __init__(self, folder: Path, *, threads: int | None = None) -> None:
        """`threads` defaults to the cores that this process may use."""
        self._folder = folder
        self._threads = threads or len(os.sched_getaffinity(0))
        self._one_at_a_time = CapacityLimiter(1)

    async def __aenter__(self) -> Self:
        self._model = await self._in_thread(partial(PairModel, self._folder, threads=self._threads))
        return self

    async def __aexit__(self, *exc: object) -> None:
        del self._model

    async def scores(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        model = self._model
        pairs = await self._in_thread(partial(model.tokenize, question, texts))
        scores = np.empty(len(texts), np.float32)
        for batch in batches([len(pair.ids) for pair in pairs]):
            scores[batch] = await self._in_thread(partial(model.compute, [pairs[index] for index in batch]))
        if not np.isfinite(scores).all():
            raise Unavailable("the reranker computed a score that is no number")
        return [float(score) for score in scores]

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await to_thread.run_sync(work, limiter=self._one_at_a_time)


class PairModel:
    """The graph and its tokenizer, loaded: blocking.

    The graph has the inputs `input_ids`, `attention_mask` and perhaps `token_type_ids`, int64 of shape (batch,
    sequence), and the output `logits` of shape (batch, 1).
    """

    def __init__(self, folder: Path, *, threads: int) -> None:
        """Raises `Misconfigured`, which names the file."""
        self._graph = graph = graph_in(folder, VARIABLE)
        self._tokenizer, limit = read_tokenizer(folder / "tokenizer.json")
        # The longer one of question and text is cut, which is the text unless somebody asks a novel.
        self._tokenizer.enable_truncation(read_max_tokens(folder, limit), strategy="longest_first")
        self._session = open_session(graph, graph.parent, threads=threads)
        self._inputs = {value.name for value in self._session.get_inputs()}
        if unknown := self._inputs - INPUTS:
            raise Misconfigured(f"{graph}: the input {', '.join(sorted(unknown))} is not known")
        outputs = [value.name for value in self._session.get_outputs()]
        if LOGITS not in outputs:
            raise Misconfigured(f"{graph}: of the outputs {outputs} none is {LOGITS}: it is no cross-encoder")
        shape = self._logits(self.tokenize("a", ["b", "c"])).shape
        if shape != (2, 1):
            raise Misconfigured(f"{graph}: two texts get scores of shape {shape}, not (2, 1): it is no cross-encoder")

    def tokenize(self, question: str, texts: Sequence[str]) -> list[Encoding]:
        """The question with each of the texts, cut to what the model reads."""
        return self._tokenizer.encode_batch([(question, text) for text in texts])

    def compute(self, pairs: Sequence[Encoding]) -> NDArray[np.float32]:
        """Scores of shape `(len(pairs),)`."""
        return self._logits(pairs)[:, 0]

    def _logits(self, pairs: Sequence[Encoding]) -> NDArray[np.float32]:
        shape = len(pairs), max(len(pair.ids) for pair in pairs)
        values = {name: np.zeros(shape, np.int64) for name in INPUTS}
        for row, pair in enumerate(pairs):
            length = len(pair.ids)
            values["input_ids"][row, :length] = pair.ids
            values["attention_mask"][row, :length] = 1
            values["token_type_ids"][row, :length] = pair.type_ids
        try:
            (result,) = self._session.run([LOGITS], {name: values[name] for name in self._inputs})
        except Exception as exc:  # onnxruntime's own have no common base
            raise Misconfigured(f"{self._graph} cannot be computed: {exc}") from exc
        return np.asarray(result, np.float32)
