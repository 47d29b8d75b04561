"""Brings a database to the schema of this version of the gateway."""

import hashlib
from collections.abc import Iterator
from enum import Enum
from importlib import resources
from importlib.resources.abc import Traversable

import psycopg

from ...contract import Misconfigured

_SQL = resources.files(__package__) / "sql"
_LOCK = 0x6363625F6D696772  # "ccb_migr"; one gateway at a time


class Edition(Enum):
    """What a database is for: folders of `sql/`, in the order in which they need each other."""

    STORE = ("vector", "access", "chunks")
    """Documents with their chunks and the search in them."""
    CATALOGUE = ("access", "catalogue")
    """Documents whose chunks are somewhere else."""

    @property
    def version(self) -> int:
        """The number of the last migration."""
        return max(number for number, _ in self._numbered())

    @property
    def functions(self) -> bytes:
        """All functions; replaced by every version that has others."""
        files = [*(_SQL / part / "functions.sql" for part in self.value), _SQL / "grants.sql"]
        return b"\n".join(_script(file) for file in files if file.is_file())

    @property
    def digest(self) -> str:
        """Of the functions, as a database with them remembers it."""
        return hashlib.sha256(self.functions).hexdigest()

    def migrations(self, after: int = 0) -> Iterator[bytes]:
        """Scripts that bring the tables from version `after` to `version`."""
        return (script for number, script in self._numbered() if number > after)

    def _numbered(self) -> list[tuple[int, bytes]]:
        scripts = [
            (int(number), _script(file))
            for part in self.value
            for file in sorted((_SQL / part).iterdir(), key=lambda file: file.name)
            if (number := file.name.partition("_")[0]).isdecimal()
        ]
        return sorted(scripts, key=lambda script: script[0])  # stable: the parts stay in their order


def _script(file: Traversable) -> bytes:
    return b"\n".join([(_SQL / "search_path.sql").read_bytes(), file.read_bytes(), b"reset search_path;\n"])


async def migrate(connection: psycopg.AsyncConnection[tuple[object, ...]], edition: Edition, *, dimension: int) -> None:
    """Create or update tables and functions; `dimension` counts for a new store only.

    A database that is up to date is only read, so its user then needs no right to change the schema.
    Raises `Misconfigured`, with nothing touched, when a newer gateway was here before, or one that used the database
    for something else.
    """
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
        settings = await _settings(connection)
        version = int(settings.get("schema_version", 0))
        _require_edition(edition, settings, version)
        if version == edition.version and settings.get("functions") == edition.digest:
            return
        await connection.execute("select set_config('ccb.embedding_dim', %s, true)", [str(dimension)])
        for script in edition.migrations(after=version):
            await connection.execute(script)
        await connection.execute(edition.functions)
        await connection.execute(_remember(edition))


def store_script(dimension: int) -> str:
    """All of the store as one script, for databases where somebody else installs it. It may be run again."""
    return "\n".join(
        [
            _NO_STEP_BACK % (Edition.STORE.name, Edition.STORE.version),
            f"select set_config('ccb.embedding_dim', '{dimension}', false);\n",
            *(script.decode() for script in Edition.STORE.migrations()),
            Edition.STORE.functions.decode(),
            _remember(Edition.STORE).decode(),
        ]
    )


_NO_STEP_BACK = """\
do $do$
begin
  if to_regclass('ccb.settings') is null then return; end if;
  if exists (select 1 from ccb.settings where key = 'edition' and value <> '%s') then
    raise exception 'the database is in use by another backend of the gateway: give this one a database of its own';
  end if;
  if exists (select 1 from ccb.settings where key = 'schema_version' and value::int > %d) then
    raise exception 'a newer gateway was here before: run the script of that one';
  end if;
end
$do$;
"""


def _remember(edition: Edition) -> bytes:
    return (  # the values are our own
        "insert into ccb.settings values"  # noqa: S608
        f" ('schema_version', '{edition.version}'), ('functions', '{edition.digest}'), ('edition', '{edition.name}')"
        " on conflict (key) do update set value = excluded.value;\n"
    ).encode()


def _require_edition(edition: Edition, settings: dict[str, str], version: int) -> None:
    if version == 0:
        return
    if settings.get("edition", Edition.STORE.name) != edition.name:
        raise Misconfigured(
            "the database is in use by another backend of the gateway: give this one a database of its own"
        )
    if version > edition.version:
        raise Misconfigured(
            f"the database has schema version {version}, this gateway knows up to {edition.version}: "
            "start a newer gateway, or use another database"
        )


async def _settings(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> dict[str, str]:
    cursor = await connection.execute("select to_regclass('ccb.settings') is not null")
    if await cursor.fetchone() != (True,):
        return {}
    cursor = await connection.execute("select key, value from ccb.settings")
    return {str(key): str(value) for key, value in await cursor.fetchall()}
