"""The R2R driver as a whole: the contract, what identifies a store, what is in it, what an admin is told."""

import io
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from backends.r2r.driver import LOOP, R2RDriver, create
from context_chat_backend.conformance.cases import CASES
from context_chat_backend.conformance.runner import conform
from context_chat_backend.contract import (
    Level,
    Misconfigured,
    Outcome,
    ProviderId,
    Query,
    StoredVersion,
    Unavailable,
    Unsupported,
)
from context_chat_backend.toolkit.background import failures
from tests.config import config

from .r2r_stage import (
    ALICE,
    BOB,
    FILES,
    PAPER,
    WHALE,
    Stage,
    finding,
    found,
    inventory,
    reset,
    source_id,
    texts,
)

pytestmark = pytest.mark.anyio

MAIL = ProviderId("mail__mail")
NAMESPACE = str(uuid.uuid4())


# ---------------------------------------------------------------------- the contract


async def keeps_the_contract(driver: R2RDriver) -> bool:
    out = io.StringIO()
    passed = await conform(driver, out=out)
    skipped = sum(case.group in {"faults", "store"} for case in CASES)
    assert f" {skipped} skipped" in out.getvalue()
    return passed or pytest.fail(out.getvalue())


async def test_the_driver_keeps_the_contract(stage: Stage) -> None:
    assert await keeps_the_contract(stage.driver())


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"search_mode": "semantic"}, {"upload": "text"}, {"graph_search": True}], ids=str)
async def test_the_driver_keeps_the_contract_whatever_is_set(stage: Stage, settings: dict[str, Any]) -> None:
    assert await keeps_the_contract(stage.driver(**settings))


@pytest.mark.slow
async def test_the_driver_keeps_the_contract_for_an_ordinary_account(stage: Stage) -> None:
    account = stage.double.ordinary
    assert await keeps_the_contract(stage.driver(user=account.email, password=account.password))


async def test_without_generated_answers_none_are_declared(stage: Stage) -> None:
    async with stage.driver(use_generated_answer=False) as driver:
        assert not driver.capabilities.answers
        with pytest.raises(Unsupported):
            await driver.answer(Query(user_id=ALICE, text="whale", limit=5))


async def test_the_registry_s_factory_reads_its_variables(tmp_path: Path) -> None:
    variables = {"R2R_BASE_URL": "http://r2r:7272/v3/", "R2R_EXCLUDE_EXTS": "XLS, .png,"}
    driver = create(config(tmp_path / "r2r", variables))
    assert driver._settings.base_url == "http://r2r:7272"
    assert driver._settings.exclude_exts == {".xls", ".png"}
    assert not (tmp_path / "r2r").exists(), "nothing is done before it is entered"


# ---------------------------------------------------------------------- identity and namespace


async def test_a_restart_keeps_identity_and_namespace(stage: Stage) -> None:
    async with stage.driver() as driver:
        identity, names = driver.identity, stage.names.documents(source_id(1))
        await driver.upsert(stage.source(1))
    async with stage.driver() as driver:
        assert (driver.identity, stage.names.documents(source_id(1))) == (identity, names)
        assert await driver.upsert(stage.source(1)) is Outcome.UNCHANGED
        assert await found(driver, ALICE) == {source_id(1)}


async def test_a_store_that_is_emptied_while_running_is_another_one(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1))
    identity = driver.identity
    await driver.look_after_store()
    assert driver.identity == identity
    empty(stage)
    await driver.look_after_store()
    assert driver.identity != identity
    await driver.ping()
    assert await found(driver, ALICE) == set()
    assert await driver.upsert(stage.source(1)) is Outcome.CREATED
    assert await found(driver, ALICE) == {source_id(1)}
    assert await driver.count() == {FILES: 1}


async def test_a_ping_tells_of_an_emptied_store_and_changes_nothing(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1))
    identity = driver.identity
    empty(stage)
    stage.wire.requests.clear()
    for _ in range(2):
        with pytest.raises(Unavailable, match="has lost"):
            await driver.ping()
    assert stage.wire.calls == ["GET collections"] * 2
    assert stage.double.store.collections == {}
    assert driver.identity == identity


