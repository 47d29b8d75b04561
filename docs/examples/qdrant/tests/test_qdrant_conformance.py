"""The driver keeps the contract: the gateway's own kit, with the variables and the entry point of production."""

from io import StringIO
from pathlib import Path

import pytest
from double import KEY, QdrantDouble

from context_chat_backend.conformance.faults import FaultPlan
from context_chat_backend.conformance.runner import conform
from context_chat_backend.contract import DriverConfig
from context_chat_backend.registry import driver_factory

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_the_driver_keeps_the_contract(tmp_path: Path) -> None:
    config = DriverConfig(folder=tmp_path, variables={"QDRANT_URL": ":memory:"})
    report = StringIO()
    assert await conform(driver_factory("qdrant")(config), out=report), report.getvalue()


async def test_it_keeps_the_contract_while_its_server_fails(tmp_path: Path, server: QdrantDouble) -> None:
    variables = {"QDRANT_URL": server.url, "QDRANT_API_KEY": KEY}
    factory, report = driver_factory("qdrant"), StringIO()
    driver = factory(DriverConfig(folder=tmp_path, variables=variables))
    faults = FaultPlan(factory, variables, "QDRANT_URL")
    assert await conform(driver, faults=faults, out=report), report.getvalue()
    assert " 1 skipped" in report.getvalue()  # the driver lists no inventory
