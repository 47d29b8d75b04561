"""What the tests of pulling share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from context_chat_backend.pull import documents, puller, tasks
from tests.pull.site import Site, site


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses after failures, which would only make tests wait."""
    for module, name in (
        (puller, "AFTER_FAILURE"),
        (puller, "LONGEST_PAUSE"),
        (documents, "FIRST_PAUSE"),
        (documents, "LONGEST_PAUSE"),
        (tasks, "FIRST_PAUSE"),
        (tasks, "LONGEST_PAUSE"),
    ):
        monkeypatch.setattr(module, name, 0.1)


@pytest.fixture
def pulling(tmp_path: Path, quick: None) -> Iterator[Site]:
    """On the reference backend."""
    with site(tmp_path) as running:
        yield running
