"""The disk of the persistent storage is full, at any moment and at each kind of operation."""

import io
import itertools
import os
import random
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

from context_chat_backend.nextcloud.push_client import part
from tests.disk import full, small_disk, without_inodes
from tests.doubles.nextcloud import FakeNextcloud, serving
from tests.gateway import GatewayProcess, gateway_process, wait_until_ready

from .faults import (
    OPPOSITES,
    QUESTIONS,
    SOURCES,
    Site,
    allow,
    assert_passing_failure,
    complaints,
    deny,
    new_site,
    random_change,
    without,
)
from .tools import Database, EmbeddingServer, eventually, file, files, postmaster

pytestmark = pytest.mark.slow

IN_MEMORY = {"RAG_BACKEND": "reference", "CC_GENERATOR": "extractive"}
"""The backend takes no space: all that fails is the gateway's own."""

WAYS = {"blocks": full, "files": without_inodes}


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with small_disk(tmp_path_factory.mktemp("disk"), mib=24, inodes=500) as disk:
        yield disk


@pytest.fixture(scope="module")
def gateway(disk: Path) -> Iterator[GatewayProcess]:
    with gateway_process(IN_MEMORY, storage=disk) as gateway:
        yield gateway


@pytest.fixture
def site(gateway: GatewayProcess) -> Site:
    return new_site(gateway.nextcloud)


# ------------------------------------------------------------------ while it serves


@pytest.mark.parametrize("kind", OPPOSITES)
def test_an_action_fails_for_now_and_nothing_overtakes_it(
    gateway: GatewayProcess, disk: Path, site: Site, kind: str
) -> None:
    first, then = OPPOSITES[kind]
    with full(disk):
        for action in (first, then, first):
            assert_passing_failure(gateway.nextcloud.post(action[0], **action[1]))
        site.act(first)
        assert site.run() == 1
    assert_passing_failure(gateway.nextcloud.post(then[0], **then[1]))
    site.act(then)
    site.settle()


def test_a_deleted_source_that_comes_again_stays(gateway: GatewayProcess, disk: Path, site: Site) -> None:
    with full(disk):
        site.act(without(file(1)))
        assert site.run() == 1
    site.add(file(1), users=["carol"])
    assert site.run() == 1, "loaded before the deletion it would be gone"
    site.settle()


def test_uploads_are_to_be_sent_again(gateway: GatewayProcess, disk: Path, site: Site) -> None:
    with full(disk):
        site.add(*files(10, 11, 12))
        assert site.run() == site.run() == 3
        assert list((disk / "spool").iterdir()) == []
    site.settle()


def test_an_upload_that_does_not_fit_leaves_nothing_behind(gateway: GatewayProcess, disk: Path, site: Site) -> None:
    response = gateway.nextcloud.load(part(file(10), bytes(40 * 2**20), mime_type="text/plain"))
    assert_passing_failure(response)
    assert gateway.spooled == []
    site.add(file(11))
    site.settle()


@pytest.mark.parametrize("seed", range(6))
def test_the_right_sources_can_be_found_in_the_end_however_often_it_was_full(
    gateway: GatewayProcess, disk: Path, site: Site, seed: int
) -> None:
    rng = random.Random(seed)
    for number in range(12):
        for _ in range(rng.randint(1, 4)):
            random_change(site, rng)
        if number % 2:
            with [full, without_inodes][rng.randrange(2)](disk):
                site.run()
        else:
            site.run()
    site.settle()


def test_what_writes_nothing_is_served_and_readiness_says_what_is(
    gateway: GatewayProcess, disk: Path, site: Site
) -> None:
    nextcloud = gateway.nextcloud
    for full_ in WAYS.values():
        with full_(disk):
            for path, body in QUESTIONS.values():
                assert nextcloud.post(path, **body).status_code == 200
            for path in ("/heartbeat", "/health/live", "/metrics", "/enabled", "/"):
                assert nextcloud.http.get(path).status_code == 200
            with zipfile.ZipFile(io.BytesIO(nextcloud.http.get("/downloadLogs").content)) as archive:
                assert archive.testzip() is None
                assert "the backend is open" in archive.read("ccb.log").decode()
            eventually(lambda: nextcloud.http.get("/health/ready").status_code == 503, 10)
            assert nextcloud.http.get("/health/ready").json() == {"status": "unavailable", "backend": "reference"}
        eventually(lambda: nextcloud.http.get("/health/ready").status_code == 200, 10)


def test_whether_the_app_is_enabled_changes_when_the_answer_says_so_and_only_then(disk: Path) -> None:
    with gateway_process(IN_MEMORY, storage=disk / "enabled") as gateway:
        http = gateway.nextcloud.http
        with full(disk):
            for _ in range(2):
                assert_passing_failure(http.put("/enabled", params={"enabled": 0}))
                assert http.get("/enabled").json() == {"enabled": True}
            assert http.put("/enabled", params={"enabled": 1}).status_code == 200
        assert http.put("/enabled", params={"enabled": 0}).status_code == 200
        with full(disk):
            assert_passing_failure(http.put("/enabled", params={"enabled": 1}))
        gateway.stop()
        gateway.start()
        assert http.get("/enabled").json() == {"enabled": False}


