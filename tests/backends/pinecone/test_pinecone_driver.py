"""What the Pinecone backend promises, catalogue and all, on the double of Pinecone with its delays and its limits."""

import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
from pydantic import SecretStr

from backends.pinecone.driver import create
from backends.pinecone.settings import PineconeSettings
from backends.pinecone.store import PineconeStore
from context_chat_backend.conformance.cases import CASES
from context_chat_backend.conformance.faults import FaultPlan
from context_chat_backend.conformance.kit import Kit
from context_chat_backend.conformance.runner import conform
from context_chat_backend.contract import AccessOp, Busy, Outcome, Query, TransientError
from context_chat_backend.toolkit.catalogue import CatalogueDriver
from context_chat_backend.toolkit.catalogue.guard import MARKER
from context_chat_backend.toolkit.catalogue.settings import CatalogueSettings
from context_chat_backend.toolkit.settings import read_settings
from tests.config import config
from tests.doubles.pinecone import PineconeDouble, pinecone_server

from ...toolkit.catalogue_stage import LineIndexer, WordEmbedder

pytest_plugins = ["tests.pg"]
pytestmark = pytest.mark.anyio

PATIENCE = 60


@pytest.fixture
def pinecone() -> Iterator[PineconeDouble]:
    with pinecone_server() as double:
        double.rates.retry_after = 0.01
        yield double
        assert double.violations == []


@pytest.fixture
def variables(pinecone: PineconeDouble) -> dict[str, str]:
    return {
        "PINECONE_API_KEY": pinecone.api_key,
        "PINECONE_CONTROLLER_HOST": pinecone.url,
        "PINECONE_REGION": "us-east-1",
    }


def make_driver(variables: dict[str, str], catalogue: str, folder: Path) -> CatalogueDriver:
    """One whose embeddings cost nothing."""
    store = PineconeStore(read_settings(PineconeSettings, variables, changes_per_second=1000))
    settings = CatalogueSettings(catalogue_url=SecretStr(catalogue))
    return CatalogueDriver("pinecone", store, LineIndexer(WordEmbedder()), settings, folder)


@pytest.fixture
async def kit(variables: dict[str, str], catalogue: str, tmp_path: Path) -> AsyncIterator[Kit]:
    async with make_driver(variables, catalogue, tmp_path) as driver:
        yield Kit(driver, tmp_path)


def kinds(double: PineconeDouble) -> list[str]:
    return [call.kind for call in double.calls]


def namespace(double: PineconeDouble) -> str:
    (name,) = {call.namespace for call in double.calls if call.namespace}
    return name


def stored(double: PineconeDouble) -> dict[str, dict[str, Any]]:
    """Records beside the marker."""
    records = double.stored(namespace(double))
    return {id_: record for id_, record in records.items() if record["doc"] != MARKER}


WAITING = """select (select count(*) from ccb.documents where group_id <> store_group)
                  + (select count(*) from ccb.removals where due <= now())"""


async def until_delivered(catalogue: str) -> None:
    """Pinecone has heard of everything."""
    with anyio.fail_after(PATIENCE), psycopg.connect(catalogue, autocommit=True) as connection:
        while connection.execute(WAITING).fetchone() != (0,):  # noqa: ASYNC110 - the database tells nobody
            await anyio.sleep(0.1)


async def test_it_keeps_the_contract(variables: dict[str, str], catalogue: str, tmp_path: Path) -> None:
    out = io.StringIO()
    assert await conform(make_driver(variables, catalogue, tmp_path), out=out), out.getvalue()


@pytest.mark.slow
async def test_it_keeps_the_contract_with_an_embedded_catalogue(variables: dict[str, str], tmp_path: Path) -> None:
    out = io.StringIO()
    assert await conform(create(config(tmp_path, variables)), out=out), out.getvalue()


@pytest.mark.slow
async def test_it_keeps_the_contract_on_an_index_that_lags_behind(
    variables: dict[str, str], pinecone: PineconeDouble, catalogue: str, tmp_path: Path
) -> None:
    pinecone.lag = 0.3
    out = io.StringIO()
    assert await conform(make_driver(variables, catalogue, tmp_path), out=out), out.getvalue()


@pytest.mark.slow
async def test_it_keeps_the_contract_through_all_faults(
    variables: dict[str, str], pinecone: PineconeDouble, tmp_path: Path
) -> None:
    async with create(config(tmp_path / "first", variables)):
        pass  # makes the index
    variables["PINECONE_HOST"] = pinecone.url
    faults, out = FaultPlan(create, variables, "PINECONE_HOST"), io.StringIO()
    assert await conform(create(config(tmp_path / "own", variables)), faults=faults, out=out), out.getvalue()
    skipped = sum(case.group == "inventory" for case in CASES)
    assert f" {skipped} skipped" in out.getvalue()