async def test_an_emptied_store_is_opened_anew_without_anybody_asking(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.r2r.driver.TIDY_SECONDS", 0.001)
    async with stage.driver() as driver:
        identity = driver.identity
        empty(stage)
        with anyio.fail_after(30):
            while driver.identity == identity:
                await anyio.lowlevel.checkpoint()
        await driver.ping()
        assert await driver.upsert(stage.source(1)) is Outcome.CREATED


async def test_trouble_with_a_file_of_its_own_does_not_end_the_driver(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.r2r.driver.TIDY_SECONDS", 0.001)
    before = failures[LOOP]
    async with stage.driver() as driver:
        with closing(sqlite3.connect(stage.folder / "r2r" / "uploads.db")) as file:
            file.execute("alter table uploads rename to away")
            file.commit()
            with anyio.fail_after(30):
                while failures[LOOP] < before + 2:
                    await anyio.lowlevel.checkpoint()
            await driver.ping()
            file.execute("alter table away rename to uploads")
            file.commit()
        assert await driver.upsert(stage.source(1)) is Outcome.CREATED


async def test_a_store_that_is_emptied_between_two_runs_is_another_one(stage: Stage) -> None:
    async with stage.driver() as driver:
        await driver.upsert(stage.source(1))
        identity = driver.identity
    empty(stage)
    async with stage.driver() as driver:
        assert driver.identity != identity
        assert await driver.upsert(stage.source(1)) is Outcome.CREATED


def empty(stage: Stage) -> None:
    """As if R2R had got a new database."""
    store = stage.double.store
    for things in (store.documents, store.chunks, store.collections, stage.double.superuser.collection_ids):
        things.clear()


async def test_two_installations_on_one_r2r_stay_apart(stage: Stage, tmp_path: Path, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1))
    elsewhere = Stage(tmp_path / "other")
    elsewhere.folder.mkdir()
    elsewhere.double, elsewhere.wire = stage.double, stage.wire
    async with elsewhere.driver() as other:
        assert other.identity != driver.identity
        assert await found(other, ALICE) == set()
        await other.upsert(elsewhere.source(1, PAPER))
        await other.delete_user(ALICE)
        assert await inventory(other) == []
    assert await texts(driver, ALICE) == [WHALE]


@pytest.mark.parametrize("damaged", ["", "garbage", "ä"])
async def test_a_damaged_namespace_is_told_of_and_not_replaced(stage: Stage, damaged: str) -> None:
    async with stage.driver():
        pass
    file = stage.folder / "r2r" / "namespace"
    file.write_text(damaged, "utf-8")
    with pytest.raises(Misconfigured, match="R2R_NAMESPACE"):
        async with stage.driver():
            pass
    assert file.read_text("utf-8") == damaged


async def test_the_namespace_is_for_nobody_else_to_read(stage: Stage, driver: R2RDriver) -> None:
    assert (stage.folder / "r2r" / "namespace").stat().st_mode & 0o077 == 0


async def test_a_namespace_of_several_gateways_is_shared(stage: Stage) -> None:
    assert not stage.driver().capabilities.shared
    assert stage.driver(namespace=NAMESPACE).capabilities.shared


async def test_gateways_of_one_namespace_see_what_the_others_do(stage: Stage, tmp_path: Path) -> None:
    async with stage.driver(namespace=NAMESPACE) as one:
        await one.upsert(stage.source(1, users=[ALICE]))
        stage.folder = tmp_path / "other"
        stage.folder.mkdir()
        async with stage.driver(namespace=NAMESPACE) as other:
            assert other.identity == one.identity
            assert [stored.source_id for stored in await finding(other)] == [source_id(1)]
            await one.upsert(stage.source(2, users=[BOB]))
            await other.upsert(stage.source(1, users=[BOB], modified=2))
        assert (await found(one, ALICE), await found(one, BOB)) == (set(), {source_id(1), source_id(2)})


async def test_an_installation_that_lost_its_folder_but_not_its_namespace_lost_nothing(stage: Stage) -> None:
    async with stage.driver(namespace=NAMESPACE) as driver:
        await driver.upsert(stage.source(1, users=[ALICE, BOB]))
        identity = driver.identity
    for file in (stage.folder / "r2r").iterdir():
        file.unlink()
    async with stage.driver(namespace=NAMESPACE) as driver:
        assert driver.identity == identity
        await driver.delete_user(BOB)
        assert (await found(driver, ALICE), await found(driver, BOB)) == ({source_id(1)}, set())
        assert await driver.count() == {FILES: 1}


# ---------------------------------------------------------------------- inventory


async def fill(stage: Stage, driver: R2RDriver) -> list[StoredVersion]:
    """Some good sources, and all that must not be listed."""
    good = [
        stage.source(1, users=[ALICE, BOB], title='a "title", with\u2028odd\x85 {signs}\\'),
        stage.source(2, PAPER, users=[BOB], modified=7),
        stage.source(3, provider=MAIL),
    ]
    for source in good:
        await driver.upsert(source)
    with stage.failing(reset), pytest.raises(Unavailable):
        await driver.upsert(stage.source(4))
    await driver.upsert(stage.source(5))
    stage.only(5).status = "failed"
    await driver.upsert(stage.source(6))
    stage.only(6).metadata.pop("source_id")
    return [
        StoredVersion(
            source_id=source.id,
            provider=source.provider,
            title=source.title,
            mime_type=source.mime_type,
            modified=source.modified,
            sha256=await source.content.sha256(),
            user_ids=source.user_ids,
        )
        for source in good
    ]


async def test_inventories_by_listing_by_export_and_of_given_ids_agree(stage: Stage, driver: R2RDriver) -> None:
    stored = await fill(stage, driver)
    assert await inventory(driver) == stored
    assert await inventory(driver, bulk=True) == stored
    assert await inventory(driver, {source_id(1), source_id(2), source_id(3, MAIL), source_id(4)}) == stored
    assert await inventory(driver, {source_id(2), source_id(5)}) == stored[1:2]
    assert await inventory(driver, set()) == []


async def test_an_inventory_can_be_gone_on_with(stage: Stage, driver: R2RDriver) -> None:
    await fill(stage, driver)
    for bulk in (False, True):
        everything = [version async for version in driver.inventory(bulk=bulk)]
        rests = [[version async for version in driver.inventory(bulk=bulk, skip=skip)] for skip in range(7)]
        assert rests[0] == everything
        assert rests[6] == []
        assert all(rest == everything[len(everything) - len(rest) :] for rest in rests)


async def test_an_export_is_for_superusers(stage: Stage) -> None:
    account = stage.double.ordinary
    async with stage.driver(user=account.email, password=account.password) as driver:
        await driver.upsert(stage.source(1))
        assert len(await inventory(driver)) == 1
        with pytest.raises(Misconfigured):
            await inventory(driver, bulk=True)


async def test_an_upload_that_was_never_looked_at_is_not_listed(stage: Stage, driver: R2RDriver) -> None:
    await stage.send_and_hang_up(driver, stage.source(1))
    stage.double.release()
    assert (
        await inventory(driver) == await inventory(driver, bulk=True) == await inventory(driver, {source_id(1)}) == []
    )


# ---------------------------------------------------------------------- what an admin is told


async def findings(driver: R2RDriver) -> dict[str, Level]:
    return {finding.subject: finding.level for finding in await driver.check()}


async def test_a_good_installation_has_no_errors(stage: Stage, driver: R2RDriver) -> None:
    levels = await findings(driver)
    assert levels.pop("password") is Level.WARNING, "the double has R2R's published one"
    assert set(levels.values()) == {Level.OK}


async def test_an_ordinary_account_and_a_key_are_warned_of(stage: Stage) -> None:
    account = stage.double.ordinary
    async with stage.driver(user=account.email, password=account.password) as driver:
        assert (await findings(driver))["account"] is Level.WARNING
    async with stage.driver(api_key=stage.double.superuser.api_key) as driver:
        assert (await findings(driver))["account"] is Level.WARNING


async def test_a_broken_embedding_model_is_a_finding(stage: Stage, driver: R2RDriver) -> None:
    body = {"message": "Error getting embeddings: litellm.", "error_type": "R2RException"}
    stage.double.fail_next("POST", "/v3/retrieval/embedding", 400, body)
    assert (await findings(driver))["embedding model"] is Level.WARNING


async def test_excluded_types_of_r2r_are_named(stage: Stage, driver: R2RDriver) -> None:
    settings = {"config": {"ingestion": {"provider": "r2r", "excluded_parsers": ["xls"]}}}
    stage.double.fail_next("GET", "/v3/system/settings", 200, {"results": settings})
    assert (await findings(driver))["excluded types"] is Level.WARNING
