"""The command line: `ccbe serve`, `ccbe conform NAME`, `ccbe backends`, `ccbe demo`."""

import argparse
import sys
from collections.abc import Sequence

import anyio
import uvicorn
from dotenv import load_dotenv
from pydantic import SecretStr

from .conformance.runner import conform
from .contract import Misconfigured
from .demo.run import run_demo
from .logs import set_up_logging
from .push.app import create_app
from .registry import driver_names
from .runtime import make_driver
from .settings import Settings
from .toolkit.settings import read_settings

BAD_SETTINGS = 2
"""Exit code when the environment is wrong."""
SHUTDOWN_SECONDS = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    options = _parser().parse_args(arguments)
    load_dotenv(".env")  # variables that are set already win
    try:
        return int(options.run(options))
    except Misconfigured as error:
        return _complain(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ccbe", description="Retrieval gateway for Nextcloud Context Chat")
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
    set_up_logging(settings)
    uvicorn.run(
        create_app(settings),
        host=settings.app_host,
        port=settings.app_port,
        uds=str(settings.hp_exapp_sock) if settings.hp_shared_key else None,  # HaRP's client connects to a socket
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    return 0


def _conform(options: argparse.Namespace) -> int:
    settings = Settings(rag_backend=options.name, app_secret=SecretStr("unused"))
    passed = anyio.run(conform, make_driver(settings))
    return 0 if passed else 1


def _backends(_: argparse.Namespace) -> int:
    sys.stdout.write("\n".join(driver_names()) + "\n")
    return 0


def _complain(text: str) -> int:
    sys.stderr.write(f"ccbe: {text}\n")
    return BAD_SETTINGS
