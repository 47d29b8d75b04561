"""OpenDocument: texts, presentations, drawings, spreadsheets."""

from collections.abc import Iterable, Iterator

from lxml import etree

from .formats import ENCRYPTED, Unreadable
from .outline import Block, Heading, Table
from .package import Package, number_or
from .tables import Row, row, tabular

OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
SVG = "{urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0}"
PRESENTATION = "{urn:oasis:names:tc:opendocument:xmlns:presentation:1.0}"

_MANIFEST = "META-INF/manifest.xml"
_PARAGRAPHS = frozenset({f"{TEXT}p", f"{TEXT}h"})
_ASIDES = frozenset({f"{TEXT}note", f"{OFFICE}annotation"})
"""What stands in a line only by its anchor, as drawings do."""
_LABELS = frozenset({f"{SVG}title", f"{SVG}desc"})
_LEFT_OUT = frozenset({
    *(f"{TEXT}tracked-changes", f"{TABLE}tracked-changes", f"{TEXT}note-citation", f"{OFFICE}annotation-end"),
    *(f"{TEXT}sequence-decls", f"{TEXT}variable-decls", f"{OFFICE}forms", f"{OFFICE}event-listeners"),
    f"{TEXT}ruby-text",
    *(f"{{http://purl.org/dc/elements/1.1/}}{name}" for name in ("creator", "date")),
    "{urn:oasis:names:tc:opendocument:xmlns:meta:1.0}date-string",
})  # fmt: skip
_MARGINS = tuple(f"{STYLE}{margin}{pages}" for margin in ("header", "footer") for pages in ("", "-left", "-first"))
_GROUPS_OF_ROWS = frozenset(f"{TABLE}{name}" for name in ("table-header-rows", "table-rows", "table-row-group"))
_CELLS = (f"{TABLE}table-cell", f"{TABLE}covered-table-cell")
_SHAPES = f"{TABLE}shapes"
_LAYOUT_CHARS = 800
_MOST_BLANKS = 1000
_MOST_COLUMNS = 16_384


def text(data: bytes) -> Iterator[Block]:
    """Headings, paragraphs, tables, notes and comments where they belong, slides; headers and footers at the end."""
    package = _package(data)
    root = package.xml("content.xml")
    titles = frozenset({"Title", *_styles_of_titles(root)})
    yield from _blocks(_body(root), titles)
    if "styles.xml" in package:
        yield Heading(0, "")
        margins = package.xml("styles.xml").iter(*_MARGINS)
        yield from dict.fromkeys(block for margin in margins for block in _blocks(margin, titles))


def spreadsheet(data: bytes) -> Iterator[Block]:
    """Sheet by sheet; numbers and dates as they are shown, then the comments."""
    for sheet in _sheets(_body(_package(data).xml("content.xml"))):
        yield Heading(1, sheet.get(f"{TABLE}name", ""))
        asides: list[etree._Element] = []
        yield from tabular(_rows(sheet, asides))
        yield from _blocks([*asides, *sheet.iterchildren(_SHAPES)], frozenset())


def _sheets(body: etree._Element) -> Iterator[etree._Element]:
    """Not the tables within them, in cells and text boxes."""
    for table in body.iter(f"{TABLE}table"):
        if next(table.iterancestors(f"{TABLE}table"), None) is None:
            yield table


def _package(data: bytes) -> Package:
    package = Package(data)
    if _MANIFEST in package and b"encryption-data" in package.read(_MANIFEST):
        raise Unreadable(ENCRYPTED)
    return package


def _body(root: etree._Element) -> etree._Element:
    return next(root.iter(f"{OFFICE}body"))


def _styles_of_titles(root: etree._Element) -> Iterator[str]:
    for style in root.iter(f"{STYLE}style"):
        if style.get(f"{STYLE}parent-style-name") == "Title":
            yield style.get(f"{STYLE}name", "")


