from collections.abc import Iterator
from pathlib import Path

import pytest

from .previous import restore_embedded, restore_points, restore_state, storage


@pytest.fixture(scope="session")
def builtin_of_before() -> Iterator[Path]:
    """To be copied."""
    with storage() as folder:
        restore_state("builtin", folder)
        restore_embedded("builtin", folder)
        yield folder


@pytest.fixture
def builtin(builtin_of_before: Path) -> Iterator[Path]:
    """The data folder of a gateway with the backend builtin."""
    with storage(builtin_of_before) as folder:
        yield folder


@pytest.fixture(scope="session")
def qdrant_of_before() -> Iterator[Path]:
    """To be copied."""
    with storage() as folder:
        restore_state("qdrant", folder)
        restore_embedded("qdrant", folder)
        restore_points(folder / "store")
        yield folder


@pytest.fixture
def qdrant(qdrant_of_before: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The data folder of a gateway with the backend qdrant, which is the working folder, too: `QDRANT_URL=store`."""
    with storage(qdrant_of_before) as folder:
        monkeypatch.chdir(folder)
        yield folder
