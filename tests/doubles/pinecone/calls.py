"""A request as the log keeps it, as a handler gets it, and what a handler answers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.doubles.pinecone.control import Index


@dataclass(frozen=True)
class Call:
    """An entry of the log."""

    method: str
    path: str
    """Decoded, without the query."""
    size: int
    """Bytes of the body."""
    body: Any
    """Decoded JSON; None where there is none."""
    status: int | None = None
    """Of the answer; None where the connection was broken instead."""
    answer: Any = None
    """Decoded JSON, as `body`."""

    @property
    def kind(self) -> str:
        """E.g. `documents/upsert`, `describe_index_stats`, `namespaces`, `indexes`."""
        found = re.fullmatch(r"/namespaces/.+/(documents/\w+)", self.path, re.DOTALL)
        return found[1] if found else self.path.split("/")[1]

    @property
    def namespace(self) -> str:
        """Empty for a request that names none."""
        found = re.fullmatch(r"/namespaces/(.+?)(/documents/\w+)?", self.path, re.DOTALL)
        return found[1] if found else ""


@dataclass(frozen=True)
class Request:
    """To the data plane. `body` is of the type that the route names."""

    index: Index
    namespace: str
    body: Any
    query: Mapping[str, str]
    size: int


@dataclass(frozen=True)
class Answer:
    status: int
    body: dict[str, Any] | None
    headers: Mapping[str, str] = field(default_factory=dict)
