"""Limits the sources that are being indexed, and asks callers to come back instead of queueing without end."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import anyio

from ..contract import Busy, Driver, Outcome, Source
from .layer import Layer
from .probes import LatencyProbe, Probe
from .settings import LayerSettings


class Backpressure(Layer):
    """A semaphore with a bounded wait around `upsert`. Searches and access changes always pass: they are short, and a
    user or a revocation must not stand in line behind uploads."""

    def __init__(self, inner: Driver, settings: LayerSettings, probes: Sequence[Probe] = ()) -> None:
        super().__init__(inner)
        self._places = anyio.Semaphore(settings.upserts_at_once(inner.capabilities))
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
        if not await self._acquired():
            raise Busy(f"no free place within {self._max_wait:g} s", retry_after=self._retry_after)
        try:
            yield
        finally:
            self._places.release()

    async def _acquired(self) -> bool:
        with suppress(anyio.WouldBlock):
            self._places.acquire_nowait()  # even if nobody may wait: taking a free place costs no time
            return True
        with anyio.move_on_after(self._max_wait):
            await self._places.acquire()
            return True
        return False
