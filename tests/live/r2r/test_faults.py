"""What R2R, its models or its database do wrong costs time: no source is lost, and nobody finds what is not theirs."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress

import httpx
import pytest

from context_chat_backend.nextcloud.push_client import part
from tests.gateway import GatewayProcess, Nextcloud, gateway_process, wait_until_ready
from tests.slow.test_outage import (
    WHALE,
    Queue,
    assert_everything_fails_for_now,
    assert_everything_works,
    assert_unavailable,
    run_job,
)
from tests.slow.tools import eventually, file, files, partition

from .model_stub import ModelStub
from .proxy import CountingProxy, counting_proxy
from .server import R2RDatabase, R2RServer
from .tools import SECONDS, drain, load_all, r2r_environment, stored

pytestmark = pytest.mark.r2r

QUICK = {"R2R_ATTEMPTS": "1", "R2R_RUN_WITH_ORCHESTRATION": "false"}
"""One try of the gateway and one of R2R; that they are repeated is a matter of other tests."""
IMPATIENT = {**QUICK, "R2R_HTTP_TIMEOUT": "4"}
"""A document is given up after twice that time."""
LATER = 1_700_000_001
CROWD = 200


@pytest.fixture
def gateway(r2r: R2RServer, models: ModelStub) -> Iterator[GatewayProcess]:
    with gateway_process(r2r_environment(r2r) | QUICK) as gateway:
        yield gateway


@pytest.fixture
def impatient(r2r: R2RServer, models: ModelStub) -> Iterator[GatewayProcess]:
    with gateway_process(r2r_environment(r2r) | IMPATIENT) as gateway:
        yield gateway


def deny(*source_ids: str, user: str = "bob") -> Queue:
    return [("/updateAccess", {"op": "deny", "userIds": [user], "sourceId": source_id}) for source_id in source_ids]


def titles(nextcloud: Nextcloud, user: str, query: str = "whale") -> dict[str, str]:
    """By source id."""
    hits = nextcloud.post("/docSearch", userId=user, query=query, ctxLimit=200).json()
    return {hit["source_id"]: hit["title"] for hit in hits}


# ------------------------------------------------------------------ the models fail


def refuse(models: ModelStub) -> None:
    models.stop()


def answer_503(models: ModelStub) -> None:
    models.embeddings.fail(503)
    models.chat.fail(503)


@pytest.mark.parametrize("fail", [refuse, answer_503])
def test_an_outage_of_the_models_costs_nothing_but_time(
    gateway: GatewayProcess, models: ModelStub, fail: Callable[[ModelStub], None]
) -> None:
    nextcloud = gateway.nextcloud
    assert partition(nextcloud, part(WHALE, users=["alice", "bob"]), part(file(2))) == ({*files(1, 2)}, set())
    fail(models)
    batch = {WHALE: part(WHALE, b"A newer whale.", users=["alice"], modified=LATER)}
    batch |= {source_id: part(source_id) for source_id in files(3, 4)}
    assert partition(nextcloud, *batch.values()) == (set(), set(batch))
    assert_unavailable(nextcloud.post("/docSearch", userId="alice", query="whale"))
    assert_unavailable(nextcloud.post("/query", userId="alice", query="whale", useContext=True))
    assert run_job(nextcloud, [*deny(WHALE), ("/deleteSources", {"sourceIds": files(2)})]) == []
    assert nextcloud.counts() == {"files__default": 1}
    models.recover()
    assert nextcloud.found("alice") == {WHALE}
    assert nextcloud.found("bob") == set()
    assert partition(nextcloud, *batch.values()) == (set(batch), set())
    assert nextcloud.found("alice") == set(batch)
    assert nextcloud.counts() == {"files__default": 3}
    assert gateway.errors() == []
    assert gateway.spooled == []


@pytest.mark.parametrize(("status", "retry_after"), [(429, None), (429, 1), (401, None)])
def test_a_provider_that_refuses_costs_nothing_but_time(
    gateway: GatewayProcess, models: ModelStub, status: int, retry_after: int | None
) -> None:
    nextcloud = gateway.nextcloud
    assert partition(nextcloud, part(WHALE)) == ({WHALE}, set())
    models.embeddings.fail(status, retry_after=retry_after)
    assert partition(nextcloud, part(file(2))) == (set(), {file(2)})
    assert nextcloud.http.get("/health/ready").status_code == 200
    assert_unavailable(nextcloud.post("/docSearch", userId="alice", query="whale"))
    models.recover()
    assert partition(nextcloud, part(file(2))) == ({file(2)}, set())
    assert nextcloud.found("alice") == {*files(1, 2)}
    assert gateway.errors() == []


def test_an_old_version_stays_findable_until_its_replacement_is(gateway: GatewayProcess, models: ModelStub) -> None:
    nextcloud = gateway.nextcloud
    assert partition(nextcloud, part(WHALE, title="files/old.md")) == ({WHALE}, set())
    newer = part(WHALE, b"A paper whale.", title="files/new.md", modified=LATER)
    models.hold = "paper"
    with ThreadPoolExecutor() as pool:
        loading = pool.submit(partition, nextcloud, newer)
        eventually(lambda: models.waiting > 0)
        assert titles(nextcloud, "alice") == {WHALE: "files/old.md"}
        models.hold = None
        assert loading.result() == ({WHALE}, set())
    assert titles(nextcloud, "alice") == {WHALE: "files/new.md"}
    assert nextcloud.counts() == {"files__default": 1}


def test_an_old_version_stays_findable_when_its_replacement_fails(gateway: GatewayProcess, models: ModelStub) -> None:
    nextcloud = gateway.nextcloud
    assert partition(nextcloud, part(WHALE, title="files/old.md")) == ({WHALE}, set())
    newer = part(WHALE, b"A paper whale.", title="files/new.md", modified=LATER)
    for _ in range(2):
        models.embeddings.fail(503)
        assert partition(nextcloud, newer) == (set(), {WHALE})
        models.recover()
        assert titles(nextcloud, "alice") == {WHALE: "files/old.md"}
    assert partition(nextcloud, newer) == ({WHALE}, set())
    assert titles(nextcloud, "alice") == {WHALE: "files/new.md"}
    assert nextcloud.counts() == {"files__default": 1}


def test_a_source_that_took_longer_than_the_gateway_waits_is_not_ingested_again(
    impatient: GatewayProcess, models: ModelStub
) -> None:
    slow = part(WHALE, b"A slow whale.")
    models.hold = "slow"
    assert partition(impatient.nextcloud, slow) == (set(), {WHALE})
    models.hold = None
    load_all(impatient.nextcloud, {WHALE: slow})
    assert models.texts("slow") == 1
    assert impatient.nextcloud.found("alice") == {WHALE}
    assert impatient.nextcloud.counts() == {"files__default": 1}


# ------------------------------------------------------------------ R2R or the gateway ends


def test_what_r2r_was_killed_over_is_recovered_and_a_denial_meanwhile_holds(
    impatient: GatewayProcess, r2r: R2RServer, models: ModelStub
) -> None:
    nextcloud, both = impatient.nextcloud, ["alice", "bob"]
    assert partition(nextcloud, part(WHALE, users=both), part(file(3), users=both)) == ({*files(1, 3)}, set())
    batch = {
        WHALE: part(WHALE, b"An unfinished whale.", users=both, modified=LATER),
        file(2): part(file(2), b"Unfinished business: unfinished.", users=both),
    }
    denials = deny(*files(1, 2, 3))
    models.hold = "nfinished"
    with ThreadPoolExecutor() as pool:
        loading = pool.submit(partition, nextcloud, *batch.values())
        eventually(lambda: models.waiting == 2)
        r2r.kill()
        try:
            assert loading.result() == (set(), set(batch))
            assert run_job(nextcloud, denials) == denials
            eventually(lambda: nextcloud.http.get("/health/ready").status_code == 503)  # an answer is remembered
        finally:
            models.hold = None
            r2r.start()
    wait_until_ready(nextcloud)
    drain(nextcloud, denials)
    assert nextcloud.found("bob") == set()
    assert nextcloud.found("alice") == {*files(1, 3)}
    load_all(nextcloud, {source_id: body.replace(b"alice,bob", b"alice") for source_id, body in batch.items()})
    assert nextcloud.found("alice") == {*files(1, 2, 3)}
    assert nextcloud.found("bob") == set()
    assert nextcloud.counts() == {"files__default": 3}
    assert impatient.errors() == []


def test_a_deleted_document_that_r2r_brings_back_is_found_by_nobody_and_removed(
    impatient: GatewayProcess, r2r: R2RServer, models: ModelStub
) -> None:
    nextcloud = impatient.nextcloud
    models.hold = "stuck"
    assert partition(nextcloud, part(WHALE, b"A stuck whale.")) == (set(), {WHALE})
    drain(nextcloud, [("/deleteSources", {"sourceIds": [WHALE]})])
    assert stored(impatient, r2r, WHALE) == []
    models.hold = None
    eventually(lambda: [each["ingestion_status"] for each in stored(impatient, r2r, WHALE)] == ["success"])
    assert nextcloud.found("alice") == set()
    assert nextcloud.post("/query", userId="alice", query="whale", useContext=True).status_code == 400
    assert partition(nextcloud, part(WHALE, users=["bob"])) == ({WHALE}, set())
    assert nextcloud.found("bob") == {WHALE}
    assert nextcloud.found("alice") == set()
    eventually(lambda: len(stored(impatient, r2r, WHALE)) == 1, SECONDS)
    assert nextcloud.found("bob") == {WHALE}
    assert nextcloud.counts() == {"files__default": 1}


def test_killed_in_the_middle_of_an_upload_the_gateway_finds_the_document_done(
    gateway: GatewayProcess, models: ModelStub
) -> None:
    nextcloud = gateway.nextcloud

    def abandoned_load() -> None:
        with suppress(httpx.TransportError):
            nextcloud.load(unfinished)

    unfinished = part(WHALE, b"An abandoned whale.")
    models.hold = "abandoned"
    with ThreadPoolExecutor() as pool:
        loading = pool.submit(abandoned_load)
        eventually(lambda: models.waiting > 0)
        gateway.kill()
        loading.result()
    gateway.start()
    assert gateway.spooled == []
    assert partition(nextcloud, unfinished) == (set(), {WHALE})
    assert nextcloud.found("alice") == set()
    models.hold = None
    load_all(nextcloud, {WHALE: unfinished})
    assert models.texts("abandoned") == 1
    assert nextcloud.found("alice") == {WHALE}
    assert nextcloud.counts() == {"files__default": 1}


def kill_after(calls: int, gateway: GatewayProcess, models: ModelStub, loading: Future[None]) -> None:
    """Of the models; or when there is nothing left to disturb."""
    enough = models.embeddings.calls + calls
    eventually(lambda: loading.done() or models.embeddings.calls >= enough)
    gateway.kill()


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_the_gateway_loses_nothing(gateway: GatewayProcess, models: ModelStub, seed: int) -> None:
    nextcloud, rng, ids = gateway.nextcloud, random.Random(seed), files(*range(1, 7))

    def batch(version: int) -> dict[str, bytes]:
        return {id_: part(id_, f"The whale of {version}.".encode(), modified=LATER + version) for id_ in ids}

    def abandoned_load(version: int) -> None:
        with suppress(httpx.TransportError):
            nextcloud.load(*batch(version).values())

    with ThreadPoolExecutor() as pool:
        for version in range(3):
            known = nextcloud.found("alice")
            loading = pool.submit(abandoned_load, version)
            kill_after(rng.randint(1, 8), gateway, models, loading)
            loading.result()
            gateway.start()
            assert gateway.spooled == []
            assert known <= nextcloud.found("alice")
    load_all(nextcloud, batch(9))
    assert nextcloud.found("alice") == set(ids)
    assert nextcloud.counts() == {"files__default": len(ids)}
    assert gateway.errors() == []


# ------------------------------------------------------------------ the database behind R2R fails


@contextmanager
def stopped(database: R2RDatabase) -> Iterator[None]:
    database.stop()
    try:
        yield
    finally:
        database.start()


def frozen(database: R2RDatabase) -> AbstractContextManager[None]:
    return database.frozen()


@pytest.mark.parametrize("fail", [stopped, frozen])
def test_an_outage_of_the_database_costs_nothing_but_time(
    impatient: GatewayProcess, r2r: R2RServer, fail: Callable[[R2RDatabase], AbstractContextManager[None]]
) -> None:
    nextcloud = impatient.nextcloud
    assert partition(nextcloud, part(WHALE)) == ({WHALE}, set())
    with fail(r2r.database):
        assert httpx.get(f"{r2r.url}/v3/health").status_code == 200
        assert_everything_fails_for_now(nextcloud)
    wait_until_ready(nextcloud)
    assert_everything_works(nextcloud)
    assert nextcloud.found("bob") == {WHALE}
    assert impatient.errors() == []
    assert impatient.spooled == []


# ------------------------------------------------------------------ too much at once


@pytest.fixture
def proxy(r2r: R2RServer) -> Iterator[CountingProxy]:
    with counting_proxy(r2r.url) as proxy:
        yield proxy


def upload_at_once(gateway: GatewayProcess, proxy: CountingProxy, source_ids: list[str]) -> tuple[set[str], set[str]]:
    """As many uploads of one source each; somebody asks a question meanwhile."""
    crowd = [Nextcloud(gateway.nextcloud.base_url) for _ in range(4)]  # each has a hundred connections at the most
    loaded, retry = set[str](), set[str]()
    with ThreadPoolExecutor(len(source_ids)) as pool:
        before = proxy.uploads
        uploads = [pool.submit(partition, crowd[n % 4], part(id_)) for n, id_ in enumerate(source_ids)]
        eventually(lambda: proxy.uploads > before)
        assert gateway.nextcloud.found("alice") >= {WHALE}
        for upload in uploads:
            loaded |= upload.result()[0]
            retry |= upload.result()[1]
    for each in crowd:
        each.http.close()
    return loaded, retry


def test_a_crowd_of_uploads_is_answered_and_r2r_gets_a_few_of_them_at_a_time(
    r2r: R2RServer, models: ModelStub, proxy: CountingProxy
) -> None:
    settings = {"R2R_BASE_URL": proxy.url, "R2R_MAX_INFLIGHT_UPSERTS": "5", "R2R_MAX_WAIT_SECONDS": "2"}
    crowd = files(*range(2, CROWD + 2))
    with gateway_process(r2r_environment(r2r) | settings) as gateway:
        assert partition(gateway.nextcloud, part(WHALE)) == ({WHALE}, set())
        models.embeddings.latency = 2
        loaded, retry = upload_at_once(gateway, proxy, crowd)
        models.recover()
        assert loaded | retry == set(crowd)
        assert len(loaded) + len(retry) == len(crowd)
        assert loaded
        assert retry
        assert proxy.most_at_once == 5
        load_all(gateway.nextcloud, {source_id: part(source_id) for source_id in retry})
        assert gateway.nextcloud.counts() == {"files__default": CROWD + 1}
        assert proxy.most_at_once == 5
        assert gateway.errors() == []
        assert gateway.spooled == []
