"""Requests that the recorded ones do not cover: odd shapes, versions, order."""

import pytest

from context_chat_backend.nextcloud.push_client import UPLOAD_TYPE, multipart, part
from tests.gateway import Nextcloud

from .bad_requests import WHALE


@pytest.mark.parametrize("path", ["/query", "/docSearch"])
@pytest.mark.parametrize("query", ["\ud800 whale", "whale " + "文" * 200_000, " " * 600_000 + "whale"])
def test_odd_and_endless_questions_are_answered(nextcloud: Nextcloud, path: str, query: str) -> None:
    nextcloud.load(part(WHALE))
    response = nextcloud.post(path, query=query, userId="alice")
    assert response.status_code == 200, response.text
    assert WHALE in response.text


@pytest.mark.parametrize("query", ["\ud800", "x" * 600_000])
def test_odd_and_endless_questions_without_context_are_answered(nextcloud: Nextcloud, query: str) -> None:
    assert nextcloud.post("/query", query=query, userId="alice", useContext=False).status_code == 200


def test_objects_stand_for_lists_everywhere(nextcloud: Nextcloud) -> None:
    nextcloud.load(part(WHALE), part("files__default: 2"))
    nextcloud.post("/updateAccess", op="allow", userIds={"0": "bob", "3": "carol"}, sourceId=WHALE)
    assert nextcloud.found("carol") == {WHALE}
    assert nextcloud.found("bob", scopeType="source", scopeList={"1": WHALE, "7": "files__default: 2"}) == {WHALE}
    nextcloud.post("/deleteSources", sourceIds={"4": WHALE})
    assert nextcloud.found("alice") == {"files__default: 2"}


def test_a_numeric_user_id_is_who_it_was_before_php_took_it_for_a_number(nextcloud: Nextcloud) -> None:
    nextcloud.load(part(WHALE, users=["1001", "1002", "ann"]), part("files__default: 2", users=["1001"]))
    odd = {"0": 1001, "3": None, "4": "", "5": "ann", "6": 1.5, "7": True, "8": ["1002"], "9": "\ud800"}
    assert nextcloud.post("/updateAccessDeclarative", userIds=odd, sourceId=WHALE).status_code == 200
    assert {user: WHALE in nextcloud.found(user) for user in ("1001", "1002", "ann", "True", "1", "1.5")} == {
        "1001": True,
        "1002": False,
        "ann": True,
        "True": False,
        "1": False,
        "1.5": False,
    }
    assert nextcloud.post("/updateAccess", op="deny", userIds=[None, 1001], sourceId=WHALE).status_code == 200
    assert nextcloud.post("/docSearch", userId=1001, query="whale").json()[0]["source_id"] == "files__default: 2"
    provider = {"op": "allow", "userIds": [None, -7], "providerId": "files__default"}
    assert nextcloud.post("/updateAccessProvider", **provider).status_code == 200
    assert nextcloud.found("-7") == {WHALE, "files__default: 2"}
    assert nextcloud.post("/deleteUser", userId=1001).status_code == 200
    assert nextcloud.found("1001") == set()
    assert nextcloud.post("/deleteSources", sourceIds=[None, 5, WHALE]).status_code == 200
    assert nextcloud.found("ann") == set()


def test_unknown_keys_and_a_null_scope_are_ignored(nextcloud: Nextcloud) -> None:
    nextcloud.load(part(WHALE))
    found = nextcloud.found("alice", scopeType=None, scopeList=None, somethingNew={"a": 1})
    assert found == nextcloud.found("alice", scopeType="none") == {WHALE}


def test_a_limit_counts_sources_not_chunks(nextcloud: Nextcloud) -> None:
    long = "\n\n".join(f"The whale of paragraph {n} sings and dives. " * 12 for n in range(30))
    nextcloud.load(part(WHALE, long.encode()), *[part(f"files__default: {n}") for n in range(2, 6)])
    response = nextcloud.post("/docSearch", userId="alice", query="whale", ctxLimit=4)
    ids = [hit["source_id"] for hit in response.json()]
    assert len(ids) == len(set(ids)) == 4


