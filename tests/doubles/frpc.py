"""A stand-in for frpc, as strict about its configuration as frp's documentation says. The real one was not to be had.

Where frps would listen on another machine, it listens itself, on the announced port of this one, and hands each
connection to the socket file. `install` makes a program of this file; it needs nothing but Python.
"""

import asyncio
import json
import os
import stat
import sys
import tomllib
from pathlib import Path
from typing import Any

SHAPE: dict[str, Any] = {
    "serverAddr": str,
    "serverPort": int,
    "loginFailExit": bool,
    "log": {"to": str, "disablePrintColor": bool},
    "transport": {"tls": {"enable": bool, "certFile": str, "keyFile": str, "trustedCaFile": str, "serverName": str}},
    "metadatas": {"token": str},
    "proxies": [{"name": str, "type": str, "remotePort": int, "plugin": {"type": str, "unixPath": str}}],
}
"""frp refuses a field that it does not know, or of another type; these are the ones that HaRP needs."""
REQUIRED = {
    "": {"serverAddr", "serverPort", "metadatas", "proxies", "transport"},
    "proxies": {"name", "type", "remotePort", "plugin"},
    "plugin": {"type", "unixPath"},
}


class Wrong(Exception):
    """What the real one ends with at the start."""


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def check(value: Any, shape: Any, name: str = "") -> None:
    if isinstance(shape, list):
        if not isinstance(value, list) or len(value) != 1:
            raise Wrong(f"{name} is not a list of one")
        check(value[0], shape[0], name)
    elif isinstance(shape, dict):
        if not isinstance(value, dict) or (unknown := value.keys() - shape.keys()):
            raise Wrong(f"unknown field in {name}: {unknown}")
        if missing := REQUIRED.get(name, set()) - value.keys():
            raise Wrong(f"missing in {name}: {missing}")
        for key, each in value.items():
            check(each, shape[key], key)
    elif type(value) is not shape:
        raise Wrong(f"{name} is {value!r}")


def parsed(file: Path) -> dict[str, Any]:
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode != 0o600:
        raise Wrong(f"others may read the shared key: {mode:o}")
    text = file.read_text()
    if "{{" in text:
        raise Wrong("a template, which would be carried out")
    configuration = tomllib.loads(text)
    check(configuration, SHAPE)
    proxy = configuration["proxies"][0]
    if (proxy["type"], proxy["plugin"]["type"]) != ("tcp", "unix_domain_socket"):
        raise Wrong("HaRP wants a TCP proxy to a socket file")
    return configuration


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def serve(configuration: dict[str, Any], seconds: float | None) -> None:
    proxy = configuration["proxies"][0]

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_unix_connection(proxy["plugin"]["unixPath"])
            await asyncio.gather(forward(reader, inner_writer), forward(inner_reader, writer))
            inner_writer.close()
        except OSError as error:
            say(f"[W] [proxy/proxy.go:1] {error}")
        writer.close()

    await asyncio.start_server(connected, "127.0.0.1", proxy["remotePort"])
    say("\x1b[1;34m2026-11-29 07:00:00.123 [I] [client/service.go:1] login to server success\x1b[0m")
    say(f"2026-11-29 07:00:00.124 [E] [client/service.go:2] the token is {configuration['metadatas']['token']}")
    await asyncio.sleep(1e9 if seconds is None else seconds)


def main(arguments: list[str]) -> int:
    here = Path(arguments[0]).parent
    behaviour = json.loads((here / "behaviour.json").read_text())
    with (here / "starts").open("a") as starts:
        starts.write(json.dumps([os.getpid(), arguments[1:], dict(os.environ)]) + "\n")
    match arguments[1:]:
        case ["-c", file]:
            try:
                configuration = parsed(Path(file))
            except (Wrong, tomllib.TOMLDecodeError) as error:
                say(f"the configuration is wrong: {error}")
                return 1
        case _:
            say("unknown flag")
            return 1
    asyncio.run(serve(configuration, behaviour["ends_after"]))
    return 3


class Program:
    """An installed stand-in."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "frpc"
        self._folder = folder

    def behave(self, *, ends_after: float | None = None) -> None:
        """From its next start on: end after so many seconds, with status 3."""
        (self._folder / "behaviour.json").write_text(json.dumps({"ends_after": ends_after}))

    def starts(self) -> list[tuple[int, list[str], dict[str, str]]]:
        """Process, arguments and environment of each."""
        file = self._folder / "starts"
        return [tuple(json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []

    def runs(self) -> bool:
        """Whether the last one does."""
        pid = self.starts()[-1][0]
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False


def install(folder: Path) -> Program:
    folder.mkdir(exist_ok=True)
    program = Program(folder)
    program.path.write_text(f"#!{sys.executable} -I\n{Path(__file__).read_text()}")
    program.path.chmod(0o700)
    program.behave()
    return program


if __name__ == "__main__":
    sys.exit(main(sys.argv))
