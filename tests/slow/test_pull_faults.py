"""A busy Nextcloud whose requests fail in every way, and a gateway that is killed: in the end the index is exact."""

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg
import pytest

from tests.doubles.sim import Sim
from tests.gateway import SECRET, GatewayProcess, gateway_process
from tests.postgres import new_database
from tests.pull.site import QUESTION, SEARCH, VERSION, file_id

from .tools import EmbeddingServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

SCALE = float(os.environ.get("CCBE_FAULTS_SCALE", "0.1"))
"""1 for 10,000 documents and 5,000 actions of 50 users, which takes a quarter of an hour."""
DOCUMENTS, ACTIONS, USERS, SECRETS = int(10_000 * SCALE), int(5_000 * SCALE), 50, 50
PORTIONS = 50
"""In which things happen, one after the other."""
PORTION_SECONDS = 10 * SCALE
KILLS = 3
DAY = 24 * 3600 + 1
PROBABILITY = 0.1
ANSWERED_INSTEAD: tuple[dict[str, Any], ...] = ({"status": 500}, {"status": 503}, {"status": 429, "retry_after": 1})
EFFECTIVE = ("lost", "truncate", "cut", "late")
HARMLESS = ("reset", "maintenance", "html")
TAKING_TASKS = "tasks_provider/next"
"""Nextcloud hands a task out once and never tells anybody again which it was: its answer must not be lost."""


def go_wrong(nextcloud: Sim) -> None:
    """One request in ten, in one of all these ways."""
    ways = len(ANSWERED_INSTEAD) + len(EFFECTIVE) + len(HARMLESS)
    for kind in EFFECTIVE:
        nextcloud.fault(kind, path=rf"/ocs/(?!.*{TAKING_TASKS})", times=None, p=PROBABILITY / ways, at=30, delay=0.5)
    for kind in HARMLESS:
        nextcloud.fault(kind, path="/ocs/", times=None, p=PROBABILITY / ways)
    for answer in ANSWERED_INSTEAD:
        nextcloud.fault("status", path="/ocs/", times=None, p=PROBABILITY / ways, **answer)


@dataclass
class Secrets:
    """Files that one user each has besides the keeper, until it is taken away."""

    nextcloud: Sim
    gateway: GatewayProcess
    revoked: dict[int, int] = field(default_factory=dict)
    """Row of the action by file."""
    leaks: list[str] = field(default_factory=list)
    looks: int = 0

    def add(self, number: int) -> None:
        name = f"files/{number}.md"
        self.nextcloud.add_file(number, "keeper", name, "text/markdown", "The whale.", users=[self.reader(number)])
        self.nextcloud.enqueue_file(number)

    @staticmethod
    def reader(number: int) -> str:
        return f"reader of {number}"

    def revoke(self, number: int) -> None:
        with self.nextcloud.lock:
            self.nextcloud.share(number, remove=[self.reader(number)])
            self.revoked[number] = self.nextcloud.actions.next_id - 1

    def watch(self, over: threading.Event) -> None:
        """Once the revocation is acknowledged nothing is found any more, at no moment."""
        while not over.is_set():
            for number, row in list(self.revoked.items()):
                if row not in self.nextcloud.actions.rows:
                    with suppress(httpx.TransportError, AssertionError):  # it is being restarted
                        self.look(number)
                over.wait(0.02)
            over.wait(0.02)

    def look(self, number: int) -> None:
        found = self.gateway.nextcloud.found(self.reader(number))
        self.looks += 1
        if found:
            self.leaks.append(f"{number} at {time.monotonic()}")


