"""Any server with OpenAI's embeddings endpoint: https://platform.openai.com/docs/api-reference/embeddings"""

import logging
from collections.abc import Sequence
from typing import Any, Self

import httpx
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from context_chat_backend.contract import Misconfigured, Rejected, Unavailable
from context_chat_backend.toolkit.concurrency import for_each
from context_chat_backend.toolkit.http import json_model, limited_request, translate_errors

from .settings import EmbedSettings

CONCURRENCY = 2
"""Requests at a time for one call of `embed`: the server computes one while the next is on its way."""

CONNECT_TIMEOUT = 10.0
"""Seconds; a server that is up accepts at once, however long it then computes."""

VECTOR_BYTES = 2**20
"""The largest answer per vector. As JSON 8,192 numbers are 400 KB in the worst case."""

PROBE = "probe"
"""A text that every model accepts."""

SHORTEST = 32
"""Characters of the shortest beginning that is tried: where that is refused the length is not to blame."""

log = logging.getLogger(__name__)


class OpenAIEmbedder:
    """Embeds through an OpenAI-compatible server. Usable while entered.

    Entering sends a request unless the dimension is set. Every method raises `Busy` and `Unavailable` when the server
    cannot answer now, `Misconfigured` for credentials, address, model or dimension, or when it refuses every text.

    If the server refuses a text but accepts others, the beginning of that text is embedded, as much as it takes.
    """

    max_tokens = None
    tokenizer = None

    def __init__(self, settings: EmbedSettings, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """`settings.base_url` must be set. `transport` replaces the network in tests."""
        self._settings = settings
        self._transport = transport
        self._dimension: int | None = None

    async def __aenter__(self) -> Self:
        self._http = await self._client().__aenter__()
        try:
            self._dimension = self._settings.dimension  # what the server said before may be what was wrong with it
            self._dimension = self._dimension or len(await self.embed_query(PROBE))
        except BaseException:  # whatever it was: what fails to enter is never exited
            await self._http.aclose()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._http.aclose()

    @property
    def model_name(self) -> str:
        """As configured; empty where the server chooses."""
        return self._settings.model_name or ""

    @property
    def dimension(self) -> int:
        """Length of the vectors; known once entered."""
        if self._dimension is None:
            raise RuntimeError("the dimension is known once the embedder is entered")
        return self._dimension

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors of shape `(len(texts), dimension)`, in the order of `texts`."""
        vectors = np.empty((len(texts), self.dimension), np.float32)
        size = self._settings.batch_size

        async def embed(start: int) -> None:
            vectors[start : start + size] = await self._embed_batch(texts[start : start + size])

        await for_each(embed, range(0, len(texts), size), at_once=CONCURRENCY)
        return vectors

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        """The unit vector, of shape `(dimension,)`, of a text that a user waits for."""
        vector: NDArray[np.float32]
        try:
            (vector,) = await self._request([text])
        except Rejected:
            await self._neutral()
            (vector,) = await self._beginning(text)
        return vector

    async def _embed_batch(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeds the halves where the server refuses the whole, until the refused text is found."""
        try:
            return await self._request(texts)
        except Rejected:
            if len(texts) == 1:
                return await self._embed_refused(texts[0])
        middle = len(texts) // 2
        return np.concatenate([await self._embed_batch(texts[:middle]), await self._embed_batch(texts[middle:])])

    async def _embed_refused(self, text: str) -> NDArray[np.float32]:
        """Of the text's beginning, else of a text that says nothing: it is still found by its words, and no other text
        of its source is lost."""
        neutral = await self._neutral()
        try:
            return await self._beginning(text)
        except Rejected as exc:
            log.warning("a text of %d characters can be found by its words only: %s", len(text), exc)
            return neutral

    async def _neutral(self) -> NDArray[np.float32]:
        try:
            return await self._request([PROBE])
        except Rejected as exc:
            raise Misconfigured(f"{exc} even for a single word: check CC_EM_MODEL_NAME") from None

    async def _beginning(self, text: str) -> NDArray[np.float32]:
        """Of half of the text, a quarter and so on, until the server takes it. Raises `Rejected` if it takes none."""
        length = max(SHORTEST, len(text) // 2)
        while True:
            try:
                vectors = await self._request([text[:length]])
            except Rejected:
                if length == SHORTEST:
                    raise
                length = max(SHORTEST, length // 2)
            else:
                log.info("of a text of %d characters the first %d were embedded", len(text), length)
                return vectors

    async def _request(self, texts: Sequence[str]) -> NDArray[np.float32]:
        body: dict[str, Any] = {"input": list(texts), "encoding_format": "float"}
        if self._settings.model_name:
            body["model"] = self._settings.model_name
        with translate_errors(rejected={400, 413, 422}):
            limit = VECTOR_BYTES * len(texts)
            response = await limited_request(self._http, "POST", "embeddings", json=body, limit=limit)
            response.raise_for_status()
        return unit(self._checked(json_model(response, EmbeddingList), len(texts)))

    def _checked(self, reply: "EmbeddingList", count: int) -> NDArray[np.float64]:
        items = sorted(reply.data, key=lambda item: item.index)
        if [item.index for item in items] != list(range(count)):
            raise Unavailable(f"The embedding server answered with other vectors than the {count} asked for")
        dimension = self._dimension or len(items[0].embedding)
        if any(len(item.embedding) != dimension for item in items):
            lengths = sorted({len(item.embedding) for item in items})
            raise Misconfigured(f"The embedding server gives vectors of length {lengths}, expected {dimension}")
        return np.array([item.embedding for item in items], np.float64)

    def _client(self) -> httpx.AsyncClient:
        settings = self._settings
        headers: dict[str, str] = {}
        auth: httpx.Auth | None = None
        if settings.api_key is not None:
            headers["Authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
        elif settings.username is not None and settings.password is not None:
            auth = httpx.BasicAuth(settings.username, settings.password.get_secret_value())
        return httpx.AsyncClient(
            base_url=settings.base_url or "",
            headers=headers,
            auth=auth,
            timeout=httpx.Timeout(settings.timeout, connect=min(CONNECT_TIMEOUT, settings.timeout)),
            transport=self._transport,
        )


class Embedding(BaseModel):
    """One item of the answer."""

    index: int
    embedding: list[float]


class EmbeddingList(BaseModel):
    """The answer, as far as it is used."""

    data: list[Embedding]


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    """Each row divided by its length. Raises `Unavailable` where that is zero, infinite or not a number."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise Unavailable("The embedding server answered with a vector that has no direction")
    return np.asarray(vectors / lengths, np.float32)
