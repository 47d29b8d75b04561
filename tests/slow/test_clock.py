"""The clock is set while an action is to be repeated."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from tests.disk import full, small_disk
from tests.gateway import GatewayProcess, gateway_process

from .faults import Site, allow, assert_passing_failure, complaints, deny, new_site
from .tools import Database, EmbeddingServer, eventually, file

pytestmark = pytest.mark.slow

LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
SETTINGS = [-86_400, 86_400]


class Clock:
    """The clock on the wall of one gateway; what only goes forward stays as it is."""

    def __init__(self, folder: Path) -> None:
        if LIBRARY is None or shutil.which("faketime") is None:
            pytest.skip("THE CLOCK WAS NOT TESTED: install Debian's faketime")
        self._offset = folder / "offset"
        self.set_by(0)
        self.environment = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",  # faster
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set_for(self, gateway: GatewayProcess, seconds: int) -> None:
        """Returns once the gateway sees it."""
        self.set_by(seconds)
        eventually(lambda: abs(clock_of(gateway) - seconds) < 100)

    def set_by(self, seconds: int) -> None:
        new = self._offset.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self._offset)


def clock_of(gateway: GatewayProcess) -> float:
    """Seconds by which its clock is ahead of ours."""
    gateway.nextcloud.http.put("/enabled", params={"enabled": 0})
    gateway.nextcloud.http.put("/enabled", params={"enabled": 1})
    written = gateway.console().splitlines()[-1].split(",")[0]
    return (datetime.fromisoformat(written) - datetime.now()).total_seconds()  # noqa: DTZ005 - both are local


@contextmanager
def an_action_failed(gateway: GatewayProcess, site: Site, disk: Path) -> Iterator[None]:
    with full(disk):
        site.act(allow("mallory", file(1)))
        assert site.run() == 1
    yield
    path, body = deny("mallory", file(1))
    assert_passing_failure(gateway.nextcloud.post(path, **body))
    site.act((path, body))
    site.settle()


@pytest.mark.parametrize("seconds", SETTINGS[:1])
def test_while_it_runs_the_order_holds(tmp_path: Path, seconds: int) -> None:
    clock = Clock(tmp_path)
    environment = {"RAG_BACKEND": "reference", **clock.environment}
    with small_disk(tmp_path / "disk") as disk, gateway_process(environment, storage=disk) as gateway:
        site = new_site(gateway.nextcloud)
        with an_action_failed(gateway, site, disk):
            clock.set_for(gateway, seconds)
        complaints(gateway.console())


@pytest.mark.parametrize("seconds", SETTINGS)
def test_across_a_restart_the_order_holds(
    tmp_path: Path, external: Database, embeddings: EmbeddingServer, seconds: int
) -> None:
    clock = Clock(tmp_path)
    environment = {"CCB_DB_URL": external.uri, **embeddings.environment, **clock.environment, "BUILTIN_ATTEMPTS": "1"}
    with gateway_process(environment) as gateway:
        site = new_site(gateway.nextcloud)
        external.set_read_only(True)
        site.act(allow("mallory", file(1)))
        assert site.run() == 1
        external.set_read_only(False)
        gateway.kill()
        clock.set_by(seconds)
        gateway.start()
        assert abs(clock_of(gateway) - seconds) < 100, "it does not see another time"
        path, body = deny("mallory", file(1))
        assert_passing_failure(gateway.nextcloud.post(path, **body))
        site.act((path, body))
        site.settle()
