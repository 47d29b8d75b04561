"""Two drivers of one kind live in one process, each with its own database, model and limits.

Moving to another store, embedding anew with another model and comparing two of them need that.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from context_chat_backend.conformance.kit import Kit
from context_chat_backend.contract import Driver, DriverConfig
from context_chat_backend.registry import driver_factory
from tests.doubles.nextcloud import serving
from tests.doubles.openai import EmbeddingRequest, FakeOpenAI
from tests.postgres import new_database

pytestmark = pytest.mark.anyio


@pytest.fixture
def embeddings() -> FakeOpenAI:
    return FakeOpenAI()


@pytest.fixture
async def both(embeddings: FakeOpenAI, tmp_path: Path) -> AsyncIterator[tuple[Driver, Driver]]:
    """The second reads its variables with a prefix, and embeds by a server."""
    with serving(embeddings) as url, new_database() as first, new_database() as second:
        variables = {
            "CCB_DB_URL": first,
            "NEW_CCB_DB_URL": second,
            "NEW_CC_EM_BASE_URL": f"{url}/v1",
            "NEW_CC_EM_MODEL_NAME": "text-embedding-3-small",
            "NEW_EXTRACT_MAX_CHARS": "10",
        }
        factory = driver_factory("builtin")
        async with AsyncExitStack() as stack:
            old = factory(DriverConfig(folder=tmp_path / "old", variables=variables))
            new = factory(DriverConfig(folder=tmp_path / "new", variables=variables, prefix="NEW_"))
            yield await stack.enter_async_context(old), await stack.enter_async_context(new)


async def test_each_has_its_own_store_model_and_settings(
    both: tuple[Driver, Driver], embeddings: FakeOpenAI, tmp_path: Path
) -> None:
    old, new = (Kit(driver, tmp_path, namespace="two") for driver in both)
    assert old.driver.identity != new.driver.identity
    await old.driver.upsert(old.source(1, users=("alice",)))
    await new.driver.upsert(new.source(1, users=("bob",)))
    assert (await old.found("alice"), await old.found("bob")) == (old.ids(1), frozenset())
    assert (await new.found("alice"), await new.found("bob")) == (frozenset(), new.ids(1))
    assert await old.text("alice", old.id(1)) == "The whale swims in the deep blue sea."
    assert await new.text("bob", new.id(1)) == "The whale", "read no further than its own limit"
    asked = [request.input for request in embeddings.requests if isinstance(request, EmbeddingRequest)]
    assert ["whale\nThe whale"] in asked, "with the name of the document"
    assert not any("swims" in text for texts in asked for text in texts)
