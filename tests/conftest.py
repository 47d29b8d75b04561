import os
import signal
from pathlib import Path

import pytest

from .postgres import stop_server

REPO = Path(__file__).parents[1]
TIME_LIMITS = {"slow": 900, "r2r": 1800, "live": 1800}
"""Marker to seconds; R2R may have to be installed first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        limits = [seconds for marker, seconds in TIME_LIMITS.items() if item.get_closest_marker(marker)]
        if limits and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(max(limits)))


def pytest_configure() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell has it for what runs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure() -> None:
    stop_server()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The public test collections; they belong to others and are not part of this repository."""
    if "CCBE_TEST_DATA" not in os.environ:
        pytest.skip("set CCBE_TEST_DATA to the folder of the test collections")
    return Path(os.environ["CCBE_TEST_DATA"])
