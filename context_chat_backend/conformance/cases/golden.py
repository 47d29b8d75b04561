"""Requests of the real Nextcloud client through the real app: equal statuses, equal shapes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from ...contract import SourceId, UserId
from .. import golden
from ..kit import Kit
from .base import case, expect

LOADS = ("load_several", "load_utf8_title", "load_utf8_users")
"""All of them hold text files."""
FIRST, SECOND, MAIL = "files__default: 555", "files__default: 556", "mail__mail: 12:345"
ACCESS = {
    "access_allow": {"admin", "bob", "carol"},
    "access_deny": {"admin", "carol"},
    "access_unicode": {"admin", "carol", "jörg", "用户一"},
    "access_declarative": {"admin", "dora"},
}
"""Who reads the first source after one recording after the other."""


@asynccontextmanager
async def _nextcloud(kit: Kit) -> AsyncIterator[golden.Nextcloud]:
    """Removes what the recordings stored, source by source."""
    async with golden.nextcloud(kit.driver, kit.folder / f"gateway {kit.namespace}") as nextcloud:
        try:
            yield nextcloud
        finally:
            await kit.driver.delete(frozenset(nextcloud.ids([FIRST, SECOND, MAIL])))


async def _load(kit: Kit, nextcloud: golden.Nextcloud, name: str) -> list[SourceId]:
    """Play an upload; the ids that should be loaded, which are those of the types that the driver reads."""
    types = kit.driver.capabilities.mime_types
    sources = golden.recording(name).expected["decoded"]["sources"]
    wanted = nextcloud.ids(source["reference"] for source in sources if types is None or source["type"] in types)
    _expect_answer(await nextcloud.play(name), name, {"loaded_sources": wanted, "sources_to_retry": []})
    return wanted


def _expect_answer(reply: httpx.Response, name: str, expected: Any) -> None:
    expect(reply.is_success, f"{name} was answered with {reply.status_code}: {reply.text}")
    expect(reply.json() == expected, f"{name} was answered with {reply.text} instead of {expected}")


async def _expect_found(kit: Kit, user_id: UserId, expected: set[SourceId]) -> None:
    await kit.expect_found(user_id, expected, expected, text="notes")


@case("golden HTTP")
async def recorded_uploads_are_loaded(kit: Kit) -> None:
    """What the real client uploads is loaded, however often it is sent, and found by its readers only.

    If this fails: the response lists what has to be sent again; the log says why. Users and titles are raw UTF-8.
    """
    for name in LOADS:
        async with _nextcloud(kit) as nextcloud:
            loaded = await _load(kit, nextcloud, name)
            for source in golden.recording(name).expected["decoded"]["sources"]:
                for user in source["userIds"]:
                    await _expect_found(kit, nextcloud.user(user), _readable(nextcloud, name, user, loaded))
            await _load(kit, nextcloud, name)


def _readable(nextcloud: golden.Nextcloud, name: str, user: str, loaded: list[SourceId]) -> set[SourceId]:
    sources = golden.recording(name).expected["decoded"]["sources"]
    return set(loaded) & set(nextcloud.ids(source["reference"] for source in sources if user in source["userIds"]))


@case("golden HTTP")
async def recorded_titles_come_back(kit: Kit) -> None:
    """A title in several scripts, uploaded by the real client, comes back from a search unchanged.

    If this fails: the title was decoded wrongly, cut or sanitised on the way into or out of the backend.
    """
    async with _nextcloud(kit) as nextcloud:
        (id_,) = await _load(kit, nextcloud, "load_utf8_title")
        await _expect_found(kit, nextcloud.user("admin"), {id_})
        (source,) = golden.recording("load_utf8_title").expected["decoded"]["sources"]
        _expect_answer(
            await nextcloud.play("docsearch_plain"), "docsearch_plain", [{"source_id": id_, "title": source["title"]}]
        )


@case("golden HTTP")
async def recorded_questions_are_answered(kit: Kit) -> None:
    """The real client's searches and questions get their user's sources, in the form that it can read.

    If this fails: each source has to come back once, with the id that was uploaded; an answer needs a text and the
    ids of its sources.
    """
    async with _nextcloud(kit) as nextcloud:
        loaded = await _load(kit, nextcloud, "load_several")
        readable = _readable(nextcloud, "load_several", "admin", loaded)
        await _expect_found(kit, nextcloud.user("admin"), readable)
        reply = await nextcloud.play("docsearch_plain")
        expect(reply.is_success, f"docsearch_plain was answered with {reply.status_code}: {reply.text}")
        found = [document["source_id"] for document in reply.json() if set(document) == {"source_id", "title"}]
        expect(sorted(found) == sorted(readable), f"docsearch_plain was answered with {reply.text}")
        reply = await nextcloud.play("query_plain")
        expect(reply.is_success, f"query_plain was answered with {reply.status_code}: {reply.text}")
        answer = reply.json()
        right = set(answer) == {"output", "sources"} and bool(answer["output"]) and isinstance(answer["output"], str)
        expect(right and set(answer["sources"]) <= readable, f"query_plain was answered with {reply.text}")


@case("golden HTTP")
async def recorded_access_changes_are_applied(kit: Kit) -> None:
    """The real client's access changes get a 200 and take effect, however often they are sent.

    If this fails: see the group "access"; here users come as PHP writes them into JSON.
    """
    async with _nextcloud(kit) as nextcloud:
        await _load(kit, nextcloud, "load_several")
        first = nextcloud.ids([FIRST])[0]
        for name, readers in ACCESS.items():
            for _ in range(2):
                _expect_answer(await nextcloud.play(name), name, {"message": "Access updated"})
            for user in ("admin", "carol", "dora", "jörg", "用户一"):
                wanted = {first} if user in readers else set[SourceId]()
                most = wanted | set(nextcloud.ids([SECOND] if user == "admin" else []))
                await kit.expect_found(nextcloud.user(user), wanted, most, text="notes")


@case("golden HTTP")
async def recorded_deletions_are_applied(kit: Kit) -> None:
    """The real client's deletion gets a 200 and removes that source only, however often it is sent.

    If this fails: see the group "deletion".
    """
    async with _nextcloud(kit) as nextcloud:
        loaded = await _load(kit, nextcloud, "load_several")
        readable = _readable(nextcloud, "load_several", "admin", loaded)
        await _expect_found(kit, nextcloud.user("admin"), readable)
        for _ in range(2):
            reply = await nextcloud.play("delete_sources_one")
            _expect_answer(reply, "delete_sources_one", {"message": "All valid sources deleted"})
            await _expect_found(kit, nextcloud.user("admin"), readable - set(nextcloud.ids([FIRST])))
