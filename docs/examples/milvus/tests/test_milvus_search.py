"""What the driver finds by words, with the embedding model and the catalogue of production."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from context_chat_backend.conformance.kit import Kit
from context_chat_backend.contract import DriverConfig
from context_chat_backend.registry import driver_factory

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
pytest_plugins = ["milvus_fixtures"]


@pytest.fixture
async def kit(tmp_path: Path, lite_url: str) -> AsyncIterator[Kit]:
    config = DriverConfig(folder=tmp_path, variables={"MILVUS_URL": lite_url})
    async with driver_factory("milvus")(config) as driver:
        yield Kit(driver, tmp_path)


async def test_invoices_are_found_by_number_and_files_by_name(kit: Kit) -> None:
    """More of them than a search by meaning looks at."""
    for number in range(790, 860):
        text = f"Rechnung RE-2024-{number:04d} vom 3. Mai 2024: Lieferung von Kabeln an die Mühlfeld GmbH."
        await kit.driver.upsert(kit.source(number, text=text, title=f"files/Beleg {number}.md"))
    for question, item in [
        ("RE-2024-0815", 815),
        ("re20240815", 815),
        ("Rechnung RE-2024-0802", 802),
        ("Beleg 833.md", 833),
    ]:
        hits = await kit.hits("alice", text=question, limit=20)
        assert hits[0].source_id == kit.id(item), question
    assert await kit.hits("bob", text="RE-2024-0815", limit=20) == []
