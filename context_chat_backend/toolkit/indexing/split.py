"""Sections of a document to chunks that a model reads to their end, cut where the text itself has boundaries."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, takewhile

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from . import boundaries
from .boundaries import Boundary
from .section import Section

HEADING_SEPARATOR = " › "  # noqa: RUF001 - rarely part of a heading
HEADING_CHARS, HEADINGS_CHARS = 150, 300
"""Most of one heading, and of all above a chunk. The innermost are kept; others, and longer ones, are in the text."""

TITLE_CHARS = 100
CONTEXT_SHARE = 4
"""Title and headings take at most a fourth of what a model reads, and so does the header of a table."""

HEADER_SHARE = 3
"""All repetitions of a table's header together have at most a third of the characters of its rows."""

SMALL_SHARE = 4
"""A section of less than a fourth of a chunk may be joined with its neighbours."""

MAX_CHARS_PER_TOKEN = 10
"""A chunk measured in tokens has at most this many characters per token of its capacity. Word-piece models count a
very long word as one unknown token, so that tokens alone would put no limit on the length of a chunk."""

BLOCK_CHARS = 32_768
"""A text is tokenized in blocks of this size, so that memory does not grow with it; a chunk lies within one."""

_FILE = re.compile(r"(?:.*/)?([^/]+)\.[A-Za-z]\w{0,7}", re.DOTALL)
_WORDS = re.compile(r".*(?=[\s|,;])", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a source's text, as it is stored and shown. What is embedded is `Splitter.embedded`."""

    ordinal: int
    """Its place in the text, from 0."""
    heading: str
    """The headings above it, outermost first, with `HEADING_SEPARATOR` between them; empty for none."""
    text: str
    title: str = ""
    """Of its source."""


class Splitter:
    """Splits texts; safe to use from several threads at once.

    With a tokenizer, `capacity` counts its tokens, without special ones; without one it counts characters. The
    tokenizer must neither cut nor pad. It releases the GIL: run `split` in a thread.
    """

    def __init__(self, capacity: int, tokenizer: Tokenizer | None = None) -> None:
        if capacity < 2 * CONTEXT_SHARE:
            raise ValueError(f"a capacity of {capacity} is too small")
        self._capacity = capacity if tokenizer is None else capacity - 1  # a blank may be a token of its own
        self._share = self._capacity // CONTEXT_SHARE
        self._ruler: Ruler = Characters() if tokenizer is None else Tokens(tokenizer)

    def split(self, sections: Iterable[Section], title: str = "") -> Iterator[Chunk]:
        """Chunks in the order of the document, not empty, stripped, none too large to be embedded with its context.

        Nothing but white space is left out, and nothing is repeated but the headers of tables. A word is cut only where
        it is longer than a chunk.
        """
        ordinals = count()
        for group in self._groups(_bounded(sections)):
            heading = _joined(group.path)
            room = self._capacity - self._ruler.size(self._context(title, heading))
            for text in self._texts(group, room):
                yield Chunk(next(ordinals), heading, text, title)

    def embedded(self, chunk: Chunk) -> str:
        """The text of a chunk with what it stands under: the name of its document and its headings."""
        return self._context(chunk.title, chunk.heading) + chunk.text

    def _context(self, title: str, heading: str) -> str:
        """Lines before a text."""
        lines = self._ruler.beginning("\n".join(filter(None, (document_name(title), heading))), self._share)
        return f"{lines}\n" if lines else ""

    def _groups(self, sections: Iterable[Section]) -> Iterator["_Group"]:
        """Sections that are to be split together."""
        waiting: _Group | None = None
        for section in sections:
            new = _Group([section], section.headings, self._small_size(section), len(section.text))
            if waiting is not None and self._may_join(waiting, new):
                waiting.add(new)
                continue
            if waiting is not None:
                yield waiting
            waiting = new
        if waiting is not None:
            yield waiting

    def _small_size(self, section: Section) -> int | None:
        """With headings and header, of a section that may be small; None for others, which are not measured."""
        most = self._capacity * MAX_CHARS_PER_TOKEN // SMALL_SHARE
        if sum(map(len, (*section.headings, section.header, section.text))) > most:
            return None
        return self._ruler.size("\n".join((*section.headings, section.header, section.text, "")))

    def _may_join(self, group: "_Group", new: "_Group") -> bool:
        """If they are pages under the same headings, or if the new one is small and takes no heading away from a group
        that is not."""
        path = _common(group.path, new.path)
        if path == group.path == new.path and not (group.has_table or new.has_table):
            return group.chars + new.chars <= BLOCK_CHARS
        related = bool(path) or max(len(group.path), len(new.path)) <= 1
        kept = path == group.path or self._is_small(group.size)
        return related and kept and self._is_small(new.size) and self._fit(group.size, new.size)

    def _is_small(self, size: int | None) -> bool:
        return size is not None and size < self._capacity // SMALL_SHARE

    def _fit(self, *sizes: int | None) -> bool:
        known = [size for size in sizes if size is not None]
        return len(known) == len(sizes) and sum(known) <= self._capacity - self._share

    def _texts(self, group: "_Group", room: int) -> Iterator[str]:
        if group.size is not None and group.size <= room:
            yield group.text().strip()
        elif group.has_table and len(group.sections) == 1:
            yield from self._table(group.sections[0], room)
        else:
            yield from self._pieces(group.text(), room)

    def _table(self, table: Section, room: int) -> Iterator[str]:
        """Whole rows under the header. Where that is too long to be repeated, it comes first, and its beginning is."""
        header = self._ruler.beginning(table.header, room // CONTEXT_SHARE)
        credit = len(header) + 1
        if header != table.header:
            yield from self._pieces(table.header, room)
            credit = 0
        for rows in self._pieces(table.text, room - self._ruler.size(f"{header}\n"), boundaries.behind_row):
            credit += len(rows) // HEADER_SHARE
            line = header if len(header) < credit else _words(header, credit - 1)
            yield f"{line}\n{rows}" if line else rows
            credit -= len(line) + 1 if line else 0

    def _pieces(self, text: str, room: int, boundary: Boundary = boundaries.strongest) -> Iterator[str]:
        """Pieces of at most `room` units, stripped and not empty."""
        for span in _spans(text, boundary):
            block = _Block(text[span], self._ruler, room)
            start = boundaries.ink(block.text, 0)
            while start < len(block.text):
                end = block.end(start, boundary)
                yield block.text[start:end].rstrip()
                start = boundaries.ink(block.text, end)


@dataclass(slots=True)
class _Group:
    """Sections that are split as one text, unless there is one and it is a table."""

    sections: list[Section]
    path: tuple[str, ...]
    """The headings above all of them; others are in the text."""
    size: int | None
    """In units, at most; None where it was not measured."""
    chars: int

    @property
    def has_table(self) -> bool:
        """Whether the last section is one: tables are joined only where everything is small."""
        return bool(self.sections[-1].header)

    def add(self, new: "_Group") -> None:
        """Take its sections."""
        self.sections += new.sections
        self.path = _common(self.path, new.path)
        self.size = None if self.size is None or new.size is None else self.size + new.size
        self.chars += new.chars

    def text(self) -> str:
        parts = []
        above = self.path
        for section in self.sections:
            new = section.headings[len(_common(above, section.headings)) :]
            parts.append("\n".join(filter(None, (*new, section.header, section.text))))
            above = section.headings
        return "\n\n".join(parts)


class _Block:
    """A text that was measured once, to be cut into pieces of at most `room` units."""

    def __init__(self, text: str, ruler: "Ruler", room: int) -> None:
        self.text = text
        self._ruler = ruler
        self._room = room
        self._ends = ruler.ends(text)
        self._fences = boundaries.fences(text)

    def end(self, start: int, boundary: Boundary) -> int:
        """Where the piece that starts there ends."""
        limit = self._limit(start)
        if limit < len(self.text):
            limit = self._whole_code(start, boundary(self.text, start, limit))
        if boundaries.between_words(self.text, start) and boundaries.between_words(self.text, limit):
            return limit
        return start + self._longest(self.text[start:limit])

    def _limit(self, start: int) -> int:
        """How far a piece may reach: also its first unit counts if it lies in there by a part only."""
        last = int(np.searchsorted(self._ends, start, "right")) + self._room - 1
        end = int(self._ends[last]) if last < len(self._ends) else len(self.text)
        return min(end, start + self._room * MAX_CHARS_PER_TOKEN)

    def _whole_code(self, start: int, end: int) -> int:
        """The end, or the beginning of the code around it that fits into a piece."""
        for opening, closing in self._fences:
            if start <= opening < end < closing and self._limit(opening) >= closing:
                return opening if start < opening else closing
        return end

    def _longest(self, piece: str) -> int:
        """How much of a piece fits for sure: a part of a word can have more units than it has in the whole."""
        while len(ends := self._ruler.ends(piece)) > self._room:
            piece = piece[: max(1, min(int(ends[self._room - 1]), len(piece) - 1))]
        return len(piece)


class Ruler(ABC):
    """Measures texts."""

    @abstractmethod
    def ends(self, text: str) -> NDArray[np.int64]:
        """Where each unit of a text ends, in characters, ascending."""

    def size(self, text: str) -> int:
        """The number of units."""
        return len(self.ends(text))

    def beginning(self, text: str, units: int) -> str:
        """As much of a text as has so many units."""
        ends = self.ends(text)
        return text if len(ends) <= units else text[: int(ends[units - 1])].rstrip()


class Characters(Ruler):
    """For models whose tokens are not known."""

    def ends(self, text: str) -> NDArray[np.int64]:
        return np.arange(1, len(text) + 1)


class Tokens(Ruler):
    """Units are tokens, without special ones."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def ends(self, text: str) -> NDArray[np.int64]:
        (encoding,) = self._tokenizer.encode_batch([text], add_special_tokens=False)  # `encode` would hold the GIL
        return np.maximum.accumulate(np.array([end for _, end in encoding.offsets], np.int64))


def document_name(title: str) -> str:
    """What is embedded of a title: of a file without its folders and its extension, in one line of bounded length."""
    file = _FILE.fullmatch(title)
    return " ".join((file[1] if file else title).split())[:TITLE_CHARS]


def _bounded(sections: Iterable[Section]) -> Iterator[Section]:
    """With shorter headings; those that are not shown as a whole are in the text, once."""
    above: tuple[str, ...] = ()
    for section in sections:
        if not section.text or section.text.isspace():
            continue
        headings = tuple(map(_shortened, section.headings))
        known, hidden = len(_common(above, section.headings)), _hidden(headings)
        above = section.headings
        in_text = [
            heading
            for place, heading in enumerate(above[known:], known)
            if place < hidden or heading != headings[place]
        ]
        yield replace(section, headings=headings, text="\n".join((*in_text, section.text)))


def _shortened(heading: str) -> str:
    return heading if len(heading) <= HEADING_CHARS else f"{heading[: HEADING_CHARS - 1].rstrip()}…"


def _hidden(path: Sequence[str]) -> int:
    """The number of the outermost headings for which there is no room above a chunk."""
    left = HEADINGS_CHARS + len(HEADING_SEPARATOR)
    for place in reversed(range(len(path))):
        left -= len(path[place]) + len(HEADING_SEPARATOR)
        if left < 0:
            return place + 1
    return 0


def _joined(path: Sequence[str]) -> str:
    return HEADING_SEPARATOR.join(path[_hidden(path) :])


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """The headings that both begin with."""
    return tuple(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _words(line: str, chars: int) -> str:
    """The words or cells at its beginning that have so many characters together."""
    found = _WORDS.match(line, 0, max(0, chars) + 1)
    return found[0].rstrip() if found else ""


def _spans(text: str, boundary: Boundary) -> Iterator[slice]:
    """The blocks of a text."""
    start = 0
    while len(text) - start > BLOCK_CHARS:
        end = boundary(text, start, start + BLOCK_CHARS)
        yield slice(start, end)
        start = end
    yield slice(start, len(text))
