"""Which documents R2R reads itself, by the extension that tells it the type."""

import codecs
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from context_chat_backend.toolkit.indexing.extract import SUPPORTED_MIME_TYPES

BLOCK = 2**20
"""Bytes of a file that are looked at together."""
NULS = (b"\0", rb"\u0000")
MOST_OF_A_NUL = max(map(len, NULS)) - 1
"""Bytes at the end of a block that the next one may make a NUL of."""

EXTENSIONS: Mapping[str, str] = MappingProxyType(
    {
        "application/epub+zip": "epub",
        "application/json": "json",
        "application/msword": "doc",
        "application/pdf": "pdf",
        "application/rtf": "rtf",
        "application/vnd.ms-excel": "xls",
        "application/vnd.ms-outlook": "msg",
        "application/vnd.ms-powerpoint": "ppt",
        "application/vnd.oasis.opendocument.text": "odt",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
        "application/xhtml+xml": "html",
        "audio/mpeg": "mp3",
        "image/bmp": "bmp",
        "image/gif": "gif",
        "image/heic": "heic",
        "image/jpeg": "jpg",
        "image/png": "png",
        "image/svg+xml": "svg",
        "image/tiff": "tiff",
        "message/rfc822": "eml",
        "text/css": "css",
        "text/csv": "csv",
        "text/html": "html",
        "text/markdown": "md",
        "text/org": "org",
        "text/plain": "txt",
        "text/rtf": "rtf",
        "text/tab-separated-values": "tsv",
        "text/x-python": "py",
        "text/x-rst": "txt",
    }
)
"""MIME type -> extension. R2R takes the type from the name of the upload and from nothing else. reStructuredText goes
as plain text: R2R 3.6.6 indexes the style sheet that its converter adds."""

READ_BY_A_MODEL = frozenset(type_ for type_ in EXTENSIONS if type_.startswith(("image/", "audio/"))) - {"image/svg+xml"}
"""R2R asks a vision or speech model for their text, so a failure may be the model's."""

TEXT = frozenset(type_ for type_ in EXTENSIONS if type_.startswith("text/")) | {
    "application/json",
    "application/rtf",
    "application/xhtml+xml",
    "image/svg+xml",
    "message/rfc822",
}
"""R2R drops 128 chunks at a time where one of them holds a NUL: such a file goes as text, which the gateway cleans."""

READ_WITHOUT_A_MODEL = TEXT - {"image/svg+xml"}
"""In every mode: R2R asks its models about these only once it has read them."""

PLAIN = frozenset(type_ for type_ in EXTENSIONS if type_.startswith("text/")) - {"text/html", "text/rtf"}
"""Their bytes are the text. R2R fails at other encodings than UTF-8, or drops what it does not understand."""


def readable_as(mime_type: str) -> str:
    """The type as which the gateway reads a document for its text: plain text needs no parser of its own."""
    return "text/plain" if mime_type in PLAIN and mime_type not in SUPPORTED_MIME_TYPES else mime_type


def goes_as_it_is(mime_type: str, path: Path) -> bool:
    """Whether R2R reads all of such a file. Looks at it in blocks, however large it is."""
    if mime_type not in TEXT:
        return True
    decoder = codecs.getincrementaldecoder("utf-8")()
    last = b""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            if any(nul in last + block for nul in NULS) or not (mime_type not in PLAIN or _continues(decoder, block)):
                return False
            last = block[-MOST_OF_A_NUL:]
    return mime_type not in PLAIN or _continues(decoder, b"", final=True)


def _continues(decoder: codecs.IncrementalDecoder, block: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True


def extensions_of(title: str, mime_type: str) -> set[str]:
    """With dots, lower case: the one of the title and the one of the type."""
    known = EXTENSIONS.get(mime_type)
    return {PurePosixPath(title).suffix.lower(), f".{known}" if known else ""} - {""}
