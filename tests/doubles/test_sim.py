"""The simulated Nextcloud: it answers as the real one, goes wrong on demand, and notes what careless clients do."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.doubles.sim import DAY, OcsError, Sim

DOCUMENTS = "/ocs/v2.php/apps/context_chat/queues/documents/"
ACTIONS = "/ocs/v2.php/apps/context_chat/queues/actions/"
FILE = "/ocs/v2.php/apps/context_chat/files/1?userId=admin"
TASKS = "/ocs/v2.php/taskprocessing"
WORKER = f"{TASKS}/tasks_provider"
APP_API = "/ocs/v1.php/apps/app_api"
STATE = f"{APP_API}/ex-app/state"
SEARCH = "context_chat:context_chat_search"
SEARCH_PROVIDER = "context_chat-context_chat_search"
CLAIM = {"providerIds": [SEARCH_PROVIDER], "taskTypeIds": [SEARCH, "no:provider"]}
QUESTION = {"prompt": "x", "scopeType": "none", "scopeList": [], "scopeListMeta": ""}
CONTENT = b"x" * 10_000
EMPTY: dict[str, Any] = {"files": {}, "content_providers": {}}
LONGEST_WAIT = 10.0

Answer = tuple[int, Any]


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + LONGEST_WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def signed(user: str = "", secret: str = "12345") -> str:
    return base64.b64encode(f"{user}:{secret}".encode()).decode()


class Client:
    """A good one."""

    def __init__(self, nextcloud: Sim) -> None:
        self._nextcloud = nextcloud

    def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        user: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The status, and the data of the envelope or else the body."""
        url = f"{self._nextcloud.url}{path}{'&' if '?' in path else '?'}format=json"
        sent = {
            "AA-VERSION": "33.0.0",
            "EX-APP-ID": "context_chat_backend",
            "EX-APP-VERSION": "5.4.0",
            "OCS-APIRequest": "true",
            "AUTHORIZATION-APP-API": signed(user),
            **(headers or {}),
        }
        with httpx.Client(trust_env=False, timeout=LONGEST_WAIT) as client:
            response = client.request(method, url, json=body, headers=sent)
        try:
            return response.status_code, response.json()["ocs"]["data"]
        except (ValueError, KeyError, TypeError):
            return response.status_code, response.content

    def register(self) -> None:
        fields = {"prompt": 1, "scopeType": 1, "scopeList": 11, "scopeListMeta": 1, "limit": 0}
        provider: dict[str, Any] = {
            "id": SEARCH_PROVIDER,
            "name": "Context Chat",
            "task_type": SEARCH,
            "expected_runtime": 30,
            "input_shape_defaults": {"limit": 10},
            "optional_input_shape": [],
            "optional_output_shape": [],
            "optional_input_shape_defaults": {},
            "input_shape_enum_values": {},
            "optional_input_shape_enum_values": {},
            "output_shape_enum_values": {},
            "optional_output_shape_enum_values": {},
        }
        task_type = {
            "id": SEARCH,
            "name": "s",
            "description": "d",
            "input_shape": [_field(name, type_) for name, type_ in fields.items()],
            "output_shape": [_field("sources", 11)],
        }
        body = {"provider": provider, "customTaskType": task_type}
        assert self("POST", f"{APP_API}/api/v1/ai_provider/task_processing", body) == (200, [])


def _field(name: str, type_: int) -> dict[str, Any]:
    return {"name": name, "description": name, "shape_type": type_}


def populate(nextcloud: Sim) -> None:
    nextcloud.add_users("admin", "jörg", "bob")
    nextcloud.add_folder(700, "admin", "files/Project")
    nextcloud.add_file(555, "admin", "files/Project/Whales.md", "text/markdown", "# Whales", users=["jörg"], parent=700)
    nextcloud.add_file(556, "admin", "files/secret.txt", "text/plain", "The launch code is zebra-77.")
    nextcloud.add_file(557, "jörg", "files/Übergröße 文件.txt", "text/plain", "Größe und Gewicht der Wale.")
    for file_id in (555, 556, 557):
        nextcloud.enqueue_file(file_id)
    nextcloud.enqueue_item("mail", "mail", "12:345", "Re: lunch", "Lunch is at noon.", users=["bob"])


@contextmanager
def running(**options: Any) -> Iterator[tuple[Sim, Client]]:
    with Sim(**options) as nextcloud:
        yield nextcloud, Client(nextcloud)


@pytest.fixture
def nextcloud() -> Iterator[Sim]:
    with Sim() as nextcloud:
        yield nextcloud


