"""Another embedding model for a store that goes on serving."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import psycopg
import pytest
from pydantic import SecretStr

from backends.builtin.driver import BuiltinDriver
from backends.builtin.settings import BuiltinSettings
from context_chat_backend.contract import Level, Misconfigured, Query, ReembedAction, Reembedded, SourceId
from context_chat_backend.toolkit.search.settings import SearchSettings

from .catalogue_stage import ALICE, Stage, WordEmbedder
from .test_store import ask
from .test_vectors import Server, TitledIndexer

pytest_plugins = ["tests.pg"]
pytestmark = pytest.mark.anyio

DIMENSION = 8  # of the fixture `database`
NEW_DIMENSION = 12
MEANING = SearchSettings.model_validate({"by": "meaning"})
TEXT = "\n".join(f"whale {line}" for line in range(150))
TABLES = "select array_agg(relname order by relname) from pg_class where relname like '%vectors' and relkind = 'r'"
INDEXES = "select array_agg(indexname order by indexname) from pg_indexes where tablename = 'vectors'"
LATE = """insert into ccb.chunks (doc_id, ordinal, heading, content)
  select max(doc_id), 99, '', 'late' from ccb.documents"""
DIMENSIONS = "select array_agg(distinct vector_dims(embedding)) from ccb.vectors"


class New(Server):
    """Another model."""

    def __init__(self, name: str = "new") -> None:
        super().__init__()
        self.model_name, self.dimension = name, NEW_DIMENSION


def forgotten(name: str) -> WordEmbedder:
    raise Misconfigured(f"nobody knows {name}")


@pytest.fixture
def stage(database: str, tmp_path: Path) -> Stage:
    """Its database is that of the drivers here."""
    return Stage(database, tmp_path)


def make(
    stage: Stage,
    embedder: WordEmbedder,
    former: Callable[[str], WordEmbedder] | None = WordEmbedder,
    search: SearchSettings = MEANING,
) -> BuiltinDriver:
    settings = BuiltinSettings(db_url=SecretStr(stage.uri))
    return BuiltinDriver(settings, TitledIndexer(embedder, former), search, stage.folder)


@asynccontextmanager
async def filled(stage: Stage) -> AsyncIterator[BuiltinDriver]:
    """With two sources and their vectors, of the model "words"."""
    async with make(stage, WordEmbedder()) as driver:
        await driver.upsert(stage.source(1, [ALICE], TEXT))
        await driver.upsert(stage.source(2, [ALICE], "the sea\nthe shore"))
        await until(lambda: driver.waiting == 0)
        yield driver


async def until(reached: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not reached():  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.01)


async def reembed(
    stage: Stage, action: ReembedAction | None = None, embedder: WordEmbedder | None = None
) -> Reembedded:
    return await make(stage, embedder or New()).reembed(action)


async def best(driver: BuiltinDriver, text: str = "title 2\nabove the sea\nthe sea") -> str:
    return (await driver.search(Query(user_id=ALICE, text=text, limit=3)))[0].text


async def subjects(driver: BuiltinDriver) -> dict[str, Level]:
    return {finding.subject: finding.level for finding in await driver.check()}


def searched_with(stage: Stage) -> str:
    return str(ask(stage.uri, "select value from ccb.settings where key = 'embedding_model'"))


async def test_a_store_with_vectors_of_another_model_goes_on_with_that_one_and_says_so(stage: Stage) -> None:
    async with filled(stage):
        pass
    new = New()
    async with make(stage, new) as driver:
        assert await best(driver) == "the sea"
        assert (await subjects(driver))["model"] is Level.WARNING
        await driver.upsert(stage.source(3, [ALICE], "the moon"))
        await until(lambda: driver.waiting == 0)
        assert await best(driver, "title 3\nabove the moon\nthe moon") == "the moon"
    assert ask(stage.uri, DIMENSIONS) == [DIMENSION]
    assert new.texts == []


async def test_searches_change_over_once_all_vectors_are_made(stage: Stage) -> None:
    async with filled(stage):
        pass
    indexes = ask(stage.uri, INDEXES)
    new = New()
    async with make(stage, new) as driver:
        new.hangs = True
        state = await reembed(stage, ReembedAction.START)
        assert (state.model, state.next_model, state.chunks, state.waiting) == ("words", "new", 152, 152)
        await driver.upsert(stage.source(3, [ALICE], "the moon"))
        await until(lambda: driver.waiting == 0)
        assert await best(driver, "title 3\nabove the moon\nthe moon") == "the moon"
        await driver.delete({SourceId("files: 2")})
        assert searched_with(stage) == "words"
        new.hangs = False
    async with make(stage, New()) as driver:  # goes on where the other one stopped
        answers = 0
        with anyio.fail_after(20):
            while searched_with(stage) == "words":
                assert await best(driver, "title 3\nabove the moon\nthe moon") == "the moon"
                answers += 1
        assert answers
        assert await best(driver, "title 3\nabove the moon\nthe moon") == "the moon"
        assert "model" not in await subjects(driver)
        assert driver.waiting == 0
    assert ask(stage.uri, TABLES) == ["vectors"]
    assert ask(stage.uri, INDEXES) == indexes
    assert ask(stage.uri, DIMENSIONS) == [NEW_DIMENSION]
    assert ask(stage.uri, "select count(*) from ccb.vectors v full join ccb.chunks c using (chunk_id)") == 151
    state = await reembed(stage)
    assert (state.model, state.next_model, state.waiting, state.paused) == ("new", None, 0, False)


async def test_another_gateway_follows_within_the_same_question(stage: Stage) -> None:
    async with filled(stage):
        pass
    async with make(stage, New()) as one, make(stage, New()) as other:
        await reembed(stage, ReembedAction.START)
        await one.upsert(stage.source(3, [ALICE], "the moon"))  # only this one is woken
        await until(lambda: searched_with(stage) == "new")
        for driver in (one, other):
            assert await best(driver) == "the sea"
            assert "model" not in await subjects(driver)


async def test_a_change_is_paused_resumed_and_undone(stage: Stage) -> None:
    async with filled(stage):
        pass
    await reembed(stage, ReembedAction.START)
    assert (await reembed(stage, ReembedAction.PAUSE)).paused
    new = New()
    async with make(stage, new) as driver:
        await driver.upsert(stage.source(3, [ALICE], "the moon"))
        await until(lambda: driver.waiting == 0)
        assert new.texts == []
        assert not (await reembed(stage, ReembedAction.RESUME)).paused
        await driver.upsert(stage.source(4, [ALICE], "the sun"))  # wakes it
        await until(lambda: searched_with(stage) == "new")
    old = WordEmbedder()
    await reembed(stage, ReembedAction.START, old)
    state = await reembed(stage, ReembedAction.UNDO, old)
    assert (state.model, state.next_model) == ("new", None)
    assert ask(stage.uri, TABLES) == ["vectors"]
    await reembed(stage, ReembedAction.UNDO, old)


async def test_without_the_former_model_words_are_left_until_the_new_one_is_there(stage: Stage) -> None:
    async with filled(stage):
        pass
    async with make(stage, New(), forgotten, SearchSettings()) as driver:
        assert await best(driver, "sea") == "the sea"
        assert (await subjects(driver))["model"] is Level.WARNING
        await reembed(stage, ReembedAction.START)
        await driver.upsert(stage.source(3, [ALICE], "the moon"))
        await until(lambda: searched_with(stage) == "new")
        assert "model" not in await subjects(driver)
    async with make(stage, New(), forgotten) as driver:
        assert await best(driver) == "the sea"


async def test_a_former_model_that_makes_other_vectors_now_is_not_used(stage: Stage) -> None:
    async with filled(stage):
        pass
    async with make(stage, New(), lambda name: WordEmbedder(name, DIMENSION + 1), SearchSettings()) as driver:
        assert await best(driver, "sea") == "the sea"


@pytest.mark.parametrize(("embedder", "message"), [(WordEmbedder(), "already"), (New("third"), '"new" are being made')])
async def test_what_makes_no_sense_is_refused_and_changes_nothing(
    stage: Stage, embedder: WordEmbedder, message: str
) -> None:
    async with filled(stage):
        pass
    await reembed(stage, ReembedAction.START)
    with pytest.raises(Misconfigured, match=message):
        await reembed(stage, ReembedAction.START, embedder)
    assert (await reembed(stage)).next_model == "new"


async def test_a_document_that_is_being_stored_when_it_begins_is_not_forgotten(stage: Stage) -> None:
    async with filled(stage):
        pass
    with psycopg.connect(stage.uri) as connection:
        connection.execute(LATE)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reembed, stage, ReembedAction.START)
            await anyio.sleep(0.3)
            connection.commit()
    ask(stage.uri, "select ccb.prepare_next(100)")
    missing = "select count(*) from ccb.chunks left join ccb.next_vectors n using (chunk_id) where n.chunk_id is null"
    assert ask(stage.uri, missing) == 0
    assert ask(stage.uri, "select count(*) from ccb.next_vectors") == 153
