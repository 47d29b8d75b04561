"""A gateway and a Nextcloud, each on its own socket or the gateway without one."""

import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import anyio
import pytest
from anyio import to_thread
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from context_chat_backend import lifecycle
from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import Capabilities, DriverError, Misconfigured, Unavailable
from context_chat_backend.gateway import Gateway, open_gateway, plan_gateway
from context_chat_backend.layers import opening as startup
from context_chat_backend.metrics import Metrics
from context_chat_backend.nextcloud import refusals
from context_chat_backend.nextcloud.push_client import part
from tests.doubles.nextcloud import EXAPP_REQUIRED, MAINTENANCE, RATE_LIMITED, FakeNextcloud, serving
from tests.gateway import make_settings, running_gateway

pytestmark = pytest.mark.anyio

NOWHERE = "http://127.0.0.1:1"
STATE = "GET /ocs/v1.php/apps/app_api/ex-app/state"
STATUS = "PUT /ocs/v1.php/apps/app_api/ex-app/status"
SETUP_CHECKS = "POST /ocs/v1.php/apps/app_api/api/v1/setup_check"
RUNNING = (50, "")
DONE = (100, "")


class Opening(ReferenceDriver):
    """Fails to open in these ways, one after the other, the last one forever unless it is None."""

    def __init__(self, *failures: DriverError | None) -> None:
        super().__init__()
        self.failures = deque(failures)
        self.when_opened: Callable[[], None] = lambda: None

    async def __aenter__(self) -> Self:
        failure = self.failures.popleft() if len(self.failures) > 1 else self.failures[0]
        if failure is not None:
            raise failure
        self.when_opened()
        return self


@pytest.fixture
def nextcloud() -> Iterator[FakeNextcloud]:
    nextcloud = FakeNextcloud(enabled=False)
    yield nextcloud
    assert not nextcloud.violations


