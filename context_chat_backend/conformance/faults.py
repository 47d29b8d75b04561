"""The second driver of the kit, whose backend can be made to fail: between the two stands a proxy."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from anyio import to_thread

from ..contract import Driver, DriverConfig, DriverFactory, Misconfigured
from .proxy import FaultProxy


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """How to make a driver whose backend can be made to fail."""

    factory: DriverFactory
    variables: Mapping[str, str]
    """What the driver reads its settings from."""
    variable: str
    """The one of them that holds the base URL of the backend."""

    def backend(self) -> httpx.URL:
        """The base URL of the backend. Raises `Misconfigured` when the variable does not hold one."""
        value = self.variables.get(self.variable, "")
        if not value:
            raise Misconfigured(
                f"faults need {self.variable}, which is not set: name the variable from which this driver reads the "
                "base URL of its backend, and set it as in production"
            )
        try:
            url = httpx.URL(value)
        except httpx.InvalidURL:
            url = httpx.URL("")
        if url.scheme not in {"http", "https"} or not url.host:
            raise Misconfigured(f"faults need {self.variable} to be a base URL that begins with http:// or https://")
        return url


@dataclass
class Faults:
    """What the fault cases work with."""

    proxy: FaultProxy
    driver: Driver
    plan: FaultPlan
    folder: Path
    """For the folders of more drivers."""
    requests_of_constructor: int
    """Requests that the driver had sent before it was entered."""

    async def make_driver(self, name: str) -> Driver:
        """One more driver behind the proxy, not opened, that keeps its things in a folder of this name."""
        return await _make_driver(self.plan, self.proxy, self.folder / name)


async def _make_driver(plan: FaultPlan, proxy: FaultProxy, folder: Path) -> Driver:
    config = DriverConfig(folder=folder, variables={**plan.variables, plan.variable: proxy.url})
    # in a thread, so that a constructor which asks its backend does not wait for this one
    return await to_thread.run_sync(plan.factory, config)


@asynccontextmanager
async def open_faults(plan: FaultPlan, folder: Path) -> AsyncIterator[Faults]:
    """Open the proxy and a driver behind it. That keeps its things in a folder of its own, so that nothing which it
    concludes from the trouble can harm what a gateway remembers. Raises `DriverError`."""
    async with FaultProxy(plan.backend()) as proxy:
        driver = await _make_driver(plan, proxy, folder / "driver")
        requests = proxy.requests
        async with driver:
            yield Faults(proxy, driver, plan, folder, requests)
