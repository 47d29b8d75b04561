"""Uploads that end early, and a disk that is full."""

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from context_chat_backend.http.push.batch import MOST_UPLOADS
from context_chat_backend.nextcloud.push_client import UPLOAD_TYPE, multipart, part
from tests.disk import full, small_disk
from tests.gateway import GatewayProcess, gateway_process, headers

from .tools import MIB, eventually, file, files, memory, partition

NO_MODEL = {"RAG_BACKEND": "reference"}
"""Starts in no time; these tests are about the front end."""


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with gateway_process(NO_MODEL) as gateway:
        yield gateway


def request_head(length: int) -> bytes:
    sent = {
        **headers(),
        "Host": "gateway",
        "Content-Type": UPLOAD_TYPE,
        "Content-Length": str(length),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    return f"PUT /loadSources HTTP/1.1\r\n{lines}\r\n".encode()


def begin_upload(gateway: GatewayProcess, body: bytes, length: int) -> socket.socket:
    """A connection over which the first bytes of a longer body were sent."""
    connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=60)
    connection.sendall(request_head(length) + body)
    return connection


@pytest.mark.parametrize("clients", [1, 20])
def test_a_client_that_goes_away_leaves_nothing_behind(gateway: GatewayProcess, clients: int) -> None:
    whole = multipart([part(id_, os.urandom(3 * MIB), mime_type="text/plain") for id_ in files(*range(1, 4))])
    with ThreadPoolExecutor(clients) as pool:
        starts = [whole[: 2 * MIB + number * 300_000] for number in range(clients)]
        connections = list(pool.map(lambda start: begin_upload(gateway, start, len(whole)), starts))
    eventually(lambda: len(gateway.spooled) >= clients)  # so they are in the middle of it
    for connection in connections:
        connection.close()
    eventually(lambda: gateway.spooled == [])
    assert partition(gateway.nextcloud, part(file(9))) == ({*files(9)}, set())
    assert gateway.nextcloud.found("alice") == {*files(9)}


def test_a_client_that_goes_away_is_nothing_that_an_admin_has_to_look_into(gateway: GatewayProcess) -> None:
    whole = multipart([part(file(1), os.urandom(3 * MIB), mime_type="text/plain")])
    begin_upload(gateway, whole[: 2 * MIB], len(whole)).close()
    eventually(lambda: gateway.spooled == [])
    partition(gateway.nextcloud, part(file(9)))  # so that what is logged has been written
    assert gateway.errors() == []


def test_idle_uploads_cost_little_memory(gateway: GatewayProcess) -> None:
    before = memory(gateway.pid, "VmRSS")
    whole = multipart([part(file(1), os.urandom(12 * MIB), mime_type="text/plain")])
    connections = [begin_upload(gateway, whole[: 8 * MIB], len(whole)) for _ in range(MOST_UPLOADS)]
    eventually(lambda: len(gateway.spooled) == MOST_UPLOADS)
    assert memory(gateway.pid, "VmRSS") - before < 100 * MIB
    for connection in connections:
        connection.close()
    eventually(lambda: gateway.spooled == [])


@contextmanager
def fresh_connections(storage: Path) -> Iterator[GatewayProcess]:
    """A gateway whose client never uses a connection twice: after an early answer the server closes it."""
    with gateway_process(NO_MODEL, folder=storage) as gateway:
        gateway.nextcloud.http.headers["Connection"] = "close"
        yield gateway


def refused(gateway: GatewayProcess, *parts: bytes) -> bool:
    """Whether Nextcloud will send all of this again."""
    try:
        response = gateway.nextcloud.load(*parts)
    except httpx.TransportError:  # answered and closed before all was sent: for Nextcloud the same as a 5xx
        return True
    return response.status_code >= 500 or response.json()["loaded_sources"] == []


def test_an_upload_to_a_full_disk_is_never_success_and_heals(tmp_path: Path) -> None:
    small, large = part(file(1)), part(file(2), b"whale " * (300 * 1024), mime_type="text/plain")
    with small_disk(tmp_path / "spool"), fresh_connections(tmp_path) as gateway:
        with full(tmp_path / "spool"):
            assert refused(gateway, small, large)
            assert refused(gateway, large)
            assert [path.name for path in gateway.spooled] == ["ballast"]
            assert gateway.nextcloud.found("alice") == set()
        assert partition(gateway.nextcloud, small, large) == ({*files(1, 2)}, set())
        assert gateway.nextcloud.found("alice") == {*files(1, 2)}


def test_an_upload_that_does_not_fit_on_the_disk_does_not_disturb_the_next(tmp_path: Path) -> None:
    with small_disk(tmp_path / "spool"), fresh_connections(tmp_path) as gateway:
        assert refused(gateway, part(file(1)), part(file(2), b"whale " * (2 * MIB), mime_type="text/plain"))
        assert gateway.spooled == []
        assert partition(gateway.nextcloud, part(file(3))) == ({*files(3)}, set())


def test_with_a_full_disk_everywhere_no_answer_is_a_lie(tmp_path: Path) -> None:
    with small_disk(tmp_path), fresh_connections(tmp_path) as gateway:
        nextcloud = gateway.nextcloud
        assert partition(nextcloud, part(file(1), users=["alice", "bob"])) == ({*files(1)}, set())
        with full(tmp_path):
            assert refused(gateway, part(file(2)))
            for user in ("bob", "carol"):
                op = "deny" if user == "bob" else "allow"
                response = nextcloud.post("/updateAccess", op=op, userIds=[user], sourceId=file(1))
                assert response.status_code in {200, 500, 503}
                if response.status_code == 200:
                    assert bool(nextcloud.found(user)) == (op == "allow")
        for user, op in (("bob", "deny"), ("carol", "allow")):
            response = nextcloud.post("/updateAccess", op=op, userIds=[user], sourceId=file(1))
            assert response.status_code == 200, response.text
        assert partition(nextcloud, part(file(2))) == ({*files(2)}, set())
        assert [nextcloud.found(user) for user in ("alice", "bob", "carol")] == [{*files(1, 2)}, set(), {*files(1)}]
