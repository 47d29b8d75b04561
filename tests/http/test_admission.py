"""Questions beyond what the gateway can do, on real sockets."""

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from anyio import CapacityLimiter, to_thread

from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import Hit, Query
from context_chat_backend.http.push import batch
from context_chat_backend.nextcloud.push_client import part
from tests.gateway import Nextcloud, headers, make_settings, running_gateway
from tests.slow.tools import eventually

WHALE = "files__default: 1"
QUESTION = {"query": "whale", "userId": "alice"}
NO_MODEL = {"CC_GENERATOR": "extractive"}


class Slow(ReferenceDriver):
    """Holds searches until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.searches: list[Query] = []
        self.go_on = threading.Event()

    async def search(self, query: Query) -> Sequence[Hit]:
        self.searches.append(query)
        await to_thread.run_sync(self.go_on.wait, 60, limiter=CapacityLimiter(1), abandon_on_cancel=True)
        return await super().search(query)


@pytest.fixture
def driver() -> Iterator[Slow]:
    driver = Slow()
    yield driver
    driver.go_on.set()


@pytest.fixture
def nextcloud(tmp_path: Path, driver: Slow) -> Iterator[Nextcloud]:
    """One question is searched, one waits."""
    settings = make_settings(tmp_path, rag_backend="reference", searches_at_once=1, questions_waiting=1)
    with running_gateway(settings, driver, NO_MODEL) as nextcloud:
        nextcloud.load(part(WHALE))
        yield nextcloud


def questions(nextcloud: Nextcloud, outcome: str) -> int:
    """How many of them were counted."""
    return _figure(nextcloud, f'ccb_questions_total{{outcome="{outcome}",step="search"}} ')


def waiting(nextcloud: Nextcloud) -> int:
    return _figure(nextcloud, 'ccb_questions_waiting{step="search"} ')


def _figure(nextcloud: Nextcloud, name: str) -> int:
    lines = nextcloud.http.get("/metrics").text.splitlines()
    return next(int(float(line.removeprefix(name))) for line in lines if line.startswith(name))


def hang_up_while_waiting(nextcloud: Nextcloud, path: str, *, abort: bool) -> None:
    url, content = httpx.URL(nextcloud.base_url), json.dumps({**QUESTION, "useContext": True}).encode()
    lines = {**headers(), "Host": "gateway", "Content-Type": "application/json", "Content-Length": str(len(content))}
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    with socket.create_connection((url.host, url.port or 80)) as connection:
        if abort:  # a reset, not an end
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.sendall(head.encode() + b"\r\n" + content)
        eventually(lambda: waiting(nextcloud) == 1)


@pytest.mark.parametrize("path", ["/docSearch", "/query"])
def test_what_is_too_much_is_told_to_come_back_and_then_answered(nextcloud: Nextcloud, driver: Slow, path: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(nextcloud.post, path, **QUESTION)
        eventually(lambda: len(driver.searches) == 1)
        second = pool.submit(nextcloud.post, path, **QUESTION)
        eventually(lambda: waiting(nextcloud) == 1)
        third = nextcloud.post(path, **QUESTION)
        assert third.status_code == 503
        assert third.headers["Retry-After"] == "10"
        assert "cc-retry" not in third.headers
        assert third.json().keys() == {"error"}
        driver.go_on.set()
        assert [first.result().status_code, second.result().status_code] == [200, 200]
    assert nextcloud.post(path, **QUESTION).status_code == 200
    assert questions(nextcloud, "accepted") == 3
    assert questions(nextcloud, "refused") == 1
    assert waiting(nextcloud) == 0


@pytest.mark.parametrize("abort", [False, True])
@pytest.mark.parametrize("path", ["/docSearch", "/query"])
def test_a_question_whose_client_has_gone_away_is_not_searched(
    nextcloud: Nextcloud, driver: Slow, path: str, *, abort: bool
) -> None:
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(nextcloud.post, path, **QUESTION)
        eventually(lambda: len(driver.searches) == 1)
        hang_up_while_waiting(nextcloud, path, abort=abort)
        eventually(lambda: waiting(nextcloud) == 0, seconds=10)
        assert questions(nextcloud, "gone") == 1
        driver.go_on.set()
        assert first.result().status_code == 200
    assert len({query.limit for query in driver.searches}) == len(driver.searches), "of one question only"


def test_other_requests_are_not_limited_with_them(nextcloud: Nextcloud, driver: Slow) -> None:
    with ThreadPoolExecutor(2) as pool:
        for number in range(2):
            pool.submit(nextcloud.post, "/docSearch", **QUESTION)
            eventually(lambda: len(driver.searches) + waiting(nextcloud) == number + 1)  # noqa: B023
        assert nextcloud.load(part("files__default: 2")).json()["loaded_sources"] == ["files__default: 2"]
        allow = {"op": "allow", "userIds": ["bob"], "sourceId": WHALE}
        assert nextcloud.post("/updateAccess", **allow).status_code == 200
        assert nextcloud.counts()["files__default"] == 2
        assert nextcloud.http.get("/health/ready").status_code == 200
        driver.go_on.set()


def test_uploads_that_are_too_many_are_sent_again_as_a_whole(
    nextcloud: Nextcloud, driver: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "MOST_UPLOADS", 0)
    refused = nextcloud.load(part("files__default: 3"))
    assert refused.status_code == 503
    assert refused.headers["cc-retry"] == "true"
    assert refused.headers["Retry-After"]
    assert refused.json().keys() == {"error"}
    monkeypatch.undo()
    assert nextcloud.load(part("files__default: 3")).json()["loaded_sources"] == ["files__default: 3"]
