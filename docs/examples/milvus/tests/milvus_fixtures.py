"""Servers, each started once, and stores on them. A plugin, because the other example has the one `conftest`."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from context_chat_milvus.settings import MilvusSettings
from context_chat_milvus.store import MilvusStore
from records import DIMENSION, NAMESPACE
from servers import lite_server, milvus_server


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than some seconds")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def milvus_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with milvus_server(tmp_path_factory.mktemp("milvus")) as url:
        yield url


@pytest.fixture(scope="session")
def lite_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with lite_server(tmp_path_factory.mktemp("lite")) as url:
        yield url


@pytest.fixture(params=["milvus_url", "lite_url"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[MilvusStore]:
    """An empty one."""
    async with opened(request.getfixturevalue(request.param)) as store:
        yield store


@pytest.fixture
async def milvus(milvus_url: str) -> AsyncIterator[MilvusStore]:
    """An empty one in Milvus itself, which has no words."""
    async with opened(milvus_url) as store:
        yield store


@pytest.fixture
async def lite(lite_url: str) -> AsyncIterator[MilvusStore]:
    """An empty one with words."""
    async with opened(lite_url) as store:
        yield store


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[MilvusStore]:
    """The collection is emptied and not made anew, which takes Milvus some seconds."""
    async with MilvusStore(MilvusSettings(url=url, collection_prefix="tests_")) as store:
        await store.prepare(NAMESPACE, DIMENSION)
        await store._client.delete(store._collection, filter="ord >= 0")
        yield store
