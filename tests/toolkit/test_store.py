"""The store against a real server: what its callers rely on, and what happens when the database does not."""

import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, unquote

import anyio
import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from backends.builtin.settings import BuiltinSettings
from backends.r2r.settings import R2RSettings
from backends.supabase.settings import SupabaseSettings
from context_chat_backend.contract import (
    AccessOp,
    Busy,
    Content,
    DriverError,
    Hit,
    Misconfigured,
    Outcome,
    Overtaken,
    ProviderId,
    ProviderScope,
    Query,
    Rejected,
    Source,
    SourceId,
    SourceScope,
    Unavailable,
    UserId,
)
from context_chat_backend.settings import Settings
from context_chat_backend.toolkit.indexing.embed.settings import EmbedSettings
from context_chat_backend.toolkit.indexing.split import Chunk
from context_chat_backend.toolkit.indexing.words.terms import question_of
from context_chat_backend.toolkit.postgres import database as database_module
from context_chat_backend.toolkit.postgres.database import FOR_USERS, Database, database_errors
from context_chat_backend.toolkit.postgres.document_store import (
    LEASE_SECONDS,
    Claimed,
    DocumentStore,
    QuestionVector,
)
from context_chat_backend.toolkit.postgres.documents import Decision, trials_in
from context_chat_backend.toolkit.postgres.embedded import EmbeddedPostgres
from context_chat_backend.toolkit.postgres.migrations import Edition, store_script
from context_chat_backend.toolkit.search.calibration import Calibration, Trial
from context_chat_backend.toolkit.search.fusion import fuse
from context_chat_backend.toolkit.settings import VariableSettings, read_settings

pytest_plugins = ["tests.pg"]
pytestmark = pytest.mark.anyio

DIMENSION = 8  # of the fixture `database`
MODEL = "model a"
FILES = ProviderId("files")
ONE = SourceId("files: 1")
ALICE, BOB, CAROL = UserId("alice"), UserId("bob"), UserId("carol")


class Unread(Content):
    """The store never looks at the bytes."""

    @property
    def size(self) -> NoReturn:
        raise AssertionError

    async def sha256(self) -> NoReturn:
        raise AssertionError

    async def path(self) -> NoReturn:
        raise AssertionError

    def release(self) -> NoReturn:
        raise AssertionError


def source(source_id: str = ONE, readers: Sequence[str] = (ALICE,), modified: int = 1000, **more: Any) -> Source:
    values: dict[str, Any] = {
        "id": SourceId(source_id),
        "provider": FILES,
        "title": "a title",
        "mime_type": "text/plain",
        "modified": modified,
        "user_ids": frozenset(UserId(reader) for reader in readers),
        "content": Unread(),
    }
    return Source(**{**values, **more})


def vectors(count: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, DIMENSION), dtype=np.float32)


async def pages(*texts: str, per_page: int = 60) -> AsyncIterator[Sequence[Chunk]]:
    for start in range(0, len(texts), per_page):
        yield [Chunk(start + index, f"above {text}", text) for index, text in enumerate(texts[start:][:per_page])]


async def embed_all(store: "Store") -> None:
    """As `vectors(1)` is the question's, the first text of each source is the nearest."""
    while (claimed := await store.claim()).chunks:
        places = [
            await store.ask(f"select ordinal from ccb.chunks where chunk_id = {number}") for number in claimed.ids
        ]
        await store.put_vectors(MODEL, claimed.ids, vectors(max(places) + 1)[places])


def many(word: str, count: int = 250) -> list[str]:
    """More chunks than fit into one call."""
    return [f"{word} {number}" for number in range(count)]