def test_only_answerable_sources_go_to_old_clients(nextcloud: Nextcloud) -> None:
    """context_chat <= 4.6 (Nextcloud 30, 31) loses a whole answer over one item id that is not a number."""
    nextcloud.load(part(WHALE), part("mail__mail: 1:2"))
    body = {"userId": "alice", "query": "whale"}
    for version, expected in (("5.0.2", {WHALE}), ("4.0.0", {WHALE}), ("32.0.0", {WHALE, "mail__mail: 1:2"})):
        found = nextcloud.http.post("/docSearch", json=body, headers={"AA-VERSION": version}).json()
        assert {hit["source_id"] for hit in found} == expected
        answer = nextcloud.http.post("/query", json=body, headers={"AA-VERSION": version}).json()
        assert set(answer["sources"]) == expected


def test_a_bad_part_costs_itself_only(nextcloud: Nextcloud) -> None:
    broken = part("files__default: 9").replace(b"modified: 1700000000", b"modified: yesterday")
    response = nextcloud.load(part(WHALE), broken, part("files__default: 2"))
    assert response.json() == {"loaded_sources": [WHALE, "files__default: 2"], "sources_to_retry": []}
    assert nextcloud.found("alice") == {WHALE, "files__default: 2"}


def test_a_body_that_ends_early_is_asked_for_again(nextcloud: Nextcloud) -> None:
    body = multipart([part(WHALE), part("files__default: 2")])[:-80]
    response = nextcloud.http.put("/loadSources", content=body, headers={"Content-Type": UPLOAD_TYPE})
    assert response.status_code == 503
    assert response.headers["cc-retry"] == "true"
    assert "files__default: 2" not in nextcloud.found("alice")


def test_a_version_that_cannot_be_indexed_removes_the_old_one(nextcloud: Nextcloud) -> None:
    emptied = part(WHALE, b"", modified=2)
    unsupported = part(WHALE, mime_type="application/zip", modified=2)
    unread = part(WHALE, users=[], modified=2)
    for newer in (part(WHALE, b" ", modified=2), emptied, unsupported, unread):
        nextcloud.load(part(WHALE, modified=1))
        assert nextcloud.found("alice") == {WHALE}
        assert nextcloud.load(newer).json() == {"loaded_sources": [], "sources_to_retry": []}
        assert nextcloud.found("alice") == set()


def test_metrics_hold_counts_but_no_ids(nextcloud: Nextcloud) -> None:
    nextcloud.load(part(WHALE, users=["metric-user"], title="files/metric-title"))
    nextcloud.found("metric-user", "metric-question")
    text = nextcloud.http.get("/metrics").text
    assert 'ccb_operation_seconds_count{backend="' in text
    assert 'ccb_http_request_seconds_count{method="POST",route="/docSearch",status="200"}' in text
    assert 'ccb_sources_total{outcome="loaded"}' in text
    assert "metric-" not in text


def test_an_older_version_that_cannot_be_indexed_changes_nothing(nextcloud: Nextcloud) -> None:
    nextcloud.load(part(WHALE, modified=2))
    nextcloud.load(part(WHALE, mime_type="application/zip", modified=1), part(WHALE, b"", modified=2))
    assert nextcloud.found("alice") == {WHALE}


def test_an_action_that_was_turned_away_keeps_its_place(nextcloud: Nextcloud) -> None:
    nextcloud.load(part(WHALE))
    allow = {"op": "allow", "userIds": ["bob"], "sourceId": WHALE}
    nextcloud.http.put("/enabled?enabled=0")
    assert nextcloud.post("/updateAccess", **allow).status_code == 503
    nextcloud.http.put("/enabled?enabled=1")
    deny = {**allow, "op": "deny"}
    assert nextcloud.post("/updateAccess", **deny).status_code == 503
    assert nextcloud.post("/updateAccess", **allow).status_code == 200
    assert nextcloud.post("/updateAccess", **deny).status_code == 200
    assert nextcloud.found("bob") == set()


def test_ids_that_cannot_exist_do_not_stop_an_action(nextcloud: Nextcloud) -> None:
    nextcloud.load(part(WHALE, users=["alice", "bob"]), part("files__default: 2"))
    assert nextcloud.post("/updateAccess", op="deny", userIds=["bob", "x\0"], sourceId=WHALE).status_code == 200
    assert nextcloud.found("bob") == set()
    assert nextcloud.post("/deleteSources", sourceIds=["files__default: 2", "a\0b"]).status_code == 200
    assert nextcloud.found("alice") == {WHALE}
