"""The gateway is killed, alone or with its database, and starts again on the same storage."""

import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
import psycopg
import pytest

from context_chat_backend.nextcloud.push_client import part
from tests.gateway import GatewayProcess, gateway_process, marked_actions
from tests.processes import command_line, have_ended, processes, starters, workers

from .tools import (
    MIB,
    EmbeddingServer,
    embedded_uri,
    embedding_within_uploads,
    eventually,
    file,
    files,
    partition,
    postmaster,
    prose,
)

pytestmark = pytest.mark.slow

MARK = "themark"
FIRST = 1_700_000_000


def whole(number: int, *, modified: int = FIRST, size: int = 10_000) -> bytes:
    """A text of many chunks, another one for each version, with `MARK` in the last of them."""
    text = prose(size, number) + f" {modified} {MARK}".encode()
    return part(file(number), text, mime_type="text/plain", modified=modified)


def abandon_load(gateway: GatewayProcess, *parts: bytes) -> None:
    """Load, and be cut off or not."""
    with suppress(httpx.TransportError):
        gateway.nextcloud.load(*parts)


def die(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: command_line(pid) == "")


def assert_nothing_is_half(gateway: GatewayProcess) -> None:
    """What can be found has all of its chunks."""
    found = gateway.nextcloud.found("alice")
    assert gateway.nextcloud.counts() == {"files__default": len(found)}
    with psycopg.connect(embedded_uri(gateway.folder)) as connection:
        stored = connection.execute("""
            select chunk_count, (select count(*) from ccb.chunks where chunks.doc_id = documents.doc_id)
            from ccb.documents where group_id is not null
        """).fetchall()
    assert len(stored) == len(found)
    assert all(0 < announced == chunks for announced, chunks in stored)


def assert_can_be_loaded(gateway: GatewayProcess, numbers: range, *, modified: int = FIRST) -> None:
    """Every source is loaded, nothing else is there."""
    batch = [whole(number, modified=modified) for number in numbers]
    assert partition(gateway.nextcloud, *batch) == ({*files(*numbers)}, set())
    assert gateway.nextcloud.found("alice") == {*files(*numbers)}
    assert_nothing_is_half(gateway)


@pytest.mark.parametrize("with_database", [False, True])
def test_killed_at_any_moment_nothing_is_lost_and_nothing_is_half(with_database: bool) -> None:
    rng, numbers = random.Random(2 * with_database), range(1, 13)
    with gateway_process() as gateway, ThreadPoolExecutor() as pool:
        gateway.nextcloud.http.timeout, storage = 300, str(gateway.folder)
        for version in range(FIRST, FIRST + 5):
            known = gateway.nextcloud.found("alice")
            loading = pool.submit(abandon_load, gateway, *(whole(number, modified=version) for number in numbers))
            time.sleep(rng.uniform(0, 4))
            database = postmaster(gateway.folder)
            extracting = [*starters(gateway.pid), *workers(gateway.pid)]
            gateway.kill()
            if with_database:
                die(database)
            loading.result()
            gateway.start()
            assert gateway.spooled == []
            assert known <= gateway.nextcloud.found("alice")
            assert_nothing_is_half(gateway)
            eventually(partial(have_ended, extracting))
        assert_can_be_loaded(gateway, numbers, modified=FIRST + 5)
        assert gateway.errors() == []
    assert processes(storage) == []


