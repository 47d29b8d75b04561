"""What the catalogue learns of chunks on their way to the store: how frequent terms are, and what texts are like."""

from collections.abc import Sequence

import numpy as np

from ..indexing.words.terms import Words
from ..search.calibrator import sentence_of
from .store import ChunkRecord

OFFERED = 16
"""Chunks of one upload that may be kept as samples: more fit in an empty catalogue only."""
DIGITS = 5
"""Of a number of a vector that is kept as a sample."""

_random = np.random.default_rng()


def learned(chunks: Sequence[ChunkRecord]) -> dict[str, object]:
    """As `ccb_expect_chunks` takes it. The samples are those with the highest numbers: as each chunk draws one, what is
    kept in the end is a sample of all chunks."""
    draws = _random.random(len(chunks))
    offered = np.argsort(-draws)[:OFFERED]
    samples = [_sample(chunks[place], float(draws[place])) for place in offered]
    return {**counted([chunk.words for chunk in chunks]), "samples": samples}


def counted(words: Sequence[Words]) -> dict[str, object]:
    """The same of chunks whose vectors only the store has."""
    return {"chunks": len(words), "terms": [term for each in words for term in each.weights], "samples": []}


def _sample(chunk: ChunkRecord, draw: float) -> dict[str, object]:
    return {
        "language": chunk.words.language,
        "draw": draw,
        "embedding": np.round(chunk.embedding.astype(np.float64), DIGITS).tolist(),
        "sentence": sentence_of(chunk.text),
    }
