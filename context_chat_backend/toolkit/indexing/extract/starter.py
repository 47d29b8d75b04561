"""The process that worker processes are copies of: `python -m …`, with a socket as its standard input.

It has Python running and the parsers imported, so that a worker costs a fork. It never sees a document: each copy gets
its own, and ends with it.

Each message on the socket is a JSON list, the arguments of `worker.main`, with three descriptors: standard output and
standard error of the worker, and its *line*, a socket on which its exit status is sent, as a number; negative for a
signal. A worker whose line is closed is killed. When the socket itself is closed, all are, and the starter ends.
"""

import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import traceback
from contextlib import suppress
from typing import NoReturn

from ..priority import step_back
from . import worker
from .formats import EXTRACTORS

MESSAGE_BYTES = 65_536
DESCRIPTORS = 3
KEPT = 3
"""The standard descriptors: a worker has no others."""


_PR_SET_PDEATHSIG = 1
"""Of prctl(2): the signal that a process gets when its parent ends."""
_libc = ctypes.CDLL(None)


class Starter:
    """Waits for messages, for workers that end, and for lines that are closed."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._lines: dict[int, socket.socket] = {}
        """By the process id of the worker."""
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._woken, selectors.EVENT_READ)
        signal.set_wakeup_fd(waker)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Until the control socket is closed."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._control:
                    if not self._start_next():
                        return
                elif key.fd == self._woken:
                    os.read(self._woken, MESSAGE_BYTES)
                    self._reap()
                else:
                    self._hang_up(key.data)

    def kill_all(self) -> None:
        for pid in self._lines:
            os.kill(pid, signal.SIGKILL)

    def _start_next(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._control, MESSAGE_BYTES, DESCRIPTORS)
        if not message:
            return False
        output, errors, line = descriptors
        starter = os.getpid()
        pid = os.fork()
        if pid == 0:
            _end_with(starter)
            _be_worker(json.loads(message), output, errors)
        os.close(output)
        os.close(errors)
        self._lines[pid] = socket.socket(fileno=line)
        self._selector.register(self._lines[pid], selectors.EVENT_READ, pid)
        return True

    def _hang_up(self, pid: int) -> None:
        """Nobody waits for it any more. It is forgotten when it has ended."""
        if pid in self._lines:
            self._selector.unregister(self._lines[pid])
            os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG) if self._lines else (0, 0)
            if pid == 0:
                return
            line = self._lines.pop(pid)
            with suppress(KeyError):  # it was hung up
                self._selector.unregister(line)
            with line, suppress(OSError):
                line.send(str(os.waitstatus_to_exitcode(status)).encode())


def _end_with(starter: int) -> None:
    """One that is killed cannot end its workers any more, and nobody else knows them."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != starter:  # it was killed before that
        os._exit(1)


def _be_worker(arguments: list[str], output: int, errors: int) -> NoReturn:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    for descriptor, standard in ((nowhere, 0), (output, 1), (errors, 2)):
        os.dup2(descriptor, standard)
    os.closerange(KEPT, os.sysconf("SC_OPEN_MAX"))
    status = 1
    try:
        status = worker.main(*arguments)
    except BaseException:  # noqa: BLE001 - whatever it is, it must not get back into the starter
        traceback.print_exc()
    finally:
        os._exit(status)  # no need to free a document piece by piece


def main() -> None:
    """Ends with its parent, and before that only if something is wrong with itself."""
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)  # they are for the gateway, which may need it until it has ended
    step_back()
    for function in EXTRACTORS.values():
        importlib.import_module(function.partition(":")[0])
    gc.freeze()  # or each worker copies pages only to count references
    starter = Starter(socket.socket(fileno=os.dup(sys.stdin.fileno())))
    try:
        starter.serve()
    finally:
        starter.kill_all()


if __name__ == "__main__":
    main()
