"""A strict double of SciPhi R2R 3.6.6 with simple orchestration, in memory.

It answers what the real server was recorded to answer (tests/golden/r2r) and has its traps. Where the real server
silently ignores or misunderstands something, the double answers 422 and notes a violation, so that no driver comes to
rely on it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.doubles.nextcloud import serving
from tests.doubles.r2r.server import FakeR2R

__all__ = ["FakeR2R", "r2r_server"]


@contextmanager
def r2r_server() -> Iterator[FakeR2R]:
    """The double on a socket, served by a thread until the block ends; `url` is its address."""
    double = FakeR2R()
    with serving(double) as double.url:
        try:
            yield double
        finally:
            double.kill_ingestion()
