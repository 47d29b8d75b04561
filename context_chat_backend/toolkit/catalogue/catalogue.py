"""Which documents a store has chunks of, and who may read them: a typed client of `postgres/sql/catalogue`."""

from collections.abc import AsyncIterator, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import numpy as np
from pydantic import TypeAdapter
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from ...contract import Outcome, Query, Source, SourceId
from ..indexing.words.terms import Question, Weights, Words, title_terms
from ..postgres.documents import OUTCOME, Documents, read, source_argument, storable, who_and_where
from ..postgres.functions import Functions
from ..search.calibrator import Sample
from .learning import counted, learned
from .store import Candidates, ChunkRecord, DocumentKey, Extent, GroupKey

LAST_NUMBER = 2**63 - 1
TITLED = 5
"""The most documents that a search looks into because of their titles."""
NEW_DOCUMENTS = 1000
"""The most documents that a search names one by one because their chunks do not carry their group yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A version of a source whose chunks are being stored. Nobody finds it yet."""

    number: int
    document: DocumentKey
    group: GroupKey
    replaces: bool
    """Whether an older version is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readable:
    """A document that the asking user may read now."""

    source_id: SourceId
    title: str
    chunks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """What the catalogue knows of a question."""

    worths: Weights
    """By term, those that some chunk has."""
    chunks: int
    """So many there are."""
    titled: Sequence[DocumentKey]
    """Documents that the user may read and whose titles say much about the question, the best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wordless:
    """A document that is not found by its newest title yet."""

    doc_id: int
    document: DocumentKey
    title: str
    chunks: int
    counted: bool
    """Whether the terms of its chunks were: not by earlier versions."""


class _Sample(TypedDict):
    language: str
    embedding: list[float]
    sentence: str


