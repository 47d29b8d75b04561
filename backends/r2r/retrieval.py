"""Searches: what is asked of R2R, and which of its hits may leave the driver."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from context_chat_backend.contract import Answer, Hit, ProviderScope, Query, SourceScope, Unavailable
from context_chat_backend.toolkit.collections import CollectionMap

from .client import R2RClient
from .library import Library
from .names import Names
from .settings import R2RSettings
from .wire import Chunk, Metadata, storable

FULL_TEXT_LIMIT = 200
"""R2R fails where `limit` is above this."""
RRF_K = 50
QUESTION_CHARACTERS = 16_000
"""A question is cut to this. R2R counts its tokens in its event loop, for words without an end in quadratic time: 0.6 s
for so many characters, over a minute for 170,000, and everybody waits (R2R 3.6.6, tiktoken 0.8)."""
SHORT_ID = 7
"""R2R has models cite a chunk by the first characters of its id in brackets."""
IN_BRACKETS = re.compile(r"\s?\[([0-9a-f]{7}(?:\s*,\s*[0-9a-f]{7})*)\]")

Filter = Mapping[str, Any]
Found = tuple[Chunk, Metadata]


@dataclass(frozen=True, slots=True)
class SearchFilter:
    """What a search may find, in R2R's ids."""

    user: UUID
    """The collection of the user."""
    providers: frozenset[UUID] | None = None
    """Collections of providers; None for any."""
    documents: frozenset[UUID] | None = None

    @property
    def terms(self) -> Filter:
        """Always in `$and`: at the top R2R replaces a filter of collections by one of its own for ordinary accounts."""
        terms: list[Filter] = [{"collection_ids": {"$overlap": [str(self.user)]}}]
        if self.providers is not None:
            terms.append({"collection_ids": {"$overlap": _texts(self.providers)}})
        if self.documents is not None:
            terms.append({"document_id": {"$in": _texts(self.documents)}})
        return {"$and": terms}

    def admits(self, document_id: UUID, collection_ids: Sequence[UUID]) -> bool:
        """Whether a document in these collections may be found."""
        return (
            self.user in collection_ids
            and (self.providers is None or not self.providers.isdisjoint(collection_ids))
            and (self.documents is None or document_id in self.documents)
        )


class Retrieval:
    """Searches for users. What R2R returns is checked again before it leaves the driver."""

    def __init__(
        self,
        client: R2RClient,
        names: Names,
        collections: CollectionMap,
        library: Library,
        settings: R2RSettings,
    ) -> None:
        self._client = client
        self._names = names
        self._collections = collections
        self._library = library
        self._settings = settings

    async def search(self, query: Query) -> list[Hit]:
        """The best chunks that a user may read."""
        search_filter = await self._filter(query)
        found = [] if search_filter is None else await self._find(query, search_filter)
        return [_as_hit(chunk, metadata) for chunk, metadata in found]

    async def answer(self, query: Query) -> Answer:
        """Searches first, and has R2R answer from those hits only: it asks its model even when there are none."""
        search_filter = await self._filter(query)
        found = [] if search_filter is None else await self._find(query, search_filter)
        if search_filter is None or not found:
            return Answer(text="", source_ids=())
        only_found = replace(search_filter, documents=frozenset(chunk.document_id for chunk, _ in found))
        settings = search_settings(only_found, query.limit, self._settings, graphs=self._settings.graph_search)
        generated = await self._client.generate(_question(query), settings)
        chunks = generated.search_results.chunk_search_results
        used = self._own(chunks, only_found)
        if not used or len(used) < len(chunks):
            raise Unavailable("what may be read changed while R2R wrote the answer")
        source_ids = dict.fromkeys(metadata.source_id for _, metadata in used)
        return Answer(text=without_citations(generated.generated_answer, chunks), source_ids=tuple(source_ids))

    async def _find(self, query: Query, search_filter: SearchFilter) -> list[Found]:
        text = _question(query)
        if not text.strip():
            return []
        chunks = await self._client.search(text, search_settings(search_filter, query.limit, self._settings))
        found = await self._readable(self._own(chunks, search_filter), search_filter)
        return newest(found)[: query.limit]

    async def _readable(self, found: list[Found], search_filter: SearchFilter) -> list[Found]:
        """Without chunks whose document says otherwise. R2R changes a document and its chunks one after the other;
        where it fails in between, the document has the fewer readers."""
        documents = await self._library.documents(list({chunk.document_id for chunk, _ in found}))
        allowed = {each.id for each in documents if search_filter.admits(each.id, each.collection_ids)}
        return [(chunk, metadata) for chunk, metadata in found if chunk.document_id in allowed]

    def _own(self, chunks: Iterable[Chunk], search_filter: SearchFilter) -> list[Found]:
        """Chunks of this installation's documents that pass the filter, whatever R2R made of it."""
        return [
            (chunk, metadata)
            for chunk in chunks
            if (metadata := chunk.own_metadata) is not None
            and self._library.is_ours(chunk.document_id, metadata)
            and search_filter.admits(chunk.document_id, chunk.collection_ids)
        ]

    async def _filter(self, query: Query) -> SearchFilter | None:
        """None where there is nothing to search. Makes no collection."""
        user = await self._collections.find(self._names.user(query.user_id))
        if user is None:
            return None
        everything = SearchFilter(user=UUID(user))
        match query.scope:
            case ProviderScope(providers):
                found = [await self._collections.find(self._names.provider(provider)) for provider in providers]
                ids = frozenset(UUID(id_) for id_ in found if id_ is not None)
                return replace(everything, providers=ids) if ids else None
            case SourceScope(sources):
                ids = frozenset(id_ for source_id in sources for id_ in self._names.documents(source_id))
                return replace(everything, documents=ids) if ids else None
            case None:
                return everything


