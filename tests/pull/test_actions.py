"""Access changes and deletions of the queue: what can be read is carried out in its order, and all is acknowledged."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.sim import Sim
from tests.gateway import SECRET
from tests.pull.site import VERSION, Site, file_id, gateway_of

WHALE = b"The whale swims in the deep blue sea."
DAY = 24 * 3600 + 1
ONE, TWO = file_id(1), file_id(2)


@pytest.fixture
def stocked(pulling: Site) -> Site:
    """Two files of alice, one of which bob has too, and a mail of carol."""
    pulling.nextcloud.add_file(1, "alice", "files/1.md", "text/markdown", WHALE, users=["bob"])
    pulling.nextcloud.add_file(2, "alice", "files/2.md", "text/markdown", WHALE)
    for number in (1, 2):
        pulling.nextcloud.enqueue_file(number)
    pulling.nextcloud.enqueue_item("mail", "mail", "7", "Re: whale", WHALE, users=["carol"])
    pulling.settle()
    return pulling


def queue(pulling: Site, *actions: tuple[str, Any]) -> None:
    with pulling.nextcloud.lock:
        for kind, payload in actions:
            pulling.nextcloud.enqueue_action(kind, payload)


def readers(pulling: Site) -> dict[str, set[str]]:
    return {user: found for user in ("alice", "bob", "carol", "dave") if (found := pulling.found(user))}


def allow(users: Any, source: str = ONE) -> tuple[str, Any]:
    return "update_access_source_id", {"op": "allow", "userIds": users, "sourceId": source}


def deny(users: Any, source: str = ONE) -> tuple[str, Any]:
    return "update_access_source_id", {"op": "deny", "userIds": users, "sourceId": source}


def exactly(users: Any, source: str = ONE) -> tuple[str, Any]:
    return "update_access_decl_source_id", {"userIds": users, "sourceId": source}


MAIL = "mail__mail: 7"
BEFORE = {"alice": {ONE, TWO}, "bob": {ONE}, "carol": {MAIL}}


@pytest.mark.parametrize(
    ("actions", "changed"),
    [
        ([allow(["dave"])], {"dave": {ONE}}),
        ([allow({"1": "dave", "4": "carol"})], {"dave": {ONE}, "carol": {ONE, MAIL}}),
        ([deny(["bob"])], {"bob": set()}),
        ([exactly(["dave"], TWO)], {"alice": {ONE}, "dave": {TWO}}),
        ([exactly({"2": "bob"})], {"alice": {TWO}, "bob": {ONE}}),
        ([allow(["dave"]), deny(["dave"]), allow(["dave"], TWO)], {"dave": {TWO}}),
        ([deny(["dave"]), allow(["dave"])], {"dave": {ONE}}),
        ([("delete_source_ids", {"sourceIds": [ONE, "files__default: 99"]})], {"alice": {TWO}, "bob": set()}),
        ([("delete_source_ids", {"sourceIds": {"3": ONE}})], {"alice": {TWO}, "bob": set()}),
        ([("delete_provider_id", {"providerId": "mail__mail"})], {"carol": set()}),
        ([("delete_provider_id", {"providerId": "default"})], {}),
        ([("delete_user_id", {"userId": "alice"})], {"alice": set()}),
        (
            [("update_access_provider_id", {"op": "allow", "userIds": ["dave"], "providerId": "files__default"})],
            {"dave": {ONE, TWO}},
        ),
        (
            [("update_access_provider_id", {"op": "deny", "userIds": ["alice"], "providerId": "files__default"})],
            {"alice": set()},
        ),
        ([("of a later version", {"x": 1}), allow(["dave"])], {"dave": {ONE}}),
        (
            [("update_access_source_id", {"op": "toggle", "userIds": ["bob"], "sourceId": ONE}), allow(["dave"])],
            {"dave": {ONE}},
        ),
        (
            [
                ("update_access_source_id", None),
                ("delete_user_id", []),
                ("delete_source_ids", {"sourceIds": 3}),
                allow(["dave"]),
            ],
            {"dave": {ONE}},
        ),
        ([exactly([]), deny([]), ("delete_source_ids", {"sourceIds": []}), allow(["dave"])], {"dave": {ONE}}),
    ],
)
def test_every_action_that_can_be_read_is_carried_out_and_all_are_acknowledged(
    stocked: Site, actions: list[tuple[str, Any]], changed: dict[str, set[str]]
) -> None:
    assert readers(stocked) == BEFORE
    queue(stocked, *actions)
    stocked.settle()
    assert readers(stocked) == {user: ids for user, ids in {**BEFORE, **changed}.items() if ids}


def test_thousands_of_actions_are_carried_out_in_their_order(stocked: Site) -> None:
    for turn in range(1200):
        queue(stocked, deny(["bob"]) if turn % 2 else allow(["bob"]), allow([f"u{turn}"], TWO))
    queue(stocked, deny([f"u{turn}" for turn in range(0, 1200, 2)], TWO))
    stocked.settle()
    assert stocked.found("bob") == set()
    assert stocked.found("u1199") == {TWO}
    assert stocked.found("u1198") == set()


@pytest.mark.parametrize("fault", [{"kind": "lost"}, {"kind": "reset"}, {"kind": "status", "status": 500}])
def test_an_acknowledgement_that_failed_is_repeated(stocked: Site, fault: dict[str, Any]) -> None:
    stocked.nextcloud.fault(**fault, path="/queues/actions", method="DELETE", times=2)
    queue(stocked, deny(["bob"]))
    stocked.settle()
    assert readers(stocked) == {"alice": {ONE, TWO}, "carol": {MAIL}}


def lose_an_answer(stocked: Site, *actions: tuple[str, Any]) -> None:
    """Leased by a request whose answer never came."""
    nextcloud = stocked.nextcloud
    nextcloud.fault("lost", path="/queues/actions", method="GET", times=1)
    queue(stocked, *actions)
    stocked.hurry()
    end = time.monotonic() + 10
    while nextcloud.stats()["queues"]["actions"]["running"] < len(actions):
        assert time.monotonic() < end, nextcloud.stats()
        time.sleep(0.02)


def test_actions_that_come_back_after_newer_ones_do_not_undo_them(stocked: Site) -> None:
    lose_an_answer(stocked, allow(["dave", "carol"]), exactly(["alice", "dave"], TWO), deny(["bob"]))
    queue(stocked, deny(["dave"]), allow(["bob"], TWO))
    wait_until_through(stocked, 2)
    stocked.nextcloud.travel(DAY)
    stocked.settle()
    assert readers(stocked) == {
        "alice": {ONE, TWO},
        "bob": {TWO},
        "carol": {MAIL, ONE},
        "dave": {TWO},
    }


def wait_until_through(stocked: Site, number: int) -> None:
    """So many actions are acknowledged since the last time."""
    before = stocked.nextcloud.actions.acknowledged
    stocked.hurry()
    end = time.monotonic() + 20
    while stocked.nextcloud.actions.acknowledged < before + number:
        assert time.monotonic() < end, stocked.nextcloud.stats()
        time.sleep(0.02)


def test_a_late_deletion_does_not_take_a_file_that_came_back(stocked: Site) -> None:
    nextcloud = stocked.nextcloud
    node = nextcloud.nodes[1]
    lose_an_answer(stocked, ("delete_source_ids", {"sourceIds": [ONE]}))
    nextcloud.delete_file(1, event=False)
    nextcloud.nodes[1] = node  # restored from the trash: it keeps its number
    queue(stocked, deny(["nobody"], TWO))
    wait_until_through(stocked, 1)
    nextcloud.write_file(1, WHALE + b" Again.")
    wait_until_documents_are_through(stocked)
    nextcloud.travel(DAY)
    stocked.settle()
    assert readers(stocked) == BEFORE


def wait_until_documents_are_through(stocked: Site) -> None:
    stocked.hurry()
    end = time.monotonic() + 20
    while stocked.nextcloud.files.rows:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_context_chat_that_was_installed_anew_is_obeyed(stocked: Site) -> None:
    queue(stocked, *(allow([f"u{turn}"]) for turn in range(20)), exactly(["alice", "bob"]))
    stocked.settle()
    with stocked.nextcloud.lock:
        stocked.nextcloud.actions.next_id = 1
    queue(stocked, deny(["bob"]), allow(["dave"], TWO))
    stocked.settle()
    assert readers(stocked) == {"alice": {ONE, TWO}, "carol": {MAIL}, "dave": {TWO}}


def test_what_was_taken_and_not_carried_out_is_carried_out_after_a_restart(tmp_path: Path, quick: None) -> None:
    with Sim(secret=SECRET, app_version=VERSION) as nextcloud:
        nextcloud.add_file(1, "alice", "files/1.md", "text/markdown", WHALE, users=["bob"])
        nextcloud.enqueue_file(1)
        with gateway_of(nextcloud, tmp_path) as gateway:
            pulling = Site(nextcloud, gateway)
            pulling.settle()
            nextcloud.fault("reset", path="/queues/actions", method="DELETE", times=None)
            queue(pulling, exactly(["alice", "carol"]))
            pulling.hurry()
            end = time.monotonic() + 20
            while pulling.found("bob"):
                assert time.monotonic() < end
                time.sleep(0.02)
        nextcloud.clear_faults()
        with gateway_of(nextcloud, tmp_path):
            assert nextcloud.wait_idle(30), "acknowledged, and not handed out again"
        assert nextcloud.stats()["leased_more_than_once"] == {}


def test_what_happens_to_an_item_while_it_waits_in_its_queue_is_not_lost(tmp_path: Path, quick: None) -> None:
    """Actions and items have no common order: the narrower of both is right."""
    with Sim(secret=SECRET, app_version=VERSION) as nextcloud:
        for number in ("7", "8", "9", "10"):
            nextcloud.enqueue_item("mail", "mail", number, "Re: whale", WHALE, users=["carol", "dave"])
        for kind, payload in (
            deny(["dave"], "mail__mail: 7"),
            ("delete_source_ids", {"sourceIds": ["mail__mail: 8"]}),
            exactly(["carol", "bob"], "mail__mail: 9"),
        ):
            nextcloud.enqueue_action(kind, payload)
        with gateway_of(nextcloud, tmp_path) as gateway:  # all of this waits when it starts
            assert nextcloud.wait_idle(30)
            assert readers(Site(nextcloud, gateway)) == {
                "carol": {"mail__mail: 7", "mail__mail: 9", "mail__mail: 10"},
                "dave": {"mail__mail: 10"},
            }


def test_an_item_that_is_submitted_again_after_its_deletion_is_indexed(stocked: Site) -> None:
    for action in (("delete_source_ids", {"sourceIds": [MAIL]}), ("delete_provider_id", {"providerId": "mail__mail"})):
        queue(stocked, action)
        stocked.settle()
        assert stocked.found("carol") == set()
        time.sleep(0.5)
        stocked.hurry()
        time.sleep(0.5)
        stocked.nextcloud.enqueue_item("mail", "mail", "7", "Re: whale", WHALE, users=["carol"])
        stocked.settle()
        assert stocked.found("carol") == {MAIL}


def test_a_lost_action_is_older_than_a_row_that_was_taken_since_then(
    stocked: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nothing else has told how high the numbers of lost actions are."""
    nextcloud = stocked.nextcloud
    lose_an_answer(
        stocked,
        ("update_access_provider_id", {"op": "allow", "userIds": ["dave"], "providerId": "mail__mail"}),
        exactly(["alice", "dave"], ONE),
        ("delete_source_ids", {"sourceIds": [TWO]}),
    )
    nextcloud.enqueue_item("mail", "mail", "8", "Re: a private whale", WHALE, users=["carol"])
    nextcloud.write_file(1, WHALE + b" Again.")
    nextcloud.write_file(2, WHALE + b" Again.")
    wait_until_documents_are_through(stocked)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + DAY)
    nextcloud.travel(DAY)
    stocked.settle()
    after = {"alice": {ONE, TWO}, "bob": {ONE}, "carol": {MAIL, "mail__mail: 8"}, "dave": {MAIL}}
    assert readers(stocked) == after
    queue(stocked, deny(["bob"]), allow(["dave"], TWO))
    stocked.settle()
    assert readers(stocked) == {**{user: ids for user, ids in after.items() if user != "bob"}, "dave": {MAIL, TWO}}
