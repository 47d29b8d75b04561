"""Encoders in process, by onnxruntime and tokenizers, without torch."""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
import onnxruntime
from anyio import CapacityLimiter, to_thread
from numpy.typing import NDArray
from tokenizers import Tokenizer

from context_chat_backend.contract import Misconfigured

from ..priority import EMBEDDING_NICENESS, step_back
from .model import LocalModel, Pooling
from .shipped import minilm

T = TypeVar("T")

WORD_CHARS = 100 + 1
"""Characters of a text that are tokenized, per token that the model reads: tokenizing holds the GIL, and 5 MB would
stop the event loop for seconds.

The vector of a longer text is the same as long as the tokens that the model reads are in there. They are where words
have up to 100 characters: each makes at least one token, a longer one makes just one in word-piece models, [UNK], and
normalization looks at no more than a word. Only if a text begins with longer words, or long gaps, is less of it read
than could be."""

BATCH_TOKENS = 1024
"""Padded tokens that are computed at once: larger batches take more memory and are no faster on a CPU."""

SENTENCES = "sentence_embedding"
TOKENS = ("last_hidden_state", "token_embeddings")
"""Outputs of graphs: a vector of each text, or one of each token."""
INPUTS = {"input_ids", "attention_mask", "token_type_ids"}


class LocalEmbedder:
    """Embeds in worker threads; needs no network. Usable while entered, which takes a second or two.

    Texts of an `embed` call are computed in batches of similar length, one batch at a time whoever asks, so that
    documents take turns; `embed_query` does not queue behind them, and on Linux it is computed first. Cancellation acts
    between batches.

    Entering raises `Misconfigured` when the model's files are missing, are not the published ones or cannot be used.
    """

    _for_documents: "Encoder"
    _for_queries: "Encoder"

    def __init__(self, model: Callable[[], LocalModel] = minilm, *, threads: int | None = None) -> None:
        """`model` describes it, called once entered; `threads` defaults to the cores that this process may use."""
        self._describe = model
        self._threads = threads or len(os.sched_getaffinity(0))
        self._queries = CapacityLimiter(self._threads)
        self._background: ThreadPoolExecutor

    async def __aenter__(self) -> Self:
        model = await to_thread.run_sync(self._checked)
        tokenizer = await to_thread.run_sync(model.tokenizer)  # one for both: that of e5 takes 260 MB
        # An encoder of their own: the threads that compute one have the priority of the thread that made it. What it
        # costs is in docs/operations.md: little, as weights outside of the graph are mapped once.
        self._background = ThreadPoolExecutor(1, "documents", initializer=step_back, initargs=(EMBEDDING_NICENESS,))
        make = partial(Encoder, model, tokenizer, threads=self._threads)
        self._for_documents = await self._in_background(make)
        self._for_queries = await to_thread.run_sync(make)
        self._model = model
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._background.shutdown(wait=False, cancel_futures=True)
        del self._for_documents, self._for_queries

    @property
    def model_name(self) -> str:
        """Of the model, known once entered."""
        return self._model.name

    @property
    def dimension(self) -> int:
        """Length of the vectors, known once entered."""
        return self._for_documents.dimension

    @property
    def max_tokens(self) -> int:
        """Of a document's text, known once entered."""
        return self._model.max_tokens - self._for_documents.tokens_around

    @property
    def tokenizer(self) -> Tokenizer:
        """Counts tokens as the model does: neither cuts nor pads. Shared, so never change its settings."""
        return self._for_documents.tokenizer

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors of shape `(len(texts), dimension)`, in the order of `texts`."""
        model = self._for_documents
        tokens = await self._in_background(partial(model.tokenize, texts))
        vectors = np.empty((len(texts), self.dimension), np.float32)
        for batch in batches([len(ids) for ids in tokens]):
            vectors[batch] = await self._in_background(partial(model.encode, [tokens[index] for index in batch]))
        return vectors

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        """The unit vector, of shape `(dimension,)`, of a text that a user waits for."""
        return await to_thread.run_sync(self._for_queries.encode_query, text, limiter=self._queries)

    async def _in_background(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._background, work)

    def _checked(self) -> LocalModel:
        model = self._describe()
        model.check()
        return model


class Encoder:
    """A model that is loaded: blocking, safe to use from several threads at once."""

    def __init__(self, model: LocalModel, tokenizer: Tokenizer, *, threads: int) -> None:
        """Raises `Misconfigured` where the graph cannot be used."""
        self.tokenizer = tokenizer
        self._model = model
        self._session = open_session(model.graph, model.weights, threads=threads)
        self._inputs = {value.name for value in self._session.get_inputs()}
        self._output = self._known_output()
        self.dimension = len(self.encode_query(""))
        self.tokens_around = len(tokenizer.encode(model.passage_prefix).ids)
        """Read with each document's text: the prefix and the special ones."""

    def tokenize(self, passages: Sequence[str]) -> list[NDArray[np.int64]]:
        """Token ids of each text of a document with its prefix, at most as many as the model reads."""
        return [self._token_ids(self._model.passage_prefix + text) for text in passages]

    def encode(self, tokens: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Unit vectors of shape `(len(tokens), dimension)`."""
        shape = len(tokens), max(map(len, tokens))
        values = {name: np.zeros(shape, np.int64) for name in INPUTS}
        for row, ids in enumerate(tokens):
            values["input_ids"][row, : len(ids)] = ids
            values["attention_mask"][row, : len(ids)] = 1
        (result,) = self._session.run([self._output], {name: values[name] for name in self._inputs})
        vectors = np.asarray(result, np.float32)
        if self._output != SENTENCES:
            vectors = pooled(vectors, values["attention_mask"], self._model.pooling)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    def encode_query(self, text: str) -> NDArray[np.float32]:
        """The unit vector of a question, of shape `(dimension,)`."""
        vector: NDArray[np.float32] = self.encode([self._token_ids(self._model.query_prefix + text)])[0]
        return vector

    def _token_ids(self, text: str) -> NDArray[np.int64]:
        most = self._model.max_tokens
        ids = self.tokenizer.encode(text[: most * WORD_CHARS]).ids
        if len(ids) > most:
            ids = [*ids[: most - 1], ids[-1]]  # the last one is special: [SEP], </s>
        return np.array(ids, np.int64)

    def _known_output(self) -> str:
        graph = self._model.graph
        if unknown := self._inputs - INPUTS:
            raise Misconfigured(f"{graph}: the input {', '.join(sorted(unknown))} is not known")
        outputs = [value.name for value in self._session.get_outputs()]
        for name in (SENTENCES, *TOKENS):
            if name in outputs:
                return name
        raise Misconfigured(f"{graph}: of the outputs {outputs} none is {SENTENCES} or {' or '.join(TOKENS)}")


def open_session(graph: Path, weights: Path, *, threads: int) -> onnxruntime.InferenceSession:
    """A graph, with the folder of the files that it refers to, loaded. Raises `Misconfigured`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # onnxruntime refuses weights outside of this folder, as links of some package managers would be.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(weights))
    # Plans memory for every shape ever seen: with texts of all lengths 100 MB more, and no faster.
    options.enable_mem_pattern = False
    # Waiting threads would burn the CPU time that the rest of the gateway needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(
            graph.read_bytes(), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as exc:  # onnxruntime's own have no common base
        raise Misconfigured(f"{graph} cannot be loaded: {exc}") from exc


def pooled(tokens: NDArray[np.float32], mask: NDArray[np.int64], pooling: Pooling) -> NDArray[np.float32]:
    """From vectors of tokens, of shape (batch, sequence, dimension), to those of texts, of any length."""
    match pooling:
        case Pooling.CLS:
            return np.asarray(tokens[:, 0])
        case Pooling.LAST:
            return np.asarray(tokens[np.arange(len(tokens)), mask.sum(axis=1) - 1])
        case Pooling.MEAN:  # the sum, which differs by a factor
            return np.asarray(np.einsum("bsd,bs->bd", tokens, mask.astype(np.float32)))
        case Pooling.MAX:
            return np.asarray(np.where(mask[:, :, np.newaxis] == 1, tokens, -np.inf).max(axis=1), np.float32)


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices into `lengths`, each once, longest first, in groups of at most `BATCH_TOKENS` when padded."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    start = 0
    while start < len(order):
        stop = start + max(1, BATCH_TOKENS // lengths[order[start]])
        yield order[start:stop]
        start = stop
