"""Sparse vectors whose inner product is BM25: what a text has of each term, and what each is worth in a question.

How rare a term is counts in the question only, so that a new text changes nothing that is stored.
"""

import math
import zlib
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from .fold import visible
from .languages import UNKNOWN, language_of, likeliest_language
from .tokens import PREFIX, question_tokens, text_tokens

DIMENSIONS = 1_000_000_000
"""Terms are numbers from 1 to this, the most that a `sparsevec` of pgvector can count."""

SATURATION, LENGTH = 1.5, 0.75
"""k1 and b of BM25, https://doi.org/10.1561/1500000019."""
AVERAGE_LENGTH = 150
"""Tokens of a chunk. As a constant, so that no new text changes what is stored; 100 to 250 make little odds."""
SLIGHT = 0.25
"""What a stop word is worth in a question, compared with another word as rare."""

MANY, MOST_LANGUAGES = 0.1, 3
"""The share of texts in a language whose forms are looked for in all questions, and in how many languages at most."""
QUESTIONS_KEPT = 32
"""One question may need two searches."""
MOST_TERMS = 8_000
"""Of a chunk or a question: no text has as many, but what a text is not may, and pgvector takes 16,000."""
TITLE_CHARS = 500
"""The rest of a longer title is not found by words."""
QUESTION_CHARS = 4_000
"""The rest of a longer question is not looked for by words."""

Weights = Mapping[int, float]
"""By term, in ascending order."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a chunk is found by."""

    language: str
    """ISO 639-1; empty if it is not known."""
    weights: Weights
    """0 to 1: the more often a term occurs, the nearer to 1."""
    distinctive: tuple[int, ...] = ()
    """Those of the terms that show which text is meant, longest first: numbers, codes, file names, days."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a question looks for by words."""

    terms: Weights
    """How often each occurs, slight ones at a discount: to be multiplied by how rare it is."""
    typed: Weights
    """Those of the terms that were typed as they are: they count even if no text has them."""
    named: frozenset[int]
    """Numbers, codes, file names and days that were typed as they are: a text that has all of them is meant."""
    distinctive: tuple[int, ...]
    """Those of the terms that show which text is meant, longest first: numbers, codes, file names, days, and the word
    of a question that is but one: who types that looks for that."""
    steady: tuple[int, ...]
    """Those of the terms that are worth the same however many texts have them: `distinctive` ones and words in codes.
    Else the order of somebody's own documents would tell in how many of others a number is."""
    vague: bool
    """It has nothing but stop words ("What?"), so no text fits it better than another."""


def chunk_words(title: str, heading: str, text: str, *, language: str = UNKNOWN) -> Words:
    """`language` is for a text that is too short to tell."""
    return words_in(language_of(text) or language, title, heading, text)


def words_in(language: str, title: str, heading: str, text: str) -> Words:
    """The same, where the language is known: half the work."""
    tokens = text_tokens(title[:TITLE_CHARS], f"{heading}\n{text}", language)
    length = len(tokens.words) + len(tokens.identifiers)
    half = SATURATION * (1 - LENGTH + LENGTH * length / AVERAGE_LENGTH)
    counts = Counter(map(term, [*tokens.words, *tokens.slight, *tokens.identifiers]))
    kept = sorted(list(counts.items())[:MOST_TERMS])
    weights = {number: count / (count + half) for number, count in kept}
    return Words(language, weights, tuple(map(term, tokens.distinctive)))


def title_terms(title: str) -> list[int]:
    """What a title is found by without its text, in ascending order: the beginnings of words, since its language is
    not known, and identifiers. A name is one identifier, whatever stands between its parts."""
    name = "_".join(title.rpartition("/")[2].split())
    return list(words_in(UNKNOWN, title, "", name).weights)


def question_of(text: str, languages: Mapping[str, int]) -> Question:
    """`languages` are those that texts are in, with how many there are of each."""
    shown = visible(text[:QUESTION_CHARS])[:QUESTION_CHARS]  # one character may stand for eighteen
    return _question_of(shown, frozenset(languages.items()))


@lru_cache(QUESTIONS_KEPT)
def _question_of(text: str, texts: frozenset[tuple[str, int]]) -> Question:
    languages = dict(texts)
    language = likeliest_language(text, languages)
    tokens = question_tokens(text, language)
    counts = Counter(map(term, [*tokens.words, *tokens.identifiers]))
    worth = {**{term(word): n * SLIGHT for word, n in Counter(tokens.slight).items()}, **counts}
    for other in _others(language, languages):
        worth = {**dict.fromkeys(map(term, question_tokens(text, other).words), 1.0), **worth}
    typed = {term(token): worth[term(token)] for token in [*tokens.words, *tokens.slight, *tokens.named]}
    words = [token for token in tokens.words if not token.startswith(PREFIX)]
    distinctive = [*tokens.distinctive, *(words if len(words) == 1 else ())]
    kept = sorted(list(worth.items())[:MOST_TERMS])
    return Question(
        terms=dict(kept),
        typed=dict(sorted(typed.items())),
        named=frozenset(map(term, tokens.named)),
        distinctive=tuple(map(term, distinctive)),
        steady=tuple(sorted({*map(term, tokens.distinctive), *map(term, tokens.coded)} & worth.keys())),
        vague=not (tokens.words or tokens.identifiers),
    )


def _others(language: str, languages: Mapping[str, int]) -> Sequence[str]:
    """The languages of many texts besides this one: a name has another stem in each."""
    many = sum(languages.values()) * MANY
    frequent = sorted(languages, key=lambda other: -languages[other])[:MOST_LANGUAGES]
    return [other for other in frequent if other != language and languages[other] >= many]


def unknown_mass(question: Question, known: Container[int], chunks: int) -> float:
    """What the words of a question would be worth that none of so many chunks has."""
    missing = sum(often for number, often in question.typed.items() if number not in known)
    return missing * rarity(0, chunks)


def rarity(chunks_with_term: int, chunks: int) -> float:
    """idf as Lucene has it: never negative."""
    return math.log1p((chunks - chunks_with_term + 0.5) / (chunks_with_term + 0.5))


def term(token: str) -> int:
    """The number of a token. Two share one about once in a billion."""
    return zlib.crc32(token.encode()) % DIMENSIONS + 1
