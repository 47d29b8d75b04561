"""Fixtures with a real PostgreSQL: one embedded server per test session, a database of its own per test.

A test module takes them with `pytest_plugins = ["tests.pg"]`.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import anyio
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from context_chat_backend.toolkit.postgres.migrations import Edition, migrate

from .postgres import postgres_server

DIMENSION = 8
_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URI of a server's maintenance database."""
    with postgres_server() as uri:
        yield uri


@pytest.fixture
def empty_database(postgres: str) -> Iterator[str]:
    """URI of a database without anything in it."""
    with _database(postgres) as uri:
        yield uri


@pytest.fixture
def database(postgres: str, installed: str) -> Iterator[str]:
    """URI of a database with the schema for `DIMENSION` dimensions and no documents."""
    with _database(postgres, template=installed) as uri:
        yield uri


@pytest.fixture(scope="session")
def installed(postgres: str) -> Iterator[str]:
    """Name of a database to copy, with the schema installed."""
    with _database(postgres) as uri:
        anyio.run(install, uri)
        yield database_name(uri)


@pytest.fixture
def catalogue(postgres: str, installed_catalogue: str) -> Iterator[str]:
    """URI of a catalogue without documents."""
    with _database(postgres, template=installed_catalogue) as uri:
        yield uri


@pytest.fixture(scope="session")
def installed_catalogue(postgres: str) -> Iterator[str]:
    """Name of a database to copy, with the schema of a catalogue."""
    with _database(postgres) as uri:
        anyio.run(install, uri, DIMENSION, Edition.CATALOGUE)
        yield database_name(uri)


@pytest.fixture
def catalogue_copy(postgres: str, catalogue: str) -> Callable[[], AbstractContextManager[str]]:
    """Makes copies of `catalogue` as it is when nobody is connected to it."""
    return lambda: _database(postgres, template=database_name(catalogue))


async def install(uri: str, dimension: int = DIMENSION, edition: Edition = Edition.STORE) -> None:
    async with await psycopg.AsyncConnection.connect(uri, autocommit=True) as connection:
        await migrate(connection, edition, dimension=dimension)


def database_name(uri: str) -> str:
    return str(conninfo_to_dict(uri)["dbname"])


@contextmanager
def _database(postgres: str, template: str = "template0") -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"create database {name} template {template} strategy file_copy".encode())  # 20 ms
        yield postgres.replace("/postgres?", f"/{name}?")
        connection.execute(f"drop database {name} with (force)".encode())
