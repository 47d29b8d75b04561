"""What a driver may offer to an admin's tools besides `Driver`. Serving needs none of it."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Set
from dataclasses import dataclass

from .model import ProviderId, SourceId, UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVersion:
    """What `inventory` yields: the version of a source that searches find."""

    source_id: SourceId
    provider: ProviderId
    title: str
    mime_type: str
    modified: int
    sha256: str
    """Of the content."""
    user_ids: frozenset[UserId] | None
    """The readers; None where the backend does not tell."""


class Inventory(ABC):
    """A driver that can list what it stores inherits this too; `ccbe cache seed`, `import` and `prune` then work."""

    @abstractmethod
    def inventory(
        self, source_ids: Set[SourceId] | None = None, *, skip: int = 0, bulk: bool = False
    ) -> AsyncIterator[StoredVersion]:
        """Everything that is stored and searchable, or those of these sources that are. Never called while the gateway
        serves.

        `skip` leaves out at most that many of the first ones, to resume after an interruption. `bulk` uses the
        backend's export where it has one: faster for large stores, but it may need more rights.
        """
