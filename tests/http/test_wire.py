"""Every recorded request of the real Nextcloud client, byte for byte over a socket, through every backend."""

import pytest

from tests.gateway import Nextcloud, Reply
from tests.wire import Capture, load_capture, load_captures


def replay(nextcloud: Nextcloud, name: str) -> Reply:
    reply = nextcloud.send_raw(load_capture(name).raw)
    assert reply.headers["content-type"].startswith("application/json")
    assert isinstance(reply.json(), dict | list), "a bare value aborts the client's job"
    return reply


def expected_ids(capture: Capture) -> list[str]:
    sent = [source["reference"] for source in capture.expected["decoded"]["sources"]]
    match capture.name:
        case "load_empty_content" | "load_no_users" | "load_crlf_title":
            return ["files__default: 556"]
        case "load_bad_mime" | "load_crlfcrlf_title" | "load_slash_in_item":
            return []
        case _:
            return list(dict.fromkeys(sent))


def expected_readers(capture: Capture) -> dict[str, set[str]]:
    readers: dict[str, set[str]] = {}
    for source in capture.expected["decoded"]["sources"]:
        # a comma inside a user id cannot be told from the one between two ids
        users = {user for joined in source["userIds"] for user in joined.split(",") if user != "…"}
        readers.setdefault(source["reference"], set()).update(users)
    return {id_: readers[id_] for id_ in expected_ids(capture)}


@pytest.mark.parametrize("capture", load_captures("load_"), ids=str)
def test_load_and_load_again(nextcloud: Nextcloud, capture: Capture) -> None:
    for _ in range(2):
        reply = replay(nextcloud, capture.name)
        assert reply.status == 200, reply.body
        assert reply.json() == {"loaded_sources": expected_ids(capture), "sources_to_retry": []}
    readers = expected_readers(capture)
    for user in set().union(*readers.values(), {"stranger"}):
        assert nextcloud.found(user, "notes") == {id_ for id_ in readers if user in readers[id_]}


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("load_utf8_title", None),
        ("load_utf8_title_v4", None),
        ("load_empty_title", ""),
        ("load_newline_title", None),
    ],
)
def test_titles_come_back(nextcloud: Nextcloud, name: str, title: str | None) -> None:
    capture = load_capture(name)
    (source,) = capture.expected["decoded"]["sources"]
    replay(nextcloud, name)
    hits = nextcloud.post("/docSearch", userId=source["userIds"][0], query="notes").json()
    wanted = " ".join(source["title"].split("\n")) if title is None else title
    assert hits == [{"source_id": source["reference"], "title": wanted}]


def test_a_binary_body_arrives_unchanged(nextcloud: Nextcloud) -> None:
    replay(nextcloud, "load_pdf_binary")
    assert nextcloud.found("admin", "hello wire") == {"files__default: 600"}


@pytest.fixture
def loaded(nextcloud: Nextcloud) -> Nextcloud:
    """Sources 555 (admin), 556 (admin, bob) and mail 12:345 (bob)."""
    replay(nextcloud, "load_several")
    return nextcloud


QUERIES = [capture.name for capture in load_captures("query_")]


@pytest.mark.parametrize("name", QUERIES)
def test_query(loaded: Nextcloud, name: str) -> None:
    loaded.post("/updateAccess", op="allow", userIds=["jörg"], sourceId="files__default: 555")
    reply = replay(loaded, name)
    assert reply.status == 200, reply.body
    answer = reply.json()
    assert set(answer) == {"output", "sources"}
    assert isinstance(answer["output"], str)
    expected = {
        "query_no_context": set(),
        "query_unicode": {"files__default: 555"},
    }.get(name, {"files__default: 555", "files__default: 556"})
    assert set(answer["sources"]) == expected
    assert len(answer["sources"]) == len(set(answer["sources"]))


@pytest.mark.parametrize("name", [name for name in QUERIES if name != "query_no_context"])
def test_query_of_an_empty_index_is_a_readable_error(nextcloud: Nextcloud, name: str) -> None:
    reply = replay(nextcloud, name)
    assert reply.status == 400
    assert "No documents retrieved" in reply.json()["error"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("docsearch_plain", {"files__default: 555", "files__default: 556"}),
        ("docsearch_limit", {"files__default: 555", "files__default: 556"}),
        ("docsearch_scope_provider", set()),
    ],
)
def test_doc_search(loaded: Nextcloud, name: str, expected: set[str]) -> None:
    reply = replay(loaded, name)
    assert reply.status == 200
    assert {hit["source_id"] for hit in reply.json()} == expected
    assert all(set(hit) == {"source_id", "title"} for hit in reply.json())


@pytest.mark.parametrize("name", [c.name for c in load_captures("docsearch_")])
def test_doc_search_of_an_empty_index_is_an_empty_list(nextcloud: Nextcloud, name: str) -> None:
    reply = replay(nextcloud, name)
    assert (reply.status, reply.json()) == (200, [])


ACCESS = {
    "access_allow": {"admin", "bob", "carol"},
    "access_deny": {"admin"},
    "access_declarative": {"admin", "dora"},
    "access_unicode": {"admin", "jörg", "用户一"},
}


