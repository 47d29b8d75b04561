"""What can be read, and by which function. Imports no parser: the gateway needs the names only."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from .outline import Block

READER_VERSION = 3
"""Raise it when documents become readable that were not, or when what is read of others changes: sources that were
acknowledged without a text are then to be sent again."""

Extract = Callable[[bytes], Iterable[Block]]
"""Takes the bytes of a document, gives what people read in it, in its order.

Raises `Unreadable` where it knows why there is no text; whatever else it raises means a damaged document.
"""


class Unreadable(Exception):
    """There is no way to the text of this document. The message is a fixed reason, never a part of the document."""


NO_TEXT = "no text found"
ENCRYPTED = "encrypted with a password"
BINARY = "binary data, not a text"
SCAN = "a scan without text"

_OOXML = "application/vnd.openxmlformats-officedocument"
_ODF = "application/vnd.oasis.opendocument"
_FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    "epub:book": ("application/epub+zip",),
    "mail:eml": ("message/rfc822",),
    "mail:msg": ("application/vnd.ms-outlook",),
    "mail:winmail": ("application/ms-tnef", "application/vnd.ms-tnef"),
    "markup:html": ("application/xhtml+xml", "text/html"),
    "markup:xml": ("application/xml", "text/xml"),
    "opendocument:text": (
        f"{_ODF}.graphics",
        f"{_ODF}.presentation",
        f"{_ODF}.presentation-template",
        f"{_ODF}.text",
        f"{_ODF}.text-master",
        f"{_ODF}.text-template",
    ),
    "opendocument:spreadsheet": (f"{_ODF}.spreadsheet", f"{_ODF}.spreadsheet-template"),
    "pdf:pages": ("application/pdf",),
    "plain:markdown": ("text/markdown",),
    "plain:org": ("text/org",),
    "plain:rst": ("text/x-rst",),
    "plain:text": ("text/plain",),
    "powerpoint:ppt": ("application/vnd.ms-powerpoint",),
    "rtf:rtf": ("application/rtf", "text/rtf"),
    "slides:pptx": (
        "application/vnd.ms-powerpoint.presentation.macroenabled.12",
        "application/vnd.ms-powerpoint.slideshow.macroenabled.12",
        "application/vnd.ms-powerpoint.template.macroenabled.12",
        f"{_OOXML}.presentationml.presentation",
        f"{_OOXML}.presentationml.slideshow",
        f"{_OOXML}.presentationml.template",
    ),
    "spreadsheet:xls": ("application/vnd.ms-excel", "application/vnd.ms-excel.sheet.binary.macroenabled.12"),
    "spreadsheet:xlsx": (
        "application/vnd.ms-excel.sheet.macroenabled.12",
        "application/vnd.ms-excel.template.macroenabled.12",
        f"{_OOXML}.spreadsheetml.sheet",
        f"{_OOXML}.spreadsheetml.template",
    ),
    "tables:csv_rows": ("text/csv", "text/tab-separated-values"),
    "tables:json_lines": ("application/json",),
    "word:docx": (
        "application/vnd.ms-word.document.macroenabled.12",
        "application/vnd.ms-word.template.macroenabled.12",
        f"{_OOXML}.wordprocessingml.document",
        f"{_OOXML}.wordprocessingml.template",
    ),
    "word97:doc": ("application/msword",),
}

EXTRACTORS: Mapping[str, str] = MappingProxyType(
    {mime_type: f"{__package__}.{function}" for function, mime_types in _FUNCTIONS.items() for mime_type in mime_types}
)
"""Mime type, in lower case as the gateway compares them -> the `Extract` function, as `module:function`."""

SUPPORTED_MIME_TYPES = frozenset(EXTRACTORS)
