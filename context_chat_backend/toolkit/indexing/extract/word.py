"""Word documents."""

import io
import zipfile
from collections.abc import Iterator

import docx2txt

from .formats import ENCRYPTED, Unreadable

_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_MAX_XML_BYTES = 200_000_000


def docx(data: bytes) -> Iterator[str]:
    """Headers, body (with tables and text boxes), footers."""
    if data.startswith(_OLE_MAGIC):
        raise Unreadable(ENCRYPTED if _OLE_ENCRYPTED in data else "an old Word document, not a DOCX")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        # zipfile never unpacks more than what an entry declares, so that the declared sizes can be trusted.
        unpacked = sum(entry.file_size for entry in archive.infolist() if entry.filename.endswith(".xml"))
    if unpacked > _MAX_XML_BYTES:
        raise Unreadable(f"unpacks to more than {_MAX_XML_BYTES // 1_000_000} MB")
    yield docx2txt.process(io.BytesIO(data))
