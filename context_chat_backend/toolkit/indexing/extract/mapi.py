"""The properties of Outlook's messages: in files (MS-OXMSG), in TNEF (MS-OXTNEF); and compressed RTF (MS-OXRTFCP)."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import olefile

from .decoding import decode_if_text

SUBJECT, SENT, DELIVERED = 0x0037, 0x0039, 0x0E06
SENDER_NAME, SENDER_ADDRESS, SENDER_SMTP = 0x0C1A, 0x0C1F, 0x5D01
DISPLAY_CC, DISPLAY_TO = 0x0E03, 0x0E04
BODY, RTF, HTML = 0x1000, 0x1009, 0x1013
ATTACH_DATA, SHORT_NAME, LONG_NAME, DISPLAY_NAME = 0x3701, 0x3704, 0x3707, 0x3001
CODE_PAGE, INTERNET_CODE_PAGE = 0x3FFD, 0x3FDE
EMBEDDED_MESSAGE = "__substg1.0_3701000D"

_INTEGER, _TIME, _OBJECT, _STRING8, _UNICODE, _BINARY = 0x0003, 0x0040, 0x000D, 0x001E, 0x001F, 0x0102
_FIXED_BYTES = {
    0x0002: 2,
    0x0003: 4,
    0x0004: 4,
    0x0005: 8,
    0x0006: 8,
    0x0007: 8,
    0x000A: 4,
    0x000B: 2,
    0x0014: 8,
    0x0040: 8,
}
_GUID = 0x0048
_MULTIPLE = 0x1000
_NAMED = 0x8000
_UTF8_PAGE = 65001
_TICKS_PER_MICROSECOND = 10
_SUBSTG = "__substg1.0_"
_PROPERTIES = "__properties_version1.0"
_ENTRY = struct.Struct("<HHI8s")
_HEADERS = (32, 24, 8)
"""Bytes before the entries: of a message, of one within another, of an attachment."""


class Properties:
    """By id: the type of a value and its bytes."""

    def __init__(self, values: Mapping[int, tuple[int, bytes]]) -> None:
        self._values = values

    def text(self, id_: int) -> str:
        kind, data = self._values.get(id_, (0, b""))
        if kind == _UNICODE:
            return data.decode("utf-16-le", "replace").rstrip("\0")
        return decode_if_text(data.rstrip(b"\0"), self._code_page()) if kind == _STRING8 else ""

    def binary(self, id_: int) -> bytes:
        kind, data = self._values.get(id_, (0, b""))
        return data if kind in {_BINARY, _OBJECT} else b""

    def moment(self, id_: int) -> datetime | None:
        kind, data = self._values.get(id_, (0, b""))
        if kind != _TIME or len(data) < 8:  # noqa: PLR2004 - bytes of a time
            return None
        try:
            return datetime(1601, 1, 1, tzinfo=UTC) + timedelta(
                microseconds=int.from_bytes(data[:8], "little") // _TICKS_PER_MICROSECOND
            )
        except OverflowError:
            return None

    def _code_page(self) -> str | None:
        for id_ in (CODE_PAGE, INTERNET_CODE_PAGE):
            kind, data = self._values.get(id_, (0, b""))
            if kind == _INTEGER and (page := int.from_bytes(data[:4], "little")):
                return "utf-8" if page == _UTF8_PAGE else f"cp{page}"
        return None


class Storage:
    """A message or an attachment within a file of Outlook's."""

    def __init__(self, ole: olefile.OleFileIO, path: tuple[str, ...]) -> None:
        self._ole = ole
        self._path = path
        self._names = [
            entry[len(path)] for entry in ole.listdir(streams=True, storages=True)
            if len(entry) == len(path) + 1 and tuple(entry[:-1]) == path
        ]  # fmt: skip
        self.properties = Properties({**dict(self._fixed()), **dict(self._streams())})

    def below(self, prefix: str) -> "Iterator[Storage]":
        return (Storage(self._ole, (*self._path, name)) for name in self._names if name.startswith(prefix))

    def below_exactly(self, name: str) -> "Storage | None":
        return Storage(self._ole, (*self._path, name)) if name in self._names else None

    def _read(self, name: str) -> bytes:
        data: bytes = self._ole.openstream([*self._path, name]).read()
        return data

    def _streams(self) -> Iterator[tuple[int, tuple[int, bytes]]]:
        for name in self._names:
            code = name.removeprefix(_SUBSTG)
            if name != code and len(code) == 8 and int(code[4:], 16) != _OBJECT:  # noqa: PLR2004 - digits
                yield int(code[:4], 16), (int(code[4:], 16), self._read(name))

    def _fixed(self) -> Iterator[tuple[int, tuple[int, bytes]]]:
        if _PROPERTIES not in self._names:
            return
        data = self._read(_PROPERTIES)
        is_attachment = bool(self._path) and self._path[-1].startswith("__attach")
        start = _HEADERS[2] if is_attachment else _HEADERS[1] if self._path else _HEADERS[0]
        for at in range(start, len(data) - _ENTRY.size + 1, _ENTRY.size):
            kind, id_, _, value = _ENTRY.unpack_from(data, at)
            if kind in _FIXED_BYTES:
                yield id_, (kind, value)


