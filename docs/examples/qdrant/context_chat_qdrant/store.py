"""Chunks in Qdrant: a collection per namespace, a point per chunk.

A collection and not a field in a common one: vectors have the dimension of this gateway's model, and no filter can be
forgotten. A server holds a few gateways, not the thousands of tenants for which Qdrant advises a field.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from json import JSONDecodeError
from types import TracebackType
from typing import Any, Self
from uuid import UUID, uuid5

import numpy as np
from anyio import to_thread
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from context_chat_backend.contract import Busy, DriverError, Finding, Level, Misconfigured, Unavailable
from context_chat_backend.toolkit.catalogue import (
    Candidates,
    ChunkRecord,
    DocumentKey,
    Extent,
    GroupKey,
    Match,
    VectorStore,
    WordQuery,
)
from context_chat_backend.toolkit.indexing.words.languages import UNKNOWN
from context_chat_backend.toolkit.indexing.words.terms import Weights, chunk_words

from .settings import QdrantSettings

ACL, DOC, ORD, HEAD, TEXT, LANG = "acl", "doc", "ord", "head", "text", "lang"
"""Fields of a point's payload."""
MEANING, WORDS = "meaning", "words"
"""Vectors of a point: the embedding, and the weights of its terms."""
PAGE = 256
"""Points that are brought up to date at once."""


class QdrantStore(VectorStore):
    """Every write is waited for, so that the next search sees it."""

    chunks_per_call = 20_000  # so that Qdrant changes them well within the time limit of a request

    def __init__(self, settings: QdrantSettings) -> None:
        self._settings = settings
        self._client: AsyncQdrantClient
        self._collection: str

    async def __aenter__(self) -> Self:
        self._client = _make_client(self._settings)  # here, because the local mode opens its files at once
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._client.close()

    @property
    def address(self) -> str:
        return self._settings.url

    async def prepare(self, namespace: str, dimension: int) -> None:
        self._collection = namespace
        with qdrant_errors():
            if not await self._client.collection_exists(namespace):
                await self._client.create_collection(
                    namespace,
                    vectors_config={MEANING: models.VectorParams(size=dimension, distance=models.Distance.COSINE)},
                    sparse_vectors_config={WORDS: models.SparseVectorParams()},
                )
            if self._settings.is_server:  # the local mode has no indexes and warns
                for field in (ACL, DOC):
                    await self._client.create_payload_index(namespace, field, models.PayloadSchemaType.KEYWORD)
            params = (await self._client.get_collection(namespace)).config.params
            if not isinstance(params.vectors, dict) or params.vectors[MEANING].size != dimension:
                raise Misconfigured(f"the collection {namespace} is not for vectors of dimension {dimension}")
            if (params.sparse_vectors or {})[WORDS].modifier == models.Modifier.IDF:
                await self._bring_up_to_date()

    async def _bring_up_to_date(self) -> None:
        """Earlier versions stored words of their own and had Qdrant weigh how rare they are. The change of the modifier
        comes last: until then all of this is done again."""
        page: models.ExtendedPointId | None = None
        while True:
            records, page = await self._client.scroll(self._collection, limit=PAGE, offset=page)
            points = await to_thread.run_sync(lambda found: list(map(_with_words, found)), records)
            if points:
                await self._client.update_vectors(self._collection, points, wait=True)
            if page is None:
                break
        plain = {WORDS: models.SparseVectorParams(modifier=models.Modifier.NONE)}
        await self._client.update_collection(self._collection, sparse_vectors_config=plain)

    async def put(self, chunks: Sequence[ChunkRecord]) -> None:
        with qdrant_errors():
            await self._client.upsert(self._collection, [_point(chunk) for chunk in chunks], wait=True)

    async def regroup(self, documents: Sequence[Extent], group: GroupKey) -> bool:
        with qdrant_errors():
            await self._client.set_payload(self._collection, {ACL: group}, _points_of(documents), wait=True)
        return True

    async def remove(self, documents: Sequence[Extent]) -> None:
        with qdrant_errors():
            await self._client.delete(self._collection, _points_of(documents), wait=True)

    async def nearest(self, embedding: NDArray[np.float32], candidates: Candidates, limit: int) -> Sequence[Match]:
        found = await self._search(MEANING, embedding.tolist(), candidates, limit)
        return [_match(payload, similarity=point.score) for point, payload in found]

    async def matching(self, query: WordQuery, candidates: Candidates, limit: int) -> Sequence[Match]:
        if not query.weights:
            return ()
        found = await self._search(WORDS, _sparse(query.weights), candidates, limit, with_vectors=[MEANING])
        return [_match(payload, similarity=_cosine(point, query.embedding)) for point, payload in found]

    async def _search(
        self,
        vector: str,
        query: list[float] | models.SparseVector,
        candidates: Candidates,
        limit: int,
        with_vectors: list[str] | bool = False,
    ) -> list[tuple[models.ScoredPoint, Mapping[str, Any]]]:
        """Points with their payloads."""
        reach = _within(candidates)
        with qdrant_errors():
            found = await self._client.query_points(
                self._collection, query, using=vector, query_filter=reach, limit=limit, with_vectors=with_vectors
            )
        return [(point, point.payload) for point in found.points if point.payload and DOC in point.payload]

    async def ping(self) -> None:
        with qdrant_errors():
            exists = await self._client.collection_exists(self._collection)
        if not exists:
            raise Misconfigured(f"{self.address} has lost the collection {self._collection}")

    async def chunk_count(self) -> int:
        with qdrant_errors():
            return (await self._client.count(self._collection, exact=False)).count

    async def check(self) -> Sequence[Finding]:
        if self._settings.is_server:
            return [Finding(level=Level.OK, subject="qdrant", text=f"{self.address}, collection {self._collection}")]
        text = "the local mode compares a question with every chunk, in the process of the gateway"
        return [Finding(level=Level.WARNING, subject="qdrant", text=text, remedy="set QDRANT_URL to a server")]


