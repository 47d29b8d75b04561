"""From what extractors come across, one after the other, to sections under headings, and from those to one text."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ..section import Section

HEADING_CHARS = 200
"""What is longer is a paragraph that looks like a heading: it would be repeated above each of its sections."""
HEADER_CHARS = 4000
SECTION_CHARS = 100_000
"""A longer one is given in parts, so that the rest of a document need not be read when there is too much of it."""

_NEWLINES = ("\r\n", *"\r\v\f\x85\u2028\u2029")
_NO_CHARACTERS = "\ufeff\ufffe\uffff"
_CONTROLS = bytes({*range(0x20), 0x7F} - {*b"\t\n"})


@dataclass(frozen=True, slots=True)
class Heading:
    level: int
    """A heading ends the sections of its own level and of higher ones."""
    text: str
    """Blank where something without a heading begins."""


@dataclass(frozen=True, slots=True)
class Table:
    header: str
    rows: str
    """A line each."""


Block = str | Heading | Table
"""A piece of a document; a string is one or more paragraphs."""


def words(block: Block) -> str:
    """Of a block of any kind."""
    match block:
        case str():
            return block.strip()
        case Heading(_, text):
            return text.strip()
        case Table(header, rows):
            return f"{header}\n{rows}"


def clean(text: str) -> str:
    """Newlines as "\\n"; no control characters but those and tabs, no lone surrogates; stripped."""
    for newline in _NEWLINES:
        text = text.replace(newline, "\n")
    # Encoding leaves out surrogates. Bytes and literals are searched several times as fast as sets of characters.
    text = text.encode("utf-8", "ignore").translate(None, _CONTROLS).decode("utf-8")
    for character in _NO_CHARACTERS:
        text = text.replace(character, "")
    return text.strip()


def one_line(text: str) -> str:
    return " ".join(clean(text).split())


def deeper(levels: int, blocks: Iterable[Block]) -> Iterator[Block]:
    """Those of a document within a document."""
    for block in blocks:
        yield replace(block, level=block.level + levels) if isinstance(block, Heading) else block


def outlined(blocks: Iterable[Block]) -> Iterator[Section]:
    """Clean sections. A heading with nothing below it is text itself, so that no word is lost."""
    outline = _Outline()
    for block in blocks:
        yield from outline.add(block)
    yield from outline.end()


class _Outline:
    def __init__(self) -> None:
        self._above: list[Heading] = []
        self._is_bare = False
        """Whether nothing has come since the last heading."""
        self._section = Section("")
        self._texts: list[str] = []
        self._chars = 0

    def add(self, block: Block) -> Iterator[Section]:
        match block:
            case Heading(level, text) if len(text := one_line(text)) <= HEADING_CHARS:
                yield from self._leave(level)
                self._open(Heading(level, text))
            case Heading(_, text):
                yield from self._put(clean(text))
            case Table(header, rows):
                yield from self._put(clean(rows), clean(header).replace("\n", " "))
            case text:
                yield from self._put(clean(text))

    def end(self) -> Iterator[Section]:
        yield from self._leave(0)
        yield from self._flush()

    def _leave(self, level: int) -> Iterator[Section]:
        while self._above and self._above[-1].level >= level:
            heading = self._above.pop()
            if self._is_bare:
                yield from self._put(heading.text)

    def _open(self, heading: Heading) -> None:
        is_repeated = bool(self._above) and self._above[-1].text == heading.text
        if heading.text and not is_repeated:
            self._above.append(heading)
            self._is_bare = True

    def _put(self, text: str, header: str = "") -> Iterator[Section]:
        if not text:
            return
        section = Section("", tuple(heading.text for heading in self._above), header)
        if section != self._section or self._chars > SECTION_CHARS:
            yield from self._flush()
        self._section = section
        self._texts.append(text)
        self._chars += len(text)
        self._is_bare = False

    def _flush(self) -> Iterator[Section]:
        if self._texts:
            yield replace(self._section, text=("\n" if self._section.header else "\n\n").join(self._texts))
        self._texts, self._chars = [], 0


def as_text(sections: Iterable[Section]) -> str:
    """All words of them, in order: headings and headers of tables as lines of their own, where they begin."""
    parts: list[str] = []
    before = Section("")
    for section in sections:
        new = _new_headings(before.headings, section.headings)
        parts += new
        is_continued = not new and section.header == before.header
        parts.append(section.text if is_continued or not section.header else f"{section.header}\n{section.text}")
        before = section
    return "\n\n".join(parts)


def _new_headings(before: tuple[str, ...], now: tuple[str, ...]) -> tuple[str, ...]:
    same = 0
    while same < min(len(before), len(now)) and before[same] == now[same]:
        same += 1
    return now[same:]
