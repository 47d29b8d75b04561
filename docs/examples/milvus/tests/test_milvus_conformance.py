"""The driver keeps the contract: the gateway's own kit, with the variables and the entry point of production."""

import os
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from bridge import far_side, near_side

from context_chat_backend.conformance.cases import CASES
from context_chat_backend.conformance.faults import FaultPlan
from context_chat_backend.conformance.runner import conform
from context_chat_backend.contract import Driver, DriverConfig
from context_chat_backend.registry import driver_factory

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
pytest_plugins = ["milvus_fixtures"]

MODEL = {"CC_EM_MODEL": "all-minilm-l6-v2"}
"""The faster one: what is found is not the question."""
BY_HAND = pytest.mark.skipif("CCBE_MILVUS_FAULTS" not in os.environ, reason="takes minutes: set CCBE_MILVUS_FAULTS=1")


@pytest.mark.parametrize("server", ["milvus_url", "lite_url"])
async def test_the_driver_keeps_the_contract(tmp_path: Path, server: str, request: pytest.FixtureRequest) -> None:
    config = DriverConfig(folder=tmp_path, variables={"MILVUS_URL": request.getfixturevalue(server), **MODEL})
    report = StringIO()
    assert await conform(driver_factory("milvus")(config), out=report), report.getvalue()


@pytest.mark.parametrize("server", [pytest.param("milvus_url", marks=BY_HAND), "lite_url"])
async def test_it_keeps_the_contract_while_its_server_fails(
    tmp_path: Path, server: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the cases that the other test skips."""
    cases = [case for case in CASES if case.group == "faults"]
    monkeypatch.setattr("context_chat_backend.conformance.runner.CASES", cases)
    with far_side(request.getfixturevalue(server)) as url, near_side() as listen:

        def factory(config: DriverConfig) -> Driver:
            variables = {**config.variables, "MILVUS_URL": listen(config.variables["MILVUS_URL"])}
            return driver_factory("milvus")(replace(config, variables=variables))

        variables, report = {"MILVUS_URL": url, **MODEL}, StringIO()
        driver = factory(DriverConfig(folder=tmp_path, variables=variables))
        faults = FaultPlan(factory, variables, "MILVUS_URL")
        assert await conform(driver, faults=faults, out=report), report.getvalue()
    assert f"{len(cases)} passed, 0 failed, 0 skipped" in report.getvalue()
