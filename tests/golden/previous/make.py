"""Has an older version of the gateway fill its data folders and writes them here as text; README.md says how to run
it."""

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psycopg
from qdrant_client import QdrantClient, models

from context_chat_backend.toolkit.postgres import embedded
from tests.doubles.r2r import r2r_server
from tests.gateway import GatewayProcess, Nextcloud
from tests.postgres import postgres_in

from . import FOLDER
from .documents import BOOK, CHANGES, COUNTS, FAILED, GONE, HELD, LOADED, REPLY, STORED, USERS, Document, allow, seen_of
from .r2r import AT_WORK, DELETED_AT_WORK, contents_of

LONG_ENOUGH = 5.0


class Old(GatewayProcess):
    """A gateway of the older version on an empty folder."""

    def __init__(self, checkout: Path, folder: Path, environment: Mapping[str, str]) -> None:
        python = checkout / ".venv" / "bin" / "python"
        super().__init__(folder, {"PYTHONDONTWRITEBYTECODE": "1", **environment}, python=str(python))


@contextmanager
def old_gateway(checkout: Path, **environment: str) -> Iterator[Old]:
    """It runs until the block ends, unless it is killed before."""
    with TemporaryDirectory(prefix="ccb-test-") as folder:
        Path(folder).chmod(0o755)  # the account of the embedded PostgreSQL has to pass through
        gateway = Old(checkout, Path(folder), environment)
        try:
            gateway.start()
            yield gateway
        finally:
            gateway.close()


def builtin(checkout: Path) -> None:
    """Actions have failed, and were not repeated yet."""
    with old_gateway(checkout, RAG_BACKEND="builtin", BUILTIN_ATTEMPTS="1") as old:
        cluster = old.folder / "backends" / "builtin"
        fill(old.nextcloud)
        with read_only(cluster):
            for failed in FAILED:
                expect(503, old.nextcloud, *failed.request)
        look(old.nextcloud)
        load(old.nextcloud, STORED, retry=HELD)
        expect(200, old.nextcloud, *allow("carol", REPLY))  # so that the cache does not know its readers
        look(old.nextcloud)
        old.stop()
        write("builtin/state.sql", sqlite_dump(old.folder / "state.db"))
        write("builtin/postgres.sql", postgres_dump(cluster))


def qdrant(checkout: Path) -> None:
    """Killed before the store heard of the last changes, and before Nextcloud took the report of the initialisation."""
    environment = {"QDRANT_URL": "store", "NEXTCLOUD_URL": "http://127.0.0.1:9"}
    with old_gateway(checkout, RAG_BACKEND="qdrant", **environment) as old:
        expect(200, old.nextcloud, "/init", {})
        assert old.nextcloud.http.put("/enabled", params={"enabled": 1}).status_code == 200
        fill(old.nextcloud)
        load(old.nextcloud, [*STORED, GONE])
        time.sleep(LONG_ENOUGH)  # until the store has heard of everything
        expect(200, old.nextcloud, "/deleteSources", {"sourceIds": [GONE.id]})
        expect(200, old.nextcloud, *allow("stranger", REPLY))
        old.kill()
        write("qdrant/state.sql", sqlite_dump(old.folder / "state.db"))
        write("qdrant/points.json", qdrant_dump(old.folder / "store"))
        write("qdrant/postgres.sql", postgres_dump(old.folder / "backends" / "qdrant"))


