"""Behind HaRP: frpc, in whose place a strict stand-in runs (`tests/doubles/frpc.py`), and the gateway on its socket."""

import json
import logging
import os
import signal
import socket
import stat
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import httpx
import pytest
from pydantic import SecretStr

from context_chat_backend import tunnel
from context_chat_backend.contract import DriverError, Misconfigured
from context_chat_backend.doctor.tunnel import tunnel_findings
from context_chat_backend.settings import Settings, environment
from context_chat_backend.toolkit.settings import read_settings
from context_chat_backend.tunnel import Tunnel, TunnelPlan, configuration, plan_tunnel
from tests.doubles import frpc
from tests.doubles.frpc import Program
from tests.gateway import GatewayProcess, free_port, headers, make_settings
from tests.slow.tools import eventually

pytestmark = pytest.mark.anyio

KEY = 'a "quoted" key \\ with {{ .Envs.PATH }} and ü'


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return frpc.install(tmp_path / "frp")


def make_plan(folder: Path, program: str = "frpc") -> TunnelPlan:
    return TunnelPlan(
        program=program,
        app_id="context_chat_backend",
        server="harp.example",
        server_port=8782,
        remote_port=free_port(),
        key=SecretStr(KEY),
        socket_file=folder / "exapp.sock",
        certificates=folder / "certs",
    )


# ------------------------------------------------------------------ configuration


