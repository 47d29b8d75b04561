"""One long conversation between a Nextcloud and a gateway. No step depends on the answer to an earlier one."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from context_chat_backend.nextcloud.push_client import UPLOAD_TYPE, multipart, part
from tests.gateway import PROVIDERS, Nextcloud, Reply
from tests.wire import load_capture, load_captures

from .bad_requests import (
    NO_UPLOAD_TYPES,
    OPEN_PATHS,
    QUESTION_PATHS,
    WHALE,
)

USERS = ("admin", "bob", "carol", "dora", "jörg", "用户一", "stranger")
"""Everybody whom a recorded access change names, and one whom none does."""

SECOND = "files__default: 2"
MAIL = "mail__mail: 1:2"
UPLOAD = {"Content-Type": UPLOAD_TYPE}


@dataclass(frozen=True, slots=True)
class Step:
    """A request."""

    name: str
    send: Callable[[Nextcloud], Reply]
    capture: str = ""
    """The recorded request that it is."""


def conversation() -> list[Step]:
    """Begins with an empty index and ends with one; nothing is held back afterwards."""
    chapters = (
        first_contact(),
        loading(),
        versions(),
        questions(),
        access_changes(),
        last_readers(),
        deletions(),
        odd_requests(),
        odd_uploads(),
        disabled(),
        forgetting("at the end"),
        [count("at the end")],
    )
    return [step for chapter in chapters for step in chapter]


# ---------------------------------------------------------------------- kinds of steps


def recorded(name: str) -> Step:
    """A request of the real client, byte for byte."""
    return Step(name, lambda nextcloud: nextcloud.send_raw(load_capture(name).raw), capture=name)


def request(method: str, path: str, name: str = "", **options: Any) -> Step:
    """A request with the client's headers; options are those of `httpx.Client.request`."""

    def send(nextcloud: Nextcloud) -> Reply:
        return _reply(nextcloud.http.request(method, path, **options))

    return Step(name or f"{method} {path}", send)


def post(path: str, **body: Any) -> Step:
    """An action or a question, in ASCII as PHP writes it."""
    written = json.dumps(body)
    return request("POST", path, f"{path} {written}", content=written, headers={"Content-Type": "application/json"})


def upload(name: str, *parts: bytes) -> Step:
    """`PUT /loadSources` with these parts."""
    return request("PUT", "/loadSources", f"load {name}", content=multipart(parts), headers=UPLOAD)


def search(moment: str, user: str, query: str = "whale", **scope: Any) -> Step:
    """What a user finds."""
    body = {"userId": user, "query": query, "ctxLimit": 200, **scope}
    return request("POST", "/docSearch", f"{moment}: {user} searches {query} {scope or ''}".rstrip(), json=body)


def count(moment: str) -> Step:
    return request("POST", "/countIndexedDocuments", f"{moment}: count")


def look(moment: str, users: Iterable[str] = USERS) -> Iterator[Step]:
    """What can be seen from outside."""
    yield count(moment)
    for user in users:
        yield search(moment, user)


def forgetting(moment: str) -> Iterator[Step]:
    """Empties the index."""
    for provider in PROVIDERS:
        yield request("POST", "/deleteProvider", f"{moment}: forget {provider}", json={"providerKey": provider})


def _reply(response: httpx.Response) -> Reply:
    return Reply(response.status_code, dict(response.headers), response.content)


def _names(prefix: str) -> list[str]:
    return [capture.name for capture in load_captures(prefix)]


# ---------------------------------------------------------------------- chapters

QUESTIONS = [*_names("query_"), *_names("docsearch_")]
LOADS = _names("load_")
DELETIONS = _names("delete_")
ACCESS_CHANGES = [
    "access_allow",
    "access_deny",
    "access_unicode",
    "access_declarative",
    "access_declarative_empty",
    "access_provider_deny",
    "access_provider_allow",
]
"""In an order in which each but the empty one changes something."""


def first_contact() -> Iterator[Step]:
    """A new app: it is initialised and enabled, and knows nothing."""
    for name in ("heartbeat", "init", "enable", "enabled_get", "trigger"):
        yield recorded(f"lifecycle_{name}")
    for name in ("count", "count_v54", *QUESTIONS, *ACCESS_CHANGES, *DELETIONS):
        yield recorded(name)
    yield count("nothing was loaded")


