"""`make bench` in its quick form."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def output() -> str:
    completed = subprocess.run(
        [sys.executable, "-m", "tools.bench", "--quick"],
        check=False,
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["overhead", "rescan", "search", "unchanged", "first-load"])
def test_a_quick_run_prints_a_table_with_ratios(output: str, name: str) -> None:
    _, _, rest = output.partition(f"{name}\n\n")
    table = rest.partition("\n\n")[0].splitlines()
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert rows
    ratio = next(number for number, title in enumerate(head) if "ratio" in title)
    assert all(re.fullmatch(r"\d+(\.\d+)?", row[ratio]) and float(row[ratio]) > 0 for row in rows)


def test_each_table_has_a_place_in_the_document() -> None:
    text = (REPO / "docs" / "benchmarks.md").read_text("utf-8")
    places = re.findall(r"<!-- bench: (\S+) -->\n(?:\|.*\n)+<!-- bench end -->", text)
    assert sorted(places) == ["busy", "environment", "first-load", "overhead", "pull", "rescan", "search", "unchanged"]
