"""The reference driver: everything in memory, as small as the contract allows.

It is the oracle of the conformance kit and the shortest example of a driver. Search counts common words.
"""

import re
import uuid
from collections.abc import AsyncIterator, Sequence, Set
from dataclasses import dataclass, replace
from typing import Self

from ..contract import (
    AccessOp,
    BaseDriver,
    Capabilities,
    DriverConfig,
    Hit,
    Inventory,
    NotFound,
    Outcome,
    ProviderId,
    ProviderScope,
    Query,
    Rejected,
    Source,
    SourceId,
    SourceScope,
    Stored,
    StoredVersion,
    UserId,
)


@dataclass(frozen=True, slots=True)
class Document:
    """A stored source."""

    source: Source
    text: str
    sha256: str
    readers: frozenset[UserId]

    def seen_again(self, source: Source) -> Self:
        """With the readers of a version that is not newer, too, and with its title if it is as new."""
        newest = self.source if source.modified < self.source.modified else source
        return replace(self, source=replace(self.source, title=newest.title), readers=self.readers | source.user_ids)

    def visible_to(self, query: Query) -> bool:
        """Whether a search of this user with this scope may find it."""
        in_scope = True
        if isinstance(query.scope, ProviderScope):
            in_scope = self.source.provider in query.scope.providers
        elif isinstance(query.scope, SourceScope):
            in_scope = self.source.id in query.scope.sources
        return in_scope and query.user_id in self.readers


class ReferenceDriver(BaseDriver, Inventory):
    """Forgets everything when the process ends, so its identity is a new one each time. Reads all types as UTF-8."""

    capabilities = Capabilities(
        shared=False,
        mime_types=frozenset(
            {"text/plain", "text/markdown", "text/csv", "text/html", "application/json", "application/pdf"}
        ),
    )

    def __init__(self) -> None:
        self._documents: dict[SourceId, Document] = {}
        self._identity = uuid.uuid4().hex

    @property
    def identity(self) -> str:
        return self._identity

    async def ping(self) -> None:
        return None

    async def upsert(self, source: Source) -> Outcome:
        stored = self._documents.get(source.id)
        if stored is not None and stored.source.modified >= source.modified:
            self._documents[source.id] = stored.seen_again(source)
            return Outcome.UNCHANGED
        if stored is not None:
            await self.set_access(source.id, stored.readers & source.user_ids)  # until the new version is there
        try:
            text = await _text_of(source)
        except Rejected:
            self._documents.pop(source.id, None)
            raise
        self._documents[source.id] = Document(source, text, await source.content.sha256(), source.user_ids)
        return Outcome.CREATED if stored is None else Outcome.UPDATED

    async def delete(self, source_ids: Set[SourceId]) -> None:
        for source_id in source_ids:
            self._documents.pop(source_id, None)

    async def set_access(self, source_id: SourceId, user_ids: Set[UserId]) -> None:
        if source_id not in self._documents:
            raise NotFound("no such source")
        if user_ids:
            self._documents[source_id] = replace(self._documents[source_id], readers=frozenset(user_ids))
        else:
            del self._documents[source_id]

    async def update_access(self, op: AccessOp, source_id: SourceId, user_ids: Set[UserId]) -> None:
        if source_id not in self._documents:
            raise NotFound("no such source")
        readers = self._documents[source_id].readers
        await self.set_access(source_id, readers | user_ids if op is AccessOp.ALLOW else readers - user_ids)

    async def find(self, *, provider: ProviderId | None = None, user_id: UserId | None = None) -> AsyncIterator[Stored]:
        for document in list(self._documents.values()):
            source = document.source
            if provider in {None, source.provider} and (user_id is None or user_id in document.readers):
                yield Stored(source_id=source.id, provider=source.provider)

    async def inventory(
        self,
        source_ids: Set[SourceId] | None = None,
        *,
        skip: int = 0,
        bulk: bool = False,  # noqa: ARG002 - there is one way only
    ) -> AsyncIterator[StoredVersion]:
        wanted = [id_ for id_ in list(self._documents) if source_ids is None or id_ in source_ids]
        for id_ in wanted[skip:]:
            document = self._documents[id_]
            yield StoredVersion(
                source_id=id_,
                provider=document.source.provider,
                title=document.source.title,
                mime_type=document.source.mime_type,
                modified=document.source.modified,
                sha256=document.sha256,
                user_ids=document.readers,
            )

    async def search(self, query: Query) -> Sequence[Hit]:
        wanted = _words(query.text)
        hits = [
            Hit(
                source_id=document.source.id,
                title=document.source.title,
                ordinal=0,
                heading="",
                text=document.text,
                score=len(wanted & _words(document.text)),
            )
            for document in self._documents.values()
            if document.visible_to(query)
        ]
        return sorted(hits, key=lambda hit: -hit.score)[: query.limit]


async def _text_of(source: Source) -> str:
    text = (await source.content.path()).read_text("utf-8", "replace")
    if not text.strip():
        raise Rejected("no text")
    return text


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def create(_: DriverConfig) -> ReferenceDriver:
    """`RAG_BACKEND=reference`: for trying things out; nothing survives a restart."""
    return ReferenceDriver()
