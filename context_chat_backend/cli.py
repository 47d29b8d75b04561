"""The command line: `ccbe serve`, `ccbe conform NAME`, `ccbe backends`, `ccbe demo`."""

import argparse
import socket
import sys
from collections.abc import Sequence

import anyio
import uvicorn
from dotenv import load_dotenv

from . import __version__
from .conformance.runner import conform
from .contract import DriverError, Misconfigured
from .demo.run import run_demo
from .logs import set_up_logging
from .push.app import create_app
from .registry import driver_names
from .runtime import make_driver
from .settings import Settings
from .storage import claimed_storage
from .toolkit.settings import read_settings

CANNOT_START = 2
"""Exit code when the environment is wrong."""
SHUTDOWN_SECONDS = 5
"""For requests under way; Docker kills after 10. A load that is cut off is sent again by Nextcloud."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    options = _parser().parse_args(arguments)
    load_dotenv(".env")  # variables that are set already win
    try:
        return int(options.run(options))
    except DriverError as error:
        sys.stderr.write(f"ccbe: {error}\n")
        return CANNOT_START


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ccbe",
        description="Retrieval gateway for Nextcloud Context Chat",
        epilog="Settings come from environment variables and from .env, see docs/configuration.md.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run the gateway (what main.py does)")
    serve.set_defaults(run=_serve)
    check = commands.add_parser("conform", help="test a driver against the contract")
    check.add_argument("name", help="name of the driver, as in RAG_BACKEND")
    check.set_defaults(run=_conform)
    backends = commands.add_parser("backends", help="list the drivers that can be named here")
    backends.set_defaults(run=_backends)
    demo = commands.add_parser("demo", help="load sample documents over HTTP and ask questions about them")
    demo.add_argument("--once", action="store_true", help="stop after the questions")
    demo.add_argument("--port", type=int, default=0, help="port to listen on, default: any free one")
    demo.set_defaults(run=lambda options: run_demo(once=options.once, port=options.port))
    return parser


def _serve(_: argparse.Namespace) -> int:
    settings = read_settings(Settings)
    # the port and the folder first: a gateway that cannot have them must not touch what another one uses
    with _listener(settings) as listener, claimed_storage(settings.app_persistent_storage):
        set_up_logging(settings)
        config = uvicorn.Config(
            create_app(settings),
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


def _conform(options: argparse.Namespace) -> int:
    settings = read_settings(Settings, rag_backend=options.name, app_secret="unused")  # noqa: S106 - no HTTP
    passed = anyio.run(conform, make_driver(settings))
    return 0 if passed else 1


def _backends(_: argparse.Namespace) -> int:
    sys.stdout.write("\n".join(driver_names()) + "\n")
    return 0
