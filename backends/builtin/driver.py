"""The builtin backend: documents, access rules and hybrid search in PostgreSQL with pgvector."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from context_chat_backend.contract import Capabilities, DriverConfig, Finding, Level
from context_chat_backend.toolkit.indexing.extract import SUPPORTED_MIME_TYPES
from context_chat_backend.toolkit.indexing.indexer import Indexer
from context_chat_backend.toolkit.postgres.database import Database, running_database
from context_chat_backend.toolkit.postgres.document_store import DocumentStoreDriver
from context_chat_backend.toolkit.postgres.driver import MAX_SOURCE_BYTES
from context_chat_backend.toolkit.postgres.functions import Functions
from context_chat_backend.toolkit.postgres.migrations import Edition
from context_chat_backend.toolkit.settings import driver_settings

from .settings import BuiltinSettings


class BuiltinDriver(DocumentStoreDriver):
    """Stores documents in the database of the settings, else in an embedded one in `folder`."""

    _name = "builtin"

    def __init__(self, settings: BuiltinSettings, indexer: Indexer, folder: Path) -> None:
        super().__init__(indexer)
        self.capabilities = Capabilities(
            max_source_bytes=MAX_SOURCE_BYTES,
            mime_types=SUPPORTED_MIME_TYPES,
            upserts_at_once=2,  # one embedded, one read or stored: more are no faster, and questions wait longer
            shared=settings.db_url is not None,  # other gateways may use an external database, too
        )
        self._settings = settings
        self._folder = folder

    async def _connect(self, stack: AsyncExitStack, *, dimension: int) -> Functions:
        settings = self._settings
        url = await stack.enter_async_context(running_database(settings.db_url, self._folder))
        database = Database(
            url,
            Edition.STORE,
            dimension=dimension,
            pool_size=settings.pool_size,
            prepare=settings.prepare,
            statement_timeout=settings.statement_timeout,
        )
        return await stack.enter_async_context(database)

    async def check(self) -> Sequence[Finding]:
        status = await self._documents.status()
        place = "external" if self._settings.db_url is not None else "embedded"
        listed = ", ".join(f"{name} {value}" for name, value in status.items() if name != "functions")
        return [Finding(level=Level.OK, subject="database", text=f"{place}, {listed}")]


def create(config: DriverConfig) -> BuiltinDriver:
    """`RAG_BACKEND=builtin`, the embedded database in the folder of the config."""
    return BuiltinDriver(driver_settings(BuiltinSettings, config), Indexer.from_config(config), config.folder)
