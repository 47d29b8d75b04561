"""Texts, vectors and readers that behave like those of a real store, made up from a seed.

Words follow Zipf's law, so that the text index has common and rare ones. Topics have words and a direction, so that
chunks of a topic lie close to each other and to a question about it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from anyio.from_thread import BlockingPortal
from numpy.typing import NDArray

from context_chat_backend.toolkit.indexing.embed.local import LocalEmbedder

CHUNKS_PER_DOCUMENT = 20
CHUNK_CHARS = 650
TOPIC_WORDS = 12
TOPIC_SHARE = 0.15
"""Of the words of a text are words of its topic."""
OWN_TOPIC_SHARE = 0.7
"""Of the chunks of a document have the document's topic."""
RARE = 500
"""Rank from which on words can belong to a topic."""
SENTENCE = 12
DOCUMENT_SPREAD, CHUNK_SPREAD = 0.5, 0.7
"""Length of the random steps from a topic to a document and on to a chunk; topics are at distance 1 from the origin."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Document:
    """A document as a store takes it."""

    title: str
    texts: tuple[str, ...]
    vectors: Vectors
    """Shape (number of texts, dimension), unit length."""


class Corpus:
    """Any number of documents; the same number always gives the same document."""

    def __init__(self, portal: BlockingPortal, embedder: LocalEmbedder, topics: int) -> None:
        self._words = _vocabulary(embedder)
        self._zipf = np.cumsum(1 / np.arange(3, len(self._words) + 3))
        self._zipf /= self._zipf[-1]
        random = np.random.default_rng(0)
        self._topic_words = random.integers(RARE, len(self._words), (topics, TOPIC_WORDS))
        self._topics: Vectors = portal.call(embedder.embed, [self._joined(words) for words in self._topic_words])

    def question(self, number: int) -> str:
        """A question about one of the topics."""
        random = np.random.default_rng([1, number])
        first, second, third = random.choice(self._topic_words[random.integers(len(self._topics))], 3, replace=False)
        return f"How does the {self._words[first]} of {self._words[second]} change a {self._words[third]}?"

    def document(self, number: int) -> Document:
        """A document of `CHUNKS_PER_DOCUMENT` chunks."""
        random = np.random.default_rng([2, number])
        own = random.integers(len(self._topics))
        others = random.integers(len(self._topics), size=CHUNKS_PER_DOCUMENT)
        topics = np.where(random.random(CHUNKS_PER_DOCUMENT) < OWN_TOPIC_SHARE, own, others)
        return Document(
            title=f"files/{self._joined(self._topic_words[own][:3])} {number}.txt",
            texts=tuple(self._text(random, topic, CHUNK_CHARS) for topic in topics),
            vectors=self._vectors(random, topics),
        )

    def text(self, number: int, characters: int) -> str:
        """A text of about this length, in paragraphs."""
        random = np.random.default_rng([3, number])
        topic = random.integers(len(self._topics))
        paragraphs = max(1, characters // CHUNK_CHARS)
        return "\n\n".join(self._text(random, topic, characters // paragraphs) for _ in range(paragraphs))

    def _text(self, random: np.random.Generator, topic: np.integer, characters: int) -> str:
        count = characters // 6  # a word and its blank
        words = np.searchsorted(self._zipf, random.random(count))
        of_topic = random.random(count) < TOPIC_SHARE
        words[of_topic] = random.choice(self._topic_words[topic], of_topic.sum())
        sentences = (self._joined(words[start : start + SENTENCE]) for start in range(0, count, SENTENCE))
        return " ".join(f"{sentence.capitalize()}." for sentence in sentences)

    def _vectors(self, random: np.random.Generator, topics: NDArray[np.int64]) -> Vectors:
        dimension = self._topics.shape[1]
        to_document = DOCUMENT_SPREAD * _unit(random.standard_normal((1, dimension)))
        to_chunks = CHUNK_SPREAD * _unit(random.standard_normal((len(topics), dimension)))
        return _unit(self._topics[topics] + to_document + to_chunks)

    def _joined(self, words: Sequence[int] | NDArray[np.int64]) -> str:
        return " ".join(self._words[word] for word in words)


def _vocabulary(embedder: LocalEmbedder) -> list[str]:
    """The whole words that the model knows, about 20,000; its vocabulary is sorted by frequency."""
    ids = embedder.tokenizer.get_vocab()
    return [word for word in sorted(ids, key=ids.__getitem__) if word.isascii() and word.isalpha() and len(word) > 1]


def _unit(vectors: NDArray[np.floating]) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
