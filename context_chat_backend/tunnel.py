"""The way in from HaRP, Nextcloud's proxy for external apps: `frpc`, the client of frp, started and watched by us.

It connects to HaRP, announces a port there, and hands what arrives to the socket file that the gateway listens on.
"""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import anyio
from anyio.abc import ByteReceiveStream, Process
from pydantic import SecretStr

from .contract import DriverError, Misconfigured, Unavailable
from .settings import Settings
from .toolkit.background import periodically, run_in_background

PROGRAM = "frpc"
CERTIFICATES = Path("/certs/frp")
"""Where AppAPI puts what a HaRP on another machine asks for; without this folder the connection is not encrypted."""
CERTIFICATE_FILES = {"certFile": "client.crt", "keyFile": "client.key", "trustedCaFile": "ca.crt"}
SERVER_NAME = "harp.nc"

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds until it is started again, doubled each time that it ended soon."""
STEADY_SECONDS = 60.0
"""After so long it did not end soon."""
STOP_SECONDS = 2.0
MOST_CHARACTERS = 1000
"""Of one line that is logged."""

_COLOUR = r"\x1b\[[0-9;]*m"
_DECORATION = re.compile(rf"^({_COLOUR})*\d{{4}}[-/]\d\d[-/]\d\d \d\d:\d\d:\d\d(\.\d+)? |{_COLOUR}")
"""Colours, and the time: our log has its own, and holds back lines that repeat."""
_LEVELS = {"[E]": logging.ERROR, "[W]": logging.WARNING}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelPlan:
    """What has to be known to open it."""

    program: str
    """A path, or a name to look for in PATH."""
    app_id: str
    server: str
    server_port: int
    remote_port: int
    """On the other side."""
    key: SecretStr
    socket_file: Path
    certificates: Path


def plan_tunnel(settings: Settings) -> TunnelPlan | None:
    """None where the gateway is not behind HaRP, or `frpc` is somebody else's to start: no address is given then."""
    if settings.hp_shared_key is None or settings.hp_frp_address is None or settings.hp_frp_port is None:
        return None
    return TunnelPlan(
        program=PROGRAM if settings.frpc_path is None else str(settings.frpc_path),
        app_id=settings.app_id,
        server=settings.hp_frp_address,
        server_port=settings.hp_frp_port,
        remote_port=settings.app_port,
        key=settings.hp_shared_key,
        socket_file=settings.hp_exapp_sock,
        certificates=CERTIFICATES,
    )


def require_program(plan: TunnelPlan) -> str:
    """The path of `frpc`. Raises `Misconfigured`."""
    found = shutil.which(plan.program)
    if found is None:
        raise Misconfigured(
            f"HaRP cannot reach the gateway: there is no program {plan.program}. Install frpc of https://github.com/"
            "fatedier/frp, and set FRPC_PATH if it is not in PATH"
        )
    return found


def require_certificates(plan: TunnelPlan) -> bool:
    """Whether the connection is encrypted. Raises `Misconfigured` where only a part of what that takes can be read."""
    if not plan.certificates.is_dir():
        return False
    for name in CERTIFICATE_FILES.values():
        if not os.access(plan.certificates / name, os.R_OK):
            raise Misconfigured(f"HaRP cannot reach the gateway: {plan.certificates / name} cannot be read")
    return True


def configuration(plan: TunnelPlan) -> str:
    """The file that `frpc` is given, in TOML. Raises `Misconfigured`."""
    encrypted = require_certificates(plan)
    lines = [
        f"serverAddr = {_quoted(plan.server)}",
        f"serverPort = {plan.server_port}",
        "loginFailExit = false",  # it keeps trying, which costs less than starting it again
        'log.to = "console"',
        "log.disablePrintColor = true",
        f"transport.tls.enable = {str(encrypted).lower()}",
    ]
    if encrypted:
        lines += [
            f"transport.tls.{key} = {_quoted(str(plan.certificates / name))}" for key, name in CERTIFICATE_FILES.items()
        ]
        lines += [f"transport.tls.serverName = {_quoted(SERVER_NAME)}"]
    lines += [
        f"metadatas.token = {_quoted(plan.key.get_secret_value())}",
        "",
        "[[proxies]]",
        f"name = {_quoted(plan.app_id)}",
        'type = "tcp"',
        f"remotePort = {plan.remote_port}",
        "[proxies.plugin]",
        'type = "unix_domain_socket"',
        f"unixPath = {_quoted(str(plan.socket_file))}",
        "",
    ]
    return "\n".join(lines)


