"""Chunks of a text, cut at its own boundaries: headings, paragraphs, sentences, words."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from semantic_text_splitter import MarkdownSplitter, TextSplitter
from tokenizers import Tokenizer

SECTION_CHUNKS = 16
"""Size of the sections handed to the library, in chunks. Its time grows with the square of a stretch without any
boundary (140 s for 4 MB without a blank); within a section that does no harm. Two sections do not overlap."""

TYPICAL_CHARS_PER_TOKEN = 2
"""Between Chinese (1) and English (4)."""

MAX_CHARS_PER_TOKEN = 10
"""A chunk measured in tokens has at most this many characters per token of its capacity. Word-piece models count a
very long word as one unknown token, so that tokens alone would put no limit on the length of a chunk."""

BOUNDARIES = ("\n\n", "\n", " ")

# Thousands of blank lines in a row take the Markdown splitter half a minute.
_GAP = re.compile(r"\s{100,}")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a source's text."""

    ordinal: int
    """Its place in the text, from 0."""
    heading: str
    """The headings above it, outermost first; empty for none."""
    text: str


class Splitter:
    """Splits texts; safe to use from several threads at once.

    With a tokenizer, `capacity` and `overlap` count its tokens, without the special ones that an encoder adds: a model
    that reads 256 tokens, two of them special, takes a capacity of 254. Without one they count characters.
    The library releases the GIL while it works: run `split` in a thread.
    """

    def __init__(self, capacity: int, overlap: int, tokenizer: Tokenizer | None = None) -> None:
        if not 0 <= overlap < capacity:
            raise ValueError(f"overlap {overlap} must be less than capacity {capacity}")
        if tokenizer is None:
            self._max_chars = capacity
            self._section_chars = capacity * SECTION_CHUNKS
            self._text = TextSplitter(capacity, overlap)
            self._markdown = MarkdownSplitter(capacity, overlap)
            return
        counter = _counting(tokenizer)
        self._max_chars = capacity * MAX_CHARS_PER_TOKEN
        self._section_chars = capacity * TYPICAL_CHARS_PER_TOKEN * SECTION_CHUNKS
        self._text = TextSplitter.from_huggingface_tokenizer(counter, capacity, overlap)
        self._markdown = MarkdownSplitter.from_huggingface_tokenizer(counter, capacity, overlap)

    def split(self, text: str, mime_type: str) -> Iterator[str]:
        """Chunks in the order of the document, not empty, stripped, none larger than the capacity.

        Nothing but white space is left out; a word is cut only where it is longer than a chunk or a section.
        """
        markdown = mime_type == "text/markdown"
        splitter = self._markdown if markdown else self._text
        boundaries = ("\n#", *BOUNDARIES) if markdown else BOUNDARIES
        for section in _sections(_GAP.sub(_shortened, text), self._section_chars, boundaries):
            for chunk in splitter.chunks(section):
                yield from self._limited(chunk.strip())

    def _limited(self, chunk: str) -> Iterator[str]:
        if 0 < len(chunk) <= self._max_chars:
            yield chunk
        elif chunk:
            for piece in TextSplitter(self._max_chars).chunks(chunk):
                yield from self._text.chunks(piece)  # cut, a word can have more tokens than as a whole


def _counting(tokenizer: Tokenizer) -> Tokenizer:
    """A copy that counts all tokens: truncation would hide those of a chunk that is too large."""
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy


def _shortened(gap: re.Match[str]) -> str:
    return gap[0][:100]


def _sections(text: str, size: int, boundaries: Sequence[str]) -> Iterator[str]:
    start = 0
    while len(text) - start > size:
        end = _cut(text, start + size // 2, start + size, boundaries)
        yield text[start:end]
        start = end
    yield text[start:]


def _cut(text: str, start: int, end: int, boundaries: Sequence[str]) -> int:
    """The last of the strongest boundaries, else the end."""
    return next((cut for boundary in boundaries if (cut := text.rfind(boundary, start, end)) > start), end)
