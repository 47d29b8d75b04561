"""Text files, and the decoding that all text formats share."""

import codecs
import contextlib
import re
from collections.abc import Iterator

from .formats import BINARY, Unreadable

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE_BYTES = 1_000_000
_SAMPLE_CHARS = 10_000
_NOT_IN_TEXT = re.compile("[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f\ufffd]")


def text(data: bytes) -> Iterator[str]:
    yield decode(data)


def decode(data: bytes, declared: str | None = None) -> str:
    """By byte order mark, then as UTF-8, then as `declared`, then by the statistics of charset-normalizer.

    A few broken bytes become U+FFFD. Raises `Unreadable` for binary data.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return _text_only(data[len(mark) :].decode(encoding, errors="replace"))
    for candidate in filter(None, ("utf-8", declared)):
        with contextlib.suppress(UnicodeDecodeError, LookupError, Unreadable):  # UTF-16 may be valid UTF-8 full of NULs
            return _text_only(data.decode(candidate))
    return _text_only(data.decode(_detect(data), errors="replace"))


def _text_only(decoded: str) -> str:
    """Logs of a crashed machine hold some NULs; binary data holds far more."""
    sample = decoded[:_SAMPLE_CHARS]
    if len(_NOT_IN_TEXT.findall(sample)) > 3 + len(sample) // 20:
        raise Unreadable(BINARY)
    return decoded


def _detect(data: bytes) -> str:
    from charset_normalizer import from_bytes  # noqa: PLC0415 - a third of a worker's start, and rarely needed

    sample = data[:_SAMPLE_BYTES]
    if len(data) > _SAMPLE_BYTES:
        sample = sample[: sample.rfind(b"\n") + 1] or sample  # a character cut in two would rule its encoding out
    if (best := from_bytes(sample).best()) is None:
        raise Unreadable(BINARY)
    return best.encoding