def _quoted(value: str) -> str:
    """A string of TOML. frp takes the file for a template first, in which two braces would begin a command."""
    return json.dumps(value, ensure_ascii=False).replace("{", "\\u007b").replace("\x7f", "\\u007f")


class Tunnel:
    """An async context manager: `frpc` runs, and is started again when it ends, until the block is left."""

    def __init__(self, plan: TunnelPlan) -> None:
        self._plan = plan
        self._problem: DriverError | None = Unavailable("frpc is starting")
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await run_in_background(self._running, self._keep_running)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._running.aclose()

    async def problem(self) -> DriverError | None:
        """Why `frpc` does not run, or None. Whether HaRP lets it in is only in the log."""
        return self._problem

    async def _keep_running(self) -> None:
        await periodically(
            "frpc, the way in from HaRP,", self._run, FIRST_PAUSE, first=0, pause=FIRST_PAUSE, longest=LONGEST_PAUSE
        )

    async def _run(self) -> None:
        """Returns where it ended after a long while. Raises a `DriverError` where it ended soon or did not start."""
        started = time.monotonic()
        try:
            with _file(configuration(self._plan)) as file:
                status = await self._run_with(file)
        except DriverError as error:
            self._problem = error
            raise
        self._problem = Unavailable(f"frpc ended with status {status}")
        if time.monotonic() - started < STEADY_SECONDS:
            raise self._problem
        log.warning("%s", self._problem)

    async def _run_with(self, file: Path) -> int:
        process = await self._start([require_program(self._plan), "-c", str(file)])
        try:
            self._problem = None
            log.info("frpc is started, for HaRP at %s:%d", self._plan.server, self._plan.server_port)
            if process.stdout is not None:
                await self._log_lines(process.stdout)
            return await process.wait()
        finally:
            with anyio.CancelScope(shield=True):
                await _end(process)

    async def _start(self, command: list[str]) -> Process:
        try:
            return await anyio.open_process(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={"PATH": os.defpath},  # ours holds secrets
                start_new_session=True,  # Ctrl-C is for the gateway, whose last answers have to get out
            )
        except OSError as error:
            raise Misconfigured(
                f"HaRP cannot reach the gateway: {command[0]} cannot be run: {error.strerror}"
            ) from error

    async def _log_lines(self, output: ByteReceiveStream) -> None:
        async for line in _lines(output):
            text = _DECORATION.sub("", line).replace(self._plan.key.get_secret_value(), "(the shared key)")
            level = next((level for mark, level in _LEVELS.items() if mark in text), logging.INFO)
            log.log(level, "frpc: %s", text[:MOST_CHARACTERS])


@contextmanager
def _file(text: str) -> Iterator[Path]:
    """A file that only this account can read, because it holds the shared key; gone after the block. Raises
    `Unavailable` where it cannot be written."""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="frpc-"))  # for this account only, too
            path = Path(folder) / "frpc.toml"
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise Unavailable(f"the configuration of frpc cannot be written: {error.strerror}") from error
        yield path


async def _lines(output: ByteReceiveStream) -> AsyncIterator[str]:
    """Lines as they come; one without end comes in pieces."""
    rest = b""
    async for piece in output:
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > MOST_CHARACTERS:
            lines, rest = [*lines, rest], b""
        for line in lines:
            if line.strip():
                yield line.decode(errors="replace").rstrip()
    if rest.strip():
        yield rest.decode(errors="replace").rstrip()


async def _end(process: Process) -> None:
    """Ask it to end, and see to it that it does."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        with anyio.move_on_after(STOP_SECONDS):
            await process.wait()
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    await process.aclose()
