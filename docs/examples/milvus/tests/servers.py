"""The servers that the tests start: Milvus itself, as far as it is packed for PyPI, and milvus-lite, which speaks the
same protocol and has what came after 2.3: sparse vectors and changes of single fields."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from pymilvus import MilvusClient, MilvusException

Process = subprocess.Popen[bytes]

FIRST_SECONDS = 120
PAUSE = 1.0
UNTIL_STDIN_ENDS = """
import os, sys
from milvus import MilvusServer
folder, parts, *ports = sys.argv[1:]
os.environ["ETCD_CONFIG_PATH"] = f"{folder}/etcd.yaml"
os.environ["PROXY_TIMETICKINTERVAL"] = os.environ["ROOTCOORD_TIMETICKINTERVAL"] = "20"
server = MilvusServer(data_dir=folder, **dict(zip(parts.split(), ports)))
server.webservice_port = int(ports[-1])
with server:
    sys.stdin.read()
"""
"""Ends with the tests, however they end. What reads wait for comes every 20 ms and not every 200: the tests take less
time."""
PARTS = (
    "proxy_port etcd_port proxy_internal_port root_coord_port query_coord_port query_node_port index_coord_port "
    "index_node_port data_coord_port data_node_port"
)
"""What listens somewhere: where it always does, another server may."""
ETCD = """
listen-client-urls: http://127.0.0.1:{etcd}
advertise-client-urls: http://127.0.0.1:{etcd}
listen-peer-urls: http://127.0.0.1:{peers}
initial-advertise-peer-urls: http://127.0.0.1:{peers}
initial-cluster: default=http://127.0.0.1:{peers}
"""
"""Of the etcd inside, which has no other setting for its ports."""
LAST_SECONDS = 60


@contextmanager
def milvus_server(folder: Path) -> Iterator[str]:
    """Milvus 2.3 in one process; its address."""
    _require("milvus")
    port, etcd, *others, peers = _free_ports(len(PARTS.split()) + 2)
    (folder / "etcd.yaml").write_text(ETCD.format(etcd=etcd, peers=peers))
    command = [sys.executable, "-c", UNTIL_STDIN_ENDS, str(folder), PARTS, *map(str, (port, etcd, *others))]
    with _running(command, port, folder, _close_stdin) as url:
        yield url


@contextmanager
def lite_server(folder: Path) -> Iterator[str]:
    """milvus-lite; its address. With one thread, because it asks for writes to a collection one after the other."""
    _require("milvus_lite")
    (port,) = _free_ports(1)
    options = ["--data-dir", str(folder), "--host", "127.0.0.1", "--port", str(port), "--max-workers", "1"]
    with _running([sys.executable, "-m", "milvus_lite", "server", *options], port, folder, _terminate) as url:
        yield url


def _require(module: str) -> None:
    if find_spec(module) is None:
        pytest.skip(f"THE MILVUS SERVER WAS NOT TESTED: {module} is not installed, see the extra `servers`")


@contextmanager
def _running(command: list[str], port: int, folder: Path, end: Callable[[Process], None]) -> Iterator[str]:
    url = f"http://127.0.0.1:{port}"
    with (
        (folder.parent / f"{folder.name}.log").open("wb") as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log) as process,
    ):
        try:
            _await_answer(url, process)
            yield url
        finally:
            end(process)


def _close_stdin(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait(LAST_SECONDS)


def _terminate(process: Process) -> None:
    process.terminate()


def _await_answer(url: str, process: Process) -> None:
    end = time.monotonic() + FIRST_SECONDS
    while process.poll() is None and time.monotonic() < end:
        with suppress(MilvusException):
            client = MilvusClient(url, timeout=PAUSE)
            client.list_collections()
            client.close()
            return
        time.sleep(PAUSE)
    raise RuntimeError(f"no server at {url}, exit code {process.returncode}")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in listeners]
