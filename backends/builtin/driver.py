"""The builtin backend: documents, access rules and hybrid search in PostgreSQL with pgvector."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from context_chat_backend.contract import Capabilities, DriverConfig
from context_chat_backend.toolkit.indexing.extract import SUPPORTED_MIME_TYPES
from context_chat_backend.toolkit.indexing.indexer import Indexer
from context_chat_backend.toolkit.postgres.database import Database, running_database
from context_chat_backend.toolkit.postgres.driver import MAX_SOURCE_BYTES
from context_chat_backend.toolkit.postgres.functions import Functions
from context_chat_backend.toolkit.postgres.migrations import Edition
from context_chat_backend.toolkit.postgres.replica import LAG_SECONDS, ReplicaDatabase, SearchingElsewhere
from context_chat_backend.toolkit.postgres.store_driver import DocumentStoreDriver
from context_chat_backend.toolkit.search.settings import SearchSettings
from context_chat_backend.toolkit.settings import driver_settings

from .settings import BuiltinSettings


class BuiltinDriver(DocumentStoreDriver):
    """Stores documents in the database of the settings, else in an embedded one in `folder`."""

    _name = "builtin"

    def __init__(self, settings: BuiltinSettings, indexer: Indexer, search: SearchSettings, folder: Path) -> None:
        super().__init__(indexer, search)
        self.capabilities = Capabilities(
            max_source_bytes=MAX_SOURCE_BYTES,
            mime_types=SUPPORTED_MIME_TYPES,
            upserts_at_once=2,  # one read, one stored: more are no faster, and questions wait longer
            shared=settings.db_url is not None,  # other gateways may use an external database, too
            settle_seconds=0.0 if settings.db_read_url is None else LAG_SECONDS,
        )
        self._settings = settings
        self._folder = folder

    async def _connect(self, stack: AsyncExitStack, *, dimension: int) -> Functions:
        settings = self._settings
        url = await stack.enter_async_context(running_database(settings.db_url, self._folder))
        database = await stack.enter_async_context(self._database(Database, url, dimension))
        if settings.db_read_url is None:
            return database
        replica = self._database(ReplicaDatabase, settings.db_read_url.get_secret_value(), dimension)
        return SearchingElsewhere(database, await stack.enter_async_context(replica))

    def _database(self, kind: type[Database], url: str, dimension: int) -> Database:
        return kind(
            url,
            Edition.STORE,
            dimension=dimension,
            pool_size=self._settings.pool_size,
            prepare=self._settings.prepare,
            statement_timeout=self._settings.statement_timeout,
        )

    def _about(self, status: Mapping[str, Any]) -> str:
        place = "external" if self._settings.db_url is not None else "embedded"
        listed = ", ".join(
            f"{name} {value}" for name, value in status.items() if name not in {"functions", "calibration"}
        )
        return f"{place}, {listed}"


def create(config: DriverConfig) -> BuiltinDriver:
    """`RAG_BACKEND=builtin`, the embedded database in the folder of the config."""
    search = driver_settings(SearchSettings, config)
    return BuiltinDriver(driver_settings(BuiltinSettings, config), Indexer.from_config(config), search, config.folder)
