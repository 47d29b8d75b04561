"""The doctor: it names what is wrong and what to do, and never falls ill itself."""

import resource
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import product
from pathlib import Path
from threading import Thread
from typing import Any, Self

import anyio
import httpx
import pytest
import uvicorn
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from context_chat_backend import doctor
from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import Busy, Capabilities, Finding, Level, Misconfigured, Unavailable
from context_chat_backend.core.state import State
from context_chat_backend.doctor import examine
from context_chat_backend.gateway import _open_text_model, plan_gateway
from context_chat_backend.nextcloud.client import NextcloudClient
from context_chat_backend.nextcloud.consumer import TaskConsumer
from context_chat_backend.nextcloud.text_model import NextcloudText
from context_chat_backend.nextcloud.webhooks import Webhooks
from context_chat_backend.retrieval.models import OpenAIChat
from context_chat_backend.retrieval.settings import AnswerSettings
from context_chat_backend.settings import Settings
from context_chat_backend.storage import claimed_storage
from tests.doubles.nextcloud import FakeNextcloud, serving
from tests.gateway import SECRET, make_settings, running_gateway

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)


def levels(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(finding.level, finding.subject) for finding in findings]


def of(subject: str, findings: Sequence[Finding]) -> Finding:
    (finding,) = [finding for finding in findings if finding.subject == subject]
    return finding


# ------------------------------------------------------------------ all of it


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    return {"APP_SECRET": SECRET, "RAG_BACKEND": "reference", "APP_PERSISTENT_STORAGE": str(tmp_path / "storage")}


async def examined(variables: Mapping[str, str]) -> list[Finding]:
    return [finding async for finding in examine(variables)]


async def test_every_subject_is_looked_at(variables: dict[str, str]) -> None:
    subjects = [finding.subject for finding in await examined(variables)]
    assert subjects == [
        "settings",
        "open files",
        "APP_SECRET",
        "metrics",
        "storage",
        "disk",
        "state.db",
        "Nextcloud",
        "gateway",
        "backend",
        "capabilities",
        "answers",
    ]


async def test_whatever_is_not_ok_has_a_remedy(variables: dict[str, str]) -> None:
    variables["NEXTCLOUD_URL"] = "http://127.0.0.1:9"
    variables["CC_LLM_BASE_URL"] = "http://127.0.0.1:9"
    findings = await examined(variables)
    assert {(Level.ERROR, "Nextcloud"), (Level.ERROR, "answers")} <= set(levels(findings))
    assert all(finding.remedy for finding in findings if finding.level is not Level.OK)


async def test_wrong_settings_of_the_backend_do_not_hide_the_rest(variables: dict[str, str]) -> None:
    variables["RAG_BACKEND"] = "refrence"
    findings = await examined(variables)
    assert levels(findings)[0] == (Level.ERROR, "settings")
    assert "Did you mean 'reference'?" in findings[0].text
    assert of("storage", findings).level is Level.OK


async def test_a_check_that_breaks_is_a_finding_without_its_message(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: object) -> list[Finding]:
        raise ValueError("postgresql://user:hidden-password@host")

    monkeypatch.setattr(doctor.nextcloud, "check_nextcloud", broken)
    findings = await examined(variables)
    finding = of("Nextcloud", findings)
    assert finding.level is Level.ERROR
    assert "ValueError in test_doctor.py" in finding.text
    assert not any("hidden-" in finding.text + finding.remedy for finding in findings)
    assert of("backend", findings).level is Level.OK  # it went on


# ------------------------------------------------------------------ the host


@pytest.mark.parametrize(
    ("most", "level"), [(1024, Level.WARNING), (1_048_576, Level.OK), (resource.RLIM_INFINITY, Level.OK)]
)
def test_few_open_files_are_a_warning(most: int, level: Level) -> None:
    assert doctor.host.open_files_finding(most).level is level


@pytest.mark.parametrize(
    ("secret", "level"), [("12345", Level.WARNING), ("x" * 64, Level.WARNING), ("0123456789abcdef" * 4, Level.OK)]
)
def test_a_secret_that_can_be_guessed_is_a_warning_and_not_shown(tmp_path: Path, secret: str, level: Level) -> None:
    finding = of("APP_SECRET", doctor.host.secret_findings(make_settings(tmp_path, app_secret=SecretStr(secret))))
    assert finding.level is level
    assert secret not in finding.text + finding.remedy


