"""Chunks in Milvus: a collection per namespace, an entity per chunk.

A collection and not a partition key in a common one: vectors have the dimension of this gateway's model, and no filter
can be forgotten.
"""

import logging
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import anyio
import numpy as np
from anyio.lowlevel import checkpoint_if_cancelled
from numpy.typing import NDArray
from pymilvus import AsyncMilvusClient, DataType

from context_chat_backend.contract import Finding, Level, Misconfigured
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
from context_chat_backend.toolkit.indexing.words.terms import Weights

from .errors import milvus_errors
from .server import Server
from .settings import MilvusSettings

ID, ACL, DOC, ORD, HEAD, TEXT, LANG = "id", "acl", "doc", "ord", "head", "text", "lang"
MEANING, WORDS = "meaning", "words"
"""Fields with vectors: the embedding, and the weights of its terms."""
SHOWN = [DOC, ORD, HEAD, TEXT, LANG]
LONGEST = 65_535
"""Bytes of UTF-8 in a VARCHAR, https://milvus.io/docs/limitations.md. Chunks have 1000 characters, headings fewer."""
PAGE = 500
"""Chunks that are given another group at once: some megabytes with their vectors, of 64 that a request may have."""
STRONG = "Strong"
"""Waits for all that was written before, by whomever. "Session", which waits only for this client's own writes, misses
deletions: Milvus 2.3 does not say when they happened."""
NO_TERM = 0
"""Terms begin at 1. Stands in the vector of a chunk without words, since there may be none without an element."""

# it logs each failure with all that the server says, which may quote a document
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)


