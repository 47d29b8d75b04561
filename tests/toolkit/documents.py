"""Small documents of all kinds, made from their parts."""

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from context_chat_backend.toolkit.indexing.extract import EXTRACTORS
from context_chat_backend.toolkit.indexing.extract.contents import actual
from context_chat_backend.toolkit.indexing.extract.outline import as_text, outlined
from context_chat_backend.toolkit.indexing.section import Section

OOXML = "application/vnd.openxmlformats-officedocument"
DOCX = f"{OOXML}.wordprocessingml.document"
PPTX = f"{OOXML}.presentationml.presentation"
XLSX = f"{OOXML}.spreadsheetml.sheet"
XLSM = "application/vnd.ms-excel.sheet.macroenabled.12"
ODF = "application/vnd.oasis.opendocument"
ODT, ODS, ODP = f"{ODF}.text", f"{ODF}.spreadsheet", f"{ODF}.presentation"
EPUB, PDF, EML, RTF = "application/epub+zip", "application/pdf", "message/rfc822", "text/rtf"
MSG, PPT, DOC, XLS = (
    "application/vnd.ms-outlook", "application/vnd.ms-powerpoint", "application/msword", "application/vnd.ms-excel"
)  # fmt: skip

OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
A = "http://schemas.openxmlformats.org/drawingml/2006/main"
P = "http://schemas.openxmlformats.org/presentationml/2006/main"
S = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
MC = "http://schemas.openxmlformats.org/markup-compatibility/2006"


def sections(data: bytes | str, mime_type: str) -> list[Section]:
    """What a worker would read, here."""
    content = data.encode() if isinstance(data, str) else data
    return list(outlined(actual(EXTRACTORS[mime_type], content)(content)))


def text(data: bytes | str, mime_type: str) -> str:
    return as_text(sections(data, mime_type))


def zipped(parts: Mapping[str, str | bytes], **options: Any) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def relations(targets: Mapping[str, tuple[str, str]]) -> str:
    """Id -> kind and target."""
    entries = [
        f'<Relationship Id="{id_}" Type="{OFFICE}/{kind}" Target="{target}"/>'
        for id_, (kind, target) in targets.items()
    ]
    return (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f"{''.join(entries)}</Relationships>"
    )


def package(main: str, content: str, others: Mapping[str, tuple[str, str]], parts: Mapping[str, str | bytes]) -> bytes:
    """`main` is the name of the main part, `others` its relations; names of `parts` are full."""
    folder, _, name = main.rpartition("/")
    return zipped({
        "_rels/.rels": relations({"main": ("officeDocument", main)}),
        main: content,
        f"{folder}/_rels/{name}.rels": relations(others),
        **parts,
    })  # fmt: skip


def docx(body: str, main: str = "word/document.xml", **parts: str) -> bytes:
    """`parts` are the contents of styles, footnotes, header, …: by the kind of their relation."""
    root = {"styles": "styles", "footnotes": "footnotes", "endnotes": "endnotes", "comments": "comments",
            "header": "hdr", "footer": "ftr"}  # fmt: skip
    spaces = f'xmlns:w="{W}" xmlns:r="{OFFICE}" xmlns:mc="{MC}" xmlns:a="{A}"'
    return package(
        main,
        f"<w:document {spaces}><w:body>{body}</w:body></w:document>",
        {kind: (kind, f"{kind}1.xml") for kind in parts},
        {
            f"word/{kind}1.xml": f"<w:{root[kind]} {spaces}>{content}</w:{root[kind]}>"
            for kind, content in parts.items()
        },
    )


def paragraph(content: str, style: str = "", properties: str = "") -> str:
    styled = f'<w:pStyle w:val="{style}"/>' if style else ""
    run = content if content.startswith("<") else f"<w:r><w:t>{content}</w:t></w:r>"
    return f"<w:p><w:pPr>{styled}{properties}</w:pPr>{run}</w:p>"


