"""Qdrant as a backend of the Context Chat gateway: `RAG_BACKEND=qdrant`."""

from pathlib import Path

from context_chat_backend.contract import Driver
from context_chat_backend.toolkit.catalogue import CatalogueDriver
from context_chat_backend.toolkit.settings import read_settings

from .settings import QdrantSettings
from .store import QdrantStore


def create(folder: Path) -> Driver:
    """What the entry point names. Raises `Misconfigured` for bad settings."""
    return CatalogueDriver.from_environment("qdrant", QdrantStore(read_settings(QdrantSettings)), folder)
