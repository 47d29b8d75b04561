"""The Pinecone backend: chunks in an index of Pinecone, documents and readers in a catalogue of the gateway."""

from pathlib import Path

from context_chat_backend.toolkit.catalogue import CatalogueDriver
from context_chat_backend.toolkit.settings import read_settings

from .settings import PineconeSettings
from .store import PineconeStore


def create(folder: Path) -> CatalogueDriver:
    """`RAG_BACKEND=pinecone`: settings from the environment, the embedded catalogue in `folder`."""
    return CatalogueDriver.from_environment("pinecone", PineconeStore(read_settings(PineconeSettings)), folder)
