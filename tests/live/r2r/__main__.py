"""`python -m tests.live.r2r`: a real R2R in the foreground, for developers. Ctrl-C ends it and removes everything."""

import argparse
import json
import signal
import sys
from pathlib import Path

from .server import TOML, R2RServer, r2r_server


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.live.r2r", description="Run a throw-away R2R.")
    parser.add_argument("--port", type=int, help="default: a free one")
    parser.add_argument("--toml", type=Path, default=TOML, help="another configuration")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_setting,
        metavar="NAME=VALUE",
        help="a value of the configuration, as JSON: require_authentication=false, route_per_min=3",
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with r2r_server(toml=arguments.toml, settings=dict(arguments.set), port=arguments.port) as server:
            _print(server)
            signal.pause()
    except KeyboardInterrupt:
        sys.exit(130)


def _setting(text: str) -> tuple[str, bool | int | str]:
    name, _, value = text.partition("=")
    return name, json.loads(value)


def _print(server: R2RServer) -> None:
    ordinary = server.ordinary_account()
    lines = (
        f"R2R      {server.url}",
        f"admin    {server.admin.email} / {server.admin.password}",
        f"account  {ordinary.email} / {ordinary.password}",
        f"models   {server.models.url}",
        f"database {server.database.uri}",
        f"log      {server.log}",
    )
    print(*lines, sep="\n", flush=True)  # noqa: T201 - that is what it is for


main()
