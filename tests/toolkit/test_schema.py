"""The SQL functions, called as any client of them would: by a plain connection, with jsonb."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import psycopg
import pytest
from psycopg.types.json import Jsonb

from context_chat_backend.toolkit.indexing.words.terms import chunk_words, question_of, term
from context_chat_backend.toolkit.postgres.document_store import word_argument
from context_chat_backend.toolkit.postgres.migrations import Edition, migrate
from tests.doubles.postgrest import prepare_database

pytest_plugins = ["tests.pg"]


Connection = psycopg.Connection[tuple[Any, ...]]

DIMENSION = 8  # of the fixture `database`
MODEL = "model a"

INVARIANTS = {
    "a membership without its group": """
        select count(*) from ccb.group_members m where not exists (
          select 1 from ccb.access_groups g where g.group_id = m.group_id and m.user_no = any (g.members))""",
    "a member without its membership": """
        select count(*) from ccb.access_groups g, unnest(members) u where not exists (
          select 1 from ccb.group_members m where m.group_id = g.group_id and m.user_no = u)""",
    "a member who is nobody": """
        select count(*) from ccb.access_groups g, unnest(members) u where not exists (
          select 1 from ccb.users x where x.user_no = u)""",
    "a group without documents": """
        select count(*) from ccb.access_groups g where not exists (
          select 1 from ccb.documents d where d.group_id = g.group_id)""",
    "a wrong digest": "select count(*) from ccb.access_groups where digest <> ccb.digest_of(members)",
    "a wrong chunk count": """
        select count(*) from ccb.documents d where group_id is not null
           and chunk_count <> (select count(*) from ccb.chunks c where c.doc_id = d.doc_id)""",
    "a chunk without its place for a vector, or the other way round": """
        select count(*) from ccb.chunks c full join ccb.vectors v using (chunk_id)
         where c.doc_id is distinct from v.doc_id""",
    "a document in a group of another provider": """
        select count(*) from ccb.documents d join ccb.access_groups g using (group_id)
         where g.provider <> d.provider""",
}


@pytest.fixture
def db(database: str) -> Iterator[Connection]:
    with psycopg.connect(database, autocommit=True) as connection:
        one(connection, "select ccb_open_store(%s, %s)", DIMENSION, MODEL)
        yield connection
        assert violations(connection) == {}


def violations(db: Connection) -> dict[str, int]:
    counts = {name: one(db, query) for name, query in INVARIANTS.items()}
    return {name: count for name, count in counts.items() if count}


def one(db: Connection, query: str, *parameters: object) -> Any:
    row = db.execute(query.encode(), parameters or None).fetchone()
    return row[0] if row else None


def vector(seed: int) -> list[float]:
    numbers = random.Random(seed)
    return [round(numbers.gauss(0, 1), 4) for _ in range(DIMENSION)]


def words(text: str) -> dict[str, object]:
    return word_argument(chunk_words("", "", text))


def source(
    number: int, users: Sequence[str], provider: str = "files", chunks: int = 3, text: str = "hello world", **more: Any
) -> dict[str, Any]:
    described = {
        "source_id": f"{provider}: {number}",
        "provider": provider,
        "title": f"title {number}",
        "type": "text/plain",
        "modified": 1000,
        "content_hash": f"{text} {chunks}",
        "users": list(users),
        "chunks": [
            {"ordinal": i, "content": content, "embedding": vector(number * 100 + i), "words": words(content)}
            for i in range(chunks)
            for content in [f"{text} doc{number} chunk{i}"]
        ],
    }
    return {**described, **more}


def put(db: Connection, *sources: dict[str, Any]) -> list[str]:
    """As a gateway does it: begin, store if that is needed, and make the vectors later."""
    outcomes = []
    for each in sources:
        begun = one(db, "select ccb_begin_upsert(%s)", Jsonb(without_chunks(each)))
        if begun["state"] == "index":
            outcomes.append(one(db, "select ccb_store_source(%s)", Jsonb({**each, "ticket": begun["ticket"]})))
            put_vectors(db, each)
        else:
            outcomes.append(begun["state"])
    return outcomes


def put_vectors(db: Connection, described: dict[str, Any], form: Callable[[list[float]], object] = list) -> None:
    find = "select chunk_id, ordinal from ccb.chunks join ccb.documents using (doc_id) where source_id = %s"
    chunks = {chunk["ordinal"]: chunk for chunk in described["chunks"]}
    vectors = [
        {"chunk_id": number, "embedding": form(chunks[ordinal]["embedding"])}
        for number, ordinal in db.execute(find, [described["source_id"]])
    ]
    one(db, "select ccb_put_vectors(%s, %s)", MODEL, Jsonb(vectors))


def without_chunks(described: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in described.items() if key != "chunks"}


def begin(db: Connection, described: dict[str, Any]) -> str:
    return str(one(db, "select ccb_begin_upsert(%s)", Jsonb(without_chunks(described)))["state"])


def search(db: Connection, user: str, embedding: list[float] | None = None, **arguments: Any) -> list[Any]:
    named = {
        "p_user": user,
        "p_embedding": str(embedding) if embedding else None,
        "p_model": MODEL,
        "p_depth": 100,
        "p_limit": 1000,
        **arguments,
    }
    call = ", ".join(f"{name} => %({name})s" for name in named)
    (found,) = db.execute(f"select ccb_search({call})".encode(), named).fetchone() or ([],)
    return sorted(
        ((hit["source_id"], hit["ordinal"], hit["similarity"] or hit["words"], hit["text"]) for hit in found["hits"]),
        key=lambda row: -row[2],
    )


def question(text: str) -> Jsonb:
    asked = question_of(text, {"en": 1})
    return Jsonb({"terms": asked.terms, "identifiers": asked.distinctive})


def seen(db: Connection, user: str, **arguments: Any) -> set[str]:
    return {row[0] for row in search(db, user, vector(1), **arguments)}


def access(db: Connection, op: str, users: Sequence[str], source_id: str) -> bool:
    return bool(one(db, "select ccb_update_access(%s, %s, %s)", op, list(users), source_id))


def change(db: Connection, changes: Sequence[tuple[str, Sequence[str], str]]) -> int:
    """Each an operation, users and another source."""
    listed = [{"op": op, "users": list(users), "source_id": source_id} for op, users, source_id in changes]
    return int(one(db, "select ccb_change_access(%s)", Jsonb(listed)))


def provider_access(db: Connection, op: str, users: Sequence[str], provider: str, page: int = 1000) -> None:
    cursor = 0
    while cursor is not None:
        call = "select ccb_update_access_provider(%s, %s, %s, %s, %s)"
        cursor = one(db, call, op, list(users), provider, cursor, page)["next"]


def stored(db: Connection) -> set[str]:
    return {row[0] for row in db.execute("select source_id from ccb.documents where group_id is not null")}


def users(db: Connection) -> set[str]:
    return {row[0] for row in db.execute("select uid from ccb.users")}


# -- searching


def test_a_user_finds_what_the_user_may_read_and_nothing_else(db: Connection) -> None:
    put(db, source(1, ["a", "b"]), source(2, ["b"]), source(3, ["a"], provider="mail"))
    assert seen(db, "a") == {"files: 1", "mail: 3"}
    assert seen(db, "b") == {"files: 1", "files: 2"}
    assert seen(db, "stranger") == set()


def test_a_scope_narrows_and_never_widens(db: Connection) -> None:
    put(db, source(1, ["a", "b"]), source(2, ["b"]), source(3, ["a"], provider="mail"))
    assert seen(db, "a", p_providers=["mail"]) == {"mail: 3"}
    assert seen(db, "a", p_providers=[]) == set()
    assert seen(db, "a", p_sources=["files: 2"]) == set()
    assert seen(db, "b", p_sources=["files: 2", "mail: 3"]) == {"files: 2"}


def test_at_most_so_many_chunks_of_a_kind_come_back(db: Connection) -> None:
    put(db, *[source(i, ["a"], chunks=5) for i in range(1, 6)])
    rows = search(db, "a", vector(203), p_depth=7)
    assert len(rows) == 7
    assert rows[0][:2] == ("files: 2", 3)
    assert [row[2] for row in rows] == sorted((row[2] for row in rows), reverse=True)


def test_words_are_found_by_the_text_search_among_readable_chunks_only(db: Connection) -> None:
    put(
        db,
        source(1, ["a"], text="apple pie"),
        source(2, ["a"], text="banana split"),
        source(3, ["b"], text="apple secret"),
    )
    assert {row[0] for row in search(db, "a", p_question=question("apple"))} == {"files: 1"}
    assert search(db, "a", p_question=question("")) == []
    assert search(db, "a", p_question=question("'; drop table ccb.users; -- & | ! <-> :*")) == []


def test_a_chunk_found_by_either_comes_with_what_both_say_of_it(db: Connection) -> None:
    put(db, source(1, ["a"], text="apple pie"), source(2, ["a"], text="invoice RE-2024-0815"))
    asked = question("invoice RE 2024 0815")
    found = one(db, "select ccb_search('a', %s, %s, %s, 1)", str(vector(100)), MODEL, asked)
    by_source = {hit["source_id"]: hit for hit in found["hits"]}
    assert by_source["files: 1"]["similarity"] == pytest.approx(1, abs=1e-3)
    assert by_source["files: 1"]["words"] == 0
    assert by_source["files: 2"]["similarity"] < 0.9
    assert 0 < by_source["files: 2"]["words"] < found["mass"]
    assert term("#re20240815") in by_source["files: 2"]["identifiers"]
    assert by_source["files: 1"]["identifiers"] == []


def test_words_are_found_also_while_they_wait_to_be_counted(db: Connection, database: str) -> None:
    put(db, source(1, ["a"], text="apple pie"))
    with psycopg.connect(database) as another:
        another.execute("select pg_advisory_xact_lock(hashtextextended('ccb:terms', 0::bigint))")  # counts words
        put(db, source(2, ["a"], text="invoice RE-2024-0815"))
    assert one(db, "select chunks from ccb.counted_terms where term = 0") == 3
    assert {row[0] for row in search(db, "a", p_question=question("RE-2024-0815"))} == {"files: 2"}
    put(db, source(3, ["a"], text="banana split"))
    assert one(db, "select count(*) from ccb.counted_terms") == 0
    assert {row[0] for row in search(db, "a", p_question=question("RE-2024-0815"))} == {"files: 2"}


def test_a_question_in_which_only_some_words_match_finds_them(db: Connection) -> None:
    put(db, source(1, ["a"], text="the mitochondria is the powerhouse of the cell"), source(2, ["a"], text="recipes"))
    rows = search(db, "a", p_question=question("what exactly does the mitochondria do in a cell?"))
    assert {row[0] for row in rows} == {"files: 1"}


def test_the_index_path_finds_what_the_exact_path_finds(db: Connection) -> None:
    put(db, *[source(i, ["a", "b"] if i % 3 else ["b"], chunks=5) for i in range(1, 60)])
    arguments = {"p_depth": 10}
    exact = search(db, "a", vector(5), **arguments)
    db.execute("update ccb.settings set value = '0.001' where key in ('index_cost', 'exact_chunks')")
    assert search(db, "a", vector(5), **arguments) == exact
    assert one(db, "show enable_seqscan") == "on"
    assert seen(db, "a", p_depth=500) == {f"files: {i}" for i in range(1, 60) if i % 3}


def test_the_search_is_exact_where_the_index_gives_up(db: Connection) -> None:
    put(db, *[source(i, ["a"] if i == 1 else ["b"], chunks=12) for i in range(1, 60)])
    db.execute("update ccb.settings set value = '0.001' where key in ('index_cost', 'exact_chunks')")
    db.execute("update ccb.settings set value = '1' where key = 'max_scan_tuples'")
    db.execute("update ccb.settings set value = '1' where key = 'ef_search'")
    assert len(search(db, "a", vector(5), p_depth=10)) == 10


def test_the_index_path_uses_the_vector_index(db: Connection) -> None:
    put(db, *[source(i, ["a"]) for i in range(1, 30)])
    before = one(db, "select idx_scan from pg_stat_all_indexes where indexrelname = 'vectors_embedding_hnsw'")
    db.execute("update ccb.settings set value = '0.001' where key in ('index_cost', 'exact_chunks')")
    search(db, "a", vector(5))
    db.execute("select pg_stat_force_next_flush()")
    after = one(db, "select idx_scan from pg_stat_all_indexes where indexrelname = 'vectors_embedding_hnsw'")
    assert after > before


def test_what_an_exact_search_may_cost_depends_on_the_machine_and_grows_slower_than_the_store(db: Connection) -> None:
    put(db, *[source(number, ["a"], chunks=100) for number in range(25)])
    db.execute("analyze ccb.vectors")
    db.execute("update ccb.settings set value = '1' where key = 'exact_chunks'")
    db.execute("update ccb.settings set value = '9' where key = 'ef_search'")
    db.execute("update ccb.settings set value = '4' where key = 'index_cost'")
    assert one(db, "select ccb.most_exact()") == 300  # the root of 9 * 4 * 2500
    one(db, "select ccb.measure_costs()")
    assert one(db, "select value from ccb.settings where key = 'index_cost'") == "4"  # too few to tell
    one(db, "select ccb.measure_costs(500)")
    assert 2 <= int(one(db, "select value from ccb.settings where key = 'index_cost'")) <= 100


def test_sources_are_counted_per_provider_without_staged_ones(db: Connection) -> None:
    put(db, source(1, ["a"]), source(2, ["a"]), source(3, ["a"], provider="mail"))
    one(db, "select ccb_stage_source(%s)", Jsonb(source(4, ["a"])))
    assert one(db, "select ccb_count_documents()") == {"files": 2, "mail": 1}


# -- tickets

EVENTS: dict[str, Callable[[Connection], object]] = {
    "allow": lambda db: access(db, "allow", ["c"], "files: 1"),
    "deny": lambda db: access(db, "deny", ["b"], "files: 1"),
    "set": lambda db: access(db, "set", ["a"], "files: 1"),
    "provider": lambda db: provider_access(db, "deny", ["b"], "files"),
    "delete": lambda db: one(db, "select ccb_delete_sources(%s)", ["files: 1"]),
    "older": lambda db: one(db, "select ccb_delete_older(%s, 5000)", "files: 1"),
    "delete provider": lambda db: one(db, "select ccb_delete_provider(%s)", "files"),
    "delete user": lambda db: one(db, "select ccb_delete_user(%s)", "b"),
    "newer version": lambda db: begin(db, source(1, ["a", "b"], modified=3000)),
    "stored twice": lambda db: None,
}


@pytest.mark.parametrize("before", [False, True], ids=["new", "stored before"])
@pytest.mark.parametrize("event", EVENTS)
def test_an_upload_that_arrives_after_something_else_happened_does_nothing(
    db: Connection, event: str, before: bool
) -> None:
    """A call goes on in the database when its connection is cut, and may be finished minutes later."""
    if before:
        put(db, source(1, ["a", "b"], modified=1000, text="old"))
    newer = source(1, ["a", "b"], modified=2000, text="new", content_hash="new")
    ticket = one(db, "select ccb_begin_upsert(%s)", Jsonb(without_chunks(newer)))["ticket"]
    if event == "stored twice":
        one(db, "select ccb_store_source(%s)", Jsonb({**newer, "ticket": ticket}))
    EVENTS[event](db)
    left = {user: seen(db, user) for user in "abc"}
    with pytest.raises(psycopg.errors.NoDataFound):
        one(db, "select ccb_store_source(%s)", Jsonb({**newer, "ticket": ticket}))
    assert {user: seen(db, user) for user in "abc"} == left


@pytest.mark.parametrize("event", sorted(EVENTS.keys() - {"stored twice"}))
def test_a_repeated_upload_does_not_begin_after_something_else_happened(db: Connection, event: str) -> None:
    put(db, source(1, ["a", "b"], modified=1000, text="old"))
    newer = source(1, ["a", "b"], modified=2000, text="new", content_hash="new")
    ticket = one(db, "select ccb_begin_upsert(%s)", Jsonb(without_chunks(newer)))["ticket"]
    EVENTS[event](db)
    left = {user: seen(db, user) for user in "abc"}
    with pytest.raises(psycopg.errors.NoDataFound):
        begin(db, {**newer, "ticket": ticket})
    assert {user: seen(db, user) for user in "abc"} == left


def test_a_repeated_upload_whose_first_try_was_published_changes_nothing(db: Connection) -> None:
    newer = source(1, ["a", "b"], modified=2000)
    ticket = one(db, "select ccb_begin_upsert(%s)", Jsonb(without_chunks(newer)))["ticket"]
    one(db, "select ccb_store_source(%s)", Jsonb({**newer, "ticket": ticket}))
    assert begin(db, {**newer, "ticket": ticket}) == "unchanged"
    access(db, "deny", ["b"], "files: 1")
    with pytest.raises(psycopg.errors.NoDataFound):
        begin(db, {**newer, "ticket": ticket})
    assert seen(db, "b") == set()


def test_a_staged_upload_is_fenced_as_well(db: Connection) -> None:
    described = source(1, ["a", "b"])
    ticket = one(db, "select ccb_begin_upsert(%s)", Jsonb(without_chunks(described)))["ticket"]
    number = one(db, "select ccb_stage_source(%s)", Jsonb(without_chunks(described)))
    one(db, "select ccb_stage_chunks(%s, %s)", number, Jsonb(described["chunks"]))
    access(db, "deny", ["b"], "files: 1")
    with pytest.raises(psycopg.errors.NoDataFound):
        one(db, "select ccb_publish_source(%s, %s, %s, %s)", number, ["a", "b"], len(described["chunks"]), ticket)
    assert seen(db, "b") == set()


# -- storing


def test_a_new_source_is_created_and_a_newer_version_replaces_it_with_exactly_its_readers(db: Connection) -> None:
    assert put(db, source(1, ["a", "b"], chunks=5)) == ["created"]
    assert put(db, source(1, ["b", "c"], chunks=2, text="new", modified=1001)) == ["updated"]
    assert seen(db, "a") == set()
    for user in ("b", "c"):
        assert [row[3] for row in search(db, user, vector(1))] == ["new doc1 chunk0", "new doc1 chunk1"]
    assert one(db, "select count(*) from ccb.chunks") == 2


@pytest.mark.parametrize("modified", [1000, 999])
def test_a_version_that_is_not_newer_adds_its_readers_and_nothing_else(db: Connection, modified: int) -> None:
    put(db, source(1, ["a"]))
    assert begin(db, source(1, ["b"], text="other", modified=modified)) == "unchanged"
    assert search(db, "a", vector(1)) == search(db, "b", vector(1)) != []
    assert db.execute("select title, modified from ccb.documents").fetchall() == [("title 1", 1000)]


def test_an_older_version_does_not_change_the_title(db: Connection) -> None:
    put(db, source(1, ["a"]))
    older = without_chunks(source(1, ["a"], title="old name", modified=999))
    assert one(db, "select ccb_begin_upsert(%s)", Jsonb(older)) == {"state": "unchanged", "retitled": False}
    assert one(db, "select title from ccb.documents") == "title 1"


def test_a_newer_version_with_the_same_content_needs_no_chunks(db: Connection) -> None:
    put(db, source(1, ["a", "b"]))
    assert begin(db, source(1, ["b", "c"], modified=2000)) == "refreshed"
    assert [bool(seen(db, user)) for user in "abc"] == [False, True, True]
    assert one(db, "select modified from ccb.documents") == 2000


@pytest.mark.parametrize(
    "changed", [{"content_hash": "other"}, {"title": "other"}, {"type": "text/html"}, {"provider": "mail"}]
)
def test_a_newer_version_that_differs_has_to_be_indexed(db: Connection, changed: dict[str, str]) -> None:
    put(db, source(1, ["a"]))
    assert begin(db, source(1, ["a"], modified=2000) | changed) == "index"


def test_the_old_version_is_closed_at_once_to_those_who_may_not_read_the_new_one(db: Connection) -> None:
    put(db, source(1, ["a", "b"]))
    assert begin(db, source(1, ["b", "c"], text="new", modified=2000)) == "index"
    assert [bool(seen(db, user)) for user in "abc"] == [False, True, False]


def test_the_old_version_is_deleted_at_once_if_none_of_its_readers_may_read_the_new_one(db: Connection) -> None:
    put(db, source(1, ["a"]))
    assert begin(db, source(1, ["b"], text="new", modified=2000)) == "index"
    assert stored(db) == set()


def test_a_source_without_readers_is_an_error(db: Connection) -> None:
    for statement in ("select ccb_begin_upsert(%s)", "select ccb_store_source(%s)"):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            one(db, statement, Jsonb(source(1, [])))
    assert one(db, "select count(*) from ccb.documents") == 0


def test_a_source_with_a_wrong_chunk_leaves_nothing_and_the_old_version_as_it_was(db: Connection) -> None:
    put(db, source(1, ["a"]))
    broken = source(1, ["a"], text="new", modified=2000)
    broken["chunks"][1]["words"] = {**broken["chunks"][1]["words"], "weights": "{1:1}/3"}
    with pytest.raises(psycopg.errors.DataException, match="expected 1000000000 dimensions"):
        one(db, "select ccb_store_source(%s)", Jsonb(broken))
    assert {row[3] for row in search(db, "a", vector(1))} == {f"hello world doc1 chunk{i}" for i in range(3)}


def test_an_embedding_may_also_come_as_text(db: Connection) -> None:
    for number in (1, 2):
        one(db, "select ccb_store_source(%s)", Jsonb(source(number, ["a"])))
    put_vectors(db, source(1, ["a"]))
    put_vectors(db, {**source(1, ["a"]), "source_id": "files: 2"}, form=str)
    assert one(db, "select count(distinct embedding::text) from ccb.vectors") == 3


def stage(db: Connection, described: dict[str, Any], page: int = 4) -> int:
    document = int(one(db, "select ccb_stage_source(%s)", Jsonb(without_chunks(described))))
    for start in range(0, len(described["chunks"]), page):
        one(db, "select ccb_stage_chunks(%s, %s)", document, Jsonb(described["chunks"][start : start + page]))
    return document


def publish(db: Connection, document: int, readers: Sequence[str], chunks: int) -> str:
    return str(one(db, "select ccb_publish_source(%s, %s, %s)", document, list(readers), chunks))


def test_a_staged_document_is_found_once_it_is_published_and_the_old_one_until_then(db: Connection) -> None:
    put(db, source(1, ["old"], chunks=2))
    new = source(1, ["a"], chunks=10, modified=2000)
    document = stage(db, new)
    one(db, "select ccb_stage_chunks(%s, %s)", document, Jsonb(new["chunks"][:4]))  # a repeated page
    assert seen(db, "a") == set()
    assert len(search(db, "old", vector(1))) == 2
    with pytest.raises(psycopg.errors.DataException, match="10 chunks staged, 11 expected"):
        publish(db, document, ["a"], 11)
    assert publish(db, document, ["a"], 10) == "updated"
    assert len(search(db, "a", vector(1))) == 10
    assert seen(db, "old") == set()


def test_of_two_versions_staged_at_once_the_newer_stays_whichever_is_published_last(db: Connection) -> None:
    for last in ("older", "newer"):
        older = stage(db, source(1, ["a"], text="older", modified=2000))
        newer = stage(db, source(1, ["b"], text="newer", modified=3000))
        if last == "older":
            assert publish(db, newer, ["b"], 3) == "created"
            assert publish(db, older, ["a"], 3) == "unchanged"
            assert {row[3][:5] for row in search(db, "a", vector(1))} == {"newer"}
        else:
            assert publish(db, older, ["a"], 3) == "created"
            assert publish(db, newer, ["b"], 3) == "updated"
            assert seen(db, "a") == set()
        assert {row[3][:5] for row in search(db, "b", vector(1))} == {"newer"}
        assert one(db, "select count(*) from ccb.documents") == 1
        one(db, "select ccb_delete_sources(%s)", ["files: 1"])


def test_a_document_is_published_once(db: Connection) -> None:
    document = stage(db, source(1, ["a"]))
    publish(db, document, ["a"], 3)
    for call in (
        lambda: publish(db, document, ["b"], 3),
        lambda: one(db, "select ccb_stage_chunks(%s, %s)", document, Jsonb(source(1, [])["chunks"])),
    ):
        with pytest.raises(psycopg.errors.NoDataFound):
            call()
    assert seen(db, "b") == set()


def test_discarding_removes_a_staged_document_and_never_a_published_one(db: Connection) -> None:
    published = stage(db, source(1, ["a"]))
    publish(db, published, ["a"], 3)
    for document in (published, stage(db, source(2, ["a"])), 999_999):
        one(db, "select ccb_discard_staged(%s)", document)
    assert one(db, "select array_agg(source_id) from ccb.documents") == ["files: 1"]


def test_garbage_collection_removes_old_staged_documents_and_unknown_users(db: Connection) -> None:
    put(db, source(1, ["a"]))
    stage(db, source(2, ["a"]))
    begin(db, source(3, ["gone"]))
    assert one(db, "select ccb_collect_garbage()") == 0
    assert one(db, "select ccb_collect_garbage('0 s')") == 1
    assert stored(db) == {"files: 1"}
    assert users(db) == {"a"}


def counts(db: Connection, *tokens: str) -> list[int]:
    return [one(db, "select chunks from ccb.terms where term = %s", term(token) if token else 0) for token in tokens]


def test_terms_are_counted_as_chunks_come_and_anew_when_most_are_gone(db: Connection) -> None:
    put(db, *[source(i, ["a"], chunks=100, text="common word") for i in range(1, 16)])
    put(db, source(20, ["a"], chunks=1, text="rare thing"))
    assert counts(db, "", "common", "rare") == [1501, 1500, 1]
    one(db, "select ccb_delete_sources(%s)", [f"files: {i}" for i in range(1, 16)])
    assert counts(db, "", "common", "rare") == [1501, 1500, 1]
    one(db, "select ccb_collect_garbage()")
    assert counts(db, "", "common", "rare") == [1, None, 1]


def test_what_another_writer_kept_from_being_counted_is_counted_by_the_next(db: Connection) -> None:
    with db.transaction(), psycopg.connect(db.info.dsn, autocommit=True) as other:
        one(db, "select pg_advisory_xact_lock(hashtextextended('ccb:terms', 0::bigint))")
        put(other, source(1, ["a"], chunks=2, text="early"))
        assert counts(db, "", "early") == [None, None]
    put(db, source(2, ["a"], chunks=1, text="late"))
    assert counts(db, "", "early", "late") == [3, 2, 1]


def test_few_candidates_by_the_rarest_words_rank_as_all_do(db: Connection) -> None:
    numbers = random.Random(1)
    common, rare = ["alpha", "beta", "gamma"], [f"word{i}" for i in range(40)]
    put(
        db,
        *[
            source(i, ["a", "b"] if i % 4 else ["b"], chunks=1, text=" ".join([*common, *numbers.choices(rare, k=6)]))
            for i in range(1, 200)
        ],
    )
    arguments: dict[str, Any] = {"p_question": question("alpha beta word3 word7"), "p_depth": 10}
    exact = search(db, "a", **arguments)
    db.execute("update ccb.settings set value = '0' where key = 'exact_words'")
    db.execute("update ccb.settings set value = '40' where key = 'word_candidates'")
    assert [row[2] for row in search(db, "a", **arguments)] == [row[2] for row in exact]
    db.execute("update ccb.settings set value = '0.001' where key in ('index_cost', 'exact_chunks')")
    assert [row[2] for row in search(db, "a", **arguments)] == [row[2] for row in exact]


def test_a_document_with_another_title_waits_for_its_words(db: Connection) -> None:
    put(db, source(1, ["a"]), source(2, ["a"]))
    assert one(db, "select ccb_wordless_document()") is None
    renamed = without_chunks(source(1, ["a"], title="new name"))
    assert one(db, "select ccb_begin_upsert(%s)", Jsonb(renamed)) == {"state": "unchanged", "retitled": True}
    assert one(db, "select ccb_wordless_document('files: 2')") is None
    document = one(db, "select ccb_wordless_document()")
    assert document["title"] == "new name"
    chunks = one(db, "select ccb_chunks_of(%s, 0, 10)", document["doc_id"])
    assert [chunk["ordinal"] for chunk in chunks] == [1, 2]
    put_words = [{"ordinal": i, **words("new name")} for i in range(3)]
    late = Jsonb([{"ordinal": 0, **words("oldest name")}])
    one(db, "select ccb_put_words(%s, %s, 'oldest name', true)", document["doc_id"], late)
    assert one(db, "select ccb_wordless_document()") == document
    assert search(db, "a", p_question=question("oldest")) == []
    one(db, "select ccb_put_words(%s, %s, 'new name', true)", document["doc_id"], Jsonb(put_words))
    assert one(db, "select ccb_wordless_document()") is None
    assert {row[0] for row in search(db, "a", p_question=question("name"))} == {"files: 1"}


# -- access


def test_allow_adds_readers_and_deny_removes_them(db: Connection) -> None:
    put(db, source(1, ["a"]), source(2, ["a"]))
    assert access(db, "allow", ["b", "c"], "files: 1")
    assert [seen(db, user) for user in "bc"] == [{"files: 1"}, {"files: 1"}]
    assert access(db, "deny", ["a"], "files: 1")
    assert seen(db, "a") == {"files: 2"}


def test_set_makes_the_readers_exactly_these(db: Connection) -> None:
    put(db, source(1, ["a", "b"]))
    assert access(db, "set", ["b", "c"], "files: 1")
    assert [bool(seen(db, user)) for user in "abc"] == [False, True, True]


@pytest.mark.parametrize(("op", "readers"), [("deny", ["a", "b"]), ("set", [])])
def test_a_source_that_nobody_may_read_is_deleted(db: Connection, op: str, readers: list[str]) -> None:
    put(db, source(1, ["a", "b"]))
    assert access(db, op, readers, "files: 1")
    assert one(db, "select count(*) from ccb.documents") == 0
    assert one(db, "select count(*) from ccb.chunks") == 0
    assert not access(db, "allow", ["a"], "files: 1")


def test_users_who_may_read_nothing_are_not_remembered(db: Connection) -> None:
    put(db, source(1, ["a"]))
    access(db, "deny", ["never seen"], "files: 1")
    provider_access(db, "deny", ["never seen"], "files")
    assert users(db) == {"a"}
    access(db, "allow", ["stranger"], "files: 99")
    provider_access(db, "allow", ["stranger"], "unknown")
    change(db, [("allow", ["stranger"], "files: 99")])
    one(db, "select ccb_collect_garbage('0 s')")
    assert users(db) == {"a"}


def test_an_unknown_operation_is_an_error(db: Connection) -> None:
    put(db, source(1, ["a"]))
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        access(db, "own", ["a"], "files: 1")
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        provider_access(db, "set", ["a"], "files")


@pytest.mark.parametrize("page", [1, 2, 1000])
def test_access_changes_for_a_whole_provider_and_no_other(db: Connection, page: int) -> None:
    put(db, source(1, ["a"]), source(2, ["a", "b"]), source(3, ["b"]), source(4, ["a"], provider="mail"))
    provider_access(db, "allow", ["b", "z"], "files", page)
    assert seen(db, "z") == seen(db, "b") == {"files: 1", "files: 2", "files: 3"}
    assert seen(db, "a") == {"files: 1", "files: 2", "mail: 4"}
    provider_access(db, "deny", ["b", "z"], "files", page)
    assert seen(db, "b") == seen(db, "z") == set()
    assert stored(db) == {"files: 1", "files: 2", "mail: 4"}


# -- deletion


def test_deleting_sources_removes_stored_and_staged_versions_and_takes_unknown_ids(db: Connection) -> None:
    put(db, source(1, ["a"]), source(2, ["a"]))
    document = stage(db, source(1, ["a"], modified=2000))
    assert one(db, "select ccb_delete_sources(%s)", ["files: 1", "unknown"]) == 1
    assert stored(db) == {"files: 2"}
    with pytest.raises(psycopg.errors.NoDataFound):
        publish(db, document, ["a"], 3)


def test_deleting_an_older_version_leaves_one_that_is_not_older(db: Connection) -> None:
    put(db, source(1, ["a"]))
    assert not one(db, "select ccb_delete_older(%s, %s)", "files: 1", 1000)
    assert stored(db) == {"files: 1"}
    assert one(db, "select ccb_delete_older(%s, %s)", "files: 1", 1001)
    assert not one(db, "select ccb_delete_older(%s, %s)", "files: 1", 1001)
    assert stored(db) == set()


def test_deleting_a_provider_removes_its_sources_in_pages(db: Connection) -> None:
    put(db, *[source(i, ["a", f"u{i}"]) for i in range(5)], source(9, ["a"], provider="mail"))
    assert [one(db, "select ccb_delete_provider('files', 2)") for _ in range(3)] == [2, 2, 1]
    assert seen(db, "a") == {"mail: 9"}


def test_deleting_a_user_removes_what_nobody_else_may_read_and_the_name(db: Connection) -> None:
    put(db, source(1, ["a", "b"]), source(2, ["a"]), source(3, ["a", "b"], provider="mail"))
    while one(db, "select ccb_delete_user('a', 1)") == 1:
        pass
    assert seen(db, "a") == set()
    assert seen(db, "b") == stored(db) == {"files: 1", "mail: 3"}
    assert users(db) == {"b"}
    assert one(db, "select ccb_delete_user('never seen')") == 0


# -- all of it


class Model:
    """What the rules say, as two dictionaries."""

    def __init__(self) -> None:
        self.readers: dict[str, set[str]] = {}
        self.versions: dict[str, int] = {}

    def upsert(self, key: str, names: Sequence[str], modified: int) -> bool:
        """Returns whether this version is stored."""
        newer = modified > self.versions.get(key, -1)
        self.readers[key] = set(names) | (set() if newer else self.readers[key])
        self.versions[key] = max(modified, self.versions.get(key, -1))
        return newer

    def change(self, op: str, names: Sequence[str], keys: Sequence[str]) -> None:
        for key in [key for key in keys if key in self.readers]:
            before = self.readers[key]
            self.readers[key] = {"allow": before | set(names), "deny": before - set(names), "set": set(names)}[op]
            if not self.readers[key]:
                del self.readers[key], self.versions[key]

    def of(self, provider: str) -> list[str]:
        return [key for key in self.readers if key.startswith(provider)]


def apply_random_operation(db: Connection, model: Model, rng: random.Random) -> None:
    provider, number = rng.choice("pq"), rng.randrange(8)
    key, names = f"{provider}: {number}", rng.sample([f"u{i}" for i in range(6)], rng.randrange(4))
    match rng.choices(["upsert", "access", "provider", "delete", "user", "all"], [8, 5, 3, 2, 1, 1])[0]:
        case "upsert":
            names, modified = names or ["u0"], rng.randrange(5)
            text = rng.choice(["same", "other"])
            outcome = put(db, source(number, names, provider, chunks=2, text=text, modified=modified))[0]
            assert model.upsert(key, names, modified) == (outcome != "unchanged")
        case "access":
            op = rng.choice(["allow", "deny", "set"])
            assert access(db, op, names, key) == (key in model.readers)
            model.change(op, names, [key])
        case "provider":
            op = rng.choice(["allow", "deny"])
            provider_access(db, op, names, provider, page=2)
            model.change(op, names, model.of(provider))
        case "delete":
            one(db, "select ccb_delete_sources(%s)", [key])
            model.change("set", [], [key])
        case "user":
            one(db, "select ccb_delete_user('u1')")
            model.change("deny", ["u1"], list(model.readers))
        case "all":
            one(db, "select ccb_delete_provider(%s)", provider)
            model.change("set", [], model.of(provider))


MOST_CHUNKS = {
    "user": "select ccb_delete_user('a', 500, 10) = 500",
    "provider": "select ccb_delete_provider('files', 500, 10) = 500",
    "denial": "select ccb_update_access_provider('deny', array['a'], 'files', 0, 500, 10) ->> 'next' is not null",
}


@pytest.mark.parametrize("delete_more", MOST_CHUNKS.values(), ids=MOST_CHUNKS)
def test_no_call_deletes_more_chunks_than_it_may(db: Connection, delete_more: str) -> None:
    put(db, *[source(number, ["a"], chunks=4) for number in range(10)])
    left = [one(db, "select count(*) from ccb.chunks")]
    while one(db, delete_more):
        left.append(one(db, "select count(*) from ccb.chunks"))
    assert left == [40, 28, 16, 4]
    assert stored(db) == set()
    assert one(db, "select count(*) from ccb.access_groups") == 0


def test_any_sequence_of_operations_ends_with_the_readers_that_the_rules_give(db: Connection) -> None:
    rng, model = random.Random(4), Model()
    for step in range(400):
        apply_random_operation(db, model, rng)
        if step % 10 == 0:
            for user in [f"u{i}" for i in range(6)]:
                assert seen(db, user) == {key for key in model.readers if user in model.readers[key]}, (step, user)
            counted = one(db, "select ccb_count_documents()")
            assert counted == Counter(key[0] for key in model.readers)
            assert violations(db) == {}


def some_changes(rng: random.Random) -> list[tuple[str, list[str], str]]:
    sources = rng.sample([f"{provider}: {number}" for provider in "pq" for number in range(12)], rng.randrange(1, 9))
    return [
        (rng.choice(["allow", "deny", "set"]), rng.sample([f"u{i}" for i in range(8)], rng.randrange(1, 4)), source_id)
        for source_id in sources
    ]


def operate(connection: Connection, rng: random.Random) -> None:
    """One operation of a busy gateway."""
    provider, number = rng.choice("pq"), rng.randrange(12)
    names = rng.sample([f"u{i}" for i in range(8)], rng.randrange(1, 4))
    new = source(number, names, provider, text=str(rng.random()), modified=rng.randrange(10_000))
    operations: list[tuple[int, Callable[[], object]]] = [
        (45, lambda: put(connection, new)),
        (5, lambda: publish(connection, stage(connection, new, page=2), names, 3)),
        (25, lambda: access(connection, rng.choice(["allow", "deny", "set"]), names, new["source_id"])),
        (15, lambda: change(connection, some_changes(rng))),
        (7, lambda: provider_access(connection, rng.choice(["allow", "deny"]), names, provider, page=3)),
        (7, lambda: one(connection, "select ccb_delete_sources(%s)", [f"p: {number}", f"q: {number}", "p: 1"])),
        (5, lambda: one(connection, "select ccb_delete_user(%s)", names[0])),
        (3, lambda: one(connection, "select ccb_collect_garbage('1 day')")),
        (3, lambda: search(connection, names[0], vector(number), p_question=question("hello"))),
    ]
    rng.choices([call for _, call in operations], [weight for weight, _ in operations])[0]()


def write(database: str, seed: int, operations: int = 1500) -> list[str]:
    """The errors of one writer."""
    rng = random.Random(seed)
    errors: list[str] = []
    with psycopg.connect(database, autocommit=True) as connection:
        for _ in range(operations):
            try:
                operate(connection, rng)
            except (psycopg.errors.SerializationFailure, psycopg.errors.NoDataFound):
                continue  # announced: call again; the staged document was deleted by another writer
            except psycopg.Error as error:
                errors.append(f"{error.sqlstate} {error}")
    return errors


@pytest.mark.parametrize(
    "call",
    [
        "select ccb_update_access('allow', '{new}', 'files: 1')",
        "select ccb_update_access_provider('allow', '{new}', 'files', 0, 100)",
        """select ccb_change_access('[{"op": "set", "users": ["new"], "source_id": "files: 1"}]')""",
        """select ccb_begin_upsert('{"source_id": "files: 1", "provider": "files", "title": "t", "type": "text/plain",
             "modified": 2000, "content_hash": "h", "users": ["new"]}')""",
    ],
)
def test_a_writer_enters_new_users_before_it_takes_a_lock_that_another_may_wait_for(
    db: Connection, database: str, call: str
) -> None:
    """Another writer enters the same user: whoever waits for it holds nothing that it could need."""
    put(db, source(1, ["alice"]))
    with psycopg.connect(database) as other, psycopg.connect(database, autocommit=True) as writer:
        one(other, "select ccb.user_numbers('{new}', true)")
        with ThreadPoolExecutor(1) as beside:
            waiting = beside.submit(one, writer, call)
            try:
                wait_until_blocked(db, writer)
                assert locks_of(db, writer) == 1, "more than the shared lock of the users' dictionary"
            finally:
                other.rollback()
            waiting.result(timeout=30)


