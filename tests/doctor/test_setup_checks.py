"""What a running gateway shows in Nextcloud's list of setup checks."""

import json
from collections.abc import Sequence
from pathlib import Path

import anyio
import httpx
import pytest
from pydantic import SecretStr

from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import DriverError, Finding, Level, Misconfigured, Unavailable
from context_chat_backend.doctor import setup_checks
from context_chat_backend.doctor.findings import ok, problem, warning
from context_chat_backend.doctor.setup_checks import SetupChecks, look, to_show
from context_chat_backend.gateway import open_gateway, plan_gateway
from context_chat_backend.metrics import Metrics
from tests.gateway import headers, make_settings, running_gateway

pytestmark = pytest.mark.anyio

GOOD_SECRET = SecretStr("0123456789abcdefghijklmn")
WANTED = {"CC_GENERATOR": "extractive"}
APPAPI_SECONDS = 5
APPAPI_BYTES = 256 * 1024


class Sick(ReferenceDriver):
    def __init__(self, illness: DriverError | None) -> None:
        super().__init__()
        self.illness = illness
        self.pings = 0

    async def ping(self) -> None:
        self.pings += 1
        if self.illness is not None:
            raise self.illness


def shown(folder: Path, illness: DriverError | None = None, **variables: str) -> dict[str, dict[str, str]]:
    """The answer as AppAPI reads it."""
    driver = Sick(None)
    settings = make_settings(folder, rag_backend="reference", app_secret=GOOD_SECRET)
    with running_gateway(settings, driver, WANTED | variables) as nextcloud:
        nextcloud.http.headers.update(headers(GOOD_SECRET.get_secret_value()))
        driver.illness = illness
        response = nextcloud.http.get("/setup_checks", timeout=APPAPI_SECONDS)
    assert response.status_code == 200
    assert int(response.headers["content-length"]) == len(response.content) <= APPAPI_BYTES
    assert response.headers["cache-control"] == "no-store"
    return dict(response.json())


def test_a_healthy_gateway_shows_nothing(tmp_path: Path) -> None:
    assert shown(tmp_path) == {}


@pytest.mark.parametrize(
    "illness", [Misconfigured("password of secret-host refused"), Unavailable("http://secret-host:7272 failed")]
)
def test_a_backend_that_does_not_work_is_shown_without_its_address(tmp_path: Path, illness: DriverError) -> None:
    checks = shown(tmp_path, illness)
    assert [(id_, check["status"]) for id_, check in checks.items()] == [("backend", "error")]
    assert "ccbe check" in checks["backend"]["text"]
    assert "secret-host" not in json.dumps(checks)


def test_a_language_model_that_cannot_be_reached_is_shown_without_its_address(tmp_path: Path) -> None:
    checks = shown(tmp_path, CC_GENERATOR="openai", CC_LLM_BASE_URL="http://127.0.0.1:1/v1", CC_LLM_API_KEY="hidden")
    assert checks["answers"]["status"] == "error"
    assert "127.0.0.1" not in json.dumps(checks)
    assert "hidden" not in json.dumps(checks)


def test_a_secret_that_is_easy_to_guess_is_a_warning(tmp_path: Path) -> None:
    with running_gateway(make_settings(tmp_path, rag_backend="reference"), ReferenceDriver(), WANTED) as nextcloud:
        checks = nextcloud.http.get("/setup_checks").json()
    assert {id_: check["status"] for id_, check in checks.items()} == {"app_secret": "warning"}


def test_it_is_for_nextcloud_only_and_also_while_the_app_is_disabled(tmp_path: Path) -> None:
    with running_gateway(make_settings(tmp_path, rag_backend="reference"), ReferenceDriver(), WANTED) as nextcloud:
        assert httpx.get(f"{nextcloud.base_url}/setup_checks").status_code == 401
        nextcloud.http.put("/enabled?enabled=0")
        assert nextcloud.http.get("/setup_checks").status_code == 200


# ------------------------------------------------------------------ cheap


async def test_a_look_is_remembered_between_two_that_ask(tmp_path: Path) -> None:
    now = 1000.0
    driver = Sick(None)
    settings = make_settings(tmp_path, rag_backend="reference", app_secret=GOOD_SECRET)
    async with open_gateway(plan_gateway(settings, WANTED, driver), Metrics()) as gateway:
        with anyio.fail_after(30):
            while await gateway.chat.problem() is not None:  # noqa: ASYNC110 - there is no event for it
                await anyio.sleep(0.01)
        checks = SetupChecks(gateway, clock=lambda: now)
        driver.pings = 0
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(checks.findings)
        assert driver.pings == 1
        now += setup_checks.FRESH_SECONDS - 1
        driver.illness = Unavailable("down")
        assert await checks.findings() == []
        now += 1
        assert [finding.subject for finding in await checks.findings()] == ["backend"]


async def test_a_check_that_hangs_is_an_error_in_time_and_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_checks, "LOOK_SECONDS", 0.1)

    async def hangs() -> Sequence[Finding]:
        await anyio.sleep_forever()
        return []

    async def breaks() -> Sequence[Finding]:
        raise ValueError("hidden")

    async def warns() -> Sequence[Finding]:
        return [warning("disk", "little", "Free some.")]

    with anyio.fail_after(5):
        findings = await look({"one": hangs, "two": breaks, "three": warns})
    assert [(finding.subject, finding.level) for finding in findings] == [
        ("one", "error"),
        ("two", "error"),
        ("disk", "warning"),
    ]
    assert "hidden" not in str(findings)


def test_a_look_is_over_before_nextcloud_stops_waiting() -> None:
    assert setup_checks.LOOK_SECONDS < APPAPI_SECONDS


# ------------------------------------------------------------------ what is shown


def test_errors_come_first_and_no_more_than_nextcloud_shows() -> None:
    findings = [warning("w", str(number), "mend") for number in range(20)]
    findings += [ok("fine", "yes"), problem("e", "x" * 10_000, "mend")]
    listed = to_show(findings)
    assert len(listed) == 16
    assert [finding.level for finding in listed[:2]] == [Level.ERROR, Level.WARNING]
    assert all(len(finding.text) <= setup_checks.MOST_CHARACTERS for finding in listed)


@pytest.mark.parametrize(
    "text", ["GET http://10.0.0.1:80/v1 failed", "postgresql://a:b@10.0.0.1/x", "at HTTPS://10.0.0.1, then"]
)
def test_addresses_of_other_systems_are_left_out(text: str) -> None:
    (finding,) = to_show([problem("answers", text, "")])
    assert "10.0.0.1" not in finding.text
    assert "(address)" in finding.text
