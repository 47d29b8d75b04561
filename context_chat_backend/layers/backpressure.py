"""Limits the sources that are being indexed, and asks callers to come back instead of queueing without end."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import anyio

from ..contract import Busy, Driver, Outcome, Source
from .layer import Layer
from .settings import LayerSettings


class Probe(Protocol):
    """Tells whether the backend should get more work."""

    async def reason_to_wait(self) -> str | None:
        """A short text for the log, or None when there is nothing against it."""


class LatencyProbe:
    """Exponentially weighted moving average of the time a ping takes, measured at most every few seconds."""

    WEIGHT = 0.3
    INTERVAL = 5.0

    def __init__(self, driver: Driver, max_rtt_ms: float) -> None:
        self._driver = driver
        self._max_rtt_ms = max_rtt_ms
        self._average_ms: float | None = None
        self._measured_at = float("-inf")

    async def reason_to_wait(self) -> str | None:
        if anyio.current_time() - self._measured_at >= self.INTERVAL:
            await self._measure()
        if self._average_ms is None or self._average_ms <= self._max_rtt_ms:
            return None
        return f"the backend answers in {self._average_ms:.0f} ms, the limit is {self._max_rtt_ms:.0f} ms"

    async def _measure(self) -> None:
        start = anyio.current_time()
        self._measured_at = start
        await self._driver.ping()
        milliseconds = (anyio.current_time() - start) * 1000
        previous = milliseconds if self._average_ms is None else self._average_ms
        self._average_ms = self.WEIGHT * milliseconds + (1 - self.WEIGHT) * previous


class Backpressure(Layer):
    """A semaphore with a bounded wait around `upsert`. Searches and access changes always pass: they are short, and a
    user or a revocation must not stand in line behind uploads."""

    def __init__(self, inner: Driver, settings: LayerSettings, probes: Sequence[Probe] = ()) -> None:
        super().__init__(inner)
        self._places = anyio.Semaphore(settings.max_inflight_upserts)
        self._max_wait = settings.max_wait_seconds
        self._retry_after = settings.retry_after_seconds
        self._probes = list(probes)
        if settings.health_max_rtt_ms:
            self._probes.append(LatencyProbe(inner, settings.health_max_rtt_ms))

    async def upsert(self, source: Source) -> Outcome:
        async with self._place():
            for probe in self._probes:
                if reason := await probe.reason_to_wait():
                    raise Busy(reason, retry_after=self._retry_after)
            return await self.inner.upsert(source)

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        with anyio.move_on_after(self._max_wait) as wait:
            await self._places.acquire()
        if wait.cancelled_caught:
            raise Busy(f"no free place within {self._max_wait:g} s", retry_after=self._retry_after)
        try:
            yield
        finally:
            self._places.release()
