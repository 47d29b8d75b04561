"""Fixtures of the tests: Qdrant's engine in this process, by itself and behind an address."""

from collections.abc import AsyncIterator, Iterator

import pytest
from context_chat_qdrant.settings import QdrantSettings
from context_chat_qdrant.store import QdrantStore
from double import KEY, QdrantDouble, serve

NAMESPACE = "ccb-0123456789abcdef0123456789abcdef"
DIMENSION = 3


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than some seconds")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server() -> Iterator[QdrantDouble]:
    double = QdrantDouble()
    with serve(double):
        yield double


@pytest.fixture(params=["memory", "server"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[QdrantStore]:
    url = ":memory:" if request.param == "memory" else request.getfixturevalue("server").url
    async with QdrantStore(QdrantSettings(url=url, api_key=KEY)) as store:
        await store.prepare(NAMESPACE, DIMENSION)
        yield store
