"""For stores that keep vectors and know nothing of users: see `store` for what an author writes."""

from .driver import CatalogueDriver
from .store import Candidates, ChunkRecord, DocumentKey, Extent, GroupKey, Match, VectorStore, WordQuery, chunk_id

__all__ = [
    "Candidates",
    "CatalogueDriver",
    "ChunkRecord",
    "DocumentKey",
    "Extent",
    "GroupKey",
    "Match",
    "VectorStore",
    "WordQuery",
    "chunk_id",
]
