"""`Layer`: a driver around a driver that forwards every operation explicitly."""

from collections.abc import Mapping, Sequence, Set
from types import TracebackType
from typing import Self

from ..contract import (
    AccessOp,
    Answer,
    Capabilities,
    Driver,
    Finding,
    Hit,
    Outcome,
    ProviderId,
    Query,
    Source,
    SourceId,
    UserId,
)


class Layer:
    """Subclasses override what they change. No `__getattr__`: an operation that is added to `Driver` and forgotten
    here is found by mypy and by a test, not by a user."""

    def __init__(self, inner: Driver) -> None:
        self.inner = inner

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    @property
    def identity(self) -> str:
        return self.inner.identity

    async def __aenter__(self) -> Self:
        await self.inner.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.inner.__aexit__(exc_type, exc, tb)

    async def ping(self) -> None:
        await self.inner.ping()

    async def upsert(self, source: Source) -> Outcome:
        return await self.inner.upsert(source)

    async def delete(self, source_ids: Set[SourceId]) -> None:
        await self.inner.delete(source_ids)

    async def set_access(self, source_id: SourceId, user_ids: Set[UserId]) -> None:
        await self.inner.set_access(source_id, user_ids)

    async def update_access(self, op: AccessOp, source_id: SourceId, user_ids: Set[UserId]) -> None:
        await self.inner.update_access(op, source_id, user_ids)

    async def update_provider_access(self, op: AccessOp, provider: ProviderId, user_ids: Set[UserId]) -> None:
        await self.inner.update_provider_access(op, provider, user_ids)

    async def delete_provider(self, provider: ProviderId) -> None:
        await self.inner.delete_provider(provider)

    async def delete_user(self, user_id: UserId) -> None:
        await self.inner.delete_user(user_id)

    async def count(self) -> Mapping[ProviderId, int]:
        return await self.inner.count()

    async def search(self, query: Query) -> Sequence[Hit]:
        return await self.inner.search(query)

    async def answer(self, query: Query) -> Answer:
        return await self.inner.answer(query)

    async def check(self) -> Sequence[Finding]:
        return await self.inner.check()