@pytest.mark.parametrize("revoke", ["deny", "set", "provider", "user", "delete", "delete provider"])
async def test_a_revocation_acts_at_once_on_an_index_that_never_catches_up(
    kit: Kit, pinecone: PineconeDouble, revoke: str
) -> None:
    await kit.driver.upsert(kit.source(1, users=("alice", "bob")))
    await kit.expect("bob", {kit.id(1)})
    pinecone.lag = 10_000
    match revoke:
        case "deny":
            await kit.driver.update_access(AccessOp.DENY, kit.id(1), kit.users("bob"))
        case "set":
            await kit.driver.set_access(kit.id(1), kit.users("alice"))
        case "provider":
            await kit.driver.update_provider_access(AccessOp.DENY, kit.provider(), kit.users("bob"))
        case "user":
            await kit.driver.delete_user(kit.user("bob"))
        case "delete":
            await kit.driver.delete({kit.id(1)})
        case _:
            await kit.driver.delete_provider(kit.provider())
    assert await kit.found("bob") == set()
    assert await kit.found("alice") == (set() if "delete" in revoke else {kit.id(1)})


async def test_a_new_reader_finds_a_document_at_once_on_an_index_that_never_catches_up(
    kit: Kit, pinecone: PineconeDouble
) -> None:
    await kit.driver.upsert(kit.source(1))
    pinecone.lag = 10_000
    await kit.driver.update_access(AccessOp.ALLOW, kit.id(1), kit.users("carol"))
    assert await kit.found("carol") == {kit.id(1)}


async def test_a_document_shared_with_5000_users_has_one_number_in_pinecone(kit: Kit, pinecone: PineconeDouble) -> None:
    readers = [f"user {number}" for number in range(5000)]
    assert await kit.driver.upsert(kit.source(1, users=readers)) is Outcome.CREATED
    for reader in ("user 0", "user 4999"):
        assert await kit.found(reader) == {kit.id(1)}
    assert await kit.found("user 5000") == set()
    (record,) = stored(pinecone).values()
    assert len(str(record["acl"])) < 10
    assert set(record) == {"_id", "embedding", "text", "head", "lang", "doc", "acl", "ord"}


async def test_what_pinecone_did_not_hear_of_is_made_up_for_by_the_next_gateway(
    variables: dict[str, str], pinecone: PineconeDouble, catalogue: str, tmp_path: Path
) -> None:
    with pinecone.fail_all(503, path=".*/documents/(update|delete)"):
        async with make_driver(variables, catalogue, tmp_path) as driver:
            kit = Kit(driver, tmp_path)
            for item in (1, 2):
                await driver.upsert(kit.source(item, users=("alice", "bob")))
            await driver.update_access(AccessOp.DENY, kit.id(1), kit.users("bob"))
            await driver.delete({kit.id(2)})
    assert len(stored(pinecone)) == 2
    async with make_driver(variables, catalogue, tmp_path) as driver:
        await until_delivered(catalogue)
        (record,) = stored(pinecone).values()
        assert "whale" in str(record["text"])
        assert await Kit(driver, tmp_path, kit.namespace).found("alice") == {kit.id(1)}


async def test_a_storm_of_429_only_delays(kit: Kit, pinecone: PineconeDouble, catalogue: str) -> None:
    await kit.driver.upsert(kit.source(1, users=("alice", "bob")))
    with pinecone.fail_all(429, retry_after=0):
        with pytest.raises(Busy):
            await kit.driver.upsert(kit.source(2))
        with pytest.raises(Busy):
            await kit.found("alice")
        await kit.driver.update_access(AccessOp.DENY, kit.id(1), kit.users("bob"))
    assert await kit.driver.upsert(kit.source(2)) is Outcome.CREATED
    assert await kit.found("bob") == set()
    assert await kit.found("alice") == {kit.id(1), kit.id(2)}
    await until_delivered(catalogue)


