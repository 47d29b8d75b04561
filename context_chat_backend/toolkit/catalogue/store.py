"""What a store of vectors has to do, and all that it has to do: keep chunks, label them, search them.

    class MyStore(VectorStore):
        ...six methods...

    def create(config: DriverConfig) -> Driver:
        return CatalogueDriver.from_config("mystore", MyStore(driver_settings(MySettings, config)), config)

Who may read what is decided in the catalogue, a PostgreSQL of the gateway. A chunk in the store carries only its
document and the number of one access group, so that sharing a document with 5,000 users changes one number. The
catalogue is the authority: `CatalogueDriver` asks it about every match again, so that a store which lags behind shows
nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import NewType, Self

import numpy as np
from numpy.typing import NDArray

from ...contract import Finding
from ..indexing.words.languages import UNKNOWN
from ..indexing.words.terms import Weights, Words

DocumentKey = NewType("DocumentKey", str)
"""One version of one source: 32 lower-case hex digits, drawn at random and never used again."""

GroupKey = NewType("GroupKey", str)
"""An access group: decimal digits."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChunkRecord:
    """A chunk as it is to be stored: with its document, its group and its vector."""

    document: DocumentKey
    ordinal: int
    """Its place in the document, from 0."""
    group: GroupKey
    heading: str
    """The headings above it; may be empty. To be kept with the text and given back with it."""
    text: str
    embedding: NDArray[np.float32]
    """A unit vector of shape (dimension,)."""
    words: Words
    """Weights for stores that keep sparse vectors, identifiers for others, the language for all that can give it
    back."""

    @property
    def id(self) -> str:
        """ASCII, 38 characters; sorts by document, then by ordinal."""
        return chunk_id(self.document, self.ordinal)


def chunk_id(document: DocumentKey, ordinal: int) -> str:
    """The id of a chunk, for stores that have to be told which records to change or remove."""
    return f"{document}#{ordinal:05d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """A document and the chunks of it that may be in the store: those with an ordinal below `chunks`."""

    document: DocumentKey
    chunks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The chunks that a search may return: of one of these groups, or of one of these documents. Never both empty."""

    groups: Sequence[GroupKey]
    documents: Sequence[DocumentKey]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WordQuery:
    """What a question looks for by words, in several forms: a store takes those that it can search for."""

    text: str
    """The question, at most 10,000 characters, for stores with a text search of their own."""
    weights: Weights
    """For stores that keep `Words.weights` as sparse vectors: what each term is worth. The inner product of the two is
    BM25; how rare a term is in all documents is in here, so a store must not weigh it by that again."""
    identifiers: Sequence[int]
    """Those of its terms that show which text is meant, longest first, for stores that keep `Words.distinctive` as a
    list that a filter can look into: a text search of their own knows a number in one spelling only."""
    embedding: NDArray[np.float32]
    """As `nearest` gets it, for stores that can tell the `similarity` of what they find."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A chunk that a search found."""

    document: DocumentKey
    ordinal: int
    heading: str
    """As it was put; empty where a record was written without one."""
    text: str
    language: str = UNKNOWN
    """As it was put, where the store can give it back: to find out takes as long as all the rest of a match."""
    similarity: float | None = None
    """The cosine of the embeddings, -1 to 1; None where they were not compared, as in many searches by words."""


class VectorStore(ABC):
    """Keeps chunks. An async context manager; the constructor does no I/O. Any number of calls may run at a time.

    Methods raise nothing but `DriverError`s: `TransientError` where a repetition may help, `Misconfigured` where only
    an admin can. Each may be repeated after a failure. Writes may become visible to searches by `settle_seconds` later.
    """

    settle_seconds: float = 0.0
    """After this long every write is visible to every search."""
    chunks_per_put: int = 128
    """The most chunks that `put` gets at once."""
    documents_per_call: int = 1000
    """The most documents that `regroup` and `remove` get at once."""
    chunks_per_call: int = 100_000
    """The most chunks that the documents of one such call have, unless it is a single document."""

    matches_per_search: int = 10_000
    """The most that `nearest` and `matching` are asked for."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        return None

    @property
    @abstractmethod
    def address(self) -> str:
        """Names the place where the data is, e.g. host and index, without secrets. A catalogue belongs to one place."""

    @property
    def searches_words(self) -> bool:
        """Whether `matching` finds anything; readable once prepared. Override it where that depends on the server."""
        return type(self).matching is not VectorStore.matching

    @abstractmethod
    async def prepare(self, namespace: str, dimension: int) -> None:
        """Called once after entering, before anything else: make ready what is missing for vectors of this dimension.

        Everything is kept under `namespace` (36 ASCII letters, digits and hyphens), which belongs to one catalogue, so
        that gateways can share a store. Raises `Misconfigured` where what is there does not fit.
        """

    @abstractmethod
    async def put(self, chunks: Sequence[ChunkRecord]) -> None:
        """Store chunks of one document, in place of those with the same ids."""

    @abstractmethod
    async def regroup(self, documents: Sequence[Extent], group: GroupKey) -> bool:
        """Make `group` the group of all chunks of these documents. False where some of them were not there to be
        changed, because the store lags behind: it is called again later."""

    @abstractmethod
    async def remove(self, documents: Sequence[Extent]) -> None:
        """Remove all chunks of these documents; unknown ones are fine."""

    @abstractmethod
    async def nearest(self, embedding: NDArray[np.float32], candidates: Candidates, limit: int) -> Sequence[Match]:
        """The candidates with the most similar embeddings, best first, at most `limit`, with their `similarity`."""

    async def matching(self, query: WordQuery, candidates: Candidates, limit: int) -> Sequence[Match]:  # noqa: ARG002 - for those that can
        """The candidates that fit the words of a question, best first, at most `limit`. Leave it as it is without such
        a search.

        A store that can keep sparse vectors searches by `query.weights`: the gateway's terms know word forms, accents,
        numbers in all spellings and scripts without blanks, which few text searches do. By whichever it finds them,
        what the words of a match are worth is told by the gateway from its text.
        """
        return ()

    async def holds(self, chunk: ChunkRecord) -> bool:
        """Whether searches find this chunk: asked every minute about the marker of the gateway, a document of one
        chunk. Override it where a look-up by id costs less than a search."""
        candidates = Candidates(groups=(), documents=(chunk.document,))
        found = await self.nearest(chunk.embedding, candidates, self.matches_per_search)
        return any((match.document, match.ordinal) == (chunk.document, chunk.ordinal) for match in found)

    async def ping(self) -> None:
        """Return if the store answers, else raise; cheap enough to call every few seconds."""
        return

    async def wait_until_searchable(self, document: Extent) -> None:  # noqa: ARG002 - for those that lag
        """Return once searches find the chunks just put, or it has taken too long. Called before an older version of
        the source is given up."""
        return

    async def chunk_count(self) -> int | None:
        """About how many chunks are stored under the namespace; None where the store does not tell."""
        return None

    async def check(self) -> Sequence[Finding]:
        """What an admin should know about the store."""
        return ()
