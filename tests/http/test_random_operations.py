"""A long random sequence of requests agrees with a plain model of what Nextcloud users expect."""

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from context_chat_backend.nextcloud.push_client import part
from tests.gateway import Nextcloud

USERS = ("admin", "jörg", "用户一", "with space", "anna@example.org", "O'Brien")
PROVIDERS = ("files__default", "mail__mail")
ITEMS = range(6)
WORDS = ("whale", "harbour", "budget", "meeting", "garden")


@dataclass
class Model:
    """Source id to (modified, readers)."""

    sources: dict[str, tuple[int, frozenset[str]]] = field(default_factory=dict)

    def load(self, id_: str, modified: int, users: frozenset[str]) -> None:
        stored = self.sources.get(id_)
        if stored is not None and modified <= stored[0]:
            modified, users = stored[0], stored[1] | users
        self.sources[id_] = (modified, users)

    def declare(self, id_: str, users: frozenset[str]) -> None:
        if id_ not in self.sources:
            return
        if users:
            self.sources[id_] = (self.sources[id_][0], users)
        else:
            del self.sources[id_]

    def change(self, op: str, id_: str, users: frozenset[str]) -> None:
        readers = self.sources.get(id_, (0, frozenset[str]()))[1]
        self.declare(id_, readers | users if op == "allow" else readers - users)

    def of(self, provider: str) -> list[str]:
        return [id_ for id_ in self.sources if id_.startswith(f"{provider}: ")]

    def found(self, user: str) -> set[str]:
        return {id_ for id_, (_, readers) in self.sources.items() if user in readers}


class Player:
    """Does the same to the gateway and to the model."""

    def __init__(self, nextcloud: Nextcloud, rng: random.Random) -> None:
        self.nextcloud, self.rng, self.model = nextcloud, rng, Model()

    def users(self) -> frozenset[str]:
        return frozenset(self.rng.sample(USERS, self.rng.randint(1, 3)))

    def id(self) -> str:
        return f"{self.rng.choice(PROVIDERS)}: {self.rng.choice(ITEMS)}"

    def post(self, path: str, **body: object) -> None:
        response = self.nextcloud.post(path, **body)
        assert response.status_code == 200, (path, response.text)

    def load(self) -> None:
        batch = [(self.id(), self.rng.randint(1, 12), self.users()) for _ in range(self.rng.randint(1, 4))]
        parts = []
        for id_, modified, users in batch:
            # half of all texts are equal to another one
            text = "the same bytes" if self.rng.random() < 0.5 else f"{self.rng.choice(WORDS)} {modified}"
            parts.append(part(id_, text.encode(), users=sorted(users), modified=modified))
            self.model.load(id_, modified, users)
        response = self.nextcloud.load(*parts)
        ids = list(dict.fromkeys(id_ for id_, _, _ in batch))
        assert (response.status_code, response.json()) == (200, {"loaded_sources": ids, "sources_to_retry": []})

    def update_access(self) -> None:
        op, id_, users = self.rng.choice(["allow", "deny"]), self.id(), self.users()
        self.post("/updateAccess", op=op, userIds=sorted(users), sourceId=id_)
        self.model.change(op, id_, users)

    def declare_access(self) -> None:
        id_, users = self.id(), self.users()
        self.post("/updateAccessDeclarative", userIds=sorted(users), sourceId=id_)
        self.model.declare(id_, users)

    def update_provider(self) -> None:
        op, provider, users = self.rng.choice(["allow", "deny"]), self.rng.choice(PROVIDERS), self.users()
        self.post("/updateAccessProvider", op=op, userIds=sorted(users), providerId=provider)
        for id_ in self.model.of(provider):
            self.model.change(op, id_, users)

    def delete_sources(self) -> None:
        ids = [self.id() for _ in range(self.rng.randint(1, 3))]
        self.post("/deleteSources", sourceIds=ids)
        for id_ in ids:
            self.model.sources.pop(id_, None)

    def delete_provider(self) -> None:
        provider = self.rng.choice(PROVIDERS)
        self.post("/deleteProvider", providerKey=provider)
        for id_ in self.model.of(provider):
            del self.model.sources[id_]

    def delete_user(self) -> None:
        user = self.rng.choice(USERS)
        self.post("/deleteUser", userId=user)
        for id_ in list(self.model.sources):
            self.model.change("deny", id_, frozenset({user}))

    def compare(self) -> None:
        for user in USERS:
            assert self.nextcloud.found(user) == self.model.found(user), user
        scope = self.rng.choice(PROVIDERS)
        user = self.rng.choice(USERS)
        expected = self.model.found(user) & set(self.model.of(scope))
        assert self.nextcloud.found(user, scopeType="provider", scopeList=[scope]) == expected
        counts = Counter(id_.partition(": ")[0] for id_ in self.model.sources)
        assert self.nextcloud.counts() == {"files__default": 0, **counts}

    def play(self, steps: int) -> None:
        operations = {
            self.load: 40,
            self.update_access: 20,
            self.declare_access: 12,
            self.update_provider: 8,
            self.delete_sources: 8,
            self.delete_user: 4,
            self.delete_provider: 2,
        }
        for step in range(steps):
            self.rng.choices(list(operations), weights=list(operations.values()))[0]()
            if step % 5 == 4:
                self.compare()


def test_random_requests_agree_with_the_model(nextcloud: Nextcloud) -> None:
    Player(nextcloud, random.Random(1)).play(100)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 5))
def test_many_random_requests_agree_with_the_model(nextcloud: Nextcloud, seed: int) -> None:
    Player(nextcloud, random.Random(seed)).play(400)
