"""The SQL functions of a catalogue, called as any client of them would."""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from .catalogue_stage import INVARIANTS

pytest_plugins = ["tests.pg"]

Connection = psycopg.Connection[tuple[Any, ...]]
ALL = 10**6


@pytest.fixture
def db(catalogue: str) -> Iterator[Connection]:
    with psycopg.connect(catalogue, autocommit=True) as connection:
        yield connection
        one(connection, "select ccb_collect_garbage('0 s')")
        assert {name: count for name, query in INVARIANTS.items() if (count := one(connection, query))} == {}


def one(db: Connection, query: str, *parameters: object) -> Any:
    row = db.execute(query.encode(), parameters or None).fetchone()
    return row[0] if row else None


def source(number: int, users: Sequence[str] = ("a",), provider: str = "files", **more: Any) -> dict[str, Any]:
    described = {
        "source_id": f"{provider}: {number}",
        "provider": provider,
        "title": f"title {number}",
        "type": "text/plain",
        "modified": 1000,
        "content_hash": "hash",
        "users": list(users),
        "title_terms": [1, 2],
    }
    return {**described, **more}


def stage(db: Connection, described: dict[str, Any], chunks: int = 3) -> dict[str, Any]:
    staged: dict[str, Any] = one(db, "select ccb_stage_document(%s)", Jsonb(described))
    if chunks:
        expect(db, staged["doc_id"], chunks)
    return staged


def expect(db: Connection, doc_id: int, chunks: int, **learned: Any) -> None:
    described = {"chunks": 0, "terms": [], "samples": [], **learned}
    one(db, "select ccb_expect_chunks(%s, %s, %s)", doc_id, chunks, Jsonb(described))


def publish(db: Connection, staged: dict[str, Any], users: Sequence[str], chunks: int = 3) -> str:
    return str(one(db, "select ccb_publish_document(%s, %s, %s)", staged["doc_id"], list(users), chunks))


def put(db: Connection, described: dict[str, Any], chunks: int = 3) -> str:
    """The key of the new document."""
    one(db, "select ccb_begin_upsert(%s)", Jsonb(described))
    staged = stage(db, described, chunks)
    publish(db, staged, described["users"], chunks)
    return str(staged["document"])


def access(db: Connection, op: str, users: Sequence[str], number: int) -> bool:
    return bool(one(db, "select ccb_update_access(%s, %s, %s)", op, list(users), f"files: {number}"))


def reach(db: Connection, user: str, providers: Any = None, sources: Any = None, documents: int = 1000) -> Any:
    return one(db, "select ccb_reach(%s, %s, %s, %s)", user, providers, sources, documents)


def readable(db: Connection, user: str, keys: Sequence[str], providers: Any = None, sources: Any = None) -> Any:
    return one(db, "select ccb_readable(%s, %s, %s, %s)", user, list(keys), providers, sources)


def stale(db: Connection, after: tuple[int, int] = (0, 0), documents: int = 1000, chunks: int = ALL) -> Any:
    return one(db, "select ccb_stale_documents(%s, %s, %s, %s)", *after, documents, chunks)


def all_stale(db: Connection, **budget: int) -> list[tuple[str, list[str]]]:
    pages, after = [], (0, 0)
    while (row := stale(db, after, **budget)) is not None:
        pages.append((row["group"], [document["document"] for document in row["documents"]]))
        after = (int(row["group"]), row["documents"][-1]["doc_id"])
    return pages


def removals(db: Connection, after: str = "", documents: int = 1000, chunks: int = ALL) -> list[dict[str, Any]]:
    return one(db, "select ccb_due_removals(%s, %s, %s)", after, documents, chunks) or []


def group_of(db: Connection, key: str) -> str:
    return str(one(db, "select group_id from ccb.documents where document_key = %s", key))


# -- staging and publishing


def test_a_staged_document_is_reached_by_nobody_and_counted_nowhere(db: Connection) -> None:
    staged = stage(db, source(1))
    assert staged["replaces"] is False
    assert readable(db, "a", [staged["document"]]) == {}
    assert reach(db, "a")["documents"] == reach(db, "a", sources=["files: 1"])["documents"] == []
    assert one(db, "select ccb_count_documents()") == {}
    assert one(db, "select ccb_outbox()") == {"stale": 0, "removals": 0, "chunks": 0, "marked": False}
    assert publish(db, staged, ["a"]) == "created"
    assert readable(db, "a", [staged["document"]]) == {
        staged["document"]: {"source_id": "files: 1", "title": "title 1", "chunks": 3}
    }
    assert one(db, "select ccb_outbox()") == {"stale": 0, "removals": 0, "chunks": 3, "marked": False}


