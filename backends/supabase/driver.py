"""The Supabase backend: the SQL functions of the builtin one, called over HTTPS instead of a database connection."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from context_chat_backend.contract import Capabilities, DriverConfig, Misconfigured
from context_chat_backend.toolkit.indexing.extract import SUPPORTED_MIME_TYPES
from context_chat_backend.toolkit.indexing.indexer import Indexer
from context_chat_backend.toolkit.postgres.driver import MAX_SOURCE_BYTES
from context_chat_backend.toolkit.postgres.functions import Functions
from context_chat_backend.toolkit.postgres.migrations import Edition
from context_chat_backend.toolkit.postgres.store_driver import DocumentStoreDriver
from context_chat_backend.toolkit.search.settings import SearchSettings
from context_chat_backend.toolkit.settings import driver_settings

from .functions import SupabaseFunctions
from .settings import SupabaseSettings

REMEDY = "run the output of `ccbe supabase-migration` in the project's SQL editor"


class SupabaseDriver(DocumentStoreDriver):
    """Stores documents in a Supabase project where the migration was run. It never changes the schema itself."""

    _name = "supabase"
    capabilities = Capabilities(
        max_source_bytes=MAX_SOURCE_BYTES,
        mime_types=SUPPORTED_MIME_TYPES,
        shared=True,  # other gateways may use the same project
    )

    def __init__(self, settings: SupabaseSettings, indexer: Indexer, search: SearchSettings) -> None:
        super().__init__(indexer, search)
        self._settings = settings

    async def _connect(self, stack: AsyncExitStack, *, dimension: int) -> Functions:  # noqa: ARG002 - the migration's
        functions = await stack.enter_async_context(SupabaseFunctions(self._settings))
        status = await functions.call("ccb_status")
        if status.get("functions") != Edition.STORE.digest:
            raise Misconfigured(f"the Supabase project was set up by another version of the gateway: {REMEDY}")
        return functions

    def _about(self, status: Mapping[str, Any]) -> str:
        return f"pgvector {status['pgvector']}, {status['embedding_dim']} dimensions of {status['embedding_model']}"


def create(config: DriverConfig) -> SupabaseDriver:
    """`RAG_BACKEND=supabase`. Keeps nothing on disk."""
    settings, search = driver_settings(SupabaseSettings, config), driver_settings(SearchSettings, config)
    return SupabaseDriver(settings, Indexer.from_config(config), search)
