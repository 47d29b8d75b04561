"""Texts to vectors, by a model in process or by an OpenAI-compatible server."""

from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from context_chat_backend.contract import Misconfigured

from .settings import EmbedSettings

__all__ = ["EmbedSettings", "Embedder", "make_embedder", "make_former_embedder"]


class Embedder(Protocol):
    """An async context manager, usable while entered; the constructor does no I/O.

    Vectors are float32 and of unit length, and a text has the same vector whatever it is embedded together with, up
    to rounding. Methods raise nothing but `DriverError`s.
    """

    @property
    def model_name(self) -> str:
        """Names the model, for the identity of what is stored: vectors of different models, or of one with different
        prefixes, cannot be compared. Known once entered."""

    @property
    def dimension(self) -> int:
        """Length of the vectors; known once entered."""

    @property
    def max_tokens(self) -> int | None:
        """Longer texts of documents are cut; what the model adds to each does not count. Known once entered; None: not
        known."""

    @property
    def tokenizer(self) -> Tokenizer | None:
        """Counts tokens as the model does: neither cuts nor pads. Known once entered; None: count characters. Never
        change its settings."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None: ...

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of texts of documents, of shape `(len(texts), dimension)`, in the order of `texts`: each has one,
        whatever it says."""

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        """The vector, of shape `(dimension,)`, of a text that a user waits for: never queued behind `embed`. Raises
        `Rejected` where it can never be embedded."""


def make_embedder(settings: EmbedSettings) -> Embedder:
    """The embedder that the settings ask for: a server, the model in a folder, or one that is shipped."""
    # Imported here so that a gateway with a remote model does not load onnxruntime.
    if settings.base_url is not None:
        from .openai import OpenAIEmbedder  # noqa: PLC0415

        return OpenAIEmbedder(settings)
    from .folder import model_in  # noqa: PLC0415
    from .local import LocalEmbedder  # noqa: PLC0415
    from .shipped import SHIPPED  # noqa: PLC0415

    model = SHIPPED[settings.model] if settings.model_path is None else partial(model_in, settings.model_path)
    return LocalEmbedder(model, threads=settings.threads)


def make_former_embedder(settings: EmbedSettings, name: str) -> Embedder:
    """The embedder whose `model_name` this was: one that is shipped, or where the settings say that it is. Raises
    `Misconfigured` if that is nowhere."""
    from .shipped import SHIPPED  # noqa: PLC0415

    shipped = next((key for key in SHIPPED if key.casefold() == name.casefold()), None)
    base_url = settings.former_base_url or settings.base_url
    if shipped is not None:
        place: dict[str, object] = {"model": shipped, "base_url": None, "model_path": None}
    elif settings.former_model_path is not None:
        place = {"model_path": settings.former_model_path, "base_url": None}
    elif base_url is not None:
        place = {"model_name": name or None, "base_url": base_url, "model_path": None, "dimension": None}
    else:
        raise Misconfigured(
            f'it is not known where the model "{name}" is: set CC_EM_FORMER_MODEL_PATH or CC_EM_FORMER_BASE_URL'
        )
    return make_embedder(settings.model_copy(update=place))