class MilvusStore(VectorStore):
    """A write has been carried out when it returns, and a search waits for what was written before it."""

    chunks_per_call = 5_000  # they may have to be read and written again
    matches_per_search = (
        4_000  # Milvus allows 16,384, but with texts and vectors that may be more than it sends at once
    )

    def __init__(self, settings: MilvusSettings) -> None:
        self._settings = settings
        self._client: AsyncMilvusClient
        self._collection: str
        self._server: Server
        self._has_words: bool

    async def __aenter__(self) -> Self:
        token = self._settings.token.get_secret_value() if self._settings.token is not None else ""
        self._client = AsyncMilvusClient(
            self._settings.url, token=token, db_name=self._settings.database, dedicated=True
        )
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._client.close()

    @property
    def address(self) -> str:
        url = self._settings.url.rstrip("/")
        return f"{url}/{self._settings.database}/{self._settings.collection_prefix}"

    # ------------------------------------------------------------------ the collection

    @property
    def searches_words(self) -> bool:
        return self._has_words

    async def prepare(self, namespace: str, dimension: int) -> None:
        self._collection = self._settings.collection_prefix + namespace.replace("-", "_")
        self._server = Server.of_version(await self._ask(self._client.get_server_version))
        if not await self._ask(self._client.has_collection, self._collection):
            schema = _schema(dimension, words=self._server.keeps_words)
            await self._ask(self._client.create_collection, self._collection, schema=schema)
        fields = await self._fields()
        if fields[MEANING]["params"]["dim"] != dimension:
            raise Misconfigured(f"the collection {self._collection} is not for vectors of dimension {dimension}")
        self._has_words = WORDS in fields
        await self._make_indexes()
        await self._ask(self._client.load_collection, self._collection)

    async def _fields(self) -> Mapping[str, Mapping[str, Any]]:
        description = await self._ask(self._client.describe_collection, self._collection)
        return {field["name"]: field for field in description["fields"]}

    async def _make_indexes(self) -> None:
        """Those that are missing: whoever made the collection may have been cut off."""
        kinds = {MEANING: ("AUTOINDEX", "COSINE"), WORDS: ("SPARSE_INVERTED_INDEX", "IP")}
        scalar = (self._server.scalar_index, "")
        fields = {MEANING, ACL, DOC, *([WORDS] if self._has_words else [])}
        for field in fields - await self._indexed():
            kind, metric = kinds.get(field, scalar)
            index = self._client.prepare_index_params()
            index.add_index(field, index_name=field, index_type=kind, metric_type=metric)
            try:
                await self._ask(self._client.create_index, self._collection, index)
            except Misconfigured:  # milvus-lite: it cannot be waited for, but is there
                if field not in await self._indexed():
                    raise

    async def _indexed(self) -> set[str]:
        return set(await self._ask(self._client.list_indexes, self._collection))

    # ------------------------------------------------------------------ writing

    async def put(self, chunks: Sequence[ChunkRecord]) -> None:
        await self._upsert([self._entity(chunk) for chunk in chunks])

    async def regroup(self, documents: Sequence[Extent], group: GroupKey) -> bool:
        """There is no update by a filter: page by page, those of another group are found and written again. Each is
        written as a whole or not at all, and who is cut off goes on with the others."""
        others = f"{_of(documents)} and {ACL} != {int(group)}"
        fields = [ID] if self._server.merges else ["*"]
        most = sum(extent.chunks for extent in documents)
        for _ in range(most // PAGE + 2):
            found = await self._query(others, fields, limit=PAGE)
            if not found:
                return True
            await self._upsert([{**entity, ACL: int(group)} for entity in found], merge=self._server.merges)
        return False

    async def remove(self, documents: Sequence[Extent]) -> None:
        await self._ask(self._client.delete, self._collection, filter=_of(documents))

    async def _upsert(self, entities: list[dict[str, Any]], *, merge: bool = False) -> None:
        await self._ask(self._client.upsert, self._collection, entities, **({"partial_update": True} if merge else {}))

    def _entity(self, chunk: ChunkRecord) -> dict[str, Any]:
        words = {WORDS: _sparse(chunk.words.weights) or {NO_TERM: 1.0}} if self._has_words else {}
        return {
            ID: chunk.id,  # always the same, so that a repetition replaces
            ACL: int(chunk.group),
            DOC: chunk.document,
            ORD: chunk.ordinal,
            HEAD: chunk.heading,
            TEXT: chunk.text,
            LANG: chunk.words.language,
            MEANING: chunk.embedding.tolist(),
            **words,
        }

    # ------------------------------------------------------------------ searching

    async def nearest(self, embedding: NDArray[np.float32], candidates: Candidates, limit: int) -> Sequence[Match]:
        found = await self._search(MEANING, embedding.tolist(), candidates, limit, SHOWN)
        return [_match(hit["entity"], similarity=hit["distance"]) for hit in found]

    async def matching(self, query: WordQuery, candidates: Candidates, limit: int) -> Sequence[Match]:
        if not query.weights or not self._has_words:
            return ()
        found = await self._search(WORDS, _sparse(query.weights), candidates, limit, [*SHOWN, MEANING])
        return [_match(hit["entity"], similarity=_cosine(hit["entity"], query.embedding)) for hit in found]

    async def _search(
        self, field: str, vector: list[float] | dict[int, float], candidates: Candidates, limit: int, fields: list[str]
    ) -> Sequence[Mapping[str, Any]]:
        found = await self._ask(
            self._client.search,
            self._collection,
            [vector],
            anns_field=field,
            filter=_within(candidates),
            limit=limit,
            output_fields=fields,
            consistency_level=STRONG,
        )
        hits: Sequence[Mapping[str, Any]] = found[0]
        return hits

    # ------------------------------------------------------------------ looking after it

    async def holds(self, chunk: ChunkRecord) -> bool:
        return bool(await self._query(f'{ID} == "{chunk.id}"', [ID], limit=1))

    async def ping(self) -> None:
        if not await self._ask(self._client.has_collection, self._collection):
            raise Misconfigured(f"{self._settings.url} has lost the collection {self._collection}")

    async def chunk_count(self) -> int:
        (row,) = await self._query("", ["count(*)"])
        return int(row["count(*)"])

    async def check(self) -> Sequence[Finding]:
        text = f"{self._settings.url}, collection {self._collection}, version {self._server.version}"
        if self._has_words:
            return [Finding(level=Level.OK, subject="milvus", text=text)]
        return [Finding(level=Level.WARNING, subject="milvus", text=f"{text}: {WORDLESS}", remedy=self._server.remedy)]

    async def _query(self, condition: str, fields: list[str], **limit: int) -> list[dict[str, Any]]:
        """As of now: what is decided by it has to be true."""
        found = await self._ask(
            self._client.query,
            self._collection,
            filter=condition,
            output_fields=fields,
            consistency_level=STRONG,
            **limit,
        )
        return list(found)

    async def _ask(self, method: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        """Once: the client would try 75 times, and the gateway repeats what may pass."""
        with milvus_errors(), anyio.fail_after(self._settings.timeout):
            try:
                return await method(*args, **kwargs, retry_times=0)
            except CancelledError:  # gRPC raises one of its own, which no cancel scope takes for its own
                await checkpoint_if_cancelled()
                raise


WORDLESS = "chunks are found by meaning only, and their words are counted in what was found"


def _schema(dimension: int, *, words: bool) -> Any:
    schema = AsyncMilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(ID, DataType.VARCHAR, is_primary=True, max_length=38)
    schema.add_field(ACL, DataType.INT64)
    schema.add_field(DOC, DataType.VARCHAR, max_length=32)
    schema.add_field(ORD, DataType.INT64)
    schema.add_field(HEAD, DataType.VARCHAR, max_length=LONGEST)
    schema.add_field(TEXT, DataType.VARCHAR, max_length=LONGEST)
    schema.add_field(LANG, DataType.VARCHAR, max_length=8)
    schema.add_field(MEANING, DataType.FLOAT_VECTOR, dim=dimension)
    if words:
        schema.add_field(WORDS, DataType.SPARSE_FLOAT_VECTOR)
    return schema


def _match(of: Mapping[str, Any], similarity: float) -> Match:
    return Match(
        document=DocumentKey(of[DOC]),
        ordinal=of[ORD],
        heading=of[HEAD],
        text=of[TEXT],
        language=of[LANG],
        similarity=similarity,
    )


def _cosine(of: Mapping[str, Any], embedding: NDArray[np.float32]) -> float:
    return float(np.asarray(of[MEANING], np.float32) @ embedding)  # both are unit vectors


def _sparse(weights: Weights) -> dict[int, float]:
    return {term: float(weight) for term, weight in weights.items()}  # pymilvus refuses whole numbers


def _of(documents: Sequence[Extent]) -> str:
    return _documents([extent.document for extent in documents])


def _within(candidates: Candidates) -> str:
    groups = [f"{ACL} in [{','.join(str(int(group)) for group in candidates.groups)}]"] if candidates.groups else []
    documents = [_documents(candidates.documents)] if candidates.documents else []
    return " or ".join([*groups, *documents])  # never empty: that would match everything


def _documents(keys: Sequence[DocumentKey]) -> str:
    return f"{DOC} in [{','.join(map(_quoted, keys))}]"


def _quoted(key: DocumentKey) -> str:
    if not key.isalnum():
        raise ValueError("a document key consists of hex digits")
    return f'"{key}"'
