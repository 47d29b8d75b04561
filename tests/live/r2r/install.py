"""An environment with R2R 3.6.6 of its own: it needs other versions of what the gateway uses.

Built at the first use, kept in `CCBE_R2R_VENV` (default: `.r2r-venv` in the repository), and built again when the
requirements here or `constraints.txt` change. A plain `pip install r2r[core]` gets an older generation of R2R.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

REPO = Path(__file__).parents[3]
CONSTRAINTS = Path(__file__).with_name("constraints.txt")
VERSION = "3.6.6"
REQUIREMENTS = (f"r2r[core]=={VERSION}", "google-genai==0.6.0")  # R2R needs the second, which is yanked: name it

_UV = REPO / ".uv" / "bin" / "uv"
_PYTHONS = ">=3.11,<3.13"
_MARKER = "ccbe-digest"
"""Holds the digest of what is installed; empty as long as that is not complete."""


def ensure_r2r() -> Path:
    """The Python that has R2R. Installs it when it is missing, which takes minutes.

    A folder that was not made here is used as it is, never changed: it has to hold R2R `VERSION`, else RuntimeError.
    """
    folder = Path(os.environ.get("CCBE_R2R_VENV") or REPO / ".r2r-venv").absolute()
    if _is_foreign(folder):
        _check_version(folder)
    else:
        _bring_up_to_date(folder)
    return _python(folder)


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _is_foreign(folder: Path) -> bool:
    return folder.exists() and any(folder.iterdir()) and not (folder / _MARKER).exists()


def _check_version(folder: Path) -> None:
    question = "import importlib.metadata; print(importlib.metadata.version('r2r'))"
    try:
        answer = subprocess.run([_python(folder), "-c", question], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as exc:
        raise RuntimeError(f"{folder} (CCBE_R2R_VENV) is not empty, but no environment with R2R: {exc}") from exc
    if answer.stdout.strip() != VERSION:
        raise RuntimeError(f"{folder} (CCBE_R2R_VENV) holds R2R {answer.stdout.strip()}, not {VERSION}")


def _bring_up_to_date(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _MARKER).open("a+") as marker:
        fcntl.flock(marker, fcntl.LOCK_EX)  # two test runs at once install once
        marker.seek(0)
        if marker.read() != _digest():
            marker.truncate(0)
            _build(folder)
            marker.write(_digest())


def _digest() -> str:
    return hashlib.sha256("\n".join((*REQUIREMENTS, CONSTRAINTS.read_text(encoding="utf-8"))).encode()).hexdigest()


def _build(folder: Path) -> None:
    print(f"installing R2R {VERSION} into {folder}; this takes some minutes", file=sys.stderr, flush=True)  # noqa: T201
    _remove_all_but_the_marker(folder)
    if _UV.exists():
        _run(_UV, "venv", "--quiet", "--allow-existing", "--no-project", "--python", _PYTHONS, folder)
        _run(_UV, "pip", "install", "--quiet", "--python", _python(folder), "-c", CONSTRAINTS, *REQUIREMENTS)
    else:
        venv.create(folder, with_pip=True)
        _run(_python(folder), "-m", "pip", "install", "--quiet", "-c", CONSTRAINTS, *REQUIREMENTS)
    _check_version(folder)


def _remove_all_but_the_marker(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != _MARKER:
            path.unlink()


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, cwd="/")  # not below the gateway's pyproject.toml: uv would apply its overrides