def test_killed_while_it_embeds_the_old_version_is_whole_and_the_new_one_is_not_there(
    embeddings: EmbeddingServer, tmp_path: Path
) -> None:
    within = embedding_within_uploads(tmp_path)
    with gateway_process({**within, **embeddings.environment}) as gateway, ThreadPoolExecutor() as pool:
        nextcloud, later = gateway.nextcloud, FIRST + 1
        assert partition(nextcloud, whole(1), whole(2)) == ({*files(1, 2)}, set())
        embeddings.hold = MARK
        # 200 KB are more than two pages, so that some of them are in the database when the last one is held up
        batch = [whole(number, modified=later, size=200_000) for number in range(1, 4)]
        loading = pool.submit(abandon_load, gateway, *batch)
        eventually(lambda: embeddings.waiting >= 2)  # several are indexed at a time
        gateway.kill()
        embeddings.hold = None
        loading.result()
        gateway.start()
        assert gateway.spooled == []
        assert nextcloud.found("alice") == {*files(1, 2)}
        assert nextcloud.counts() == {"files__default": 2}
        assert partition(nextcloud, *batch) == ({*files(1, 2, 3)}, set())
        assert nextcloud.found("alice") == {*files(1, 2, 3)}


def test_an_action_that_a_crash_cut_off_holds_back_what_came_after_it(
    embeddings: EmbeddingServer, tmp_path: Path
) -> None:
    def change(op: str) -> int:
        return gateway.nextcloud.post("/updateAccess", op=op, userIds=["bob"], sourceId=file(1)).status_code

    def abandoned_allow() -> None:
        with suppress(httpx.TransportError):
            change("allow")

    within = embedding_within_uploads(tmp_path)
    with gateway_process({**within, **embeddings.environment}) as gateway, ThreadPoolExecutor() as pool:
        assert partition(gateway.nextcloud, whole(1)) == ({file(1)}, set())
        embeddings.hold = MARK
        loading = pool.submit(abandon_load, gateway, whole(1, modified=FIRST + 1))
        eventually(lambda: embeddings.waiting > 0)
        allowing = pool.submit(abandoned_allow)
        eventually(lambda: marked_actions(gateway.folder) > 0)  # it waits for its source
        assert not allowing.done()
        gateway.kill()
        embeddings.hold = None
        loading.result()
        allowing.result()
        gateway.start()
        first = change("deny")
        assert change("allow") == 200
        if first == 503:
            assert change("deny") == 200
        assert gateway.nextcloud.found("bob") == set(), "Nextcloud's last word was deny"


@pytest.mark.alone
def test_asked_to_end_it_does_so_soon_and_leaves_nothing_half() -> None:
    with gateway_process() as gateway, ThreadPoolExecutor() as pool:
        batch = [whole(number, size=MIB) for number in range(1, 26)]
        loading = pool.submit(abandon_load, gateway, *batch)
        eventually(lambda: bool(workers(gateway.pid)))
        extracting = [*starters(gateway.pid), *workers(gateway.pid)]
        start = time.monotonic()
        code = gateway.stop()
        assert time.monotonic() - start < 25 + 5  # that is for a machine with other things to do
        loading.result()
        assert processes(str(gateway.folder)) == []
        assert have_ended(extracting)
        assert gateway.spooled == []
        gateway.start()
        assert_nothing_is_half(gateway)
        assert partition(gateway.nextcloud, whole(31)) == ({*files(31)}, set())
        assert code == 0


def test_asked_to_end_while_nothing_happens_it_ends_well() -> None:
    with gateway_process() as gateway:
        assert gateway.stop() == 0
        assert gateway.errors() == []


@pytest.mark.parametrize("moment", ["idle", "embedding"])
def test_the_embedded_database_is_started_again_when_it_dies_alone(moment: str, embeddings: EmbeddingServer) -> None:
    with gateway_process({**embeddings.environment, "BUILTIN_ATTEMPTS": "1"}) as gateway:
        assert_can_be_loaded(gateway, range(1, 3))
        if moment == "embedding":
            embeddings.hold = MARK
            assert partition(gateway.nextcloud, whole(3)) == ({*files(3)}, set())
            eventually(lambda: embeddings.waiting > 0)
        die(postmaster(gateway.folder))
        embeddings.hold = None
        batch = [whole(number) for number in range(1, 5)]  # the last one is new, so the database is asked
        eventually(lambda: partition(gateway.nextcloud, *batch) == ({*files(1, 2, 3, 4)}, set()), 30)
        assert_can_be_loaded(gateway, range(1, 5))
