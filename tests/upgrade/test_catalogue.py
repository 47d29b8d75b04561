"""A data folder that the version before left, with a backend that keeps its chunks in a store of vectors.

It was killed before the store had heard of the last changes.
"""

import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from context_chat_backend.toolkit.catalogue.guard import NOBODY
from tests.doubles.nextcloud import FakeNextcloud, serving
from tests.gateway import Nextcloud, gateway_process, make_settings, running_gateway
from tests.golden.previous.documents import BEGIN, BOOK, COUNTS, CRANE, LETTER, REPLY, STORED, WHALE, allow, seen_of
from tests.http.test_switching import wait_until_misconfigured
from tests.slow.tools import eventually

from .previous import best, load, seen, send, skipped

NOW = [REPLY.now("bob", "carol", "stranger") if each.id == REPLY.id else each for each in STORED]


def gateway(folder: Path, **settings: object) -> AbstractContextManager[Nextcloud]:
    settings = {"rag_backend": "qdrant", **settings}
    return running_gateway(make_settings(folder, **settings), variables={"QDRANT_URL": "store"})


def points(folder: Path) -> Mapping[object, tuple[str, str]]:
    """Text and access group of each point but the guard's marker, by id."""
    with closing(QdrantClient(path=str(folder / "store"))) as client:
        (collection,) = client.get_collections().collections
        found, _ = client.scroll(collection.name, limit=1000)
        contents = {point.id: (point.payload["text"], point.payload["acl"]) for point in found if point.payload}
        return {point: (text, group) for point, (text, group) in contents.items() if group != NOBODY}


def test_every_user_finds_what_they_could_find_before_and_nothing_else(qdrant: Path) -> None:
    with gateway(qdrant) as nextcloud:
        assert nextcloud.counts() == COUNTS
        assert seen(nextcloud) == seen_of(NOW)
        assert best(nextcloud, "carol", "Grüße aus dem Hafen") == [(LETTER.id, LETTER.title)]


def test_the_store_hears_of_what_it_had_not_heard_of(qdrant: Path) -> None:
    before = points(qdrant)
    with gateway(qdrant) as nextcloud:
        assert seen(nextcloud) == seen_of(NOW)
    after = points(qdrant)
    gone = before.keys() - after.keys()
    assert [before[point][0] for point in gone] == ["Nobody may find this harbour any more."]
    assert after.keys() <= before.keys()
    assert [text for text, _ in {*after.values()} - {*before.values()}] == [REPLY.text]


def test_a_rescan_indexes_nothing_again(qdrant: Path) -> None:
    with gateway(qdrant) as nextcloud:
        assert load(nextcloud, NOW) == ({each.id for each in NOW}, set())
        assert skipped(nextcloud) == {"all": len(NOW) - 1, "meta": 1}
        assert (nextcloud.counts(), seen(nextcloud)) == (COUNTS, seen_of(NOW))


def test_what_is_stored_can_be_changed(qdrant: Path) -> None:
    newer = replace(BOOK, text="The harbour is frozen.", readers=("dora",), modified=BEGIN + 9)
    changed = {WHALE.id: WHALE.now("bob"), LETTER.id: LETTER.now("alice", "bob"), BOOK.id: newer}
    left = [changed.get(each.id, each) for each in NOW if each.id != CRANE.id]
    counts = {**COUNTS, "files__default": COUNTS["files__default"] - 1}
    with gateway(qdrant) as nextcloud:
        assert send(nextcloud, allow("bob", WHALE)) == 200
        assert send(nextcloud, allow("alice", WHALE, "deny")) == 200
        assert send(nextcloud, allow("carol", LETTER, "deny")) == 200
        assert send(nextcloud, ("/deleteSources", {"sourceIds": [CRANE.id]})) == 200
        assert load(nextcloud, [newer]) == ({BOOK.id}, set())
        assert (nextcloud.counts(), seen(nextcloud)) == (counts, seen_of(left))
    with gateway(qdrant) as nextcloud:
        assert (nextcloud.counts(), seen(nextcloud)) == (counts, seen_of(left))
    assert {text for text, _ in points(qdrant).values()} == {each.text for each in left} - {CRANE.text}


@pytest.mark.parametrize("opened", [False, True])
def test_a_store_that_was_emptied_is_not_believed(qdrant: Path, opened: bool) -> None:
    """Whether it was opened by this version before that or not: the version before left no marker in it."""
    if opened:
        with gateway(qdrant) as nextcloud:
            assert seen(nextcloud) == seen_of(NOW)
    shutil.rmtree(qdrant / "store")
    environment = {"RAG_BACKEND": "qdrant", "QDRANT_URL": "store"}
    with gateway_process(environment, folder=qdrant, ready=False) as process:
        wait_until_misconfigured(process.nextcloud)


def test_an_initialisation_that_was_not_reported_is_reported(qdrant: Path) -> None:
    double = FakeNextcloud()
    with serving(double) as url, gateway(qdrant, nextcloud_url=url) as nextcloud:
        assert nextcloud.http.get("/enabled").json() == {"enabled": True}
        eventually(lambda: double.reports[-1:] == [(100, "")])
        assert seen(nextcloud) == seen_of(NOW)
    assert double.violations == []