def _blocks(container: Iterable[etree._Element], titles: frozenset[str]) -> Iterator[Block]:
    for child in container:
        if child.tag in _PARAGRAPHS:
            yield from _paragraph(child, titles)
        elif child.tag == f"{TABLE}table":
            yield from _table(child, titles)
            yield from _blocks(child.iterchildren(_SHAPES), titles)
        elif child.tag == f"{DRAW}page":
            yield from _slide(child, titles)
        elif child.tag in _LABELS:
            yield child.text or ""
        elif child.tag not in _LEFT_OUT:
            yield from _blocks(child, titles)


def _paragraph(paragraph: etree._Element, titles: frozenset[str]) -> Iterator[Block]:
    asides: list[etree._Element] = []
    line = "".join(_text(paragraph, asides))
    if not line.strip():
        pass
    elif paragraph.tag == f"{TEXT}h":
        yield Heading(number_or(1, paragraph.get(f"{TEXT}outline-level")), line)
    elif paragraph.get(f"{TEXT}style-name") in titles:
        yield Heading(0, line)
    else:
        yield line
    yield from _blocks(asides, titles)


def _text(element: etree._Element, asides: list[etree._Element]) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        if child.tag in _ASIDES or str(child.tag).startswith(DRAW):
            asides.append(child)
        elif child.tag == f"{TEXT}s":
            yield " " * min(number_or(1, child.get(f"{TEXT}c")), _MOST_BLANKS)
        elif child.tag == f"{TEXT}tab":
            yield "\t"
        elif child.tag == f"{TEXT}line-break":
            yield "\n"
        elif child.tag not in _LEFT_OUT:
            yield from _text(child, asides)
        yield child.tail or ""


def _table(table: etree._Element, titles: frozenset[str]) -> Iterator[Block]:
    asides: list[etree._Element] = []
    rows = list(_rows(table, asides))
    if max(map(len, rows), default=0) <= 1 or any(len(cell) > _LAYOUT_CHARS for cells in rows for cell in cells):
        for line in _lines(table):
            for cell in line.iterchildren(*_CELLS):
                yield from _blocks(cell, titles)
        return
    if len(rows) > 1 and table.find(f"{TABLE}table-header-rows") is not None:
        yield Table(row(rows[0]), "\n".join(map(row, rows[1:])))
    else:
        yield from tabular(rows)
    yield from _blocks(asides, titles)


def _lines(table: etree._Element) -> Iterator[etree._Element]:
    """Its own rows, not those of tables within."""
    for child in table:
        if child.tag == f"{TABLE}table-row":
            yield child
        elif child.tag in _GROUPS_OF_ROWS:
            yield from _lines(child)


def _rows(table: etree._Element, asides: list[etree._Element]) -> Iterator[Row]:
    """What is repeated says nothing new. What stands in the cells by its anchor only goes to `asides`."""
    for line in _lines(table):
        cells: list[str] = []
        blank = 0
        for cell in line.iterchildren(*_CELLS):
            times = min(number_or(1, cell.get(f"{TABLE}number-columns-repeated")), _MOST_COLUMNS)
            if words := _shown(cell, asides):
                cells += [""] * min(blank, _MOST_COLUMNS - len(cells)) + [words] + [""] * (times - 1)
                blank = 0
            else:
                blank += times
        yield cells


def _shown(cell: etree._Element, asides: list[etree._Element]) -> str:
    return " ".join("".join(_text(paragraph, asides)).strip() for paragraph in _paragraphs_of(cell, asides))


def _paragraphs_of(cell: etree._Element, asides: list[etree._Element]) -> Iterator[etree._Element]:
    for child in cell:
        if child.tag in _PARAGRAPHS:
            yield child
        elif child.tag in _ASIDES or child.tag in _LABELS or child.tag == _SHAPES:
            asides.append(child)
        elif child.tag not in _LEFT_OUT:
            yield from _paragraphs_of(child, asides)


def _slide(page: etree._Element, titles: frozenset[str]) -> Iterator[Block]:
    frames = [frame for frame in page.iterchildren(f"{DRAW}frame") if frame.get(f"{PRESENTATION}class") == "title"]
    asides: list[etree._Element] = []
    yield Heading(1, " ".join(_shown(frame, asides) for frame in frames))
    yield from _blocks(asides, titles)
    yield from _blocks((child for child in page if child not in frames), titles)
