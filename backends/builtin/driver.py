"""The builtin backend: documents, access rules and hybrid search in PostgreSQL with pgvector."""

import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence, Set
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio

from context_chat_backend.contract import (
    AccessOp,
    Answer,
    Capabilities,
    DriverError,
    Finding,
    Hit,
    Level,
    NotFound,
    Outcome,
    ProviderId,
    Query,
    Rejected,
    Source,
    SourceId,
    StoredVersion,
    Unsupported,
    UserId,
)
from context_chat_backend.toolkit.extract import SUPPORTED_MIME_TYPES
from context_chat_backend.toolkit.settings import read_settings
from context_chat_backend.toolkit.vector_store import Indexer

from .embedded import EmbeddedPostgres
from .settings import BuiltinSettings
from .store import State, Store

MIB = 2**20
DAY = 86_400

log = logging.getLogger(__name__)


class BuiltinDriver:
    """Embeds documents itself and stores them in the database of the settings, else in an embedded one."""

    def __init__(self, settings: BuiltinSettings, indexer: Indexer, folder: Path) -> None:
        self.capabilities = Capabilities(
            max_source_bytes=100 * MIB,  # context_chat sends no larger files
            mime_types=SUPPORTED_MIME_TYPES,
            exclusive=settings.db_url is None,  # other gateways may use an external database, too
        )
        self._settings = settings
        self._indexer = indexer
        self._folder = folder
        self._store: Store
        self._resources = AsyncExitStack()

    @property
    def identity(self) -> str:
        return f"builtin:{self._store.identity}"

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._indexer)
            url = await self._database(stack)
            self._store = await stack.enter_async_context(self._make_store(url))
            await _run_in_background(stack, self._tidy_daily)
            self._resources = stack.pop_all()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._resources.aclose()

    async def _database(self, stack: AsyncExitStack) -> str:
        if self._settings.db_url is not None:
            return self._settings.db_url.get_secret_value()
        embedded = await stack.enter_async_context(EmbeddedPostgres(self._folder))
        await _run_in_background(stack, embedded.keep_running)
        return embedded.uri

    async def _tidy_daily(self) -> None:
        while True:
            await anyio.sleep(DAY)
            try:
                await self._store.collect_garbage()
            except DriverError as error:
                log.warning("the daily clean-up of the database failed: %s", error)

    def _make_store(self, url: str) -> Store:
        embedder, settings = self._indexer.embedder, self._settings
        return Store(
            url,
            dimension=embedder.dimension,
            model=embedder.model_name,
            pool_size=settings.pool_size,
            prepare=settings.prepare,
            statement_timeout=settings.statement_timeout,
        )

    async def ping(self) -> None:
        await self._store.ping()

    async def upsert(self, source: Source) -> Outcome:
        try:
            return await self._bring_up_to_date(source)
        except Rejected:
            await self._store.delete_older(source.id, source.modified)
            raise

    async def _bring_up_to_date(self, source: Source) -> Outcome:
        content_hash = await self._indexer.fingerprint(source)
        match await self._store.begin(source, content_hash):
            case State.UNCHANGED:
                return Outcome.UNCHANGED
            case State.REFRESHED:
                return Outcome.UPDATED
            case State.INDEX:
                pages = self._indexer.pages(await self._indexer.text(source), source.mime_type)
                return await self._store.publish(source, content_hash, pages)

    async def delete(self, source_ids: Set[SourceId]) -> None:
        await self._store.delete(source_ids)

    async def set_access(self, source_id: SourceId, user_ids: Set[UserId]) -> None:
        _require(await self._store.set_access(source_id, user_ids))

    async def update_access(self, op: AccessOp, source_id: SourceId, user_ids: Set[UserId]) -> None:
        _require(await self._store.update_access(op, source_id, user_ids))

    async def update_provider_access(self, op: AccessOp, provider: ProviderId, user_ids: Set[UserId]) -> None:
        await self._store.update_provider_access(op, provider, user_ids)

    async def delete_provider(self, provider: ProviderId) -> None:
        await self._store.delete_provider(provider)

    async def delete_user(self, user_id: UserId) -> None:
        await self._store.delete_user(user_id)

    async def count(self) -> Mapping[ProviderId, int]:
        return await self._store.count()

    async def search(self, query: Query) -> Sequence[Hit]:
        embedding = await self._indexer.embed_query(query.text)
        return await self._store.search(query.user_id, embedding, query.text, query.limit, query.scope)

    async def answer(self, query: Query) -> Answer:  # noqa: ARG002 - part of the contract
        raise Unsupported("the builtin backend does not generate answers")

    def inventory(
        self,
        source_ids: Set[SourceId] | None = None,  # noqa: ARG002 - part of the contract
        *,
        skip: int = 0,  # noqa: ARG002
        bulk: bool = False,  # noqa: ARG002
    ) -> AsyncIterator[StoredVersion]:
        raise Unsupported("the builtin backend asks its database instead of keeping an inventory")

    async def check(self) -> Sequence[Finding]:
        status = await self._store.status()
        place = "external" if self._settings.db_url is not None else "embedded"
        return [Finding(level=Level.OK, subject="database", text=f"{place}, {_listed(status)}")]


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


async def _run_in_background(stack: AsyncExitStack, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Until the stack is closed."""
    tasks = await stack.enter_async_context(anyio.create_task_group())
    stack.callback(tasks.cancel_scope.cancel)
    tasks.start_soon(work)


def _require(stored: bool) -> None:
    if not stored:
        raise NotFound("no such source")


def create(folder: Path) -> BuiltinDriver:
    """`RAG_BACKEND=builtin`: settings from the environment, the embedded database in `folder`."""
    return BuiltinDriver(read_settings(BuiltinSettings), Indexer.from_environment(), folder)
