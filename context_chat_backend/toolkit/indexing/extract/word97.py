"""Word documents of the years before 2007, by their table of pieces (MS-DOC)."""

import io
import re
import struct
from collections.abc import Iterator

import olefile

from .formats import ENCRYPTED, Unreadable
from .outline import Block

_MAGIC, _MAGIC_95 = 0xA5EC, 0xA5DC
_FLAGS, _FIRST_CHAR, _TEXT_LENGTHS, _CLX = 0x0A, 0x18, 0x4C, 0x01A2
_IS_ENCRYPTED, _HAS_TABLE_1, _IS_COMPLEX = 0x0100, 0x0200, 0x0004
_WORD_97 = 0x00C1
_PROPERTIES, _PIECES = 1, 2
_COMPRESSED = 0x4000_0000
_PIECE_BYTES, _POSITION_BYTES = 8, 4
_BEGIN, _SEPARATOR, _END = "\x13", "\x14", "\x15"
_FIELD_MARKS = re.compile("([\x13\x14\x15])")
_SIGNS = str.maketrans(
    {"\x0d": "\n", "\x0b": "\n", "\x0c": "\n\n", "\x0e": "\n", "\x1e": "-", "\x1f": None, "\xad": None}
)
_ROW_END = re.compile("\x07\x07")


def doc(data: bytes) -> Iterator[Block]:
    """The body, then notes, headers and footers, comments and text boxes, as they follow each other in the file."""
    with olefile.OleFileIO(io.BytesIO(data)) as ole:
        stream = ole.openstream("WordDocument").read()
        magic, version = struct.unpack_from("<HH", stream)
        (flags,) = struct.unpack_from("<H", stream, _FLAGS)
        if flags & _IS_ENCRYPTED:
            raise Unreadable(ENCRYPTED)
        if magic == _MAGIC_95 or version < _WORD_97:
            text = _continuous(stream, flags)
        else:
            table = ole.openstream("1Table" if flags & _HAS_TABLE_1 else "0Table").read()
            text = "".join(_pieces(stream, table))
    yield from _readable(text).split("\n")


def _continuous(stream: bytes, flags: int) -> str:
    """Of Word 6 and 95."""
    if flags & _IS_COMPLEX:
        raise Unreadable("a Word document of before 1997, saved in a way that cannot be read")
    start, end = struct.unpack_from("<II", stream, _FIRST_CHAR)
    return stream[start:end].decode("cp1252", "replace")


def _pieces(stream: bytes, table: bytes) -> Iterator[str]:
    """The text in its order: it is stored as it was typed."""
    start, length = struct.unpack_from("<II", stream, _CLX)
    clx = table[start : start + length]
    at = 0
    while clx[at] == _PROPERTIES:
        at += 3 + struct.unpack_from("<H", clx, at + 1)[0]
    if clx[at] != _PIECES:
        raise ValueError("no table of pieces")
    (size,) = struct.unpack_from("<I", clx, at + 1)
    plc = clx[at + 5 : at + 5 + size]
    number = (len(plc) - _POSITION_BYTES) // (_PIECE_BYTES + _POSITION_BYTES)
    positions = struct.unpack_from(f"<{number + 1}I", plc)
    for piece in range(number):
        (place,) = struct.unpack_from("<I", plc, (number + 1) * _POSITION_BYTES + piece * _PIECE_BYTES + 2)
        chars = max(positions[piece + 1] - positions[piece], 0)
        if place & _COMPRESSED:
            begin = (place & ~_COMPRESSED) // 2
            yield stream[begin : begin + chars].decode("cp1252", "replace")
        else:
            yield stream[place : place + 2 * chars].decode("utf-16-le", "replace")


def _readable(text: str) -> str:
    """Results of fields without their codes; rows of tables as lines."""
    shown = "".join(_without_codes(text))
    return _ROW_END.sub("\n", shown).replace("\x07", " | ").translate(_SIGNS)


def _without_codes(text: str) -> Iterator[str]:
    """Fields may stand in the codes and in the results of others."""
    open_fields: list[bool] = []
    hidden = 0
    for part in _FIELD_MARKS.split(text):
        if part == _BEGIN:
            open_fields.append(True)
            hidden += 1
        elif part in {_SEPARATOR, _END} and open_fields:
            hidden -= open_fields.pop()
            open_fields += [False] if part == _SEPARATOR else []
        elif not hidden:
            yield part
