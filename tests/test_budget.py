"""Suites end in time, and say what they left out."""

import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import REPO


def run(folder: Path, *options: str) -> str:
    for name in "ab":
        (folder / f"test_{name}.py").write_text(f"def test_{name}1(): pass\ndef test_{name}2(): pass\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.budget", "-p", "no:cacheprovider", "-v", "-rs", *options]
    result = subprocess.run(
        [*command, "-c", "/dev/null", "--rootdir", str(folder), str(folder)],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout + result.stderr


def test_once_the_time_is_over_no_test_is_begun_and_the_run_says_so(tmp_path: Path) -> None:
    assert "4 passed" in run(tmp_path)
    said = run(tmp_path, "--minutes", "0")
    assert "4 skipped" in said
    assert "THE REST WAS NOT TESTED" in said


@pytest.mark.parametrize("word", ["", "0f3e", "77aa", "c0de", "beef"])
def test_a_word_decides_which_file_is_first_and_leaves_none_out(tmp_path: Path, word: str) -> None:
    said = run(tmp_path, "--from", word)
    order = [line.split("::")[1].split()[0] for line in said.splitlines() if "PASSED" in line]
    assert order in (["test_a1", "test_a2", "test_b1", "test_b2"], ["test_b1", "test_b2", "test_a1", "test_a2"])