@pytest.mark.parametrize(
    ("values", "level"),
    [
        ({"app_host": "127.0.0.1"}, Level.OK),
        ({"app_host": "::1"}, Level.OK),
        ({"app_host": "localhost"}, Level.OK),
        ({"app_host": "0.0.0.0"}, Level.WARNING),
        ({"app_host": "gateway.example"}, Level.WARNING),
        ({"app_host": "0.0.0.0", "hp_shared_key": SecretStr("key")}, Level.OK),
        ({"app_host": "0.0.0.0", "metrics_token": SecretStr("token")}, Level.OK),
    ],
)
def test_metrics_that_strangers_can_read_are_a_warning(tmp_path: Path, values: dict[str, Any], level: Level) -> None:
    assert of("metrics", doctor.host.secret_findings(make_settings(tmp_path, **values))).level is level


# ------------------------------------------------------------------ storage


@pytest.mark.parametrize(("free", "level"), [(100, Level.ERROR), (1000, Level.WARNING), (5000, Level.OK)])
def test_little_room_is_a_warning_and_none_an_error(free: int, level: Level) -> None:
    assert doctor.storage.disk_finding(free).level is level


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (finding,) = doctor.storage.check_storage(tmp_path / "file" / "storage")
    assert finding.level is Level.ERROR
    assert "APP_PERSISTENT_STORAGE" in finding.text


async def test_a_missing_state_is_fine_and_not_made(tmp_path: Path) -> None:
    (finding,) = await doctor.storage.check_state(tmp_path / "state.db")
    assert finding.level is Level.OK
    assert not await anyio.Path(tmp_path / "state.db").exists()


async def test_a_state_in_use_opens(tmp_path: Path) -> None:
    async with State(tmp_path / "state.db"):
        (finding,) = await doctor.storage.check_state(tmp_path / "state.db")
    assert finding.level is Level.OK


async def test_a_damaged_state_is_an_error(tmp_path: Path) -> None:
    await anyio.Path(tmp_path / "state.db").write_bytes(b"no database at all" * 100)
    (finding,) = await doctor.storage.check_state(tmp_path / "state.db")
    assert finding.level is Level.ERROR
    assert "remove state.db" in finding.remedy


# ------------------------------------------------------------------ backend


class Patient(ReferenceDriver):
    """Opens and answers as the test says."""

    def __init__(
        self,
        *,
        opening: Callable[[], Awaitable[None]] | None = None,
        findings: Sequence[Finding] | Exception = (),
        shared: bool = False,
    ) -> None:
        super().__init__()
        self.capabilities = Capabilities(shared=shared, settle_seconds=2)
        self.opening = opening
        self.findings = findings
        self.times_opened = 0

    async def __aenter__(self) -> Self:
        self.times_opened += 1
        if self.opening is not None:
            await self.opening()
        return self

    async def check(self) -> Sequence[Finding]:
        if isinstance(self.findings, Exception):
            raise self.findings
        return self.findings


async def looked_at(settings: Settings, driver: ReferenceDriver) -> Sequence[Finding]:
    return await doctor.findings.guarded(
        "backend", lambda: doctor.backend.check_backend(plan_gateway(settings, {}, driver))
    )


async def test_what_the_driver_finds_is_passed_on(tmp_path: Path) -> None:
    rights = Finding(level=Level.WARNING, subject="rights", text="too many", remedy="take some away")
    findings = await looked_at(make_settings(tmp_path), Patient(findings=[rights]))
    assert levels(findings)[:3] == [("ok", "gateway"), ("ok", "backend"), ("ok", "capabilities")]
    assert findings[3] == rights


async def test_capabilities_are_told(tmp_path: Path) -> None:
    findings = await looked_at(make_settings(tmp_path), Patient(shared=True))
    text = of("capabilities", findings).text
    assert "upsert cache off" in text
    assert "after 2 s" in text


@pytest.mark.parametrize("error", [Misconfigured("the key is refused"), Unavailable("the key is refused")])
async def test_a_driver_that_does_not_open_is_an_error_in_its_own_words(tmp_path: Path, error: Exception) -> None:
    async def refuse() -> None:
        raise error

    (finding,) = await looked_at(make_settings(tmp_path), Patient(opening=refuse))
    assert (finding.level, finding.text) == (Level.ERROR, "the key is refused")
    assert finding.remedy


