"""A real PostgreSQL for tests, also for those that do not take the fixtures of `tests.pg`."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from anyio.from_thread import start_blocking_portal

from context_chat_backend.toolkit.postgres.embedded import EmbeddedPostgres


@contextmanager
def postgres_server() -> Iterator[str]:
    """An embedded server. Not below pytest's folder: the server's account may not enter that."""
    folder = Path(tempfile.mkdtemp(prefix="ccb-test-"))
    with postgres_in(folder) as uri:
        with psycopg.connect(uri, autocommit=True) as connection:
            # Nobody misses this data after a power failure, and the tests are three times as fast.
            connection.execute("alter system set fsync = off")
            connection.execute("alter system set synchronous_commit = off")
            connection.execute("select pg_reload_conf()")
        yield uri
    shutil.rmtree(folder)


@contextmanager
def postgres_in(folder: Path) -> Iterator[str]:
    """The embedded server in this folder, together with a gateway that uses it or without one."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(EmbeddedPostgres(folder)) as server:
        yield server.uri
