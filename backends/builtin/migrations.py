"""Brings a database to the schema of this version of the gateway."""

import hashlib
from collections.abc import Iterator
from importlib.resources import files

import psycopg

from context_chat_backend.contract import Misconfigured

_SQL = files(__package__) / "sql"
_LOCK = 0x6363625F6D696772  # "ccb_migr"; one gateway at a time


async def migrate(connection: psycopg.AsyncConnection[tuple[object, ...]], *, dimension: int) -> None:
    """Create or update tables and functions; `dimension` counts for a new store only.

    A database that is up to date is only read, so its user then needs no right to change the schema.
    Raises `Misconfigured`, with nothing touched, when a newer gateway was here before.
    """
    functions = (_SQL / "functions.sql").read_bytes()
    digest = hashlib.sha256(functions).hexdigest()
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
        settings = await _settings(connection)
        version = int(settings.get("schema_version", 0))
        if version > schema_version():
            raise Misconfigured(
                f"the database has schema version {version}, this gateway knows up to {schema_version()}: "
                "start a newer gateway, or use another database"
            )
        if version == schema_version() and settings.get("functions") == digest:
            return
        await connection.execute("select set_config('ccb.embedding_dim', %s, true)", [str(dimension)])
        for number, script in _migrations():
            if number > version:
                await connection.execute(script)
        await connection.execute(functions)
        await connection.execute(
            "insert into ccb.settings values ('schema_version', %s), ('functions', %s)"
            " on conflict (key) do update set value = excluded.value",
            [str(schema_version()), digest],
        )


def schema_version() -> int:
    """The number of the last migration."""
    return max(number for number, _ in _migrations())


def _migrations() -> Iterator[tuple[int, bytes]]:
    for script in sorted(_SQL.iterdir(), key=lambda file: file.name):
        number, _, _ = script.name.partition("_")
        if number.isdecimal():
            yield int(number), script.read_bytes()


async def _settings(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> dict[str, str]:
    cursor = await connection.execute("select to_regclass('ccb.settings') is not null")
    if await cursor.fetchone() != (True,):
        return {}
    cursor = await connection.execute("select key, value from ccb.settings")
    return {str(key): str(value) for key, value in await cursor.fetchall()}