async def test_many_at_once_stay_within_the_limits_or_are_told_to_wait(
    kit: Kit, pinecone: PineconeDouble, catalogue: str
) -> None:
    """The double has Pinecone's documented rates."""
    items = range(150)

    async def load(item: int) -> None:
        with anyio.fail_after(PATIENCE):
            while True:
                try:
                    await kit.driver.upsert(kit.source(item))
                except TransientError as error:
                    await anyio.sleep(error.retry_after or 0.1)
                else:
                    return

    async with anyio.create_task_group() as tasks:
        for item in items:
            tasks.start_soon(load, item)
    hits = await kit.driver.search(Query(user_id=kit.user("alice"), text="whale", limit=200))
    assert {hit.source_id for hit in hits} == {kit.id(item) for item in items}


INVOICE = "Rechnung RE-2024-{:04d} vom 3. Mai 2024: Lieferung von Kabeln an die Mu\u0308lfeld GmbH, 1.2{:02d},56 Euro."
LONG = (
    "Could you please tell me which company sent us the invoice with the number RE-2024-0815 and when exactly it has "
    "to be paid at the latest?"
)


async def test_invoices_are_found_by_number_and_files_by_name(kit: Kit, pinecone: PineconeDouble) -> None:
    pinecone.rates.enabled = False
    for number in range(790, 860):
        await kit.driver.upsert(kit.source(number, text=INVOICE.format(number, number % 100), title=f"{number}.pdf"))
    for year in range(2000, 2060):
        await kit.driver.upsert(
            kit.source(f"b{year}", text="Posten, Summe", title=f"files/Documents/Budget {year}.csv")
        )
    iban = "Bitte auf DE89 3704 0044 0532 0130 00 überweisen, Serverschlüssel <liegt> bei"
    await kit.driver.upsert(kit.source("iban", text=iban, title="files/lebenslauf_final_v3.txt"))
    questions: dict[str, int | str] = {
        **dict.fromkeys(["RE-2024-0815", "RE 2024 0815", "RE/2024/0815", "re20240815", "0815", LONG], 815),
        **dict.fromkeys(["RE-2024-0802", "Rechnung RE-2024-0802"], 802),
        **dict.fromkeys(["Budget 2027.csv", "find the file Budget 2027.csv", "Budget 2027"], "b2027"),
        **dict.fromkeys(["lebenslauf_final_v3.txt", "lebenslauf final v3", "DE89370400440532013000"], "iban"),
        "1215.56 Euro": 815,
    }
    found = {question: (await kit.hits("alice", text=question, limit=20))[0].source_id for question in questions}
    assert found == {question: kit.id(item) for question, item in questions.items()}
    mulfeld = {hit.source_id for hit in await kit.hits("alice", text="Muelfeld", limit=60)}
    assert len(mulfeld & kit.ids(*range(790, 860))) >= 50


async def test_a_file_is_found_by_a_name_that_it_got_later(kit: Kit, pinecone: PineconeDouble) -> None:
    pinecone.rates.enabled = False
    for item in range(60):
        await kit.driver.upsert(kit.source(item, text="Posten, Summe", title=f"files/{item}.csv"))
    writes = kinds(pinecone).count("documents/upsert")
    renamed = kit.source(31, text="Posten, Summe", title="files/Haushaltsplan 2027.csv")
    assert await kit.driver.upsert(renamed) is Outcome.UNCHANGED
    assert kinds(pinecone).count("documents/upsert") == writes
    for question in ("Haushaltsplan 2027.csv", "Wo ist der Haushaltsplan?"):
        assert (await kit.hits("alice", text=question, limit=20))[0].source_id == kit.id(31)
    assert await kit.hits("bob", text="Haushaltsplan 2027.csv", limit=20) == []


@pytest.mark.slow
async def test_sharing_a_folder_of_10_000_files_costs_pinecone_few_requests(
    kit: Kit, pinecone: PineconeDouble, catalogue: str
) -> None:
    pinecone.rates.enabled = False
    files = range(10_000)
    limit = anyio.CapacityLimiter(4)

    async def load(item: int) -> None:
        async with limit:
            await kit.driver.upsert(kit.source(item))

    async def share(item: int) -> None:
        async with limit:
            await kit.driver.update_access(AccessOp.ALLOW, kit.id(item), kit.users("bob", "carol"))

    for work in (load, share):
        if work is share:
            pinecone.calls.clear()
        async with anyio.create_task_group() as tasks:
            for item in files:
                tasks.start_soon(work, item)
    await until_delivered(catalogue)
    changes = [kind for kind in kinds(pinecone) if kind in {"documents/update", "documents/delete", "documents/upsert"}]
    assert 10 <= len(changes) <= 20, changes
    groups = {record["acl"] for record in stored(pinecone).values()}
    assert len(groups) == 1
