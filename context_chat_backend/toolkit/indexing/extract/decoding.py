"""From bytes to text, for all formats that are text themselves."""
# ruff: noqa: RUF001 - it is about such characters

import codecs
import contextlib
import re
from collections.abc import Iterator
from types import MappingProxyType

from chardet import detect

from .formats import BINARY, Unreadable

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SUPERSETS = MappingProxyType(
    {
        "ascii": "cp1252",
        "iso8859-1": "cp1252",
        "iso8859-9": "cp1254",
        "iso8859-11": "cp874",
        "tis-620": "cp874",
        "shift_jis": "cp932",
        "gb2312": "gb18030",
        "gbk": "gb18030",
        "big5": "big5hkscs",
        "euc_kr": "cp949",
    }
)
"""What is meant where these are declared, by Python's names: https://encoding.spec.whatwg.org/#names-and-labels"""
_GUESSED = (
    *("utf-16-le", "utf-16-be", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258"),
    *("tis-620", "koi8-r", "koi8-u", "cp866", "cp850", "mac-roman"),
    *("cp932", "euc_jis_2004", "gb18030", "big5hkscs", "cp949"),
)
"""What files of people are in when they are not in Windows-1252: those of browsers, of DOS, and of the old Mac."""
_WESTERN = "cp1252"
_WESTERN_SHARE = 0.95
_SAMPLE_BYTES = 200_000
_SAMPLE_CHARS = 10_000
_HIGH_PER_BROKEN = 5
_HIGH_BYTES = bytes(range(0x80, 0x100))
_NOT_IN_TEXT = bytes({*range(0x20), 0x7F} - {*b"\b\t\n\v\f\r\x1b"})
_HIGH = re.compile(rb"[\x80-\xff](?:[ -~]{0,8}[\x80-\xff]){0,200000}[@-~]?[A-Za-z]{0,12}")
"""What begins and ends outside of ASCII, with the rest of the last word; a second byte of a character may be ASCII."""
_LAST_WORD = re.compile(rb"[A-Za-z]*\Z")
_NEAR = 12
_LETTERS = "A-Za-zªºÀ-ÖØ-öø-ÿŒœŠšŸŽžƒ"
_WORD = re.compile(f"[{_LETTERS}]+")
_SIGN = re.compile(f"([{_LETTERS}])?([^\x00-\x7f{_LETTERS}])(?=([{_LETTERS}])?)")
_SIGNS = frozenset("\xa0¡£¤¥§¨©«\xad®°±²³´µ·¹»¼½¾¿×÷€–—‘’‚“”„†‡•…‰‹›™")
_WITHIN_WORDS = frozenset("’·\xad–—")
_ICELANDIC, _AND_WITH_THEM = frozenset("ðþýÐÞÝ"), frozenset("áéíóúæÁÉÍÓÚÆ")


def decode(data: bytes, declared: str | None = None) -> str:
    """By byte order mark, as UTF-8 if nearly all of it is, then as `declared`, as browsers understand that, else as
    what it looks like: Windows-1252, unless that makes no sense.

    A few broken bytes become U+FFFD. Raises `Unreadable` for binary data.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return _text_only(data[len(mark) :].decode(encoding, errors="replace"))
    for name in (*_of_seven_bits(declared), "utf-8", *_meant_by(declared)):
        with contextlib.suppress(UnicodeError, LookupError, Unreadable):  # UTF-16 may be valid UTF-8 full of NULs
            return _text_only(_nearly(name, data))
    return _text_only(data.decode(_guess(_sample(data)), errors="replace"))


def decode_if_text(data: bytes, declared: str | None = None) -> str:
    """Empty for binary data: for pieces of a document whose other pieces are worth reading."""
    try:
        return decode(data, declared)
    except Unreadable:
        return ""


def _of_seven_bits(declared: str | None) -> Iterator[str]:
    """Their bytes are ASCII, and so UTF-8; they are tried only where they are declared."""
    with contextlib.suppress(LookupError):
        name = codecs.lookup(declared or "").name
        if name.startswith(("iso2022", "hz", "utf-7")):
            yield name


def _meant_by(declared: str | None) -> Iterator[str]:
    """Nothing for UTF-16 and UTF-32, in which the declaration itself could not have been read."""
    with contextlib.suppress(LookupError):
        name = codecs.lookup(declared or "").name
        if not name.startswith("utf"):
            yield _SUPERSETS.get(name, name)


def _nearly(encoding: str, data: bytes) -> str:
    """Few broken bytes, compared with all those outside of ASCII, become U+FFFD: bytes that are right by accident are
    rare. Raises `UnicodeDecodeError`; `LookupError` for codecs of other things than text."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode(encoding, errors="replace")
        high = len(data) - len(data.translate(None, delete=_HIGH_BYTES))
        if text.count("\ufffd") * _HIGH_PER_BROKEN > high:
            raise
        return text


def _text_only(decoded: str) -> str:
    """Logs of a crashed machine hold some NULs; binary data holds far more."""
    sample = decoded[:_SAMPLE_CHARS]
    encoded = sample.encode("utf-8", "ignore")
    strange = len(encoded) - len(encoded.translate(None, _NOT_IN_TEXT)) + sample.count("\ufffd")
    if strange > 3 + len(sample) // 20:
        raise Unreadable(BINARY)
    return decoded


def _sample(data: bytes) -> bytes:
    """The words with bytes outside of ASCII, and what stands between them: all the rest tells nothing."""
    if b"\0" in data[:_SAMPLE_BYTES]:  # two bytes a character
        return data[:_SAMPLE_BYTES]
    sample = bytearray()
    for match in _HIGH.finditer(data):
        before = data[max(match.start() - _NEAR, 0) : match.start()]
        sample += _LAST_WORD.findall(before)[0] + match[0] + b"\n"
        if len(sample) >= _SAMPLE_BYTES:
            break
    return bytes(sample[:_SAMPLE_BYTES])


def _guess(sample: bytes) -> str:
    if b"\0" not in sample and _western_share(sample.decode(_WESTERN, errors="replace")) >= _WESTERN_SHARE:
        return _WESTERN
    return detect(sample, include_encodings=_GUESSED)["encoding"] or _WESTERN


def _western_share(text: str) -> float:
    """Of the characters outside of ASCII, those that stand where they do in Western European languages. In other
    encodings words would have too many accents, capitals at their end, or signs inside."""
    if not _ICELANDIC.isdisjoint(text) and _AND_WITH_THEM.isdisjoint(text):  # Turkish has other letters there
        return 0
    marks = [*_letters(text), *_signs(text)]
    return sum(marks) / len(marks) if marks else 1


def _letters(text: str) -> Iterator[bool]:
    for match in _WORD.finditer(text):
        word = match[0]
        if not word.isascii():
            high = [not letter.isascii() for letter in word]
            few = sum(high) <= len(word) // 2 + 1
            before = ("", *word)
            yield from (
                few and not (letter.isupper() and former.islower())
                for letter, former, counts in zip(word, before, high, strict=False)
                if counts
            )


def _signs(text: str) -> Iterator[bool]:
    for before, sign, after in _SIGN.findall(text):
        yield sign in _SIGNS and not (before and after and sign not in _WITHIN_WORDS)
