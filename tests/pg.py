"""Fixtures with a real PostgreSQL: one embedded server per process, a database of its own per test.

A test module takes them with `pytest_plugins = ["tests.pg"]`.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import anyio
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from context_chat_backend.toolkit.postgres.migrations import Edition, migrate

from .postgres import new_database, server

DIMENSION = 8


@pytest.fixture(scope="session")
def postgres() -> str:
    """URI of a server's maintenance database."""
    return server()


@pytest.fixture
def empty_database() -> Iterator[str]:
    """URI of a database without anything in it."""
    with new_database() as uri:
        yield uri


@pytest.fixture
def database(installed: str) -> Iterator[str]:
    """URI of a database with the schema for `DIMENSION` dimensions and no documents."""
    with new_database(template=installed) as uri:
        yield uri


@pytest.fixture(scope="session")
def installed() -> Iterator[str]:
    """Name of a database to copy, with the schema installed."""
    with new_database() as uri:
        anyio.run(install, uri)
        yield database_name(uri)


@pytest.fixture
def catalogue(installed_catalogue: str) -> Iterator[str]:
    """URI of a catalogue without documents."""
    with new_database(template=installed_catalogue) as uri:
        yield uri


@pytest.fixture(scope="session")
def installed_catalogue() -> Iterator[str]:
    """Name of a database to copy, with the schema of a catalogue."""
    with new_database() as uri:
        anyio.run(install, uri, DIMENSION, Edition.CATALOGUE)
        yield database_name(uri)


@pytest.fixture
def catalogue_copy(catalogue: str) -> Callable[[], AbstractContextManager[str]]:
    """Makes copies of `catalogue` as it is when nobody is connected to it."""
    return lambda: new_database(template=database_name(catalogue))


async def install(uri: str, dimension: int = DIMENSION, edition: Edition = Edition.STORE) -> None:
    async with await psycopg.AsyncConnection.connect(uri, autocommit=True) as connection:
        await migrate(connection, edition, dimension=dimension)


def database_name(uri: str) -> str:
    return str(conninfo_to_dict(uri)["dbname"])
