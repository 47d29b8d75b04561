"""Two thousand connections that say nothing."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from tests.gateway import GatewayProcess, gateway_process
from tests.http.test_connections import many_files

from .faults import OPPOSITES, QUESTIONS, complaints, kill_postmaster, new_site, wait_until_revived
from .tools import EmbeddingServer, file

pytestmark = [pytest.mark.slow, pytest.mark.alone]

NO_MODEL = {"CC_GENERATOR": "extractive"}


@contextmanager
def idle_connections(gateway: GatewayProcess, number: int = 2_000) -> Iterator[None]:
    with ExitStack() as all_:
        for _ in range(number):
            all_.enter_context(socket.create_connection(("127.0.0.1", gateway.port)))
        # behind them in the queue: once it is answered, the gateway closes no more for them, and a kept one that it did
        # close is known to be closed
        assert httpx.get(f"{gateway.nextcloud.base_url}/heartbeat", trust_env=False).status_code == 200
        yield


@pytest.mark.parametrize("soft", [True, False])
def test_everything_is_served_and_the_database_comes_back_meanwhile(embeddings: EmbeddingServer, *, soft: bool) -> None:
    with (
        many_files(3_000),
        gateway_process(
            {**embeddings.environment, "CC_GENERATOR": "extractive"}, open_files=1024, soft=soft
        ) as gateway,
        idle_connections(gateway),
    ):
        site = new_site(gateway.nextcloud)
        assert_everything_is_served(gateway)
        died = kill_postmaster(gateway)
        first, then = OPPOSITES["allow"]
        site.act(first)
        site.add(file(10))
        site.run()
        site.act(then)
        with idle_connections(gateway):
            wait_until_revived(gateway, died)
            site.settle()
            assert_everything_is_served(gateway)
        complaints(gateway.console())
        assert gateway.stop() == 0


def assert_everything_is_served(gateway: GatewayProcess) -> None:
    """Also to clients that were not there before."""
    base_url, http = gateway.nextcloud.base_url, gateway.nextcloud.http
    for path in ("/heartbeat", "/metrics", "/health/ready"):
        assert httpx.get(base_url + path, trust_env=False).status_code == 200
    for path, body in QUESTIONS.values():
        assert gateway.nextcloud.post(path, **body).status_code == 200
    assert http.get("/downloadLogs").status_code == 200
