"""The body of `PUT /loadSources`: one part per source, spooled to disk and hashed while it is read.

A part begins like this; the values are raw UTF-8, nothing in them is quoted or escaped:

    userIds: admin,jörg
    title: files/Notes.md
    type: text/markdown
    modified: 1700000000
    provider: files__default
    Content-Disposition: form-data; name="sources"; filename="files__default: 555"
    Content-Length: 27

Titles come from strangers (mail subjects) and may hold line breaks: whatever follows a title may have been written by
its author. A part that is not plainly one source is skipped, and no part can fail the others.

No library does the parsing: they strip blanks that belong to a user id, and reject a part for what its title may hold.
"""

import re
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path

from anyio import CancelScope, to_thread

from ...contract import Source, SourceId
from .part import Part, SendAgain
from .part_headers import Unusable

BLOCK_BYTES = 1024 * 1024
MAX_HEADERS = 64
MAX_HEADER_BYTES = 4 * 1024 * 1024
"""Per header line: `userIds` of a file that is shared with the whole site is long."""
MAX_SOURCES = 1000
"""Per request. Nextcloud sends a hundred at most; any beyond this have to be sent again."""

_BOUNDARY = re.compile(r"[ -~]{1,70}")
_HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class MalformedUpload(ValueError):
    """The request is not a multipart upload at all, so it does not come from Nextcloud."""


class UploadNotKept(Exception):
    """The disk does not take the upload; nothing of it is left, and it may be sent again."""


@dataclass(frozen=True, slots=True)
class SkippedPart:
    """A part that can never be indexed as it is."""

    reason: str
    """One of a few fixed phrases: nothing of what was sent."""
    source_id: SourceId | None
    """None where the part has no trustworthy one."""


@dataclass(slots=True)
class ParsedUpload:
    """A request that was read to its end. Each list is in the order of the request."""

    sources: list[Source] = field(default_factory=list)
    """Whole and valid; an id that was sent twice is here twice. Contents are `SpooledContent`, or `NoContent` where
    nothing or too much was sent. Without readers where the sender named none."""
    retry: list[SourceId] = field(default_factory=list)
    """Broken off (fewer or more bytes came than were announced), or beyond what one request may bring."""
    skipped: list[SkippedPart] = field(default_factory=list)
    complete: bool = False
    """False if the body ended before its last boundary. What would have followed is unknown, and Nextcloud forgets
    every source that the answer does not list: the whole request has to be repeated."""


async def read_upload(
    stream: AsyncIterable[bytes], content_type: str, spool: Path, *, max_part_bytes: int | None = None
) -> ParsedUpload:
    """Read a whole request body. Memory stays at some `BLOCK_BYTES`; parsing and disk access happen in a thread.

    `spool` is a folder that only this user can enter. When this fails, also by cancellation or by an error of
    `stream` (a client that went away), no file of the request is left.

    Raises `MalformedUpload` and `UploadNotKept`.
    """
    reader = UploadReader(parse_boundary(content_type), spool, max_part_bytes=max_part_bytes)
    try:
        block = bytearray()
        async for chunk in stream:
            block += chunk
            if len(block) >= BLOCK_BYTES:
                await _in_thread(reader.feed, bytes(block))
                block.clear()
        await _in_thread(reader.feed, bytes(block))
    except BaseException:
        with CancelScope(shield=True):
            await to_thread.run_sync(reader.discard)
        raise
    return reader.finish()


async def _in_thread(feed: Callable[[bytes], None], block: bytes) -> None:
    try:
        await to_thread.run_sync(feed, block)
    except OSError as error:
        raise UploadNotKept(error.strerror) from error


def parse_boundary(content_type: str) -> bytes:
    """The boundary of a `multipart/form-data` content type. Raises `MalformedUpload`."""
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_param("boundary")
    if (
        header.get_content_type() != "multipart/form-data"
        or not isinstance(boundary, str)
        or not _BOUNDARY.fullmatch(boundary)
    ):
        raise MalformedUpload("the content type is not multipart/form-data with a boundary")
    return boundary.encode("ascii")


