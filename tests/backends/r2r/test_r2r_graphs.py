"""Graphs of users' collections: what an admin builds of them must not outlive the right to read what is in them."""

import json
from uuid import UUID

import httpx
import pytest

from backends.r2r.driver import R2RDriver
from context_chat_backend.contract import AccessOp, Query

from .r2r_stage import ALICE, BOB, Stage, source_id

pytestmark = pytest.mark.anyio


def graph_resets_before(stage: Stage, loss: str) -> list[UUID]:
    """The collections whose graphs had been reset when this request was made."""
    seen: list[UUID] = []

    async def look(request: httpx.Request) -> None:
        if request.method == "DELETE" and loss in request.url.path:
            seen.extend(stage.double.graph_resets)

    stage.wire.before = look
    stage.double.graph_resets.clear()
    return seen


async def test_a_collection_that_loses_a_document_loses_its_graph_first(stage: Stage) -> None:
    async with stage.driver(graph_search=True) as driver:
        await driver.upsert(stage.source(1, users=[ALICE, BOB]))
        alice, bob = (stage.collection(stage.names.user(user)) for user in (ALICE, BOB))
        seen = graph_resets_before(stage, f"{bob}/documents")
        await driver.update_access(AccessOp.DENY, source_id(1), {BOB})
        assert seen == [bob]
        seen = graph_resets_before(stage, "/v3/documents")
        await driver.delete({source_id(1)})
        assert seen == [alice]


async def test_a_graph_of_a_lost_collection_holds_nothing_up(stage: Stage) -> None:
    async with stage.driver(graph_search=True) as driver:
        await driver.upsert(stage.source(1, users=[ALICE, BOB]))
        lost = stage.collection(stage.names.user(BOB))
        stage.double.store.delete_collection(lost)
        stage.only().collection_ids.append(lost)
        await driver.set_access(source_id(1), {ALICE})
    assert ("POST", f"/v3/graphs/{lost}/reset") in stage.double.requests


async def test_graphs_are_left_alone_unless_they_are_searched(stage: Stage, driver: R2RDriver) -> None:
    await driver.upsert(stage.source(1, users=[ALICE, BOB]))
    await driver.set_access(source_id(1), {ALICE})
    await driver.delete({source_id(1)})
    assert stage.double.graph_resets == []


async def test_only_answers_use_graphs(stage: Stage) -> None:
    async with stage.driver(graph_search=True) as driver:
        await driver.upsert(stage.source(1))
        stage.wire.requests.clear()
        await driver.answer(Query(user_id=ALICE, text="whale", limit=5))
    bodies = [json.loads(each.content) for each in stage.wire.requests if each.method == "POST"]
    enabled = [body["search_settings"]["graph_settings"] for body in bodies]
    assert enabled == [{"enabled": False}, {"enabled": True}]
