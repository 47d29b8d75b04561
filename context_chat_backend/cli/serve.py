"""`ccbe serve`: runs the gateway."""

import argparse
import socket

import uvicorn

from ..contract import Misconfigured
from ..gateway import plan_gateway
from ..http.app import create_app
from ..logs import set_up_logging
from ..settings import Settings
from ..storage import claimed_storage
from ..toolkit.settings import read_settings
from .command import Command, Variables

SHUTDOWN_SECONDS = 5
"""For requests under way; Docker kills after 10. A load that is cut off is sent again by Nextcloud."""


def _serve(_: argparse.Namespace, variables: Variables) -> int:
    settings = read_settings(Settings, variables)
    # the port and the folder first: a gateway that cannot have them must not touch what another one uses
    with _listener(settings) as listener, claimed_storage(settings.app_persistent_storage):
        set_up_logging(settings)
        config = uvicorn.Config(
            create_app(plan_gateway(settings, variables)),
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            lifespan="on",
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        server = uvicorn.Server(config)
        server.run([listener])
        return 0 if server.started else 1


def _listener(settings: Settings) -> socket.socket:
    """Behind HaRP its client connects to a socket file; else AppAPI connects to a port."""
    try:
        if settings.hp_shared_key is not None:
            settings.hp_exapp_sock.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(settings.hp_exapp_sock))
            return listener
        family = socket.AF_INET6 if ":" in settings.app_host else socket.AF_INET
        return socket.create_server((settings.app_host, settings.app_port), family=family)
    except OSError as error:
        place = settings.hp_exapp_sock if settings.hp_shared_key else f"{settings.app_host}:{settings.app_port}"
        raise Misconfigured(f"APP_HOST, APP_PORT: cannot listen on {place}: {error.strerror}") from error


COMMAND = Command("serve", "run the gateway, as main.py does", _serve)