@pytest.fixture
def url(nextcloud: FakeNextcloud) -> Iterator[str]:
    with serving(nextcloud) as url:
        yield url


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(lifecycle, "LOOK_INTERVAL", 0.01)
    monkeypatch.setattr(lifecycle, "REPORT_INTERVAL", 0.01)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state is asked for all the time, not only at the start."""
    monkeypatch.setattr(lifecycle, "POLL_INTERVAL", 0.01)
    monkeypatch.setattr(refusals, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(refusals, "LONGEST_PAUSE", 0.01)


def told(nextcloud: FakeNextcloud) -> list[tuple[int, str]]:
    """What was reported, without the progress of a backend that is being opened, which may be too fast for it."""
    return [report for report in nextcloud.reports if report != RUNNING]


def asked(nextcloud: FakeNextcloud) -> list[str]:
    """The requests, without those about setup checks."""
    return [request for request in nextcloud.requests if request != SETUP_CHECKS]


@asynccontextmanager
async def opened(folder: Path, url: str | None, driver: ReferenceDriver | None = None) -> AsyncIterator[Gateway]:
    settings = make_settings(folder, nextcloud_url=url, rag_backend="reference", intake="push")
    async with open_gateway(plan_gateway(settings, {}, driver or ReferenceDriver()), Metrics()) as gateway:
        yield gateway


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(60):
        while not condition():  # noqa: ASYNC110 - what it waits for is in another thread
            await anyio.sleep(0.005)


# ------------------------------------------------------------------ the whole start


async def test_deploying_enables_the_app(tmp_path: Path, nextcloud: FakeNextcloud, url: str) -> None:
    with running_gateway(make_settings(tmp_path, nextcloud_url=url), ReferenceDriver()) as gateway:
        nextcloud.gateway_url = gateway.base_url
        assert gateway.http.get("/enabled").json() == {"enabled": False}
        await nextcloud.deploy()
        await until(lambda: gateway.http.get("/enabled").json() == {"enabled": True})
        assert (told(nextcloud), nextcloud.error) == ([DONE], "")
        assert gateway.load(part("files__default: 1")).json()["loaded_sources"] == ["files__default: 1"]


async def test_a_second_deployment_works_like_the_first(tmp_path: Path, nextcloud: FakeNextcloud, url: str) -> None:
    with running_gateway(make_settings(tmp_path, nextcloud_url=url), ReferenceDriver()) as gateway:
        nextcloud.gateway_url = gateway.base_url
        for count in (1, 2):
            await nextcloud.deploy()
            await until(lambda: len(told(nextcloud)) == count)  # noqa: B023 - called in this round only
        await until(lambda: gateway.http.get("/enabled").json() == {"enabled": True})
        assert (told(nextcloud), nextcloud.enabled) == ([DONE, DONE], True)


DATA = {
    ("PUT", "/loadSources"): None,
    ("POST", "/query"): {"query": "whale", "userId": "alice"},
    ("POST", "/docSearch"): {"query": "whale", "userId": "alice"},
    ("POST", "/countIndexedDocuments"): None,
    ("POST", "/updateAccess"): {"op": "allow", "userIds": ["alice"], "sourceId": "files__default: 1"},
    ("POST", "/updateAccessProvider"): {"op": "allow", "userIds": ["alice"], "providerId": "files__default"},
    ("POST", "/updateAccessDeclarative"): {"userIds": ["alice"], "sourceId": "files__default: 1"},
    ("POST", "/deleteSources"): {"sourceIds": ["files__default: 1"]},
    ("POST", "/deleteProvider"): {"providerKey": "files__default"},
    ("POST", "/deleteUser"): {"userId": "alice"},
}


async def test_a_disabled_app_serves_no_data_and_says_so(tmp_path: Path) -> None:
    with running_gateway(make_settings(tmp_path), ReferenceDriver()) as gateway:
        assert gateway.http.put("/enabled?enabled=0").json() == {"error": ""}
        for (method, path), body in DATA.items():
            response = gateway.http.request(method, path, json=body)
            assert (response.status_code, set(response.json())) == (503, {"error"}), path
            assert "cc-retry" not in response.headers
        assert gateway.http.get("/heartbeat").json() == {"status": "ok"}
        assert gateway.http.put("/enabled?enabled=1").json() == {"error": ""}
        assert gateway.http.post("/countIndexedDocuments").status_code == 200


# ------------------------------------------------------------------ init


async def test_the_end_of_the_initialisation_is_told_once_the_backend_is_open(
    tmp_path: Path, nextcloud: FakeNextcloud, url: str
) -> None:
    nextcloud.enabled = True
    driver = Opening(*[Unavailable("connection refused")] * 6, None)
    told_before: list[tuple[int, str]] = []
    driver.when_opened = lambda: told_before.extend(nextcloud.reports)
    async with opened(tmp_path, url, driver) as gateway:
        gateway.lifecycle.start_init()
        await until(lambda: DONE in nextcloud.reports)
    assert (told_before, nextcloud.reports) == ([RUNNING], [RUNNING, DONE])


async def test_what_an_admin_has_to_mend_is_shown_until_it_is_mended(
    tmp_path: Path, nextcloud: FakeNextcloud, url: str
) -> None:
    nextcloud.enabled = True
    driver = Opening(Misconfigured("the password is refused"))
    async with opened(tmp_path, url, driver) as gateway:
        gateway.lifecycle.start_init()
        await until(lambda: nextcloud.error == "the password is refused")
        driver.failures[0] = Misconfigured("the database is too old")
        await until(lambda: nextcloud.error == "the database is too old")
        driver.failures[0] = None
        await until(lambda: nextcloud.init == 100)
    assert nextcloud.error == ""
    assert told(nextcloud) == [(0, "the password is refused"), (0, "the database is too old"), (0, ""), DONE]


async def test_a_backend_that_stays_down_is_shown(
    tmp_path: Path, nextcloud: FakeNextcloud, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nextcloud.enabled = True
    monkeypatch.setattr(lifecycle, "PATIENCE", 0)
    async with opened(tmp_path, url, Opening(Unavailable("connection refused"))) as gateway:
        gateway.lifecycle.start_init()
        await until(lambda: nextcloud.error == "connection refused")


async def test_the_progress_is_told_again_while_nextcloud_is_down(
    tmp_path: Path, nextcloud: FakeNextcloud, url: str
) -> None:
    nextcloud.enabled = True
    async with opened(tmp_path, url) as gateway:
        await until(lambda: nextcloud.requests == [STATE, SETUP_CHECKS])
        nextcloud.script.extend([MAINTENANCE, RATE_LIMITED, HTMLResponse("a proxy's page")])
        gateway.lifecycle.start_init()
        await until(lambda: told(nextcloud))
    assert asked(nextcloud)[:5] == [STATE, *[STATUS] * 4]


async def test_many_inits_at_once_are_one_and_a_later_one_is_another(
    tmp_path: Path, nextcloud: FakeNextcloud, url: str
) -> None:
    nextcloud.enabled = True
    driver = Opening(Misconfigured("the password is refused"))
    async with opened(tmp_path, url, driver) as gateway:
        for _ in range(3):
            gateway.lifecycle.start_init()
        await until(lambda: nextcloud.error)
        driver.failures[0] = None
        await until(lambda: DONE in nextcloud.reports)
        gateway.lifecycle.start_init()
        await until(lambda: nextcloud.reports.count(DONE) == 2)
    assert told(nextcloud) == [(0, "the password is refused"), (0, ""), DONE, DONE]


async def test_a_restart_takes_up_an_initialisation_that_was_not_finished(
    tmp_path: Path, nextcloud: FakeNextcloud, url: str
) -> None:
    nextcloud.enabled = True
    async with opened(tmp_path, url, Opening(Misconfigured("the password is refused"))) as gateway:
        gateway.lifecycle.start_init()
        await until(lambda: nextcloud.error)
    async with opened(tmp_path, url):
        await until(lambda: nextcloud.init == 100)


async def test_a_refused_report_is_not_repeated_before_a_restart(
    tmp_path: Path, nextcloud: FakeNextcloud, url: str, often: None
) -> None:
    async with opened(tmp_path, url) as gateway:
        gateway.lifecycle.start_init()  # of an app that is disabled
        await until(lambda: STATUS in nextcloud.requests)
        polls = nextcloud.requests.count(STATE)
        await until(lambda: nextcloud.requests.count(STATE) > polls + 3)
    assert nextcloud.requests.count(STATUS) == 1
    nextcloud.enabled = True
    async with opened(tmp_path, url):
        await until(lambda: told(nextcloud) == [DONE])


async def test_a_finished_initialisation_is_not_repeated_by_a_restart(
    tmp_path: Path, nextcloud: FakeNextcloud, url: str, often: None
) -> None:
    nextcloud.enabled = True
    async with opened(tmp_path, url) as gateway:
        gateway.lifecycle.start_init()
        await until(lambda: told(nextcloud))
        polls = nextcloud.requests.count(STATE)
        await until(lambda: nextcloud.requests.count(STATE) > polls + 3)
    polls = nextcloud.requests.count(STATE)
    async with opened(tmp_path, url):
        await until(lambda: nextcloud.requests.count(STATE) > polls + 3)
    assert told(nextcloud) == [DONE]


async def test_without_a_nextcloud_init_is_harmless(tmp_path: Path) -> None:
    async with opened(tmp_path, None) as gateway:
        gateway.lifecycle.start_init()
        assert gateway.lifecycle.enabled.value


# ------------------------------------------------------------------ enabled


async def test_a_new_app_is_disabled_if_and_only_if_there_is_a_nextcloud_to_enable_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "with", NOWHERE) as gateway:
        assert not gateway.lifecycle.enabled.value
    async with opened(tmp_path / "without", None) as gateway:
        assert gateway.lifecycle.enabled.value


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("address", [None, NOWHERE])
async def test_the_state_outlives_a_restart(tmp_path: Path, enabled: bool, address: str | None) -> None:
    async with opened(tmp_path, address) as gateway:
        await gateway.lifecycle.set_enabled(not enabled)
        await gateway.lifecycle.set_enabled(enabled)
    async with opened(tmp_path, address) as gateway:
        assert gateway.lifecycle.enabled.value is enabled


@pytest.mark.usefixtures("often")
async def test_a_missed_change_is_noticed(tmp_path: Path, nextcloud: FakeNextcloud, url: str) -> None:
    async with opened(tmp_path, url) as gateway:
        for state in (True, False, True):
            nextcloud.enabled = state
            await until(lambda: gateway.lifecycle.enabled.value is state)  # noqa: B023 - called in this round only


def ocs(data: object) -> Response:
    return JSONResponse({"ocs": {"meta": {"status": "ok", "statuscode": 100, "message": "OK"}, "data": data}})


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize(
    "answer",
    [
        JSONResponse({"message": "AppAPI authentication failed"}, 401),
        EXAPP_REQUIRED,
        RATE_LIMITED,
        MAINTENANCE,
        HTMLResponse("a login page"),
        *map(ocs, [None, [], {}, "", 2, "enabled", {"enabled": False}]),
    ],
)
@pytest.mark.usefixtures("often")
async def test_an_answer_that_does_not_tell_keeps_the_state(
    tmp_path: Path, nextcloud: FakeNextcloud, url: str, answer: Response, enabled: bool
) -> None:
    nextcloud.script.extend([answer] * 10_000)
    async with opened(tmp_path, url) as gateway:
        await gateway.lifecycle.set_enabled(enabled)
        await until(lambda: len(nextcloud.requests) > 3)
        assert gateway.lifecycle.enabled.value is enabled


@pytest.mark.usefixtures("often")
async def test_a_put_wins_over_an_answer_that_is_on_its_way(
    tmp_path: Path, nextcloud: FakeNextcloud, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    was_put = threading.Event()

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await to_thread.run_sync(was_put.wait)
        await ocs(0)(scope, receive, send)

    nextcloud.script.append(late)  # type: ignore[arg-type]
    async with opened(tmp_path, url) as gateway:
        await until(lambda: nextcloud.requests)
        nextcloud.enabled = True
        await gateway.lifecycle.set_enabled(True)
        was_put.set()
        await until(lambda: len(nextcloud.requests) > 2)
    assert "disabled" not in caplog.text


async def test_of_two_changes_at_once_the_later_one_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path, None) as gateway:
        disk_is_slow, write = anyio.Event(), gateway.state.set_flag

        async def write_slowly(name: str, value: str) -> None:
            await disk_is_slow.wait()
            await write(name, value)

        monkeypatch.setattr(gateway.state, "set_flag", write_slowly)
        async with anyio.create_task_group() as tasks:
            for enabled in (False, True):
                tasks.start_soon(gateway.lifecycle.set_enabled, enabled)
                await anyio.wait_all_tasks_blocked()
            disk_is_slow.set()
        assert gateway.lifecycle.enabled.value
        assert await gateway.state.flag(lifecycle.ENABLED) == "1"


# ------------------------------------------------------------------ init, meanwhile


async def test_an_init_that_comes_again_is_told_again_what_is_wrong(
    tmp_path: Path, nextcloud: FakeNextcloud, url: str
) -> None:
    """AppAPI forgets progress and error when it asks again."""
    nextcloud.enabled = True
    driver = Opening(Misconfigured("the password is refused"))
    async with opened(tmp_path, url, driver) as gateway:
        gateway.lifecycle.start_init()
        await until(lambda: nextcloud.error)
        nextcloud.init, nextcloud.error = 0, ""
        gateway.lifecycle.start_init()
        await until(lambda: nextcloud.error == "the password is refused")
        driver.failures[0] = None
        await until(lambda: nextcloud.init == 100)
    assert told(nextcloud).count(DONE) == 1
    assert nextcloud.error == ""


async def test_an_app_that_is_disabled_while_it_initialises_is_not_enabled_by_that(
    tmp_path: Path, nextcloud: FakeNextcloud, url: str
) -> None:
    nextcloud.enabled = True
    driver = Opening(Misconfigured("the password is refused"))
    async with opened(tmp_path, url, driver) as gateway:
        gateway.lifecycle.start_init()
        await until(lambda: nextcloud.error)
        await gateway.lifecycle.set_enabled(False)
        driver.failures[0] = None
        await until_open(gateway)
        await anyio.sleep(10 * lifecycle.LOOK_INTERVAL)
        assert DONE not in nextcloud.reports
    async with opened(tmp_path, url) as gateway:
        await until_open(gateway)
        await anyio.sleep(10 * lifecycle.LOOK_INTERVAL)
        assert DONE not in nextcloud.reports
        await gateway.lifecycle.set_enabled(True)
        await until(lambda: DONE in nextcloud.reports)


async def until_open(gateway: Gateway) -> None:
    with anyio.fail_after(60):
        while await gateway.chat.problem() is not None:  # noqa: ASYNC110 - there is no event for it
            await anyio.sleep(0.005)


async def test_a_report_that_was_refused_is_made_when_the_app_is_enabled(
    tmp_path: Path, nextcloud: FakeNextcloud, url: str
) -> None:
    async with opened(tmp_path, url) as gateway:
        gateway.lifecycle.start_init()  # of an app that is disabled
        await until(lambda: STATUS in nextcloud.requests)
        await anyio.sleep(0.1)
        nextcloud.enabled = True
        await gateway.lifecycle.set_enabled(True)
        await until(lambda: told(nextcloud) == [DONE])


async def test_the_enabling_at_the_end_of_the_initialisation_is_no_reason_for_another(
    tmp_path: Path, nextcloud: FakeNextcloud, url: str
) -> None:
    with running_gateway(make_settings(tmp_path, nextcloud_url=url), ReferenceDriver()) as gateway:
        nextcloud.gateway_url = gateway.base_url
        await nextcloud.deploy()
        await until(lambda: gateway.http.get("/enabled").json() == {"enabled": True})
        await anyio.sleep(0.2)
    assert told(nextcloud) == [DONE]


# ------------------------------------------------------------------ setup checks


async def test_the_setup_checks_are_offered_each_time_the_app_is_enabled(
    tmp_path: Path, nextcloud: FakeNextcloud, url: str
) -> None:
    nextcloud.has_setup_checks = True
    async with opened(tmp_path, url) as gateway:
        await until(lambda: nextcloud.requests == [STATE])
        nextcloud.enabled = True
        await gateway.lifecycle.set_enabled(True)
        await until(lambda: nextcloud.offered_setup_checks == 1)
        await gateway.lifecycle.set_enabled(False)
        await anyio.wait_all_tasks_blocked()
        assert nextcloud.offered_setup_checks == 1
        await gateway.lifecycle.set_enabled(True)
        await until(lambda: nextcloud.offered_setup_checks == 2)


async def test_a_nextcloud_without_setup_checks_is_asked_once_and_nobody_is_told(
    tmp_path: Path, nextcloud: FakeNextcloud, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    nextcloud.enabled = True
    async with opened(tmp_path, url) as gateway:
        await until(lambda: SETUP_CHECKS in nextcloud.requests)
        await anyio.sleep(0.1)
        await gateway.lifecycle.set_enabled(False)
        await gateway.lifecycle.set_enabled(True)
    assert nextcloud.requests.count(SETUP_CHECKS) <= 2
    assert "setup checks" not in caplog.text


@pytest.mark.parametrize("status", [404, 405])
async def test_a_proxy_without_the_route_of_setup_checks_is_no_failure(
    tmp_path: Path, nextcloud: FakeNextcloud, url: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path, url) as gateway:
        await until(lambda: nextcloud.requests == [STATE])
        nextcloud.script.append(HTMLResponse("not here", status))
        await gateway.lifecycle.set_enabled(True)
        await until(lambda: SETUP_CHECKS in nextcloud.requests)
        await anyio.sleep(0.1)
    assert "setup checks" not in caplog.text


async def test_a_nextcloud_that_is_down_is_offered_the_setup_checks_again(
    tmp_path: Path, nextcloud: FakeNextcloud, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "OFFER_PAUSE", 0.01)
    nextcloud.has_setup_checks = True
    async with opened(tmp_path, url) as gateway:
        await until(lambda: nextcloud.requests == [STATE])
        nextcloud.enabled = True
        nextcloud.script.extend([MAINTENANCE, MAINTENANCE])
        await gateway.lifecycle.set_enabled(True)
        await until(lambda: nextcloud.offered_setup_checks == 1)


async def test_a_process_that_nextcloud_does_not_call_asks_often_and_offers_nothing(
    tmp_path: Path, nextcloud: FakeNextcloud, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Shared(ReferenceDriver):
        capabilities = Capabilities(shared=True)

    monkeypatch.setattr(lifecycle, "UNCALLED_POLL_INTERVAL", 0.01)
    settings = make_settings(tmp_path, nextcloud_url=url, rag_backend="reference", intake="push", app_role="indexing")
    settings.app_persistent_storage.mkdir(parents=True)
    async with open_gateway(plan_gateway(settings, {}, Shared()), Metrics()) as gateway:
        await until(lambda: nextcloud.requests.count(STATE) > 3)
        nextcloud.enabled = True
        await until(lambda: gateway.lifecycle.enabled.value)
        polls = nextcloud.requests.count(STATE)
        await until(lambda: nextcloud.requests.count(STATE) > polls + 3)
    assert set(nextcloud.requests) == {STATE}


# ------------------------------------------------------------------ refusals


async def test_a_wrong_secret_does_not_lock_the_address_out(
    tmp_path: Path, nextcloud: FakeNextcloud, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half an hour of a gateway that is enabled, as it remembers, and whose secret Nextcloud does not know any more."""
    scale = 1000
    monkeypatch.setattr(lifecycle, "POLL_INTERVAL", lifecycle.POLL_INTERVAL / scale)
    monkeypatch.setattr(lifecycle, "OFFER_PAUSE", lifecycle.OFFER_PAUSE / scale)
    monkeypatch.setattr(refusals, "FIRST_PAUSE", refusals.FIRST_PAUSE / scale)
    monkeypatch.setattr(refusals, "LONGEST_PAUSE", refusals.LONGEST_PAUSE / scale)
    async with opened(tmp_path, None) as gateway:
        await gateway.lifecycle.set_enabled(True)
    nextcloud.secret = "another"
    async with opened(tmp_path, url):
        await anyio.sleep(1800 / scale)
    assert 0 < nextcloud.failed_logins <= 10
    assert not nextcloud.violations


async def test_a_call_with_the_right_secret_ends_the_pause_after_a_refusal(
    tmp_path: Path, nextcloud: FakeNextcloud, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "POLL_INTERVAL", 0.01)
    nextcloud.script.append(EXAPP_REQUIRED)
    async with opened(tmp_path, url) as gateway:
        await until(lambda: nextcloud.requests == [STATE])
        await anyio.sleep(0.2)
        assert nextcloud.requests == [STATE]
        assert gateway.lifecycle.problem is not None
        gateway.lifecycle.start_init()
        await until(lambda: nextcloud.requests.count(STATE) > 1)
        await until(lambda: gateway.lifecycle.problem is None)
