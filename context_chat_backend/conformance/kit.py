"""What a conformance case works with: a driver, a namespace of its own, sources made on the spot."""

import hashlib
import uuid
from collections.abc import Awaitable, Callable, Iterable, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import anyio

from ..contract import Driver, ProviderId, Query, Scope, Source, SourceId, UserId

T = TypeVar("T")

POLL_INTERVAL = 0.2
MANY = 100
"""Hits asked for: more than any case stores chunks."""


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
    _providers: set[ProviderId] = field(default_factory=set)

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

    def source(
        self,
        item: int | str,
        *,
        users: Iterable[str] = ("alice",),
        text: str = "The whale swims in the deep blue sea.",
        modified: int = 1_700_000_000,
        provider: str = "default",
        title: str = "files/whale.md",
    ) -> Source:
        """A Markdown source."""
        file = self.folder / uuid.uuid4().hex
        file.write_text(text, "utf-8")
        return Source(
            id=self.id(item, provider),
            provider=self.provider(provider),
            title=title,
            mime_type="text/markdown",
            modified=modified,
            user_ids=self.users(*users),
            content=FileContent(file),
        )

    async def found(self, user: str, *, text: str = "whale", scope: Scope = None) -> frozenset[SourceId]:
        """Ids of all sources that a search of this user returns now."""
        hits = await self.driver.search(Query(user_id=self.user(user), text=text, limit=MANY, scope=scope))
        return frozenset(hit.source_id for hit in hits)

    async def expect(self, user: str, expected: Set[SourceId], *, scope: Scope = None) -> None:
        """A search of this user returns exactly these sources, within the settle time that the driver declares."""
        found = await self._settled(lambda: self.found(user, scope=scope), expected)
        if found != expected:
            raise AssertionError(
                f"user {user!r} should find {sorted(expected)} and finds {sorted(found)}; "
                "found although not allowed means a missing access filter, not found means a lost source or reader"
            )

    async def expect_count(self, expected: int, provider: str = "default") -> None:
        """`count` reports this many sources of a provider."""
        wanted = self.provider(provider)

        async def counted() -> int:
            return (await self.driver.count()).get(wanted, 0)

        count = await self._settled(counted, expected)
        if count != expected:
            raise AssertionError(f"count should report {expected} sources of the provider and reports {count}")

    async def clean_up(self) -> None:
        """Delete all that was stored under this namespace."""
        for provider in self._providers:
            await self.driver.delete_provider(provider)

    async def _settled(self, look: Callable[[], Awaitable[T]], expected: object) -> T:
        seen = await look()
        with anyio.move_on_after(self.driver.capabilities.settle_seconds):
            while seen != expected:
                await anyio.sleep(POLL_INTERVAL)
                seen = await look()
        return seen
