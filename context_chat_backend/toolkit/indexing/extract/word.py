"""Word documents, by the parts of WordprocessingML that hold what people read."""

import re
from collections.abc import Iterable, Iterator

from lxml import etree

from . import drawings
from .contents import embedded
from .drawings import R
from .outline import Block, Heading, Table, words
from .package import Package, number_or
from .tables import Row, row, tabular

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"

_PARAGRAPH, _TABLE, _CHUNK, _TEXT_BOX = f"{W}p", f"{W}tbl", f"{W}altChunk", f"{W}txbxContent"
_ROW, _CELL = f"{W}tr", f"{W}tc"
_SYMBOL, _PROPERTIES, _OUTLINE, _VALUE = f"{W}sym", f"{W}pPr", f"{W}outlineLvl", f"{W}val"
_HEADING = re.compile(r"heading ([1-9])", re.IGNORECASE)
_TITLE = "title"
_BODY_LEVEL = 9
_BASES = 20
_LAYOUT_CHARS = 800
"""A table with a cell that is longer than this arranges text on the page."""
_MOST_SPANNED = 64
_FIRST_SIGN, _FIRST_SURROGATE = 0x20, 0xD800
_NOTES = {f"{W}footnoteReference": "footnotes", f"{W}endnoteReference": "endnotes", f"{W}commentReference": "comments"}
_SIGNS = {f"{W}tab": "\t", f"{W}ptab": "\t", f"{W}br": "\n", f"{W}cr": "\n", f"{W}noBreakHyphen": "-"}
_LEFT_OUT = frozenset(
    f"{W}{name}"
    for name in ("del", "moveFrom", "instrText", "delText", "delInstrText", "pPr", "rPr", "sectPr", "tblPr", "rt")
)
"""What is not read: tracked deletions, codes of fields, properties, the reading aids of Japanese."""


def docx(data: bytes, depth: int = 0) -> Iterator[Block]:
    """Headers, body with its notes and comments where they belong, footers; text boxes once."""
    package = Package(data)
    main = package.main("word/document.xml")
    document = _Document(package, main, depth)
    yield from document.parts("header")
    yield from document.blocks(package.xml(main))
    yield from document.rest()
    yield Heading(0, "")
    yield from document.parts("footer")