class UploadReader:
    """The parser: takes the body in blocks, wherever they are cut. Blocks on the disk; for one thread at a time."""

    def __init__(self, boundary: bytes, spool: Path, *, max_part_bytes: int | None = None) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._spool = spool
        self._max_part_bytes = max_part_bytes
        self._upload = ParsedUpload()
        self._part: Part | None = None
        self._headers = 0
        # The first delimiter has no line before it.
        self._buffer = bytearray(b"\r\n")
        self._seen = 0
        """Bytes of the buffer that hold no end of a line."""
        self._step: Callable[[], bool] = self._begin

    def feed(self, block: bytes) -> None:
        """Raises `MalformedUpload` if the body does not begin with its boundary, and `OSError`."""
        self._buffer += block
        while self._step():
            pass

    def finish(self) -> ParsedUpload:
        """The result at the end of the body, without a part that the body ends in; the reader keeps no reference to
        it."""
        if self._part is not None:
            self._part.discard()
        # The bound method in `_step` makes this object a cycle, which would keep the files until it is collected.
        upload, self._upload = self._upload, ParsedUpload()
        return upload

    def discard(self) -> None:
        """Remove every file."""
        if self._part is not None:
            self._part.discard()
        for source in self._upload.sources:
            source.content.release()

    # ------------------------------------------------------------------ steps: False when more bytes are needed

    def _begin(self) -> bool:
        begun = bytes(self._buffer[: len(self._delimiter)])
        if not self._delimiter.startswith(begun):
            raise MalformedUpload("the body does not begin with its boundary")
        if len(begun) < len(self._delimiter):
            return False
        self._step = self._read_data
        return True

    def _read_header(self) -> bool:
        end = self._buffer.find(b"\r\n", self._seen)
        length = len(self._buffer) if end < 0 else end
        if length > MAX_HEADER_BYTES:
            return self._end_headers("malformed header")
        if end < 0:
            self._seen = max(0, length - 1)
            return False
        if end == 0:
            del self._buffer[:2]
            return self._end_headers()
        return self._take_header(bytes(self._buffer[:end]))

    def _take_header(self, line: bytes) -> bool:
        name, colon, value = line.partition(b":")
        self._headers += 1
        if not colon or _HEADER_NAME.fullmatch(name) is None or self._headers > MAX_HEADERS:
            self._buffer[:0] = b"\r\n"  # of the line before: this one may be a delimiter
            return self._end_headers("malformed header")
        self._current.add_header(name.decode("ascii").lower(), value.removeprefix(b" "))
        del self._buffer[: len(line) + 2]
        self._seen = 0
        return True

    def _end_headers(self, fault: str | None = None) -> bool:
        if fault is not None:
            self._current.fail(fault)
        self._current.end_headers()
        if len(self._upload.sources) >= MAX_SOURCES:
            self._current.postpone()
        self._step = self._read_data
        return True

    def _read_data(self) -> bool:
        """Up to the next delimiter; what only begins like one is content."""
        at = self._buffer.find(self._delimiter)
        if at < 0:
            self._take_data(len(self._buffer) - len(self._delimiter) + 1)
            return False
        end = at + len(self._delimiter)
        match bytes(self._buffer[end : end + 2]):
            case b"\r\n":
                self._end_part(at)
                self._begin_part()
            case b"--":
                self._end_part(at)
                self._upload.complete = True
                self._step = self._ignore
            case b"" | b"\r" | b"-":
                self._take_data(at)
                return False
            case _:
                self._take_data(at + 1)
        return True

    def _ignore(self) -> bool:
        self._buffer.clear()
        return False

    # ------------------------------------------------------------------ parts

    @property
    def _current(self) -> Part:
        assert self._part is not None  # noqa: S101 - headers are read inside a part only
        return self._part

    def _begin_part(self) -> None:
        self._part = Part(self._spool, self._max_part_bytes)
        self._headers = self._seen = 0
        self._step = self._read_header

    def _take_data(self, count: int) -> None:
        if count > 0:
            if self._part is not None:
                self._part.write(bytes(self._buffer[:count]))
            del self._buffer[:count]

    def _end_part(self, at: int) -> None:
        self._take_data(at)
        del self._buffer[: len(self._delimiter) + 2]
        part, upload = self._part, self._upload
        if part is None:
            return
        try:
            upload.sources.append(part.close())
        except Unusable as unusable:
            upload.skipped.append(SkippedPart(unusable.reason, part.source_id))
        except SendAgain as again:
            upload.retry.append(again.source_id)
        self._part = None
