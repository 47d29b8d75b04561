"""Texts to vectors, by a model in process or by an OpenAI-compatible server."""

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from .settings import EmbedSettings

__all__ = ["EmbedSettings", "Embedder", "make_embedder"]


class Embedder(Protocol):
    """An async context manager, usable while entered; the constructor does no I/O.

    Vectors are float32 and of unit length, and a text has the same vector whatever it is embedded together with, up
    to rounding. Methods raise nothing but `DriverError`s.
    """

    @property
    def model_name(self) -> str:
        """Names the model, for the identity of what is stored: vectors of different models cannot be compared."""

    @property
    def dimension(self) -> int:
        """Length of the vectors; known once entered."""

    @property
    def max_tokens(self) -> int | None:
        """Longer texts are cut, special tokens included; None: not known."""

    @property
    def tokenizer(self) -> Tokenizer | None:
        """Counts tokens as the model does, known once entered; None: count characters. Never change its settings."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None: ...

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of shape `(len(texts), dimension)`, in the order of `texts`: each has one, whatever it says."""

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        """The vector, of shape `(dimension,)`, of a text that a user waits for: never queued behind `embed`. Raises
        `Rejected` where it can never be embedded."""


def make_embedder(settings: EmbedSettings) -> Embedder:
    """The embedder that the settings ask for: the server at `base_url` if set, else the model in process."""
    # Imported here so that a gateway with a remote model does not load onnxruntime.
    if settings.base_url is not None:
        from .openai import OpenAIEmbedder  # noqa: PLC0415

        return OpenAIEmbedder(settings)
    from .local import LocalEmbedder  # noqa: PLC0415

    return LocalEmbedder(threads=settings.threads)
