"""What comes by the pull contract compared with the push contract, on one gateway in one run."""

import itertools
import multiprocessing
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from context_chat_backend.nextcloud.push_client import part
from tests.doubles.sim import Sim
from tests.gateway import SECRET

from .corpus import Corpus
from .loading import BATCH, SMALL_CHARS
from .processes import Client, Server, serving
from .report import Table
from .scale import Scale
from .timing import compared, p50, p95, rate

FILES = "files__default"
OWNER, USERS = "owner", [f"user {number}" for number in range(50)]
SHARED = 500
"""Sources whose access changes."""
PATIENCE = 600


@dataclass(frozen=True, slots=True)
class Site:
    """A gateway, and the simulated Nextcloud that it pulls from."""

    gateway: Server
    nextcloud: Sim
    corpus: Corpus

    def add_file(self, number: int) -> None:
        text = self.corpus.text(number, SMALL_CHARS)
        self.nextcloud.add_file(number, OWNER, f"files/{number}.txt", "text/plain", text)
        self.nextcloud.enqueue_file(number)

    def wait(self) -> None:
        """Until everything is acknowledged. Raises `TimeoutError`."""
        if not self.nextcloud.wait_idle(PATIENCE, poll=0.01):
            raise TimeoutError("the queues did not become empty")


@contextmanager
def site(folder: Path, corpus: Corpus) -> Iterator[Site]:
    """Of a gateway as it is installed."""
    with Sim(secret=SECRET, app_version="5.4.0") as nextcloud:
        variables = {"NEXTCLOUD_URL": nextcloud.url, "APP_VERSION": "5.4.0"}
        with serving("context_chat_backend", "serve", storage=folder / "pulling", variables=variables) as gateway:
            nextcloud.exapp_url = f"http://127.0.0.1:{gateway.port}"
            nextcloud.enable()
            yield Site(gateway, nextcloud, corpus)


def measure_pull(site: Site, scale: Scale) -> Table:
    """Documents per second, and access changes per second."""
    head = ("", "push/s", "pull/s", "ratio")
    return Table(
        "pull", head, [_row("documents of 400 bytes", _load(site, scale)), _row("access changes", _share(site, scale))]
    )


def _row(what: str, rounds: Sequence[tuple[float, float]]) -> tuple[str, str, str, str]:
    push, pull, ratio = compared(rounds)
    return what, f"{push:,.0f}", f"{pull:,.0f}", f"{ratio:.2f}"


def _load(site: Site, scale: Scale) -> list[tuple[float, float]]:
    numbers = itertools.count(1)
    count = scale.small_sources

    def push(client: Client, first: int) -> None:
        for start in range(first, first + count, BATCH):
            batch = range(start, min(start + BATCH, first + count))
            client.load([_part(site.corpus, number) for number in batch])

    def pull(first: int) -> None:
        with site.nextcloud.lock:
            for number in range(first, first + count):
                site.add_file(number)
        _hurry(site)
        site.wait()

    def round_() -> tuple[float, float]:
        first = next(numbers) * 2 * count
        with site.gateway.connect() as client:
            pushed = rate(count, lambda: push(client, first))
        return pushed, rate(count, lambda: pull(first + count))

    return [round_() for _ in range(scale.rounds)]


def _part(corpus: Corpus, number: int) -> bytes:
    text = corpus.text(number, SMALL_CHARS).encode()
    return part(f"{FILES}: {number}", text, users=[OWNER], title=f"files/{number}.txt", mime_type="text/plain")


def _hurry(site: Site) -> None:
    with site.gateway.connect() as client:
        client.post("/trigger?providerId=bench")


def _share(site: Site, scale: Scale) -> list[tuple[float, float]]:
    rng = random.Random(0)
    ids = [f"{FILES}: {2 * scale.small_sources + number}" for number in range(min(SHARED, scale.small_sources))]

    def changes(count: int) -> list[dict[str, object]]:
        return [
            {"op": rng.choice(["allow", "deny"]), "userIds": [rng.choice(USERS)], "sourceId": rng.choice(ids)}
            for _ in range(count)
        ]

    def push(client: Client, bodies: Sequence[dict[str, object]]) -> None:
        for body in bodies:
            client.post("/updateAccess", **body)

    def pull(bodies: Sequence[dict[str, object]]) -> None:
        with site.nextcloud.lock:
            for body in bodies:
                site.nextcloud.enqueue_action("update_access_source_id", body)
        _hurry(site)
        site.wait()

    def round_() -> tuple[float, float]:
        few, many = changes(scale.access_changes // 20), changes(scale.access_changes)
        with site.gateway.connect() as client:
            pushed = rate(len(few), lambda: push(client, few))
        return pushed, rate(len(many), lambda: pull(many))

    return [round_() for _ in range(scale.rounds)]


def measure_questions(site: Site, scale: Scale) -> Table:
    """Milliseconds of a search while nothing happens, and while documents are pulled. A process of its own asks: the
    simulator answers the gateway from this one."""
    numbers = itertools.count(10_000_000)

    def round_(asking: ProcessPoolExecutor) -> tuple[list[float], list[float]]:
        questions = [site.corpus.question(next(numbers)) for _ in range(2 * scale.searches)]
        idle = asking.submit(_ask, site.gateway, questions[: scale.searches]).result()
        with site.nextcloud.lock:
            for _ in range(scale.busy_documents):
                site.add_file(next(numbers))
        _hurry(site)
        busy = asking.submit(_ask, site.gateway, questions[scale.searches :]).result()
        with site.gateway.connect() as client:
            if site.nextcloud.idle() and client.is_at_rest():
                raise RuntimeError("the documents were indexed before all questions were asked")
            site.wait()
            client.wait_for_meaning()
        return idle, busy

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as asking:
        asking.submit(_ask, site.gateway, []).result()
        rounds = [round_(asking) for _ in range(scale.rounds)]
    rows = [
        times_row(name, [figure(idle) for idle, _ in rounds], [figure(busy) for _, busy in rounds])
        for name, figure in (("p50", p50), ("p95", p95))
    ]
    return Table("busy", ("", "idle, ms", "while indexing, ms", "ratio"), rows)


def _ask(gateway: Server, questions: Sequence[str]) -> list[float]:
    times: list[float] = []
    with gateway.connect() as client:
        for question in questions:
            start = time.perf_counter()
            client.post("/docSearch", query=question, userId=OWNER, ctxLimit=20)
            times.append((time.perf_counter() - start) * 1000)
    return times


def times_row(name: str, idle: Sequence[float], busy: Sequence[float]) -> tuple[str, str, str, str]:
    """Medians over rounds, and that of their ratios."""
    ratio = p50([after / before for before, after in zip(idle, busy, strict=True)])
    return name, f"{p50(idle):.1f}", f"{p50(busy):.1f}", f"{ratio:.2f}"
