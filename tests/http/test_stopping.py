"""SIGTERM: what is under way is answered, nothing new is begun, and what cannot be finished is not lost."""

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from context_chat_backend.http.server import SHUTDOWN_SECONDS
from context_chat_backend.nextcloud.push_client import UPLOAD_TYPE, multipart, part
from tests.doubles import frpc
from tests.doubles.nextcloud import serving
from tests.doubles.openai import FakeOpenAI
from tests.gateway import GatewayProcess, gateway_process, headers
from tests.slow.tools import eventually

WHALE = "files__default: 1"
REFERENCE = {"RAG_BACKEND": "reference"}
DOCKER_SECONDS = 10
"""Until it kills."""


@dataclass
class SlowModel:
    """OpenAI's strict double; an answer takes until `finish` is set."""

    api: FakeOpenAI = field(default_factory=FakeOpenAI)
    asked: threading.Event = field(default_factory=threading.Event)
    finish: threading.Event = field(default_factory=threading.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.set()
        await anyio.to_thread.run_sync(self.finish.wait, abandon_on_cancel=True)
        await self.api(scope, receive, send)


@contextmanager
def slow_model() -> Iterator[tuple[SlowModel, dict[str, str]]]:
    """And the settings of a gateway that uses it."""
    model = SlowModel()
    with serving(model) as url:
        try:
            variables = {"CC_LLM_BASE_URL": f"{url}/v1", "CC_LLM_MODEL": "gpt-4o-mini", "CC_GENERATOR": "openai"}
            yield model, REFERENCE | variables
        finally:
            model.finish.set()


def ask(address: str) -> httpx.Response:
    body = {"query": "whale", "userId": "alice", "useContext": True}
    return httpx.post(f"{address}/query", json=body, headers=headers(), timeout=60)


def terminate(gateway: GatewayProcess) -> None:
    gateway._process.send_signal(signal.SIGTERM)


def refuses_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@contextmanager
def asked_once(gateway: GatewayProcess, model: SlowModel) -> Iterator[Future[httpx.Response]]:
    """A question that waits for its model."""
    assert gateway.nextcloud.load(part(WHALE)).json()["loaded_sources"] == [WHALE]
    with ThreadPoolExecutor() as threads:
        yield (answer := threads.submit(ask, gateway.nextcloud.base_url))
        answer.result(60)


def test_a_question_that_is_being_answered_gets_its_answer() -> None:
    with slow_model() as (model, variables), gateway_process(variables) as gateway:
        with asked_once(gateway, model) as answer:
            assert model.asked.wait(30)
            terminate(gateway)
            eventually(lambda: refuses_connections(gateway.port))
            model.finish.set()
            assert answer.result(30).json()["sources"] == [WHALE]
        assert gateway.wait() == 0
        assert gateway.errors() == []


def test_behind_harp_the_answer_gets_out_before_frpc_is_ended(tmp_path: Path) -> None:
    program = frpc.install(tmp_path / "frp")
    harp = {
        "HP_SHARED_KEY": "a-shared-key",
        "HP_FRP_ADDRESS": "127.0.0.1",
        "HP_FRP_PORT": "8782",
        "HP_EXAPP_SOCK": str(tmp_path / "exapp.sock"),
        "FRPC_PATH": str(program.path),
    }
    with slow_model() as (model, variables), gateway_process(variables | harp, folder=tmp_path) as gateway:
        with asked_once(gateway, model) as answer:
            assert model.asked.wait(30)
            terminate(gateway)
            eventually(lambda: "Shutting down" in gateway.console())
            time.sleep(0.5)
            assert program.runs()
            model.finish.set()
            assert answer.result(30).json()["sources"] == [WHALE]
        assert gateway.wait() == 0
        assert not program.runs()


# ------------------------------------------------------------------ uploads


@contextmanager
def half_an_upload(gateway: GatewayProcess) -> Iterator[tuple[socket.socket, bytes]]:
    """A connection on which half an upload was sent and is being written to the disk, and the other half."""
    body = multipart([part(WHALE, b"whale " * 2_000_000)])
    fields = {**headers(), "Host": "gateway", "Content-Type": UPLOAD_TYPE, "Content-Length": str(len(body))}
    lines = ["PUT /loadSources HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    head = "\r\n".join(lines) + "\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as connection:
        connection.sendall(head.encode() + body[: len(body) // 2])
        eventually(lambda: bool(gateway.spooled), 10)
        yield connection, body[len(body) // 2 :]


def read_answer(connection: socket.socket) -> bytes:
    answer = b""
    try:
        while data := connection.recv(65_536):
            answer += data
    except ConnectionResetError:
        pass
    return answer


def test_an_upload_that_is_under_way_is_received_and_indexed() -> None:
    with gateway_process(REFERENCE) as gateway, half_an_upload(gateway) as (connection, rest):
        terminate(gateway)
        eventually(lambda: refuses_connections(gateway.port))
        connection.sendall(rest)
        answer = read_answer(connection)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["loaded_sources"] == [WHALE]
        assert gateway.wait() == 0


def test_an_upload_that_does_not_end_is_cut_off_in_time_and_sent_again(tmp_path: Path) -> None:
    with gateway_process(REFERENCE, folder=tmp_path) as gateway:
        with half_an_upload(gateway) as (connection, _):
            terminate(gateway)
            begun = time.monotonic()
            answer = read_answer(connection)
            assert gateway.wait() == 0
            assert SHUTDOWN_SECONDS - 1 < time.monotonic() - begun < DOCKER_SECONDS
        assert not answer.startswith(b"HTTP/1.1 2")  # nothing that Nextcloud could take for done
        assert gateway.spooled == []
        gateway.start()
        assert gateway.nextcloud.load(part(WHALE)).json()["loaded_sources"] == [WHALE]


# ------------------------------------------------------------------ pulling


@dataclass
class Queues:
    """A Nextcloud that has an action more each time it is asked, and nothing else."""

    takes: list[float] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await self._answer(request.method, request.url.path, dict(request.query_params))(scope, receive, send)

    def _answer(self, method: str, path: str, query: dict[str, str]) -> Response:
        data: Any = []
        match method, path.rpartition("/ocs/")[2].removesuffix("/"):
            case "GET", "v1.php/apps/app_api/ex-app/state":
                data = 1
            case "GET", "v2.php/apps/context_chat/queues/actions":
                number = self._note(query)
                action = {"id": number, "type": "delete_user_id", "payload": {"userId": "nobody"}}
                data = {"actions": {str(number): action} if number else {}}
            case "GET", "v2.php/apps/context_chat/queues/documents":
                self._note(query)
                data = {"files": {}, "content_providers": {}}
            case "GET", "v2.php/taskprocessing/tasks_provider/next_batch":
                self._note({})
                data = {"tasks": [], "has_more": False}
        return JSONResponse({"ocs": {"meta": {"status": "ok", "statuscode": 200}, "data": data}})

    def _note(self, query: dict[str, str]) -> int:
        if query.get("n") == "0":
            return 0
        self.takes.append(time.monotonic())
        return len(self.takes)


def test_nothing_more_is_taken_from_nextcloud() -> None:
    queues = Queues()
    with ExitStack() as stack:
        model, variables = stack.enter_context(slow_model())
        url = stack.enter_context(serving(queues))
        with gateway_process(variables | {"NEXTCLOUD_URL": url, "INTAKE": "pull"}) as gateway:
            eventually(lambda: gateway.nextcloud.http.get("/enabled").json() == {"enabled": True})
            with asked_once(gateway, model) as answer:
                assert model.asked.wait(30)
                eventually(lambda: len(queues.takes) > 5)
                terminate(gateway)
                eventually(lambda: refuses_connections(gateway.port))
                taken = len(queues.takes)
                time.sleep(SHUTDOWN_SECONDS - 2)
                model.finish.set()
                assert answer.result(30).status_code == 200
            assert gateway.wait() == 0
    assert len(queues.takes) <= taken + 3  # one of each kind may have been on its way


@pytest.mark.anyio
async def test_the_app_is_not_disabled_by_that(tmp_path: Path) -> None:
    with gateway_process(REFERENCE, folder=tmp_path) as gateway:
        assert gateway.stop() == 0
        gateway.start()
        assert gateway.nextcloud.http.get("/enabled").json() == {"enabled": True}