class _Document:
    def __init__(self, package: Package, main: str, depth: int) -> None:
        self._package = package
        self._main = main
        self._depth = depth
        self._styles = dict(self._read_styles())
        self._levels: dict[str, int | None] = {"": None}
        """Of styles, by their ids."""
        self._notes = {kind: self._read_notes(kind) for kind in _NOTES.values()}
        self._chunks = {
            relation.id: relation.part for relation in package.relations(main) if relation.kind == "aFChunk"
        }

    def parts(self, kind: str) -> Iterator[Block]:
        """Headers or footers; those for even pages and for the first one are often the same."""
        roots = [self._package.xml(name) for name in self._package.related(self._main, kind)]
        yield from dict.fromkeys("\n".join(words(block) for block in self.blocks(root)) for root in roots)

    def blocks(self, container: Iterable[etree._Element]) -> Iterator[Block]:
        for child in container:
            if child.tag == _PARAGRAPH:
                yield from self._paragraph(child)
            elif child.tag == _TABLE:
                yield from self._table(child)
            elif child.tag == _CHUNK:
                yield from self._chunk(child.get(f"{R}id", ""))
            elif child.tag == drawings.ALTERNATIVES:
                if (option := drawings.chosen(child)) is not None:
                    yield from self.blocks(option)
            elif child.tag not in _LEFT_OUT:
                yield from self.blocks(child)

    def rest(self) -> Iterator[Block]:
        """Notes that nothing refers to, diagrams and charts."""
        for notes in self._notes.values():
            while notes:  # they may refer to others
                for note in notes.pop(next(iter(notes))):
                    yield from self.blocks(note)
        yield from drawings.drawn(self._package, self._main)

    def _paragraph(self, paragraph: etree._Element) -> Iterator[Block]:
        asides: list[etree._Element] = []
        text = "".join(self._text(paragraph, asides))
        level = self._level(paragraph)
        yield text if level is None or not text.strip() else Heading(level, text)
        for aside in asides:
            yield from self.blocks(aside)

    def _text(self, element: etree._Element, asides: list[etree._Element]) -> Iterator[str]:
        """What stands in the line; what stands beside it goes to `asides`."""
        for child in element:
            if child.tag in _LEFT_OUT:
                continue
            if (text := _in_line(child)) is not None:
                yield text
            elif child.tag in _NOTES or child.tag == _TEXT_BOX:
                asides += self._beside(child)
            elif child.tag == drawings.ALTERNATIVES:
                option = drawings.chosen(child)
                yield from () if option is None else self._text(option, asides)
            else:
                yield from self._text(child, asides)

    def _beside(self, element: etree._Element) -> list[etree._Element]:
        """A text box, or the note that is referred to, unless it was before."""
        if element.tag == _TEXT_BOX:
            return [element]
        return self._notes[_NOTES[str(element.tag)]].pop(element.get(f"{W}id", ""), [])

    def _table(self, table: etree._Element) -> Iterator[Block]:
        lines = list(_within(table, _ROW))
        cells = [[list(self.blocks(_contents(cell))) for cell in _cells(line)] for line in lines]
        rows = [self._row(line, texts) for line, texts in zip(lines, cells, strict=True)]
        if max(map(len, rows), default=0) <= 1 or any(len(cell) > _LAYOUT_CHARS for texts in rows for cell in texts):
            for texts in cells:
                for blocks in texts:
                    yield from blocks
        elif len(rows) > 1 and lines[0].find(f"{W}trPr/{W}tblHeader") is not None:
            yield Table(row(rows[0]), "\n".join(map(row, rows[1:])))
        else:
            yield from tabular(rows)

    @staticmethod
    def _row(line: etree._Element, cells: list[list[Block]]) -> Row:
        texts: list[str] = []
        for cell, blocks in zip(_cells(line), cells, strict=True):
            span = cell.find(f"{W}tcPr/{W}gridSpan")
            columns = number_or(1, None if span is None else span.get(f"{W}val"))
            texts += [" ".join(map(words, blocks)), *[""] * (min(columns, _MOST_SPANNED) - 1)]
        return texts

    def _chunk(self, relation: str) -> Iterator[Block]:
        """A document of another kind that Word shows as a part of this one."""
        if (part := self._chunks.get(relation, "")) in self._package:
            yield from embedded(part, "", self._package.read(part), self._depth)

    # ------------------------------------------------------------------ headings

    def _level(self, paragraph: etree._Element) -> int | None:
        properties = _child(paragraph, _PROPERTIES)
        if properties is None:
            return None
        if (own := _child(properties, _OUTLINE)) is not None:
            return _outline_level(own.get(_VALUE))
        style = _value(properties, f"{W}pStyle")
        if style not in self._levels:
            self._levels[style] = self._level_of(style)
        return self._levels[style]

    def _level_of(self, style_id: str) -> int | None:
        """By the first of a style and those that it is based on which says so."""
        for _ in range(_BASES):
            style = self._styles.get(style_id)
            if style is None:
                break
            properties = _child(style, _PROPERTIES)
            if properties is not None and (outline := _value(properties, _OUTLINE)):
                return _outline_level(outline)
            name = _value(style, f"{W}name")
            if heading := _HEADING.fullmatch(name):
                return int(heading[1])
            if name.lower() == _TITLE:
                return 0
            style_id = _value(style, f"{W}basedOn")
        return None

    def _read_styles(self) -> Iterator[tuple[str, etree._Element]]:
        for name in self._package.related(self._main, "styles"):
            for style in self._package.xml(name).iter(f"{W}style"):
                yield style.get(f"{W}styleId", ""), style

    def _read_notes(self, kind: str) -> dict[str, list[etree._Element]]:
        """By their ids; in broken documents several have the same."""
        notes: dict[str, list[etree._Element]] = {}
        for name in self._package.related(self._main, kind):
            for note in self._package.xml(name):
                notes.setdefault(note.get(f"{W}id", ""), []).append(note)
        return notes


def _child(element: etree._Element, tag: str) -> etree._Element | None:
    return next(element.iterchildren(tag), None)


def _value(element: etree._Element, tag: str) -> str:
    """Of its child of that name; empty where there is none."""
    child = _child(element, tag)
    return "" if child is None else child.get(_VALUE, "")


def _cells(line: etree._Element) -> Iterator[etree._Element]:
    return _within(line, _CELL) if line.tag == _ROW else iter([line])


def _contents(cell: etree._Element) -> Iterable[etree._Element]:
    return cell if cell.tag == _CELL else [cell]


def _within(element: etree._Element, tag: str) -> Iterator[etree._Element]:
    """Rows of a table or cells of a row; content controls and tracked insertions may stand between. In broken tables,
    paragraphs stand for them."""
    for child in element:
        if child.tag in {tag, _PARAGRAPH}:
            if child.find(f"{W}trPr/{W}del") is None:
                yield child
        elif child.tag not in _LEFT_OUT:
            yield from _within(child, tag)


def _outline_level(value: str | None) -> int | None:
    level = number_or(_BODY_LEVEL, value)
    return level + 1 if 0 <= level < _BODY_LEVEL else None


def _in_line(element: etree._Element) -> str | None:
    tag = str(element.tag)
    if tag.endswith("}t"):  # of Word, of equations, of drawings
        return element.text or ""
    return _symbol(element) if tag == _SYMBOL else _SIGNS.get(tag)


def _symbol(element: etree._Element) -> str:
    """Those of symbol fonts have a private number, which means nothing to anybody."""
    try:
        code = int(element.get(f"{W}char", ""), 16)
    except ValueError:
        return " "
    return chr(code) if _FIRST_SIGN <= code < _FIRST_SURROGATE else " "