def word_table(*rows: Sequence[str], header: bool = False) -> str:
    marks = ["<w:trPr><w:tblHeader/></w:trPr>" if header and not number else "" for number in range(len(rows))]
    lines = [
        f"<w:tr>{mark}{''.join(f'<w:tc>{paragraph(cell)}</w:tc>' for cell in row)}</w:tr>"
        for mark, row in zip(marks, rows, strict=True)
    ]
    return f"<w:tbl><w:tblPr/>{''.join(lines)}</w:tbl>"


def shape(text_: str, placeholder: str | None = None) -> str:
    place = "" if placeholder is None else f'<p:ph type="{placeholder}"/>'
    lines = "".join(f"<a:p><a:r><a:t>{line}</a:t></a:r></a:p>" for line in text_.split("\n"))
    return f"<p:sp><p:nvSpPr><p:nvPr>{place}</p:nvPr></p:nvSpPr><p:txBody>{lines}</p:txBody></p:sp>"


def pptx(*slides: str, notes: Mapping[int, str] | None = None, parts: Mapping[str, str] | None = None) -> bytes:
    """Slides are the shapes of each; notes by the number of the slide, from 1."""
    spaces = f'xmlns:p="{P}" xmlns:a="{A}" xmlns:r="{OFFICE}" xmlns:mc="{MC}"'
    ids = "".join(f'<p:sldId r:id="s{number}"/>' for number in range(1, len(slides) + 1))
    files: dict[str, str | bytes] = {}
    for number, content in enumerate(slides, 1):
        files[f"ppt/slides/slide{number}.xml"] = (
            f"<p:sld {spaces}><p:cSld><p:spTree>{content}</p:spTree></p:cSld></p:sld>"
        )
    for number, content in (notes or {}).items():
        files[f"ppt/notes{number}.xml"] = f"<p:notes {spaces}><p:cSld><p:spTree>{content}</p:spTree></p:cSld></p:notes>"
        files[f"ppt/slides/_rels/slide{number}.xml.rels"] = relations({"n": ("notesSlide", f"../notes{number}.xml")})
    return package(
        "ppt/presentation.xml",
        f"<p:presentation {spaces}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>",
        {f"s{number}": ("slide", f"slides/slide{number}.xml") for number in range(1, len(slides) + 1)},
        {**files, **(parts or {})},
    )


def xlsx(
    sheets: Mapping[str, str], strings: Sequence[str] = (), styles: str = "", parts: Mapping[str, str] | None = None
) -> bytes:
    """Name of a sheet -> its rows."""
    listed = "".join(f'<sheet name="{name}" r:id="s{number}"/>' for number, name in enumerate(sheets))
    files: dict[str, str | bytes] = {
        f"xl/worksheets/sheet{number}.xml": f'<worksheet xmlns="{S}"><sheetData>{rows}</sheetData></worksheet>'
        for number, rows in enumerate(sheets.values())
    }
    files["xl/sharedStrings.xml"] = f'<sst xmlns="{S}">{"".join(f"<si>{item}</si>" for item in strings)}</sst>'
    files["xl/styles.xml"] = f'<styleSheet xmlns="{S}">{styles}</styleSheet>'
    return package(
        "xl/workbook.xml",
        f'<workbook xmlns="{S}" xmlns:r="{OFFICE}"><sheets>{listed}</sheets></workbook>',
        {
            **{f"s{number}": ("worksheet", f"worksheets/sheet{number}.xml") for number in range(len(sheets))},
            "strings": ("sharedStrings", "sharedStrings.xml"),
            "styles": ("styles", "styles.xml"),
        },
        {**files, **(parts or {})},
    )


def cells(*values: str) -> str:
    """A row of inline strings, empty ones left out."""
    return "<row>{}</row>".format(
        "".join(
            f'<c r="{chr(65 + column)}1" t="inlineStr"><is><t>{value}</t></is></c>'
            for column, value in enumerate(values)
            if value
        )
    )


