"""The document store: a typed, asynchronous client of the functions in `sql/`, which hold all rules."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from enum import StrEnum
from types import TracebackType
from typing import Any, LiteralString, Self

import anyio
import numpy as np
import psycopg
import tenacity
from numpy.typing import NDArray
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from context_chat_backend.contract import (
    AccessOp,
    Busy,
    DriverError,
    Hit,
    Misconfigured,
    Outcome,
    ProviderId,
    ProviderScope,
    Rejected,
    Scope,
    Source,
    SourceId,
    SourceScope,
    TransientError,
    Unavailable,
    UserId,
)
from context_chat_backend.toolkit.vector_store import Page

from .migrations import migrate

POOL_TIMEOUT = 5.0
"""Seconds to wait for a connection, a free one or a new one, before the call is `Unavailable`."""
PAGE_CHUNKS = 100
PAGE_BYTES = 2_000_000
"""Most chunks, and about the most bytes of vectors, per call of the database."""
USER_PAGE, PROVIDER_PAGE = 500, 2000
"""Rows per call of the paged deletions: each call stays far below usual statement timeouts."""
DISCARD_SECONDS = 2.0

_CONNECTION = {"connect_timeout": "5", "keepalives_idle": "30", "tcp_user_timeout": "60000"}
_BYTES_PER_NUMBER = 10
_FLOAT = "%.5g"
"""Enough digits for the 11 significant bits of a halfvec."""

Chunk = dict[str, object]
"""One chunk as the database takes it."""


class State(StrEnum):
    """What `Store.begin` found."""

    UNCHANGED = "unchanged"
    """The stored version is not older: the readers were added."""
    REFRESHED = "refreshed"
    """An older version has the same text: it now has the new time and exactly the new readers."""
    INDEX = "index"
    """`Store.publish` is needed."""


class Store:
    """Documents, chunks and readers in one PostgreSQL database. An async context manager.

    Entering installs or updates the schema. It raises `Misconfigured` when the database cannot be used or was filled
    with another embedding model, `Unavailable` when it cannot be reached. Afterwards every method raises `Unavailable`
    within seconds while the database is down, and works again once it is back.
    """

    def __init__(
        self,
        url: str,
        *,
        dimension: int,
        model: str,
        pool_size: int = 8,
        prepare: bool = True,
        statement_timeout: float = 60.0,
    ) -> None:
        self._dimension = dimension
        self._model = model
        self._page_size = max(1, min(PAGE_CHUNKS, PAGE_BYTES // (dimension * _BYTES_PER_NUMBER)))
        connection: dict[str, Any] = {**_CONNECTION, **conninfo_to_dict(url)}
        self._conninfo = make_conninfo(**connection)
        self._statement_timeout = statement_timeout if prepare else 0.0
        self._options: dict[str, Any] = {"autocommit": True, **({} if prepare else {"prepare_threshold": None})}
        self._pool_size = pool_size
        self._resources = AsyncExitStack()
        self._identity: str | None = None

    @property
    def identity(self) -> str:
        """Names the data: drawn when the schema was installed. Readable once entered."""
        if self._identity is None:
            raise RuntimeError("the store has not been entered")
        return self._identity

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as resources:
            with translate_errors():
                await self._install()
                # Short attempts: a database that comes back is noticed after two seconds, not after minutes.
                self._pool = AsyncConnectionPool(
                    self._conninfo,
                    kwargs=self._options,
                    configure=self._configure,
                    min_size=1,
                    max_size=self._pool_size,
                    timeout=POOL_TIMEOUT,
                    reconnect_timeout=POOL_TIMEOUT,
                    open=False,
                )
                await resources.enter_async_context(self._pool)
            with suppress(TransientError):  # no reason to stay down: the daily run will do it
                await self.collect_garbage()
            self._resources = resources.pop_all()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._resources.aclose()

    async def begin(self, source: Source, content_hash: str) -> State:
        """Decide what this version of a source needs, and do what needs no chunks.

        Meant for `INDEX`: until the new version is published, the older one is found by those of its readers who may
        read the new one too. `content_hash` stands for the text: equal hashes mean equal chunks.
        """
        return State(await self._value("select ccb_begin_upsert(%s)", Jsonb(_described(source, content_hash))))

    async def publish(self, source: Source, content_hash: str, pages: AsyncIterable[Page]) -> Outcome:
        """Store the chunks and put them in the place of the older version in one step.

        Nothing of it is found before. Readers of the source become exactly its `user_ids`, unless a version that is
        not older was stored meanwhile: then they are added to that one (`UNCHANGED`). Holds two pages at a time.
        """
        description = _described(source, content_hash)
        async with aclosing(_numbered(pages, self._page_size)) as calls:
            first: list[Chunk] = await anext(calls, [])
            second = await anext(calls, None)
            if second is None:
                return Outcome(
                    await self._value("select ccb_store_source(%s)", Jsonb({**description, "chunks": first}))
                )
            async with self._staged(description) as document:
                count = await self._stage(document, first) + await self._stage(document, second)
                async for chunks in calls:
                    count += await self._stage(document, chunks)
                users = sorted(source.user_ids)
                return Outcome(await self._value("select ccb_publish_source(%s, %s, %s)", document, users, count))

    async def delete(self, source_ids: Set[SourceId]) -> None:
        """Remove sources, also those being staged; unknown ids are fine."""
        await self._value("select ccb_delete_sources(%s)", _storable(source_ids))

    async def delete_older(self, source_id: SourceId, modified: int) -> None:
        """Remove the stored version if it is older than `modified`, a version that cannot be indexed."""
        await self._value("select ccb_delete_older(%s, %s)", *_texts("source id", [source_id]), modified)

    async def delete_provider(self, provider: ProviderId) -> None:
        """Remove every source of a provider, also those being staged."""
        arguments = (*_texts("provider", [provider]), PROVIDER_PAGE)
        while await self._value("select ccb_delete_provider(%s, %s)", *arguments) == PROVIDER_PAGE:
            pass

    async def delete_user(self, user_id: UserId) -> None:
        """Remove a reader everywhere; sources that nobody else may read are deleted."""
        arguments = (*_texts("user id", [user_id]), USER_PAGE)
        while await self._value("select ccb_delete_user(%s, %s)", *arguments) == USER_PAGE:
            pass

    async def set_access(self, source_id: SourceId, user_ids: Set[UserId]) -> bool:
        """Make the readers exactly `user_ids`; none deletes the source. False if it is not stored."""
        return await self._change_access("set", source_id, user_ids)

    async def update_access(self, op: AccessOp, source_id: SourceId, user_ids: Set[UserId]) -> bool:
        """Add or remove readers; a source that loses its last reader is deleted. False if it is not stored."""
        return await self._change_access(op.value, source_id, user_ids)

    async def update_provider_access(self, op: AccessOp, provider: ProviderId, user_ids: Set[UserId]) -> None:
        """The same for every source of a provider, in steps: a failure leaves some of them done."""
        users, (provider_text,) = _storable(user_ids), _texts("provider", [provider])
        cursor: int | None = 0
        while cursor is not None:
            cursor = await self._value(
                "select ccb_update_access_provider(%s, %s, %s, %s)", op.value, users, provider_text, cursor
            )

    async def count(self) -> Mapping[ProviderId, int]:
        """Stored sources per provider; providers without any are missing."""
        return dict(await self._rows("select provider, documents from ccb_count_documents()"))

    async def search(
        self, user_id: UserId, embedding: NDArray[np.float32], text: str, limit: int, scope: Scope = None
    ) -> list[Hit]:
        """The best `limit` chunks that the user may read, by meaning (`embedding` of shape (dimension,)) and words."""
        user = _texts("user id", [user_id])[0]
        providers = _texts("provider", scope.providers) if isinstance(scope, ProviderScope) else None
        sources = _texts("source id", scope.sources) if isinstance(scope, SourceScope) else None
        words = text.replace("\0", " ").encode("utf-8", "replace").decode()
        rows = await self._rows(
            "select source_id, title, content, score from ccb_search(%s, %s, %s, %s, %s, %s)",
            *(user, _vector(embedding.tolist()), words, limit, providers, sources),
        )
        return [
            Hit(source_id=source_id, title=title, text=content, score=score)
            for source_id, title, content, score in rows
        ]

    async def status(self) -> Mapping[str, Any]:
        """Versions, embedding model and dimension of the database."""
        status: Mapping[str, Any] = await self._value("select ccb_status()")
        return status

    async def ping(self) -> None:
        """Return if the database answers."""
        await self._value("select 1")

    async def collect_garbage(self) -> None:
        """Drop what was left by uploads abandoned more than a day ago, renew statistics. Meant for once a day."""
        await self._value("select ccb_collect_garbage()")

    async def _install(self) -> None:
        async with await psycopg.AsyncConnection.connect(self._conninfo, **self._options) as connection:
            await migrate(connection, dimension=self._dimension)
            cursor = await connection.execute("select ccb_open_store(%s, %s)", [self._dimension, self._model])
            ((status,),) = await cursor.fetchall()
            self._identity = status["store_id"]

    async def _configure(self, connection: psycopg.AsyncConnection[Any]) -> None:
        if self._statement_timeout:
            milliseconds = str(round(self._statement_timeout * 1000))
            await connection.execute("select set_config('statement_timeout', %s, false)", [milliseconds])

    async def _change_access(self, op: str, source_id: SourceId, user_ids: Set[UserId]) -> bool:
        users, (source,) = _storable(user_ids), _texts("source id", [source_id])
        if op == "set" and user_ids and not users:  # must not look like "nobody", which deletes
            raise Rejected("none of the user ids can be stored")
        stored: bool = await self._value("select ccb_update_access(%s, %s, %s)", op, users, source)
        return stored

    async def _stage(self, document: int, chunks: list[Chunk]) -> int:
        await self._value("select ccb_stage_chunks(%s, %s)", document, Jsonb(chunks))
        return len(chunks)

    @asynccontextmanager
    async def _staged(self, description: Mapping[str, object]) -> AsyncIterator[int]:
        document: int = await self._value("select ccb_stage_source(%s)", Jsonb(description))
        try:
            yield document
        except BaseException:
            with anyio.move_on_after(DISCARD_SECONDS, shield=True):
                await self._discard(document)
            raise

    async def _discard(self, document: int) -> None:
        try:
            await self._value("select ccb_discard_staged(%s)", document)
        except DriverError:
            return  # invisible anyway; `collect_garbage` removes it

    async def _value(self, query: LiteralString, *parameters: object) -> Any:
        ((value,),) = await self._rows(query, *parameters)
        return value

    async def _rows(self, query: LiteralString, *parameters: object) -> list[tuple[Any, ...]]:
        with translate_errors():
            return await self._rows_again_on_conflict(query, parameters)

    # Here and not in a layer, because a repeated `upsert` would extract and embed the text again.
    @tenacity.retry(
        retry=tenacity.retry_if_exception_type((psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)),
        stop=tenacity.stop_after_attempt(5),
        wait=tenacity.wait_random(0, 0.1),
        reraise=True,
    )
    async def _rows_again_on_conflict(
        self, query: LiteralString, parameters: Sequence[object]
    ) -> list[tuple[Any, ...]]:
        async with self._pool.connection() as connection:
            try:
                cursor = await connection.execute(query, parameters)
                return await cursor.fetchall()
            except psycopg.OperationalError:
                if connection.broken:
                    await self._pool.drain()  # the others are most likely broken too
                raise


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn errors of psycopg into `DriverError`s, by SQLSTATE where the server sent one. Others are bugs."""
    try:
        yield
    except PoolTimeout as exc:
        raise Unavailable(f"no database connection within {POOL_TIMEOUT:.0f} s") from exc
    except psycopg.Error as exc:
        kind = _kind(exc)
        if kind is None:
            raise
        raise kind(_message(exc)) from exc