@dataclass
class Site:
    """Files of `keeper`, shared with users who come and go."""

    nextcloud: Sim
    rng: random.Random
    numbers: list[int] = field(default_factory=list)
    last: int = SECRETS
    actions: int = 0

    def some(self) -> list[str]:
        return [f"u{number}" for number in self.rng.sample(range(USERS), self.rng.randrange(1, 6))]

    def add(self) -> None:
        self.last += 1
        text = f"The whale number {self.last} swims in the deep blue sea."
        with self.nextcloud.lock:
            self.nextcloud.add_file(
                self.last, "keeper", f"files/{self.last}.md", "text/markdown", text, users=self.some()
            )
            self.nextcloud.enqueue_file(self.last)
        self.numbers.append(self.last)

    def act(self) -> None:
        """Something that queues an action, most of the time with something that queues a document."""
        self.actions += 1
        number = self.rng.choice(self.numbers)
        kind = self.rng.random()
        if kind < 0.1:
            self.numbers.remove(number)
            self.nextcloud.delete_file(number)
        else:
            self.nextcloud.share(number, add=self.some(), remove=self.some())
            if kind < 0.3:
                self.nextcloud.write_file(number, f"The whale number {number} again, {self.actions}.")

    @property
    def expected(self) -> dict[str, set[str]]:
        return {file_id(node.id): set(node.users) for node in self.nextcloud.nodes.values()}


def stored(uri: str) -> dict[str, set[str]]:
    """Who may read what, as the database has it."""
    with psycopg.connect(uri) as connection:
        rows = connection.execute("""
            select source_id, array(select uid from ccb.users where user_no = any (members))
              from ccb.documents join ccb.access_groups using (group_id)
        """).fetchall()
    return {source_id: set(readers) for source_id, readers in rows}


@contextmanager
def watched(secrets: Secrets) -> Iterator[None]:
    over = threading.Event()
    watcher = threading.Thread(target=secrets.watch, args=(over,))
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def settle(nextcloud: Sim, gateway: GatewayProcess) -> None:
    """Rows whose answer was lost come back after a day."""
    end, before = time.monotonic() + 900, -1
    while not nextcloud.idle():
        assert time.monotonic() < end, nextcloud.stats()
        with suppress(httpx.TransportError):
            gateway.nextcloud.http.post("/trigger?providerId=x")
        time.sleep(5)
        acknowledged = sum(queue.acknowledged for queue in nextcloud.queues)
        if acknowledged == before:
            nextcloud.travel(DAY)
        before = acknowledged


def test_in_the_end_the_index_is_exact(embeddings: EmbeddingServer) -> None:
    rng = random.Random(2026)
    with new_database() as uri, Sim(secret=SECRET, app_version=VERSION) as nextcloud:
        variables = {
            **embeddings.environment,
            "CCB_DB_URL": uri,
            "NEXTCLOUD_URL": nextcloud.url,
            "APP_VERSION": VERSION,
            "CC_GENERATOR": "extractive",
        }
        with gateway_process(variables) as gateway:
            nextcloud.exapp_url = gateway.nextcloud.base_url
            nextcloud.enable()
            go_wrong(nextcloud)
            site, secrets = Site(nextcloud, rng), Secrets(nextcloud, gateway)
            for number in range(1, SECRETS + 1):
                secrets.add(number)
            for _ in range(DOCUMENTS - SECRETS):
                site.add()
            tasks = []
            with watched(secrets):
                kills = set(rng.sample(range(PORTIONS), KILLS))
                for portion in range(PORTIONS):
                    for _ in range(ACTIONS // PORTIONS - 1):
                        site.act()
                    secrets.revoke(portion + 1)
                    asked = {"prompt": "whale", "scopeType": "none", "scopeList": [], "scopeListMeta": ""}
                    tasks.append(nextcloud.schedule("keeper", rng.choice([QUESTION, SEARCH]), asked))
                    time.sleep(PORTION_SECONDS * rng.random())
                    if portion in kills:
                        gateway.kill()
                        gateway.start(ready=False)
                settle(nextcloud, gateway)
            assert stored(uri) == site.expected
            assert secrets.leaks == []
            assert secrets.looks > SECRETS
            assert {nextcloud.task(task)["status"] for task in tasks} <= {"STATUS_SUCCESSFUL", "STATUS_FAILED"}
            assert nextcloud.stats()["violations"] == {}