def test_a_report_of_the_initialisation_that_the_disk_is_in_the_way_of_comes_later(tmp_path: Path) -> None:
    nextcloud = FakeNextcloud()
    with (
        serving(nextcloud) as url,
        small_disk(tmp_path / "disk") as disk,
        gateway_process({**IN_MEMORY, "NEXTCLOUD_URL": url}, storage=disk) as gateway,
    ):
        nextcloud.gateway_url = gateway.nextcloud.base_url
        with full(disk):
            assert gateway.nextcloud.http.post("/init").status_code == 200
            eventually(lambda: "report of the initialisation failed" in gateway.console())
        eventually(lambda: nextcloud.reports == [(100, "")], 60)
        assert nextcloud.violations == []
        complaints(gateway.console())


def test_each_trouble_is_one_line_that_names_the_cause_and_never_a_stack(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk, gateway_process(IN_MEMORY, storage=disk) as gateway:
        site = new_site(gateway.nextcloud)
        with full(disk):
            site.add(file(10))
            for first, then in OPPOSITES.values():
                site.act(first)
                site.act(then)
            for _ in range(10):
                site.run()
                gateway.nextcloud.http.get("/health/ready")
                gateway.nextcloud.http.get("/downloadLogs")
                gateway.nextcloud.http.put("/enabled", params={"enabled": 0})
        site.settle()
        found = complaints(gateway.console())
        assert set(found.values()) == {1}, found
        assert any("an upload cannot be kept on the disk: No space left on device" in line for line in found)
        assert any("state.db cannot be used: database or disk is full" in line for line in found)
        assert any("lines are missing in the log file" in line for line in found)
        assert gateway.log()[-1]["message"].startswith("loaded "), "it is written again"


# ------------------------------------------------------------------ when it starts and ends


def doctor(gateway: GatewayProcess) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "context_chat_backend", "check"],
        env=gateway.environment,
        cwd=gateway.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def refuses_or_serves(gateway: GatewayProcess) -> None:
    """A start either works or says in one line why not."""
    said = len(gateway.console())
    try:
        gateway.start(ready=False)
    except TimeoutError:
        assert gateway.wait() == 2
        (line,) = gateway.console()[said:].splitlines()
        assert line.startswith("ccbe: ")
        assert "no room on its disk" in line or "No space left on device" in line
    else:
        complaints(gateway.console()[said:])
        assert gateway.stop() == 0


@pytest.mark.parametrize(
    ("backend", "way", "before"),
    [
        *itertools.product(["reference"], WAYS, ["nothing", "stopped", "killed"]),
        ("builtin", "blocks", "nothing"),
        ("builtin", "blocks", "killed"),
    ],
)
def test_a_start_works_or_says_why_not(tmp_path: Path, backend: str, way: str, before: str) -> None:
    block: Callable[[Path], AbstractContextManager[None]] = WAYS[way]
    tmp_path.chmod(0o755)
    (tmp_path / "console.log").touch()
    with (
        small_disk(tmp_path / "disk", mib=200, inodes=5000) as disk,
        closing(GatewayProcess(tmp_path, {"RAG_BACKEND": backend}, storage=disk)) as gateway,
    ):
        if before != "nothing":
            gateway.start()
            gateway.stop() if before == "stopped" else gateway.kill()
        with block(disk):
            refuses_or_serves(gateway)
            checked = doctor(gateway)
            assert checked.returncode == 1
            assert checked.stderr == ""
            assert "No space left on device" in checked.stdout or "uploads will fail" in checked.stdout
        gateway.start()
        new_site(gateway.nextcloud)
        with block(disk):
            assert gateway.stop() == 0
        complaints(gateway.console())


def test_the_order_of_what_failed_survives_a_restart_after_there_is_room(
    tmp_path: Path, external: Database, embeddings: EmbeddingServer
) -> None:
    environment = {"CCB_DB_URL": external.uri, **embeddings.environment}
    with small_disk(tmp_path / "disk") as disk, gateway_process(environment, storage=disk) as gateway:
        site = new_site(gateway.nextcloud)
        external.set_read_only(True)
        with full(disk):
            site.act(allow("mallory", file(1)))
            assert site.run() == 1
        external.set_read_only(False)
        assert gateway.stop() == 0
        gateway.start()
        path, body = deny("mallory", file(1))
        assert_passing_failure(gateway.nextcloud.post(path, **body))
        site.act((path, body))
        site.settle()


# ------------------------------------------------------------------ with the database on the same disk


def test_an_embedded_database_on_the_full_disk_loses_nothing(tmp_path: Path, embeddings: EmbeddingServer) -> None:
    tmp_path.chmod(0o755)
    with (
        small_disk(tmp_path / "disk", mib=200) as disk,
        gateway_process({**embeddings.environment, "BUILTIN_ATTEMPTS": "1"}, storage=disk) as gateway,
    ):
        tmp_path.chmod(0o755)
        site = new_site(gateway.nextcloud)
        with full(disk):
            for first, then in OPPOSITES.values():
                site.act(first)
                site.act(then)
            site.add(*files(20, 21))
            site.run()
            for path, body in QUESTIONS.values():
                assert gateway.nextcloud.post(path, **body).status_code in {200, 503}
        site.settle()
        with full(disk):
            os.kill(postmaster(disk), signal.SIGKILL)
            site.act(deny("alice", SOURCES[1]))
            site.run()
        wait_until_ready(gateway.nextcloud, 120)
        site.settle()
        complaints(gateway.console())
