"""A real gateway on a real socket, and a client that speaks to it like Nextcloud."""

import http.client
import json
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

import httpx
from pydantic import SecretStr

from context_chat_backend.contract import Driver
from context_chat_backend.gateway import plan_gateway
from context_chat_backend.http import readiness
from context_chat_backend.http.app import Serving, create_app
from context_chat_backend.http.server import GatewayServer
from context_chat_backend.nextcloud.push_client import PushClient, appapi_headers
from context_chat_backend.settings import Settings

from .config import FASTER_MODEL

SECRET = "12345"  # the one in the recorded requests
PROVIDERS = ("files__default", "mail__mail", "deck__deck", "notes__notes")


def make_settings(folder: Path, **values: Any) -> Settings:
    return Settings(
        **{"app_secret": SecretStr(SECRET), "app_persistent_storage": folder, "nextcloud_url": None, **values}
    )


def headers(secret: str = SECRET, user: str = "") -> dict[str, str]:
    return appapi_headers(secret, user)


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Nextcloud(PushClient):
    """And what tests ask for."""

    def __init__(self, base_url: str) -> None:
        super().__init__(base_url, SECRET, timeout=60)

    def found(self, user: str, query: str = "whale", **scope: Any) -> set[str]:
        response = self.post("/docSearch", userId=user, query=query, ctxLimit=200, **scope)
        assert response.status_code == 200, response.text
        return {hit["source_id"] for hit in response.json()}

    def counts(self) -> dict[str, int]:
        response = self.http.post("/countIndexedDocuments")
        assert response.status_code == 200, response.text
        return dict(response.json())

    def forget_everything(self) -> None:
        for provider in PROVIDERS:
            assert self.post("/deleteProvider", providerKey=provider).status_code == 200

    def send_raw(self, raw: bytes) -> Reply:
        """Send exactly these bytes and read one response."""
        url = httpx.URL(self.base_url)
        with socket.create_connection((url.host, url.port or 80), timeout=60) as connection:
            connection.sendall(raw)
            response = http.client.HTTPResponse(connection)
            response.begin()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())


@contextmanager
def running_gateway(
    settings: Settings, driver: Driver | None = None, variables: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Nextcloud]:
    """Serve in a thread until the block ends; ready when entered."""
    serving = Serving()
    app = create_app(plan_gateway(settings, {**FASTER_MODEL, **variables}, driver), serving)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = GatewayServer(app, serving)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        nextcloud = Nextcloud(f"http://127.0.0.1:{listener.getsockname()[1]}")
        try:
            with patch.object(readiness, "LOOK_SECONDS", 0.0):
                wait_until_ready(nextcloud)
            yield nextcloud
        finally:
            nextcloud.http.close()
            server.should_exit = True
            thread.join(timeout=60)


def wait_until_ready(
    nextcloud: Nextcloud,
    seconds: float = 60,
    path: str = "/health/ready",
    process: subprocess.Popen[bytes] | None = None,
) -> None:
    """Raises `TimeoutError` after that time, or at once when the process, if one is given, has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and (process is None or process.poll() is None):
        try:
            if nextcloud.http.get(path).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    raise TimeoutError("the gateway did not become ready")


def marked_actions(storage: Path) -> int:
    """How many actions a gateway has begun, or turned away, and not got done."""
    with closing(sqlite3.connect(f"file:{storage / 'state.db'}?mode=ro", uri=True)) as state:
        (number,) = state.execute("select count(*) from marks").fetchone()
        return int(number)


class GatewayProcess:
    """`ccbe serve` in a process of its own, with nothing of this process's environment; can be started again."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *,
        storage: Path | None = None,
        open_files: int | None = None,
        soft: bool = False,
        python: str = sys.executable,
    ) -> None:
        """`storage` is `folder` by default, which always has the console. `open_files` is how many it may open, and
        with `soft` it may raise that. `python` may be that of another version's environment."""
        self.folder = folder
        self.storage = folder if storage is None else storage
        limit = f"ulimit -{'S' if soft else ''}n {open_files}; " if open_files is not None else ""
        self._command = ["/bin/sh", "-c", f'{limit}exec "$0" "$@"', python, "-m", "context_chat_backend", "serve"]
        self.port = free_port()
        self.nextcloud = Nextcloud(f"http://127.0.0.1:{self.port}")
        self.environment = {
            "APP_SECRET": SECRET,
            "APP_PORT": str(self.port),
            "APP_PERSISTENT_STORAGE": str(self.storage),
            **FASTER_MODEL,
            **environment,
        }
        self._process: subprocess.Popen[bytes]

    def launch(self) -> None:
        """Returns at once."""
        with (self.folder / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )

    def start(self, *, ready: bool = True) -> None:
        """Returns once the gateway serves requests, or (not `ready`) once the process does."""
        self.launch()
        try:
            wait_until_ready(self.nextcloud, path="/health/ready" if ready else "/heartbeat", process=self._process)
        except TimeoutError as error:
            error.add_note(self.console()[-2_000:])
            raise

    def console(self) -> str:
        """What it said so far, in all of its starts."""
        return (self.folder / "console.log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def spooled(self) -> list[Path]:
        """Uploads on the disk."""
        return list((self.storage / "spool").iterdir())

    def log(self) -> list[dict[str, Any]]:
        """The records of the log file."""
        return [json.loads(line) for line in (self.storage / "logs" / "ccb.log").read_text().splitlines()]

    def errors(self) -> list[str]:
        """Messages that an admin should worry about, with their tracebacks."""
        return [
            f"{record['message']} {record.get('exc_info', '')}"
            for record in self.log()
            if record["level"] in {"ERROR", "CRITICAL"}
        ]

    def stop(self) -> int:
        """Ask it to end, as Docker does, and return the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        self._process.kill()
        self.wait()

    def wait(self, seconds: float = 90) -> int:
        """Return the exit code; negative for a signal."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise

    def close(self) -> None:
        self.nextcloud.http.close()
        if self._process.poll() is None:
            self.stop()


@contextmanager
def gateway_process(
    environment: Mapping[str, str] | None = None,
    *,
    folder: Path | None = None,
    ready: bool = True,
    storage: Path | None = None,
    open_files: int | None = None,
    soft: bool = False,
) -> Iterator[GatewayProcess]:
    """A running `GatewayProcess`, by default on a new folder that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="ccb-test-") as temporary:
        # the embedded PostgreSQL of a gateway that runs as root has to pass through; pytest's folders are closed
        Path(temporary).chmod(0o755)
        gateway = GatewayProcess(
            folder or Path(temporary), environment or {}, storage=storage, open_files=open_files, soft=soft
        )
        try:
            gateway.start(ready=ready)
            yield gateway
        finally:
            gateway.close()


def free_port() -> int:
    """Not one of those that the system gives to clients, which could take it before the server does."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_768)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
