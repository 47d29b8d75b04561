"""Medians over rounds, in which the things to compare take turns: noise of the machine hits all alike."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

Call = Callable[[int], object]
"""What is measured; takes the number of the turn."""
Times = Mapping[str, list[float]]
"""Milliseconds per call, by name."""

p50 = statistics.median


def p95(times: list[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(times, n=20, method="inclusive")[18]


def take_turns(calls: Mapping[str, Call], turns: Iterable[int]) -> Times:
    """Make each of the calls in every turn, one at a time."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in turns:
        for name, call in calls.items():
            start = time.perf_counter()
            call(turn)
            times[name].append((time.perf_counter() - start) * 1000)
    return times


def rate(count: int, *workers: Callable[[], object]) -> float:
    """Things per second, when the workers do `count` of them together, each in a thread."""
    with ThreadPoolExecutor(len(workers)) as pool:
        start = time.perf_counter()
        for done in [pool.submit(worker) for worker in workers]:
            done.result()
        return count / (time.perf_counter() - start)


def over_rounds(rounds: Iterable[Times], figure: Callable[[Times], float]) -> float:
    """The median of a figure of a round."""
    return p50(map(figure, rounds))


def compared(rounds: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Medians of the first and the second rate of a round, and of the second in relation to the first."""
    first, second = zip(*rounds, strict=True)
    return p50(first), p50(second), p50([after / before for before, after in rounds])
