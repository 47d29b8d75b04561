"""Actions that arrive while their source is being indexed, and sources that take longer than a request may."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from context_chat_backend.nextcloud.push_client import part
from tests.gateway import GatewayProcess, gateway_process, marked_actions

from .tools import EmbeddingServer, embedding_server, embedding_within_uploads, eventually, files, partition

pytestmark = pytest.mark.slow

WHALE, OTHER = files(1, 2)
MAIL = "mail__mail: 1"
READERS = ["alice", "bob"]
Loaded = tuple[set[str], set[str]]


@pytest.fixture(scope="module")
def embeddings() -> Iterator[EmbeddingServer]:
    with embedding_server() as server:
        yield server


@pytest.fixture(scope="module")
def served(embeddings: EmbeddingServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    within = embedding_within_uploads(tmp_path_factory.mktemp("store"))
    with gateway_process({**within, **embeddings.environment}) as gateway:
        yield gateway


@pytest.fixture
def gateway(served: GatewayProcess) -> GatewayProcess:
    served.nextcloud.forget_everything()
    return served


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


ACTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "deny": ("/updateAccess", {"op": "deny", "userIds": ["bob"], "sourceId": WHALE}),
    "exact": ("/updateAccessDeclarative", {"userIds": ["alice"], "sourceId": WHALE}),
    "delete": ("/deleteSources", {"sourceIds": [WHALE]}),
    "deny everywhere": ("/updateAccessProvider", {"op": "deny", "userIds": ["bob"], "providerId": "files__default"}),
    "delete provider": ("/deleteProvider", {"providerKey": "files__default"}),
    "delete user": ("/deleteUser", {"userId": "bob"}),
}


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_that_arrives_while_its_source_is_indexed_is_applied_after_that(
    gateway: GatewayProcess, embeddings: EmbeddingServer, pool: ThreadPoolExecutor, action: str, *, stored: bool
) -> None:
    nextcloud, (path, body) = gateway.nextcloud, ACTIONS[action]
    if stored:
        partition(nextcloud, part(WHALE, b"an older whale", users=READERS, modified=1))
    embeddings.hold = "swims"
    before = embeddings.waiting
    loading: Future[Loaded] = pool.submit(partition, nextcloud, part(WHALE, users=READERS))
    eventually(lambda: embeddings.waiting > before)
    acting: Future[httpx.Response] = pool.submit(nextcloud.post, path, **body)
    eventually(lambda: marked_actions(gateway.folder) > 0)
    assert not acting.done()
    embeddings.hold = None
    assert loading.result() == ({WHALE}, set())
    assert acting.result().status_code == 200
    assert nextcloud.found("bob") == set()
    assert nextcloud.found("alice") == (set() if action in {"delete", "delete provider"} else {WHALE})


def test_other_sources_are_loaded_and_changed_while_one_is_indexed(
    gateway: GatewayProcess, embeddings: EmbeddingServer, pool: ThreadPoolExecutor
) -> None:
    nextcloud = gateway.nextcloud
    embeddings.hold = "swims"
    loading: Future[Loaded] = pool.submit(partition, nextcloud, part(WHALE))
    eventually(lambda: embeddings.waiting > 0)
    assert partition(nextcloud, part(OTHER, b"a shark")) == ({OTHER}, set())
    assert nextcloud.post("/updateAccess", op="allow", userIds=["bob"], sourceId=OTHER).status_code == 200
    assert nextcloud.found("bob", "shark") == {OTHER}
    assert not loading.done()
    embeddings.hold = None
    assert loading.result() == ({WHALE}, set())


def test_a_wide_revocation_is_not_starved_by_a_stream_of_uploads(
    gateway: GatewayProcess, embeddings: EmbeddingServer, pool: ThreadPoolExecutor
) -> None:
    nextcloud = gateway.nextcloud
    partition(nextcloud, part(WHALE, users=READERS))
    stop = False

    def upload(number: int) -> None:
        version = 0
        while not stop:
            version += 1
            text = f"squid {number} {version}".encode()
            partition(nextcloud, part(f"files__default: {number}", text, users=READERS, modified=version))

    uploads = [pool.submit(upload, number) for number in range(10, 14)]
    path, body = ACTIONS["deny everywhere"]
    assert nextcloud.post(path, **body).status_code == 200
    assert WHALE not in nextcloud.found("bob")
    stop = True
    for each in uploads:
        each.result()


def test_a_source_that_takes_longer_than_the_request_is_not_embedded_again(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    with (
        embedding_server() as embeddings,
        gateway_process(
            {**embedding_within_uploads(tmp_path), "LOAD_DEADLINE_SECS": "5", **embeddings.environment}
        ) as gateway,
    ):
        nextcloud, slow, quick = gateway.nextcloud, part(WHALE), part(OTHER, b"a shark")
        embeddings.hold = "swims"
        assert partition(nextcloud, slow, quick) == ({OTHER}, {WHALE})
        assert partition(nextcloud, slow, quick) == ({OTHER}, {WHALE})  # still in work
        assert embeddings.waiting == 1
        assert nextcloud.found("alice", "sea") == {OTHER}
        embeddings.hold = None
        eventually(lambda: nextcloud.found("alice", "sea") == {WHALE, OTHER})
        assert partition(nextcloud, slow, quick) == ({WHALE, OTHER}, set())
        assert (embeddings.texts("swims"), embeddings.texts("shark")) == (1, 1)
        eventually(lambda: gateway.spooled == [])
        assert gateway.errors() == []


def test_an_action_waits_no_longer_than_it_may_and_nothing_overtakes_it_then(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    with (
        embedding_server() as embeddings,
        gateway_process(
            {**embedding_within_uploads(tmp_path), "ACTION_WAIT_SECS": "3", **embeddings.environment}
        ) as gateway,
    ):
        nextcloud, (path, body) = gateway.nextcloud, ACTIONS["deny"]
        embeddings.hold = "swims"
        loading: Future[Loaded] = pool.submit(partition, nextcloud, part(WHALE, users=READERS))
        eventually(lambda: embeddings.waiting > 0)
        assert nextcloud.post(path, **body).status_code == 503
        embeddings.hold = None
        assert loading.result() == ({WHALE}, set())
        assert partition(nextcloud, part(WHALE, users=READERS)) == (set(), {WHALE})
        assert nextcloud.post("/updateAccess", op="allow", userIds=["bob"], sourceId=WHALE).status_code == 503
        assert nextcloud.post(path, **body).status_code == 200
        assert nextcloud.found("bob") == set()
        assert nextcloud.found("alice") == {WHALE}