def test_keys_are_hexadecimal_and_never_the_same(db: Connection) -> None:
    keys = [put(db, source(1, modified=number)) for number in range(20)]
    assert len(set(keys)) == 20
    assert all(len(key) == 32 and set(key) <= set("0123456789abcdef") for key in keys)


def test_a_document_is_stale_only_if_its_group_changed_while_it_was_staged(db: Connection) -> None:
    same, other = stage(db, source(1, ["a", "b"])), stage(db, source(2, ["a"]))
    publish(db, same, ["b", "a"])
    publish(db, other, ["c"])
    assert all_stale(db) == [(group_of(db, other["document"]), [other["document"]])]
    assert reach(db, "a")["documents"] == []
    assert reach(db, "c")["documents"] == [other["document"]]


def test_chunks_are_expected_of_staged_documents_only_and_never_fewer(db: Connection) -> None:
    staged = stage(db, source(1), chunks=7)
    expect(db, staged["doc_id"], 5)
    with pytest.raises(psycopg.errors.DataException):
        publish(db, staged, ["a"], chunks=5)
    publish(db, staged, ["a"], chunks=7)
    for number in (staged["doc_id"], 999):
        with pytest.raises(psycopg.errors.NoDataFound):
            expect(db, number, 9)
        with pytest.raises(psycopg.errors.NoDataFound):
            publish(db, {"doc_id": number}, ["a"])
    assert one(db, "select chunk_count from ccb.documents") == 7


def test_a_replaced_document_is_to_be_removed_at_once_in_the_same_step(db: Connection) -> None:
    old = put(db, source(1), chunks=5)
    staged = stage(db, source(1, modified=2000), chunks=2)
    assert staged["replaces"] is True
    assert removals(db) == []
    assert list(readable(db, "a", [old, staged["document"]])) == [old]
    assert publish(db, staged, ["a"], chunks=2) == "updated"
    assert list(readable(db, "a", [old, staged["document"]])) == [staged["document"]]
    assert removals(db) == [{"document": old, "chunks": 5}]


def test_a_version_that_came_too_late_is_given_up(db: Connection) -> None:
    staged = stage(db, source(1, ["b"], modified=1500))
    newer = put(db, source(1, ["a"], modified=2000))
    with pytest.raises(psycopg.errors.NoDataFound):
        publish(db, staged, ["b"])
    assert list(readable(db, "b", [newer, staged["document"]])) == []
    db.execute("update ccb.removals set due = now()")
    assert [removal["document"] for removal in removals(db)] == [staged["document"]]


DELETIONS: dict[str, Callable[[Connection], object]] = {
    "sources": lambda db: one(db, "select ccb_delete_sources('{files: 1}')"),
    "provider": lambda db: one(db, "select ccb_delete_provider('files')"),
    "user": lambda db: one(db, "select ccb_delete_user('a')"),
    "older": lambda db: one(db, "select ccb_delete_older('files: 1', 5000)"),
    "nobody": lambda db: access(db, "set", [], 1),
    "deny": lambda db: access(db, "deny", ["a", "x"], 1),
    "provider-wide deny": lambda db: one(db, "select ccb_update_access_provider('deny', '{a}', 'files')"),
    "no common reader": lambda db: one(
        db, "select ccb_begin_upsert(%s)", Jsonb(source(1, ["b"], modified=2000, content_hash="other"))
    ),
    "by hand": lambda db: db.execute("delete from ccb.documents"),
}


@pytest.mark.parametrize("delete", DELETIONS.values(), ids=DELETIONS)
def test_whatever_deletes_a_document_leaves_word_for_the_store(
    db: Connection, delete: Callable[[Connection], object]
) -> None:
    key = put(db, source(1))
    delete(db)
    assert readable(db, "a", [key]) == {}
    assert removals(db) == [{"document": key, "chunks": 3}]
    assert one(db, "select ccb_outbox()") == {"stale": 0, "removals": 1, "chunks": 0, "marked": False}


def test_word_of_a_deletion_that_is_rolled_back_is_not_left(db: Connection) -> None:
    put(db, source(1))
    with db.transaction(force_rollback=True):
        one(db, "select ccb_delete_provider('files')")
    assert removals(db) == []


