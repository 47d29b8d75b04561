"""The servers as processes of their own, and the client that asks them."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from context_chat_backend.nextcloud.push_client import UPLOAD_TYPE, appapi_headers, chunks_wait, multipart
from tests.gateway import SECRET, free_port

REPO = Path(__file__).parents[2]
START_SECONDS = 120
STOP_SECONDS = 60
KEPT = ("PATH", "HOME", "LANG", "TMPDIR")
"""Variables of ours that the servers get; no settings of the user take part."""


class Client:
    """One kept-alive connection. Of http.client, which needs a fraction of the time of httpx for a request."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        self._headers = appapi_headers(SECRET)

    def get(self, path: str) -> bytes:
        """The body of an answer. Raises `RuntimeError` unless the status is 200, as the others do."""
        return self._request("GET", path)

    def post(self, path: str, **body: object) -> Any:
        """The decoded answer to a JSON body."""
        return json.loads(self._request("POST", path, json.dumps(body).encode(), "application/json"))

    def load(self, parts: Iterable[bytes]) -> Any:
        """The decoded answer to `PUT /loadSources`; the parts are made by `push_client.part`."""
        return json.loads(self._request("PUT", "/loadSources", multipart(parts), UPLOAD_TYPE))

    def wait_for_meaning(self) -> None:
        """Return when all that is stored is found by its meaning, too."""
        while not self.is_at_rest():
            time.sleep(0.05)

    def is_at_rest(self) -> bool:
        """Whether no chunk waits for its vector."""
        return not chunks_wait(self.get("/metrics").decode())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _request(self, method: str, path: str, body: bytes | None = None, content_type: str = "text/plain") -> bytes:
        self._connection.request(method, path, body, {**self._headers, "Content-Type": content_type})
        response = self._connection.getresponse()
        content = response.read()
        if response.status != http.HTTPStatus.OK:
            raise RuntimeError(f"{method} {path}: {response.status} {content[:500]!r}")
        return content


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs, with a folder of its own."""

    port: int
    storage: Path

    @contextmanager
    def connect(self) -> Iterator[Client]:
        """A client for one measurement: servers close connections that were idle for five seconds."""
        with closing(Client(self.port)) as client:
            yield client


@contextmanager
def serving(
    *module_and_arguments: str, storage: Path, variables: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Server]:
    """Run a module of this repository as a server, ready when entered. What it prints is in `output.log`."""
    storage.mkdir()
    server = Server(free_port(), storage)
    with (storage / "output.log").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *module_and_arguments],
            cwd=storage,  # a .env file of the user does not take part
            env={**_environment(server), **variables},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_until_ready(server, process)
            yield server
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def _environment(server: Server) -> dict[str, str]:
    return {
        **{name: os.environ[name] for name in KEPT if name in os.environ},
        "PYTHONPATH": str(REPO),
        "APP_SECRET": SECRET,
        "APP_PORT": str(server.port),
        "APP_PERSISTENT_STORAGE": str(server.storage),
        "CC_EM_MODEL": "all-minilm-l6-v2",  # that of the corpus
    }


def _wait_until_ready(server: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with server.connect() as client:
                client.get("/health/ready")
        except (OSError, RuntimeError):
            time.sleep(0.1)  # the port is not open, or the backend is not
        else:
            return
    raise TimeoutError(f"the server did not get ready:\n{(server.storage / 'output.log').read_text()[-3000:]}")
