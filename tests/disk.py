"""A disk that fills up."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

MIB = 2**20


@contextmanager
def small_disk(folder: Path, mib: int = 8, inodes: int | None = None) -> Iterator[Path]:
    """A file system of its own for what is in this folder; skips where that cannot be made."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("THE FULL DISK WAS NOT TESTED: only root may mount a small one, on Linux")
    folder.mkdir(mode=0o755, exist_ok=True)
    options = f"size={mib}m" if inodes is None else f"size={mib}m,nr_inodes={inodes}"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    mounted = subprocess.run(command, check=False, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"THE FULL DISK WAS NOT TESTED: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Until not a byte is left; removing the file makes room again."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass
    return ballast


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """No byte is left on this disk."""
    ballast = fill(disk)
    try:
        yield
    finally:
        ballast.unlink(missing_ok=True)


@contextmanager
def without_inodes(disk: Path) -> Iterator[None]:
    """There is room on this disk, but not for another file."""
    many = disk / "many"
    many.mkdir()
    with suppress(OSError):
        for number in range(100_000):
            (many / str(number)).touch()
    try:
        yield
    finally:
        shutil.rmtree(many)