class Store(DocumentStore):
    """With what the tests have to know beside."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.database = database
        self.identity = ""

    async def ping(self) -> None:
        await self.status()

    async def claim(self) -> Claimed:
        return await self.claim_chunks(MODEL, DIMENSION)

    async def ask(self, query: str) -> Any:
        with database_errors():
            async with self.database._pool.connection() as connection:
                row = await (await connection.execute(query.encode())).fetchone()
        return row[0] if row else None


@asynccontextmanager
async def open_store(
    uri: str, *, dimension: int = DIMENSION, model: str = MODEL, **options: Any
) -> AsyncIterator[Store]:
    async with Database(uri, Edition.STORE, dimension=dimension, **options) as database:
        store = Store(database)
        store.identity = (await store.open(dimension=dimension, model=model))["store_id"]
        yield store


@pytest.fixture
async def store(database: str, anyio_backend: str) -> AsyncIterator[Store]:
    async with open_store(database) as entered:
        yield entered


async def search(store: Store, user: UserId, words: str, limit: int, scope: Any = None) -> list[Hit]:
    query = Query(user_id=user, text=words, limit=limit, scope=scope)
    embedding = vectors(1)[0]
    question = question_of(words, {"en": 1})
    found = await store.search(query, QuestionVector(embedding, MODEL), question)
    return fuse(
        found.candidates,
        mass=found.mass,
        unknown=0,
        question=question,
        embedding=embedding,
        calibration=Calibration(),
        limit=limit,
    )


async def found(store: Store, user: UserId, words: str = "", scope: Any = None) -> list[Hit]:
    return await search(store, user, words, 100, scope)


async def put(store: Store, source: Source, *texts: str) -> Outcome:
    outcome = await store.publish(source, str(texts), pages(*texts))
    await embed_all(store)
    return outcome


def ask(uri: str, query: str) -> Any:
    with psycopg.connect(uri, autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


# -- storing and finding


async def test_a_published_source_is_found_by_its_readers(store: Store) -> None:
    assert (await store.begin(source(readers=[ALICE, BOB]), "hash")).state is Decision.INDEX
    assert await put(store, source(readers=[ALICE, BOB]), "the whale", "the sea") is Outcome.CREATED
    for user in (ALICE, BOB):
        first, second = await found(store, user, "whale")
        assert (first.source_id, first.title, first.text) == (ONE, "a title", "the whale")
        assert first.score > second.score
    assert await found(store, CAROL) == []
    assert await store.count() == {FILES: 1}


async def test_a_large_document_arrives_complete_and_in_one_step(store: Store, database: str) -> None:
    texts = many("whale")

    async def watched() -> AsyncIterator[Sequence[Chunk]]:
        async for page in pages(*texts):
            yield page
            assert await found(store, ALICE) == []

    assert await store.publish(source(), "hash", watched()) is Outcome.CREATED
    await embed_all(store)
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "select content, embedding::text from ccb.chunks join ccb.vectors using (chunk_id) order by ordinal"
        ).fetchall()
    assert [content for content, _ in rows] == texts
    stored = np.array([np.fromstring(str(text)[1:-1], sep=",") for _, text in rows])
    np.testing.assert_allclose(stored, vectors(len(texts)), rtol=2**-10)


async def test_a_hit_tells_its_place_and_the_headings_above_it(store: Store) -> None:
    texts = many("whale")
    await put(store, source(), *texts)
    hits = await search(store, ALICE, "whale", 1000)
    assert {hit.ordinal: (hit.heading, hit.text) for hit in hits} == {
        place: (f"above {text}", text) for place, text in enumerate(texts)
    }


@pytest.mark.parametrize("count", [0, 1, 100, 101, 200])
async def test_any_number_of_chunks_can_be_stored(store: Store, count: int) -> None:
    assert await put(store, source(), *many("x", count)) is Outcome.CREATED
    assert len(await search(store, ALICE, "", 1000)) == count
    assert await store.count() == {FILES: 1}


async def test_begin_names_what_is_left_to_do(store: Store) -> None:
    await store.publish(source(), "hash", pages("the whale"))
    assert (await store.begin(source(readers=[BOB], modified=1000), "other")).state is Decision.UNCHANGED
    assert len(await found(store, BOB)) == len(await found(store, ALICE)) == 1
    assert (await store.begin(source(readers=[CAROL], modified=2000), "hash")).state is Decision.REFRESHED
    assert [len(await found(store, user)) for user in (ALICE, BOB, CAROL)] == [0, 0, 1]
    assert (await store.begin(source(readers=[CAROL], modified=3000), "other")).state is Decision.INDEX


async def test_two_gateways_publishing_versions_of_a_source_leave_the_newer_one(database: str) -> None:
    async with open_store(database) as one, open_store(database) as other:
        outcomes: dict[str, Outcome] = {}

        async def upsert(store: Store, word: str, modified: int) -> None:
            version = source(readers=[word], modified=modified)
            assert (await store.begin(version, word)).state is Decision.INDEX
            outcomes[word] = await store.publish(version, word, pages(*many(word)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(upsert, one, "older", 2000)
            tasks.start_soon(upsert, other, "newer", 3000)
        assert outcomes["newer"] in {Outcome.CREATED, Outcome.UPDATED}
        assert outcomes["older"] in {Outcome.CREATED, Outcome.UNCHANGED}
        assert {hit.text.split()[0] for hit in await found(one, UserId("newer"))} == {"newer"}
        assert (await found(one, UserId("older")) != []) == (outcomes["older"] is Outcome.UNCHANGED)


async def test_a_scope_narrows_the_search(store: Store) -> None:
    await put(store, source(), "whale")
    await put(store, source("mail: 2", provider=ProviderId("mail")), "whale")
    assert {hit.source_id for hit in await found(store, ALICE, "", ProviderScope(frozenset({FILES})))} == {ONE}
    assert {hit.source_id for hit in await found(store, ALICE, "", SourceScope(frozenset({SourceId("mail: 2")})))} == {
        "mail: 2"
    }
    assert await found(store, ALICE, "", SourceScope(frozenset())) == []
    assert await found(store, ALICE, "", ProviderScope(frozenset())) == []


async def test_no_more_hits_come_back_than_asked_for(store: Store) -> None:
    await put(store, source(), *many("whale", 30))
    assert len(await search(store, ALICE, "whale", 7)) == 7


async def test_a_question_with_any_characters_is_searched_for(store: Store) -> None:
    await put(store, source(), "whale")
    for words in ("whale \0", "whale \ud800", "'; drop schema ccb cascade; --", "% %s %(x)s", "& | ! ( ) :* <->", "鯨"):
        assert [hit.text for hit in await found(store, ALICE, words)] == ["whale"]


async def test_a_question_of_any_length_is_searched_for(store: Store) -> None:
    await put(store, source(), "whale", "sea")
    words = f"whale {' '.join(map(str, range(400_000)))}"
    assert [hit.text for hit in await found(store, ALICE, words)] == ["whale", "sea"]


@pytest.mark.parametrize("odd", ["a,b{}\"'\\", "日本 語", " ", "%s", "é\N{COMBINING ACUTE ACCENT}", "NULL", "x" * 500])
async def test_ids_come_back_as_they_went_in(store: Store, odd: str) -> None:
    provider, user = ProviderId(odd), UserId(odd)
    await put(store, source(odd, [odd], title=odd, provider=provider), "whale")
    assert [
        (hit.source_id, hit.title) for hit in await found(store, user, "", ProviderScope(frozenset({provider})))
    ] == [(odd, odd)]
    assert await store.count() == {odd: 1}
    assert await store.update_access(AccessOp.ALLOW, SourceId(odd), {ALICE})
    await store.delete_user(user)
    assert await found(store, user) == []
    await store.delete({SourceId(odd)})
    assert await found(store, ALICE) == []


# -- access and deletion


async def test_access_of_one_source_is_changed_and_an_unknown_one_reported(store: Store) -> None:
    await put(store, source(), "whale")
    assert await store.update_access(AccessOp.ALLOW, ONE, {BOB})
    assert await store.update_access(AccessOp.DENY, ONE, {ALICE})
    assert [len(await found(store, user)) for user in (ALICE, BOB)] == [0, 1]
    assert await store.set_access(ONE, {CAROL})
    assert [len(await found(store, user)) for user in (BOB, CAROL)] == [0, 1]
    assert await store.set_access(ONE, set())
    assert await store.count() == {}
    assert not await store.set_access(ONE, {ALICE})
    assert not await store.update_access(AccessOp.ALLOW, ONE, {ALICE})


async def test_provider_wide_changes_reach_every_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("context_chat_backend.toolkit.postgres.documents.PROVIDER_PAGE", 2)
    monkeypatch.setattr("context_chat_backend.toolkit.postgres.documents.USER_PAGE", 2)
    for number in range(5):
        await put(store, source(f"files: {number}", [ALICE, f"user {number}"]), "whale")
    await store.update_provider_access(AccessOp.ALLOW, FILES, {BOB})
    assert len(await found(store, BOB)) == 5
    await store.update_provider_access(AccessOp.DENY, FILES, {BOB})
    assert await found(store, BOB) == []
    await store.delete_user(ALICE)
    assert await found(store, ALICE) == []
    assert await store.count() == {FILES: 5}
    await store.delete_provider(FILES)
    assert await store.count() == {}


async def test_unknown_names_are_fine_in_deletions_and_provider_wide_changes(store: Store) -> None:
    await store.delete({SourceId("unknown")})
    await store.delete(set())
    await store.delete_older(SourceId("unknown"), 5000)
    await store.delete_provider(ProviderId("unknown"))
    await store.delete_user(UserId("unknown"))
    await store.update_provider_access(AccessOp.ALLOW, ProviderId("unknown"), {ALICE})


async def test_only_an_older_version_gives_way_to_one_that_cannot_be_indexed(store: Store) -> None:
    await put(store, source(), "whale")
    await store.delete_older(ONE, 1000)
    assert len(await found(store, ALICE)) == 1
    await store.delete_older(ONE, 1001)
    assert await found(store, ALICE) == []


# -- refused input


@pytest.mark.parametrize("bad", ["a\0b", "\ud800"])
@pytest.mark.parametrize("field", ["id", "provider", "title", "mime_type", "user_ids"])
async def test_characters_that_cannot_be_stored_reject_the_source(store: Store, field: str, bad: str) -> None:
    changes: dict[str, Any] = {field: frozenset([bad]) if field == "user_ids" else bad}
    version = replace(source(), **changes)
    with pytest.raises(Rejected, match="cannot store"):
        await store.begin(version, "hash")
    with pytest.raises(Rejected, match="cannot store"):
        await put(store, version, "whale")
    await store.ping()


@pytest.mark.parametrize("chunk", [Chunk(250, "", "a\0b"), Chunk(250, "a\0b", "x")], ids=["text", "heading"])
@pytest.mark.parametrize("before", [0, 250])
async def test_a_chunk_that_cannot_be_stored_rejects_the_source_and_leaves_nothing(
    store: Store, database: str, chunk: Chunk, before: int
) -> None:
    async def with_bad_end() -> AsyncIterator[Sequence[Chunk]]:
        async for good in pages(*many("x", before)):
            yield good
        yield [chunk]

    with pytest.raises(Rejected):
        await store.publish(source(), "hash", with_bad_end())
    assert ask(database, "select count(*) from ccb.documents") == 0


async def test_an_id_too_long_for_an_index_rejects_the_source(store: Store) -> None:
    long = "".join(np.random.default_rng(0).choice(list("abcdefghijklmnop"), 20_000))
    with pytest.raises(Rejected):
        await put(store, source(long), "whale")


# -- databases of older versions


VECTORS_IN_CHUNKS = """
    alter table ccb.vectors add column ordinal int, add column content text, add column heading text;
    update ccb.vectors v set ordinal = c.ordinal, content = c.content, heading = c.heading
      from ccb.chunks c where c.chunk_id = v.chunk_id;
    drop table ccb.chunks;
    alter table ccb.vectors rename to chunks;
    alter table ccb.chunks drop column claimed_at, alter column ordinal set not null, alter column content set not null;
    alter table ccb.chunks alter column embedding set not null, alter column heading set not null;
    alter table ccb.chunks alter column chunk_id add generated always as identity;
    alter table ccb.chunks add foreign key (doc_id) references ccb.documents (doc_id) on delete cascade;
    drop index ccb.vectors_doc_idx, ccb.vectors_missing_idx;
    alter index ccb.vectors_pkey rename to chunks_pkey;
    alter index ccb.vectors_embedding_hnsw rename to chunks_embedding_hnsw;
    create unique index chunks_doc_idx on ccb.chunks (doc_id, ordinal);"""
VERSION_2 = f"""
    set search_path to ccb, public;
    {VECTORS_IN_CHUNKS}
    alter table ccb.chunks drop column heading;
    alter table ccb.chunks add column tsv tsvector generated always as (to_tsvector('simple', content)) stored;
    create index chunks_tsv_gin on ccb.chunks using gin (tsv);
    create table ccb.common_terms (lexeme text primary key, freq real not null);
    insert into ccb.settings values ('text_candidates', '500');
    drop table ccb.chunk_words, ccb.terms, ccb.counted_terms;
    alter table ccb.documents drop column words_title;
    create function ccb.search(text, halfvec, text, int, text[], text[], text) returns table (
      source_id text, provider text, title text, doc_type text, modified bigint,
      ordinal int, content text, score float8, distance float8)
    language sql as $$ select null::text, '', '', '', 0::bigint, 0, '', 0::float8, 0::float8 $$;
    update ccb.settings set value = '2' where key = 'schema_version';
    update ccb.settings set value = 'others' where key = 'functions'"""


@pytest.mark.parametrize("upgrade", ["", store_script(DIMENSION)], ids=["by the gateway", "by the script"])
async def test_what_was_stored_without_headings_is_found_with_empty_ones(database: str, upgrade: str) -> None:
    async with open_store(database) as store:
        await put(store, source(), "the whale", "the sea")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(VERSION_2.encode())
    for _ in range(2):
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(upgrade.encode())
        async with open_store(database) as store:
            while await store.make_words():
                pass
            hits = await found(store, ALICE, "whale")
            assert hits[0].text == "the whale"
            assert sorted((hit.ordinal, hit.heading, hit.text) for hit in hits) == [
                (0, "", "the whale"),
                (1, "", "the sea"),
            ]
    assert ask(database, "select value from ccb.settings where key = 'schema_version'") == "8"


COUNTS = "select jsonb_object_agg(term, chunks) from ccb.terms"
TRIAL = Trial(64, strength=4.2, own=0.7, others=0.1)
VERSION_4 = f"""
    {VECTORS_IN_CHUNKS}
    drop table ccb.counted_terms;
    create table ccb.counted_terms (batch_id bigint generated always as identity primary key, terms int[] not null);
    insert into ccb.counted_terms (terms) values ('{{4711, 0, 0}}'), ('{{4711, 0}}');
    update ccb.settings set value = '4' where key = 'schema_version';
    update ccb.settings set value = 'others' where key = 'functions'"""


@pytest.mark.parametrize("upgrade", ["", store_script(DIMENSION)], ids=["by the gateway", "by the script"])
async def test_what_was_counted_and_found_out_before_is_kept(database: str, upgrade: str) -> None:
    async with open_store(database) as store:
        await put(store, source(), "the whale", "the sea")
        await store.keep_trials(MODEL, {"en": TRIAL})
    counts = ask(database, COUNTS)
    for script in (VERSION_4, upgrade):
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(script.encode())
    async with open_store(database) as store:
        assert ask(database, COUNTS) == {**counts, "0": counts["0"] + 3, "4711": 2}
        status = await store.status()
        assert status["schema_version"] == "8"
        assert trials_in(status) == {"en": TRIAL}
        assert not await store.make_words()
        assert [hit.text for hit in await found(store, ALICE, "whale")][:1] == ["the whale"]


# -- vectors


AGE_CLAIMS = (
    f"update ccb.vectors set claimed_at = now() - interval '{LEASE_SECONDS + 1} seconds' where embedding is null"
)


async def test_what_is_stored_is_found_by_its_words_before_it_has_vectors(store: Store) -> None:
    await put(store, source("files: 2"), "the sea", "the shore")
    await store.publish(source(), "hash", pages("the whale"))
    assert await store.waiting_chunks(MODEL) == 1
    hits = await found(store, ALICE, "whale")
    assert [hit.text for hit in hits] == ["the whale", "the sea", "the shore"]
    assert ONE in {hit.source_id for hit in await found(store, ALICE, "mountain")}  # nothing is known of it yet
    assert {sample.text for sample in await store.samples(MODEL)} == {"the sea", "the shore"}
    await embed_all(store)
    assert await store.waiting_chunks(MODEL) == 0
    assert len(await store.samples(MODEL)) == 3


async def test_chunks_are_claimed_once_the_newest_first(store: Store, database: str) -> None:
    await store.publish(source(), "hash", pages(*many("old", 150)))
    await store.publish(source("files: 2"), "hash", pages(*many("new", 50)))
    first, second, third = [await store.claim() for _ in range(3)]
    assert [len(claimed.ids) for claimed in (first, second, third)] == [100, 100, 0]
    assert {claimed.waiting for claimed in (first, second, third)} == {200}
    assert {f"new {number}" for number in range(50)} < {chunk.text for chunk in first.chunks}
    assert {chunk.title for chunk in first.chunks} == {"a title"}
    assert {chunk.heading for chunk in second.chunks} == {f"above old {number}" for number in range(100)}
    await store.put_vectors(MODEL, first.ids, vectors(100))
    assert (await store.claim()).waiting == 100
    ask(database, AGE_CLAIMS)
    assert sorted((await store.claim()).ids) == sorted(second.ids)
    await store.release_chunks(MODEL, second.ids[:30])
    assert sorted((await store.claim()).ids) == sorted(second.ids[:30])
    await store.release_chunks(MODEL)
    assert sorted((await store.claim()).ids) == sorted(second.ids)


async def test_a_vector_of_what_is_gone_or_has_one_changes_nothing(store: Store, database: str) -> None:
    await store.publish(source(), "hash", pages("the whale"))
    claimed = await store.claim()
    await store.put_vectors(MODEL, claimed.ids, vectors(1))
    embedding = ask(database, "select embedding::text from ccb.vectors")
    await store.put_vectors(MODEL, claimed.ids, vectors(1, seed=9))
    assert ask(database, "select embedding::text from ccb.vectors") == embedding
    await store.delete({ONE})
    await store.put_vectors(MODEL, claimed.ids, vectors(1))
    assert ask(database, "select count(*) from ccb.vectors") == 0


@pytest.mark.parametrize("bad", [np.zeros((1, DIMENSION + 1), np.float32), np.full((1, DIMENSION), np.nan, np.float32)])
async def test_a_vector_that_cannot_be_stored_is_refused(store: Store, bad: NDArray[np.float32]) -> None:
    await store.publish(source(), "hash", pages("the whale"))
    with pytest.raises(Rejected):
        await store.put_vectors(MODEL, (await store.claim()).ids, bad)
    assert await store.waiting_chunks(MODEL) == 1


# -- what words tell of others


async def test_the_order_of_ones_own_documents_does_not_tell_how_many_of_others_have_a_number(store: Store) -> None:
    for item, text in enumerate(["QX-48151", "ZK-31337"]):
        await put(store, source(f"files: {item}", [BOB]), text)
    alone = {hit.text: hit.score for hit in await found(store, BOB, "QX-48151 ZK-31337")}
    for item in range(2, 12):
        await put(store, source(f"files: {item}", [ALICE]), "ZK-31337")
    assert {hit.text: hit.score for hit in await found(store, BOB, "QX-48151 ZK-31337")} == pytest.approx(alone)


# -- interruptions


async def test_a_publication_that_fails_or_is_cancelled_leaves_the_old_version_only(
    store: Store, database: str
) -> None:
    await put(store, source(), "old")
    newer = source(modified=2000)

    async def failing() -> AsyncIterator[Sequence[Chunk]]:
        async for page in pages(*many("new")):
            yield page
        raise RuntimeError("embedding failed")

    with pytest.raises(RuntimeError, match="embedding failed"):
        await store.publish(newer, "hash", failing())

    with anyio.CancelScope() as scope:

        async def cancelled() -> AsyncIterator[Sequence[Chunk]]:
            async for page in pages(*many("new")):
                yield page
            scope.cancel()
            await anyio.sleep_forever()

        await store.publish(newer, "hash", cancelled())
    assert scope.cancelled_caught
    assert ask(database, "select count(*) from ccb.documents") == 1
    assert [hit.text for hit in await found(store, ALICE)] == ["old"]


async def test_a_source_deleted_while_it_is_staged_is_to_be_tried_again(store: Store) -> None:
    async def deleted() -> AsyncIterator[Sequence[Chunk]]:
        async for page in pages(*many("new")):
            yield page
        await store.delete({ONE})

    with pytest.raises(Overtaken):
        await store.publish(source(), "hash", deleted())
    assert await store.count() == {}


async def test_staged_leftovers_are_removed_after_a_day(database: str) -> None:
    ask(
        database,
        "insert into ccb.documents (source_id, provider, title, doc_type, modified, content_hash, created_at)"
        " select 'files: ' || d, 'files', '', '', 1, '', now() - d * interval '1 hour' from unnest(array[23, 25]) d",
    )
    async with open_store(database) as store:
        await store.collect_garbage()
        assert ask(database, "select array_agg(source_id) from ccb.documents") == ["files: 23"]


async def test_a_conflict_is_repeated_in_place(store: Store, database: str) -> None:
    ask(database, "create sequence attempts")
    ask(
        database,
        """create or replace function public.ccb_delete_sources(p_source_ids text[]) returns int
           language plpgsql as $$ begin
             if nextval('attempts') < 3 then raise exception 'conflict' using errcode = '40001'; end if;
             return 0;
           end $$""",
    )
    await store.delete({ONE})
    assert ask(database, "select last_value from attempts") == 3


@pytest.fixture
def unlucky_server() -> Iterator[Path]:
    """A folder for a server that a test kills."""
    with tempfile.TemporaryDirectory(prefix="ccb-test-") as folder:
        yield Path(folder)


def kill(folder: Path, uri: str) -> None:
    """All of its processes at once, as the end of a container does it."""
    postmaster = int((folder / "cluster" / "postmaster.pid").read_text().splitlines()[0])
    for pid in [postmaster, *ask(uri, "select array_agg(pid) from pg_stat_activity where pid <> pg_backend_pid()")]:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
async def test_a_server_killed_while_a_document_is_staged_recovers_without_a_trace_of_it(unlucky_server: Path) -> None:
    async with EmbeddedPostgres(unlucky_server) as server, open_store(server.uri) as store:
        await put(store, source(), "old")

        async def killing() -> AsyncIterator[Sequence[Chunk]]:
            async for page in pages(*many("new")):
                yield page
            kill(unlucky_server, server.uri)

        with pytest.raises(Unavailable):
            await store.publish(source(modified=2000), "hash", killing())
        with pytest.raises(Unavailable):
            await store.ping()
        async with EmbeddedPostgres(unlucky_server):
            await until_available(store)
            assert [hit.text for hit in await found(store, ALICE)] == ["old"]
            assert await put(store, source(modified=2000), "new") is Outcome.UPDATED
            assert [hit.text for hit in await found(store, ALICE)] == ["new"]


async def until_available(store: Store) -> None:
    with anyio.fail_after(60):
        while True:
            try:
                return await store.ping()
            except Unavailable:
                await anyio.sleep(0.05)


async def test_lost_connections_fail_once_and_are_replaced(store: Store, database: str) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(store.ping)
    ask(
        database,
        "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()",
    )
    with pytest.raises(Unavailable):
        await store.ping()
    await until_available(store)
    for _ in range(8):
        await store.ping()


# -- opening


async def test_a_store_installs_itself_and_keeps_its_identity(empty_database: str) -> None:
    async with open_store(empty_database) as store:
        identity = store.identity
        await put(store, source(), "whale")
    async with open_store(empty_database) as store:
        assert store.identity == identity
        assert len(await found(store, ALICE)) == 1
        status = await store.status()
        assert (status["embedding_model"], status["embedding_dim"], status["schema_version"]) == ("model a", "8", "8")
    ask(empty_database, "drop schema ccb cascade")
    async with open_store(empty_database) as store:
        assert store.identity != identity
        assert await found(store, ALICE) == []


async def test_gateways_that_start_at_once_on_an_empty_database_share_one_store(empty_database: str) -> None:
    identities: list[str] = []

    async def start() -> None:
        async with open_store(empty_database) as store:
            identities.append(store.identity)

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(start)
    assert len(identities) == 4
    assert len(set(identities)) == 1


async def test_functions_of_another_version_are_replaced_when_a_store_is_opened(database: str) -> None:
    ask(database, "update ccb.settings set value = 'other' where key = 'functions'")
    ask(
        database,
        "create or replace function public.ccb_delete_sources(p_source_ids text[]) returns int"
        " language sql as 'select 7'",
    )
    async with open_store(database) as store:
        await put(store, source(), "whale")
        await store.delete({ONE})
        assert await store.count() == {}


async def refused(uri: str, **options: Any) -> str:
    with pytest.raises(Misconfigured) as error:
        async with open_store(uri, **options):
            pytest.fail("opened")
    return str(error.value)


async def test_a_newer_schema_is_refused_and_left_alone(database: str) -> None:
    ask(database, "update ccb.settings set value = '99' where key = 'schema_version'")
    ask(database, "drop function ccb_status")
    assert "99" in await refused(database)
    assert ask(database, "select to_regproc('public.ccb_status') is null")


async def test_a_model_that_makes_longer_vectors_than_before_is_refused_with_the_cure(database: str) -> None:
    async with open_store(database):
        pass
    message = await refused(database, dimension=16)
    for part in ("8 dimensions", "16", "empty database"):
        assert part in message


async def test_an_old_pgvector_is_refused_with_the_cure(empty_database: str) -> None:
    ask(empty_database, "create extension vector")
    ask(empty_database, "update pg_extension set extversion = '0.7.4' where extname = 'vector'")
    message = await refused(empty_database)
    assert "0.7.4" in message
    assert "ALTER EXTENSION vector UPDATE" in message
    assert ask(empty_database, "select to_regnamespace('ccb') is null")


async def test_a_user_without_the_right_to_install_pgvector_is_told_what_to_do(
    empty_database: str, plain_user: str
) -> None:
    assert "CREATE EXTENSION vector" in await refused(as_user(empty_database, plain_user))


async def test_a_user_without_the_right_to_change_the_schema_can_use_a_store_that_is_up_to_date(
    database: str, plain_user: str
) -> None:
    ask(database, f"grant usage on schema ccb to {plain_user}")
    ask(database, f"grant all on all tables in schema ccb to {plain_user}")
    ask(database, f"grant execute on all functions in schema ccb, public to {plain_user}")
    async with open_store(as_user(database, plain_user)) as store:
        assert await put(store, source(), "whale") is Outcome.CREATED
    ask(database, "update ccb.settings set value = '' where key = 'functions'")
    assert "42501" in await refused(as_user(database, plain_user))


@pytest.fixture
def plain_user(postgres: str, empty_database: str, database: str) -> Iterator[str]:
    ask(postgres, "create role plain_user login")
    yield "plain_user"
    for uri in (empty_database, database):
        ask(uri, "drop owned by plain_user")
    ask(postgres, "drop role plain_user")


def as_user(uri: str, user: str) -> str:
    return uri.replace("postgres@", f"{user}@")


@pytest.mark.parametrize("prepare", [True, False])
async def test_a_pooler_in_transaction_mode_gets_neither_prepared_statements_nor_session_settings(
    database: str, prepare: bool
) -> None:
    async with open_store(database, prepare=prepare, pool_size=1, statement_timeout=12) as store:
        for _ in range(10):
            await store.count()
        prepared = await store.ask("select count(*) from pg_prepared_statements")
        timeout = await store.ask("select current_setting('statement_timeout')")
    assert (prepared > 0, timeout) == ((True, "12s") if prepare else (False, "0"))


async def test_a_statement_that_takes_too_long_is_given_up(database: str) -> None:
    async with open_store(database, statement_timeout=0.5) as store:
        with pytest.raises(Unavailable, match="57014"):
            await store.ask("select pg_sleep(10)")


async def test_an_unreachable_database_is_named_without_the_password() -> None:
    url = f"postgresql://gateway:{quote('pass word/@', safe='')}@127.0.0.1:1/db"
    with pytest.raises(Unavailable) as error:
        async with open_store(url):
            pytest.fail("opened")
    assert "127.0.0.1" in str(error.value)
    assert "pass word" not in repr(error.value)
    assert "pass word" not in repr(error.value.__cause__)


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("08006", Unavailable),
        ("57P01", Unavailable),
        ("53300", Busy),
        ("40001", Busy),
        ("40P01", Busy),
        ("55P03", Busy),
        ("28P01", Misconfigured),
        ("3D000", Misconfigured),
        ("42501", Misconfigured),
        ("42P01", Misconfigured),
        ("0A000", Misconfigured),
        ("22021", Rejected),
        ("54000", Rejected),
    ],
)
async def test_an_error_of_the_server_says_who_has_to_act(postgres: str, state: str, kind: type[DriverError]) -> None:
    statement = f"do $$ begin raise exception 'why' using errcode = '{state}', detail = 'a secret text'; end $$"
    with pytest.raises(kind) as error, database_errors():
        ask(postgres, statement)
    assert str(error.value) == f"database: why ({state})."


# -- settings


@pytest.mark.parametrize("variable", ["CCB_DB_URL", "EXTERNAL_DB"])
@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_the_url_is_taken_from_either_variable_in_either_form(variable: str, scheme: str) -> None:
    given = f"{scheme}://me:a%2Fb%40c@host:6543/db?sslmode=require&host=/var/run"
    url = read_settings(BuiltinSettings, {"CCB_DB_URL": "", "EXTERNAL_DB": "", variable: given}).db_url
    assert url is not None
    assert conninfo_to_dict(url.get_secret_value()) == {
        "user": "me",
        "password": "a/b@c",
        "host": "/var/run",
        "port": "6543",
        "dbname": "db",
        "sslmode": "require",
    }


def test_without_a_url_there_is_none() -> None:
    assert read_settings(BuiltinSettings, {"CCB_DB_URL": ""}).db_url is None


def test_a_replica_of_nothing_is_refused() -> None:
    with pytest.raises(Misconfigured, match="CCB_DB_READ_URL needs CCB_DB_URL"):
        read_settings(BuiltinSettings, {"CCB_DB_READ_URL": "postgresql://replica/db"})


@pytest.mark.parametrize(
    "url", ["mysql://me:secret@host/db", "postgresql://me:secret@host:x y/db?nonsense=1", "secret"]
)
def test_a_malformed_url_is_refused_by_the_name_of_its_variable_without_the_password(url: str) -> None:
    with pytest.raises(Misconfigured) as error:
        read_settings(BuiltinSettings, {"CCB_DB_URL": url})
    assert "CCB_DB_URL" in str(error.value)
    assert "secret" not in str(error.value)
    assert "secret" not in repr(error.value)


@pytest.mark.parametrize("password", ["p@rt", "p/rt@", "12/p@rt", "p@12/rt", "p@rt/", "p@rt?x=1", "p@rt#", "a@b@c"])
@pytest.mark.parametrize("variable", ["CCB_DB_URL", "EXTERNAL_DB"])
def test_no_part_of_a_password_is_taken_for_a_host(variable: str, password: str) -> None:
    """It would be named in every message about the host."""
    url = f"postgresql+psycopg://me:{password}@db.example.org:5432/name"
    with pytest.raises(Misconfigured, match="percent-encoded") as error:
        read_settings(BuiltinSettings, {variable: url})
    assert password not in str(error.value)


@pytest.mark.parametrize("password", ["p?rt", "p#rt", "p:rt", "p&rt", "p+rt", "p[rt", "p%40r%2Ft"])
def test_other_characters_of_a_password_are_its_own(password: str) -> None:
    given = f"postgresql://me:{password}@db.example.org:5432/name"
    url = read_settings(BuiltinSettings, {"CCB_DB_URL": given}).db_url
    assert url is not None
    taken = conninfo_to_dict(url.get_secret_value())
    assert (taken["password"], taken["host"]) == (unquote(password), "db.example.org")


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        (R2RSettings, "R2R_BASE_URL"),
        (Settings, "NEXTCLOUD_URL"),
        (EmbedSettings, "CC_EM_BASE_URL"),
        (SupabaseSettings, "SUPABASE_URL"),
    ],
)
@pytest.mark.parametrize("password", ["part", "p@rt", "12/p@rt", "p#rt", "p?rt"])
def test_no_address_of_a_server_holds_a_password(
    settings: type[VariableSettings], variable: str, password: str
) -> None:
    with pytest.raises(Misconfigured, match=variable) as error:
        read_settings(settings, {variable: f"https://me:{password}@server.example.org"})
    assert password not in str(error.value)


def test_the_password_is_not_shown() -> None:
    settings = BuiltinSettings(db_url=SecretStr("postgresql://me:secret@host/db"))
    assert "secret" not in repr(settings)


async def test_functions_of_questions_are_known_by_the_names_that_they_have() -> None:
    scripts = (Path(database_module.__file__).parent / "sql").rglob("*.sql")
    text = "".join(path.read_text("utf-8") for path in scripts)
    assert [name for name in FOR_USERS if f"function public.{name}(" not in text] == []


async def test_uploads_that_take_all_connections_they_may_leave_those_of_questions(
    database: str, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("context_chat_backend.toolkit.postgres.database.OTHERS_TIMEOUT", 0.2)
    async with open_store(database, pool_size=4) as store, await psycopg.AsyncConnection.connect(database) as other:
        await other.execute("lock table ccb.documents in access exclusive mode")
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(store.delete, {SourceId("files: 1")})
            await until_waiting(other, 2)
            with pytest.raises(Unavailable, match="no database connection"):
                await store.delete({SourceId("files: 2")})
            with anyio.fail_after(2):
                await store.status()
            await other.rollback()


async def until_waiting(connection: psycopg.AsyncConnection[Any], number: int) -> None:
    """For a lock of this connection."""
    row = (0,)
    while row != (number,):
        cursor = await connection.execute(
            "select count(*) from pg_locks join pg_database on pg_database.oid = database "
            "where not granted and datname = current_database()"
        )
        row = await cursor.fetchone() or (0,)
        await anyio.sleep(0.01)
