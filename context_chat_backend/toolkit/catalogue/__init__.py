"""For stores that keep vectors and know nothing of users: see `store` for what an author writes."""

from .driver import CatalogueDriver
from .store import ChunkRecord, DocumentKey, Extent, GroupKey, Match, Reach, VectorStore, chunk_id

__all__ = [
    "CatalogueDriver",
    "ChunkRecord",
    "DocumentKey",
    "Extent",
    "GroupKey",
    "Match",
    "Reach",
    "VectorStore",
    "chunk_id",
]
