"""Excel workbooks: those of today by their XML, with numbers as they are shown; older and binary ones by calamine."""

import io
import struct
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

import olefile
import python_calamine
from lxml import etree

from . import drawings
from .drawings import R
from .formats import ENCRYPTED, Unreadable
from .numberformat import Format, number
from .outline import Block, Heading
from .package import Package, memory_errors, number_or
from .tables import Row, tabular

S = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_LETTERS = 26
_MOST_COLUMNS = 16_384
_RECORD = struct.Struct("<HH")
_FILE_PASS, _LAST_OF_WORKBOOK = 0x002F, 0x000A


def xlsx(data: bytes) -> Iterator[Block]:
    """Sheet by sheet, then its comments, text boxes and charts."""
    package = Package(data)
    main = package.main("xl/workbook.xml")
    workbook = package.xml(main)
    properties = workbook.find(f"{S}workbookPr")
    from_1904 = properties is not None and properties.get("date1904") in {"1", "true"}
    cells = _Cells(list(_strings(package, main)), list(_formats(package, main, from_1904=from_1904)))
    parts = {relation.id: relation.part for relation in package.relations(main)}
    for sheet in workbook.iter(f"{S}sheet"):
        yield Heading(1, sheet.get("name", ""))
        if (part := parts.get(sheet.get(f"{R}id", ""), "")) in package:
            yield from tabular(_rows(package, part, cells))
            yield from _beside(package, part)


def _strings(package: Package, main: str) -> Iterator[str]:
    for name in package.related(main, "sharedStrings"):
        for item in _each(package, name, "si"):
            yield _rich_text(item)


def _rich_text(item: etree._Element) -> str:
    """Without the reading aids of Japanese."""
    aids = {aid for phonetic in item.iter(f"{S}rPh") for aid in phonetic}
    return "".join(node.text or "" for node in item.iter(f"{S}t") if node not in aids)


def _formats(package: Package, main: str, *, from_1904: bool) -> Iterator[Format]:
    """In the order in which cells refer to them."""
    for name in package.related(main, "styles"):
        styles = package.xml(name)
        codes = {code.get("numFmtId"): code.get("formatCode", "") for code in styles.iter(f"{S}numFmt")}
        for style in styles.iterfind(f"{S}cellXfs/{S}xf"):
            number_format = style.get("numFmtId", "0")
            yield Format.of(number_format, codes.get(number_format), from_1904=from_1904)


def _each(package: Package, part: str, tag: str) -> Iterator[etree._Element]:
    """Elements one after the other: a sheet as a whole takes twenty times the memory of its file."""
    source = io.BytesIO(package.transitional(part))
    options = {"resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": True}
    with memory_errors():
        for _, element in etree.iterparse(source, events=("end",), tag=f"{S}{tag}", **options):
            yield element
            element.clear()
            while (before := element.getprevious()) is not None:
                element.getparent().remove(before)


def _rows(package: Package, part: str, cells: "_Cells") -> Iterator[Row]:
    expected = 1
    for line in _each(package, part, "row"):
        at = number_or(expected, line.get("r"))
        if at > expected:
            yield ()
        expected = at + 1
        yield cells.of(line)


class _Cells:
    def __init__(self, strings: list[str], formats: list[Format]) -> None:
        self._strings = strings
        self._formats = formats

    def of(self, line: etree._Element) -> Row:
        texts: list[str] = []
        for cell in line.iterchildren(f"{S}c"):
            if text := self._text(cell):
                column = _column(cell.get("r", ""), len(texts))
                texts += [""] * (column - len(texts)) + [text]
        return texts

    def _text(self, cell: etree._Element) -> str:
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            return _rich_text(cell)
        value = cell.findtext(f"{S}v") or ""
        if kind == "s":
            return self._shared(value)
        if kind == "b":
            return {"0": "FALSE", "1": "TRUE"}.get(value, value)
        return number(value, self._format(cell)) if kind == "n" and value else value

    def _shared(self, value: str) -> str:
        """Some programs write the text itself."""
        index = number_or(-1, value)
        if index < 0:
            return value
        return self._strings[index] if index < len(self._strings) else ""

    def _format(self, cell: etree._Element) -> Format | None:
        style = number_or(-1, cell.get("s", "0"))
        return self._formats[style] if 0 <= style < len(self._formats) else None


def _column(reference: str, default: int) -> int:
    """Of "AB12": 27."""
    column = 0
    for letter in reference.rstrip("0123456789"):
        column = column * _LETTERS + ord(letter) - ord("A") + 1
    return column - 1 if default < column <= _MOST_COLUMNS else default


def _beside(package: Package, part: str) -> Iterator[str]:
    for name in package.related(part, "comments"):
        yield from map(_rich_text, _each(package, name, "comment"))
    for name in package.related(part, "threadedComment"):
        yield from (node.text or "" for node in package.xml(name).iter("{*}text"))
    for name in package.related(part, "drawing"):
        yield drawings.paragraphs(package.xml(name))
        yield from drawings.drawn(package, name)


# ---------------------------------------------------------------------- older and binary ones


def xls(data: bytes) -> Iterator[Block]:
    """Sheet by sheet, hidden ones as well. How numbers are shown is not told."""
    if data.startswith(olefile.MAGIC) and _is_encrypted(data):
        raise Unreadable(ENCRYPTED)
    workbook = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
    for name in workbook.sheet_names:
        yield Heading(1, name)
        sheet = workbook.get_sheet_by_name(name)
        yield from tabular([_shown(value) for value in cells] for cells in sheet.iter_rows())


def _is_encrypted(data: bytes) -> bool:
    """By a record among those of the workbook as a whole (MS-XLS, FilePass), which are never encrypted themselves."""
    with olefile.OleFileIO(io.BytesIO(data)) as ole:
        name = next((name for name in ("Workbook", "Book") if ole.exists(name)), None)
        stream: bytes = ole.openstream(name).read() if name else b""
    at = 0
    while at + _RECORD.size <= len(stream):
        kind, length = _RECORD.unpack_from(stream, at)
        if kind in {_FILE_PASS, _LAST_OF_WORKBOOK}:
            return bool(kind == _FILE_PASS)
        at += _RECORD.size + length
    return False


def _shown(value: float | str | bool | date | datetime | time | timedelta) -> str:
    match value:
        case bool():
            return str(value).upper()
        case float():
            return number(repr(value), None)
        case datetime():
            return value.isoformat(" ", "minutes")
        case time():
            return value.isoformat("minutes")
        case _:
            return str(value)
