"""A PostgreSQL database of the gateway, by psycopg: installs the schema and calls its functions."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Self

import anyio
import psycopg
import tenacity
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.json import Jsonb, set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from pydantic import SecretStr
from pydantic_core import from_json

from ...contract import DriverError, Rejected, Unavailable
from ..background import run_in_background
from .embedded import EmbeddedPostgres
from .migrations import Edition, migrate
from .sqlstate import error_for

POOL_TIMEOUT = 5.0
"""Seconds to wait for a connection, a free one or a new one, before the call is `Unavailable`."""

OTHERS_TIMEOUT = 30.0
"""Seconds that a call for which nobody waits has for one of its connections: under many questions it slows down."""
FOR_USERS = frozenset({"ccb_search", "ccb_reach", "ccb_readable", "ccb_sought", "ccb_status"})
"""Functions that questions call, and who looks whether the database is there. Half the pool is for nothing else."""

_CONNECTION = {"connect_timeout": "5", "keepalives_idle": "30", "tcp_user_timeout": "60000"}


class Database:
    """`Functions` over a pool of connections. An async context manager.

    Entering installs or updates the schema. It raises `Misconfigured` when the database cannot be used, `Unavailable`
    when it cannot be reached. Afterwards every method raises `Unavailable` within seconds while the database is down,
    and works again once it is back.
    """

    def __init__(
        self,
        url: str,
        edition: Edition,
        *,
        dimension: int,
        pool_size: int = 8,
        prepare: bool = True,
        statement_timeout: float = 60.0,
    ) -> None:
        """`dimension` counts for a new store only. `prepare` is false for poolers that share a connection between
        transactions; then there is no `statement_timeout`, which is in seconds, 0 for no limit."""
        self._edition = edition
        self._dimension = dimension
        connection: dict[str, Any] = {**_CONNECTION, **conninfo_to_dict(url)}
        self._conninfo = make_conninfo(**connection)
        self._statement_timeout = statement_timeout if prepare else 0.0
        self._options: dict[str, Any] = {"autocommit": True, **({} if prepare else {"prepare_threshold": None})}
        self._pool_size = pool_size
        self._others = anyio.Semaphore(max(1, pool_size - pool_size // 2))
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        with database_errors():
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
            await self._resources.enter_async_context(self._pool)
        return self

    async def __aexit__(self, *exc: object) -> None:
        with anyio.CancelScope(shield=True):
            await self._resources.aclose()

    async def call(self, function: str, /, **arguments: object) -> Any:
        """See `Functions`."""
        async with self._admitted(function):
            with database_errors():
                return await self._value_again_on_conflict(function, arguments)

    @asynccontextmanager
    async def alone(self, task: str) -> AsyncIterator[bool]:
        """Whether no other gateway is inside this block for the same task; if so, none gets in meanwhile."""
        with database_errors():
            # bound to a transaction, not to the session, which poolers share
            async with self._pool.connection() as connection, connection.transaction():
                cursor = await connection.execute(
                    "select pg_try_advisory_xact_lock(hashtextextended('ccb:task:' || %s, 0))", [task]
                )
                row = await cursor.fetchone()
                yield row == (True,)

    @asynccontextmanager
    async def _admitted(self, function: str) -> AsyncIterator[None]:
        """Keeps uploads, actions and the background away from the connections of questions."""
        if function in FOR_USERS:
            yield
            return
        try:
            with anyio.fail_after(OTHERS_TIMEOUT):
                await self._others.acquire()
        except TimeoutError:
            raise Unavailable(f"no database connection within {OTHERS_TIMEOUT:.0f} s") from None
        try:
            yield
        finally:
            self._others.release()

    async def _install(self) -> None:
        async with await psycopg.AsyncConnection.connect(self._conninfo, **self._options) as connection:
            await migrate(connection, self._edition, dimension=self._dimension)

    async def _configure(self, connection: psycopg.AsyncConnection[Any]) -> None:
        set_json_loads(from_json, connection)  # in half the time
        if self._statement_timeout:
            milliseconds = str(round(self._statement_timeout * 1000))
            await connection.execute("select set_config('statement_timeout', %s, false)", [milliseconds])

    # Here and not in a layer, because a repeated `upsert` would extract and embed the text again.
    @tenacity.retry(
        retry=tenacity.retry_if_exception_type((psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)),
        stop=tenacity.stop_after_attempt(5),
        wait=tenacity.wait_random(0, 0.1),
        reraise=True,
    )
    async def _value_again_on_conflict(self, function: str, arguments: dict[str, object]) -> Any:
        async with self._pool.connection() as connection:
            try:
                cursor = await connection.execute(_call(function, *arguments), list(map(_adapted, arguments.values())))
                row = await cursor.fetchone()
            except psycopg.OperationalError:
                if connection.broken:
                    await self._pool.drain()  # the others are probably broken too
                raise
        return None if row is None or row[0] == "" else row[0]


@asynccontextmanager
async def running_database(url: SecretStr | None, folder: Path) -> AsyncIterator[str]:
    """The URL of a database: `url`, or without one that of an embedded one in `folder`, which is kept running."""
    if url is not None:
        yield url.get_secret_value()
        return
    async with EmbeddedPostgres(folder) as embedded, AsyncExitStack() as stack:
        await run_in_background(stack, embedded.keep_running)
        yield embedded.uri


@contextmanager
def database_errors() -> Iterator[None]:
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


@cache
def _call(function: str, *arguments: str) -> bytes:
    named = [sql.SQL("{} => %s").format(sql.Identifier(name)) for name in arguments]
    call = sql.SQL("select {}({})").format(sql.Identifier("public", function), sql.SQL(", ").join(named))
    return call.as_bytes()


def _adapted(argument: object) -> object:
    """Lists of text are arrays, other structures JSON."""
    if isinstance(argument, dict) or (isinstance(argument, list) and argument and isinstance(argument[0], dict)):
        return Jsonb(argument)
    return argument


def _kind(exc: psycopg.Error) -> type[DriverError] | None:
    if exc.sqlstate is not None:
        return error_for(exc.sqlstate)
    if isinstance(exc, psycopg.DataError):
        return Rejected
    return Unavailable if isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError) else None


def _message(exc: psycopg.Error) -> str:
    """Without DETAIL and CONTEXT, which may quote documents."""
    if exc.diag.message_primary is None:
        return f"database: {exc}"
    hint = f" {exc.diag.message_hint}" if exc.diag.message_hint else ""
    return f"database: {exc.diag.message_primary} ({exc.sqlstate}).{hint}"
