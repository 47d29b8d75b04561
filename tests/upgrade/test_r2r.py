"""A data folder that the version before left, with the backend R2R.

It was disabled, and stopped while R2R was at work on two documents; one of them had been deleted meanwhile.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.doubles.r2r import FakeR2R, r2r_server
from tests.gateway import Nextcloud, make_settings, running_gateway
from tests.golden.previous import FOLDER
from tests.golden.previous.documents import BEGIN, BOOK, COUNTS, CRANE, LETTER, STORED, WHALE, allow, seen_of
from tests.golden.previous.r2r import AT_WORK, DELETED_AT_WORK, fill
from tests.slow.tools import eventually

from .previous import best, load, restore_sqlite, restore_state, seen, send, skipped

UPLOAD = ("POST", "/v3/documents")


@pytest.fixture
def r2r() -> Iterator[FakeR2R]:
    """The server as it was left."""
    with r2r_server() as double:
        fill(double, (FOLDER / "r2r" / "server.json").read_text(encoding="utf-8"))
        yield double
        assert double.violations == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data folder."""
    restore_state("r2r", tmp_path)
    own = tmp_path / "backends" / "r2r"
    restore_sqlite("r2r/collections.sql", own / "collections.db")
    restore_sqlite("r2r/uploads.sql", own / "uploads.db")
    (own / "namespace").write_text((FOLDER / "r2r" / "namespace").read_text())
    return tmp_path


def gateway(folder: Path, r2r: FakeR2R) -> AbstractContextManager[Nextcloud]:
    account = {"R2R_USER": r2r.superuser.email, "R2R_PASSWORD": r2r.superuser.password}
    settings = make_settings(folder, rag_backend="r2r")
    return running_gateway(settings, variables={"R2R_BASE_URL": r2r.url, **account})


@contextmanager
def enabled(folder: Path, r2r: FakeR2R) -> Iterator[Nextcloud]:
    with gateway(folder, r2r) as nextcloud:
        assert nextcloud.http.put("/enabled", params={"enabled": 1}).json() == {"error": ""}
        yield nextcloud


def test_a_disabled_app_stays_disabled(folder: Path, r2r: FakeR2R) -> None:
    with gateway(folder, r2r) as nextcloud:
        assert nextcloud.http.get("/enabled").json() == {"enabled": False}
        assert send(nextcloud, ("/docSearch", {"userId": "alice", "query": "harbour"})) == 503


def test_every_user_finds_what_they_could_find_before_and_nothing_else(folder: Path, r2r: FakeR2R) -> None:
    with enabled(folder, r2r) as nextcloud:
        # R2R counts the deleted one, too, until the gateway tidies up
        assert nextcloud.counts() == {**COUNTS, "files__default": COUNTS["files__default"] + 2}
        assert seen(nextcloud) == seen_of([*STORED, AT_WORK])
        assert best(nextcloud, "carol", "Grüße aus dem Hafen") == [(LETTER.id, LETTER.title)]


def test_namespace_and_collections_are_kept_and_a_rescan_uploads_nothing(folder: Path, r2r: FakeR2R) -> None:
    collections = {*r2r.store.collections}
    with enabled(folder, r2r) as nextcloud:
        assert load(nextcloud, STORED) == ({each.id for each in STORED}, set())
        assert skipped(nextcloud) == {"all": len(STORED)}
        assert send(nextcloud, allow("dora", WHALE)) == 200
        assert send(nextcloud, allow("dora", LETTER)) == 200
    assert UPLOAD not in r2r.requests
    assert {*r2r.store.collections} == collections
    namespace = Path("backends", "r2r", "namespace")
    assert (folder / namespace).read_text() == (FOLDER / "r2r" / "namespace").read_text()


def test_what_was_deleted_while_r2r_was_at_work_on_it_is_removed(
    folder: Path, r2r: FakeR2R, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stored() -> bool:
        return any(each.metadata.get("source_id") == DELETED_AT_WORK.id for each in [*r2r.store.documents.values()])

    monkeypatch.setattr("backends.r2r.driver.TIDY_SECONDS", 0.1)
    assert stored()  # R2R brought it back
    with enabled(folder, r2r) as nextcloud:
        eventually(lambda: not stored())
        assert nextcloud.counts() == {**COUNTS, "files__default": COUNTS["files__default"] + 1}
        assert seen(nextcloud) == seen_of([*STORED, AT_WORK])


def test_what_was_deleted_while_r2r_was_at_work_on_it_is_not_found_until_it_comes_again(
    folder: Path, r2r: FakeR2R
) -> None:
    with enabled(folder, r2r) as nextcloud:
        assert DELETED_AT_WORK.id not in nextcloud.found("dora", "deleted harbour")
        assert load(nextcloud, [DELETED_AT_WORK]) == ({DELETED_AT_WORK.id}, set())
        assert DELETED_AT_WORK.id in nextcloud.found("dora", "deleted harbour")
        assert DELETED_AT_WORK.id not in nextcloud.found("alice", "deleted harbour")


def test_what_r2r_has_finished_meanwhile_is_not_uploaded_again(folder: Path, r2r: FakeR2R) -> None:
    with enabled(folder, r2r) as nextcloud:
        assert load(nextcloud, [AT_WORK]) == ({AT_WORK.id}, set())
        assert AT_WORK.id in nextcloud.found("dora", "harbour")
    assert UPLOAD not in r2r.requests


def test_what_is_stored_can_be_changed(folder: Path, r2r: FakeR2R) -> None:
    newer = replace(BOOK, text="The harbour is frozen.", readers=("dora",), modified=BEGIN + 9)
    changed = {WHALE.id: WHALE.now("bob"), LETTER.id: LETTER.now("alice", "bob"), BOOK.id: newer}
    left = [changed.get(each.id, each) for each in STORED if each.id != CRANE.id]
    with enabled(folder, r2r) as nextcloud:
        assert send(nextcloud, allow("bob", WHALE)) == 200
        assert send(nextcloud, allow("alice", WHALE, "deny")) == 200
        assert send(nextcloud, allow("carol", LETTER, "deny")) == 200
        assert send(nextcloud, ("/deleteSources", {"sourceIds": [CRANE.id, AT_WORK.id]})) == 200
        assert load(nextcloud, [newer]) == ({BOOK.id}, set())
        assert seen(nextcloud) == seen_of(left)
    with enabled(folder, r2r) as nextcloud:
        assert seen(nextcloud) == seen_of(left)