def wait_until_blocked(db: Connection, waiting: Connection) -> None:
    deadline = time.monotonic() + 30
    while not one(db, "select pg_blocking_pids(%s) <> '{}'", waiting.info.backend_pid):
        assert time.monotonic() < deadline, "nothing blocks the writer"
        time.sleep(0.01)


def locks_of(db: Connection, connection: Connection) -> int:
    query = "select count(*) from pg_locks where locktype = 'advisory' and granted and pid = %s"
    return int(one(db, query, connection.info.backend_pid))


def test_calls_that_need_the_same_groups_in_another_order_do_not_wait_for_each_other_in_a_circle(
    db: Connection, database: str
) -> None:
    groups = [["alice", f"u{number}"] for number in range(40)]
    put(db, *[source(number, ["alice"], chunks=1) for number in range(80)])

    def call(first: int, readers: Sequence[list[str]]) -> int:
        there = [("set", each, f"files: {number}") for number, each in enumerate(readers, first)]
        back = [("set", ["alice"], source_id) for _, _, source_id in there]
        with psycopg.connect(database, autocommit=True) as connection:
            return sum(change(connection, changes) for _ in range(20) for changes in (there, back))

    with ThreadPoolExecutor(2) as beside:
        assert list(beside.map(call, [0, 40], [groups, groups[::-1]])) == [20 * 80, 20 * 80]