_ODF_SPACES = " ".join(
    f'xmlns:{short}="urn:oasis:names:tc:opendocument:xmlns:{long}:1.0"'
    for short, long in {
        "office": "office", "text": "text", "table": "table", "draw": "drawing", "style": "style",
        "presentation": "presentation", "svg": "svg-compatible",
    }.items()
)  # fmt: skip


def opendocument(kind: str, body: str, automatic: str = "", **parts: str) -> bytes:
    """`kind` is text, spreadsheet or presentation."""
    return zipped({
        "mimetype": f"{ODF}.{kind}",
        "content.xml": f"<office:document-content {_ODF_SPACES}><office:automatic-styles>{automatic}"
        f"</office:automatic-styles><office:body><office:{kind}>{body}</office:{kind}></office:body>"
        "</office:document-content>",
        **{f"{name}.xml": f"<office:document {_ODF_SPACES}>{content}</office:document>"
           for name, content in parts.items()},
    })  # fmt: skip


def epub(chapters: Mapping[str, str | bytes], title: str = "A Book", order: Sequence[str] = ()) -> bytes:
    """File name -> page; `order` is that of the spine."""
    items = "".join(f'<item id="{name}" href="{name}" media-type="application/xhtml+xml"/>' for name in chapters)
    spine = "".join(f'<itemref idref="{name}"/>' for name in order or chapters)
    return zipped({
        "mimetype": EPUB,
        "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
        '<rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>',
        "OEBPS/book.opf": '<package xmlns="http://www.idpf.org/2007/opf"><metadata '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title></metadata>'
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>",
        **{f"OEBPS/{name}": page for name, page in chapters.items()},
    })  # fmt: skip


def pdf(*contents: str, page: str = "", catalog: str = "", objects: Sequence[str] = ()) -> bytes:
    """A page for each content stream. `page` and `catalog` are entries of theirs; objects are numbered from 3, then
    come pages and contents in turn."""
    first = 3 + len(objects)
    kids = " ".join(f"{first + 2 * number} 0 R" for number in range(len(contents)))
    body = ["<</Type/Catalog/Pages 2 0 R" + catalog + ">>", f"<</Type/Pages/Kids[{kids}]/Count {len(contents)}>>"]
    body += objects
    for number, content in enumerate(contents):
        body += [
            "<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]"
            f"/Contents {first + 2 * number + 1} 0 R/Resources<</Font<</F<</Type/Font/Subtype/Type1"
            f"/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>>>>>" + page + ">>",
            f"<</Length {len(content)}>>stream\n{content}\nendstream",
        ]
    numbered = "".join(f"{number} 0 obj{text_}\nendobj\n" for number, text_ in enumerate(body, 1))
    return f"%PDF-1.4\n{numbered}trailer<</Root 1 0 R/Size {len(body) + 1}>>\n%%EOF".encode("latin-1")


def shown(*lines: str) -> str:
    """A content stream with lines below each other."""
    return "BT /F 12 Tf 10 180 Td " + " 0 -14 Td ".join(f"({line}) Tj" for line in lines) + " ET"


# ---------------------------------------------------------------------- OLE

_SECTOR, _SMALL_SECTOR, _SMALL_STREAM = 512, 64, 4096
_END, _FREE, _FAT_SECTOR = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD
_STORAGE, _STREAM, _ROOT = 1, 2, 5


