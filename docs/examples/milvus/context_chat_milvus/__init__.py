"""Milvus as a backend of the Context Chat gateway: `RAG_BACKEND=milvus`."""

from context_chat_backend.contract import Driver, DriverConfig
from context_chat_backend.toolkit.catalogue import CatalogueDriver
from context_chat_backend.toolkit.settings import driver_settings

from .settings import MilvusSettings
from .store import MilvusStore


def create(config: DriverConfig) -> Driver:
    """What the entry point names. Raises `Misconfigured` for bad settings."""
    return CatalogueDriver.from_config("milvus", MilvusStore(driver_settings(MilvusSettings, config)), config)
