"""What a driver may offer to an admin's tools besides `Driver`. Serving needs none of it."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Set
from dataclasses import dataclass
from enum import StrEnum

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


class ReembedAction(StrEnum):
    """What may be done about vectors of another model; each is fine where it is done already."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    UNDO = "undo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reembedded:
    """How far a store is with the vectors of another model."""

    model: str
    """That searches use."""
    chunks: int
    next_model: str | None
    """That takes its place once none of its vectors is missing; None if there is no change under way."""
    waiting: int
    """Chunks without a vector of that."""
    paused: bool


class Reembedding(ABC):
    """A driver whose store can change its embedding model while it serves inherits this too, for `ccbe reembed`."""

    @abstractmethod
    async def reembed(self, action: ReembedAction | None = None) -> Reembedded:
        """Do so, and tell how far it is. Called on a driver that is not entered, beside gateways that serve; their
        models do the work. Raises `Misconfigured` where the action makes no sense, with nothing changed."""