def test_frpc_is_told_what_harp_wants(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    assert tomllib.loads(configuration(plan)) == {
        "serverAddr": "harp.example",
        "serverPort": 8782,
        "loginFailExit": False,
        "log": {"to": "console", "disablePrintColor": True},
        "transport": {"tls": {"enable": False}},
        "metadatas": {"token": KEY},
        "proxies": [
            {
                "name": "context_chat_backend",
                "type": "tcp",
                "remotePort": plan.remote_port,
                "plugin": {"type": "unix_domain_socket", "unixPath": str(tmp_path / "exapp.sock")},
            }
        ],
    }


def test_frp_finds_no_template_in_it(tmp_path: Path) -> None:
    assert "{{" not in configuration(make_plan(tmp_path))


@pytest.mark.parametrize("key", ["\x00\x1f\x7f", "line\nbreak", "\U0001f433", "'''", '"""', "\\u0041", "{{{{"])
def test_no_key_breaks_out_of_its_line(tmp_path: Path, key: str) -> None:
    text = configuration(replace(make_plan(tmp_path), key=SecretStr(key)))
    assert tomllib.loads(text)["metadatas"] == {"token": key}
    assert "{{" not in text


def test_with_certificates_the_connection_is_encrypted(tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    folder.mkdir()
    with pytest.raises(Misconfigured, match=r"client\.crt cannot be read"):
        configuration(make_plan(tmp_path))
    for name in ("client.crt", "client.key", "ca.crt"):
        (folder / name).touch()
    assert tomllib.loads(configuration(make_plan(tmp_path)))["transport"]["tls"] == {
        "enable": True,
        "certFile": str(folder / "client.crt"),
        "keyFile": str(folder / "client.key"),
        "trustedCaFile": str(folder / "ca.crt"),
        "serverName": "harp.nc",
    }


HARP = {"APP_SECRET": "12345", "HP_SHARED_KEY": "key", "HP_FRP_ADDRESS": "harp", "HP_FRP_PORT": "8782"}


@pytest.mark.parametrize("left_alone", ["HP_SHARED_KEY", "HP_FRP_ADDRESS", "HP_FRP_PORT"])
@pytest.mark.parametrize("value", ["", "Array"])
def test_a_variable_that_was_left_alone_is_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_alone: str, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, given in HARP.items():
        monkeypatch.setenv(name, given)
    assert plan_tunnel(read_settings(Settings, environment())) is not None
    monkeypatch.setenv(left_alone, value)
    assert plan_tunnel(read_settings(Settings, environment())) is None


# ------------------------------------------------------------------ watched


async def until(holds: Callable[[DriverError | None], object], opened: Tunnel) -> None:
    with anyio.fail_after(20):
        while not holds(await opened.problem()):  # noqa: ASYNC110 - what it waits for is another process
            await anyio.sleep(0.01)


async def test_frpc_is_started_again_with_growing_pauses(
    tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tunnel, "FIRST_PAUSE", 0.05)
    program.behave(ends_after=0.0)
    async with Tunnel(make_plan(tmp_path, str(program.path))) as opened:
        await anyio.sleep(1.5)
        assert len(program.starts()) <= 5
        await until(lambda _: len(program.starts()) >= 3, opened)
        program.behave()
        await until(lambda problem: problem is None and program.runs(), opened)
    assert "frpc ended with status 3" in caplog.text
    assert not program.runs()


async def test_one_that_ran_for_a_while_is_started_again_soon(
    tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnel, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(tunnel, "STEADY_SECONDS", 0.0)
    program.behave(ends_after=0.0)
    async with Tunnel(make_plan(tmp_path, str(program.path))) as opened:
        await until(lambda _: len(program.starts()) >= 8, opened)  # with doubled pauses after 6 s


async def test_a_missing_program_says_what_to_do_and_is_found_once_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tunnel, "FIRST_PAUSE", 0.01)
    async with Tunnel(make_plan(tmp_path, str(tmp_path / "frp" / "frpc"))) as opened:
        await until(lambda problem: isinstance(problem, Misconfigured), opened)
        assert "FRPC_PATH" in str(await opened.problem())
        assert "FRPC_PATH" in caplog.text
        frpc.install(tmp_path / "frp")
        await until(lambda problem: problem is None, opened)


async def test_the_shared_key_is_nowhere_but_in_a_file_that_nobody_else_can_read(
    tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("APP_SECRET", "hidden")
    async with Tunnel(make_plan(tmp_path, str(program.path))) as opened:
        await until(lambda problem: "the shared key" in caplog.text, opened)
        (inner,) = folder.iterdir()
        (file,) = inner.iterdir()
        assert [stat.S_IMODE(path.stat().st_mode) for path in (inner, file)] == [0o700, 0o600]
    assert list(folder.iterdir()) == []
    ((_, arguments, variables),) = program.starts()
    assert KEY not in json.dumps([arguments, variables])
    assert "hidden" not in json.dumps(variables)
    assert KEY not in caplog.text
    assert "07:00:00" not in caplog.text
    levels = {record.levelno for record in caplog.records if "[client/" in record.getMessage()}
    assert levels == {logging.INFO, logging.ERROR}


async def test_a_disk_that_is_full_is_a_reason_and_not_a_bug(
    tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    async with Tunnel(make_plan(tmp_path, str(program.path))) as opened:
        await until(lambda problem: "cannot be written" in str(problem), opened)
    assert "Traceback" not in caplog.text
    assert program.starts() == []


async def test_an_frpc_that_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "STOP_SECONDS", 0.1)
    deaf = tmp_path / "deaf"
    deaf.write_text("#!/bin/sh\ntrap '' TERM\necho $$ > \"$0.pid\"\nwhile :; do sleep 0.05; done\n")
    deaf.chmod(0o700)
    pid = tmp_path / "deaf.pid"
    with anyio.fail_after(20):
        async with Tunnel(make_plan(tmp_path, str(deaf))) as opened:
            await until(lambda problem: problem is None and pid.exists() and pid.read_text().strip(), opened)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


# ------------------------------------------------------------------ the whole process


@contextmanager
def behind_harp(folder: Path, program: Path | str, **variables: str) -> Iterator[tuple[GatewayProcess, str]]:
    """A gateway process, and the address at which the stand-in lets HaRP in."""
    gateway = GatewayProcess(
        folder,
        {
            "RAG_BACKEND": "reference",
            "HP_SHARED_KEY": "a-shared-key",
            "HP_FRP_ADDRESS": "127.0.0.1",
            "HP_FRP_PORT": "8782",
            "HP_EXAPP_SOCK": str(folder / "exapp.sock"),
            "FRPC_PATH": str(program),
            **variables,
        },
    )
    try:
        yield gateway, gateway.nextcloud.base_url
    finally:
        gateway.close()


def test_harp_reaches_the_gateway_through_frpc_which_ends_with_it(tmp_path: Path, program: Program) -> None:
    with behind_harp(tmp_path, program.path) as (gateway, address):
        gateway.start()
        assert httpx.get(f"{address}/heartbeat").json() == {"status": "ok"}
        assert httpx.get(f"{address}/enabled", headers=headers()).json() == {"enabled": True}
        assert program.runs()
        assert gateway.stop() == 0
        assert not program.runs()
        assert gateway.errors() == ["frpc: [E] [client/service.go:2] the token is (the shared key) "]


def test_ctrl_c_ends_frpc_too(tmp_path: Path, program: Program) -> None:
    """It is in a session of its own, so nobody else ends it."""
    with behind_harp(tmp_path, program.path) as (gateway, _):
        gateway.start()
        os.kill(gateway.pid, signal.SIGINT)
        assert gateway.wait() in {130, -signal.SIGINT}
        assert not program.runs()


def test_without_frpc_the_gateway_is_not_ready_and_says_why(tmp_path: Path) -> None:
    with behind_harp(tmp_path, tmp_path / "missing") as (gateway, _):
        gateway.launch()
        eventually(lambda: listens(tmp_path / "exapp.sock"))
        eventually(lambda: status_inside(tmp_path / "exapp.sock") == (503, "misconfigured"))
        assert "FRPC_PATH" in gateway.console()


def listens(socket_file: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(socket_file)) == 0


def status_inside(socket_file: Path) -> tuple[int, str]:
    """What a probe in the container gets."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket_file)), base_url="http://gateway") as inside:
        answer = inside.get("/health/ready")
    return answer.status_code, answer.json()["status"]


# ------------------------------------------------------------------ the doctor


def test_the_doctor_looks_at_frpc(tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "CERTIFICATES", tmp_path / "certs")
    assert tunnel_findings(make_settings(tmp_path)) == []
    settings = make_settings(tmp_path, hp_shared_key=SecretStr("key"))
    (finding,) = tunnel_findings(settings)
    assert (finding.level, "HP_FRP_ADDRESS" in finding.text) == ("warning", True)
    settings = make_settings(
        tmp_path,
        hp_shared_key=SecretStr("key"),
        hp_frp_address="harp",
        hp_frp_port=8782,
        frpc_path=program.path,
    )
    (finding,) = tunnel_findings(settings)
    assert (finding.level, "not encrypted" in finding.text) == ("ok", True)
    (tmp_path / "certs").mkdir()
    with pytest.raises(Misconfigured, match=r"client\.crt"):
        tunnel_findings(settings)
    with pytest.raises(Misconfigured, match="FRPC_PATH"):
        tunnel_findings(settings.model_copy(update={"frpc_path": tmp_path / "missing"}))
