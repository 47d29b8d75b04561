"""Two hundred questions at once beside a full scan: each is answered or told to come back, and none is lost."""

import http.client
import itertools
import json
import logging
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus

import httpx
import pytest

from context_chat_backend.nextcloud.push_client import PushClient, part
from tests.gateway import SECRET, GatewayProcess, gateway_process, headers

from .tools import MIB, eventually, file, files, forget_peak, memory, partition, prose

pytestmark = [pytest.mark.slow, pytest.mark.alone]

USERS = ("alice", "bob", "carol", "dora", "emil")
QUESTIONS = 200
DEADLINE = 30
"""Seconds that a question may wait by default."""
WAITING = 50
"""Fewer than are asked, so that some are refused."""
SCANNED = 1_000_000
"""Where the numbers of the files of the scan begin."""
LARGE = MIB
TRIES = 20


log = logging.getLogger(__name__)


def word(number: int) -> str:
    """Of one document."""
    return "qu" + "".join("aeiou"[int(digit) % 5] + "bdfgklmnpr"[int(digit)] for digit in f"{number:03}")


def loaded(gateway: GatewayProcess) -> int:
    """Sources so far."""
    name = 'ccb_sources_total{outcome="loaded"} '
    lines = gateway.nextcloud.http.get("/metrics").text.splitlines()
    return next((int(float(line.removeprefix(name))) for line in lines if line.startswith(name)), 0)


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of a question."""

    number: int
    status: int
    seconds: float
    retry_after: str | None
    found: list[str]


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    """With a document for each question, of the user who asks it."""
    variables = {"CC_GENERATOR": "extractive", "QUESTIONS_WAITING": str(WAITING)}
    with gateway_process(variables) as gateway:
        gateway.nextcloud.http.timeout = 300
        for start in range(0, QUESTIONS, 25):
            numbers = range(start, start + 25)
            parts = [part(file(number), _text(number), users=[_user(number)]) for number in numbers]
            assert partition(gateway.nextcloud, *parts) == ({*files(*numbers)}, set())
        gateway.nextcloud.wait_for_meaning(300)
        yield gateway


def _text(number: int) -> bytes:
    return f"The {word(number)} lives by the river and sleeps at noon.".encode()


def _user(number: int) -> str:
    return USERS[number % len(USERS)]


@contextmanager
def scan(gateway: GatewayProcess) -> Iterator[None]:
    """Uploads one after the other, as the indexing job does, small files and now and then a large one."""
    over = threading.Event()

    def run() -> None:
        with PushClient(gateway.nextcloud.base_url, SECRET, timeout=300) as client:
            for batch in itertools.count():
                if over.is_set():
                    return
                numbers = range(SCANNED + batch * 10, SCANNED + batch * 10 + 10)
                sizes = [LARGE, *[4000] * 9] if batch % 10 == 1 else [4000] * 10
                parts = [
                    part(file(number), prose(size, number), users=list(USERS))
                    for number, size in zip(numbers, sizes, strict=True)
                ]
                assert client.load(*parts).status_code == HTTPStatus.OK

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def ask(gateway: GatewayProcess, number: int) -> Asked:
    """Over a connection of its own, by http.client: two hundred clients of httpx would take the time of two cores."""
    path = "/query" if number % 4 == 0 else "/docSearch"
    body = json.dumps({"query": word(number), "userId": _user(number), "ctxLimit": 3})
    with closing(http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=300)) as connection:
        start = time.monotonic()
        connection.request("POST", path, body, {**headers(), "Content-Type": "application/json"})
        response = connection.getresponse()
        content = json.loads(response.read())
        seconds = time.monotonic() - start
    found: list[str] = []
    if response.status == HTTPStatus.OK:
        found = content["sources"] if path == "/query" else [source["source_id"] for source in content]
    return Asked(number, response.status, seconds, response.getheader("Retry-After"), found)


def ask_all(gateway: GatewayProcess, numbers: list[int]) -> list[Asked]:
    """At once."""
    barrier = threading.Barrier(len(numbers))

    def together(number: int) -> Asked:
        barrier.wait()
        return ask(gateway, number)

    with ThreadPoolExecutor(len(numbers)) as pool:
        return list(pool.map(together, numbers))


def heartbeats(gateway: GatewayProcess, until: threading.Event) -> list[float]:
    """Seconds that the event loop takes for next to nothing, again and again."""
    times: list[float] = []
    with httpx.Client(base_url=gateway.nextcloud.base_url, trust_env=False, timeout=300) as client:
        while not until.wait(0.05):
            start = time.monotonic()
            assert client.get("/heartbeat").status_code == 200
            times.append(time.monotonic() - start)
    return times


@contextmanager
def watched(gateway: GatewayProcess) -> Iterator[list[float]]:
    """The heartbeats of the block, complete when it is left."""
    over, times = threading.Event(), list[float]()
    thread = threading.Thread(target=lambda: times.extend(heartbeats(gateway, over)))
    thread.start()
    try:
        yield times
    finally:
        over.set()
        thread.join()


def p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20, method="inclusive")[18]


def test_every_question_is_answered_or_told_to_come_back_and_then_answered(gateway: GatewayProcess) -> None:
    with watched(gateway) as idle:
        alone = [ask(gateway, number).seconds for number in range(40)]
        time.sleep(2)
    forget_peak(gateway.pid)
    before = loaded(gateway)
    answered, left, refused = list[Asked](), list(range(QUESTIONS)), 0
    with scan(gateway):
        eventually(lambda: loaded(gateway) > before)
        begun = loaded(gateway)
        with watched(gateway) as busy:
            turn = ask_all(gateway, left)
            for _ in range(TRIES):
                assert {asked.status for asked in turn} <= {200, 503}
                answered += [asked for asked in turn if asked.status == 200]
                again = [asked for asked in turn if asked.status == 503]
                refused += len(again)
                if not again:
                    break
                assert all(asked.retry_after is not None and int(asked.retry_after) > 0 for asked in again)
                time.sleep(max(int(asked.retry_after or 0) for asked in again))
                turn = ask_all(gateway, [asked.number for asked in again])
        during = loaded(gateway) - begun
        peak = memory(gateway.pid, "VmHWM")
    times = [asked.seconds for asked in answered]
    log.info(
        "alone p50 %.0f ms, p95 %.0f; of %d at once p50 %.0f, p95 %.0f, %d refused; "
        "heartbeat p95 idle %.1f, busy %.1f; peak %.0f MiB; %d scanned meanwhile",
        *(statistics.median(alone) * 1000, p95(alone) * 1000),
        *(QUESTIONS, statistics.median(times) * 1000, p95(times) * 1000, refused),
        *(p95(idle) * 1000, p95(busy) * 1000, peak / MIB, during),
    )
    assert sorted(asked.number for asked in answered) == left
    assert [asked for asked in answered if file(asked.number) not in asked.found] == []
    assert during > 0, "indexing goes on, if slowly"
    assert refused > 0, "too fast for this test: let fewer wait"
    assert p95(times) < DEADLINE
    assert p95(busy) < 100 * p95(idle)
    assert p95(busy) < p95(times) / 4, "the loop serves others meanwhile"
    assert peak < 900 * MIB
    assert gateway.errors() == []


def test_one_question_of_another_user_does_not_stand_behind_two_hundred(gateway: GatewayProcess) -> None:
    numbers = [number for number in range(QUESTIONS) if _user(number) == "alice"] * 5
    with ThreadPoolExecutor(1) as pool:
        crowd = pool.submit(ask_all, gateway, numbers[:WAITING])
        time.sleep(0.3)
        single = ask(gateway, 1)
        asked = crowd.result()
    assert single.status == 200
    assert single.found[:1] == files(1)
    assert single.seconds < max(question.seconds for question in asked) / 2
