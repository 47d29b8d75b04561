"""HTML and XML, by lxml."""

import contextlib
import re
from collections.abc import Iterator
from copy import copy
from html import unescape
from itertools import groupby

from lxml import etree

from .decoding import decode
from .outline import Block, Heading, Table
from .tables import row, tabular

# fmt: off
_INLINE = frozenset({
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img",
    "ins", "kbd", "label", "mark", "nobr", "q", "rb", "ruby", "s", "samp", "small", "span", "strike", "strong", "sub",
    "sup", "time", "tt", "u", "var", "wbr",
})
_PARAGRAPHS = frozenset({
    "article", "blockquote", "dl", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "section", "table", "title",
    "ul",
})
# fmt: on
_HIDDEN = frozenset({"noscript", "rp", "rt", "rtc", "script", "style", "template"})
"""Also the reading aids of Japanese, which would stand within the words."""
_CELLS = ("td", "th")
_HOLDERS = frozenset({"table", "colgroup", "thead", "tbody", "tfoot", "tr"})
_OF_TABLES = (_HOLDERS - {"table"}) | {"caption", "col", *_CELLS}
_FEWEST_ROWS = _FEWEST_COLUMNS = 2
_LAYOUT_CHARS = 800
"""A table with a cell that is longer than this arranges text on the page."""
_LEVELS = {f"h{level}": level for level in range(1, 7)}
_WORD_2003 = frozenset({
    "http://schemas.microsoft.com/office/word/2003/wordml", "http://schemas.microsoft.com/office/2006/xmlPackage"
})  # fmt: skip
_SIGNS_OF_WORD = {"tab": "\t", "br": "\n"}
_EXCEL_2003 = "urn:schemas-microsoft-com:office:spreadsheet"
_DECLARED_ENCODING = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?([A-Za-z0-9_.:-]+)""")
_DECLARATION_BYTES = 2048
_BLANKS = re.compile(r"[ \t\r\n\f]+")
_TAG = re.compile(r"<[^<>]*>")
_BREAKS = re.compile("[ \n\f]+")
_PARAGRAPH = "\f"  # while walking; becomes a blank line


def html(data: bytes) -> Iterator[Block]:
    """The visible text and the title; one line per block, a blank line around paragraphs."""
    yield from html_blocks(_decode(data))


def html_blocks(text: str) -> Iterator[Block]:
    # huge_tree allows long texts and deep nesting (broken mails nest hundreds of tags); the limits of the worker hold.
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True, huge_tree=True)
    root = None
    with contextlib.suppress(etree.XMLSyntaxError):  # not a single element, or what the log says
        root = etree.fromstring(_without_surrogates(text), parser)
    if parser.error_log.filter_from_fatals():  # even deeper, or out of memory: the parser drops what follows
        yield unescape(_TAG.sub(" ", text))
    elif root is not None:
        for page in (root, *root.itersiblings()):  # what is behind the end of a page is one of its own to the parser
            yield from _blocks(page)


def _blocks(root: etree._Element) -> Iterator[Block]:
    text: list[str] = []
    heading: etree._Element | None = None
    walk = etree.iterwalk(root, events=("start", "end"))
    preformatted = 0
    for event, element in walk:
        tag, is_start = element.tag, event == "start"
        if is_start and heading is None and (tag in _LEVELS or _is_title(element)):
            yield _joined(text)
            text, heading = [], element
        elif element is heading and not is_start:
            yield Heading(_LEVELS.get(tag, 0), _joined(text))
            text, heading = [], None
        text.append(_break(tag))
        preformatted += (tag == "pre") * (1 if is_start else -1)
        if is_start and tag in _HIDDEN:
            walk.skip_subtree()
        elif is_start and tag == "table" and heading is None and (lines := _lines_of_data(element)):
            yield _joined(text)
            yield from map(_plain, element.iter("caption"))
            yield from _table(lines)
            text = []
            walk.skip_subtree()
        else:
            run = (element.text if is_start else element.tail) or ""
            text.append(run if preformatted else _BLANKS.sub(" ", run))
    yield _joined(text)


def _is_title(element: etree._Element) -> bool:
    """Drawings have titles, too."""
    return element.tag == "title" and (parent := element.getparent()) is not None and parent.tag == "head"


def _lines_of_data(table: etree._Element) -> list[list[etree._Element]]:
    """The cells of each row; none of a layout, which has other things than rows of short cells."""
    if next(table.iterdescendants("table", *_LEVELS), None) is not None:  # first, for it is quick where tables nest
        return []
    lines = _lines(table)
    if len(lines) < _FEWEST_ROWS or max(map(len, lines)) < _FEWEST_COLUMNS:
        return []
    parts = table.iter("caption", *_CELLS)
    return [] if any(map(_is_layout, parts)) or any(map(_holds_more, table.iter(*_HOLDERS))) else lines


def _lines(table: etree._Element) -> list[list[etree._Element]]:
    """The cells of each row, and of what people take for one: cells that stand in no row, side by side."""
    parts = groupby(table.iter("tr", *_CELLS), lambda part: part if part.tag == "tr" else part.getparent())
    return [[part for part in line if part.tag != "tr"] for _, line in parts]


def _is_layout(part: etree._Element) -> bool:
    """Parts of tables within others are broken ones, which are read as they come."""
    if len(part) == 0:
        return len(part.text or "") > _LAYOUT_CHARS
    return sum(map(len, part.itertext())) > _LAYOUT_CHARS or next(part.iterdescendants(*_OF_TABLES), None) is not None


def _holds_more(element: etree._Element) -> bool:
    texts = [element.text, *(child.tail for child in element)]
    return any(text and text.strip() for text in texts) or any(child.tag not in _OF_TABLES for child in element)


def _table(lines: list[list[etree._Element]]) -> Iterator[Block]:
    rows = [list(map(_plain, line)) for line in lines]
    if all(cell.tag == "th" for cell in lines[0]):
        yield Table(row(rows[0]), "\n".join(map(row, rows[1:])))
    else:
        yield from tabular(rows)


def _plain(element: etree._Element) -> str:
    if len(element) == 0:
        return element.text or ""
    return " ".join(block for block in _blocks(copy(element)) if isinstance(block, str))


def _joined(text: list[str]) -> str:
    return _BREAKS.sub(_strongest, "".join(text))


def _break(tag: object) -> str:
    if tag in _PARAGRAPHS:
        return _PARAGRAPH
    if tag in {"td", "th"}:
        return " "
    return "" if tag in _INLINE or tag in _HIDDEN else "\n"


def _strongest(breaks: re.Match[str]) -> str:
    if _PARAGRAPH in breaks[0]:
        return "\n\n"
    return "\n" if "\n" in breaks[0] else " "


def xml(data: bytes) -> Iterator[Block]:
    """Text and attribute values, a line each: attributes hold text for people as well (titles, labels).

    Entities that the document defines are not expanded and nothing is fetched. What is not well-formed XML, or deeper
    than the parser allows, is read as plain text with its markup, so that no word is lost.
    """
    text = _decode(data)
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_pis=True
    )
    try:
        root = etree.fromstring(_without_surrogates(text), parser)
    except etree.XMLSyntaxError:
        yield text
    else:
        yield from _flat(root)


def _flat(root: etree._Element) -> Iterator[Block]:
    """Office documents of 2003 in one file have hundreds of attributes that nobody reads."""
    namespace = etree.QName(root).namespace
    if namespace in _WORD_2003:
        yield from map(_line_of_word, root.iter("{*}p"))
    elif namespace == _EXCEL_2003:
        for sheet in root.iter(f"{{{_EXCEL_2003}}}Worksheet"):
            yield Heading(1, sheet.get(f"{{{_EXCEL_2003}}}Name", ""))
            lines = sheet.iter(f"{{{_EXCEL_2003}}}Row")
            yield from tabular([" ".join(map(str, cell.itertext())) for cell in line] for line in lines)
    else:
        yield "\n".join(_texts(root))


def _line_of_word(line: etree._Element) -> str:
    """Without the paragraphs of notes and text boxes within."""
    pieces = (piece for piece in line.iter("{*}t", "{*}tab", "{*}br") if _holder(piece) is line)
    return "".join(_SIGNS_OF_WORD.get(etree.QName(piece).localname) or piece.text or "" for piece in pieces)


def _holder(piece: etree._Element) -> etree._Element | None:
    """Its paragraph; of the positions of tabs, which are no text, their list."""
    return next(piece.iterancestors("{*}p", "{*}tabs"), None)


def _texts(root: etree._Element) -> Iterator[str]:
    for event, node in etree.iterwalk(root, events=("start", "end", "comment")):
        if event == "start":
            yield from (str(value).strip() for value in node.values())
        if (run := (node.text if event == "start" else node.tail)) and run.strip():  # of a comment, what follows it
            yield run.strip()


def _decode(data: bytes) -> str:
    declared = _DECLARED_ENCODING.search(data, 0, _DECLARATION_BYTES)
    return decode(data, declared[1].decode("ascii") if declared else None)


def _without_surrogates(text: str) -> bytes:
    return text.encode("utf-8", errors="ignore")
