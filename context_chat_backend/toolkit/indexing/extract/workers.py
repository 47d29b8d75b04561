"""The gateway's side of the worker processes: has them started, reads what they write, ends those nobody waits for."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Self

import anyio
from anyio import to_thread

STARTER = f"{__package__}.starter"
PART_BYTES = 65_536
STOP_SECONDS = 5.0


class Workers:
    """An async context manager; the starter runs from the first document until it is left. Methods raise `OSError`
    where a worker cannot be started, or vanished with its starter."""

    def __init__(self) -> None:
        self._starter: Starter | None = None
        self._one_start = anyio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        with anyio.CancelScope(shield=True):
            await self._close()

    async def run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        """A worker that has ended, with what it wrote. Cancelling kills it."""
        with ExitStack() as stack:
            line, output, errors = await self._started(arguments, stack)
            # One after the other is no deadlock: a worker writes errors only before it starts with the document.
            stdout, stderr = await _all_of(output), await _all_of(errors)
            await anyio.wait_readable(line)
            status = line.recv(PART_BYTES)
        if not status:
            raise ConnectionResetError("the starter of workers has ended")
        return subprocess.CompletedProcess(arguments, int(status), stdout, stderr)

    async def _started(self, arguments: Sequence[str], stack: ExitStack) -> tuple[socket.socket, int, int]:
        line, its_line = socket.socketpair()
        stack.enter_context(line)
        output, its_output = _pipe(stack)
        errors, its_errors = _pipe(stack)
        with its_line, _closed_here(its_output, its_errors):
            message = json.dumps(arguments).encode()
            await self._send(message, [its_output, its_errors, its_line.fileno()])
        line.setblocking(False)
        return line, output, errors

    async def _send(self, message: bytes, descriptors: Sequence[int]) -> None:
        """By another starter, if the one before has ended."""
        async with self._one_start:
            if self._starter is not None and not self._starter.is_running:
                await self._close()
            if self._starter is None:
                self._starter = await to_thread.run_sync(Starter)
            self._starter.send(message, descriptors)

    async def _close(self) -> None:
        if self._starter is not None:
            await to_thread.run_sync(self._starter.close)
            self._starter = None


class Starter:
    """A running one. Its constructor blocks, and raises `OSError` where it cannot be started."""

    def __init__(self) -> None:
        with ExitStack() as stack:
            sockets = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._control, its_control = map(stack.enter_context, sockets)
            command = [sys.executable, "-X", "utf8", "-m", STARTER]
            self._process = subprocess.Popen(command, stdin=its_control.fileno(), env=_environment())  # noqa: S603
            stack.pop_all()
            its_control.close()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def send(self, message: bytes, descriptors: Sequence[int]) -> None:
        socket.send_fds(self._control, [message], [*descriptors])

    def close(self) -> None:
        """Blocks until it has ended, and all workers with it."""
        self._control.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


async def _all_of(descriptor: int) -> bytes:
    parts: list[bytes] = []
    while True:
        await anyio.wait_readable(descriptor)
        part = os.read(descriptor, PART_BYTES)
        if not part:
            return b"".join(parts)
        parts.append(part)


def _pipe(stack: ExitStack) -> tuple[int, int]:
    """The end that is read, closed with the stack, and the other one."""
    reading, writing = os.pipe()
    stack.callback(os.close, reading)
    return reading, writing


@contextmanager
def _closed_here(*descriptors: int) -> Iterator[None]:
    try:
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _environment() -> Mapping[str, str]:
    """Where to import from, and nothing else: the gateway's own environment holds its secrets."""
    return {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1"}