def _question(query: Query) -> str:
    return storable(query.text)[:QUESTION_CHARACTERS]


def documents_only(ids: Sequence[UUID], limit: int) -> Mapping[str, Any]:
    """Settings of a search that finds chunks of these documents, whoever may read them. Never for a user."""
    return {
        "limit": limit,
        "use_semantic_search": True,
        "use_hybrid_search": False,
        "filters": {"$and": [{"document_id": {"$in": [str(id_) for id_ in ids]}}]},
        "graph_settings": {"enabled": False},
    }


def search_settings(
    search_filter: SearchFilter, limit: int, settings: R2RSettings, *, graphs: bool = False
) -> Mapping[str, Any]:
    """The `search_settings` of a user's search."""
    hybrid = settings.search_mode == "hybrid"
    return {
        "limit": limit,
        "use_semantic_search": True,
        "use_hybrid_search": hybrid,
        "filters": search_filter.terms,
        "graph_settings": {"enabled": graphs},
        **({"hybrid_settings": _hybrid_settings(limit, settings)} if hybrid else {}),
    }


def _hybrid_settings(limit: int, settings: R2RSettings) -> Mapping[str, Any]:
    return {
        "semantic_weight": settings.hybrid_semantic_weight,
        "full_text_weight": settings.hybrid_full_text_weight,
        "full_text_limit": max(FULL_TEXT_LIMIT, limit),
        "rrf_k": RRF_K,
    }


def newest(found: Sequence[Found]) -> list[Found]:
    """Without chunks of an older version where there are some of a newer one: both exist for a moment."""
    latest: dict[str, int] = {}
    for _, metadata in found:
        latest[metadata.source_id] = max(metadata.modified, latest.get(metadata.source_id, metadata.modified))
    return [(chunk, metadata) for chunk, metadata in found if metadata.modified == latest[metadata.source_id]]


def _as_hit(chunk: Chunk, metadata: Metadata) -> Hit:
    """Without the ids of other readers' collections."""
    return Hit(
        source_id=metadata.source_id,
        title=metadata.cc_title,
        ordinal=chunk.order,
        heading="",  # R2R keeps none
        text=chunk.text,
        score=chunk.score,
    )


def without_citations(text: str, chunks: Iterable[Chunk]) -> str:
    """An answer without the ids of chunks, which mean nothing to a reader."""
    known = {str(chunk.id)[:SHORT_ID] for chunk in chunks}

    def replaced(match: re.Match[str]) -> str:
        return "" if {part.strip() for part in match[1].split(",")} <= known else match[0]

    return IN_BRACKETS.sub(replaced, text)


def _texts(ids: Iterable[UUID]) -> list[str]:
    return sorted(map(str, ids))
