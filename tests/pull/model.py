"""A Nextcloud in which things happen at random, and what everybody has to find in the end."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.doubles.sim import Sim
from tests.pull.site import file_id

USERS = ["alice", "bob", "carol", "dave", "jörg the 2nd"]
TEXTS = ["The whale swims in the deep blue sea.", "A squid met the whale at dusk.", "Ships fear the white whale."]
MAIL = "mail__mail"


@dataclass
class Model:
    """Files belong to `keeper`, who is never taken away: a source that loses its last reader is gone for good."""

    nextcloud: Sim
    rng: random.Random
    items: dict[str, set[str]] = field(default_factory=dict)
    """Readers of the mails, by number."""
    _untouched: set[str] = field(default_factory=set)
    """Mails to which nothing happened since everything was settled: actions and rows of items have no common order."""
    _number: int = 0

    def settled(self) -> None:
        """Everything that happened so far has been carried out."""
        self._untouched = set(self.items)

    def happen(self) -> None:
        """One thing."""
        happenings = [
            (6, self._add_file),
            (4, self._write_file),
            (8, self._share),
            (2, self._delete_file),
            (3, self._submit_item),
            (4, self._change_item),
            (1, self._change_provider),
        ]
        self.rng.choices([call for _, call in happenings], [weight for weight, _ in happenings])[0]()

    def expected(self, user: str) -> set[str]:
        """The ids of everything that the user has to find, and nothing else."""
        files = {file_id(node.id) for node in self.nextcloud.nodes.values() if user in node.users}
        return files | {f"{MAIL}: {number}" for number, readers in self.items.items() if user in readers}

    @property
    def users(self) -> list[str]:
        return [*USERS, "keeper"]

    # ------------------------------------------------------------------ files

    def _some(self) -> list[str]:
        return self.rng.sample(USERS, self.rng.randrange(1, 4))

    def _add_file(self) -> None:
        self._number += 1
        text = self.rng.choice(TEXTS)
        name = f"files/{self._number}.md"
        with self.nextcloud.lock:
            self.nextcloud.add_file(self._number, "keeper", name, "text/markdown", text, users=self._some())
            self.nextcloud.enqueue_file(self._number)

    def _file(self) -> int | None:
        return self.rng.choice(list(self.nextcloud.nodes)) if self.nextcloud.nodes else None

    def _write_file(self) -> None:
        if (number := self._file()) is not None:
            self.nextcloud.write_file(number, self.rng.choice(TEXTS))

    def _share(self) -> None:
        if (number := self._file()) is not None:
            self.nextcloud.share(number, add=self._some(), remove=self._some())

    def _delete_file(self) -> None:
        if (number := self._file()) is not None:
            self.nextcloud.delete_file(number)

    # ------------------------------------------------------------------ items

    def _submit_item(self) -> None:
        self._number += 1
        number, readers = str(self._number), {*self._some(), "keeper"}
        self.nextcloud.enqueue_item(
            "mail", "mail", number, f"mail {number}", self.rng.choice(TEXTS), users=sorted(readers)
        )
        self.items[number] = readers

    def _change_item(self) -> None:
        if not self._untouched:
            return
        number = self.rng.choice(sorted(self._untouched))
        some, source = set(self._some()), f"{MAIL}: {number}"
        match self.rng.randrange(4):
            case 0:
                self._act("update_access_source_id", op="allow", userIds=sorted(some), sourceId=source)
                self.items[number] |= some
            case 1:
                self._act("update_access_source_id", op="deny", userIds=sorted(some), sourceId=source)
                self.items[number] -= some
            case 2:
                self._act("update_access_decl_source_id", userIds=sorted(some | {"keeper"}), sourceId=source)
                self.items[number] = some | {"keeper"}
            case _:
                self._act("delete_source_ids", sourceIds=[source])
                del self.items[number]
                self._untouched.discard(number)

    def _change_provider(self) -> None:
        if self._untouched != set(self.items):
            return
        some = set(self._some())
        op = self.rng.choice(["allow", "deny"])
        self._act("update_access_provider_id", op=op, userIds=sorted(some), providerId=MAIL)
        for number, readers in self.items.items():
            self.items[number] = readers | some if op == "allow" else readers - some

    def _act(self, kind: str, **payload: str | Iterable[str]) -> None:
        self.nextcloud.enqueue_action(kind, payload)
