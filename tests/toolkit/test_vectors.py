"""Making vectors in the background."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import SecretStr

from backends.builtin.driver import BuiltinDriver
from backends.builtin.settings import BuiltinSettings
from context_chat_backend.contract import Hit, Query, SourceId, Unavailable
from context_chat_backend.toolkit.indexing.section import Section
from context_chat_backend.toolkit.indexing.split import Chunk
from context_chat_backend.toolkit.postgres.document_store import LEASE_SECONDS
from context_chat_backend.toolkit.search.passages import TEXTS
from context_chat_backend.toolkit.search.settings import SearchSettings

from .catalogue_stage import ALICE, LineIndexer, Stage, WordEmbedder
from .test_store import ask

pytest_plugins = ["tests.pg"]
pytestmark = pytest.mark.anyio

ONE, TWO = SourceId("files: 1"), SourceId("files: 2")
CLAIMED = "select count(*) from ccb.vectors where claimed_at is not null"
WITHOUT = "select count(*) from ccb.vectors where embedding is null"


class Server(WordEmbedder):
    """Fails or hangs as long as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.down = self.hangs = False
        self.texts: list[str] = []

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if texts == TEXTS:
            return await super().embed(texts)
        if self.hangs:
            await anyio.sleep_forever()
        if self.down:
            raise Unavailable("the embedding server is down")
        self.texts += texts
        await anyio.lowlevel.checkpoint()
        return await super().embed(texts)


class TitledIndexer(LineIndexer):
    """Its chunks know their title, as real ones do."""

    def chunks(self, sections: Iterable[Section], title: str) -> Iterator[Chunk]:
        return (replace(chunk, title=title) for chunk in super().chunks(sections, title))


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def stage(database: str, tmp_path: Path) -> Stage:
    """Its database is that of the drivers here."""
    return Stage(database, tmp_path)


@asynccontextmanager
async def opened(stage: Stage, server: Server, search: SearchSettings | None = None) -> AsyncIterator[BuiltinDriver]:
    settings = BuiltinSettings(db_url=SecretStr(stage.uri))
    async with BuiltinDriver(settings, TitledIndexer(server), search or SearchSettings(), stage.folder) as driver:
        yield driver


async def until_all_have(driver: BuiltinDriver) -> None:
    with anyio.fail_after(20):
        while driver.waiting:  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.01)


async def hits(driver: BuiltinDriver, text: str) -> Sequence[Hit]:
    return await driver.search(Query(user_id=ALICE, text=text, limit=10))


async def test_a_source_is_found_by_its_words_at_once_and_by_its_meaning_soon(stage: Stage, server: Server) -> None:
    async with opened(stage, server) as driver:
        assert driver.waiting == 0
        await driver.upsert(stage.source(1, [ALICE], "the whale\nthe sea"))
        assert driver.waiting
        assert {hit.source_id for hit in await hits(driver, "whale")} == {ONE}
        await until_all_have(driver)
        assert ask(stage.uri, WITHOUT) == 0
        assert sorted(server.texts) == ["title 1\nabove the sea\nthe sea", "title 1\nabove the whale\nthe whale"]
    meaning = SearchSettings.model_validate({"by": "meaning"})
    async with opened(stage, server, meaning) as driver:
        found = await hits(driver, "title 1\nabove the whale\nthe whale")
        assert found[0].text == "the whale"


async def test_an_embedding_server_that_is_down_costs_no_source(stage: Stage, server: Server) -> None:
    server.down = True
    async with opened(stage, server) as driver:
        for item in (1, 2):
            await driver.upsert(stage.source(item, [ALICE], f"whale {item}"))
        await anyio.sleep(0.3)
        assert {hit.source_id for hit in await hits(driver, "whale")} == {ONE, TWO}
        assert driver.waiting
        (finding,) = [finding for finding in await driver.check() if finding.subject == "vectors"]
        assert finding.text.startswith("2 chunks are found by their words only")
        server.down = False
        ask(stage.uri, f"update ccb.vectors set claimed_at = now() - interval '{LEASE_SECONDS + 1} seconds'")
        await until_all_have(driver)
        assert ask(stage.uri, WITHOUT) == 0
        assert "vectors" not in {finding.subject for finding in await driver.check()}


async def test_what_a_gateway_left_is_made_by_the_next_one(stage: Stage, server: Server) -> None:
    server.down = True
    async with opened(stage, server) as driver:
        await driver.upsert(stage.source(1, [ALICE], "whale"))
    ask(stage.uri, "update ccb.vectors set claimed_at = null")
    server.down = False
    async with opened(stage, server) as driver:
        with anyio.fail_after(20):
            while ask(stage.uri, WITHOUT):  # noqa: ASYNC110 - nobody tells
                await anyio.sleep(0.01)
        await until_all_have(driver)


async def test_a_gateway_that_stops_leaves_what_it_was_at_to_others(stage: Stage, server: Server) -> None:
    async with opened(stage, server) as driver:
        server.hangs = True
        await driver.upsert(stage.source(1, [ALICE], "whale"))
        with anyio.fail_after(20):
            while not ask(stage.uri, CLAIMED):  # noqa: ASYNC110 - nobody tells
                await anyio.sleep(0.01)
    assert ask(stage.uri, CLAIMED) == 0
    assert ask(stage.uri, WITHOUT) == 1


async def test_two_gateways_make_each_vector_once(stage: Stage, server: Server) -> None:
    text = "\n".join(f"whale {line}" for line in range(500))
    async with opened(stage, server) as one, opened(stage, server) as other:
        for item in range(4):
            await (one, other)[item % 2].upsert(stage.source(item, [ALICE], text))
        await until_all_have(one)
        await until_all_have(other)
        assert ask(stage.uri, WITHOUT) == 0
    assert len(server.texts) == 2000


async def test_the_same_text_is_embedded_once(stage: Stage, server: Server) -> None:
    text = "\n".join(f"whale {line % 50}" for line in range(150))
    async with opened(stage, server) as driver:
        await driver.upsert(stage.source(1, [ALICE], text, title="files/A/copy.md"))
        await until_all_have(driver)
        first = len(server.texts)
        assert 50 <= first <= 100  # two batches may hold the same
        await driver.upsert(stage.source(2, [ALICE], text, title="files/B/copy.md"))
        await driver.upsert(stage.source(1, [ALICE], f"{text}\nand more", modified=2000, title="files/A/copy.md"))
        await until_all_have(driver)
        assert len(server.texts) == first + 1
        await driver.upsert(stage.source(3, [ALICE], "whale 1", title="another.md"))
        await until_all_have(driver)
        assert len(server.texts) == first + 2
    key = ask(stage.uri, "select text_key::text from ccb.chunks where content = 'whale 1' limit 1")
    same = "select count(distinct embedding::text) from ccb.chunks join ccb.vectors using (chunk_id) where text_key = "
    assert ask(stage.uri, f"{same}'{key}'") == 1


async def test_what_is_deleted_meanwhile_is_no_fault(stage: Stage, server: Server) -> None:
    async with opened(stage, server) as driver:
        for round_ in range(5):
            await driver.upsert(stage.source(1, [ALICE], "\n".join(f"whale {round_} {line}" for line in range(150))))
            await driver.delete({ONE})
        await until_all_have(driver)
        assert ask(stage.uri, "select count(*) from ccb.vectors") == 0
