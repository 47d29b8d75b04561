"""Layers: drivers around a driver, for what all backends need. `compose` is their order."""

from collections.abc import Sequence

from ..contract import Driver
from ..core.state import State
from ..metrics import Metrics
from .backpressure import Backpressure, Probe
from .hash_cache import HashCache
from .observe import Observe
from .retry import Retry
from .settings import LayerSettings

__all__ = ["LayerSettings", "Probe", "compose"]


def compose(
    driver: Driver,
    *,
    backend: str,
    settings: LayerSettings,
    state: State,
    metrics: Metrics,
    probes: Sequence[Probe] = (),
) -> Driver:
    """The driver as the service uses it. Calls pass the layers from the last line to the first."""
    driver = Retry(driver, settings)
    driver = Backpressure(driver, settings, probes)
    driver = HashCache(driver, state, settings, backend=backend, metrics=metrics)
    return Observe(driver, backend, metrics)