# https://www.postgresql.org/docs/current/errcodes-appendix.html
_BY_STATE: Mapping[str, type[DriverError]] = {
    "23505": Busy,  # two writers met; the next attempt sees the other's row
    "57014": Unavailable,  # statement timeout
    "P0002": Unavailable,  # the staged document was deleted meanwhile
}
_BY_CLASS: Mapping[str, type[DriverError]] = {
    "08": Unavailable,  # connection
    "0A": Misconfigured,  # version, dimension, model
    "22": Rejected,  # data
    "25": Unavailable,  # read only, while a replica takes over
    "28": Misconfigured,  # authorization
    "3D": Misconfigured,  # no such database
    "3F": Misconfigured,  # no such schema
    "40": Busy,  # serialization, deadlock
    "42": Misconfigured,  # privileges, missing table or function
    "53": Busy,  # connections, memory, disk
    "54": Rejected,  # program limits, as the length of an index entry
    "55": Busy,  # locks
    "57": Unavailable,  # shutdown, recovery
    "58": Unavailable,  # I/O
    "XX": Unavailable,  # internal
}


def _kind(exc: psycopg.Error) -> type[DriverError] | None:
    if exc.sqlstate is not None:
        return _BY_STATE.get(exc.sqlstate) or _BY_CLASS.get(exc.sqlstate[:2])
    if isinstance(exc, psycopg.DataError):
        return Rejected
    return Unavailable if isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError) else None


