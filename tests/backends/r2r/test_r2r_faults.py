"""R2R out of reach or failing: the kit's fault cases through the real driver, and answers that are not R2R's."""

import io
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from backends.r2r.client import R2RClient
from backends.r2r.driver import R2RDriver, create
from context_chat_backend.conformance.cases import CASES
from context_chat_backend.conformance.faults import FaultPlan
from context_chat_backend.conformance.runner import Result, conform, open_stage, run_case
from context_chat_backend.contract import AccessOp, Misconfigured, NotFound, Outcome, Query, Unavailable
from tests.config import config
from tests.doubles.r2r import r2r_server

from .r2r_stage import ALICE, BOB, FILES, PAPER, WHALE, Stage, found, inventory, nothing, source_id, texts

pytestmark = pytest.mark.anyio

ADDRESS = "R2R_BASE_URL"
QUESTION = Query(user_id=ALICE, text="whale", limit=5)
ID = uuid4()

Work = Callable[[R2RDriver, Stage], Awaitable[object]]
Call = Callable[[R2RClient], Awaitable[object]]


# ---------------------------------------------------------------------- the kit


@pytest.fixture
def plan() -> Iterator[FaultPlan]:
    """The driver as the registry makes it."""
    with r2r_server() as double:
        account = double.superuser
        variables = {ADDRESS: double.url, "R2R_USER": account.email, "R2R_PASSWORD": account.password}
        yield FaultPlan(create, variables, ADDRESS)
        assert double.violations == []


@pytest.mark.slow
async def test_the_driver_keeps_the_contract_through_all_faults(
    plan: FaultPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.r2r.record.JUST_SENT", 1.0)  # the double shows at once what it was sent
    out = io.StringIO()
    assert await conform(plan.factory(config(tmp_path, plan.variables)), faults=plan, out=out), out.getvalue()
    skipped = sum(case.group == "store" for case in CASES)
    assert f"{len(CASES) - skipped} passed, 0 failed, {skipped} skipped" in out.getvalue()


@pytest.mark.parametrize("name", ["opening_is_tried_again", "not_found_is_never_taken_for_nothing_to_do"])
async def test_the_driver_keeps_a_promise_of_the_kit(plan: FaultPlan, tmp_path: Path, name: str) -> None:
    (case,) = [case for case in CASES if case.name == name]
    async with open_stage(plan.factory(config(tmp_path, plan.variables)), plan) as stage:
        report = await run_case(case, stage)
    assert report.result is Result.PASS, report.detail


# ---------------------------------------------------------------------- 404 that is not R2R's


async def upsert(driver: R2RDriver, stage: Stage) -> None:
    await driver.upsert(stage.source(2))


async def upsert_newer(driver: R2RDriver, stage: Stage) -> None:
    await driver.upsert(stage.source(1, PAPER, users=[ALICE, BOB], modified=2))


async def delete(driver: R2RDriver, _: Stage) -> None:
    await driver.delete({source_id(1)})


async def set_access(driver: R2RDriver, _: Stage) -> None:
    await driver.set_access(source_id(1), {ALICE})


async def deny(driver: R2RDriver, _: Stage) -> None:
    await driver.update_access(AccessOp.DENY, source_id(1), {BOB})


async def deny_provider(driver: R2RDriver, _: Stage) -> None:
    await driver.update_provider_access(AccessOp.DENY, FILES, {BOB})


async def delete_provider(driver: R2RDriver, _: Stage) -> None:
    await driver.delete_provider(FILES)


async def delete_user(driver: R2RDriver, _: Stage) -> None:
    await driver.delete_user(BOB)


async def ping(driver: R2RDriver, _: Stage) -> None:
    await driver.ping()


async def count(driver: R2RDriver, _: Stage) -> None:
    await driver.count()


async def search(driver: R2RDriver, _: Stage) -> None:
    await driver.search(QUESTION)


async def answer(driver: R2RDriver, _: Stage) -> None:
    await driver.answer(QUESTION)


async def take_stock(driver: R2RDriver, _: Stage) -> None:
    await inventory(driver)


async def take_stock_in_bulk(driver: R2RDriver, _: Stage) -> None:
    await inventory(driver, bulk=True)


CHANGES = (upsert, upsert_newer, delete, set_access, deny, deny_provider, delete_provider, delete_user)
QUESTIONS = (ping, count, search, answer, take_stock, take_stock_in_bulk)
NAMED = pytest.mark.parametrize("work", [*CHANGES, *QUESTIONS], ids=lambda work: str(work.__name__))


@NAMED
async def test_nothing_is_lost_while_a_proxy_does_not_find_r2r(stage: Stage, driver: R2RDriver, work: Work) -> None:
    await driver.upsert(stage.source(1, users=[ALICE, BOB]))
    with stage.astray(404, "404 page not found\n"), pytest.raises(Misconfigured, match=ADDRESS):
        await work(driver, stage)
    assert await texts(driver, ALICE) == await texts(driver, BOB) == [WHALE]
    assert await driver.count() == {FILES: 1}
    await work(driver, stage)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        '{"detail": "Not Found"}',
        '{"detail": {"error": "no route"}}',
        '{"message": "no Route matched with those values"}',
        '{"message": "not found", "error_type": ""}',
        "<!DOCTYPE html><title>404</title>",
    ],
)
async def test_only_r2r_s_own_404_says_that_there_is_nothing(stage: Stage, driver: R2RDriver, body: str) -> None:
    await driver.upsert(stage.source(1))
    with stage.astray(404, body), pytest.raises(Misconfigured, match=ADDRESS):
        await driver.delete_provider(FILES)
    assert await found(driver, ALICE) == {source_id(1)}


