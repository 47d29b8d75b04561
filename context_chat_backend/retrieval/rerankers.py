"""What tells how well texts answer a question: a server as one of it, and what the gateway asks of any."""

from collections.abc import Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Protocol, Self

import httpx
from pydantic import AliasChoices, BaseModel, Field, FiniteFloat, NonNegativeInt, RootModel

from ..contract import Misconfigured, Unavailable
from ..toolkit.concurrency import gather
from ..toolkit.http import json_model, limited_request, translate_errors
from .settings import MOST_CANDIDATES, RerankApi, RerankSettings

ROUTE = "rerank"
CONNECT_SECONDS = 5.0
BATCH_SIZES: Mapping[RerankApi, int] = {"jina": MOST_CANDIDATES, "cohere": MOST_CANDIDATES, "tei": 32}
"""Texts of a request. TEI refuses more unless its admin allows them; some models of Jina compare the texts of a request
with each other, so there they stay together."""


class Reranker(Protocol):
    """An async context manager, usable while entered; the constructor does no I/O."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None: ...

    async def scores(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """One for each text, in their order: the higher the better. Raises `DriverError`s."""


def make_reranker(settings: RerankSettings) -> Reranker:
    """The one that the settings ask for. Raises `Misconfigured` where they ask for none."""
    if settings.base_url is not None:
        return HttpReranker(settings, settings.base_url)
    if settings.model_path is not None:
        from .cross_encoder import CrossEncoder  # noqa: PLC0415 - a gateway without it does not load onnxruntime

        return CrossEncoder(settings.model_path, threads=settings.threads)
    raise Misconfigured("CC_STAGES: rerank needs CC_RERANK_BASE_URL or CC_RERANK_MODEL_PATH")


class HttpReranker:
    """A server with the API of Jina, of Cohere (v2) or of Text Embeddings Inference.

    https://api.jina.ai/redoc, https://docs.cohere.com/reference/rerank,
    https://huggingface.github.io/text-embeddings-inference
    """

    def __init__(
        self, settings: RerankSettings, base_url: str, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`transport` replaces the network in tests."""
        self._api = settings.api
        self._model = settings.model
        self._batch_size = settings.batch_size or BATCH_SIZES[settings.api]
        key = settings.api_key
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers={"Authorization": f"Bearer {key.get_secret_value()}"} if key else {},
            timeout=httpx.Timeout(settings.timeout, connect=min(CONNECT_SECONDS, settings.timeout)),
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._http.aclose()

    async def scores(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        starts = range(0, len(texts), self._batch_size)
        batches = [texts[start : start + self._batch_size] for start in starts]
        found = await gather(*(partial(self._batch_scores, question, batch) for batch in batches))
        return [score for scores in found for score in scores]

    async def _batch_scores(self, question: str, texts: Sequence[str]) -> list[float]:
        with translate_errors():
            response = await limited_request(self._http, "POST", ROUTE, json=self._body(question, texts))
            response.raise_for_status()
        if self._api == "tei":
            ranks = json_model(response, RootModel[list[Rank]]).root
        else:
            ranks = json_model(response, Ranking).results
        return _in_order(ranks, len(texts))

    def _body(self, question: str, texts: Sequence[str]) -> dict[str, object]:
        if self._api == "tei":  # raw, as those from 0 to 1 are equal for all texts that fit well
            return {"query": question, "texts": texts, "truncate": True, "raw_scores": True}
        body: dict[str, object] = {"model": self._model, "query": question, "documents": texts, "top_n": len(texts)}
        return {**body, "return_documents": False} if self._api == "jina" else body


class Rank(BaseModel):
    """What an answer says of one text."""

    index: NonNegativeInt
    score: FiniteFloat = Field(validation_alias=AliasChoices("relevance_score", "score"))


class Ranking(BaseModel):
    """The answer of Jina and Cohere, as far as it is used."""

    results: list[Rank]


def _in_order(ranks: Sequence[Rank], count: int) -> list[float]:
    by_index = {rank.index: rank.score for rank in ranks}
    if len(ranks) != count or by_index.keys() != set(range(count)):
        raise Unavailable(f"the reranker answered with other texts than the {count} that it was sent")
    return [by_index[index] for index in range(count)]
