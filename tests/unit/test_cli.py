"""The command line as a user meets it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from context_chat_backend.cli import main

REPO = Path(__file__).parents[2]


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`ccbe` in a process of its own, with nothing of ours in its environment."""
    command = [sys.executable, "-m", "context_chat_backend", *arguments]
    clean = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPO), **environment}
    return subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=60, check=False)


def test_the_backends_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backends"]) == 0
    assert {"builtin", "reference"} <= set(capsys.readouterr().out.split())


def test_conform_prints_a_table_and_succeeds(tmp_path: Path) -> None:
    done = run("conform", "reference", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failed, 0 skipped" in done.stdout
    assert done.stdout.count("\npass") >= 25


def test_a_typo_in_the_name_of_a_backend_is_explained(tmp_path: Path) -> None:
    done = run("conform", "refrence", cwd=tmp_path)
    assert done.returncode == 2
    assert "Did you mean 'reference'?" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "APP_SECRET"),
        ({"APP_SECRET": "hidden-secret", "APP_PORT": "many"}, "APP_PORT"),
        ({"APP_SECRET": "hidden-secret", "NEXTCLOUD_URL": "cloud.example.org"}, "NEXTCLOUD_URL"),
        ({"APP_SECRET": "hidden-secret", "CCB_DB_URL": "mysql://user:hidden-password@host/db"}, "CCB_DB_URL"),
        ({"APP_SECRET": "hidden-secret", "CC_EM_BASE_URL": "nonsense"}, "CC_EM_BASE_URL"),
        ({"APP_SECRET": "hidden-secret", "BUILTIN_ATTEMPTS": "0"}, "BUILTIN_ATTEMPTS"),
        ({"APP_SECRET": "hidden-secret", "CC_GENERATOR": "openai"}, "CC_LLM_BASE_URL"),
        ({"APP_SECRET": "hidden-secret", "RAG_BACKEND": "bultin"}, "builtin"),
    ],
)
def test_wrong_settings_stop_the_start_and_are_named(
    tmp_path: Path, environment: dict[str, str], expected: str
) -> None:
    done = run("serve", cwd=tmp_path, **environment)
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert "hidden-" not in done.stderr


def test_dotenv_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("RAG_BACKEND=fromfile\nAPP_SECRET=x\n")
    assert "RAG_BACKEND=fromfile" in run("serve", cwd=tmp_path).stderr
    assert "RAG_BACKEND=fromenv" in run("serve", cwd=tmp_path, RAG_BACKEND="fromenv").stderr