@pytest.mark.parametrize(
    ("work", "method", "path"),
    [
        (delete_provider, "GET", "/v3/collections/.*/documents"),
        (delete_provider, "DELETE", "/v3/documents/.*"),
        (delete_user, "DELETE", "/v3/collections/.*/documents/.*"),
        (count, "GET", "/v3/collections/.*"),
    ],
)
async def test_a_proxy_that_loses_r2r_in_the_middle_ends_nothing(
    stage: Stage, driver: R2RDriver, work: Work, method: str, path: str
) -> None:
    await driver.upsert(stage.source(1, users=[ALICE, BOB]))
    stage.double.fail_next(method, path, 404, {"detail": "Not Found"})
    with pytest.raises(Misconfigured, match=ADDRESS):
        await work(driver, stage)
    assert stage.readers(stage.only()) == {ALICE, BOB}
    await work(driver, stage)


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.delete_document(ID),
        lambda client: client.has_chunks(ID),
        lambda client: client.find_collection("cc:name"),
        lambda client: client.collection(ID),
        lambda client: client.members(ID, 0),
        lambda client: client.remove_member(ID, ID),
        lambda client: client.reset_graph(ID),
    ],
    ids=["delete_document", "has_chunks", "find_collection", "collection", "members", "remove_member", "reset_graph"],
)
async def test_a_call_that_takes_404_for_an_answer_takes_r2r_s_only(stage: Stage, call: Call) -> None:
    async with R2RClient(stage.settings(api_key=stage.double.superuser.api_key), stage.wire) as client:
        await call(client)
        with stage.astray(404, "404 page not found\n"), pytest.raises(Misconfigured, match=ADDRESS):
            await call(client)


async def test_a_wrong_address_is_told_from_a_wrong_account(stage: Stage) -> None:
    with stage.astray(404, "404 page not found\n"), pytest.raises(Misconfigured, match=ADDRESS):
        async with stage.driver():  # never entered
            pass


# ---------------------------------------------------------------------- 404 that is


@pytest.mark.parametrize("work", [set_access, deny, delete, delete_provider, delete_user])
async def test_what_is_not_there_is_not_the_matter_of_an_admin(stage: Stage, driver: R2RDriver, work: Work) -> None:
    await driver.upsert(stage.source(1, users=[ALICE, BOB]))
    await driver.delete({source_id(1)})
    if work in {set_access, deny}:
        with pytest.raises(NotFound):
            await work(driver, stage)
    else:
        await work(driver, stage)


async def test_a_change_that_meets_a_deletion_by_another_gateway_is_not_taken_for_done(
    stage: Stage, driver: R2RDriver
) -> None:
    await driver.upsert(stage.source(1, users=[ALICE]))
    document = stage.only().id

    async def deleted(request: httpx.Request) -> None:
        if request.url.path.endswith(f"/documents/{document}"):
            stage.double.store.documents.pop(document, None)

    stage.wire.before = deleted
    with pytest.raises(Unavailable):
        await driver.update_access(AccessOp.ALLOW, source_id(1), {BOB})
    stage.wire.before = nothing
    with pytest.raises(NotFound):
        await driver.update_access(AccessOp.ALLOW, source_id(1), {BOB})


async def test_an_upsert_that_meets_a_deletion_by_another_gateway_indexes_anew(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1))
    document = stage.only().id

    async def deleted(request: httpx.Request) -> None:
        if request.method == "PATCH":
            stage.double.store.documents.pop(document, None)

    stage.wire.before = deleted
    with pytest.raises(Unavailable):
        await driver.upsert(stage.source(1, modified=2))
    stage.wire.before = nothing
    assert await driver.upsert(stage.source(1, modified=2)) is Outcome.CREATED
    assert await texts(driver, ALICE) == [WHALE]