def r2r(checkout: Path) -> None:
    """Disabled, and stopped while R2R was at work on two documents, one of them deleted meanwhile."""
    with r2r_server() as double:
        account = {"R2R_USER": double.superuser.email, "R2R_PASSWORD": double.superuser.password}
        environment = {"R2R_BASE_URL": double.url, "R2R_HTTP_TIMEOUT": "1", "R2R_ATTEMPTS": "1", **account}
        with old_gateway(checkout, RAG_BACKEND="r2r", **environment) as old:
            fill(old.nextcloud)
            load(old.nextcloud, STORED)
            double.orchestrated = True
            load(old.nextcloud, [AT_WORK, DELETED_AT_WORK], retry={AT_WORK.id, DELETED_AT_WORK.id})
            until(lambda: old.nextcloud.post("/deleteSources", sourceIds=[DELETED_AT_WORK.id]).status_code == 200)
            assert old.nextcloud.http.put("/enabled", params={"enabled": 0}).status_code == 200
            old.stop()
            double.finish_ingestions()
            assert double.violations == []
            write("r2r/state.sql", sqlite_dump(old.folder / "state.db"))
            folder = old.folder / "backends" / "r2r"
            assert {path.name for path in folder.iterdir()} == {"namespace", "collections.db", "uploads.db"}
            write("r2r/namespace", (folder / "namespace").read_text())
            write("r2r/collections.sql", sqlite_dump(folder / "collections.db"))
            write("r2r/uploads.sql", sqlite_dump(folder / "uploads.db"))
            write("r2r/server.json", contents_of(double))


# ---------------------------------------------------------------------- requests


def fill(nextcloud: Nextcloud) -> None:
    """Ends with what `STORED` says."""
    load(nextcloud, LOADED)
    for path, body in CHANGES:
        expect(200, nextcloud, path, body)
    load(nextcloud, [document for document in STORED if document.id == BOOK.id])
    look(nextcloud)


def load(nextcloud: Nextcloud, documents: Iterable[Document], retry: Iterable[str] = ()) -> None:
    response = nextcloud.load(*(document.part for document in documents))
    assert response.status_code == 200, response.text
    assert set(response.json()["sources_to_retry"]) == set(retry), response.text


def look(nextcloud: Nextcloud) -> None:
    assert nextcloud.counts() == COUNTS
    assert {user: nextcloud.found(user, "harbour") for user in USERS} == seen_of()


def expect(status: int, nextcloud: Nextcloud, path: str, body: dict[str, object]) -> None:
    response = nextcloud.post(path, **body)
    assert response.status_code == status, response.text


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(1)


# ---------------------------------------------------------------------- text


def write(name: str, text: str) -> None:
    path = FOLDER / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(f"{len(text.encode()):8,} bytes: {name}")  # noqa: T201


def sqlite_dump(path: Path) -> str:
    with closing(sqlite3.connect(path)) as db:
        ((version,),) = db.execute("pragma user_version")
        return "\n".join([*db.iterdump(), f"PRAGMA user_version = {version};\n"])


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Every change fails until the block ends, as while a replica takes over."""

    def switch(mode: str) -> None:
        connection.execute(f"alter system set default_transaction_read_only = {mode}".encode())
        connection.execute("select pg_reload_conf()")
        time.sleep(1)

    with postgres_in(folder) as uri, psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("set default_transaction_read_only = off")
        switch("on")
        yield
        switch("off")


def postgres_dump(folder: Path) -> str:
    with postgres_in(folder) as uri:
        dump = subprocess.run(
            [embedded.PROGRAMS / "bin" / "pg_dump", "--no-owner", uri], check=True, capture_output=True, text=True
        ).stdout
    return "\n".join(line for line in dump.splitlines() if not line.startswith(("--", "\\restrict", "\\unrestrict")))


def qdrant_dump(folder: Path) -> str:
    """The vectors in the precision of half floats."""
    with closing(QdrantClient(path=str(folder))) as client:
        (collection,) = client.get_collections().collections
        points, _ = client.scroll(collection.name, limit=1000, with_vectors=True)
    shown = []
    for point in points:
        assert isinstance(point.vector, dict)
        dense, sparse = point.vector["meaning"], point.vector["words"]
        assert isinstance(sparse, models.SparseVector)
        half = [float(f"{number:.4g}") for number in np.asarray(dense, np.float16)]
        shown.append({"id": point.id, "payload": point.payload, "meaning": half, "words": sparse.model_dump()})
    lines = ",\n".join(json.dumps(point, ensure_ascii=False) for point in shown)
    return f'{{"collection": "{collection.name}", "points": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    for fill_and_write in (builtin, qdrant, r2r):
        fill_and_write(Path(sys.argv[1]).absolute())
