"""Many clients at one gateway, and two gateways at one database."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest

from context_chat_backend.nextcloud.push_client import part
from tests.gateway import GatewayProcess, Nextcloud, gateway_process

from .tools import Database, EmbeddingServer, eventually, files, partition

pytestmark = pytest.mark.slow

IDS = files(*range(1, 11))
USERS = ("alice", "bob", "carol", "dora")
OPERATIONS = 40
"""Of each client."""


@pytest.fixture
def gateway(external: Database, embeddings: EmbeddingServer) -> Iterator[GatewayProcess]:
    with gateway_process({"CCB_DB_URL": external.uri, **embeddings.environment}) as gateway:
        yield gateway


@pytest.fixture
def other(gateway: GatewayProcess, external: Database, embeddings: EmbeddingServer) -> Iterator[GatewayProcess]:
    """A second gateway with a storage of its own, at the database of the first."""
    with gateway_process({"CCB_DB_URL": external.uri, **embeddings.environment}) as other:
        yield other


def some(rng: random.Random) -> list[str]:
    return rng.sample(USERS, rng.randint(1, 3))


def some_operation(rng: random.Random) -> Callable[[Nextcloud], httpx.Response]:  # noqa: PLR0911 - one per operation
    source_id, kind = rng.choice(IDS), rng.random()
    if kind < 0.4:
        chosen = rng.sample(IDS, rng.randint(1, 4))
        versions = [(id_, rng.randint(1, 5)) for id_ in chosen]
        sent = [part(id_, f"whale {id_} {v}".encode(), users=some(rng), modified=v) for id_, v in versions]
        return lambda nextcloud: nextcloud.load(*sent)
    if kind < 0.6:
        return post("/updateAccess", op=rng.choice(["allow", "deny"]), userIds=some(rng), sourceId=source_id)
    if kind < 0.7:
        return post("/updateAccessDeclarative", userIds=some(rng), sourceId=source_id)
    if kind < 0.8:
        return post("/deleteSources", sourceIds=rng.sample(IDS, 2))
    if kind < 0.85:
        op, users = rng.choice(["allow", "deny"]), [rng.choice(USERS)]
        return post("/updateAccessProvider", op=op, userIds=users, providerId="files__default")
    if kind < 0.88:
        return post("/deleteUser", userId=rng.choice(USERS))
    return post("/docSearch", userId=rng.choice(USERS), query="whale", ctxLimit=50)


def post(path: str, **body: object) -> Callable[[Nextcloud], httpx.Response]:
    return lambda nextcloud: nextcloud.post(path, **body)


def client(nextcloud: Nextcloud, seed: int) -> None:
    """Repeats what is held back, as Nextcloud does: what came before and was held back itself has to go first."""
    rng = random.Random(seed)
    for _ in range(OPERATIONS):
        operation = some_operation(rng)
        eventually(lambda: operation(nextcloud).status_code == 200)  # noqa: B023 - it is over when the loop goes on


def settle(nextcloud: Nextcloud, rng: random.Random) -> dict[str, set[str]]:
    """Say once more who may read what; repeat what had failed, as Nextcloud does."""
    readers = {source_id: set(some(rng)) for source_id in IDS}
    newest = [part(id_, users=readers[id_], modified=100) for id_ in IDS]
    for _ in range(10):
        loaded, retry = partition(nextcloud, *newest)
        if not retry:
            break
    assert loaded == set(IDS)
    for source_id, users in readers.items():
        body = {"userIds": sorted(users), "sourceId": source_id}
        assert nextcloud.post("/updateAccessDeclarative", **body).status_code == 200
    return readers


def assert_readers(nextcloud: Nextcloud, readers: dict[str, set[str]]) -> None:
    for user in USERS:
        assert nextcloud.found(user) == {source_id for source_id in readers if user in readers[source_id]}


@pytest.mark.parametrize("seed", range(3))
def test_eight_clients_at_once_do_not_disturb_each_other(gateway: GatewayProcess, seed: int) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: client(gateway.nextcloud, 100 * seed + number), range(8)))
    assert_readers(gateway.nextcloud, settle(gateway.nextcloud, random.Random(seed)))
    assert gateway.nextcloud.counts() == {"files__default": len(IDS)}
    assert gateway.errors() == []
    assert gateway.spooled == []


def test_clients_of_two_gateways_do_not_disturb_each_other(gateway: GatewayProcess, other: GatewayProcess) -> None:
    both = [gateway.nextcloud, other.nextcloud]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: client(both[number % 2], number), range(8)))
    readers = settle(other.nextcloud, random.Random(0))
    for nextcloud in both:
        assert_readers(nextcloud, readers)
    assert gateway.errors() == other.errors() == []


@dataclass(frozen=True, slots=True)
class Version:
    number: int
    """Equal to `modified`; every second version has the same text."""
    users: frozenset[str]

    def part(self, source_id: str) -> bytes:
        text = f"whale {self.number % 2} of {source_id}".encode()
        return part(source_id, text, users=sorted(self.users), modified=self.number)


def readers_after(versions: list[Version]) -> set[str]:
    """Newer replaces, not newer adds."""
    newest, readers = 0, set[str]()
    for version in versions:
        readers = set(version.users) if version.number > newest else readers | version.users
        newest = max(newest, version.number)
    return readers


@pytest.mark.parametrize("seed", range(3))
def test_a_newer_version_replaces_and_another_adds_whichever_gateway_got_it(
    gateway: GatewayProcess, other: GatewayProcess, seed: int
) -> None:
    rng = random.Random(seed)
    sent: dict[str, list[Version]] = {source_id: [] for source_id in IDS}
    for _ in range(8):
        versions = {source_id: Version(rng.randint(1, 5), frozenset(some(rng))) for source_id in IDS}
        parts = [version.part(source_id) for source_id, version in versions.items()]
        assert partition(rng.choice([gateway, other]).nextcloud, *parts) == (set(IDS), set())
        for source_id, version in versions.items():
            sent[source_id].append(version)
    assert_readers(gateway.nextcloud, {source_id: readers_after(versions) for source_id, versions in sent.items()})


def load_all(gateway: GatewayProcess, parts: dict[str, bytes]) -> None:
    """Again what is to be sent again: an upload at the other gateway may have overtaken it."""
    left = set(parts)
    for _ in range(10):
        _, left = partition(gateway.nextcloud, *(parts[source_id] for source_id in left))
        if not left:
            return
    pytest.fail(f"never loaded: {left}")


def test_the_newest_version_wins_when_two_gateways_load_at_once(gateway: GatewayProcess, other: GatewayProcess) -> None:
    older = {id_: part(id_, b"an old whale", users=["alice", "bob"], modified=1) for id_ in IDS}
    newer = {id_: part(id_, b"a new whale", users=["carol"], modified=2) for id_ in IDS}
    with ThreadPoolExecutor() as pool:
        for loading in [pool.submit(load_all, gateway, older), pool.submit(load_all, other, newer)]:
            loading.result()
    found = {user: gateway.nextcloud.found(user) for user in USERS}
    assert found["carol"] == set(IDS)
    assert found["alice"] == found["bob"], "added where the old version came last, else replaced"
    assert found["dora"] == set()


def test_a_source_deleted_through_one_gateway_can_be_loaded_again_through_the_other(
    gateway: GatewayProcess, other: GatewayProcess
) -> None:
    assert partition(gateway.nextcloud, part(IDS[0])) == ({IDS[0]}, set())
    assert other.nextcloud.post("/deleteSources", sourceIds=IDS[:1]).status_code == 200
    assert partition(gateway.nextcloud, part(IDS[0])) == ({IDS[0]}, set())
    assert gateway.nextcloud.found("alice") == {IDS[0]}


def test_a_reader_denied_through_one_gateway_stays_denied_by_a_newer_version_through_the_other(
    gateway: GatewayProcess, other: GatewayProcess
) -> None:
    source_id = IDS[0]
    assert partition(gateway.nextcloud, part(source_id, users=["alice"], modified=1))[0] == {source_id}
    assert partition(other.nextcloud, part(source_id, b"whale two", users=["alice", "bob"], modified=2))[0] == {
        source_id
    }
    assert partition(gateway.nextcloud, part(source_id, users=["alice"], modified=3))[0] == {source_id}
    assert gateway.nextcloud.found("bob") == set()


def test_what_one_gateway_revokes_stays_revoked_while_the_other_makes_its_vectors(
    gateway: GatewayProcess, other: GatewayProcess, embeddings: EmbeddingServer
) -> None:
    """While it is read, tests/toolkit/test_overtaken.py."""
    source_id = IDS[0]
    embeddings.hold = "swims"
    assert partition(gateway.nextcloud, part(source_id, users=["alice", "bob"])) == ({source_id}, set())
    eventually(lambda: embeddings.waiting > 0)
    denied = other.nextcloud.post("/updateAccess", op="deny", userIds=["bob"], sourceId=source_id)
    embeddings.hold = None
    assert denied.status_code == 200
    gateway.nextcloud.wait_for_meaning(60)
    for nextcloud in (gateway.nextcloud, other.nextcloud):
        assert nextcloud.found("bob") == set()
        assert nextcloud.found("alice") == {source_id}
