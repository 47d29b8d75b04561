"""For stores that keep vectors and know nothing of users: see `store` for what an author writes."""

from .driver import CatalogueDriver
from .store import Chunk, DocumentKey, Extent, GroupKey, Match, Reach, VectorStore, chunk_id

__all__ = [
    "CatalogueDriver",
    "Chunk",
    "DocumentKey",
    "Extent",
    "GroupKey",
    "Match",
    "Reach",
    "VectorStore",
    "chunk_id",
]