@pytest.mark.parametrize(("name", "readers"), ACCESS.items())
def test_access_change(loaded: Nextcloud, name: str, readers: set[str]) -> None:
    for _ in range(2):
        reply = replay(loaded, name)
        assert (reply.status, reply.json()) == (200, {"message": "Access updated"})
    for user in ("admin", "bob", "carol", "dora", "jörg", "用户一"):
        assert ("files__default: 555" in loaded.found(user)) is (user in readers)


def test_provider_wide_access(loaded: Nextcloud) -> None:
    loaded.post("/updateAccess", op="allow", userIds=["admin"], sourceId="mail__mail: 12:345")
    for name, bob_finds in (("access_provider_deny", False), ("access_provider_allow", True)):
        assert replay(loaded, name).status == 200
        assert ("mail__mail: 12:345" in loaded.found("bob")) is bob_finds
        assert "files__default: 556" in loaded.found("bob")
    assert "mail__mail: 12:345" in loaded.found("admin")


@pytest.mark.parametrize("name", [*ACCESS, "access_provider_allow", "access_provider_deny"])
def test_access_of_unknown_sources_is_success(nextcloud: Nextcloud, name: str) -> None:
    assert replay(nextcloud, name).status == 200
    assert sum(nextcloud.counts().values()) == 0


def test_an_empty_declaration_is_refused(loaded: Nextcloud) -> None:
    reply = replay(loaded, "access_declarative_empty")
    assert reply.status == 400
    assert set(reply.json()) == {"error"}
    assert "files__default: 555" in loaded.found("admin")


DELETES = {
    "delete_sources_one": ({"files__default: 556"}, {"files__default: 556", "mail__mail: 12:345"}),
    "delete_provider": ({"files__default: 555", "files__default: 556"}, {"files__default: 556"}),
    "delete_provider_bare": (
        {"files__default: 555", "files__default: 556"},
        {"files__default: 556", "mail__mail: 12:345"},
    ),
}


@pytest.mark.parametrize(("name", "left"), DELETES.items())
def test_delete(loaded: Nextcloud, name: str, left: tuple[set[str], set[str]]) -> None:
    for _ in range(2):
        reply = replay(loaded, name)
        assert (reply.status, reply.json()) == (200, {"message": "All valid sources deleted"})
    assert (loaded.found("admin"), loaded.found("bob")) == left


def test_delete_a_full_batch(loaded: Nextcloud) -> None:
    assert replay(loaded, "delete_sources_500").status == 200
    assert loaded.counts()["mail__mail"] == 1


def test_delete_user(loaded: Nextcloud) -> None:
    loaded.post("/updateAccess", op="allow", userIds=["jörg"], sourceId="files__default: 555")
    loaded.post("/updateAccessDeclarative", userIds=["jörg"], sourceId="files__default: 556")
    reply = replay(loaded, "delete_user")
    assert (reply.status, reply.json()) == (200, {"message": "User deleted"})
    assert loaded.found("jörg") == set()
    assert loaded.found("admin") == {"files__default: 555"}
    assert loaded.counts()["files__default"] == 1


@pytest.mark.parametrize("name", ["count", "count_v54"])
def test_count(loaded: Nextcloud, name: str) -> None:
    reply = replay(loaded, name)
    assert (reply.status, reply.json()) == (200, {"files__default": 2, "mail__mail": 1})
    loaded.forget_everything()
    assert replay(loaded, name).json() == {"files__default": 0}


LIFECYCLE = {
    "lifecycle_heartbeat": {"status": "ok"},
    "lifecycle_init": {},
    "lifecycle_enable": {"error": ""},
    "lifecycle_enabled_get": {"enabled": True},
    "lifecycle_trigger": {},
}


@pytest.mark.parametrize(("name", "expected"), LIFECYCLE.items())
def test_lifecycle(nextcloud: Nextcloud, name: str, expected: object) -> None:
    reply = replay(nextcloud, name)
    assert (reply.status, reply.json()) == (200, expected)


def test_a_disabled_app_serves_no_data(loaded: Nextcloud) -> None:
    assert replay(loaded, "lifecycle_disable").json() == {"error": ""}
    try:
        assert replay(loaded, "lifecycle_enabled_get").json() == {"enabled": False}
        for name in ("load_one_ascii", "query_plain", "access_deny", "delete_user", "count"):
            reply = replay(loaded, name)
            assert reply.status == 503
            assert "cc-retry" not in reply.headers
        assert replay(loaded, "lifecycle_heartbeat").status == 200
    finally:
        replay(loaded, "lifecycle_enable")
    assert loaded.found("admin") == {"files__default: 555", "files__default: 556"}


def test_every_capture_has_a_test() -> None:
    tested = {*QUERIES, *ACCESS, *DELETES, *LIFECYCLE, "lifecycle_disable", "delete_sources_500", "delete_user"}
    tested |= {"count", "count_v54", "access_declarative_empty", "access_provider_allow", "access_provider_deny"}
    tested |= {capture.name for prefix in ("load_", "docsearch_") for capture in load_captures(prefix)}
    assert {capture.name for capture in load_captures()} == tested
