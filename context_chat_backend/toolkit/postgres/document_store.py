"""Documents, their chunks and the search in them, all in one PostgreSQL: what builtin and Supabase share."""

import logging
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import (
    Any,
    NotRequired,  # pydantic asks for this one before Python 3.12
)
from uuid import UUID

import numpy as np
from anyio import to_thread
from numpy.typing import NDArray
from pydantic import TypeAdapter
from pydantic_core import from_json
from typing_extensions import TypedDict

from ...contract import Outcome, Query, ReembedAction, Reembedded, Rejected, Source, SourceId, Unavailable
from ..indexing.split import Chunk, document_name
from ..indexing.words.chunks import words_of_chunks
from ..indexing.words.languages import UNKNOWN
from ..indexing.words.terms import DIMENSIONS, Question, Words, unknown_mass
from ..search.calibrator import DRAWN, Sample
from ..search.fusion import Candidate
from .documents import BOOLEAN, INTEGER, OBJECT, OUTCOME, Documents, read, source_argument, who_and_where

log = logging.getLogger(__name__)

PAGE_CHUNKS = 100
PAGE_BYTES = 2_000_000
"""Most chunks, and about the most bytes of vectors, per call of the database."""
LEASE_SECONDS = 120
"""How long chunks that somebody claimed are left to it. Longer only costs time after a gateway was killed, shorter only
has some embedded twice."""

DEPTH = 40
"""Chunks that are found by meaning, and as many by words: between 20 and 100 makes little odds."""
_BYTES_PER_NUMBER = 10
_FLOAT = "%.5g"
"""Enough digits for the 11 significant bits of a halfvec."""
SAMPLED_ROWS = 20_000
"""Of a large store, samples are drawn out of about so many chunks."""


@dataclass(frozen=True, slots=True)
class QuestionVector:
    """What a model makes of a question."""

    numbers: NDArray[np.float32]
    """Shape (dimension,)."""
    model: str


class OtherModel(Unavailable):
    """The vectors in the store are of another model than that of the question."""

    def __init__(self, model: str) -> None:
        super().__init__(f"the vectors are of the model {model}")
        self.model = model


class _Found(TypedDict):
    mass: float
    known: frozenset[int]
    chunks: int
    hits: list[Candidate]
    model: NotRequired[str]


class _Sample(TypedDict):
    language: str
    embedding: str
    content: str


class _Unembedded(TypedDict):
    chunk_id: int
    title: str
    heading: str
    content: str


class _Claimed(TypedDict):
    chunks: list[_Unembedded]
    copied: int
    waiting: int


class _NextModel(TypedDict):
    model: str
    paused: bool
    waiting: int


class _Models(TypedDict):
    model: str | None
    chunks: int
    next: _NextModel | None


class _Document(TypedDict):
    doc_id: int
    title: str


class _Chunk(TypedDict):
    ordinal: int
    heading: str
    content: str


_FOUND, _SAMPLES, _CHUNKS = TypeAdapter(_Found), TypeAdapter(list[_Sample]), TypeAdapter(list[_Chunk])
_CLAIMED, _MODELS = TypeAdapter(_Claimed), TypeAdapter(_Models)
_WORDLESS: TypeAdapter[_Document | None] = TypeAdapter(_Document | None)


@dataclass(frozen=True, slots=True)
class Found:
    """What the database found."""

    mass: float
    """The most that the words of a candidate can count."""
    unknown: float
    """What words of the question that no text has would add to it."""
    candidates: Sequence[Candidate]


@dataclass(frozen=True, slots=True)
class Claimed:
    """Chunks without a vector that nobody else makes one for now."""

    ids: Sequence[int]
    chunks: Sequence[Chunk]
    """The same. Their ordinals say nothing."""
    copied: int
    """How many others got the vector of one with the same text."""
    waiting: int
    """All chunks without a vector, these included."""


