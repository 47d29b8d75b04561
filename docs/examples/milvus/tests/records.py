"""Chunks to put into a store, and questions about them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from context_chat_milvus.store import MilvusStore
from numpy.typing import NDArray

from context_chat_backend.toolkit.catalogue import (
    Candidates,
    ChunkRecord,
    DocumentKey,
    Extent,
    GroupKey,
    Match,
    WordQuery,
)
from context_chat_backend.toolkit.indexing.words.terms import chunk_words, question_of

NAMESPACE = "ccb-0123456789abcdef0123456789abcdef"
DIMENSION = 3
ANN, BEN = GroupKey("7"), GroupKey("8")
EAST, NORTH, UP = np.eye(DIMENSION, dtype=np.float32)


def document(number: int) -> DocumentKey:
    return DocumentKey(f"{number:032x}")


def chunks(
    number: int, *texts: str, group: GroupKey = ANN, embeddings: Sequence[NDArray[np.float32]] = (EAST, NORTH, UP)
) -> list[ChunkRecord]:
    """Of one document; the embeddings go round."""
    return [
        ChunkRecord(
            document=document(number),
            ordinal=ordinal,
            group=group,
            heading=f"above {text}",
            text=text,
            embedding=embeddings[ordinal % len(embeddings)],
            words=chunk_words("", f"above {text}", text),
        )
        for ordinal, text in enumerate(texts)
    ]


def extents(*numbers: int, chunks: int = 1) -> list[Extent]:
    return [Extent(document=document(number), chunks=chunks) for number in numbers]


def readable_by(*groups: GroupKey, documents: Sequence[int] = ()) -> Candidates:
    return Candidates(groups=groups, documents=[document(number) for number in documents])


def match(number: int, ordinal: int, text: str) -> Match:
    return Match(document=document(number), ordinal=ordinal, heading=f"above {text}", text=text)


def bare(matches: Sequence[Match]) -> list[Match]:
    """Without how similar they are."""
    return [replace(match, similarity=None) for match in matches]


def words(text: str, rarity: Callable[[int], float] = lambda term: 1.0) -> WordQuery:
    question = question_of(text, {"en": 1})
    weights = {term: count * rarity(term) for term, count in question.terms.items()}
    return WordQuery(text=text, weights=weights, identifiers=question.distinctive, embedding=EAST)


async def found(store: MilvusStore, candidates: Candidates) -> set[DocumentKey]:
    """The documents of all candidates."""
    return {match.document for match in await store.nearest(EAST, candidates, store.matches_per_search)}