def _make_client(settings: QdrantSettings) -> AsyncQdrantClient:
    if settings.is_server:
        # as a header: `api_key=` warns of http://, which is fine between two containers
        headers = {"api-key": settings.api_key.get_secret_value()} if settings.api_key is not None else None
        return AsyncQdrantClient(url=settings.url, headers=headers, timeout=settings.timeout, check_compatibility=False)
    try:
        return AsyncQdrantClient(path=settings.url)
    except (OSError, RuntimeError) as error:
        raise Misconfigured(f"QDRANT_URL: the folder cannot be used: {error}") from error


@contextmanager
def qdrant_errors() -> Iterator[None]:
    """Turn errors of qdrant-client into `DriverError`s. Its messages quote bodies, and so text of documents."""
    try:
        yield
    except ResourceExhaustedResponse as error:
        raise Busy("Qdrant is busy", retry_after=error.retry_after_s) from None
    except UnexpectedResponse as error:
        raise _by_status(error.status_code or 0) from None
    except ResponseHandlingException as error:
        raise Unavailable(f"Qdrant does not answer: {type(error.source).__name__}") from None
    except (QdrantException, JSONDecodeError, UnicodeDecodeError):  # e.g. the page of a proxy
        raise Unavailable("Qdrant gave an answer that makes no sense") from None


def _by_status(status: int) -> DriverError:
    default = Unavailable if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Misconfigured
    return {429: Busy, 408: Unavailable, 409: Unavailable}.get(status, default)(f"Qdrant answered {status}")


def _point(chunk: ChunkRecord) -> models.PointStruct:
    return models.PointStruct(
        id=str(uuid5(UUID(chunk.document), str(chunk.ordinal))),  # always the same, so that a repetition replaces
        vector={MEANING: chunk.embedding.tolist(), WORDS: _sparse(chunk.words.weights)},
        payload={
            ACL: chunk.group,
            DOC: chunk.document,
            ORD: chunk.ordinal,
            HEAD: chunk.heading,
            TEXT: chunk.text,
            LANG: chunk.words.language,
        },
    )


def _match(of: Mapping[str, Any], similarity: float) -> Match:
    return Match(
        document=DocumentKey(of[DOC]),
        ordinal=of[ORD],
        heading=of.get(HEAD, ""),  # points that an earlier version wrote have neither heading nor language
        text=of[TEXT],
        language=of.get(LANG, UNKNOWN),
        similarity=similarity,
    )


def _cosine(point: models.ScoredPoint, embedding: NDArray[np.float32]) -> float:
    vectors = point.vector if isinstance(point.vector, dict) else {}
    return float(np.asarray(vectors[MEANING], np.float32) @ embedding)  # Qdrant keeps unit vectors


def _sparse(weights: Weights) -> models.SparseVector:
    return models.SparseVector(indices=list(weights), values=list(weights.values()))


def _with_words(record: models.Record) -> models.PointVectors:
    of = record.payload or {}
    words = chunk_words("", of.get(HEAD, ""), of.get(TEXT, ""))
    return models.PointVectors(id=record.id, vector={WORDS: _sparse(words.weights)})


def _points_of(documents: Sequence[Extent]) -> models.Filter:
    return models.Filter(must=_one_of(DOC, [extent.document for extent in documents]))


def _within(candidates: Candidates) -> models.Filter:
    # both always: one of no values matches nothing, but an empty `should` matches everything
    return models.Filter(should=[_one_of(ACL, candidates.groups), _one_of(DOC, candidates.documents)])


def _one_of(field: str, values: Sequence[str]) -> models.FieldCondition:
    return models.FieldCondition(key=field, match=models.MatchAny(any=list(values)))