class DocumentStore(Documents):
    """A typed client of the functions in `sql/chunks` as well."""

    async def open(self, *, dimension: int, model: str) -> Mapping[str, Any]:
        """The status of the database; a new one is for vectors of this model. Raises `Misconfigured` if there are
        vectors of a model of this name that have another dimension."""
        return read(await self._functions.call("ccb_open_store", p_dimension=dimension, p_model=model), OBJECT)

    async def publish(
        self, source: Source, content_hash: str, pages: AsyncIterable[Sequence[Chunk]], *, ticket: str | None = None
    ) -> Outcome:
        """Store the chunks, without vectors, and put them in the place of the older version in one step.

        Nothing of it is found before. Readers of the source become exactly its `user_ids`, unless a version that is
        not older was stored meanwhile: then they are added to that one (`UNCHANGED`). Holds two pages at a time.

        `ticket` is that of `begin`; without it nothing else may happen to the source meanwhile.
        """
        description = {**source_argument(source, content_hash), "ticket": ticket}
        async with aclosing(_arguments(pages, source.title)) as calls:
            first: list[dict[str, object]] = await anext(calls, [])
            second = await anext(calls, None)
            if second is None:
                stored = await self._functions.call("ccb_store_source", p_source={**description, "chunks": first})
                return read(stored, OUTCOME)
            async with self._staged(description) as document:
                count = await self._stage(document, first) + await self._stage(document, second)
                async for chunks in calls:
                    count += await self._stage(document, chunks)
                published = await self._functions.call(
                    "ccb_publish_source",
                    p_doc_id=document,
                    p_users=description["users"],
                    p_chunks=count,
                    p_ticket=ticket,
                )
                return read(published, OUTCOME)

    async def search(self, query: Query, vector: QuestionVector | None, question: Question | None) -> Found:
        """The chunks that the user may read that are nearest by meaning or have the best words, None for not at all:
        `Query.limit` at least, if there are so many. Raises `OtherModel`."""
        answer = await self._functions.call(
            "ccb_search",
            p_embedding=None if vector is None else _vector(vector.numbers.tolist()),
            p_model=None if vector is None else vector.model,
            p_question=None if question is None else _question_argument(question),
            p_depth=max(DEPTH, query.limit),
            p_limit=max(2 * DEPTH, query.limit),
            **who_and_where(query),
        )
        found = read(answer, _FOUND)
        if (model := found.get("model")) is not None:
            raise OtherModel(model)
        return Found(
            mass=found["mass"],
            unknown=0.0 if question is None else unknown_mass(question, found["known"], found["chunks"]),
            candidates=found["hits"],
        )

    async def claim_chunks(self, model: str, dimension: int) -> Claimed:
        """The newest chunks without a vector of this model, for `LEASE_SECONDS`. None, if it is not one of the
        store."""
        at_once = max(1, min(PAGE_CHUNKS, PAGE_BYTES // (dimension * _BYTES_PER_NUMBER)))
        found = read(
            await self._functions.call(
                "ccb_claim_chunks", p_model=model, p_limit=at_once, p_lease=f"{LEASE_SECONDS} seconds"
            ),
            _CLAIMED,
        )
        rows = found["chunks"]
        chunks = [Chunk(0, row["heading"], row["content"], row["title"]) for row in rows]
        return Claimed([row["chunk_id"] for row in rows], chunks, found["copied"], found["waiting"] - found["copied"])

    async def put_vectors(self, model: str, ids: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """Those of `claim_chunks`, shape (number of chunks, dimension). Those of chunks that are gone are dropped."""
        arguments = [
            {"chunk_id": number, "embedding": _vector(vector)}
            for number, vector in zip(ids, vectors.tolist(), strict=True)
        ]
        await self._functions.call("ccb_put_vectors", p_model=model, p_vectors=arguments)

    async def release_chunks(self, model: str, ids: Sequence[int] | None = None) -> None:
        """Leave chunks that were claimed to others. Without `ids` all: whoever claimed them before is gone."""
        chunks = None if ids is None else [{"chunk_id": number} for number in ids]
        await self._functions.call("ccb_release_chunks", p_model=model, p_chunks=chunks)

    async def waiting_chunks(self, model: str) -> int:
        """How many have no vector of this model."""
        return read(await self._functions.call("ccb_waiting_chunks", p_model=model), INTEGER)

    async def reembed(self, action: ReembedAction | None = None, *, model: str = "", dimension: int = 0) -> Reembedded:
        """Begin, hold or give up to make vectors of another model, and tell how far that is. Raises `Misconfigured`
        where the action makes no sense."""
        answer = await self._functions.call("ccb_reembed", p_action=action, p_model=model, p_dimension=dimension)
        found = read(answer, _MODELS)
        following = found["next"]
        return Reembedded(
            model=found["model"] or "",
            chunks=found["chunks"],
            next_model=None if following is None else following["model"],
            waiting=0 if following is None else following["waiting"],
            paused=following is not None and following["paused"],
        )

    async def switch_model(self, model: str) -> bool:
        """Whether searches are by this model now: they come to be, once no chunk lacks a vector of it."""
        return read(await self._functions.call("ccb_switch_model", p_model=model), BOOLEAN)

    async def samples(self, model: str) -> list[Sample]:
        """Some chunks of each language, drawn at random. None, if the store is not searched with this model."""
        rows = read(
            await self._functions.call("ccb_samples", p_model=model, p_count=DRAWN, p_rows=SAMPLED_ROWS), _SAMPLES
        )
        return [
            Sample(row["language"], np.array(from_json(row["embedding"]), np.float32), row["content"]) for row in rows
        ]

    async def make_words(self, source_id: SourceId | None = None) -> bool:
        """Of a document without words, or with those of an older title: the newest, or this one. False if there is
        none."""
        document = read(await self._functions.call("ccb_wordless_document", p_source_id=source_id), _WORDLESS)
        if document is None:
            return False
        number, title = document["doc_id"], document["title"]
        try:
            await self._make_words_of(number, title)
        except Rejected as error:  # must not keep all older ones from theirs
            log.warning("A document is found by its meaning only: %s", error)
            await self._put_words(number, [], title, last=True)
        return True

    async def _make_words_of(self, document: int, title: str) -> None:
        language = UNKNOWN
        chunks = await self._chunks_of(document, -1)
        while chunks:
            words = await to_thread.run_sync(words_of_chunks, title, chunks, language)
            language = words[-1].language
            arguments = [
                {"ordinal": chunk.ordinal, **word_argument(of)} for chunk, of in zip(chunks, words, strict=True)
            ]
            chunks = await self._chunks_of(document, chunks[-1].ordinal)
            await self._put_words(document, arguments, title, last=not chunks)

    async def _put_words(self, document: int, words: Sequence[object], title: str, *, last: bool) -> None:
        await self._functions.call("ccb_put_words", p_doc_id=document, p_words=words, p_title=title, p_last=last)

    async def _chunks_of(self, document: int, after: int) -> list[Chunk]:
        answer = await self._functions.call("ccb_chunks_of", p_doc_id=document, p_after=after, p_limit=PAGE_CHUNKS)
        return [Chunk(row["ordinal"], row["heading"], row["content"]) for row in read(answer, _CHUNKS)]

    async def _stage(self, document: int, chunks: list[dict[str, object]]) -> int:
        return read(await self._functions.call("ccb_stage_chunks", p_doc_id=document, p_chunks=chunks), INTEGER)

    @asynccontextmanager
    async def _staged(self, description: Mapping[str, object]) -> AsyncIterator[int]:
        document = read(await self._functions.call("ccb_stage_source", p_source=description), INTEGER)
        async with self.discarded_on_failure(document):
            yield document


def _vector(numbers: Sequence[float]) -> str:
    return f"[{','.join([_FLOAT] * len(numbers))}]" % tuple(numbers)


async def _arguments(
    pages: AsyncIterable[Sequence[Chunk]], title: str
) -> AsyncGenerator[list[dict[str, object]], None]:
    """The chunks of all pages as the database takes them, at most `PAGE_CHUNKS` at a time."""
    language = UNKNOWN
    async for page in pages:
        words = await to_thread.run_sync(words_of_chunks, title, page, language)
        language = words[-1].language
        rows = list(zip(page, words, strict=True))
        for start in range(0, len(rows), PAGE_CHUNKS):
            yield [_argument(*row) for row in rows[start : start + PAGE_CHUNKS]]


def _argument(chunk: Chunk, words: Words) -> dict[str, object]:
    return {
        "ordinal": chunk.ordinal,
        "heading": chunk.heading,
        "content": chunk.text,
        "text_key": _text_key(chunk),
        "words": word_argument(words),
    }


def _text_key(chunk: Chunk) -> str:
    """Equal for chunks of which the same is embedded."""
    embedded = "\0".join((document_name(chunk.title), chunk.heading, chunk.text))
    return str(UUID(bytes=sha256(embedded.encode("utf-8", "surrogatepass")).digest()[:16]))


def _question_argument(question: Question) -> dict[str, object]:
    return {"terms": question.terms, "identifiers": question.distinctive, "steady": question.steady}


def word_argument(words: Words) -> dict[str, object]:
    """As the functions take them."""
    weights = ",".join([f"{term}:{_FLOAT % weight}" for term, weight in words.weights.items()])
    return {
        "language": words.language,
        "terms": list(words.weights),
        "weights": f"{{{weights}}}/{DIMENSIONS}",
    }
