"""Measures and logs every operation as its caller sees it."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..contract import Driver, DriverError
from ..metrics import Metrics
from .layer import Layer

T = TypeVar("T")

log = logging.getLogger(__name__)


class Observe(Layer):
    """Outermost. Neither labels nor log lines hold ids, titles or text."""

    def __init__(self, inner: Driver, backend: str, metrics: Metrics) -> None:
        super().__init__(inner)
        self._backend = backend
        self._metrics = metrics

    async def around(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        start = time.perf_counter()
        outcome = "cancelled"
        with self._metrics.in_progress.labels(self._backend, operation).track_inprogress():
            try:
                result = await call()
            except DriverError as error:
                outcome = type(error).__name__.lower()
                raise
            except Exception:  # counted and re-raised: what it means is decided by the service
                outcome = "bug"
                raise
            else:
                outcome = "ok"
                return result
            finally:
                self._record(operation, outcome, time.perf_counter() - start)

    def _record(self, operation: str, outcome: str, seconds: float) -> None:
        self._metrics.operations.labels(self._backend, operation, outcome).observe(seconds)
        level = logging.DEBUG if operation == "ping" or outcome == "ok" else logging.INFO
        log.log(
            level,
            "%s %s in %.0f ms",
            operation,
            outcome,
            seconds * 1000,
            extra={"backend": self._backend, "operation": operation, "outcome": outcome, "seconds": round(seconds, 4)},
        )
