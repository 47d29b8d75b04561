"""A data folder that the version before left, with the backend builtin."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.gateway import Nextcloud, gateway_process, make_settings, running_gateway
from tests.golden.previous.documents import (
    AFTERWARDS,
    BEGIN,
    BOOK,
    COUNTS,
    FAILED,
    HELD,
    LETTER,
    OTHER_CARD,
    REPLY,
    SETTLED,
    STORED,
    WHALE,
    allow,
    seen_of,
)
from tests.http.test_switching import wait_until_misconfigured

from .previous import best, load, restore_database, seen, send, skipped

pytest_plugins = ["tests.pg"]


@contextmanager
def gateway(folder: Path, **variables: str) -> Iterator[Nextcloud]:
    with running_gateway(make_settings(folder), variables=variables) as nextcloud:
        yield nextcloud


def test_every_user_finds_what_they_could_find_before_and_nothing_else(builtin: Path) -> None:
    with gateway(builtin) as nextcloud:
        assert nextcloud.counts() == COUNTS
        assert seen(nextcloud) == seen_of()
        mails = {"scopeType": "provider", "scopeList": ["mail__mail"]}
        assert nextcloud.found("alice", "harbour", **mails) == {LETTER.id}


def test_what_is_found_is_what_was_stored(builtin: Path) -> None:
    with gateway(builtin) as nextcloud:
        assert best(nextcloud, "carol", "Grüße aus dem Hafen") == [(LETTER.id, LETTER.title)]
        answer = nextcloud.post("/query", userId="carol", query="Grüße aus dem Hafen", useContext=True).json()
        assert LETTER.text in answer["output"]


def test_a_rescan_indexes_nothing_again_and_waits_for_what_is_held_back(builtin: Path) -> None:
    free = {document.id for document in STORED} - HELD
    with gateway(builtin) as nextcloud:
        assert load(nextcloud, STORED) == (free, HELD)
        # of the reply the cache knows no readers: they were changed after the last scan
        assert skipped(nextcloud) == {"all": len(free) - 1, "meta": 1}
        assert (nextcloud.counts(), seen(nextcloud)) == (COUNTS, seen_of())


def test_a_touched_document_is_readable_by_its_readers_of_now_only(builtin: Path) -> None:
    touched = replace(BOOK, readers=("dora",), modified=BEGIN + 9)
    with gateway(builtin) as nextcloud:
        assert load(nextcloud, [touched]) == ({BOOK.id}, set())
        assert nextcloud.counts() == COUNTS
        assert seen(nextcloud) == seen_of(touched if each.id == BOOK.id else each for each in STORED)


def test_a_failed_action_holds_back_later_ones_until_it_was_repeated(builtin: Path) -> None:
    later = [request for failed in FAILED for request in failed.meets]
    with gateway(builtin) as nextcloud:
        assert [send(nextcloud, request) for request in later] == [503] * len(later)
        for failed in FAILED:
            if failed.waits_for is not None:
                assert send(nextcloud, failed.request) == 503
        assert seen(nextcloud) == seen_of()
        assert [send(nextcloud, failed.request) for failed in FAILED] == [200] * len(FAILED)
        assert seen(nextcloud) == seen_of(SETTLED)
        assert [send(nextcloud, request) for request in later] == [200] * len(later)
        assert seen(nextcloud) == seen_of(AFTERWARDS)
        kept = {document.id for document in AFTERWARDS}
        assert load(nextcloud, AFTERWARDS) == (kept, set())
        assert sum(skipped(nextcloud).values()) == len(kept)
        assert seen(nextcloud) == seen_of(AFTERWARDS)


def test_what_no_failed_action_meets_is_done_at_once(builtin: Path) -> None:
    with gateway(builtin) as nextcloud:
        assert send(nextcloud, allow("alice", REPLY)) == 200
        assert send(nextcloud, allow("alice", WHALE, "deny")) == 200
        assert send(nextcloud, ("/deleteSources", {"sourceIds": [BOOK.id]})) == 200
        assert send(nextcloud, ("/updateAccessProvider", _provider("deny", "carol"))) == 200
        newer = replace(LETTER, text="The harbour is frozen.", readers=("dora",), modified=BEGIN + 9)
        assert load(nextcloud, [newer]) == ({LETTER.id}, set())
        changed = {REPLY.id: REPLY.now("alice", "bob"), LETTER.id: newer}
        left = [changed.get(each.id, each) for each in STORED if each.id not in {WHALE.id, BOOK.id}]
        assert seen(nextcloud) == seen_of(left)
        assert nextcloud.counts() == {**COUNTS, "files__default": COUNTS["files__default"] - 2}


def test_opened_again_it_goes_on_where_it_was(builtin: Path) -> None:
    with gateway(builtin) as nextcloud:
        assert [send(nextcloud, failed.request) for failed in FAILED[:3]] == [200] * 3
    with gateway(builtin) as nextcloud:
        left = [each for each in STORED if not each.id.startswith("deck__deck")]
        assert seen(nextcloud) == seen_of(left)
        assert send(nextcloud, FAILED[5].request) == 503
        assert [send(nextcloud, failed.request) for failed in FAILED[3:]] == [200] * 3
    with gateway(builtin) as nextcloud:
        assert seen(nextcloud) == seen_of(SETTLED)
        assert load(nextcloud, SETTLED) == ({each.id for each in SETTLED}, set())
        assert sum(skipped(nextcloud).values()) == len(SETTLED)


def test_after_another_backend_it_is_refused_like_one_of_this_version(builtin: Path) -> None:
    with running_gateway(make_settings(builtin, rag_backend="reference")) as nextcloud:
        assert seen(nextcloud) == seen_of([])
    with gateway_process(folder=builtin, ready=False) as process:
        wait_until_misconfigured(process.nextcloud)


def test_a_database_of_ones_own_is_served_too(empty_database: str, tmp_path: Path) -> None:
    restore_database("builtin/postgres.sql", empty_database)
    with gateway(tmp_path, CCB_DB_URL=empty_database) as nextcloud:
        assert (nextcloud.counts(), seen(nextcloud)) == (COUNTS, seen_of())
        assert load(nextcloud, STORED) == ({each.id for each in STORED}, set())
        assert send(nextcloud, ("/deleteSources", {"sourceIds": [OTHER_CARD.id]})) == 200
        assert seen(nextcloud) == seen_of(each for each in STORED if each.id != OTHER_CARD.id)


def _provider(op: str, user: str) -> dict[str, object]:
    return {"op": op, "userIds": [user], "providerId": "mail__mail"}
