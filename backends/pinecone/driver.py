"""The Pinecone backend: chunks in an index of Pinecone, documents and readers in a catalogue of the gateway."""

from context_chat_backend.contract import DriverConfig
from context_chat_backend.toolkit.catalogue import CatalogueDriver
from context_chat_backend.toolkit.settings import driver_settings

from .settings import PineconeSettings
from .store import PineconeStore


def create(config: DriverConfig) -> CatalogueDriver:
    """`RAG_BACKEND=pinecone`, an embedded catalogue in the folder of the config."""
    return CatalogueDriver.from_config("pinecone", PineconeStore(driver_settings(PineconeSettings, config)), config)
