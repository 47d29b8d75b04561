"""What a Nextcloud holds: files, and the queues of Context Chat."""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

FILES = "files__default"
"""The provider key of files."""

DAY = 24 * 60 * 60
LOCK_TIMEOUT = DAY

MIME_TYPES = frozenset(
    {
        "text/plain",
        "text/markdown",
        "application/json",
        "application/pdf",
        "text/csv",
        "application/epub+zip",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/vnd.ms-powerpoint",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.oasis.opendocument.spreadsheet",
        "application/vnd.ms-excel.sheet.macroEnabled.12",
        "application/vnd.oasis.opendocument.text",
        "text/rtf",
        "text/x-rst",
        "application/xml",
        "message/rfc822",
        "application/vnd.ms-outlook",
        "text/org",
    }
)
"""The types of files that Context Chat 5.4 takes."""


@dataclass
class Node:
    """A file or a folder."""

    id: int
    owner: str
    path: str
    """Inside of the storage: `files/…`."""
    mime: str = "text/plain"
    mtime: int = 1_700_000_000
    content: bytes = b""
    users: list[str] = field(default_factory=list)
    """Those who have it mounted, in order; the owner comes first."""
    folder: bool = False
    parent: int | None = None
    size: int | None = None
    """What the file cache says; None: the truth."""
    readable: bool = True
    """False: fopen fails."""

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    @property
    def shown_size(self) -> int:
        return len(self.content) if self.size is None else self.size


@dataclass
class Row:
    id: int
    data: dict[str, Any]
    locked_at: float | None = None
    added: float = 0.0
    key: Hashable = None

    def is_leased(self, now: float) -> bool:
        return self.locked_at is not None and self.locked_at > now - LOCK_TIMEOUT


class Queue:
    """A table with `locked_at`, as QueueMapper of context_chat 5.4 keeps it: a lease ends after a day, and only so.

    Ids are never used again (AUTOINCREMENT).
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.next_id = 1
        self.acknowledged = 0
        self.rows: dict[int, Row] = {}
        self._by_key: dict[Hashable, set[int]] = defaultdict(set)

    def insert(self, data: dict[str, Any], now: float, key: Hashable = None) -> Row:
        row = self.rows[self.next_id] = Row(self.next_id, data, None, now, key)
        self._by_key[key].add(row.id)
        self.next_id += 1
        return row

    def remove(self, row_id: int) -> Row | None:
        row = self.rows.pop(row_id, None)
        if row is not None:
            self._by_key[row.key].discard(row_id)
        return row

    def with_key(self, key: Hashable) -> list[Row]:
        return [self.rows[row_id] for row_id in sorted(self._by_key.get(key, ()))]

    def free(self, limit: int, now: float) -> list[Row]:
        """In the order of their ids. A negative limit is none."""
        wanted = len(self.rows) if limit < 0 else limit
        found: list[Row] = []
        for row in self.rows.values():
            if len(found) >= wanted:
                break
            if not row.is_leased(now):
                found.append(row)
        return found

    def counts(self, now: float) -> dict[str, int]:
        leased = sum(row.is_leased(now) for row in self.rows.values())
        return {
            "scheduled": len(self.rows) - leased,
            "running": leased,
            "next_id": self.next_id,
            "acknowledged": self.acknowledged,
        }


def descendants(folder: Node, nodes: Iterable[Node]) -> list[Node]:
    """The files below a folder that Context Chat takes, in the order of their ids."""
    children: dict[int | None, list[Node]] = defaultdict(list)
    for node in nodes:
        children[node.parent].append(node)
    found, waiting = [], [folder.id]
    while waiting:
        for node in children[waiting.pop()]:
            if node.folder:
                waiting.append(node.id)
            elif node.mime in MIME_TYPES:
                found.append(node)
    return sorted(found, key=lambda node: node.id)
