"""What the tests of troubles share: each kind of request, and a Nextcloud that never forgets what it has to say."""

import os
import random
import signal
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import httpx

from context_chat_backend.nextcloud.push_client import part
from tests.gateway import GatewayProcess, Nextcloud, wait_until_ready

from .tools import eventually, file, files, postmaster

Action = tuple[str, dict[str, Any]]
"""The path and the body."""

USERS = ("alice", "bob", "carol", "mallory")
DECK = "deck__deck: 1"
SOURCES = [*files(1, 2, 3), DECK]

INTERNALS = ("disk", "space", "state.db", "sqlite", "database", "Traceback", "/tmp", "postgres")


def allow(user: str, source_id: str) -> Action:
    return "/updateAccess", {"op": "allow", "userIds": [user], "sourceId": source_id}


def deny(user: str, source_id: str) -> Action:
    return "/updateAccess", {"op": "deny", "userIds": [user], "sourceId": source_id}


def exactly(source_id: str, *users: str) -> Action:
    return "/updateAccessDeclarative", {"userIds": list(users), "sourceId": source_id}


def everywhere(op: str, user: str, provider: str = "files__default") -> Action:
    return "/updateAccessProvider", {"op": op, "userIds": [user], "providerId": provider}


def without(*source_ids: str) -> Action:
    return "/deleteSources", {"sourceIds": list(source_ids)}


def without_provider(provider: str) -> Action:
    return "/deleteProvider", {"providerKey": provider}


def without_user(user: str) -> Action:
    return "/deleteUser", {"userId": user}


OPPOSITES: dict[str, tuple[Action, Action]] = {
    "allow": (allow("mallory", file(1)), deny("mallory", file(1))),
    "deny": (deny("bob", file(1)), allow("bob", file(1))),
    "exact": (exactly(file(1), "alice", "mallory"), exactly(file(1), "alice")),
    "allow everywhere": (everywhere("allow", "mallory"), everywhere("deny", "mallory")),
    "deny everywhere": (everywhere("deny", "bob"), everywhere("allow", "bob")),
    "delete": (without(file(1)), allow("mallory", file(1))),
    "delete provider": (without_provider("deck__deck"), allow("mallory", DECK)),
    "delete user": (without_user("bob"), allow("bob", file(2))),
}
"""Each kind of action, and one that must not overtake it."""

QUESTIONS: dict[str, Action] = {
    "docSearch": ("/docSearch", {"userId": "alice", "query": "whale"}),
    "query": ("/query", {"userId": "alice", "query": "whale"}),
    "count": ("/countIndexedDocuments", {}),
}


def assert_passing_failure(response: httpx.Response) -> None:
    """Nextcloud will repeat the request, and the answer says when, and nothing of what is inside."""
    assert response.status_code == 503, response.text
    assert int(response.headers["Retry-After"]) > 0
    assert not [word for word in INTERNALS if word.lower() in response.text.lower()], response.text


