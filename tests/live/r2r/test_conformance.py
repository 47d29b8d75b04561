"""The driver keeps the contract on a real R2R, whatever its account and its settings."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.r2r.driver import create
from context_chat_backend.conformance.cases import CASES
from context_chat_backend.conformance.faults import FaultPlan
from context_chat_backend.conformance.runner import conform
from tests.config import config

from .server import R2RServer, r2r_server
from .tools import r2r_environment

pytestmark = [pytest.mark.r2r, pytest.mark.anyio]

UNLIMITED = 1_000_000
TEXT_AND_MEANING = {"R2R_UPLOAD": "text", "R2R_SEARCH_MODE": "semantic", "R2R_USE_GENERATED_ANSWER": "false"}


@pytest.fixture(scope="module")
def unlimited() -> Iterator[R2RServer]:
    """An R2R that does not count the requests of ordinary accounts."""
    names = ("global_per_min", "route_per_min", "monthly_limit")
    with r2r_server(settings=dict.fromkeys(names, UNLIMITED)) as server:
        yield server


async def assert_conforms(variables: dict[str, str], folder: Path, faults: FaultPlan | None = None) -> None:
    out = io.StringIO()
    passed = await conform(create(config(folder, variables)), faults=faults, out=out)
    assert passed, out.getvalue()
    without = {"store"} if faults else {"store", "faults"}
    skipped = sum(case.group in without for case in CASES)
    assert f"{len(CASES) - skipped} passed, 0 failed, {skipped} skipped" in out.getvalue()


async def test_a_superuser_keeps_the_contract_through_all_faults(r2r: R2RServer, tmp_path: Path) -> None:
    variables = r2r_environment(r2r)
    await assert_conforms(variables, tmp_path, FaultPlan(create, variables, "R2R_BASE_URL"))


async def test_an_ordinary_account_keeps_the_contract(unlimited: R2RServer, tmp_path: Path) -> None:
    await assert_conforms(r2r_environment(unlimited, unlimited.ordinary_account()), tmp_path)


async def test_texts_found_by_meaning_only_keep_the_contract(r2r: R2RServer, tmp_path: Path) -> None:
    await assert_conforms(r2r_environment(r2r) | TEXT_AND_MEANING, tmp_path)
