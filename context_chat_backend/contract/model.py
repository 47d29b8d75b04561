"""The values that cross the driver boundary: immutable, keyword-only, free of I/O (except for `Content`)."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NewType, Protocol

SourceId = NewType("SourceId", str)
"""Id of one Nextcloud item, e.g. `"files__default: 555"`. Opaque: stored and returned byte for byte."""

ProviderId = NewType("ProviderId", str)
"""Id of a content provider, e.g. `"files__default"`."""

UserId = NewType("UserId", str)
"""Id of a Nextcloud user. Opaque: may hold blanks, punctuation and any script; compared byte for byte."""


class Content(Protocol):
    """The bytes of a source, readable as often as needed (a retry replays them).

    On the pull side they are fetched by the first call that needs them. That raises `Rejected` where there will never
    be any, and a `TransientError` or `Misconfigured` where another try may help; never `NotFound`, which is about what
    a backend stores.
    """

    @property
    def size(self) -> int:
        """Bytes, as announced by the sender."""

    async def sha256(self) -> str:
        """Lower-case hex digest of the bytes."""

    async def path(self) -> Path:
        """A local file with the bytes. It exists until the `upsert` that got it returns; never write to it."""

    def release(self) -> None:
        """Called by the gateway, never by a driver, once nobody needs the bytes any more. May be called twice."""


@dataclass(frozen=True, slots=True, weakref_slot=True, kw_only=True)
class Source:
    """One Nextcloud item with its current readers."""

    id: SourceId
    provider: ProviderId
    title: str
    mime_type: str
    """Lower case, without parameters."""
    modified: int
    """Unix seconds; decides whether a version is newer."""
    user_ids: frozenset[UserId]
    """Never empty."""
    content: Content


class Outcome(StrEnum):
    """What `upsert` did."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    """The stored version is not older; at most its readers and its title changed."""
    PENDING = "pending"
    """Accepted, searchable later; never remembered as done."""


class AccessOp(StrEnum):
    """How `update_access` and `update_provider_access` change a set of readers."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessChange:
    """One change among those of `change_access`."""

    source_id: SourceId
    user_ids: frozenset[UserId]
    op: AccessOp | None = None
    """None makes the readers exactly `user_ids`."""


@dataclass(frozen=True, slots=True)
class ProviderScope:
    """Search only sources of these providers."""

    providers: frozenset[ProviderId]


@dataclass(frozen=True, slots=True)
class SourceScope:
    """Search only these sources; ids that the user may not read add nothing."""

    sources: frozenset[SourceId]


Scope = ProviderScope | SourceScope | None
"""None searches everything that the user may read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question of one user."""

    user_id: UserId
    text: str
    limit: int
    """At most this many hits, at least 1."""
    scope: Scope = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A chunk found by a search."""

    source_id: SourceId
    title: str
    ordinal: int
    """The place of the chunk in its document, from 0: no two chunks of a version share one."""
    heading: str
    """The headings above the chunk, outermost first, with `" \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} "` between
    them; empty where there is none or the backend does not tell."""
    text: str
    score: float
    """Higher is better; comparable within one result only."""
    relevance: float | None = None
    """How likely the chunk has to do with the question at all, 0 to 1; None where the backend does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A generated answer with the sources that it is built on, best first and distinct."""

    text: str
    source_ids: tuple[SourceId, ...]
    titles: Mapping[SourceId, str] = field(default_factory=dict)
    """Of those sources whose title is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What `BaseDriver.find` yields."""

    source_id: SourceId
    provider: ProviderId


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    """It works, but not as well as it could."""
    ERROR = "error"
    """It does not work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check of a backend tells its admin."""

    level: Level
    subject: str
    """Two or three words, e.g. "account"."""
    text: str
    remedy: str = ""
    """What to do; empty where nothing has to be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What callers have to know about a driver. Declared must work, undeclared must raise `Unsupported`."""

    answers: bool = False
    """`answer` works."""
    settle_seconds: float = 0.0
    """After this long every write is visible to every search; 0 if it already is when the call returns."""
    max_source_bytes: int | None = None
    """The content of larger sources cannot be read: `path` raises `Rejected`; None: no limit."""
    mime_types: Set[str] | None = None
    """The content of sources of other types cannot be read: `path` raises `Rejected`; None: any."""
    upserts_at_once: int = 3
    """Sources that are worth indexing at the same time, unless the operator says otherwise."""
    shared: bool = True
    """Others may write to the store too, so what the gateway remembers of it may be outdated: the upsert cache is off.
    False only where a gateway has the store to itself: it then trusts its memory, and nothing else opens the store."""
