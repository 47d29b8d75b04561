"""PowerPoint presentations of the years before 2007, by their records (MS-PPT)."""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import olefile

from .formats import ENCRYPTED, Unreadable
from .outline import Block, Heading

_SLIDE, _NOTES, _LIST, _PERSIST, _HEADER = 1006, 1008, 4080, 1011, 3999
_CHARS, _BYTES, _USER_EDIT, _DIRECTORY, _TEXTBOX = 4000, 4008, 4085, 6002, 0xF00D
_RECORD = struct.Struct("<HHI")
_CONTAINER = 0xF
_ENCRYPTED_TOKEN = 0xF3D1C4DF
_TITLES = frozenset({0, 6})
_SLIDES, _NOTES_LIST = 0, 2
_MOST_EDITS = 10_000


@dataclass(frozen=True, slots=True)
class _Record:
    instance: int
    kind: int
    start: int
    end: int
    is_container: bool


@dataclass(slots=True)
class _Page:
    """A slide or its notes, in the order of the presentation."""

    persist_id: int
    texts: list[tuple[bool, str]]
    """Whether it is the title, and the text of a placeholder."""


def ppt(data: bytes) -> Iterator[Block]:
    """Slide by slide: the title as a heading, its texts; then the speaker's notes."""
    with olefile.OleFileIO(io.BytesIO(data)) as ole:
        user = ole.openstream("Current User").read()
        stream = ole.openstream("PowerPoint Document").read()
    token, edit = struct.unpack_from("<II", user, 12)
    if token == _ENCRYPTED_TOKEN:
        raise Unreadable(ENCRYPTED)
    offsets = _offsets(stream, edit)
    for instance in (_SLIDES, _NOTES_LIST):
        for page in _pages(stream, instance):
            yield from _page(stream, page, offsets, is_slide=instance == _SLIDES)


def _page(stream: bytes, page: _Page, offsets: dict[int, int], *, is_slide: bool) -> Iterator[Block]:
    own = list(_own_texts(stream, offsets.get(page.persist_id)))
    texts = page.texts + own
    titles = [text for is_title, text in texts if is_title]
    yield Heading(1, " ".join(titles) if is_slide else "")
    for is_title, text in texts:
        if not (is_title and is_slide):
            yield text


def _records(stream: bytes, start: int, end: int) -> Iterator[_Record]:
    while start + _RECORD.size <= end:
        head, kind, length = _RECORD.unpack_from(stream, start)
        start += _RECORD.size
        yield _Record(head >> 4, kind, start, min(start + length, end), head & _CONTAINER == _CONTAINER)
        start += length


def _all(stream: bytes, start: int, end: int) -> Iterator[_Record]:
    """With those within containers, in order."""
    waiting = [_records(stream, start, end)]
    while waiting:
        record = next(waiting[-1], None)
        if record is None:
            waiting.pop()
            continue
        yield record
        if record.is_container:
            waiting.append(_records(stream, record.start, record.end))


def _offsets(stream: bytes, edit: int) -> dict[int, int]:
    """Where the last version of each object is: every saving may add to the file only what has changed."""
    offsets: dict[int, int] = {}
    for _ in range(_MOST_EDITS):
        record = next(_records(stream, edit, len(stream)), None)
        if record is None or record.kind != _USER_EDIT:
            break
        before, directory = struct.unpack_from("<II", stream, record.start + 8)
        for entries in _records(stream, directory, len(stream)):
            offsets = {**dict(_entries(stream, entries)), **offsets}
            break
        if not 0 < before < edit:
            break
        edit = before
    return offsets


def _entries(stream: bytes, directory: _Record) -> Iterator[tuple[int, int]]:
    at = directory.start
    while directory.kind == _DIRECTORY and at + 4 <= directory.end:
        (head,) = struct.unpack_from("<I", stream, at)
        at += 4
        first, number = head & 0xFFFFF, head >> 20
        for step in range(min(number, (directory.end - at) // 4)):
            yield first + step, struct.unpack_from("<I", stream, at + 4 * step)[0]
        at += 4 * number


def _pages(stream: bytes, instance: int) -> list[_Page]:
    """Of the last list of slides, or of notes, that was saved."""
    pages: list[_Page] = []
    for record in _all(stream, 0, len(stream)):
        if record.kind == _LIST and record.is_container and record.instance == instance:
            pages = list(_listed(stream, record))
    return pages


def _listed(stream: bytes, record: _Record) -> Iterator[_Page]:
    page: _Page | None = None
    is_title = False
    for atom in _records(stream, record.start, record.end):
        if atom.kind == _PERSIST:
            if page is not None:
                yield page
            page = _Page(struct.unpack_from("<I", stream, atom.start)[0], [])
        elif atom.kind == _HEADER:
            is_title = struct.unpack_from("<I", stream, atom.start)[0] in _TITLES
        elif page is not None and (text := _text(stream, atom)):
            page.texts.append((is_title, text))
    if page is not None:
        yield page


def _own_texts(stream: bytes, offset: int | None) -> Iterator[tuple[bool, str]]:
    """Of boxes that are not in the outline."""
    container = next(_records(stream, offset, len(stream)), None) if offset is not None else None
    if container is None or container.kind not in {_SLIDE, _NOTES}:
        return
    is_title = False
    for record in _all(stream, container.start, container.end):
        if record.kind == _TEXTBOX:
            is_title = False
        elif record.kind == _HEADER:
            is_title = struct.unpack_from("<I", stream, record.start)[0] in _TITLES
        elif text := _text(stream, record):
            yield is_title, text


def _text(stream: bytes, record: _Record) -> str:
    """Empty for what is no text, and for the signs that stand for numbers and dates of slides."""
    data = stream[record.start : record.end]
    if record.kind not in {_CHARS, _BYTES}:
        return ""
    text = data.decode("utf-16-le" if record.kind == _CHARS else "latin-1", "replace")
    return "" if text.strip() == "*" else text
