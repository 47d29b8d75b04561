"""What the fault tests share: texts, a database that can go away, an embedding server that can be held up."""

import random
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import psycopg
import uvicorn
from anyio.from_thread import start_blocking_portal
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from context_chat_backend.toolkit.postgres.embedded import EmbeddedPostgres
from tests.doubles.openai import EmbeddingRequest, FakeOpenAI
from tests.gateway import Nextcloud

MIB = 2**20


def file(number: int) -> str:
    """A source id."""
    return f"files__default: {number}"


def files(*numbers: int) -> list[str]:
    """Source ids."""
    return [file(number) for number in numbers]


def prose(size: int, seed: int = 0) -> bytes:
    """So many bytes of sentences; other words for another seed."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(2000)]
    sentences: list[str] = []
    left = size
    while left > 0:
        sentences.append(" ".join(rng.choices(words, k=rng.randint(5, 20))).capitalize() + ".\n")
        left -= len(sentences[-1])
    return "".join(sentences).encode()[:size]


def embedding_within_uploads(folder: Path) -> dict[str, str]:
    """Variables of a backend whose uploads take as long as their embedding."""
    return {"RAG_BACKEND": "qdrant", "QDRANT_URL": str(folder / "qdrant")}


def eventually(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def memory(pid: int, what: str) -> int:
    """`VmRSS` now or `VmHWM` at its peak, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(what)


def forget_peak(pid: int) -> None:
    """Let `VmHWM` begin at `VmRSS` again: https://docs.kernel.org/filesystems/proc.html"""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def partition(nextcloud: Nextcloud, *parts: bytes) -> tuple[set[str], set[str]]:
    """Load sources; what was loaded and what is to be sent again. No id is in the answer twice."""
    response = nextcloud.load(*parts)
    assert response.status_code == 200, response.text
    answer = response.json()
    loaded, retry = answer["loaded_sources"], answer["sources_to_retry"]
    assert len({*loaded, *retry}) == len(loaded) + len(retry)
    return set(loaded), set(retry)


class Database:
    """A PostgreSQL that no gateway owns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running = ExitStack()
        self.uri = ""

    def start(self) -> None:
        with ExitStack() as running:
            portal = running.enter_context(start_blocking_portal())
            server = running.enter_context(portal.wrap_async_context_manager(EmbeddedPostgres(self.folder)))
            self.uri = server.uri
            self._running = running.pop_all()

    def stop(self) -> None:
        """Clients lose their connections at once."""
        self._running.close()

    def ask(self, statement: str) -> object:
        with psycopg.connect(self.uri, autocommit=True) as connection:
            connection.execute("set default_transaction_read_only = off")
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None

    def set_read_only(self, read_only: bool) -> None:
        """As while a replica takes over: open connections stay, nothing can be written."""
        self.ask(f"alter system set default_transaction_read_only = {'on' if read_only else 'off'}")
        self.ask("select pg_reload_conf()")
        with psycopg.connect(self.uri, autocommit=True) as connection:
            wanted = ("on" if read_only else "off",)
            eventually(lambda: connection.execute("show default_transaction_read_only").fetchone() == wanted)


def embedded_uri(storage: Path) -> str:
    """The PostgreSQL that a gateway has embedded in its storage."""
    return f"postgresql://postgres@/postgres?host={storage / 'backends' / 'builtin' / 'cluster'}"


def postmaster(storage: Path) -> int:
    """Its process id."""
    cluster = storage / "backends" / "builtin" / "cluster"
    return int((cluster / "postmaster.pid").read_text().splitlines()[0])


@contextmanager
def database() -> Iterator[Database]:
    """A running database with nothing in it."""
    folder = Path(tempfile.mkdtemp(prefix="ccb-test-"))  # not below pytest's: the server's account may not enter that
    server = Database(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@dataclass
class EmbeddingServer:
    """The strict double of OpenAI's API on a socket. Requests with `hold` in a text wait until it is taken away."""

    api: FakeOpenAI = field(default_factory=FakeOpenAI)
    hold: str | None = None
    waiting: int = 0
    """Requests that are held up."""
    url: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.api(scope, receive, send)
        body = await Request(scope, receive).body()
        if self._held(body):
            self.waiting += 1
            while self._held(body):  # noqa: ASYNC110 - let go by another thread
                await anyio.sleep(0.02)
            self.waiting -= 1

        async def replay() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        return await self.api(scope, replay, send)

    def _held(self, body: bytes) -> bool:
        return self.hold is not None and self.hold.encode() in body

    @property
    def environment(self) -> dict[str, str]:
        """Settings of a gateway that uses this server."""
        return {"CC_EM_BASE_URL": self.url, "CC_EM_MODEL_NAME": "text-embedding-3-small"}

    def texts(self, word: str) -> int:
        """How many texts with this word were embedded."""
        inputs = (request.input for request in self.api.requests if isinstance(request, EmbeddingRequest))
        return sum(word in text for each in inputs for text in ([each] if isinstance(each, str) else each))


@contextmanager
def embedding_server() -> Iterator[EmbeddingServer]:
    """Serves in a thread until the block ends."""
    double = EmbeddingServer()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        double.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        server = uvicorn.Server(uvicorn.Config(double, log_config=None, ws="none", lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield double
        finally:
            double.hold = None
            server.should_exit = True
            thread.join(timeout=60)