@pytest.mark.slow
def test_eight_concurrent_writers_neither_fail_nor_break_an_invariant(db: Connection, database: str) -> None:
    with ThreadPoolExecutor(8) as writers:
        assert list(writers.map(lambda seed: write(database, seed), range(8))) == [[]] * 8
    one(db, "select ccb_collect_garbage('0 s')")


# -- rights, as Supabase gives them


@pytest.fixture
def supabase(empty_database: str) -> str:
    """The database of a project made before May 2026, which grants every new function to everybody."""
    anyio.run(install, prepare_database(empty_database, older_project=True))
    return empty_database


async def install(uri: str) -> None:
    async with await psycopg.AsyncConnection.connect(uri, autocommit=True) as connection:
        await migrate(connection, Edition.STORE, dimension=DIMENSION)


def as_role(uri: str, role: str) -> Connection:
    connection: Connection = psycopg.connect(uri.replace("postgres@", "authenticator@"), autocommit=True)
    connection.execute(f"set role {role}".encode())
    connection.execute("set search_path = public, extensions")
    return connection


def test_the_service_role_can_do_everything_in_a_store_of_a_plain_owner(supabase: str) -> None:
    with as_role(supabase, "service_role") as db:
        one(db, "select ccb_open_store(%s, %s)", DIMENSION, MODEL)
        assert put(db, *[source(i, ["a"]) for i in range(20)]) == ["created"] * 20
        access(db, "allow", ["b"], "files: 1")
        db.execute("update ccb.settings set value = '0.001' where key in ('index_cost', 'exact_chunks')")
        one(db, "select ccb_collect_garbage()")
    with as_role(supabase, "service_role") as db:  # in a new session the vector library is not loaded yet
        assert len(search(db, "a", vector(1), p_depth=10)) == 10
        assert seen(db, "b") == {"files: 1"}


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_other_roles_can_call_no_function_and_read_no_table(supabase: str, role: str) -> None:
    with as_role(supabase, role) as db:
        functions = db.execute(
            "select oid::regprocedure::text from pg_proc where proname like 'ccb\\_%'"
            " and has_function_privilege(oid, 'execute')"
        ).fetchall()
        assert functions == []
        for query in ("select ccb_count_documents()", "select * from ccb.documents", "select ccb.setting_int('x')"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                db.execute(query.encode())
