"""Runs `ccbe` as a user does."""

import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from context_chat_backend.cli import main

REPO = Path(__file__).parents[2]


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`ccbe` as in a process of its own, with nothing of ours in its environment and nobody at a terminal."""
    out, err = StringIO(), StringIO()
    with (
        chdir(cwd),
        patch.dict(os.environ, environment, clear=True),
        patch("sys.stdin", StringIO()),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = main(arguments)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def run_process(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same, really."""
    command = [sys.executable, "-m", "context_chat_backend", *arguments]
    clean = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPO), **environment}
    return subprocess.run(
        command, cwd=cwd, env=clean, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
