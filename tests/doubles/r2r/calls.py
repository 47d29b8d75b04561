"""What a handler of a route gets and gives."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.doubles.r2r.errors import refused
from tests.doubles.r2r.store import Account


@dataclass(frozen=True)
class Call:
    """`query` and `body` are of the types that the route names."""

    account: Account
    ids: dict[str, UUID]
    query: Any
    body: Any
    name: str
    """Of a collection."""
    bearer: str

    @property
    def id(self) -> UUID:
        return self.ids["id"]


@dataclass(frozen=True)
class Entries:
    """One page of a list."""

    entries: list[dict[str, Any]]
    total: int


def superuser_only(account: Account, message: str) -> None:
    if not account.is_superuser:
        raise refused(403, message)
