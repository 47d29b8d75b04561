"""A question alone, and among many that come at once beside a scan."""

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from context_chat_backend.nextcloud.push_client import part

from .corpus import Corpus
from .loading import BATCH
from .processes import Server
from .pulling import times_row
from .report import Table
from .scale import Scale
from .store import HUNDREDTH
from .timing import p50, p95

DOCUMENT_CHARS = 3000
FIRST = 20_000_000
"""Number of the first source of the scan, and of its questions: no other measurement has them."""


def measure_overload(gateway: Server, corpus: Corpus, scale: Scale) -> Table:
    """Milliseconds from sending a search to its answer. None of the crowd is refused: so many may wait."""
    numbers = itertools.count(FIRST)

    def ask(number: int) -> float:
        with gateway.connect() as client:
            start = time.perf_counter()
            client.post("/docSearch", query=f"{corpus.question(number)} {number}", userId=HUNDREDTH, ctxLimit=20)
            return (time.perf_counter() - start) * 1000

    def round_(crowd: ThreadPoolExecutor) -> tuple[list[float], list[float]]:
        alone = [ask(next(numbers)) for _ in range(scale.searches)]
        with _scan(gateway, corpus, numbers):
            among = list(crowd.map(ask, itertools.islice(numbers, scale.crowd)))
        with gateway.connect() as client:
            client.wait_for_meaning()
        return alone, among

    with ThreadPoolExecutor(scale.crowd) as crowd:
        rounds = [round_(crowd) for _ in range(scale.rounds)]
    rows = [
        times_row(name, [figure(alone) for alone, _ in rounds], [figure(among) for _, among in rounds])
        for name, figure in (("p50", p50), ("p95", p95))
    ]
    return Table("overload", ("", "alone, ms", f"one of {scale.crowd} at once beside a scan, ms", "ratio"), rows)


@contextmanager
def _scan(gateway: Server, corpus: Corpus, numbers: Iterator[int]) -> Iterator[None]:
    """Uploads, one after the other, until the block ends; the first is on its way when it begins."""
    over, begun = threading.Event(), threading.Event()

    def run() -> None:
        with gateway.connect() as client:
            while not over.is_set():
                batch = [_part(corpus, number) for number in itertools.islice(numbers, BATCH)]
                begun.set()
                client.load(batch)

    thread = threading.Thread(target=run)
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _part(corpus: Corpus, number: int) -> bytes:
    text = corpus.text(number, DOCUMENT_CHARS).encode()
    return part(f"files__default: {number}", text, users=["owner"], title=f"files/{number}.txt", mime_type="text/plain")
