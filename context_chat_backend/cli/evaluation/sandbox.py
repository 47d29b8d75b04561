"""A gateway of an evaluation's own, asked over HTTP as Nextcloud asks."""

import secrets
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from ...contract import Misconfigured
from ...nextcloud.push_client import PushClient, part
from ..command import Variables, read_plan
from ..own_gateway import GatewayFailed, free_port, own_gateway, signals_handled_by, wait_until_ready
from ..progress import Progress

APART: Mapping[str, str] = {
    "APP_HOST": "127.0.0.1",
    "APP_ROLE": "",
    "HP_SHARED_KEY": "",
    "HP_FRP_ADDRESS": "",
    "HP_FRP_PORT": "",
    "INDEX_RULES": "",
    "INTAKE": "push",
    "LOG_LEVEL": "WARNING",
    "METRICS_TOKEN": "",
    "NEXTCLOUD_URL": "",
}
"""What keeps it apart from a Nextcloud and the gateway there. The rest is as the environment says."""
NO_MODEL: Mapping[str, str] = {"CC_GENERATOR": "extractive"}
"""For evaluations that want no answers: nothing has to be set up for them."""
PROVIDER = "evaluation__documents"
"""Of all its sources: no source of a Nextcloud has such an id."""
UPLOADS_PER_REQUEST = 25
DELETIONS_PER_REQUEST = 1000
DEPTH = 100
"""Documents asked for by a search."""
REQUEST_TIMEOUT = 1800
"""Seconds: an answer may have to wait for a language model."""
PATIENCE = 600
"""Seconds without progress after which a busy gateway is given up."""
PAUSE = 2.0
NOTHING_FOUND = "No documents retrieved"
"""Part of the error that a question gets when nothing was found for its user."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A document as it is sent to the gateway."""

    id: str
    number: int
    """Becomes the item id of its source."""
    title: str
    read: Callable[[], bytes]
    """Gives its content."""
    readers: frozenset[str]
    mime_type: str = "text/plain"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of the uploads."""

    seconds: float
    rejected: Sequence[str]
    """Ids of those that the gateway will never index as they are."""
    into_empty: bool
    """Whether the store held nothing before."""


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a search: document ids, best first. What is no document of the set has its source id."""

    documents: Sequence[str]
    seconds: float


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a question: its text, and the document ids behind it. Both are empty when nothing was found."""

    text: str
    documents: Sequence[str]
    seconds: float


class Sandbox:
    """The gateway, once it is ready."""

    def __init__(self, client: PushClient, settle_seconds: float) -> None:
        self._client = client
        self._settle_seconds = settle_seconds
        self._ids: dict[str, str] = {}

    def load(self, uploads: Sequence[Upload], *, highest: int = 0) -> Loaded:
        """Have the store hold these documents and no others, of which a kept one may have numbers up to `highest`.

        Raises `GatewayFailed`, also when the store holds what is not of an evaluation.
        """
        start = time.monotonic()
        self._ids = {_source_id(upload.number): upload.id for upload in uploads}
        stored = self._count()
        if stored:
            kept = {upload.number for upload in uploads}
            self._delete([number for number in range(1, highest + 1) if number not in kept])
        rejected = self._send(uploads)
        if self._count() > len(uploads):
            raise GatewayFailed("the store holds documents of another set; empty it, or keep this set elsewhere")
        time.sleep(self._settle_seconds)
        self._client.wait_for_meaning()
        return Loaded(time.monotonic() - start, rejected, into_empty=not stored)

    def search(self, user: str, text: str) -> Found:
        """Ask for the best documents. Raises `GatewayFailed`."""
        start = time.perf_counter()
        response = self._client.post("/docSearch", userId=user, query=text, ctxLimit=DEPTH)
        seconds = time.perf_counter() - start
        return Found(self._documents(hit["source_id"] for hit in _decoded(response)), seconds)

    def ask(self, user: str, text: str) -> Answered:
        """Ask for an answer. Raises `GatewayFailed`."""
        start = time.perf_counter()
        response = self._client.post("/query", userId=user, query=text, useContext=True)
        seconds = time.perf_counter() - start
        if response.status_code == httpx.codes.BAD_REQUEST and NOTHING_FOUND in response.text:
            return Answered("", (), seconds)
        body = _decoded(response)
        return Answered(body["output"], self._documents(body["sources"]), seconds)

    def clear(self) -> None:
        """Remove all documents: a store outside of the storage would keep them."""
        _decoded(self._client.post("/deleteProvider", providerKey=PROVIDER))

    def _documents(self, source_ids: Iterable[str]) -> tuple[str, ...]:
        return tuple(self._ids.get(source_id, source_id) for source_id in source_ids)

    def _count(self) -> int:
        counts: dict[str, int] = _decoded(self._client.http.post("/countIndexedDocuments"))
        if others := {provider for provider, count in counts.items() if count and provider != PROVIDER}:
            raise GatewayFailed(
                f"the store holds sources of {', '.join(sorted(others))}: an evaluation needs a store of its own, see "
                "--with"
            )
        return counts.get(PROVIDER, 0)

    def _delete(self, numbers: Sequence[int]) -> None:
        for start in range(0, len(numbers), DELETIONS_PER_REQUEST):
            ids = [_source_id(number) for number in numbers[start : start + DELETIONS_PER_REQUEST]]
            _decoded(self._client.post("/deleteSources", sourceIds=ids))

    def _send(self, uploads: Sequence[Upload]) -> list[str]:
        """Returns the ids of what was rejected."""
        waiting, rejected = list(uploads), []
        deadline = time.monotonic() + PATIENCE
        with Progress() as progress:
            progress.begin(total=len(uploads))
            while waiting:
                batch, waiting = waiting[:UPLOADS_PER_REQUEST], waiting[UPLOADS_PER_REQUEST:]
                loaded, again = self._send_batch(batch)
                rejected += [each.id for each in batch if each not in loaded and each not in again]
                waiting += again
                progress.advance(len(batch) - len(again))
                if len(again) < len(batch):
                    deadline = time.monotonic() + PATIENCE
                elif time.monotonic() > deadline:
                    raise GatewayFailed("the gateway takes no more documents; its log says why")
                else:
                    time.sleep(PAUSE)
        return rejected

    def _send_batch(self, batch: Sequence[Upload]) -> tuple[list[Upload], list[Upload]]:
        """Those that are loaded, and those to be sent again."""
        response = self._client.load(*(_part(upload) for upload in batch))
        if "cc-retry" in response.headers:
            return [], list(batch)
        answer = _decoded(response)
        loaded, again = set(answer["loaded_sources"]), set(answer["sources_to_retry"])
        return (
            [upload for upload in batch if _source_id(upload.number) in loaded],
            [upload for upload in batch if _source_id(upload.number) in again],
        )


@contextmanager
def sandbox(variables: Variables, storage: Path) -> Iterator[Sandbox]:
    """Run a gateway on this storage until the block ends.

    Raises `Misconfigured`, and `GatewayFailed` when it does not get ready.
    """
    secret = secrets.token_urlsafe(16)
    environment = {
        **variables,
        **APART,
        "APP_SECRET": secret,
        "APP_PORT": str(free_port()),
        "APP_PERSISTENT_STORAGE": str(storage),
    }
    plan = read_plan(environment)
    with (
        signals_handled_by(signal.default_int_handler),
        own_gateway(environment) as gateway,
        PushClient(gateway.base_url, secret, timeout=REQUEST_TIMEOUT) as client,
    ):
        wait_until_ready(gateway, client)
        yield Sandbox(client, plan.driver.capabilities.settle_seconds)


@contextmanager
def kept_storage(folder: Path) -> Iterator[Path]:
    """A storage that stays."""
    folder.mkdir(parents=True, exist_ok=True)
    yield folder.resolve()


@contextmanager
def temporary_storage() -> Iterator[Path]:
    """A storage that is removed when the block ends."""
    with tempfile.TemporaryDirectory(prefix="context-chat-eval-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # as root, the database runs under another account
        yield folder


def with_variables(variables: Variables, assignments: Sequence[str]) -> Variables:
    """The environment with what `--with` says. Raises `Misconfigured`."""
    changed = dict(variables)
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not (name and equals):
            raise Misconfigured(f"--with {assignment}: expected NAME=VALUE")
        if name in APART or name.startswith("APP_"):
            raise Misconfigured(f"--with {name}: the gateway of an evaluation has a value of its own for this")
        changed[name] = value
    return changed


def _source_id(number: int) -> str:
    return f"{PROVIDER}: {number}"


def _part(upload: Upload) -> bytes:
    return part(
        _source_id(upload.number),
        upload.read(),
        users=sorted(upload.readers),
        title=" ".join(upload.title.split()),
        mime_type=upload.mime_type,
    )


def _decoded(response: httpx.Response) -> Any:
    if response.is_error:
        raise GatewayFailed(f"{response.url.path} was answered with {response.status_code}: {response.text[:500]}")
    return response.json()
