"""Rows in our hands hear of what is done to their sources, also across a restart."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from context_chat_backend.contract import AccessOp, ProviderId, SourceId, UserId
from context_chat_backend.core.actions import Action, DeleteSources, SetAccess, UpdateAccess, UpdateProviderAccess
from context_chat_backend.core.contents import NoContent
from context_chat_backend.core.sources import SourceTable
from context_chat_backend.core.state import State
from context_chat_backend.nextcloud.queues import Document, DocumentRow, Queue
from context_chat_backend.pull.history import History
from context_chat_backend.pull.leases import Lease, Leases

pytestmark = pytest.mark.anyio

MAIL = SourceId("mail__mail: 7")
DAVE = frozenset({UserId("dave")})


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[State]:
    async with State(tmp_path / "state.db") as state:
        yield state


def leases_of(state: State) -> Leases:
    history = History(state, SourceTable(state))
    return Leases(state, history, lambda lease: NoContent("none"), lambda lease: None)


def row(number: int, *users: str) -> DocumentRow:
    document = Document.model_validate(
        {
            "userIds": list(users),
            "reference": f"mail__mail: {number}",
            "title": "Re: whale",
            "modified": 1,
            "type": "text/plain",
            "provider": "mail__mail",
        }
    )
    return DocumentRow(Queue.ITEMS, number, document)


@pytest.fixture
async def lease(state: State) -> Lease:
    (lease,) = await leases_of(state).add([row(7, "carol", "bob")])
    return lease


@pytest.mark.parametrize(
    "later",
    [
        UpdateProviderAccess(AccessOp.ALLOW, DAVE, ProviderId("mail__mail")),
        UpdateAccess(AccessOp.ALLOW, DAVE, MAIL),
        SetAccess(DAVE, MAIL),
    ],
)
async def test_an_item_that_was_deleted_gets_no_readers_again(lease: Lease, later: Action) -> None:
    lease.note(DeleteSources(frozenset({MAIL})))
    lease.note(later)
    assert lease.source.user_ids == frozenset()


async def test_what_was_noted_is_there_after_a_restart(state: State) -> None:
    leases = leases_of(state)
    await leases.add([row(7, "carol", "bob"), row(8, "bob")])
    leases.note(UpdateAccess(AccessOp.DENY, frozenset({UserId("bob")}), MAIL))
    await leases.flush()
    after = {lease.source.id: lease.source.user_ids for lease in await leases_of(state).open()}
    assert after == {MAIL: {"carol"}, SourceId("mail__mail: 8"): {"bob"}}


async def test_what_is_noted_while_the_state_is_written_is_written_later(state: State) -> None:
    leases = leases_of(state)
    await leases.add([row(7, "carol", "bob")])
    leases.note(UpdateAccess(AccessOp.DENY, frozenset({UserId("bob")}), MAIL))
    changes = leases.changes()
    leases.note(UpdateAccess(AccessOp.DENY, frozenset({UserId("carol")}), MAIL))
    await state.execute_all(changes.statement)
    leases.saved(changes)
    await leases.flush()
    (again,) = await leases_of(state).open()
    assert again.source.user_ids == frozenset()


async def test_a_number_that_comes_again_for_another_source_stands_for_that_one(state: State) -> None:
    leases = leases_of(state)
    (old,) = await leases.add([row(7, "carol")])
    other = row(8, "bob")
    (new,) = await leases.add([DocumentRow(Queue.ITEMS, 7, other.document)])
    assert (leases.is_current(old), leases.is_current(new)) == (False, True)
    await leases.remove([old])
    assert leases.is_current(new), "what the old one was is not acknowledged in its name"
