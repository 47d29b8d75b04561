"""A gateway of a command's own: `ccbe serve` in a process that ends with the command."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import httpx

from ..contract import DriverError
from ..nextcloud.push_client import PushClient

START_TIMEOUT = 120
STOP_TIMEOUT = 60

Handler = Callable[[int, FrameType | None], object] | signal.Handlers


class GatewayFailed(DriverError):
    """The gateway does not do what the command needs."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running `ccbe serve`."""

    process: subprocess.Popen[bytes]
    base_url: str


@contextmanager
def own_gateway(environment: Mapping[str, str], *, folder: Path | None = None) -> Iterator[Gateway]:
    """Run it in this environment, which has an `APP_PORT`, until the block ends.

    In a `folder`, by default the current one, whose `.env` it reads.
    """
    command = [sys.executable, "-m", "context_chat_backend", "serve"]
    process = subprocess.Popen(  # noqa: S603 - fixed words
        command,
        env=environment,
        cwd=folder,
        start_new_session=True,  # Ctrl-C ends the command, and the command ends the gateway
    )
    try:
        yield Gateway(process, f"http://127.0.0.1:{environment['APP_PORT']}")
    finally:
        with signals_handled_by(signal.SIG_IGN):  # impatience must not leave a database behind
            process.terminate()
            process.wait(timeout=STOP_TIMEOUT)


@contextmanager
def signals_handled_by(handler: Handler) -> Iterator[None]:
    """Have it called for whatever asks the command to stop, a closed terminal included; in the end all is as before.

    It does not matter how the signals were handled before. A shell starts what runs in the background with Ctrl-C
    ignored; only `nohup` is taken at its word.
    """
    endings = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        endings.remove(signal.SIGHUP)
    before = {ending: signal.signal(ending, handler) for ending in endings}
    try:
        yield
    finally:
        for ending, previous in before.items():
            signal.signal(ending, previous)


def free_port() -> int:
    """One that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_ready(gateway: Gateway, client: PushClient) -> None:
    """Raises `GatewayFailed`."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if gateway.process.poll() is not None:
            raise GatewayFailed("the gateway did not start, see above")
        try:
            if _is_ready(client):
                return
        except httpx.TransportError:
            pass  # the port is not open yet
        time.sleep(0.2)
    raise GatewayFailed(f"the gateway was not ready within {START_TIMEOUT} s")


def _is_ready(client: PushClient) -> bool:
    if client.http.get("/enabled").status_code != httpx.codes.OK:  # knows our secret, so it is ours
        raise GatewayFailed(f"something else answers at {client.base_url}")
    health = client.http.get("/health/ready")
    if health.json()["status"] == "misconfigured":
        raise GatewayFailed("the gateway cannot open its backend, see above")
    return health.is_success