def _message(exc: psycopg.Error) -> str:
    """Without DETAIL and CONTEXT, which may quote documents."""
    if exc.diag.message_primary is None:
        return f"database: {exc}"
    hint = f" {exc.diag.message_hint}" if exc.diag.message_hint else ""
    return f"database: {exc.diag.message_primary} ({exc.sqlstate}).{hint}"


def _described(source: Source, content_hash: str) -> dict[str, object]:
    (source_id,) = _texts("source id", [source.id])
    (provider,) = _texts("provider", [source.provider])
    (title,) = _texts("title", [source.title])
    (mime_type,) = _texts("type", [source.mime_type])
    return {
        "source_id": source_id,
        "provider": provider,
        "title": title,
        "type": mime_type,
        "modified": source.modified,
        "content_hash": content_hash,
        "users": _texts("user id", source.user_ids),
    }


def _storable(texts: Iterable[str]) -> list[str]:
    """Without those that cannot be stored, and so are not."""
    return sorted(text for text in texts if _can_store(text))


def _can_store(text: str) -> bool:
    """PostgreSQL stores neither NUL nor lone surrogates."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _texts(what: str, texts: Iterable[str]) -> list[str]:
    """The texts, sorted. Raises `Rejected` if one cannot be stored."""
    checked = sorted(texts)
    if not all(map(_can_store, checked)):
        raise Rejected(f"a {what} holds characters that the database cannot store")
    return checked


def _vector(numbers: Iterable[float]) -> str:
    return "[" + ",".join([_FLOAT % number for number in numbers]) + "]"


async def _numbered(pages: AsyncIterable[Page], size: int) -> AsyncGenerator[list[Chunk], None]:
    """The chunks of all pages as arguments for the database, at most `size` at a time."""
    ordinal = 0
    async for page in pages:
        for start in range(0, len(page.texts), size):
            texts = page.texts[start : start + size]
            vectors = page.embeddings[start : start + size].tolist()
            yield [
                {"ordinal": ordinal + index, "content": text, "embedding": _vector(vector)}
                for index, (text, vector) in enumerate(zip(texts, vectors, strict=True))
            ]
            ordinal += len(texts)