def loading() -> Iterator[Step]:
    """One upload after the other, and each again."""
    for name in LOADS:
        yield recorded(name)
        yield from look(name, _some_readers(name))
        yield recorded(name)
    yield from look("everything is loaded")
    yield search("everything is loaded", "admin", "hello wire")
    yield from forgetting("everything is loaded")
    yield count("everything is forgotten")


def _some_readers(name: str) -> list[str]:
    sources = load_capture(name).expected["decoded"]["sources"]
    users = {user for source in sources for joined in source["userIds"] for user in joined.split(",")}
    return [*sorted(users - {"…"})[:4], "stranger"]


def versions() -> Iterator[Step]:
    """Newer, equal and older versions, and those that cannot be indexed."""
    yield upload("version 2", part(WHALE, modified=2, users=["alice", "bob"]))
    for name, later in (
        ("an older version for carol", part(WHALE, b"An old budget.", modified=1, users=["carol"])),
        ("the same version for dora", part(WHALE, b"Another budget.", modified=2, users=["dora"])),
        ("version 3 for alice only", part(WHALE, b"A garden.", modified=3)),
        ("an older version of another type", part(WHALE, modified=2, mime_type="application/zip")),
    ):
        yield upload(name, later)
        yield from look(name, ("alice", "bob", "carol", "dora"))
    for name, newer in (
        ("blanks", part(WHALE, b" ", modified=5)),
        ("nothing", part(WHALE, b"", modified=5)),
        ("another type", part(WHALE, mime_type="application/zip", modified=5)),
        ("no readers", part(WHALE, users=[], modified=5)),
    ):
        yield upload(f"before {name}", part(WHALE, modified=4))
        yield upload(name, newer)
        yield from look(name, ("alice",))
    yield upload("twins with different readers", part(WHALE), part(SECOND, users=["bob"]))
    yield from look("twins", ("alice", "bob"))
    yield from forgetting("versions")


def questions() -> Iterator[Step]:
    """All questions, with and without a scope or a limit."""
    yield recorded("load_several")
    yield post("/updateAccess", op="allow", userIds=["jörg"], sourceId="files__default: 555")
    for name in ("count", "count_v54", *QUESTIONS):
        yield recorded(name)
    yield from forgetting("questions")
    texts = ("The whale swims in the deep blue sea.", "Tulips flower in the garden.", "The budget of the harbour.")
    yield upload("three subjects", *(part(f"files__default: {n}", text.encode()) for n, text in enumerate(texts, 1)))
    for query in texts:
        yield search("the best hit", "alice", query, ctxLimit=1)
    yield upload("a mail", part(MAIL, users=["alice", "bob"]))
    for user in ("alice", "bob"):
        yield search("scopes", user, scopeType="provider", scopeList=["mail__mail"])
        yield search("scopes", user, scopeType="provider", scopeList={"0": "files__default", "7": "deck__deck"})
        yield search("scopes", user, scopeType="source", scopeList=[WHALE, MAIL])
        yield search("scopes", user, scopeType="source", scopeList=["files__default: 404"])
        yield search("scopes", user, scopeType="none", scopeList=["mail__mail"])
        yield search("scopes", user, scopeType=None, scopeList=None, somethingNew={"a": 1})
    for version in ("4.0.0", "5.0.2", "32.0.0"):
        for path in QUESTION_PATHS:
            old = {"json": {"userId": "alice", "query": "whale"}, "headers": {"AA-VERSION": version}}
            yield request("POST", path, f"{path} of a client with AppAPI {version}", **old)
    yield from forgetting("questions")


def access_changes() -> Iterator[Step]:
    """Each change twice, one after the other."""
    yield recorded("load_several")
    yield post("/updateAccess", op="allow", userIds=["admin"], sourceId="mail__mail: 12:345")
    yield from look("before access changes")
    for name in ACCESS_CHANGES:
        for time in ("once", "twice"):
            yield recorded(name)
            yield from look(f"{name} {time}")
    yield from forgetting("access changes")