_SOUGHT, _WORDLESS, _SAMPLES = TypeAdapter(Sought), TypeAdapter(list[Wordless]), TypeAdapter(list[_Sample])


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleDocuments:
    """Documents whose chunks should carry `group` and carry another."""

    group: GroupKey
    extents: Sequence[Extent]
    last: tuple[int, int]
    """Where `Catalogue.stale_documents` goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """What the store does not know yet."""

    stale: int
    """Documents whose chunks carry another group than they should."""
    removals: int
    """Documents to be removed."""
    chunks: int
    """Chunks of the documents that are stored."""
    marked: bool
    """Whether the store was given its marker."""


class Changes:
    """Tells the outbox that there may be something new in it."""

    def __init__(self) -> None:
        self.count = 0
        self._next = anyio.Event()

    def notify(self) -> None:
        """Something may have changed."""
        self.count += 1
        self._next.set()
        self._next = anyio.Event()

    async def wait(self) -> None:
        """Until the next one."""
        await self._next.wait()


class Catalogue(Documents):
    """Methods raise what `Functions.call` raises."""

    def __init__(self, functions: Functions, changes: Changes) -> None:
        super().__init__(functions)
        self._changes = changes

    async def require(self, address: str, *, dimension: int, model: str) -> Mapping[str, Any]:
        """The status. Raises `Misconfigured` if the catalogue belongs to another store or model."""
        return await self._open(address, dimension, model, bind=False)

    async def bind(self, address: str, *, dimension: int, model: str) -> None:
        """The same; from now on it belongs to this store and model."""
        await self._open(address, dimension, model, bind=True)

    async def _open(self, address: str, dimension: int, model: str, *, bind: bool) -> Mapping[str, Any]:
        status: Mapping[str, Any] = await self._functions.call(
            "ccb_open_catalogue", p_address=address, p_dimension=dimension, p_model=model, p_bind=bind
        )
        return status

    @asynccontextmanager
    async def staged(self, source: Source, content_hash: str) -> AsyncIterator[Staged]:
        """A place for the chunks of a new version, given up if the block fails."""
        description = {**source_argument(source, content_hash), "title_terms": title_terms(source.title)}
        row = await self._functions.call("ccb_stage_document", p_source=description)
        async with self.discarded_on_failure(row["doc_id"]):
            yield Staged(
                number=row["doc_id"],
                document=DocumentKey(row["document"]),
                group=GroupKey(row["group"]),
                replaces=row["replaces"],
            )

    async def expect_chunks(self, staged: Staged, chunks: Sequence[ChunkRecord]) -> None:
        """Remember, before these are sent, that the store may have them and all that come before them, and learn from
        them."""
        await self._functions.call(
            "ccb_expect_chunks", p_doc_id=staged.number, p_chunks=chunks[-1].ordinal + 1, p_learned=learned(chunks)
        )

    async def publish(self, staged: Staged, source: Source, chunks: int, *, ticket: str | None = None) -> Outcome:
        """Put the staged version in the place of the older one in one step, with exactly the readers of the source.

        If a version that is not older was stored meanwhile, the readers are added to that one (`UNCHANGED`).
        """
        published = await self._change(
            "ccb_publish_document",
            p_doc_id=staged.number,
            p_users=sorted(source.user_ids),
            p_chunks=chunks,
            p_ticket=ticket,
        )
        return read(published, OUTCOME)

    async def candidates(self, query: Query) -> Candidates:
        """What a search of this user with this scope may return, as the store knows it."""
        row = await self._functions.call("ccb_reach", **who_and_where(query), p_documents=NEW_DOCUMENTS)
        return Candidates(groups=row["groups"], documents=row["documents"])

    async def readable(self, query: Query, documents: Set[DocumentKey]) -> Mapping[DocumentKey, Readable]:
        """Those of the documents that are stored, in the scope, and readable by the user now."""
        rows = await self._functions.call("ccb_readable", **who_and_where(query), p_keys=storable(documents))
        return {document: Readable(**row) for document, row in rows.items()}

    async def sought(self, query: Query, question: Question) -> Sought:
        """What the terms of a question are worth, and whose title says much about it."""
        answer = await self._functions.call(
            "ccb_sought",
            p_question={"terms": question.terms, "identifiers": question.distinctive, "steady": question.steady},
            p_documents=TITLED,
            **who_and_where(query),
        )
        return read(answer, _SOUGHT)

    async def samples(self) -> list[Sample]:
        """Some chunks of each language, drawn at random; a sentence is all that is kept of their texts."""
        rows = read(await self._functions.call("ccb_samples"), _SAMPLES)
        return [Sample(row["language"], np.array(row["embedding"], np.float32), row["sentence"]) for row in rows]

    async def wordless(self, source_id: SourceId | None, *, chunks: int) -> Sequence[Wordless]:
        """Some of the documents with a new title and of those that an earlier version stored, or this one: as many as
        have so many chunks together, at least one. Empty when there are none."""
        rows = await self._functions.call("ccb_wordless_documents", p_source_id=source_id, p_chunks=chunks)
        return read(rows or [], _WORDLESS)

    async def put_title(self, of: Wordless, chunks: Sequence[Words] | None) -> None:
        """From now on the document is found by its title. `chunks` are the words of those that were not counted."""
        await self._functions.call(
            "ccb_put_title",
            p_doc_id=of.doc_id,
            p_title=of.title,
            p_terms=title_terms(of.title),
            p_learned=None if chunks is None else counted(chunks),
        )

    async def stale_documents(self, after: tuple[int, int], *, documents: int, chunks: int) -> StaleDocuments | None:
        """Some of one group that come after `after`; None when there are none.

        They stay stale until `confirm_group`, even if they get their former group back: the store may have been told.
        """
        group, number = after
        row = await self._functions.call(
            "ccb_stale_documents", p_after_group=group, p_after_doc=number, p_documents=documents, p_chunks=chunks
        )
        if row is None:
            return None
        return StaleDocuments(
            group=GroupKey(row["group"]),
            extents=_extents(row["documents"]),
            # those that become stale meanwhile are left for the next time, or each would cost a call
            last=(int(row["group"]), row["documents"][-1]["doc_id"] if row["more"] else LAST_NUMBER),
        )

    async def confirm_group(self, stale: StaleDocuments, *, settle_seconds: float) -> None:
        """The chunks of these documents carry the group now, and searches see that after `settle_seconds`: until then
        `candidates` goes on naming the documents."""
        keys = [extent.document for extent in stale.extents]
        await self._functions.call("ccb_confirm_group", p_keys=keys, p_group=stale.group, p_settle=settle_seconds)

    async def due_removals(self, after: DocumentKey | None, *, documents: int, chunks: int) -> Sequence[Extent]:
        """Documents to be removed from the store that come after `after`; empty when there are none."""
        rows = await self._functions.call(
            "ccb_due_removals", p_after=after or "", p_documents=documents, p_chunks=chunks
        )
        return _extents(rows or [])

    async def confirm_removals(self, removed: Sequence[Extent]) -> None:
        """The store has no chunks of these documents any more."""
        await self._functions.call("ccb_confirm_removals", p_keys=[extent.document for extent in removed])

    async def confirm_marker(self) -> None:
        """The store has its marker, see `StoreGuard`."""
        await self._functions.call("ccb_confirm_marker")

    async def _change(self, function: str, /, **arguments: object) -> Any:
        try:
            return await super()._change(function, **arguments)
        finally:  # also after a failure: it may have been done
            self._changes.notify()

    async def outbox(self) -> Outbox:
        """How far the store is behind."""
        return Outbox(**await self._functions.call("ccb_outbox"))


def _extents(rows: Sequence[Mapping[str, object]]) -> list[Extent]:
    return [Extent(document=DocumentKey(str(row["document"])), chunks=int(str(row["chunks"]))) for row in rows]