class _Sectors:
    def __init__(self, size: int) -> None:
        self.size = size
        self.content = b""
        self.following: list[int] = []

    def store(self, content: bytes) -> int:
        first, number = len(self.following), -(-len(content) // self.size)
        self.content += content.ljust(number * self.size, b"\0")
        self.following += [*range(first + 1, first + number), _END] if number else []
        return first if number else _END


def ole(streams: Mapping[str, bytes]) -> bytes:
    """Path of a stream, with slashes -> content (MS-CFB)."""
    tree: dict[str, Any] = {}
    for path, content in streams.items():
        *folders, name = path.split("/")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = content
    large, small = _Sectors(_SECTOR), _Sectors(_SMALL_SECTOR)
    entries: list[list[Any]] = []  # name, kind, child, right, start, size

    def add(name: str, node: Any) -> int:
        index = len(entries)
        entries.append([name, _STREAM, _FREE, _FREE, 0, 0])
        if isinstance(node, bytes):
            entries[index][4:] = (small if len(node) < _SMALL_STREAM else large).store(node), len(node)
            return index
        numbers = [add(each, node[each]) for each in sorted(node, key=lambda each: (len(each), each.upper()))]
        for number, after in zip(numbers, [*numbers[1:], _FREE], strict=True):
            entries[number][3] = after
        entries[index][1:3] = _STORAGE, numbers[0] if numbers else _FREE
        return index

    add("Root Entry", tree)
    entries[0][1] = _ROOT
    entries[0][4:] = large.store(small.content), len(small.content)
    small_table = struct.pack(f"<{len(small.following)}I", *small.following)
    first_of_small = large.store(small_table + b"\xff" * (-len(small_table) % _SECTOR))
    directory = large.store(
        b"".join(
            name.encode("utf-16-le").ljust(64, b"\0")
            + struct.pack("<HBBIII16xI16xIQ", 2 * len(name) + 2, kind, 1, _FREE, right, child, 0, start, size)
            for name, kind, child, right, start, size in entries
        )
    )
    number = 1
    while number * _SECTOR // 4 < len(large.following) + number:
        number += 1
    places = [*range(len(large.following), len(large.following) + number)]
    table = struct.pack(f"<{len(large.following) + number}I", *large.following, *[_FAT_SECTOR] * number)
    header = struct.pack(
        "<8s16xHHHHH6xIIIIIIIII", bytes.fromhex("d0cf11e0a1b11ae1"), 0x3E, 3, 0xFFFE, 9, 6, 0, number, directory, 0,
        _SMALL_STREAM, first_of_small, -(-len(small_table) // _SECTOR), _END, 0,
    )  # fmt: skip
    header += struct.pack("<109I", *places, *[_FREE] * (109 - number))
    return header + large.content + table + b"\xff" * (-len(table) % _SECTOR)


def biff(kind: int, content: bytes = b"") -> bytes:
    return struct.pack("<HH", kind, len(content)) + content


def xls(name: str, rows: Sequence[Sequence[str | float]], *, encrypted: bool = False) -> bytes:
    """One sheet (MS-XLS)."""

    def beginning(kind: int) -> bytes:
        return biff(0x809, struct.pack("<HHHHII", 0x600, kind, 0xDBB, 0x7CC, 0, 6))

    def sheet(at: int) -> bytes:
        return biff(0x85, struct.pack("<IBBBB", at, 0, 0, len(name), 1) + name.encode("utf-16-le"))

    def cell(row: int, column: int, value: str | float) -> bytes:
        place = struct.pack("<HHH", row, column, 0)
        if isinstance(value, float):
            return biff(0x203, place + struct.pack("<d", value))
        return biff(0x204, place + struct.pack("<HB", len(value), 1) + value.encode("utf-16-le"))

    start = beginning(5) + (biff(0x2F, bytes(54)) if encrypted else b"") + biff(0x42, struct.pack("<H", 1200))
    end = biff(0x0A)
    values = [cell(at, column, value) for at, row in enumerate(rows) for column, value in enumerate(row)]
    at = len(start) + len(sheet(0)) + len(end)
    return ole({"Workbook": start + sheet(at) + end + beginning(0x10) + b"".join(values) + end})


def written(folder: Path, data: bytes | str) -> Path:
    path = folder / "document"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path
