"""Prometheus metrics. Labels are names from the code, never ids or text of users."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from .toolkit.background import failures

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class Metrics:
    """One set per application, so that two applications in one process (tests) do not share counters."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.operations = Histogram(
            "ccb_operation_seconds",
            "Duration of driver operations as the service sees them",
            ("backend", "operation", "outcome"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.in_progress = Gauge(
            "ccb_operations_in_progress",
            "Driver operations under way",
            ("backend", "operation"),
            registry=self.registry,
        )
        self.skipped = Counter(
            "ccb_upserts_skipped", "Sources answered by the upsert cache", ("backend", "window"), registry=self.registry
        )
        self.sources = Counter(
            "ccb_sources", "Sources received, by what became of them", ("outcome",), registry=self.registry
        )
        self.sources_by_stage = Gauge(
            "ccb_sources_known", "Sources by how far they have come", ("stage",), registry=self.registry
        )
        self.oldest_waiting = Gauge(
            "ccb_sources_oldest_waiting_seconds",
            "How long the source that waits longest has been waiting for its index",
            registry=self.registry,
        )
        self.chunks_waiting = Gauge(
            "ccb_chunks_waiting",
            "Chunks that are found by their words, but not by their meaning yet",
            registry=self.registry,
        )
        self.time_left = Gauge(
            "ccb_sources_seconds_left",
            "Estimate of when everything that has arrived is indexed, by the rate of the last minutes; NaN without one",
            registry=self.registry,
        )
        self.actions = Counter(
            "ccb_actions", "Access changes and deletions received", ("action", "outcome"), registry=self.registry
        )
        self.questions = Counter(
            "ccb_questions",
            "Questions that came to a step of their way, by whether they got a place in it",
            ("step", "outcome"),
            registry=self.registry,
        )
        self.questions_waiting = Gauge(
            "ccb_questions_waiting", "Questions that wait for a place in a step", ("step",), registry=self.registry
        )
        self.answer_cache = Counter(
            "ccb_answer_cache",
            "Questions while CC_ANSWER_CACHE is set, by whether an answer was kept",
            ("outcome",),
            registry=self.registry,
        )
        self.stages_left_out = Counter(
            "ccb_stages_left_out",
            "Searches that went on without a stage because its model failed",
            ("stage", "reason"),
            registry=self.registry,
        )
        self.registry.register(_BackgroundFailures())
        self.requests = Histogram(
            "ccb_http_request_seconds",
            "Duration of HTTP requests",
            ("route", "method", "status"),
            buckets=SECONDS,
            registry=self.registry,
        )


class _BackgroundFailures(Collector):
    """Loops are counted where they run, for all applications of the process."""

    def collect(self) -> Iterable[CounterMetricFamily]:
        family = CounterMetricFamily(
            "ccb_background_failures", "Failures of the loops that run beside requests", labels=["loop"]
        )
        for name, count in failures.items():
            family.add_metric([name], count)
        yield family
