"""The driver keeps the contract: the gateway's own kit, with the variables and the entry point of production."""

from io import StringIO
from pathlib import Path

import pytest
from double import KEY, QdrantDouble

from context_chat_backend.conformance.faults import FaultPlan
from context_chat_backend.conformance.runner import conform
from context_chat_backend.registry import driver_factory

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_the_driver_keeps_the_contract(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QDRANT_URL", ":memory:")
    report = StringIO()
    assert await conform(driver_factory("qdrant")(tmp_path), out=report), report.getvalue()


async def test_it_keeps_the_contract_while_its_server_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: QdrantDouble
) -> None:
    monkeypatch.setenv("QDRANT_URL", server.url)
    monkeypatch.setenv("QDRANT_API_KEY", KEY)
    factory, report = driver_factory("qdrant"), StringIO()
    assert await conform(factory(tmp_path), faults=FaultPlan(factory, "QDRANT_URL"), out=report), report.getvalue()
    assert " 0 skipped" in report.getvalue()
