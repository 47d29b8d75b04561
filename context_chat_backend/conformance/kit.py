"""What a conformance case works with: a driver, a namespace of its own, sources made on the spot."""

import hashlib
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import anyio

from ..contract import (
    Driver,
    Hit,
    ProviderId,
    Query,
    Scope,
    Source,
    SourceId,
    TransientError,
    UserId,
)
from .faults import Faults

T = TypeVar("T")

POLL_INTERVAL = 0.2
MANY = 100
"""Hits asked for: more than any case stores chunks."""
PATIENCE = 150.0
"""Seconds that a driver gets to recover from a fault. Some backends take a minute to tell whether they have what they
were sent when the connection broke."""
LONGEST_PAUSE = 5.0
WHALE = "The whale swims in the deep blue sea."
PAPER = "A whale made of paper."


class CaseSkipped(Exception):
    """The driver does not declare what this case needs; the message says what."""


@dataclass(frozen=True, slots=True)
class FileContent:
    """`Content` of a file that belongs to the kit."""

    file: Path

    @property
    def size(self) -> int:
        return self.file.stat().st_size

    async def sha256(self) -> str:
        return hashlib.sha256(self.file.read_bytes()).hexdigest()

    async def path(self) -> Path:
        return self.file

    def release(self) -> None:
        return None


@dataclass
class Kit:
    """Ids carry a random namespace, so that a kit can run against a store that is in use."""

    driver: Driver
    folder: Path
    namespace: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    faults: Faults | None = None
    """Set when `driver` speaks to its backend through the kit's proxy."""
    _providers: set[ProviderId] = field(default_factory=set)

    # ------------------------------------------------------------------ names and sources

    def provider(self, name: str = "default") -> ProviderId:
        """A provider id; everything of it is deleted at the end."""
        provider = ProviderId(f"conform{self.namespace}__{name}")
        self._providers.add(provider)
        return provider

    def user(self, name: str) -> UserId:
        """A user id that nothing else uses."""
        return UserId(f"{self.namespace} {name}")

    def users(self, *names: str) -> frozenset[UserId]:
        """Several of them."""
        return frozenset(self.user(name) for name in names)

    def id(self, item: int | str, provider: str = "default") -> SourceId:
        """The id of the source that `source` makes of these."""
        return SourceId(f"{self.provider(provider)}: {item}")

    def ids(self, *items: int | str) -> frozenset[SourceId]:
        """Several of them."""
        return frozenset(self.id(item) for item in items)

    def source(
        self,
        item: int | str,
        *,
        users: Iterable[str] = ("alice",),
        text: str | bytes = WHALE,
        modified: int = 1_700_000_000,
        provider: str = "default",
        title: str = "files/whale.md",
        mime_type: str = "text/markdown",
    ) -> Source:
        """By default of Markdown."""
        file = self.folder / uuid.uuid4().hex
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return Source(
            id=self.id(item, provider),
            provider=self.provider(provider),
            title=title,
            mime_type=mime_type,
            modified=modified,
            user_ids=self.users(*users),
            content=FileContent(file),
        )

    # ------------------------------------------------------------------ what is found

    async def hits(self, user: str, *, text: str = "whale", limit: int = MANY, scope: Scope = None) -> Sequence[Hit]:
        """What a search of this user returns now."""
        query = Query(user_id=self.user(user), text=text, limit=limit, scope=scope)
        return await self.driver.search(query)

    async def found(self, user: str, *, scope: Scope = None) -> frozenset[SourceId]:
        """Ids of all sources that a search of this user returns now."""
        return frozenset(hit.source_id for hit in await self.hits(user, scope=scope))

    async def text(self, user: str, source_id: SourceId) -> str:
        """All that a search of this user returns now of the text of a source."""
        return " ".join(hit.text for hit in await self.hits(user) if hit.source_id == source_id)

    async def expect(self, user: str, expected: Set[SourceId], *, scope: Scope = None) -> None:
        """A search of this user returns these sources within the settle time, and nothing else at any time."""
        await self.expect_found(self.user(user), expected, expected, scope=scope)

    async def expect_found(
        self, user_id: UserId, least: Set[SourceId], most: Set[SourceId], *, text: str = "whale", scope: Scope = None
    ) -> None:
        """The same for any user, where some sources may be found and need not."""
        query = Query(user_id=user_id, text=text, limit=MANY, scope=scope)

        async def search() -> set[SourceId]:
            return {hit.source_id for hit in await self.driver.search(query)}

        found = await search()
        with anyio.move_on_after(self.driver.capabilities.settle_seconds):
            while found <= most and not least <= found:  # waiting never excuses what may not be read
                await anyio.sleep(POLL_INTERVAL)
                found = await search()
        if not found <= most:
            raise AssertionError(
                f"user {user_id!r} finds {sorted(found - most)} and must not: an access filter is missing"
            )
        if not least <= found:
            raise AssertionError(
                f"user {user_id!r} does not find {sorted(least - found)}: a source or a reader is lost"
            )

    async def expect_count(self, expected: int, provider: str = "default") -> None:
        """`count` reports this many sources of a provider."""
        wanted = self.provider(provider)

        async def counted() -> int:
            return (await self.driver.count()).get(wanted, 0)

        count = await self.settled(counted, expected)
        if count != expected:
            raise AssertionError(f"count should report {expected} sources of the provider and reports {count}")

    async def settled(self, look: Callable[[], Awaitable[T]], expected: T) -> T:
        """What is seen as soon as it is as expected, else at the end of the settle time."""
        seen = await look()
        with anyio.move_on_after(self.driver.capabilities.settle_seconds):
            while seen != expected:
                await anyio.sleep(POLL_INTERVAL)
                seen = await look()
        return seen

    # ------------------------------------------------------------------ the end

    async def clean_up(self) -> None:
        """Delete all that was stored under this namespace."""
        for provider in self._providers:
            await self._delete(provider)

    async def _delete(self, provider: ProviderId) -> None:
        if self.faults is None:
            await self.driver.delete_provider(provider)
        else:
            self.faults.proxy.recover()
            await patiently(lambda: self.driver.delete_provider(provider))


async def patiently(call: Callable[[], Awaitable[T]], *, patience: float = PATIENCE) -> T:
    """Repeat a call as long as it fails for a passing reason, as Nextcloud does. The last failure is raised."""
    deadline = anyio.current_time() + patience
    while True:
        try:
            return await call()
        except TransientError as error:
            if anyio.current_time() > deadline:
                raise
            await anyio.sleep(min(max(error.retry_after or 0, POLL_INTERVAL), LONGEST_PAUSE))
