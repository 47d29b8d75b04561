"""Runs the application on its socket until it is told to stop, or cannot go on."""

import logging
import resource
import signal
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import cast

import anyio
import uvicorn
from starlette.types import ASGIApp
from uvicorn.lifespan.on import LifespanOn

from ..contract import Misconfigured
from ..core.spool import open_spool
from ..core.state import State
from ..gateway import plan_gateway
from ..logs import set_up_logging
from ..settings import Settings
from ..storage import claimed_storage, spool_folder, state_file
from ..tunnel import Tunnel, plan_tunnel
from .app import Serving, create_app
from .connections import Connections, GuardedProtocol
from .middleware import NoStore

SHUTDOWN_SECONDS = 5
"""For requests under way; Docker kills after 10. A load that is cut off is sent again by Nextcloud."""
MOST_CONNECTIONS = 1000
MOST_FILES = 65_536
"""Plenty. Some systems allow a billion, and a program that is started from here may try to close them all."""

ENDED = 0
FAILED = 1

log = logging.getLogger(__name__)


def serve(settings: Settings, variables: Mapping[str, str]) -> int:
    """Run the gateway; returns the exit code, which is not 0 when it has to be started again.

    Raises `Misconfigured` when it cannot start.
    """
    # the folder and the port first: a gateway that cannot have them must not touch what another one uses, such as the
    # socket file that it listens on
    with claimed_storage(settings.app_persistent_storage), open_listener(settings) as listener:
        set_up_logging(settings)
        plan = plan_gateway(settings, variables)
        open_spool(spool_folder(settings.app_persistent_storage))
        anyio.run(_require_state, state_file(settings.app_persistent_storage))
        serving = Serving(open_tunnel(settings))
        server = GatewayServer(create_app(plan, serving), serving)
        with suppress(SystemExit):  # with a status of uvicorn's own, when the start fails
            server.run([listener])
        return ENDED if server.started and not server.failed else FAILED


def open_tunnel(settings: Settings) -> Tunnel | None:
    """What the server has to enter so that HaRP reaches it; None where nothing has to be opened."""
    plan = plan_tunnel(settings)
    if plan is None and settings.hp_shared_key is not None:
        log.warning("no frpc is started, because HP_FRP_ADDRESS or HP_FRP_PORT is not set")
    return None if plan is None else Tunnel(plan)


async def _require_state(file: Path) -> None:
    """Reports a problem in one line: inside the server it would be a traceback."""
    async with State(file):
        pass


def open_listener(settings: Settings) -> socket.socket:
    """Behind HaRP its client connects to a socket file; else AppAPI connects to a port. Raises `Misconfigured`."""
    if settings.hp_shared_key is not None:
        return _open_socket_file(settings.hp_exapp_sock)
    host, port = settings.app_host, settings.app_port
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise Misconfigured(f"APP_HOST, APP_PORT: cannot listen on {host}:{port}: {error.strerror}") from error


def _open_socket_file(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    try:
        path.unlink(missing_ok=True)
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise Misconfigured(f"HP_EXAPP_SOCK: cannot listen on {path}: {error.strerror}") from error
    return listener


class GatewayServer(uvicorn.Server):
    """Uvicorn with bounds on connections, which ends when the application does."""

    def __init__(self, app: ASGIApp, serving: Serving | None = None) -> None:
        self._serving = serving or Serving()
        connections = Connections(most_connections(allow_open_files()))
        super().__init__(
            uvicorn.Config(
                NoStore(app),
                http=cast("type[GuardedProtocol]", partial(GuardedProtocol, among=connections)),
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # nothing depends on who the client is
                ws="none",
                lifespan="on",
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            )
        )

    @property
    def failed(self) -> bool:
        """The application ended on its own."""
        return isinstance(self.lifespan, LifespanOn) and self.lifespan.error_occurred

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        async with AsyncExitStack() as stack:
            if self._serving.tunnel is not None:  # it is closed last: answers get out through it
                await stack.enter_async_context(self._serving.tunnel)
            await super().serve(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._serving.stopping.set(True)
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        if self.failed:
            log.critical("the gateway cannot go on")
            return True
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn would raise the signal again at the end: a clean end would look like a death
        if sig == signal.SIGTERM:
            self.should_exit = True
        else:
            super().handle_exit(sig, frame)


def allow_open_files() -> int:
    """Raise the soft limit of open files to what is allowed; returns how many may be open then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        return allowed
    return MOST_FILES if soft == resource.RLIM_INFINITY else soft


def most_connections(files: int) -> int:
    """How many there may be: half the files are left for databases, backends and uploads."""
    return min(MOST_CONNECTIONS, files // 2)
