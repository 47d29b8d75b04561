"""`pytest --pyargs context_chat_backend.conformance`: the cases as tests, one by one, for debugging.

The driver is the one of `RAG_BACKEND`, by default the reference driver; its settings are those of production, and it
keeps its things in `APP_PERSISTENT_STORAGE`, by default in a temporary folder. `CCBE_CONFORM_FAULTS` names the variable
with the base URL of its backend, as `ccbe conform --faults` does.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ..gateway import make_driver
from ..registry import driver_factory
from ..settings import Settings, environment
from ..toolkit.settings import read_settings
from .cases import CASES, Case
from .faults import FaultPlan
from .kit import CaseSkipped
from .runner import Stage, advice_on, open_stage

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("anyio_backend")]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """The driver and, where faults are asked for, a second one; open for all cases."""
    variables = environment()  # as `ccbe` does
    name = variables.get("RAG_BACKEND") or "reference"
    storage = variables.get("APP_PERSISTENT_STORAGE") or tmp_path_factory.mktemp("storage")
    settings = read_settings(
        Settings,
        variables,
        rag_backend=name,
        app_secret="unused",  # noqa: S106 - no HTTP
        app_persistent_storage=Path(storage),
    )
    variable = variables.get("CCBE_CONFORM_FAULTS")
    plan = FaultPlan(driver_factory(name), variables, variable) if variable else None
    async with open_stage(make_driver(settings, variables), plan) as opened:
        yield opened


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.name))
async def test_the_driver_keeps_the_promise(case: Case, stage: Stage) -> None:
    try:
        async with stage.kit(case) as kit:
            await case.run(kit)
    except CaseSkipped as skipped:
        pytest.skip(str(skipped))
    except Exception as failure:
        failure.add_note(f"If this fails: {advice_on(case, failure)}")
        raise
