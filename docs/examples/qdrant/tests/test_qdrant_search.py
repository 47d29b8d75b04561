"""What the driver finds, with the embedding model and the catalogue of production."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from context_chat_backend.conformance.kit import Kit
from context_chat_backend.contract import DriverConfig, Outcome
from context_chat_backend.registry import driver_factory

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

INVOICE = "Rechnung RE-2024-{:04d} vom 3. Mai 2024: Lieferung von Kabeln an die Mu\u0308lfeld GmbH, 1.2{:02d},56 Euro."
LONG = (
    "Could you please tell me which company sent us the invoice with the number RE-2024-0815 and when exactly it has "
    "to be paid at the latest?"
)


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    config = DriverConfig(folder=tmp_path, variables={"QDRANT_URL": ":memory:"})
    async with driver_factory("qdrant")(config) as driver:
        yield Kit(driver, tmp_path)


async def test_invoices_are_found_by_number_and_files_by_name(kit: Kit) -> None:
    for number in range(770, 860):
        await kit.driver.upsert(kit.source(number, text=INVOICE.format(number, number % 100), title=f"{number}.md"))
    for year in range(2000, 2060):
        await kit.driver.upsert(kit.source(f"b{year}", text="Posten, Summe", title=f"files/Documents/Budget {year}.md"))
    iban = "Bitte auf DE89 3704 0044 0532 0130 00 überweisen, `List<Lieferschein>` liegt bei"
    await kit.driver.upsert(kit.source("iban", text=iban, title="files/lebenslauf_final_v3.md"))
    questions: dict[str, int | str] = {
        **dict.fromkeys(["RE-2024-0815", "RE 2024 0815", "RE/2024/0815", "re20240815", "0815", LONG], 815),
        **dict.fromkeys(["RE-2024-0802", "Rechnung RE-2024-0802", "1202,56 Euro"], 802),
        **dict.fromkeys(["Budget 2027.md", "find the file Budget 2027.md", "Budget 2027"], "b2027"),
        **dict.fromkeys(["lebenslauf_final_v3.md", "DE89370400440532013000", "Lieferschein"], "iban"),
    }
    found = {question: (await kit.hits("alice", text=question, limit=20))[0].source_id for question in questions}
    assert found == {question: kit.id(item) for question, item in questions.items()}
    for question in ("Mülfeld", "Mulfeld", "Muelfeld"):
        best = {hit.source_id for hit in (await kit.hits("alice", text=question, limit=20))[:20]}
        assert best <= kit.ids(*range(770, 860))


async def test_a_file_is_found_by_a_name_that_it_got_later(kit: Kit) -> None:
    for item in range(60):
        await kit.driver.upsert(kit.source(item, text="Posten, Summe", title=f"files/{item}.md"))
    renamed = kit.source(31, text="Posten, Summe", title="files/Haushaltsplan 2027.md")
    assert await kit.driver.upsert(renamed) is Outcome.UNCHANGED
    for question in ("Haushaltsplan 2027.md", "Wo ist der Haushaltsplan?"):
        assert (await kit.hits("alice", text=question, limit=20))[0].source_id == kit.id(31)
    assert await kit.hits("bob", text="Haushaltsplan 2027.md", limit=20) == []