async def test_a_driver_that_hangs_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.backend, "BACKEND_SECONDS", 0.01)
    (finding,) = await looked_at(make_settings(tmp_path), Patient(opening=anyio.sleep_forever))
    assert finding.level is Level.ERROR
    assert "did not answer" in finding.text


@pytest.mark.parametrize("error", [Busy("full"), KeyError("hidden-")])
async def test_a_failing_check_does_not_hide_that_the_backend_opens(tmp_path: Path, error: Exception) -> None:
    findings = await looked_at(make_settings(tmp_path), Patient(findings=error))
    assert levels(findings)[1:] == [("ok", "backend"), ("ok", "capabilities"), ("error", "backend")]
    assert "hidden-" not in findings[-1].text


async def test_no_gateway_can_start_while_the_backend_is_open(tmp_path: Path) -> None:
    async def start() -> None:
        with pytest.raises(Misconfigured), claimed_storage(tmp_path):
            pass

    await looked_at(make_settings(tmp_path), Patient(opening=start))
    with claimed_storage(tmp_path):
        pass


@contextmanager
def serving_gateway(folder: Path, driver: ReferenceDriver) -> Iterator[Settings]:
    """A gateway that holds its storage; yields settings that name its port."""
    with claimed_storage(folder), running_gateway(make_settings(folder), driver) as nextcloud:
        yield make_settings(folder, app_host="0.0.0.0", app_port=httpx.URL(nextcloud.base_url).port)


def test_a_running_gateway_is_asked_instead_of_opening_its_store_twice(tmp_path: Path) -> None:
    driver = Patient()
    with serving_gateway(tmp_path, Patient()) as settings:
        findings = anyio.run(looked_at, settings, driver)
    assert levels(findings) == [("ok", "gateway"), ("ok", "capabilities"), ("ok", "backend")]
    assert "its backend serves" in findings[0].text
    assert driver.times_opened == 0


def test_a_store_that_others_may_use_is_opened_beside_a_running_gateway(tmp_path: Path) -> None:
    driver = Patient(shared=True)
    with serving_gateway(tmp_path, Patient()) as settings:
        findings = anyio.run(looked_at, settings, driver)
    assert levels(findings) == [("ok", "gateway"), ("ok", "backend"), ("ok", "capabilities")]
    assert driver.times_opened == 1


class Ill(ReferenceDriver):
    ill = False

    async def ping(self) -> None:
        if self.ill:
            raise Misconfigured("the key is refused")


def test_a_running_gateway_with_an_ill_backend_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("context_chat_backend.http.readiness.LOOK_SECONDS", 0)
    served = Ill()
    with serving_gateway(tmp_path, served) as settings:
        served.ill = True
        findings = anyio.run(looked_at, settings, Patient())
    assert levels(findings)[0] == ("error", "gateway")
    assert "misconfigured" in findings[0].text
    assert "log" in findings[0].remedy


async def test_a_storage_in_use_without_a_gateway_that_answers_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with claimed_storage(tmp_path):
        findings = await looked_at(make_settings(tmp_path, app_port=port), Patient())
    assert levels(findings)[0] == ("error", "gateway")
    assert "APP_PORT" in findings[0].remedy


async def test_a_storage_that_cannot_be_used_does_not_pass_for_a_running_gateway(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    driver = Patient()
    (finding,) = await looked_at(make_settings(tmp_path / "file" / "storage"), driver)
    assert (finding.level, finding.subject) == (Level.ERROR, "backend")
    assert "cannot be used" in finding.text
    assert driver.times_opened == 0


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:10034"),
        ("0.0.0.0", "http://127.0.0.1:10034"),
        ("::", "http://[::1]:10034"),
        ("10.1.2.3", "http://10.1.2.3:10034"),
    ],
)
def test_the_gateway_is_asked_where_it_listens(tmp_path: Path, host: str, url: str) -> None:
    assert doctor.backend._address(make_settings(tmp_path, app_host=host)) == (url, None)


