"""`OperationLayer`: a layer that does the same around every operation."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from typing import TypeVar

from ..contract import AccessOp, Answer, Finding, Hit, Outcome, ProviderId, Query, Source, SourceId, UserId
from .layer import Layer

T = TypeVar("T")


class OperationLayer(Layer, ABC):
    """Passes each operation through `around`; entering and leaving are not operations."""

    @abstractmethod
    async def around(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        """Run `call`, possibly more than once; `operation` is the method's name."""

    async def ping(self) -> None:
        await self.around("ping", self.inner.ping)

    async def upsert(self, source: Source) -> Outcome:
        return await self.around("upsert", lambda: self.inner.upsert(source))

    async def delete(self, source_ids: Set[SourceId]) -> None:
        await self.around("delete", lambda: self.inner.delete(source_ids))

    async def set_access(self, source_id: SourceId, user_ids: Set[UserId]) -> None:
        await self.around("set_access", lambda: self.inner.set_access(source_id, user_ids))

    async def update_access(self, op: AccessOp, source_id: SourceId, user_ids: Set[UserId]) -> None:
        await self.around("update_access", lambda: self.inner.update_access(op, source_id, user_ids))

    async def update_provider_access(self, op: AccessOp, provider: ProviderId, user_ids: Set[UserId]) -> None:
        await self.around("update_provider_access", lambda: self.inner.update_provider_access(op, provider, user_ids))

    async def delete_provider(self, provider: ProviderId) -> None:
        await self.around("delete_provider", lambda: self.inner.delete_provider(provider))

    async def delete_user(self, user_id: UserId) -> None:
        await self.around("delete_user", lambda: self.inner.delete_user(user_id))

    async def count(self) -> Mapping[ProviderId, int]:
        return await self.around("count", self.inner.count)

    async def search(self, query: Query) -> Sequence[Hit]:
        return await self.around("search", lambda: self.inner.search(query))

    async def answer(self, query: Query) -> Answer:
        return await self.around("answer", lambda: self.inner.answer(query))

    async def check(self) -> Sequence[Finding]:
        return await self.around("check", self.inner.check)
