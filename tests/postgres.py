"""A real PostgreSQL for tests: one embedded server per process, and databases of their own for all who ask."""

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import psycopg
from anyio.from_thread import start_blocking_portal

from context_chat_backend.toolkit.postgres.embedded import EmbeddedPostgres

_running = ExitStack()
_numbers = itertools.count()


@cache
def server() -> str:
    """URI of the maintenance database. The server is started by the first call and runs until `stop_server`."""
    folder = Path(tempfile.mkdtemp(prefix="ccb-test-"))  # not below pytest's: the server's account may not enter that
    _running.callback(shutil.rmtree, folder)
    portal = _running.enter_context(start_blocking_portal())
    embedded = _running.enter_context(portal.wrap_async_context_manager(EmbeddedPostgres(folder)))
    never_sync(embedded.uri)
    return embedded.uri


def stop_server() -> None:
    """Stop it, if it runs; nothing of it is left."""
    _running.close()
    server.cache_clear()


def never_sync(uri: str) -> None:
    """Nobody misses this server's data after a power failure, and the tests are three times as fast."""
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("alter system set fsync = off")
        connection.execute("alter system set synchronous_commit = off")
        connection.execute("select pg_reload_conf()")


@contextmanager
def new_database(template: str = "template0") -> Iterator[str]:
    """URI of a database that is a copy of the template, until the block ends."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(server(), autocommit=True) as connection:
        connection.execute(f"create database {name} template {template} strategy file_copy".encode())  # 20 ms
        try:
            yield server().replace("/postgres?", f"/{name}?")
        finally:
            connection.execute(f"drop database {name} with (force)".encode())


@contextmanager
def postgres_in(folder: Path) -> Iterator[str]:
    """The embedded server in this folder, together with a gateway that uses it or without one."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(EmbeddedPostgres(folder)) as server:
        yield server.uri