@pytest.fixture
def call(nextcloud: Sim) -> Client:
    return Client(nextcloud)


class ExApp:
    """Answers everything, and reports its progress after /init."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.bodies: dict[str, Any] = {}
        self.users: dict[str, str] = {}
        self.after_init: Callable[[], object] = lambda: None
        exapp = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                request = f"{self.command} {self.path}"
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                exapp.bodies[request] = json.loads(body) if body else None
                exapp.users[request] = self.headers.get("AUTHORIZATION-APP-API", "")
                exapp.requests.append(request)
                answer = b'{"status":"ok"}' if self.path == "/heartbeat" else b'{"error":""}'
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                if self.path == "/init":
                    threading.Thread(target=exapp.after_init).start()

            do_GET = do_POST = do_PUT = _answer  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def serving(self) -> Iterator[None]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


@pytest.fixture
def exapp() -> Iterator[ExApp]:
    exapp = ExApp()
    with exapp.serving():
        yield exapp


# ---------------------------------------------------------------------- queues


def test_that_a_lease_ends_after_a_day(nextcloud: Sim, call: Client) -> None:
    populate(nextcloud)
    assert [len(rows) for rows in call("GET", f"{DOCUMENTS}?n=2")[1].values()] == [2, 1]
    assert [len(rows) for rows in call("GET", f"{DOCUMENTS}?n=5")[1].values()] == [1, 0]
    nextcloud.travel(DAY - 5)
    assert call("GET", DOCUMENTS)[1] == EMPTY
    nextcloud.travel(10)
    assert list(call("GET", DOCUMENTS)[1]["files"]) == ["1", "2", "3"]
    leases = {"files:1": 2, "files:2": 2, "files:3": 2, "items:1": 2}
    assert nextcloud.stats()["leased_more_than_once"] == leases


def test_that_an_acknowledgement_needs_both_lists(nextcloud: Sim, call: Client) -> None:
    populate(nextcloud)
    call("GET", DOCUMENTS)
    assert call("DELETE", DOCUMENTS, {"files": [1, 2, 3]})[0] == 500
    assert not nextcloud.idle()
    assert call("DELETE", DOCUMENTS, {"files": [1, 2, 3], "content_providers": [1]}) == (200, [])
    assert nextcloud.wait_idle()
    assert nextcloud.stats()["violations"] == {}


def test_that_files_which_are_gone_leave_the_queue_without_a_word(nextcloud: Sim, call: Client) -> None:
    populate(nextcloud)
    nextcloud.delete_file(555)
    nextcloud.remove_user("jörg")
    assert list(call("GET", DOCUMENTS)[1]["files"]) == ["2"]
    actions = call("GET", ACTIONS)[1]["actions"].values()
    assert [action["type"] for action in actions] == ["delete_source_ids", "delete_user_id"]


def test_that_a_change_of_access_is_queued_unless_nobody_is_left(nextcloud: Sim, call: Client) -> None:
    populate(nextcloud)
    nextcloud.share(555, add=["bob"], remove=["admin"])
    nextcloud.share(556, remove=["admin"])
    actions = call("GET", ACTIONS)[1]["actions"]
    payload = {"userIds": ["jörg", "bob"], "sourceId": "files__default: 555"}
    assert actions == {"1": {"id": 1, "type": "update_access_decl_source_id", "payload": payload}}


def test_that_text_which_is_not_utf_8_empties_the_answer_and_keeps_the_lease(nextcloud: Sim, call: Client) -> None:
    nextcloud.enqueue_item("mail", "mail", "1", "t", b"bad \xff", users=["admin"])
    assert call("GET", DOCUMENTS) == (200, b"")
    assert nextcloud.stats()["unacknowledged"][0]["queue"] == "content_providers"


def test_that_without_format_json_the_answer_is_xml_and_the_rows_are_leased_all_the_same(nextcloud: Sim) -> None:
    populate(nextcloud)
    headers = {"EX-APP-ID": "context_chat_backend", "EX-APP-VERSION": "5.4.0", "OCS-APIRequest": "true"}
    response = httpx.get(
        nextcloud.url + DOCUMENTS, headers={**headers, "AUTHORIZATION-APP-API": signed()}, trust_env=False
    )
    assert "<files/>" in response.text
    assert len(nextcloud.stats()["unacknowledged"]) == 4
    assert set(nextcloud.stats()["violations"]) == {"no format=json", "header aa-version missing"}


# ---------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("kind", "details", "status"),
    [
        ("status", {"status": 429, "retry_after": 2}, 429),
        ("status", {"status": 500}, 500),
        ("maintenance", {}, 503),
        ("html", {"status": 502}, 502),
    ],
)
def test_that_a_fault_answers_once(
    nextcloud: Sim, call: Client, kind: str, details: dict[str, Any], status: int
) -> None:
    nextcloud.add_file(1, "admin", "files/a.txt", content=CONTENT)
    nextcloud.fault(kind, path="/files/", **details)
    assert call("GET", FILE)[0] == status
    assert call("GET", FILE) == (200, CONTENT)


def test_that_a_body_can_end_early_and_cleanly(nextcloud: Sim, call: Client) -> None:
    nextcloud.add_file(1, "admin", "files/a.txt", content=CONTENT)
    nextcloud.fault("truncate", path="/files/", at=100)
    assert call("GET", FILE) == (200, CONTENT[:100])


@pytest.mark.parametrize(("kind", "details"), [("reset", {}), ("cut", {"at": 100})])
def test_that_a_connection_can_break(nextcloud: Sim, call: Client, kind: str, details: dict[str, Any]) -> None:
    nextcloud.add_file(1, "admin", "files/a.txt", content=CONTENT)
    nextcloud.fault(kind, path="/files/", **details)
    with pytest.raises(httpx.TransportError):
        call("GET", FILE)


@pytest.mark.parametrize(
    ("kind", "details"),
    [("slow", {"chunk": 2_500, "delay": 0.06}), ("stall", {"delay": 0.2}), ("late", {"delay": 0.2})],
)
def test_that_an_answer_can_take_its_time(nextcloud: Sim, call: Client, kind: str, details: dict[str, Any]) -> None:
    nextcloud.add_file(1, "admin", "files/a.txt", content=CONTENT)
    nextcloud.fault(kind, path="/files/", **details)
    start = time.monotonic()
    assert call("GET", FILE) == (200, CONTENT)
    assert time.monotonic() - start >= 0.19


def test_that_an_answer_can_be_lost_after_the_work_was_done(nextcloud: Sim, call: Client) -> None:
    nextcloud.add_file(1, "admin", "files/a.txt", content=CONTENT)
    nextcloud.enqueue_file(1)
    nextcloud.fault("lost", path="/queues/documents", method="DELETE")
    call("GET", DOCUMENTS)
    with pytest.raises(httpx.TransportError):
        call("DELETE", DOCUMENTS, {"files": [1], "content_providers": []})
    assert nextcloud.idle()
    assert call("DELETE", DOCUMENTS, {"files": [1], "content_providers": []}) == (200, [])
    assert nextcloud.stats()["acks"] == {"files": 2, "files again": 1}


# ---------------------------------------------------------------------- tasks


def test_that_a_task_is_taken_once() -> None:
    with running(strict=True) as (nextcloud, call):
        populate(nextcloud)
        call.register()
        question = {**QUESTION, "scopeType": "source", "scopeList": {"0": "a", "2": "b"}}
        nextcloud.schedule("jörg", SEARCH, question)
        taken = call("GET", f"{WORKER}/next", CLAIM)[1]["task"]
        assert taken["input"] == {"limit": 10, **question}
        assert call("GET", f"{WORKER}/next", CLAIM) == (204, b"")


def test_that_a_result_of_the_wrong_shape_fails_the_task() -> None:
    with running(strict=True) as (nextcloud, call):
        populate(nextcloud)
        call.register()
        task = nextcloud.schedule("jörg", SEARCH, QUESTION)
        call("GET", f"{WORKER}/next", CLAIM)
        body = {"taskId": task, "output": {"sources": [{"id": 1}]}}
        assert call("POST", f"{WORKER}/{task}/result", body)[0] == 400  # strict
        assert nextcloud.task(task)["status"] == "STATUS_FAILED"
        assert "validation" in nextcloud.task(task)["errorMessage"]


def test_that_only_known_types_can_be_scheduled(nextcloud: Sim) -> None:
    with pytest.raises(OcsError) as error:
        nextcloud.schedule("jörg", SEARCH, QUESTION)
    assert error.value.status == 412


def test_that_next_minds_a_type_without_provider_up_to_32() -> None:
    with running(nc_major=32) as (_, call):
        assert call("GET", f"{WORKER}/next", CLAIM)[0] == 500
        assert call("GET", f"{WORKER}/next_batch", CLAIM)[0] == 404


def test_that_streamed_outputs_are_kept_from_35_on() -> None:
    with running(nc_major=35, strict=True) as (nextcloud, call):
        call.register()
        task = nextcloud.schedule("jörg", SEARCH, QUESTION, prefer_streaming=True)
        stream = f"{WORKER}/{task}/stream-result"
        assert call("POST", stream, {"output": {"sources": ["too early"]}})[1]["task"]["output"] is None
        assert call("GET", f"{WORKER}/next", CLAIM)[1]["task"]["preferStreaming"] is True
        for number in range(3):
            output = {"sources": [str(number)]}
            assert call("POST", stream, {"output": output})[1]["task"]["output"] == output
        assert nextcloud.streamed(task) == [{"sources": ["0"]}, {"sources": ["1"]}, {"sources": ["2"]}]
        other = nextcloud.schedule("jörg", SEARCH, QUESTION)
        assert nextcloud.task(other)["preferStreaming"] is False


def test_that_nothing_is_streamed_up_to_34() -> None:
    with running(nc_major=34) as (nextcloud, call):
        call.register()
        task = nextcloud.schedule("jörg", SEARCH, QUESTION, prefer_streaming=True)
        assert "preferStreaming" not in call("GET", f"{WORKER}/next", CLAIM)[1]["task"]
        assert call("POST", f"{WORKER}/{task}/stream-result", {"output": {}}) == (404, [])


def test_that_a_webhook_is_called_when_a_text_is_written(exapp: ExApp) -> None:
    with running(exapp_url=exapp.url, strict=True) as (nextcloud, call):
        nextcloud.add_users("jörg")
        nextcloud.text2text.answer = "Forty-two."
        body = {
            "type": "core:text2text",
            "appId": "context_chat_backend",
            "input": {"input": "The answer?"},
            "webhookUri": "/done",
            "webhookMethod": "AppAPI:context_chat_backend:POST",
        }
        task = call("POST", f"{TASKS}/tasks_consumer/schedule", body, user="jörg")[1]["task"]
        until(lambda: "POST /done" in exapp.requests)
        done = exapp.bodies["POST /done"]["task"]
        assert (done["id"], done["status"]) == (task["id"], "STATUS_SUCCESSFUL")
        assert done["output"] == {"output": "Forty-two."}
        assert exapp.users["POST /done"] == signed("jörg")


def test_that_a_webhook_tells_of_a_cancelled_task(exapp: ExApp) -> None:
    with running(exapp_url=exapp.url) as (nextcloud, call):
        nextcloud.text2text.mode = "hang"
        body = {
            "type": "core:text2text",
            "appId": "context_chat_backend",
            "input": {"input": "The answer?"},
            "webhookUri": "/done",
            "webhookMethod": "AppAPI:context_chat_backend:PUT",
        }
        task = call("POST", f"{TASKS}/tasks_consumer/schedule", body)[1]["task"]["id"]
        call("POST", f"{TASKS}/tasks_consumer/tasks/{task}/cancel")
        until(lambda: "PUT /done" in exapp.requests)
        assert exapp.bodies["PUT /done"]["task"]["status"] == "STATUS_CANCELLED"


# ---------------------------------------------------------------------- the ExApp


def test_that_a_disabled_exapp_may_only_ask_for_its_state(nextcloud: Sim, call: Client) -> None:
    nextcloud.disable()
    assert call("GET", f"{ACTIONS}?n=0") == (412, b'{"message":"ExApp required"}')
    assert call("GET", STATE) == (200, 0)


def test_that_wrong_secrets_lock_right_ones_out(nextcloud: Sim, call: Client) -> None:
    for _ in range(12):
        call("GET", f"{ACTIONS}?n=0", headers={"AUTHORIZATION-APP-API": signed(secret="nope")})
    assert call("GET", f"{ACTIONS}?n=0")[0] == 429


def test_that_a_deployment_ends_with_an_enabled_exapp_which_is_triggered(exapp: ExApp) -> None:
    with running(enabled=False, exapp_url=exapp.url) as (nextcloud, call):

        def report() -> None:
            for progress in (0, 50, 100):
                call("PUT", f"{APP_API}/ex-app/status", {"progress": progress, "error": ""})

        exapp.after_init = report
        nextcloud.deploy()
        until(lambda: "PUT /enabled?enabled=1" in exapp.requests)
        assert exapp.requests[:2] == ["GET /heartbeat", "POST /init"]
        until(lambda: nextcloud.exapp.status["init"] == 100)
        assert nextcloud.exapp.enabled
        call.register()
        nextcloud.schedule("jörg", SEARCH, QUESTION)
        until(lambda: f"POST /trigger?providerId={SEARCH_PROVIDER}" in exapp.requests)


# ---------------------------------------------------------------------- control


def test_that_it_can_be_controlled_from_another_process(nextcloud: Sim, call: Client) -> None:
    file = {"id": 1, "owner": "admin", "path": "files/a.bin", "content_b64": base64.b64encode(b"\xff\x00").decode()}
    with httpx.Client(base_url=nextcloud.url, trust_env=False) as control:
        assert control.post("/_ctl/add_file", json=file).json() == 1
        assert control.post("/_ctl/enqueue_files", json={"ids": [1]}).json() == [1]
        assert control.get("/_ctl/idle").json() == {
            "queued": {"files": 1, "content_providers": 0, "actions": 0},
            "tasks": 0,
            "idle": False,
        }
        assert call("GET", FILE) == (200, b"\xff\x00")
        assert control.post("/_ctl/fault", json={"kind": "unheard of"}).status_code == 400
        control.post("/_ctl/reset", json={"nc_major": 35}).raise_for_status()
    assert nextcloud.idle()
    assert nextcloud.nc_major == 35


# ---------------------------------------------------------------------- models that read files


OCR, SPEECH = "core:image2text:ocr", "core:audio2text"


@pytest.fixture
def media(nextcloud: Sim) -> Sim:
    nextcloud.add_file(1, "admin", "files/a.png", "image/png", "A whale.", users=["bob"])
    nextcloud.add_folder(2, "admin", "files/folder")
    nextcloud.add_users("eve")
    nextcloud.ocr.mode = nextcloud.audio2text.mode = "read"
    return nextcloud


def schedule(call: Client, kind: str, given: object, user: str = "admin") -> Answer:
    body = {"type": kind, "appId": "context_chat_backend", "input": {"input": given}}
    return call("POST", f"{TASKS}/tasks_consumer/schedule", body, user=user)


def test_models_that_read_files_are_offered_only_where_there_are_some(nextcloud: Sim, call: Client) -> None:
    def types() -> dict[str, Any]:
        return dict(call("GET", f"{TASKS}/tasks_consumer/tasktypes")[1]["types"])

    assert not {OCR, SPEECH} & set(types())
    assert schedule(call, OCR, [1])[0] == 412
    nextcloud.ocr.mode = nextcloud.audio2text.mode = "read"
    shown = types()
    assert (shown[OCR]["inputShape"]["input"]["type"], shown[OCR]["outputShape"]["output"]["type"]) == (
        "ListOfFiles",
        "ListOfTexts",
    )
    assert (shown[SPEECH]["inputShape"]["input"]["type"], shown[SPEECH]["outputShape"]["output"]["type"]) == (
        "Audio",
        "Text",
    )


@pytest.mark.parametrize(("kind", "given", "output"), [(OCR, [1], ["A whale."]), (SPEECH, 1, "A whale.")])
def test_a_model_reads_a_file_for_whoever_has_it(
    media: Sim, call: Client, kind: str, given: object, output: object
) -> None:
    for user in ("admin", "bob"):
        status, answer = schedule(call, kind, given, user)
        assert status == 200
        task = call("GET", f"{TASKS}/tasks_consumer/task/{answer['task']['id']}", user=user)[1]["task"]
        assert (task["status"], task["output"]) == ("STATUS_SUCCESSFUL", {"output": output})


@pytest.mark.parametrize(
    ("kind", "given", "user", "status"),
    [
        (OCR, 1, "admin", 400),
        (OCR, ["a whale"], "admin", 400),
        (SPEECH, [1], "admin", 400),
        (SPEECH, "a whale", "admin", 400),
        (OCR, [2], "admin", 400),
        (SPEECH, 3, "admin", 400),
        (OCR, [1], "eve", 401),
        (SPEECH, 1, "eve", 401),
        (OCR, [1], "", 401),
    ],
)
def test_a_model_takes_only_files_that_its_user_has(
    media: Sim, call: Client, kind: str, given: object, user: str, status: int
) -> None:
    found, data = schedule(call, kind, given, user)
    assert (found, set(data)) == (status, {"message"})


def test_a_model_fails_where_the_file_is_gone(media: Sim, call: Client) -> None:
    media.ocr.mode = "hang"
    number = schedule(call, OCR, [1])[1]["task"]["id"]
    media.delete_file(1)
    media.ocr.mode = "read"
    assert media.task(number)["status"] == "STATUS_FAILED"