# ---------------------------------------------------------------------- TNEF

_LEVEL_ATTACHMENT = 2
_BODY8, _SUBJECT8, _MAPI_PROPERTIES = 0x0002800C, 0x00018004, 0x00069003
_RENDERING, _TITLE, _DATA, _ATTACHMENT_PROPERTIES = 0x00069002, 0x00018010, 0x0006800F, 0x00069005
_ATTRIBUTE = struct.Struct("<BII")
_CHECKSUM_BYTES = 2
_TNEF_HEADER = 6


@dataclass(slots=True)
class Unpacked:
    properties: Properties
    attachments: list[tuple[str, bytes]] = field(default_factory=list)
    """Name and content."""


def unpacked(data: bytes) -> Unpacked:
    values: dict[int, tuple[int, bytes]] = {}
    attachments: list[tuple[str, bytes]] = []
    for attribute, content in _attributes(data):
        if attribute == _RENDERING:
            attachments.append(("", b""))
        elif attribute == _MAPI_PROPERTIES:
            values |= dict(_properties(content))
        elif attribute in {_BODY8, _SUBJECT8}:
            values.setdefault(BODY if attribute == _BODY8 else SUBJECT, (_STRING8, content))
        elif attachments:
            attachments[-1] = _described(attachments[-1], attribute, content)
    return Unpacked(Properties(values), attachments)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = _TNEF_HEADER
    while at + _ATTRIBUTE.size <= len(data):
        _, attribute, length = _ATTRIBUTE.unpack_from(data, at)
        at += _ATTRIBUTE.size
        yield attribute, data[at : at + length]
        at += length + _CHECKSUM_BYTES


def _described(attachment: tuple[str, bytes], attribute: int, content: bytes) -> tuple[str, bytes]:
    name, data = attachment
    if attribute == _TITLE:
        return name or decode_if_text(content.rstrip(b"\0")), data
    if attribute == _DATA:
        return name, content
    if attribute == _ATTACHMENT_PROPERTIES:
        return Properties(dict(_properties(content))).text(LONG_NAME) or name, data
    return attachment


def _properties(data: bytes) -> Iterator[tuple[int, tuple[int, bytes]]]:
    """Up to what is not understood."""
    (number,) = struct.unpack_from("<I", data)
    at = 4
    for _ in range(number):
        if at + 4 > len(data):
            return
        kind, id_ = struct.unpack_from("<HH", data, at)
        at += 4
        if id_ >= _NAMED:
            at = _after_name(data, at)
        if kind & _MULTIPLE:
            kind_of_one, count = kind & ~_MULTIPLE, int.from_bytes(data[at : at + 4], "little")
            at += 4
        else:
            kind_of_one, count = kind, 1
            at += 4 if _is_counted(kind) else 0
        for _ in range(min(count, len(data))):
            value, at = _value(data, at, kind_of_one)
            yield id_, (kind_of_one, value)


def _is_counted(kind: int) -> bool:
    return kind in {_STRING8, _UNICODE, _BINARY, _OBJECT}


def _value(data: bytes, at: int, kind: int) -> tuple[bytes, int]:
    if _is_counted(kind):
        length = int.from_bytes(data[at : at + 4], "little")
        at += 4
    else:
        length = 16 if kind == _GUID else _FIXED_BYTES.get(kind, 8)
    return data[at : at + length], at + length + -length % 4


def _after_name(data: bytes, at: int) -> int:
    kind, length = struct.unpack_from("<II", data, at + 16)
    at += 24
    return at + (length + -length % 4 if kind == 1 else 0)


# ---------------------------------------------------------------------- compressed RTF

_DICTIONARY = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans Serif"
    rb"SymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0"
    b"\r\n"
    rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
_UNCOMPRESSED = b"MELA"
_RTF_HEADER = 16
_WINDOW = 4096


def unpacked_rtf(data: bytes) -> bytes:
    size = int.from_bytes(data[4:8], "little")
    if data[8:12] == _UNCOMPRESSED:
        return data[_RTF_HEADER : _RTF_HEADER + size]
    window = bytearray(_DICTIONARY.ljust(_WINDOW, b"\0"))
    written = len(_DICTIONARY)
    output = bytearray()
    for literal, offset, length in _runs(data):
        if length and offset == written % _WINDOW:  # the mark of the end
            break
        for step in range(length or 1):
            byte = window[(offset + step) % _WINDOW] if length else literal
            output.append(byte)
            window[written % _WINDOW] = byte
            written += 1
    return bytes(output[:size])


def _runs(data: bytes) -> Iterator[tuple[int, int, int]]:
    """A literal byte, or the place in the window and the number of those that are repeated."""
    at = _RTF_HEADER
    while at < len(data):
        control = data[at]
        at += 1
        for bit in range(8):
            if at >= len(data):
                return
            if control >> bit & 1:
                reference = int.from_bytes(data[at : at + 2], "big")
                yield 0, reference >> 4, (reference & 15) + 2
                at += 2
            else:
                yield data[at], 0, 0
                at += 1
