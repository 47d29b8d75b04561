"""What has to be known of an encoder that runs in process."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from tokenizers import Tokenizer

from context_chat_backend.contract import Misconfigured


class Pooling(Enum):
    """How the vectors of tokens become that of their text. A graph that gives vectors of texts needs none."""

    MEAN = "mean"
    CLS = "cls"
    MAX = "max"
    LAST = "lasttoken"


@dataclass(frozen=True, slots=True)
class LocalModel:
    """An encoder as an ONNX graph with its tokenizer.

    The graph has the inputs `input_ids`, `attention_mask` and perhaps `token_type_ids`, int64 of shape (batch,
    sequence), and one of the outputs `sentence_embedding` of shape (batch, dimension), `last_hidden_state` and
    `token_embeddings` of shape (batch, sequence, dimension).
    """

    name: str
    """Names the vectors: models whose vectors differ, be it by a prefix, have different ones."""
    graph: Path
    weights: Path
    """The folder of the files that the graph refers to."""
    tokenizer: Callable[[], Tokenizer]
    """Makes the tokenizer, which neither cuts nor pads."""
    max_tokens: int
    """The rest of a text is not read. Special tokens and prefix count."""
    pooling: Pooling = Pooling.MEAN
    query_prefix: str = ""
    passage_prefix: str = ""
    digests: Mapping[Path, str] = field(default_factory=dict)
    """Files that must have these SHA-256 digests."""
    remedy: str = ""
    """What to do if one has not, or is missing."""

    def check(self) -> None:
        """Raise `Misconfigured` unless the files are there and have their digests."""
        for path, digest in self.digests.items():
            check_sha256(path, digest, self.remedy)


def check_sha256(path: Path, expected: str, remedy: str) -> None:
    """Raise `Misconfigured` unless the file has this digest."""
    try:
        found = sha256(path)
    except OSError as exc:
        raise Misconfigured(f"The local embedding model cannot be read ({exc}): {remedy}") from exc
    if found != expected:
        raise Misconfigured(f"{path} is not the published file (sha256 {found}): {remedy}")


def sha256(path: Path) -> str:
    """The digest of a file's content, in hexadecimal digits. Raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def whole(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer, which from now on neither cuts nor pads."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
