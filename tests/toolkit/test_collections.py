"""The map from names to a backend's collections: it asks once, creates only when told, and forgets other stores."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from context_chat_backend.contract import Unavailable
from context_chat_backend.toolkit.collections import CollectionMap

pytestmark = pytest.mark.anyio


class Backend:
    """Has collections and counts who asks for them."""

    def __init__(self) -> None:
        self.collections: dict[str, str] = {}
        self.calls: list[str] = []
        self.down = False
        self.answering = anyio.Event()
        self.answering.set()

    async def find(self, name: str) -> str | None:
        await self._answer(f"find {name}")
        return self.collections.get(name)

    async def create(self, name: str) -> str:
        await self._answer(f"create {name}")
        return self.collections.setdefault(name, f"id of {name}")

    async def _answer(self, call: str) -> None:
        self.calls.append(call)
        await self.answering.wait()
        if self.down:
            raise Unavailable("down")


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "collections.db"


@pytest.fixture
async def collections(backend: Backend, file: Path) -> AsyncIterator[CollectionMap]:
    async with CollectionMap(file, find=backend.find, create=backend.create) as collections:
        await collections.open_store("store")
        yield collections


async def test_what_is_missing_is_made_once_and_known_from_then_on(
    collections: CollectionMap, backend: Backend
) -> None:
    ids = {"alice": "id of alice", "bob": "id of bob"}
    assert await collections.ensure(["alice", "bob", "alice"]) == ids
    assert await collections.ensure(["bob", "alice"]) == ids
    assert sorted(backend.calls) == ["create alice", "create bob"]


async def test_nothing_is_asked_for_nothing(collections: CollectionMap, backend: Backend) -> None:
    assert await collections.ensure([]) == {}
    assert backend.calls == []


async def test_ten_thousand_known_names_are_not_asked_for(collections: CollectionMap, backend: Backend) -> None:
    known = {f"user {number}": f"id {number}" for number in range(10_000)}
    await collections.learn(known)
    assert await collections.ensure(known) == known
    assert len(collections) == 10_000
    assert backend.calls == []


async def test_however_many_want_a_collection_one_makes_it(collections: CollectionMap, backend: Backend) -> None:
    backend.answering = anyio.Event()
    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(collections.ensure, ["alice"])
        await anyio.wait_all_tasks_blocked()
        backend.answering.set()
    assert backend.calls == ["create alice"]


async def test_however_many_look_for_a_collection_one_asks(collections: CollectionMap, backend: Backend) -> None:
    backend.collections["alice"] = "id of alice"
    backend.answering = anyio.Event()
    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(collections.find, "alice")
        await anyio.wait_all_tasks_blocked()
        backend.answering.set()
    assert backend.calls == ["find alice"]


async def test_looking_for_a_collection_makes_none(collections: CollectionMap, backend: Backend) -> None:
    assert await collections.find("alice") is None
    assert backend.collections == {}


async def test_a_missing_collection_is_looked_for_again(collections: CollectionMap, backend: Backend) -> None:
    assert await collections.find("alice") is None
    backend.collections["alice"] = "made by another gateway"
    assert await collections.find("alice") == "made by another gateway"
    assert await collections.find("alice") == "made by another gateway"
    assert backend.calls == ["find alice"] * 2


async def test_who_waits_for_one_that_fails_tries_on_its_own(collections: CollectionMap, backend: Backend) -> None:
    backend.down = True
    with pytest.raises(Unavailable):
        await collections.ensure(["alice"])
    backend.down = False
    assert await collections.ensure(["alice"]) == {"alice": "id of alice"}


async def test_what_was_made_before_a_failure_stays_known(collections: CollectionMap, backend: Backend) -> None:
    await collections.ensure(["alice"])
    backend.down = True
    with pytest.raises(Unavailable):
        await collections.ensure(["alice", "bob"])
    assert collections.names == ["alice"]


async def test_a_cancelled_caller_leaves_the_turn_to_others(collections: CollectionMap, backend: Backend) -> None:
    backend.answering = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(collections.ensure, ["alice"])
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    backend.answering.set()
    assert await collections.ensure(["alice"]) == {"alice": "id of alice"}


async def test_names_are_told_by_their_ids(collections: CollectionMap) -> None:
    await collections.ensure(["alice"])
    assert collections.name_of("id of alice") == "alice"
    assert collections.name_of("id of bob") is None


async def test_what_was_learned_replaces_what_was_known(collections: CollectionMap, backend: Backend) -> None:
    await collections.learn({"alice": "old"})
    await collections.learn({"alice": "new"})
    assert await collections.find("alice") == "new"
    assert collections.name_of("new") == "alice"
    assert backend.calls == []


async def test_a_forgotten_collection_is_made_again(collections: CollectionMap, backend: Backend) -> None:
    await collections.ensure(["alice"])
    await collections.forget("alice")
    await collections.forget("nobody")
    assert (collections.names, collections.name_of("id of alice")) == ([], None)
    await collections.ensure(["alice"])
    assert backend.calls == ["create alice"] * 2


async def reopened(backend: Backend, file: Path, store: str) -> list[str]:
    """What is known of a store after a restart."""
    async with CollectionMap(file, find=backend.find, create=backend.create) as collections:
        await collections.open_store(store)
        return collections.names


async def test_ids_outlive_a_restart_as_long_as_the_store_is_the_same(backend: Backend, file: Path) -> None:
    async with CollectionMap(file, find=backend.find, create=backend.create) as collections:
        await collections.open_store("store")
        await collections.ensure(["alice", "jörg 用户"])
        await collections.ensure(["bob"])
        await collections.forget("bob")
    assert sorted(await reopened(backend, file, "store")) == ["alice", "jörg 用户"]
    assert await reopened(backend, file, "another") == []
    assert await reopened(backend, file, "store") == [], "what was known before is worth nothing any more"


async def test_another_store_can_be_opened_while_running(collections: CollectionMap, backend: Backend) -> None:
    await collections.ensure(["alice"])
    await collections.open_store("another")
    assert (collections.names, collections.name_of("id of alice")) == ([], None)
    backend.collections["alice"] = "id in the other one"
    assert await collections.ensure(["alice"]) == {"alice": "id in the other one"}


async def test_the_file_is_for_nobody_else_to_read(collections: CollectionMap, file: Path) -> None:
    await collections.ensure(["alice"])
    assert {path.stat().st_mode & 0o077 for path in file.parent.iterdir()} == {0}
