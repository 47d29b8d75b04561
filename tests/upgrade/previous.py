"""Data folders of the version before, from `tests/golden/previous`."""

import sqlite3
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus_client.parser import text_string_to_metric_families
from pydantic import TypeAdapter
from qdrant_client import QdrantClient, models
from typing_extensions import TypedDict

from context_chat_backend.toolkit.postgres import embedded
from tests.gateway import Nextcloud
from tests.golden.previous import FOLDER
from tests.golden.previous.documents import USERS, Document, Request, Seen
from tests.postgres import postgres_in

MINUTE = 60


class Point(TypedDict):
    id: str
    payload: dict[str, str | int]
    meaning: list[float]
    words: dict[str, list[float]]


class Points(TypedDict):
    collection: str
    points: list[Point]


@contextmanager
def storage(template: Path | None = None) -> Iterator[Path]:
    """A persistent storage, by default an empty one. Not below pytest's: the database's account may not enter that."""
    with TemporaryDirectory(prefix="ccb-test-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        if template is not None:
            subprocess.run(["cp", "-a", f"{template}/.", folder], check=True)  # with its owners
        yield folder


def restore_sqlite(name: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as db:
        db.executescript((FOLDER / name).read_text(encoding="utf-8"))


def restore_state(name: str, folder: Path) -> None:
    """The file of the gateway itself, as old as if it had been left a minute ago."""
    path = folder / "state.db"
    restore_sqlite(f"{name}/state.sql", path)
    with closing(sqlite3.connect(path)) as db, db:
        ((left,),) = db.execute("select max(seen_at) from upserts")
        later = {"later": time.time() - MINUTE - left}
        db.execute("update upserts set seen_at = seen_at + :later", later)
        db.execute("update held_actions set since = since + :later, expires_at = expires_at + :later", later)


def restore_database(name: str, uri: str) -> None:
    """Into a database without anything in it."""
    subprocess.run(
        [embedded.PROGRAMS / "bin" / "psql", "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-d", uri, "-f", FOLDER / name],
        env={"LC_ALL": "C.UTF-8"},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def restore_embedded(name: str, folder: Path) -> None:
    """As the embedded PostgreSQL of a backend."""
    with postgres_in(folder / "backends" / name) as uri:
        restore_database(f"{name}/postgres.sql", uri)


def restore_points(folder: Path) -> None:
    """As the folder of a local Qdrant."""
    stored = TypeAdapter(Points).validate_json((FOLDER / "qdrant" / "points.json").read_text(encoding="utf-8"))
    with closing(QdrantClient(path=str(folder))) as client:
        client.create_collection(
            stored["collection"],
            vectors_config={"meaning": models.VectorParams(size=384, distance=models.Distance.COSINE)},
            sparse_vectors_config={"words": models.SparseVectorParams(modifier=models.Modifier.IDF)},
        )
        client.upsert(stored["collection"], [_point(point) for point in stored["points"]])


def _point(point: Point) -> models.PointStruct:
    words = models.SparseVector.model_validate(point["words"])
    return models.PointStruct(
        id=point["id"], payload=dict(point["payload"]), vector={"meaning": point["meaning"], "words": words}
    )


# ---------------------------------------------------------------------- what a gateway makes of it


def seen(nextcloud: Nextcloud) -> Seen:
    """What each user finds."""
    return {user: nextcloud.found(user, "harbour") for user in USERS}


def best(nextcloud: Nextcloud, user: str, query: str) -> list[tuple[str, str]]:
    """Id and title of what is found first."""
    hits = nextcloud.post("/docSearch", userId=user, query=query, ctxLimit=1).json()
    return [(hit["source_id"], hit["title"]) for hit in hits]


def load(nextcloud: Nextcloud, documents: Iterable[Document]) -> tuple[set[str], set[str]]:
    """What was loaded, and what is to be sent again."""
    response = nextcloud.load(*(document.part for document in documents))
    assert response.status_code == 200, response.text
    return set(response.json()["loaded_sources"]), set(response.json()["sources_to_retry"])


def send(nextcloud: Nextcloud, request: Request) -> int:
    """The status of the answer."""
    path, body = request
    return nextcloud.post(path, **body).status_code


def skipped(nextcloud: Nextcloud) -> dict[str, int]:
    """Sources that were not handed to the backend, by window of the cache."""
    families = text_string_to_metric_families(nextcloud.http.get("/metrics").text)
    samples = (sample for family in families for sample in family.samples)
    return {each.labels["window"]: int(each.value) for each in samples if each.name == "ccb_upserts_skipped_total"}
