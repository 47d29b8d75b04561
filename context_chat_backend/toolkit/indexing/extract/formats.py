"""What can be read, and by which function. Imports no parser: the gateway needs the names only."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

Extract = Callable[[bytes], Iterable[str]]
"""Takes the bytes of a document, gives its text in parts (pages, rows, …) that a blank line will separate.

Raises `Unreadable` where it knows why there is no text; whatever else it raises means a damaged document.
"""


class Unreadable(Exception):
    """There is no way to the text of this document. The message is a fixed reason, never a part of the document."""


NO_TEXT = "no text found"
ENCRYPTED = "encrypted with a password"
BINARY = "binary data, not a text"

EXTRACTORS: Mapping[str, str] = MappingProxyType(
    {
        mime_type: f"{__package__}.{function}"
        for mime_type, function in {
            "application/json": "tables:json_lines",
            "application/pdf": "pdf:pages",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "word:docx",
            "application/xhtml+xml": "markup:html",
            "application/xml": "markup:xml",
            "text/csv": "tables:csv_rows",
            "text/html": "markup:html",
            "text/markdown": "plain:text",
            "text/org": "plain:text",
            "text/plain": "plain:text",
            "text/x-rst": "plain:text",
            "text/xml": "markup:xml",
        }.items()
    }
)
"""Mime type -> the `Extract` function, as `module:function`: the worker imports the one module that it needs."""

SUPPORTED_MIME_TYPES = frozenset(EXTRACTORS)
