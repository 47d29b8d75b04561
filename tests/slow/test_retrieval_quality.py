"""The builtin backend finds the documents of our own small set as well as before.

Where a change is for the better, or worth its price, measure anew: docs/evaluation.md says how.
"""

from pathlib import Path

import pytest

from context_chat_backend.cli.command import SUCCESS
from tests.cli.running import run_process

pytestmark = pytest.mark.slow

SETS = Path(__file__).parents[1] / "data" / "eval"
TOLERANCE = "0.02"
"""Less than two of the 88 questions that found their document first and do not find it any more."""


def test_documents_are_found_as_well_as_before(tmp_path: Path) -> None:
    measured = run_process(
        *("eval", "run", str(SETS / "office"), "--titles", "name", "--out", "now.json"), cwd=tmp_path
    )
    assert measured.returncode == SUCCESS, measured.stdout + measured.stderr
    compared = run_process(
        *("eval", "compare", str(SETS / "office.json"), "now.json", "--tolerance", TOLERANCE), cwd=tmp_path
    )
    assert compared.returncode == SUCCESS, measured.stdout + compared.stdout + compared.stderr