def test_what_was_given_up_is_removed_minutes_later_and_nothing_if_nothing_was_sent(db: Connection) -> None:
    for number, chunks in ((1, 4), (2, 0)):
        one(db, "select ccb_discard_staged(%s)", stage(db, source(number), chunks)["doc_id"])
    left = stage(db, source(3), chunks=2)
    one(db, "select ccb_delete_sources('{files: 3}')")
    assert removals(db) == []
    later: dict[str, int] = dict(
        db.execute("select document_key, chunk_count from ccb.removals where due > now() + '4 minutes'")
    )
    assert sorted(later.values()) == [2, 4]
    assert later[left["document"]] == 2


def test_abandoned_uploads_are_collected_and_those_under_way_are_not(db: Connection) -> None:
    abandoned, under_way = stage(db, source(1)), stage(db, source(2))
    db.execute("update ccb.documents set created_at = now() - interval '25 h' where doc_id = %s", [abandoned["doc_id"]])
    assert one(db, "select ccb_collect_garbage()") == 1
    assert one(db, "select document_key from ccb.removals") == abandoned["document"]
    assert publish(db, under_way, ["a"]) == "created"
    assert list(readable(db, "a", [under_way["document"]])) == [under_way["document"]]


# -- reach, and the check of what was found


def test_reach_and_check_agree_with_the_scope(db: Connection) -> None:
    mine, others, mail = put(db, source(1)), put(db, source(2, ["b"])), put(db, source(3, provider="mail"))
    keys = [mine, others, mail]
    assert set(reach(db, "a")["groups"]) == {group_of(db, mine), group_of(db, mail)}
    assert reach(db, "a", providers=["mail"]) == {"groups": [group_of(db, mail)], "documents": []}
    assert reach(db, "a", sources=["files: 1", "files: 2"]) == {"groups": [], "documents": [mine]}
    assert set(readable(db, "a", keys)) == {mine, mail}
    assert set(readable(db, "a", keys, providers=["mail"])) == {mail}
    assert set(readable(db, "a", keys, sources=["files: 1", "files: 2"])) == {mine}
    for where in (([], None), (None, []), (["x"], None), (None, ["x"])):
        assert reach(db, "a", *where) == {"groups": [], "documents": []}
        assert readable(db, "a", keys, *where) == {}
    assert reach(db, "stranger") == {"groups": [], "documents": []}
    assert readable(db, "stranger", keys) == readable(db, "a", []) == {}


def test_documents_whose_chunks_carry_another_group_are_named_up_to_a_number(db: Connection) -> None:
    for number in range(10):
        put(db, source(number))
        access(db, "allow", ["b"], number)
    assert len(reach(db, "b")["documents"]) == len(reach(db, "a")["documents"]) == 10
    assert len(reach(db, "b", documents=4)["documents"]) == 4
    assert reach(db, "b", providers=["mail"])["documents"] == []
    assert len(reach(db, "b", sources=[f"files: {number}" for number in range(10)], documents=4)["documents"]) == 10


def test_the_groups_of_the_user_are_looked_up_once_per_check(db: Connection) -> None:
    """A user of ten thousand groups waits for one look-up and not for one per match."""
    keys = [put(db, source(number, ["a", f"user {number}"])) for number in range(30)]
    db.execute("set track_functions = 'all'")
    assert len(readable(db, "a", keys)) == 30
    db.execute("select pg_stat_force_next_flush()")
    assert one(db, "select calls from pg_stat_user_functions where funcname = 'groups_of'") == 1


# -- the outbox


