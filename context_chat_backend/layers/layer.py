"""`Layer`: a driver around a driver."""

from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from types import TracebackType
from typing import Self, TypeVar

from ..contract import (
    AccessChange,
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

T = TypeVar("T")


class Layer:
    """Passes each operation through `around`; entering and leaving are not operations. A subclass overrides `around`,
    or the operations that it changes.

    No `__getattr__`: an operation that is added to `Driver` and forgotten here is found by mypy and by a test, not by a
    user.
    """

    def __init__(self, inner: Driver) -> None:
        self.inner = inner

    async def around(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:  # noqa: ARG002 - for subclasses
        """Run `call`, which a subclass may do more than once or not at all; `operation` is the method's name."""
        return await call()

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    @property
    def identity(self) -> str:
        return self.inner.identity

    @property
    def waiting(self) -> int:
        return self.inner.waiting

    async def __aenter__(self) -> Self:
        await self.inner.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.inner.__aexit__(exc_type, exc, tb)

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

    async def change_access(self, changes: Sequence[AccessChange]) -> None:
        await self.around("change_access", lambda: self.inner.change_access(changes))

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
