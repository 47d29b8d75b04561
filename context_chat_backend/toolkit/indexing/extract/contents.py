"""What a file is, whatever it is called: its first bytes tell more than its name, from which Nextcloud has the type."""

import io
import pkgutil
import re
import zipfile
from collections.abc import Iterator
from pathlib import PurePath

import olefile

from .decoding import decode
from .formats import ENCRYPTED, EXTRACTORS, NO_TEXT, Extract, Unreadable
from .outline import Block

PDF_MARK = b"%PDF-"
_PDF_WITHIN = 1024
ZIP_MARK = b"PK\x03\x04"
RTF_MARK = b"{\\rtf"
TNEF_MARK = b"\x78\x9f\x3e\x22"
_BEGINNING = 4096
_LONGEST_TYPE = 100
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_HTML = re.compile(rb"(?:<\?xml[^>]*>\s*)?<(?:!doctype\s+html|html|head|body|table|meta)\b", re.IGNORECASE)
_XML = re.compile(rb"<\?xml\s")
_MIME = re.compile(rb"(?:[\w-]+:[^\r\n]*\r?\n(?:[ \t][^\r\n]*\r?\n)*)*?MIME-Version:", re.IGNORECASE)
_BYTE_ORDER_MARK = re.compile(rb"\xef\xbb\xbf|\xff\xfe|\xfe\xff")

_STREAMS = {
    "EncryptedPackage": "",
    "WordDocument": "word97:doc",
    "PowerPoint Document": "powerpoint:ppt",
    "Workbook": "spreadsheet:xls",
    "Book": "spreadsheet:xls",
    "__properties_version1.0": "mail:msg",
}
_PARTS = (
    ("word/", "word:docx"),
    ("ppt/", "slides:pptx"),
    ("xl/workbook.bin", "spreadsheet:xls"),
    ("xl/", "spreadsheet:xlsx"),
    ("META-INF/container.xml", "epub:book"),
)
_FOREIGN = {
    "word97:doc": "plain:text",
    "spreadsheet:xls": "tables:csv_rows",
    "rtf:rtf": "plain:text",
    **dict.fromkeys(("powerpoint:ppt", "mail:msg", "word:docx", "slides:pptx", "spreadsheet:xlsx"), ""),
    **dict.fromkeys(("opendocument:text", "opendocument:spreadsheet"), ""),
}
"""Functions for what is no text -> the one for a text of that name, which many programs write; empty for damage."""
_HOLDERS = frozenset({"mail:eml", "mail:msg", "mail:winmail", "word:docx"})
"""Functions that read documents within the document; they take their depth."""
_DEEPEST = 4
_EXTENSIONS = {
    f".{extension}": function
    for function, extensions in {
        "epub:book": "epub",
        "mail:eml": "eml mht mhtml",
        "mail:msg": "msg",
        "markup:html": "html htm xhtml",
        "markup:xml": "xml",
        "opendocument:spreadsheet": "ods ots",
        "opendocument:text": "odt odp odg ott otp odm",
        "pdf:pages": "pdf",
        "plain:markdown": "md markdown",
        "plain:org": "org",
        "plain:rst": "rst",
        "plain:text": "txt text log ics vcf yaml yml ini conf tex",
        "powerpoint:ppt": "ppt pps pot",
        "rtf:rtf": "rtf",
        "slides:pptx": "pptx pptm ppsx ppsm potx",
        "spreadsheet:xls": "xls xlt xlsb",
        "spreadsheet:xlsx": "xlsx xlsm xltx xltm",
        "tables:csv_rows": "csv tsv tab",
        "tables:json_lines": "json",
        "word97:doc": "doc dot",
        "word:docx": "docx docm dotx dotm",
    }.items()
    for extension in extensions.split()
}


def actual(function: str, data: bytes) -> Extract:
    """The function that reads such data, which are of a type that `function` was for. Raises `Unreadable`."""
    package, _, name = function.rpartition(".")
    return _resolved(f"{package}.{_actual_name(name, data)}" if package == __package__ else function)


def _actual_name(name: str, data: bytes) -> str:
    if not data:
        raise Unreadable(NO_TEXT)
    found = _by_mark(name, data)
    if found is None and name in _FOREIGN:
        found = _by_text(name, data)
    return found or name


def _resolved(function: str) -> Extract:
    extract: Extract = pkgutil.resolve_name(function)
    return extract


def _by_mark(name: str, data: bytes) -> str | None:
    """None where there is no mark that is known; a text that begins with one is a text."""
    beginning = data[:_BEGINNING].lstrip()
    if data.startswith(olefile.MAGIC):
        return _by_stream(data)
    if data.startswith(ZIP_MARK):
        return _by_part(data)
    if beginning.startswith(RTF_MARK):
        return "rtf:rtf"
    if data.startswith(TNEF_MARK):
        return "mail:winmail"
    at = data.find(PDF_MARK, 0, _PDF_WITHIN)
    if at == 0 or (at > 0 and name == "pdf:pages"):
        return "pdf:pages" if name == "pdf:pages" or b"endobj" in data else None
    return None


def _by_stream(data: bytes) -> str | None:
    with olefile.OleFileIO(io.BytesIO(data)) as ole:
        names = {"/".join(path) for path in ole.listdir()}
    found = next((function for stream, function in _STREAMS.items() if stream in names), None)
    if found == "":
        raise Unreadable(ENCRYPTED)
    return found


def _by_part(data: bytes) -> str | None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            declared = _declared(archive) if "mimetype" in names else ""
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError):
        return None
    if function := EXTRACTORS.get(declared):
        return function.rpartition(".")[2]
    return next((function for part, function in _PARTS if any(name.startswith(part) for name in names)), None)


def _declared(archive: zipfile.ZipFile) -> str:
    with archive.open("mimetype") as entry:
        return entry.read(_LONGEST_TYPE).decode("ascii", "replace").strip().lower()


def _by_text(name: str, data: bytes) -> str | None:
    beginning = data[:_BEGINNING]
    beginning = _BYTE_ORDER_MARK.sub(b"", beginning.replace(b"\0", b""), count=1).lstrip()
    if _HTML.match(_COMMENT.sub(b"", beginning).lstrip()):
        return "markup:html"
    if _MIME.match(beginning):
        return "mail:eml"
    if _XML.match(beginning):
        return "markup:xml"
    return _FOREIGN[name] if _is_text(data) else None


def _is_text(data: bytes) -> bool:
    try:
        decode(data)
    except Unreadable:
        return False
    return True


def embedded(name: str, mime_type: str, data: bytes, depth: int = 0) -> Iterator[Block]:
    """What a document within a document says, nothing where it cannot be read; `depth` is that of the one around it.
    Its name tells what the type does not."""
    if depth >= _DEEPEST:
        return
    try:
        function = _actual_name(_by_name(name, mime_type), data)
        if function:
            extract = pkgutil.resolve_name(f"{__package__}.{function}")
            yield from extract(data, depth + 1) if function in _HOLDERS else extract(data)
    except (MemoryError, GeneratorExit):
        raise
    except BaseException:  # noqa: BLE001 - the document around it is worth reading, even if this is a panic of Rust
        return


def _by_name(name: str, mime_type: str) -> str:
    """Empty for what is nothing that can be read."""
    by_type, by_name = EXTRACTORS.get(mime_type.lower(), ""), _EXTENSIONS.get(PurePath(name).suffix.lower(), "")
    if mime_type == "text/plain" and by_name:
        return by_name
    return by_type.rpartition(".")[2] or by_name or ("plain:text" if mime_type.startswith("text/") else "")
