"""The database is gone, at each kind of operation."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.gateway import GatewayProcess, gateway_process, wait_until_ready

from .faults import (
    OPPOSITES,
    QUESTIONS,
    SOURCES,
    Action,
    allow,
    assert_passing_failure,
    complaints,
    deny,
    everywhere,
    exactly,
    kill_postmaster,
    new_site,
    wait_until_revived,
    without,
    without_provider,
    without_user,
)
from .tools import Database, EmbeddingServer, embedding_server, file, files

pytestmark = pytest.mark.slow

QUICK = {"BUILTIN_ATTEMPTS": "1", "CC_GENERATOR": "extractive"}

APART: list[tuple[Action, Action]] = [
    (allow("mallory", file(1)), deny("mallory", file(1))),
    (deny("bob", file(2)), allow("bob", file(2))),
    (exactly(file(3), "alice", "mallory"), exactly(file(3), "alice")),
    (without(file(4)), allow("mallory", file(4))),
    (everywhere("allow", "carol", "mail__mail"), everywhere("deny", "carol", "mail__mail")),
    (without_provider("deck__deck"), allow("mallory", "deck__deck: 1")),
]
"""They do not wait for each other, so they can fail at the same time."""
USER = (without_user("bob"), allow("bob", file(5)))


def send(gateway: GatewayProcess, action: Action) -> httpx.Response:
    path, body = action
    return gateway.nextcloud.post(path, **body)


def test_an_external_one_that_is_stopped_costs_no_order_and_no_source(
    external: Database, embeddings: EmbeddingServer
) -> None:
    environment = {"CCB_DB_URL": external.uri, **embeddings.environment, **QUICK}
    with gateway_process(environment) as gateway, ThreadPoolExecutor(8) as pool:
        site = new_site(gateway.nextcloud)
        site.add(*files(4, 5), "mail__mail: 1")
        site.settle()
        external.stop()
        firsts = [first for first, _ in APART]
        for response in pool.map(lambda action: send(gateway, action), [*firsts, *QUESTIONS.values()]):
            assert_passing_failure(response)
        assert_passing_failure(send(gateway, USER[0]))
        assert gateway.nextcloud.http.get("/health/ready").status_code == 503
        external.start()
        wait_until_ready(gateway.nextcloud)
        for first in [*firsts, USER[0]]:
            site.act(first)
        for then in [*(then for _, then in APART), USER[1]]:
            assert_passing_failure(send(gateway, then))
            site.act(then)
        site.settle()
        complaints(gateway.console())


@pytest.fixture(scope="module")
def embedded() -> Iterator[GatewayProcess]:
    with embedding_server() as embeddings, gateway_process({**embeddings.environment, **QUICK}) as gateway:
        yield gateway
        complaints(gateway.console())


@pytest.mark.parametrize("kind", ["allow", "deny everywhere", "delete user", "upload", "docSearch"])
def test_an_embedded_one_that_is_killed_comes_back_and_nothing_is_lost(embedded: GatewayProcess, kind: str) -> None:
    nextcloud = embedded.nextcloud
    site = new_site(nextcloud)
    died = kill_postmaster(embedded)
    if kind in QUESTIONS:
        path, body = QUESTIONS[kind]
        assert nextcloud.post(path, **body).status_code in {200, 503}
    elif kind == "upload":
        site.add(*files(20, 21), users=["alice", "mallory"])
    else:
        first, then = OPPOSITES[kind]
        site.act(first)
        site.run()
        site.act(then)
    site.run()
    wait_until_revived(embedded, died)
    site.settle()
    assert {file(2), SOURCES[2]} <= nextcloud.found("alice")
