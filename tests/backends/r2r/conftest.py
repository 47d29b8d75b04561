from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backends.r2r.driver import R2RDriver

from .r2r_stage import Stage


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A double of R2R, and what makes drivers and sources for it."""
    stage = Stage(tmp_path)
    yield stage
    assert stage.double.violations == []


@pytest.fixture
async def driver(stage: Stage) -> AsyncIterator[R2RDriver]:
    """Of the double's superuser."""
    async with stage.driver() as driver:
        yield driver