class Site:
    """What one Nextcloud has to say, and who may read what in the end.

    Like the real one it sends sources with the readers of that moment, and actions in order. It goes on after a
    failure, and sends what failed again in its next run, by then after what came later.
    """

    def __init__(self, nextcloud: Nextcloud) -> None:
        self.readers: dict[str, set[str]] = {}
        self.nextcloud = nextcloud
        self._uploads: list[str] = []
        self._actions: list[Action] = []

    def add(self, *source_ids: str, users: Iterable[str] = ("alice", "bob")) -> None:
        """Have sources sent."""
        for source_id in source_ids:
            self.readers[source_id] = set(users)
            self._uploads.append(source_id)

    def act(self, action: Action) -> None:
        """Have an action sent, unless an equal one is to come again: a gateway cannot tell the two apart."""
        if action not in self._actions:
            self._carry_out(*action)
            self._uploads = [source_id for source_id in self._uploads if source_id in self.readers]
            self._actions.append(action)

    def run(self) -> int:
        """Send everything once; how much has to be sent again."""
        self._load()
        self._actions = [each for each in self._actions if self.nextcloud.post(each[0], **each[1]).status_code != 200]
        return len(self._uploads) + len(self._actions)

    def settle(self) -> None:
        """All of the next runs, and what can be found then is exactly what should be."""
        for _ in range(2 * len(self._actions) + 2):
            if self.run() == 0:
                break
        assert (self._uploads, self._actions) == ([], [])
        for user in USERS:
            expected = {id_ for id_, readers in self.readers.items() if user in readers}
            assert (found := self.nextcloud.found(user)) == expected, (user, found, expected)

    def _load(self) -> None:
        if not self._uploads:
            return
        response = self.nextcloud.load(*(part(id_, users=sorted(self.readers[id_])) for id_ in self._uploads))
        if response.status_code == 200:
            answer = response.json()
            assert {*answer["loaded_sources"], *answer["sources_to_retry"]} == set(self._uploads), "one was lost"
            self._uploads = answer["sources_to_retry"]
        else:
            assert_passing_failure(response)
            assert response.headers["cc-retry"] == "true"

    def _carry_out(self, path: str, body: dict[str, Any]) -> None:
        match path, body:
            case "/deleteSources", {"sourceIds": ids}:
                self._remove(ids)
            case "/deleteProvider", {"providerKey": provider}:
                self._remove([id_ for id_ in self.readers if id_.startswith(f"{provider}: ")])
            case "/deleteUser", {"userId": user}:
                self._change("deny", [user], self.readers)
            case "/updateAccessDeclarative", {"userIds": users, "sourceId": source_id}:
                self._change("deny", USERS, [source_id], then=users)
            case "/updateAccess", {"op": op, "userIds": users, "sourceId": source_id}:
                self._change(op, users, [source_id])
            case "/updateAccessProvider", {"op": op, "userIds": users, "providerId": provider}:
                self._change(op, users, [id_ for id_ in self.readers if id_.startswith(f"{provider}: ")])
            case _:
                raise ValueError(path)

    def _change(self, op: str, users: Iterable[str], ids: Iterable[str], then: Iterable[str] = ()) -> None:
        for source_id in [id_ for id_ in ids if id_ in self.readers]:
            readers = self.readers[source_id]
            self.readers[source_id] = (readers | {*users} if op == "allow" else readers - {*users}) | {*then}
            if not self.readers[source_id]:
                self._remove([source_id])

    def _remove(self, ids: Iterable[str]) -> None:
        for source_id in ids:
            self.readers.pop(source_id, None)


def new_site(nextcloud: Nextcloud) -> Site:
    """A Nextcloud whose sources are all loaded into an empty store."""
    nextcloud.forget_everything()
    site = Site(nextcloud)
    site.add(*SOURCES)
    site.settle()
    return site


def random_change(site: Site, rng: random.Random) -> None:
    """A source or an action; no source is ever added again, which would need a newer version."""
    source_id, user = rng.choice(SOURCES), rng.choice(USERS[1:])
    match rng.choice(["add", "one", "one", "one", "provider", "exact", "user", "delete"]):
        case "add":
            site.add(file(rng.randrange(100, 10**6)), users=rng.sample(USERS, 2))
        case "provider":
            site.act(everywhere(rng.choice(["allow", "deny"]), user))
        case "exact":
            site.act(exactly(source_id, "alice", user))
        case "user":
            site.act(without_user(user))
        case "delete":
            site.act(without(rng.choice(SOURCES)))
        case _:
            site.act(rng.choice([allow, deny])(user, source_id))


def complaints(console: str) -> Counter[str]:
    """How often each warning or error is on the console, whichever request it was about. Fails for a stack."""
    assert "Traceback" not in console, console[console.index("Traceback") - 500 :][:3_000]
    lines = [line.split(None, 4) for line in console.splitlines()]
    return Counter(line[4] for line in lines if len(line) == 5 and line[2] in {"WARNING", "ERROR", "CRITICAL"})


def kill_postmaster(gateway: GatewayProcess) -> int:
    """Of the embedded PostgreSQL; its process id."""
    pid = postmaster(gateway.storage)
    os.kill(pid, signal.SIGKILL)
    return pid


def wait_until_revived(gateway: GatewayProcess, died: int) -> None:
    """Until another one has taken its place and serves. Readiness alone may be that of a moment ago."""

    def another_one() -> bool:
        with suppress(FileNotFoundError, ValueError, IndexError):  # being written
            return postmaster(gateway.storage) != died
        return False

    eventually(another_one)
    wait_until_ready(gateway.nextcloud)
