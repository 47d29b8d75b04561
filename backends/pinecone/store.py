"""Chunks in an index of Pinecone's documents plane. The facts behind it are in README.md."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from itertools import chain
from typing import Any

import anyio
import numpy as np
from anyio import to_thread
from numpy.typing import NDArray
from pinecone import AsyncIndex, DenseVectorQuery, Document, SearchDocumentsResponse, TextQuery
from pinecone.errors import NotFoundError
from pinecone.models.vectors.responses import DescribeIndexStatsResponse

from context_chat_backend.contract import Finding, Level, Misconfigured, Unavailable
from context_chat_backend.toolkit.catalogue.store import (
    Candidates,
    ChunkRecord,
    DocumentKey,
    Extent,
    GroupKey,
    Match,
    VectorStore,
    WordQuery,
    chunk_id,
)
from context_chat_backend.toolkit.concurrency import for_each, gather

from .errors import pinecone_errors
from .index import ControlPlane, describe_fields, describe_place, require_fit
from .rate import RateLimiter, Sleep
from .records import (
    DOCUMENT,
    EMBEDDING,
    GROUP,
    HEADING,
    LANGUAGE,
    ORDINAL,
    REQUEST_RECORDS,
    TEXT,
    Record,
    batches,
    candidates_filter,
    components,
    question_words,
    to_match,
    to_record,
)
from .settings import PineconeSettings

UPLOADS_AT_ONCE = 4
CONNECTIONS = 100
"""So that uploads do not keep searches waiting for one; the SDK's default is 20 on a small machine."""
UPDATE_RECORDS = 100_000
"""The most records that one update by filter changes; documented for vectors, nothing else is said of documents."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 2.0
"""Seconds between looks whether a document is searchable. Each look costs as much as a search."""
TYPICAL_BYTES = 1100
"""Of a chunk as it is billed: text, id and metadata, without its vector."""
MANY_NAMESPACES = 90
"""The free plan allows 100 in an index; an index does not tell its plan."""

_Filter = dict[str, Any]


class PineconeStore(VectorStore):
    """One namespace of an index. The control plane is asked only where no host is set, and by `check`."""

    chunks_per_put = 1000
    documents_per_call = 1000
    chunks_per_call = UPDATE_RECORDS
    # Pinecone refuses answers of more than 4 MB. Chunks have about 1,000 characters and
    # headings 300 at most, together 8 KB in the longest form of JSON.
    matches_per_search = 500

    def __init__(
        self,
        settings: PineconeSettings,
        *,
        clock: Callable[[], float] = anyio.current_time,
        sleep: Sleep = anyio.sleep,
    ) -> None:
        self.settle_seconds = settings.settle_seconds
        self._settings = settings
        self._sleep = sleep
        self._limiter = RateLimiter(settings.changes_per_second, clock=clock, sleep=sleep)
        self._control = ControlPlane(settings, sleep)
        self._resources = AsyncExitStack()
        self._index: AsyncIndex
        self._namespace: str
        self._dimension: int
        self._written: int | None = None
        """The log sequence number of the newest upload to the namespace; None where there was none, or without one."""

    async def __aexit__(self, *exc: object) -> None:
        await self._resources.aclose()

    @property
    def address(self) -> str:
        return self._settings.host or f"Pinecone index {self._settings.index}"

    async def prepare(self, namespace: str, dimension: int) -> None:
        self._namespace, self._dimension = namespace, dimension
        host = self._settings.host or (await self._control.find_or_create(dimension)).host
        self._index = await self._resources.enter_async_context(self._connect(host or ""))
        if self._settings.host is not None:
            await self._require_fit()

    def _connect(self, host: str) -> AsyncIndex:
        proxy = self._settings.proxy_url
        return AsyncIndex(
            host=host,
            api_key=self._settings.api_key.get_secret_value(),
            timeout=self._settings.http_timeout,
            proxy_url=proxy.get_secret_value() if proxy else None,
            connection_pool_maxsize=CONNECTIONS,
        )

    async def _require_fit(self) -> None:
        """Of an index whose schema nobody shows: its statistics, and whether it takes searches in both fields."""
        stats = await self._stats()
        if stats.dimension not in {None, 0, self._dimension}:
            raise Misconfigured(
                f"the index at PINECONE_HOST holds vectors of {stats.dimension} dimensions, the embedding model gives "
                f"{self._dimension}; name another index, or leave PINECONE_HOST empty, so that the gateway makes one"
            )
        await self._search(self._any_vector(), {GROUP: {"$in": ["0"]}}, limit=1, fields=[])
        await self._search(TextQuery(query="whale", fields=[TEXT]), {GROUP: {"$in": ["0"]}}, limit=1, fields=[])

    # ------------------------------------------------------------------ writing

    async def put(self, chunks: Sequence[ChunkRecord]) -> None:
        records = await to_thread.run_sync(lambda: list(map(to_record, chunks)))
        await for_each(self._upload, batches(records), at_once=UPLOADS_AT_ONCE)

    async def _upload(self, records: Sequence[Record]) -> None:
        with pinecone_errors("an upload"):
            answer = await self._index.documents.upsert(namespace=self._namespace, documents=records)
        if answer.upserted_count < len(records):
            raise Unavailable(f"Pinecone took {answer.upserted_count} of {len(records)} chunks")
        number = answer.response_info.lsn_committed if answer.response_info else None
        if number is not None:
            self._written = max(number, self._written or 0)

    async def regroup(self, documents: Sequence[Extent], group: GroupKey) -> bool:
        changed = 0
        for filter_ in _selections(documents):
            changed += await self._set_group(filter_, group)
        return changed >= sum(extent.chunks for extent in documents)

    async def _set_group(self, filter_: _Filter, group: GroupKey) -> int:
        """How many chunks there were to be changed; 0 where Pinecone could not count them in time."""
        await self._limiter.turn()
        with pinecone_errors("an update"):
            try:
                answer = await self._index.documents.update(
                    namespace=self._namespace, filter=filter_, set_fields={GROUP: group}
                )
            except NotFoundError:
                await self._require_unknown_namespace()
                return 0
        return answer.matched_records or 0

    async def remove(self, documents: Sequence[Extent]) -> None:
        ids = [chunk_id(extent.document, ordinal) for extent in documents for ordinal in range(extent.chunks)]
        for begin in range(0, len(ids), REQUEST_RECORDS):
            await self._delete(ids[begin : begin + REQUEST_RECORDS])

    async def _delete(self, ids: Sequence[str]) -> None:
        await self._limiter.turn()
        with pinecone_errors("a deletion"):
            try:
                await self._index.documents.delete(namespace=self._namespace, ids=ids)
            except NotFoundError:
                await self._require_unknown_namespace()

    # ------------------------------------------------------------------ searching

    async def nearest(self, embedding: NDArray[np.float32], candidates: Candidates, limit: int) -> Sequence[Match]:
        return await self._nearest(embedding, candidates_filter(candidates), limit)

    async def matching(self, query: WordQuery, candidates: Candidates, limit: int) -> Sequence[Match]:
        """Numbers and codes are looked for in all their spellings, which the search in texts does not know."""
        searches = [lambda: self._matching(question_words(query.text), candidates, limit)]
        if query.identifiers:
            filter_ = candidates_filter(candidates, query.identifiers)
            searches.insert(0, lambda: self._nearest(query.embedding, filter_, limit))
        found: dict[tuple[DocumentKey, int], Match] = {}
        for match in chain.from_iterable(await gather(*searches)):
            found.setdefault((match.document, match.ordinal), match)
        return list(found.values())[:limit]

    async def _nearest(self, embedding: NDArray[np.float32], filter_: _Filter, limit: int) -> Sequence[Match]:
        query = DenseVectorQuery(field=EMBEDDING, values=components(embedding))
        return [match for found in await self._found(query, filter_, limit) if (match := to_match(found, found.score))]

    async def _matching(self, words: str, candidates: Candidates, limit: int) -> Sequence[Match]:
        if not words:
            return ()
        query, filter_ = TextQuery(query=words, fields=[TEXT]), candidates_filter(candidates)
        return [match for found in await self._found(query, filter_, limit) if (match := to_match(found, None))]

    async def _found(self, query: DenseVectorQuery | TextQuery, filter_: _Filter, limit: int) -> Sequence[Document]:
        answer = await self._search(query, filter_, limit=limit, fields=[TEXT, HEADING, LANGUAGE])
        return () if answer is None else answer.matches

    async def _search(
        self, query: DenseVectorQuery | TextQuery, filter_: _Filter, *, limit: int, fields: Sequence[str]
    ) -> SearchDocumentsResponse | None:
        """None where nothing was ever written to the namespace."""
        with pinecone_errors("a search"):
            try:
                return await self._index.documents.search(
                    namespace=self._namespace, score_by=[query], top_k=limit, include_fields=fields, filter=filter_
                )
            except NotFoundError:
                await self._require_unknown_namespace()
                return None

    async def _require_unknown_namespace(self) -> None:
        """After a 404: return if only the namespace is missing. Without the index this raises a 404 as well."""
        stats = await self._stats()
        if self._namespace in stats.namespaces:
            raise Unavailable("Pinecone does not find a namespace that it lists")

    async def wait_until_searchable(self, document: Extent) -> None:
        newest = self._written
        pause = FIRST_PAUSE
        with anyio.move_on_after(self.settle_seconds):
            while not await self._is_searchable(document, newest):
                await self._sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _is_searchable(self, document: Extent, newest: int | None) -> bool:
        filter_: _Filter = {DOCUMENT: {"$in": [document.document]}}
        answer = await self._search(self._any_vector(), filter_, limit=1, fields=[])
        if answer is None:
            return False
        if newest is None or answer.response_info is None:
            return bool(answer.matches)  # written before a restart, or by a Pinecone that does not number
        return answer.response_info.is_reconciled(newest)

    async def holds(self, chunk: ChunkRecord) -> bool:
        """For one read unit, where a search of a large index costs many."""
        with pinecone_errors("a look-up"):
            try:
                answer = await self._index.documents.fetch(namespace=self._namespace, ids=[chunk.id], include_fields=[])
            except NotFoundError:
                await self._require_unknown_namespace()
                return False
        return chunk.id in answer.documents

    def _any_vector(self) -> DenseVectorQuery:
        return DenseVectorQuery(field=EMBEDDING, values=[1.0] + [0.0] * (self._dimension - 1))

    # ------------------------------------------------------------------ the index

    async def ping(self) -> None:
        await self._stats()

    async def chunk_count(self) -> int | None:
        namespace = (await self._stats()).namespaces.get(self._namespace)
        return 0 if namespace is None else namespace.vector_count

    async def _stats(self) -> DescribeIndexStatsResponse:
        with pinecone_errors("a look at the statistics of the index"):
            return await self._index.describe_index_stats()

    async def check(self) -> Sequence[Finding]:
        stats = await self._stats()
        own = stats.namespaces.get(self._namespace)
        others = len(stats.namespaces.keys() - {self._namespace})
        return [
            await self._index_finding(),
            _size_finding(own.vector_count if own else 0, self._dimension),
            _namespaces_finding(self._namespace, others),
        ]

    async def _index_finding(self) -> Finding:
        if self._settings.host is not None:
            return Finding(
                level=Level.OK,
                subject="index",
                text=f"{self._settings.host}, which takes searches; its schema is not looked at with PINECONE_HOST",
            )
        model = await self._control.find()
        if model is None:
            return Finding(
                level=Level.ERROR,
                subject="index",
                text=f"{self._settings.index} is gone",
                remedy="If it was removed in Pinecone's console, restart the gateway: it says what to do next.",
            )
        try:
            require_fit(model, self._dimension)
        except Misconfigured as error:
            return Finding(
                level=Level.ERROR, subject="index", text=str(error), remedy="Name another index in PINECONE_INDEX."
            )
        place = describe_place(model)
        text = f"{model.name} in {place}: {describe_fields(model)}; {model.status.state}"
        wanted = f"{self._settings.cloud} {self._settings.region}"
        if self._settings.region is not None and place != wanted:
            remedy = (
                "An index cannot be moved. Name another one in PINECONE_INDEX to have it made there, or correct both."
            )
            return Finding(
                level=Level.WARNING, subject="index", text=f"{text}. The settings say {wanted}", remedy=remedy
            )
        return Finding(level=Level.OK, subject="index", text=text)


def _selections(documents: Sequence[Extent]) -> list[_Filter]:
    """Filters that together select all chunks of these documents, each few enough for one update."""
    if sum(extent.chunks for extent in documents) <= UPDATE_RECORDS:
        return [{DOCUMENT: {"$in": [extent.document for extent in documents]}}]
    return [
        {DOCUMENT: {"$in": [extent.document]}, ORDINAL: {"$gte": begin, "$lt": begin + UPDATE_RECORDS}}
        for extent in documents
        for begin in range(0, extent.chunks, UPDATE_RECORDS)
    ]


def _size_finding(chunks: int, dimension: int) -> Finding:
    gigabytes = chunks * (4 * dimension + TYPICAL_BYTES) / 10**9
    units = 2 * max(gigabytes, 0.25)
    text = f"{chunks:,} chunks, about {gigabytes:.1f} GB; a question costs about {units:.1f} read units"
    return Finding(level=Level.OK, subject="size", text=text)


def _namespaces_finding(own: str, others: int) -> Finding:
    if others < MANY_NAMESPACES:
        return Finding(level=Level.OK, subject="namespace", text=f"{own}; {others} others in the index")
    return Finding(
        level=Level.WARNING,
        subject="namespaces",
        text=f"{others} besides {own}; Pinecone's free plan allows 100 in an index",
        remedy="Remove those of lost catalogues: docs/backends/pinecone.md says how.",
    )