def test_stale_documents_come_group_by_group_each_once(db: Connection) -> None:
    keys = [put(db, source(number), chunks=2) for number in range(7)]
    for number in range(7):
        access(db, "allow", ["b" if number % 2 else "c"], number)
    wanted: dict[str, list[str]] = {}
    for key in keys:
        wanted.setdefault(group_of(db, key), []).append(key)
    for budget in ({}, {"documents": 2}, {"chunks": 5}, {"chunks": 1}):
        pages = all_stale(db, **budget)
        found: dict[str, list[str]] = {group: [] for group, _ in pages}
        for group, page in pages:
            found[group] += page
        assert found == wanted
        most = min(budget.get("documents", 1000), max(1, budget.get("chunks", ALL) // 2))
        assert max(len(page) for _, page in pages) <= most


def test_a_confirmed_group_is_no_longer_stale_and_the_others_are(db: Connection) -> None:
    one_, two = put(db, source(1)), put(db, source(2))
    access(db, "allow", ["b"], 1)
    access(db, "allow", ["c"], 2)
    first = stale(db)
    one(db, "select ccb_confirm_group(%s, %s, 0)", [one_], first["group"])
    assert all_stale(db) == [(group_of(db, two), [two])]
    one(db, "select ccb_confirm_group(%s, %s, 0)", ["f" * 32], first["group"])
    assert all_stale(db) == [(group_of(db, two), [two])]


def test_confirming_a_group_that_was_changed_meanwhile_leaves_the_document_stale(db: Connection) -> None:
    key = put(db, source(1))
    access(db, "allow", ["b"], 1)
    begun = stale(db)
    access(db, "allow", ["c"], 1)
    one(db, "select ccb_confirm_group(%s, %s, 0)", [key], begun["group"])
    assert all_stale(db) == [(group_of(db, key), [key])]


def test_a_document_that_got_its_group_back_stays_stale_once_the_store_may_have_been_told(db: Connection) -> None:
    key, _ = put(db, source(1)), put(db, source(2))
    former = group_of(db, key)
    access(db, "allow", ["b"], 1)
    access(db, "deny", ["b"], 1)
    assert all_stale(db) == []
    access(db, "allow", ["b"], 1)
    assert all_stale(db) != []
    access(db, "deny", ["b"], 1)
    assert all_stale(db) == [(former, [key])]
    assert reach(db, "a")["documents"] == [key]
    one(db, "select ccb_confirm_group(%s, %s, 0)", [key], former)
    assert all_stale(db) == []


def test_removals_come_in_the_order_of_keys_within_the_budgets_until_confirmed(db: Connection) -> None:
    keys = sorted(put(db, source(number), chunks=number) for number in range(1, 6))
    one(db, "select ccb_delete_provider('files')")
    assert [removal["document"] for removal in removals(db)] == keys
    assert [removal["document"] for removal in removals(db, documents=2)] == keys[:2]
    assert [removal["document"] for removal in removals(db, after=keys[2])] == keys[3:]
    assert len(removals(db, chunks=1)) == 1
    one(db, "select ccb_confirm_removals(%s)", keys[:3])
    assert [removal["document"] for removal in removals(db)] == keys[3:]
    one(db, "select ccb_confirm_removals(%s)", ["f" * 32])
    assert [removal["document"] for removal in removals(db)] == keys[3:]


# -- several writers


def operate(db: Connection, rng: random.Random) -> None:
    """One operation of a busy gateway, or of its relay."""
    number, names = rng.randrange(12), rng.sample([f"u{i}" for i in range(8)], rng.randrange(1, 4))
    new = source(number, names, rng.choice(["files", "mail"]), modified=rng.randrange(10_000))
    new["content_hash"] = str(rng.random())
    operations: list[tuple[int, Callable[[], object]]] = [
        (40, lambda: put(db, new, chunks=rng.randrange(4))),
        (25, lambda: access(db, rng.choice(["allow", "deny", "set"]), names, number)),
        (5, lambda: one(db, "select ccb_update_access_provider('allow', %s, 'files', 0, 50)", names)),
        (5, lambda: one(db, "select ccb_update_access_provider('deny', %s, 'files', 0, 50)", names)),
        (5, lambda: one(db, "select ccb_delete_sources(%s)", [f"files: {number}", "mail: 1"])),
        (4, lambda: one(db, "select ccb_delete_user(%s)", names[0])),
        (3, lambda: one(db, "select ccb_collect_garbage('1 day')")),
        (5, lambda: readable(db, names[0], [])),
        (15, lambda: deliver(db)),
    ]
    rng.choices([call for _, call in operations], [weight for weight, _ in operations])[0]()


def deliver(db: Connection) -> None:
    for group, keys in all_stale(db, documents=3):
        one(db, "select ccb_confirm_group(%s, %s, 0)", keys, group)
    one(db, "select ccb_confirm_removals(%s)", [removal["document"] for removal in removals(db, documents=5)])


def write(catalogue: str, seed: int) -> list[str]:
    """The errors of one writer."""
    rng = random.Random(seed)
    errors: list[str] = []
    with psycopg.connect(catalogue, autocommit=True) as connection:
        for _ in range(1000):
            try:
                operate(connection, rng)
            except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected, psycopg.errors.NoDataFound):
                continue  # announced: call again; the staged document was deleted by another writer
            except psycopg.Error as error:
                errors.append(f"{error.sqlstate} {error}")
    return errors


@pytest.mark.slow
def test_concurrent_writers_and_relays_neither_fail_nor_break_an_invariant(db: Connection, catalogue: str) -> None:
    with ThreadPoolExecutor(6) as writers:
        assert list(writers.map(lambda seed: write(catalogue, seed), range(6))) == [[]] * 6
