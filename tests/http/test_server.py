"""The process: how it ends, and what it leaves to whoever starts it again."""

import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from context_chat_backend.contract import Misconfigured
from context_chat_backend.http import app, readiness
from context_chat_backend.http.server import open_listener, serve
from context_chat_backend.nextcloud.push_client import part
from context_chat_backend.storage import claimed_storage
from tests.conftest import REPO
from tests.gateway import SECRET, gateway_process, make_settings, running_gateway
from tests.slow.tools import eventually

NO_MODEL = {"RAG_BACKEND": "reference"}


def test_a_clean_end_has_the_exit_code_0() -> None:
    with gateway_process(NO_MODEL) as gateway:
        assert gateway.stop() == 0
        assert gateway.errors() == []


BROKEN = """
import sys
from contextlib import asynccontextmanager

import anyio

from context_chat_backend.cli import main
from context_chat_backend.http import app
from context_chat_backend.http.server import GatewayServer

opened, main_loop, serving = app.open_gateway, GatewayServer.main_loop, anyio.Event()


async def noted_main_loop(self):
    serving.set()
    await main_loop(self)


@asynccontextmanager
async def opened_for_a_moment(plan, metrics):
    async def break_soon():
        await serving.wait()
        raise ZeroDivisionError("a mistake in the background")

    if sys.argv[1] == "at the start":
        raise ZeroDivisionError("a mistake at the start")
    async with anyio.create_task_group() as tasks, opened(plan, metrics) as gateway:
        tasks.start_soon(break_soon)
        yield gateway


app.open_gateway, GatewayServer.main_loop = opened_for_a_moment, noted_main_loop
sys.exit(main(["serve"]))
"""


@pytest.mark.parametrize("when", ["at the start", "in the background"])
def test_a_gateway_that_cannot_go_on_ends_as_a_failure(tmp_path: Path, when: str) -> None:
    environment = {
        **NO_MODEL,
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPO),
        "APP_SECRET": SECRET,
        "APP_PORT": "0",
        "APP_PERSISTENT_STORAGE": str(tmp_path),
    }
    command = [sys.executable, "-c", BROKEN, when]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done.stderr
    assert f"a mistake {when}" in done.stderr
    assert ("the gateway cannot go on" in done.stderr) == (when == "in the background")


def test_an_upload_that_the_disk_does_not_take_is_to_be_sent_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running_gateway(make_settings(tmp_path, rag_backend="reference")) as nextcloud:
        (tmp_path / "spool").rmdir()
        response = nextcloud.load(part("files__default: 1"))
        assert (response.status_code, response.headers["cc-retry"]) == (503, "true")
        assert int(response.headers["Retry-After"]) > 0
        (problem,) = [record for record in caplog.records if record.levelname == "ERROR"]
        assert problem.getMessage().endswith("No such file or directory")
        assert problem.exc_info is None
        (tmp_path / "spool").mkdir()
        assert nextcloud.load(part("files__default: 1")).json()["loaded_sources"] == ["files__default: 1"]


def test_a_storage_that_hangs_is_not_ready_and_holds_up_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    answers.set()

    def look(_: Path) -> None:
        answers.wait()

    monkeypatch.setattr(app, "spool_problem", look)
    monkeypatch.setattr(readiness, "LOOK_SECONDS", 0.0)
    with running_gateway(make_settings(tmp_path, rag_backend="reference")) as nextcloud:
        monkeypatch.setattr(readiness, "PROBE_TIMEOUT", 0.2)
        answers.clear()
        try:
            assert [nextcloud.http.get("/health/ready").status_code for _ in range(2)] == [503, 503]
            assert nextcloud.post("/countIndexedDocuments").status_code == 200
        finally:
            answers.set()
        eventually(lambda: nextcloud.http.get("/health/ready").status_code == 200)


def test_a_spool_that_is_gone_is_one_line_in_the_log() -> None:
    with gateway_process(NO_MODEL) as gateway:
        (gateway.folder / "spool").rmdir()
        assert {gateway.nextcloud.load(part("files__default: 1")).status_code for _ in range(20)} == {503}
        assert len(gateway.errors()) == 1
        console = (gateway.folder / "console.log").read_text()
        assert console.count("an upload cannot be kept") == 1
        assert "Traceback" not in console


def test_a_second_gateway_leaves_the_socket_file_of_the_first_alone(tmp_path: Path) -> None:
    socket_file = tmp_path / "exapp.sock"
    settings = make_settings(tmp_path / "storage", hp_shared_key=SecretStr("key"), hp_exapp_sock=socket_file)
    with claimed_storage(settings.app_persistent_storage), open_listener(settings):
        first = socket_file.stat()
        with pytest.raises(Misconfigured, match="another gateway"):
            serve(settings, {})
        assert socket_file.stat() == first


def test_a_socket_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    settings = make_settings(
        tmp_path, hp_shared_key=SecretStr("key"), hp_exapp_sock=tmp_path / "missing" / "exapp.sock"
    )
    with pytest.raises(Misconfigured, match=r"HP_EXAPP_SOCK: cannot listen on .*No such file"):
        open_listener(settings)


def test_the_log_has_the_cause_for_each_request_that_was_answered_with_an_error() -> None:
    with gateway_process({"RAG_BACKEND": "r2r", "R2R_BASE_URL": "http://127.0.0.1:1"}, ready=False) as gateway:
        answers = [gateway.nextcloud.post("/countIndexedDocuments") for _ in range(3)]
        console = (gateway.folder / "console.log").read_text()
    for answer in answers:
        assert answer.status_code == 503
        request = answer.json()["error"].rpartition(" ")[2]
        assert f"request {request} is answered with an error: " in console


def test_systemd_starts_again_what_ended_for_any_reason() -> None:
    operations = (REPO / "docs" / "operations.md").read_text()
    unit = re.search(r"```ini\n(.*?)```", operations, re.DOTALL)
    assert unit is not None
    assert "Restart=always\n" in unit[1]
    assert "StartLimitIntervalSec=0\n" in unit[1]


def test_only_the_account_of_the_gateway_can_take_its_lock(tmp_path: Path) -> None:
    (tmp_path / "gateway.lock").touch(mode=0o644)  # of an older version
    with gateway_process(NO_MODEL, folder=tmp_path):
        assert stat.S_IMODE((tmp_path / "gateway.lock").stat().st_mode) == 0o600
