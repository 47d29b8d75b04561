"""Searches: what is asked of R2R, and which of its hits may leave the driver."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from context_chat_backend.contract import Hit

from .settings import R2RSettings
from .wire import Chunk, Metadata

FULL_TEXT_LIMIT = 200
"""R2R fails where `limit` is above this."""
RRF_K = 50
SHORT_ID = 7
"""R2R has models cite a chunk by the first characters of its id in brackets."""
IN_BRACKETS = re.compile(r"\s?\[([0-9a-f]{7}(?:\s*,\s*[0-9a-f]{7})*)\]")

Filter = Mapping[str, Any]
Found = tuple[Chunk, Metadata]


@dataclass(frozen=True, slots=True)
class Reach:
    """What a search may find, in R2R's ids."""

    user: UUID
    """The collection of the user."""
    providers: frozenset[UUID] | None = None
    """Collections of providers; None for any."""
    documents: frozenset[UUID] | None = None

    @property
    def filters(self) -> Filter:
        """Always in `$and`: at the top R2R replaces a filter of collections by one of its own for ordinary accounts."""
        terms: list[Filter] = [{"collection_ids": {"$overlap": [str(self.user)]}}]
        if self.providers is not None:
            terms.append({"collection_ids": {"$overlap": _texts(self.providers)}})
        if self.documents is not None:
            terms.append({"document_id": {"$in": _texts(self.documents)}})
        return {"$and": terms}

    def allows(self, chunk: Chunk) -> bool:
        """Whether a hit is what was asked for, whatever R2R made of the filters."""
        return self.admits(chunk.document_id, chunk.collection_ids)

    def admits(self, document_id: UUID, collection_ids: Sequence[UUID]) -> bool:
        """Whether a document in these collections may be found."""
        return (
            self.user in collection_ids
            and (self.providers is None or not self.providers.isdisjoint(collection_ids))
            and (self.documents is None or document_id in self.documents)
        )


def documents_only(ids: Sequence[UUID], limit: int) -> Mapping[str, Any]:
    """Settings of a search that finds chunks of these documents, whoever may read them. Never for a user."""
    return {
        "limit": limit,
        "use_semantic_search": True,
        "use_hybrid_search": False,
        "filters": {"$and": [{"document_id": {"$in": [str(id_) for id_ in ids]}}]},
        "graph_settings": {"enabled": False},
    }


def search_settings(reach: Reach, limit: int, settings: R2RSettings, *, graphs: bool = False) -> Mapping[str, Any]:
    """The `search_settings` of a user's search."""
    hybrid = settings.search_mode == "hybrid"
    return {
        "limit": limit,
        "use_semantic_search": True,
        "use_hybrid_search": hybrid,
        "filters": reach.filters,
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


def as_hit(chunk: Chunk, metadata: Metadata) -> Hit:
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
