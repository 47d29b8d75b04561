"""Layers: drivers around a driver, for what all backends need. `compose` is their order."""

from collections.abc import Awaitable, Callable, Sequence

from ..contract import Driver
from ..core.state import State
from ..metrics import Metrics
from .backpressure import Backpressure
from .hash_cache import HashCache
from .observe import Observe
from .opening import Opening
from .probes import Probe
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
    opened: Callable[[str], Awaitable[None]],
    probes: Sequence[Probe] = (),
) -> Driver:
    """The driver as the service uses it; `opened` is for `Opening`. Calls pass through the layers from the last line
    to the first, and the order matters:

    * `Observe` measures what callers see, the skipped uploads and the refused ones too.
    * `Opening` is outside all that work with the backend: while that is away nothing waits, repeats or remembers.
    * `HashCache` is outside the gate, so that a source which is skipped takes no place. Inside, it would hand out the
      places to sources that need none.
    * `Backpressure` is outside the retries, so that an upload which is repeated keeps its place. Inside, each
      repetition would queue again, and a busy backend would be asked by more uploads than there are places.
    * `Retry` has the time limit of a single try, which nothing else sees.
    """
    driver = Retry(driver, settings)
    driver = Backpressure(driver, settings, probes)
    driver = HashCache(driver, state, settings, backend=backend, metrics=metrics)
    driver = Opening(driver, opened)
    return Observe(driver, backend, metrics)
