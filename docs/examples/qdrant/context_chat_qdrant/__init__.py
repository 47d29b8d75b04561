"""Qdrant as a backend of the Context Chat gateway: `RAG_BACKEND=qdrant`."""

from context_chat_backend.contract import Driver, DriverConfig
from context_chat_backend.toolkit.catalogue import CatalogueDriver
from context_chat_backend.toolkit.settings import driver_settings

from .settings import QdrantSettings
from .store import QdrantStore


def create(config: DriverConfig) -> Driver:
    """What the entry point names. Raises `Misconfigured` for bad settings."""
    return CatalogueDriver.from_config("qdrant", QdrantStore(driver_settings(QdrantSettings, config)), config)