def last_readers() -> Iterator[Step]:
    """A source that nobody may read any more is gone, however its last reader went."""
    for action in (
        post("/updateAccess", op="deny", userIds=["alice", "bob"], sourceId=WHALE),
        post("/updateAccessProvider", op="deny", userIds=["alice", "bob"], providerId="files__default"),
    ):
        yield upload("a source of two", part(WHALE, users=["alice", "bob"]))
        yield action
        yield from look("nobody is left", ("alice", "bob"))
        yield post("/updateAccess", op="allow", userIds=["alice"], sourceId=WHALE)
        yield from look("allowed afterwards", ("alice", "bob"))
    yield upload("a source of one", part(WHALE))
    yield post("/deleteUser", userId="alice")
    yield from look("its reader was deleted", ("alice",))


def deletions() -> Iterator[Step]:
    """Each deletion twice, of what `load_several` loads."""
    for name in DELETIONS:
        yield recorded("load_several")
        yield post("/updateAccess", op="allow", userIds=["jörg"], sourceId="files__default: 555")
        for time in ("once", "twice"):
            yield recorded(name)
            yield from look(f"{name} {time}", ("admin", "bob", "jörg"))
        yield from forgetting(name)


def odd_requests() -> Iterator[Step]:
    """Unusual, but with a meaning."""
    yield upload("two", part(WHALE), part(SECOND, users=["alice", "bob"]))
    for odd in (
        post("/updateAccess", op="allow", userIds={"0": "bob", "3": "carol"}, sourceId=WHALE),
        post("/updateAccess", op="deny", userIds=["bob", "x\0"], sourceId=WHALE),
        post("/updateAccess", op="allow", userIds=["bob"], sourceId="files__default: 404"),
        post("/updateAccessDeclarative", userIds=["bob"], sourceId="files__default: 404"),
        post("/updateAccessProvider", op="allow", userIds=["dora"], providerId="nobody__nothing"),
        post("/deleteProvider", providerKey="nobody__nothing"),
        post("/deleteUser", userId="nobody"),
        post("/deleteSources", sourceIds={"4": SECOND, "5": "files__default: 404", "6": "a\0b"}),
    ):
        yield odd
        yield from look(odd.name, ("alice", "bob", "carol"))
    for method, path in (*(("GET", path) for path in OPEN_PATHS), ("GET", "/"), ("GET", "/openapi.json")):
        yield request(method, path)
    yield request("GET", "/downloadLogs")
    yield request("POST", "/exapps/context_chat_backend/countIndexedDocuments")
    yield from forgetting("odd requests")


def odd_uploads() -> Iterator[Step]:
    """Bodies that are no upload, end early, or have parts that are not whole."""
    for content_type in NO_UPLOAD_TYPES:
        name = f"load a body of the type {content_type!r}"
        yield request("PUT", "/loadSources", name, content=b"{}", headers={"Content-Type": content_type})
    yield request("PUT", "/loadSources", "load an empty body", content=b"", headers=UPLOAD)
    yield upload("no parts")
    cut = multipart([part(WHALE), part(SECOND)])[:-80]
    yield request("PUT", "/loadSources", "load a body that ends early", content=cut, headers=UPLOAD)
    yield search("a body that ended early", "alice")
    yield upload("whole", part(WHALE), part(SECOND))
    whole = part("files__default: 9")
    for name, old, new in (
        ("no number as modified", b"modified: 1700000000", b"modified: yesterday"),
        ("no provider", b"provider: files__default\r\n", b""),
        ("no type", b"type: text/markdown\r\n", b""),
        ("an id that is none", b'filename="files__default: 9"', b'filename="9"'),
        ("a size that is too large", b"Content-Length: ", b"Content-Length: 9"),
    ):
        assert old in whole, name
        yield upload(f"a part with {name}", part(WHALE), whole.replace(old, new), part(SECOND))
        yield from look(name, ("alice",))
    yield from forgetting("odd uploads")


def disabled() -> Iterator[Step]:
    """A disabled app serves no data; the actions that it turned away keep their places."""
    yield recorded("load_several")
    yield recorded("lifecycle_disable")
    yield recorded("lifecycle_enabled_get")
    for name in ("load_one_ascii", "query_plain", "docsearch_plain", "count", "access_allow", "lifecycle_heartbeat"):
        yield recorded(name)
    yield recorded("lifecycle_enable")
    yield from look("enabled again")
    for name in ("access_deny", "access_allow", "access_deny"):  # the first one has to wait for the second
        yield recorded(name)
        yield from look(f"{name} after the app was disabled")
