"""A hostile file of each kind costs its own limits, and no more than these."""

import io
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from context_chat_backend.contract import Rejected
from context_chat_backend.toolkit.indexing.extract.extractor import Extractor, ExtractSettings

from .documents import (
    DOC,
    DOCX,
    EML,
    EPUB,
    MSG,
    ODS,
    ODT,
    PDF,
    PPT,
    PPTX,
    RTF,
    XLSX,
    docx,
    epub,
    ole,
    opendocument,
    paragraph,
    pdf,
    pptx,
    shape,
    shown,
    written,
    xlsx,
)

pytestmark = pytest.mark.anyio

CPU_SECONDS, MEMORY_MB = 2, 256


def nested(opening: str, closing: str, content: str = "", times: int = 30_000) -> str:
    return opening * times + content + closing * times


def bomb(part: str, start: str, end: str, **others: str) -> bytes:
    """A small file whose part is immense."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in others.items():
            archive.writestr(name.replace("__", "/"), content)
        with archive.open(part, "w", force_zip64=True) as member:
            member.write(start.encode())
            for _ in range(400):
                member.write(b"x" * 1_000_000)
            member.write(end.encode())
    return buffer.getvalue()


def matryoshka() -> bytes:
    message = b"Content-Type: text/plain\n\nthe core"
    for number in range(3000):
        boundary = b"b%d" % number
        message = b"Content-Type: multipart/mixed; boundary=%b\n\n--%b\n%b\n--%b--" % (
            boundary,
            boundary,
            message,
            boundary,
        )
    return message


def looping_ole() -> bytes:
    """Each sector is followed by itself."""
    data = bytearray(ole({"WordDocument": bytes(100_000), "1Table": bytes(5000)}))
    data[-512:-4] = b"".join(number.to_bytes(4, "little") for number in range(127))
    return bytes(data)


def self_reference() -> bytes:
    note = paragraph('<w:r><w:footnoteReference w:id="1"/></w:r>')
    return docx(note, footnotes=f'<w:footnote w:id="1">{note}</w:footnote>')


def many_decimals() -> bytes:
    code = f'<numFmts><numFmt numFmtId="170" formatCode="0.{"0" * 1_000_000}"/></numFmts>'
    cell = '<row><c s="0"><v>1</v></c></row>'
    return xlsx({"S": cell}, styles=f'{code}<cellXfs><xf numFmtId="170"/></cellXfs>')


def repeated_cells() -> bytes:
    cell = '<table:table-cell table:number-columns-repeated="99999999"><text:p>x</text:p></table:table-cell>'
    row = f'<table:table-row table:number-rows-repeated="99999999">{cell}</table:table-row>'
    return opendocument("spreadsheet", f"<table:table>{row * 500}</table:table>")


def headings(number: int) -> bytes:
    return b"".join(b"<h%d>%b</h%d>x" % (at % 6 + 1, b"a" * 190, at % 6 + 1) for at in range(number))


BOLD = "{\\b "
TABLE = ("<w:tbl><w:tr><w:tc>", "</w:tc></w:tr></w:tbl>")
BLANKS = '<text:s text:c="999999999"/>' * 20_000
LIST = ("<text:list><text:list-item>", "</text:list-item></text:list>")
ROWS = "<row><c><v>1</v></c></row>" * 2000
LINK = "{\\field{\\*\\fldinst{HYPERLINK "
PIECES = {"WordDocument": b"\xec\xa5\xc1\0" + b"\xff\x02" * 5000, "1Table": b"\1" * 9000}
EDITS = {"PowerPoint Document": b"\x0f\0\xe8\x03\xff\xff\0\0" * 9000, "Current User": bytes(40)}
PARTS = b"Content-Type: multipart/mixed; boundary=b\n\n"
ATTACHED = b"Content-Type: application/x; name=a.docx\n\n"
BOMB = ("word/document.xml", "", "")

HOSTILE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "tables within tables": (DOCX, lambda: docx(nested(*TABLE, paragraph("x")))),
    "runs within runs": (DOCX, lambda: docx(f"<w:p>{nested('<w:r>', '</w:r>', '<w:t>x</w:t>')}</w:p>")),
    "a bomb of a document": (DOCX, lambda: bomb(*BOMB)),
    "notes that refer to themselves": (DOCX, self_reference),
    "groups within groups": (PPTX, lambda: pptx(nested("<p:grpSp>", "</p:grpSp>", shape("x")))),
    "cells at the end of each row": (XLSX, lambda: xlsx({"S": '<row><c r="XFD1"><v>1</v></c></row>' * 10_000})),
    "hundreds of sheets": (XLSX, lambda: xlsx(dict.fromkeys(map(str, range(200)), ROWS))),
    "a bomb of a sheet": (XLSX, lambda: bomb("xl/workbook.xml", "", "")),
    "a format of a million decimals": (XLSX, many_decimals),
    "repeated cells": (ODS, repeated_cells),
    "blanks": (ODT, lambda: opendocument("text", f"<text:p>a{BLANKS}b</text:p>")),
    "lists within lists": (ODT, lambda: opendocument("text", nested(*LIST))),
    "one chapter for ever": (EPUB, lambda: epub({"a.html": "<p>" * 100_000 + "x"}, order=["a.html"] * 200_000)),
    "a bomb of a book": (EPUB, lambda: bomb("META-INF/container.xml", "", "")),
    "groups within groups of rich text": (RTF, f"{{\\rtf1 {nested(BOLD, '}', 'x', 300_000)}}}".encode),
    "links within links": (RTF, f"{{\\rtf1 {LINK * 3000}{'x' * 50_000}}}".encode),
    "multiparts within multiparts": (EML, matryoshka),
    "a long header": (EML, lambda: b"Subject: " + b"=?utf-8?q?a?= " * 200_000 + b"\n\nx"),
    "a header of many lines": (EML, lambda: b"To: a\n" + b" <b@c>,\n" * 300_000 + b"\nx"),
    "many parts": (EML, lambda: PARTS + b"--b\n\nx\n" * 30_000),
    "an attached bomb": (EML, lambda: ATTACHED + bomb(*BOMB)),
    "sectors that loop": (DOC, looping_ole),
    "pieces without end": (DOC, lambda: ole(PIECES)),
    "records without end": (PPT, lambda: ole(EDITS)),
    "a mail without properties": (MSG, lambda: ole({"__properties_version1.0": bytes(200_000)})),
    "many pages": (PDF, lambda: pdf(*[shown(*["a line"] * 50)] * 300)),
    "a cell without end": ("text/csv", lambda: b'"' + b"a,b;c\t" * 3_000_000),
    "dots": ("text/csv", lambda: (b"a,b\n" + b"1" + b"." * 100_000 + b"xxxx,2\n") * 20),
    "comments before HTML": (DOC, lambda: b"<!---->" * 500 + b"<" + b"!---->" * 100_000),
    "a word of a million letters": (PDF, lambda: pdf(shown(*["a" * 5000] * 200))),
    "many columns": ("text/csv", lambda: b",".join([b"a"] * 1_000_000)),
    "a line without end": ("text/markdown", lambda: b"# a " * 1_000_000),
    "headings without end": ("text/markdown", lambda: b"# a\n" * 200_000),
    "long headings above each word": ("text/html", lambda: headings(20_000)),
    "cells of HTML": ("text/html", lambda: b"<table><tr><th>a<th>b" + b"<tr><td>1<td>2" * 100_000),
}


@pytest.mark.parametrize(("mime_type", "made"), HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_file_costs_its_own_limits(mime_type: str, made: Callable[[], bytes], tmp_path: Path) -> None:
    settings = ExtractSettings(cpu_seconds=CPU_SECONDS, memory_mb=MEMORY_MB, max_chars=2_000_000)
    path = written(tmp_path, made())
    async with Extractor(settings) as reader:
        started = time.monotonic()
        with suppress(Rejected):
            found = await reader.sections(path, mime_type)
            repeated = sum(len(section.header) + sum(map(len, section.headings)) for section in found)
            assert sum(len(section.text) for section in found) + repeated <= settings.max_chars
        assert time.monotonic() - started < 20 * CPU_SECONDS
        assert await reader.text(written(tmp_path, "still there"), "text/plain") == "still there"
