"""How the driver logs in, and what it makes of R2R's refusals and failures."""

import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
import httpx
import pytest
from pydantic import ValidationError

from backends.r2r import auth
from backends.r2r.client import R2RClient
from backends.r2r.driver import R2RDriver
from backends.r2r.settings import R2RSettings
from context_chat_backend.contract import (
    AccessOp,
    Busy,
    DriverError,
    Misconfigured,
    Outcome,
    Query,
    Unavailable,
)

from .r2r_stage import (
    ALICE,
    BOB,
    DOCUMENTS,
    FILES,
    SEARCH,
    WHALE,
    Hook,
    Stage,
    found,
    reset,
    source_id,
    texts,
    time_out,
)

pytestmark = pytest.mark.anyio

LOGIN = "POST users/login"

Work = Callable[[R2RDriver, Stage], Awaitable[object]]


# ---------------------------------------------------------------------- credentials


async def test_many_requests_at_once_log_in_once(stage: Stage) -> None:
    async with R2RClient(stage.settings(), stage.wire) as client, anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(client.account)
    assert Counter(stage.wire.calls) == {LOGIN: 1, "GET users/me": 8}


@pytest.fixture
def old_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal of any token may be about its age."""
    monkeypatch.setattr(auth, "FRESH_SECONDS", 0.0)


@pytest.mark.usefixtures("old_token")
async def test_an_expired_token_is_replaced_once_and_the_request_repeated(stage: Stage, driver: R2RDriver) -> None:
    stage.double.expire_tokens()
    stage.wire.requests.clear()
    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(driver.ping)
    assert stage.wire.calls.count(LOGIN) == 1
    assert set(stage.wire.calls) == {LOGIN, "GET collections"}


@pytest.mark.usefixtures("old_token")
async def test_an_upload_is_repeated_in_full(stage: Stage, driver: R2RDriver) -> None:
    async def expire(_: httpx.Request) -> None:
        if len(stage.wire.uploads) == 1:
            stage.double.expire_tokens()

    with stage.failing(expire):
        assert await driver.upsert(stage.source(1)) is Outcome.CREATED
    assert stage.wire.uploads == ["content.txt"] * 2
    assert await texts(driver, ALICE) == [WHALE]


@pytest.mark.parametrize("account", ["admin@example.com", "nobody@example.com"])
async def test_a_wrong_password_names_the_variables_and_nothing_secret(stage: Stage, account: str) -> None:
    with pytest.raises(Misconfigured, match="R2R_USER, R2R_PASSWORD") as raised:
        async with stage.driver(user=account, password="hunter2"):  # never entered
            pass
    told = f"{raised.value!r} {raised.value.__cause__!r} {raised.value.__context__!r}"
    assert "hunter2" not in told


@pytest.mark.parametrize("kind", ["api_key", "api_token"])
async def test_a_refused_key_names_the_variables_and_nothing_secret(stage: Stage, kind: str) -> None:
    with pytest.raises(Misconfigured, match=f"R2R_{kind.upper()}") as raised:
        async with stage.driver(**{kind: "hunter2"}):  # never entered
            pass
    assert "hunter2" not in repr(raised.value)


@pytest.mark.parametrize(
    ("kind", "header", "scheme"), [("api_key", "X-API-Key", ""), ("api_token", "Authorization", "Bearer ")]
)
async def test_a_key_is_sent_as_it_is_and_alone(stage: Stage, kind: str, header: str, scheme: str) -> None:
    key = stage.double.superuser.api_key
    async with stage.driver(**{kind: key}) as driver:
        await driver.upsert(stage.source(1))
        assert await found(driver, ALICE) == {source_id(1)}
    for request in stage.wire.requests:
        assert request.headers[header] == scheme + key
        assert (
            len({"X-API-Key", "Authorization"} & {name.title().replace("Api", "API") for name in request.headers}) == 1
        )
    assert LOGIN not in stage.wire.calls


@pytest.mark.parametrize(
    "credentials",
    [
        {"user": "a", "password": "secret", "api_key": "secret"},
        {"api_key": "secret", "api_token": "secret"},
        {"user": "a", "api_token": "secret"},
        {"user": "a"},
        {"password": "secret"},
    ],
    ids="+".join,
)
def test_no_or_half_credentials_are_refused_and_not_shown(credentials: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="R2R_") as raised:
        R2RSettings.model_validate({"base_url": "http://r2r", **credentials})
    assert "secret" not in str(raised.value)


async def test_a_login_through_a_broken_proxy_is_tried_again_later(stage: Stage) -> None:
    stage.double.fail_next("POST", "/v3/users/login", 200, "<html>", text=True)
    with pytest.raises(Unavailable):
        async with stage.driver():
            pass


# ---------------------------------------------------------------------- the models behind R2R


@pytest.mark.parametrize("status", ["connection", 401, 429, 500, 503])
@pytest.mark.parametrize("fresh", [True, False], ids=["fresh token", "old token"])
async def test_trouble_with_the_embedding_model_passes(
    stage: Stage, driver: R2RDriver, monkeypatch: pytest.MonkeyPatch, status: int, fresh: bool
) -> None:
    await driver.upsert(stage.source(2))
    if not fresh:
        monkeypatch.setattr(auth, "FRESH_SECONDS", 0.0)
    stage.double.provider_down, stage.double.provider_status = True, status  # type: ignore[assignment]
    with pytest.raises(Unavailable):
        await driver.upsert(stage.source(1))
    with pytest.raises(Unavailable):
        await driver.search(Query(user_id=ALICE, text="whale", limit=5))
    with pytest.raises(Unavailable):
        await driver.answer(Query(user_id=ALICE, text="whale", limit=5))
    stage.double.provider_down = False
    assert await driver.upsert(stage.source(1)) is Outcome.CREATED


async def test_a_document_is_not_sent_twice_for_a_key_that_is_not_ours(stage: Stage, driver: R2RDriver) -> None:
    stage.double.provider_down, stage.double.provider_status = True, 401
    with pytest.raises(Unavailable, match="model provider"):
        await driver.upsert(stage.source(1))
    assert len(stage.wire.uploads) == 1


async def test_trouble_with_the_language_model_passes_and_searches_go_on(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1))
    stage.double.chat_down = True
    with pytest.raises(Unavailable):
        await driver.answer(Query(user_id=ALICE, text="whale", limit=5))
    assert await found(driver, ALICE) == {source_id(1)}


async def test_access_changes_need_no_model(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, users=[ALICE, BOB]))
    stage.double.provider_down = stage.double.chat_down = True
    await driver.update_access(AccessOp.DENY, source_id(1), {BOB})
    await driver.update_provider_access(AccessOp.ALLOW, FILES, {BOB})
    await driver.delete_user(BOB)
    assert stage.readers(stage.only()) == {ALICE}
    await driver.delete_provider(FILES)
    assert stage.stored() == []


# ---------------------------------------------------------------------- refusals and failures


async def search(driver: R2RDriver, stage: Stage) -> None:
    await driver.search(Query(user_id=ALICE, text="whale", limit=5))


async def upsert(driver: R2RDriver, stage: Stage) -> None:
    await driver.upsert(stage.source(2))


async def look_up(driver: R2RDriver, stage: Stage) -> None:
    await driver.set_access(source_id(1), {ALICE})


async def ping(driver: R2RDriver, stage: Stage) -> None:
    await driver.ping()


@dataclass(frozen=True)
class Step:
    """An operation and the request of it that goes wrong."""

    work: Work
    method: str
    path: str


STEPS = (
    Step(search, "POST", SEARCH),
    Step(upsert, "POST", DOCUMENTS),
    Step(look_up, "GET", DOCUMENTS),
    Step(ping, "GET", r"/v3/collections/[^/]*"),
)
EACH_STEP = pytest.mark.parametrize("step", STEPS, ids=lambda step: step.work.__name__)


@EACH_STEP
@pytest.mark.parametrize(
    "answer",
    [
        (408, "", Unavailable),
        (409, {"message": "is currently ingesting with status embedding.", "error_type": "R2RException"}, Unavailable),
        (422, {"detail": [{"loc": ["body", "secret of alice"], "msg": "wrong"}]}, Misconfigured),
        (429, {"detail": "Global per-minute rate limit exceeded"}, Busy),
        (500, "Internal Server Error", Unavailable),
        (500, {"detail": {"message": "secret of alice", "error": "x", "error_type": "DataError"}}, Unavailable),
        (502, "<html>secret of alice", Unavailable),
        (200, "<html>secret of alice", Unavailable),
    ],
)
async def test_a_refusal_becomes_an_error_of_the_contract(
    stage: Stage, driver: R2RDriver, step: Step, answer: tuple[int, object, type[DriverError]]
) -> None:
    status, body, error = answer
    await driver.upsert(stage.source(1))
    stage.double.fail_next(step.method, step.path, status, body, text=isinstance(body, str))
    with pytest.raises(error) as raised:
        await step.work(driver, stage)
    assert "secret" not in str(raised.value), "bodies may quote documents"


@EACH_STEP
@pytest.mark.parametrize("failure", [reset, time_out])
async def test_a_broken_connection_passes(stage: Stage, driver: R2RDriver, step: Step, failure: Hook) -> None:
    await driver.upsert(stage.source(1))

    async def fail(request: httpx.Request) -> None:
        if request.method == step.method and re.fullmatch(step.path, request.url.path):
            await failure(request)

    stage.wire.before = fail
    with pytest.raises(Unavailable):
        await step.work(driver, stage)


async def test_without_its_database_r2r_is_unavailable(stage: Stage, driver: R2RDriver) -> None:
    stage.double.database_down = True
    for work in (search, upsert, look_up, ping):
        with pytest.raises(Unavailable):
            await work(driver, stage)


async def test_rate_limits_of_an_ordinary_account_are_busy(stage: Stage) -> None:
    account = stage.double.ordinary
    async with stage.driver(user=account.email, password=account.password) as driver:
        stage.double.limit_rates(route_per_minute=2)
        for item in range(2):
            await driver.upsert(stage.source(item))
        with pytest.raises(Busy):
            await driver.upsert(stage.source(2))


async def test_the_limit_of_collections_is_named_with_its_cure(stage: Stage, driver: R2RDriver) -> None:
    stage.double.max_collections = len(stage.double.superuser.collection_ids) + 1
    with pytest.raises(Misconfigured, match="default_max_collections_per_user"):
        await driver.upsert(stage.source(1))
    assert stage.stored() == []