@contextmanager
def listening_at(app: ASGIApp, path: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()  # from here on connections wait until they are answered
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", lifespan="off"))
        thread = Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join(timeout=30)


async def test_behind_harp_the_gateway_is_asked_at_its_socket(tmp_path: Path) -> None:
    ready = Starlette(routes=[Route("/health/ready", lambda _: JSONResponse({"status": "ok"}))])
    settings = make_settings(tmp_path, hp_shared_key=SecretStr("x"), hp_exapp_sock=tmp_path / "exapp.sock")
    with listening_at(ready, settings.hp_exapp_sock):
        (finding,) = await doctor.backend.ask_gateway(settings)
    assert finding.level is Level.OK


# ------------------------------------------------------------------ Nextcloud

STATUS = {
    "installed": True,
    "maintenance": False,
    "needsDbUpgrade": False,
    "version": "33.0.0.1",
    "versionstring": "33.0.0",
    "edition": "",
    "productname": "Nextcloud",
    "extendedSupport": False,
}


class Cloud(FakeNextcloud):
    """The strict double with two routes more, which only the doctor asks."""

    status: dict[str, object] = STATUS
    task_types: dict[str, object] | list[object] = []  # noqa: RUF012 - replaced, never changed
    """PHP writes a list where there is none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._app.router.routes += [
            Route("/status.php", self._server_status),
            self._route("GET", "taskprocessing/tasktypes", self._task_types),
        ]

    async def _server_status(self, request: Request) -> Response:
        assert "authorization-app-api" not in request.headers
        return JSONResponse(self.status)

    async def _task_types(self, request: Request, user_id: str) -> object:
        return {"types": self.task_types}


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    cloud = Cloud()
    yield cloud
    assert not cloud.violations


def cloud_findings(app: ASGIApp, **settings: Any) -> list[Finding]:
    async def look() -> Sequence[Finding]:
        return await doctor.findings.guarded(
            "Nextcloud", lambda: doctor.nextcloud.check_nextcloud(make_settings(Path(), **settings))
        )

    with serving(app) as url:
        settings["nextcloud_url"] = url
        return list(anyio.run(look))


def test_a_healthy_nextcloud_is_ok(cloud: Cloud) -> None:
    findings = cloud_findings(cloud)
    assert levels(findings) == [("ok", "Nextcloud"), ("ok", "clock"), ("ok", "AppAPI"), ("ok", "Context Chat")]
    assert "33.0.0" in findings[0].text


def test_a_nextcloud_in_maintenance_is_a_warning(cloud: Cloud) -> None:
    cloud.status = STATUS | {"maintenance": True, "versionstring": ""}
    assert cloud_findings(cloud)[0].level is Level.WARNING


def test_a_wrong_secret_is_an_error_and_is_not_tried_again(cloud: Cloud) -> None:
    finding = of("AppAPI", cloud_findings(cloud, app_secret=SecretStr("hidden-wrong")))
    assert finding.level is Level.ERROR
    assert "APP_SECRET" in finding.remedy
    assert cloud.requests.count("GET /ocs/v1.php/apps/app_api/ex-app/state") == 1


def test_a_disabled_app_is_a_warning_and_not_asked_more(cloud: Cloud) -> None:
    cloud.enabled = False
    findings = cloud_findings(cloud)
    assert levels(findings)[-1] == ("warning", "AppAPI")
    assert "app:enable context_chat_backend" in findings[-1].remedy


@pytest.mark.parametrize(("pulls", "version"), [(True, "5.4 or later"), (False, "5.3 or earlier")])
def test_the_doctor_says_which_context_chat_it_is(cloud: Cloud, pulls: bool, version: str) -> None:
    cloud.pulls = pulls
    finding = of("Context Chat", cloud_findings(cloud))
    assert finding.level is Level.OK
    assert version in finding.text


@pytest.mark.parametrize(
    "answer",
    [HTMLResponse("<h1>A proxy</h1>"), RedirectResponse("https://elsewhere.example"), Response(status_code=502)],
)
def test_something_else_than_a_nextcloud_is_an_error(answer: Response) -> None:
    (finding,) = cloud_findings(answer)
    assert finding.level is Level.ERROR


async def test_without_a_nextcloud_there_is_a_warning() -> None:
    (finding,) = await doctor.nextcloud.check_nextcloud(make_settings(Path()))
    assert finding.level is Level.WARNING


@pytest.mark.parametrize(
    ("seconds", "level"), [(-59, Level.OK), (59, Level.OK), (61, Level.WARNING), (-3600, "warning")]
)
def test_clocks_that_differ_are_a_warning(seconds: int, level: Level) -> None:
    date = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    (finding,) = doctor.nextcloud.clock_findings(date, NOW)
    assert finding.level == level


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 01 May 2026 12:00:00 -0000"])
def test_a_date_that_cannot_be_compared_says_nothing(date: str) -> None:
    assert doctor.nextcloud.clock_findings(date, NOW) == []


# ------------------------------------------------------------------ answers

URL = "https://cloud.example"
LLM = "http://llm.example/v1"


@pytest.mark.parametrize(
    ("generator", "llm_base_url", "nextcloud_url"),
    [
        *product(["auto"], [None, LLM], [None, URL]),
        *product(["openai", "extractive"], [LLM], [None, URL]),
        ("nextcloud", LLM, URL),
    ],
)
async def test_the_gateway_opens_the_writer_that_its_settings_name(
    generator: Any, llm_base_url: str | None, nextcloud_url: str | None
) -> None:
    settings = AnswerSettings(generator=generator, llm_base_url=llm_base_url)
    async with AsyncExitStack() as stack:
        ocs = NextcloudClient(make_settings(Path(), nextcloud_url=nextcloud_url)) if nextcloud_url else None
        consumer = TaskConsumer(ocs, Webhooks()) if ocs is not None else None
        used = await _open_text_model(stack, settings, consumer)
    kinds = {"openai": OpenAIChat, "nextcloud": NextcloudText, "extractive": type(None)}
    assert isinstance(used, kinds[settings.writer(with_nextcloud=ocs is not None)])


async def generator_finding(nextcloud_url: str | None = None, **answers: Any) -> Finding:
    settings = make_settings(Path(), nextcloud_url=nextcloud_url)
    (finding,) = await doctor.findings.guarded(
        "answers", lambda: doctor.answers.check_generator(settings, AnswerSettings(**answers))
    )
    return finding


def models(*names: str, key: str = "hidden-key") -> Starlette:
    """The list of models of an OpenAI-compatible server."""

    def answer(request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {key}":
            return JSONResponse({"error": {"message": "Incorrect API key provided: hidden-"}}, 401)
        return JSONResponse({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})

    return Starlette(routes=[Route("/v1/models", answer)])


@pytest.mark.parametrize(
    ("app", "level"),
    [
        (models("llama"), Level.OK),
        (models("other"), Level.WARNING),
        (models("llama", key="another"), Level.ERROR),
        (Starlette(), Level.WARNING),
        (JSONResponse({"data": "nonsense"}), Level.WARNING),
        (HTMLResponse("<h1>A proxy</h1>"), Level.ERROR),
        (Response(status_code=502), Level.ERROR),
    ],
)
async def test_the_language_model_is_looked_for(app: ASGIApp, level: Level) -> None:
    with serving(app) as url:
        finding = await generator_finding(
            llm_base_url=f"{url}/v1/", llm_model="llama", llm_api_key=SecretStr("hidden-key")
        )
    assert finding.level is level, finding
    assert "hidden-" not in finding.text + finding.remedy


@pytest.mark.parametrize(
    ("task_types", "level"),
    [({"core:text2text": {}}, Level.OK), ({"core:audio2text": {}}, Level.ERROR), ([], Level.ERROR)],
)
async def test_a_text_model_of_nextcloud_is_looked_for(cloud: Cloud, task_types: Any, level: Level) -> None:
    cloud.task_types = task_types
    with serving(cloud) as url:
        assert (await generator_finding(url)).level is level


async def test_a_nextcloud_that_does_not_tell_its_text_model_is_no_error() -> None:
    with serving(JSONResponse({"ocs": {"meta": {"status": "failure", "statuscode": 997}, "data": []}}, 401)) as url:
        assert (await generator_finding(url)).level is Level.OK


async def test_no_model_is_a_warning_unless_it_is_wanted() -> None:
    assert (await generator_finding()).level is Level.WARNING
    assert (await generator_finding(generator="extractive")).level is Level.OK


async def test_a_backend_that_answers_is_told_apart_from_the_generator(tmp_path: Path) -> None:
    class Answering(ReferenceDriver):
        capabilities = Capabilities(answers=True)

    findings = await doctor.answers.check_answers(plan_gateway(make_settings(tmp_path), {}, Answering()))
    assert levels(findings) == [("ok", "answers"), ("warning", "answers")]
    assert "the backend itself writes" in findings[0].text
