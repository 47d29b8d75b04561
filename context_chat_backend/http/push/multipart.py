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
"""

import hashlib
import os
import re
import tempfile
import weakref
from collections.abc import AsyncIterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from anyio import to_thread
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from ...contract import Content, ProviderId, Source, SourceId, UserId
from ...core.contents import NoContent
from .ids import is_source_id

BLOCK_BYTES = 1024 * 1024
MAX_HEADERS = 64
MAX_HEADER_BYTES = 4 * 1024 * 1024
"""Of one header line: `userIds` of a file that is shared with the whole site is long."""
MAX_TITLE_CHARS = 4096
MAX_MODIFIED = 2**53

_SUFFIX = ".upload"
_REQUIRED = frozenset({"userids", "title", "type", "modified", "provider", "content-disposition"})
_HEADERS = _REQUIRED | {"content-length"}
_BOUNDARY = re.compile(rb"[ -~]{1,70}")
_DISPOSITION = re.compile(rb'form-data;\s*name="sources";\s*filename="(.*)"', re.DOTALL)
_MIME_TYPE = re.compile(rb"[!-~]+")
_NUMBER = re.compile(rb"[0-9]{1,16}")
_TIME = re.compile(rb"-?[0-9]{1,16}")  # a file may be older than 1970
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LINE_BREAKING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_HEADER_IN_CONTENT = b'\r\nContent-Disposition: form-data; name="sources"; filename="'


class MalformedUpload(ValueError):
    """The request is no multipart upload at all, so it does not come from Nextcloud."""


class SpooledContent:
    """The bytes of one part in a file of their own; implements `Content`.

    The file exists as long as this object does; `release` removes it earlier and may be called any number of times.
    """

    def __init__(self, path: Path, *, size: int, sha256: str) -> None:
        self.size = size
        self._path = path
        self._sha256 = sha256
        self._remove = weakref.finalize(self, path.unlink, missing_ok=True)

    async def sha256(self) -> str:
        return self._sha256

    async def path(self) -> Path:
        return self._path

    def release(self) -> None:
        self._remove()


class SpoolFile:
    """A file that is being written; becomes a `SpooledContent` or is discarded. Every method blocks."""

    def __init__(self, spool: Path) -> None:
        descriptor, name = tempfile.mkstemp(dir=spool, suffix=_SUFFIX)
        self._path = Path(name)
        self._file = os.fdopen(descriptor, "w+b")
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._size += len(data)

    def content(self) -> SpooledContent:
        self._file.close()
        return SpooledContent(self._path, size=self._size, sha256=self._digest.hexdigest())

    def discard(self) -> None:
        # Closing writes what is still in the buffer; it may fail on a full disk, and nobody needs it.
        with suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)


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
    """Broken off: not as many bytes came as were announced."""
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

    Raises `MalformedUpload`, and `OSError` if `spool` cannot be written.
    """
    reader = UploadReader(parse_boundary(content_type), spool, max_part_bytes=max_part_bytes)
    try:
        block = bytearray()
        async for chunk in stream:
            block += chunk
            if len(block) >= BLOCK_BYTES:
                await to_thread.run_sync(reader.feed, bytes(block))
                block.clear()
        await to_thread.run_sync(reader.feed, bytes(block))
    except BaseException:
        reader.discard()
        raise
    return reader.finish()


def clean_spool(spool: Path) -> None:
    """Remove what a killed process left behind. No other process may be using the folder."""
    for path in spool.glob(f"*{_SUFFIX}"):
        path.unlink(missing_ok=True)


def parse_boundary(content_type: str) -> bytes:
    """The boundary of a `multipart/form-data` content type. Raises `MalformedUpload`."""
    media_type, parameters = parse_options_header(content_type)
    boundary = parameters.get(b"boundary", b"")
    if media_type != b"multipart/form-data" or not _BOUNDARY.fullmatch(boundary):
        raise MalformedUpload("the content type is not multipart/form-data with a boundary")
    return boundary


class UploadReader:
    """The parser: takes the body in blocks, wherever they are cut. Blocks on the disk; for one thread at a time."""

    def __init__(self, boundary: bytes, spool: Path, *, max_part_bytes: int | None = None) -> None:
        self._boundary = boundary
        self._spool = spool
        self._max_part_bytes = max_part_bytes
        self._upload = ParsedUpload()
        self._contents: list[SpooledContent] = []
        self._part = _Part(spool, max_part_bytes)
        self._in_part = False
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._parser = self._new_parser()

    def feed(self, block: bytes) -> None:
        """Raises `MalformedUpload` if the body does not begin with its boundary, and `OSError`."""
        while block:
            try:
                self._parser.write(block)
            except MultipartParseError as error:
                block = self._resume(block[error.offset :])
            else:
                return

    def finish(self) -> ParsedUpload:
        """The result at the end of the body; the reader keeps no reference to it."""
        if self._in_part:
            self._part.discard()
            if self._part.source_id is not None:
                self._upload.retry.append(self._part.source_id)
        # The parser's callbacks make this object part of a cycle, which would keep the files until it is collected.
        upload, self._upload, self._contents = self._upload, ParsedUpload(), []
        return upload

    def discard(self) -> None:
        """Remove every file."""
        self._part.discard()
        for content in self._contents:
            content.release()

    def _new_parser(self) -> MultipartParser:
        return MultipartParser(
            self._boundary,
            {
                "on_part_begin": self._on_part_begin,
                "on_header_begin": self._on_header_begin,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
            max_header_count=MAX_HEADERS,
            max_header_size=MAX_HEADER_BYTES,
        )

    def _resume(self, rest: bytes) -> bytes:
        """Give up the part in whose headers the parser stopped; return what a new one has to read."""
        if not self._in_part:
            raise MalformedUpload("the body does not begin with its boundary")
        self._part.fail("malformed header")
        self._parser = self._new_parser()
        # A part without headers: the new parser passes over the rest as its data, up to the next boundary.
        return b"--" + self._boundary + b"\r\n\r\n" + rest

    def _on_part_begin(self) -> None:
        if not self._in_part:
            self._part = _Part(self._spool, self._max_part_bytes)
            self._in_part = True

    def _on_header_begin(self) -> None:
        self._header_name.clear()
        self._header_value.clear()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        self._part.add_header(self._header_name.decode("ascii").lower(), bytes(self._header_value))

    def _on_headers_finished(self) -> None:
        self._part.end_headers()

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._part.write(memoryview(data)[start:end])

    def _on_part_end(self) -> None:
        self._in_part = False
        part, upload = self._part, self._upload
        try:
            content = part.close()
        except _Unusable as unusable:
            upload.skipped.append(SkippedPart(unusable.reason, part.source_id))
        except _NothingToIndex as nothing:
            upload.sources.append(part.announced.source(NoContent(nothing.reason)))
        except _BrokenOff as broken_off:
            upload.retry.append(broken_off.source_id)
        else:
            self._contents.append(content)
            upload.sources.append(part.announced.source(content))

    def _on_end(self) -> None:
        self._upload.complete = True


class _Unusable(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _NothingToIndex(Exception):
    """The part is a source all the same: what is stored of it is out of date."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _BrokenOff(Exception):
    def __init__(self, source_id: SourceId) -> None:
        super().__init__()
        self.source_id = source_id


@dataclass(frozen=True, slots=True, kw_only=True)
class _Announced:
    """What the headers of a part say."""

    id: SourceId
    provider: ProviderId
    title: str
    mime_type: str
    modified: int
    user_ids: frozenset[UserId]
    size: int | None

    def source(self, content: Content) -> Source:
        return Source(
            id=self.id,
            provider=self.provider,
            title=self.title,
            mime_type=self.mime_type,
            modified=self.modified,
            user_ids=self.user_ids,
            content=content,
        )


class _Part:
    """One part while it is read; stores nothing more once it has a fault."""

    def __init__(self, spool: Path, max_bytes: int | None) -> None:
        self.fault: str | None = None
        self.source_id: SourceId | None = None
        self.announced: _Announced
        """Set when the headers have ended, unless there is a fault."""
        self._spool = spool
        self._max_bytes = max_bytes
        self._headers: dict[str, bytes] = {}
        self._size = 0
        self._tail = b""
        self._file: SpoolFile | None = None

    def add_header(self, name: str, value: bytes) -> None:
        # The genuine Content-Length comes last; one in a title would make its part look broken off for ever.
        forged = name == "content-length" and "content-disposition" not in self._headers
        if forged or name not in _HEADERS:
            return
        if name in self._headers:
            self.fail("repeated header")
        self._headers[name] = value

    def end_headers(self) -> None:
        if self.fault is not None:
            return
        try:
            self.source_id, provider = _read_source_id(self._headers)
            self.announced = _read_headers(self._headers, self.source_id, provider)
        except _Unusable as unusable:
            self.fail(unusable.reason)

    def write(self, data: memoryview) -> None:
        if self.fault is not None:
            return
        self._size += len(data)
        self._look_for_headers(data)
        if self._max_bytes is not None and self._size > self._max_bytes:
            self.discard()
            return
        if self._file is None:
            self._file = SpoolFile(self._spool)
        self._file.write(data)

    def _look_for_headers(self, data: memoryview) -> None:
        """A title that ends the headers early can forge all of them; the genuine ones are then part of the content."""
        seen = self._tail + data
        if _HEADER_IN_CONTENT in seen:
            self.fail("headers in the content")
        self._tail = seen[-len(_HEADER_IN_CONTENT) :]

    def close(self) -> SpooledContent:
        """The whole content. Raises `_Unusable`, `_NothingToIndex` or `_BrokenOff`, and no file is left then."""
        try:
            file = self._verified_file()
        except (_Unusable, _NothingToIndex, _BrokenOff):
            self.discard()
            raise
        content = file.content()
        self._file = None
        return content

    def _verified_file(self) -> SpoolFile:
        if self.fault is not None:
            raise _Unusable(self.fault)
        if self.announced.size not in (None, self._size):
            raise _BrokenOff(self.announced.id)
        if self._max_bytes is not None and self._size > self._max_bytes:
            raise _NothingToIndex("larger than the limit")
        if self._file is None:
            raise _NothingToIndex("no content")
        return self._file

    def fail(self, reason: str) -> None:
        self.fault = self.fault or reason
        self.discard()

    def discard(self) -> None:
        if self._file is not None:
            self._file.discard()
            self._file = None


def _read_source_id(headers: Mapping[str, bytes]) -> tuple[SourceId, ProviderId]:
    """The source id, and the provider id that it begins with."""
    if "content-disposition" not in headers:
        raise _Unusable("missing header")
    disposition = _DISPOSITION.fullmatch(headers["content-disposition"])
    if disposition is None:
        raise _Unusable("not a source")
    source_id = disposition[1].decode("ascii", errors="replace")
    if not is_source_id(source_id):
        raise _Unusable("invalid source id")
    return SourceId(source_id), ProviderId(source_id.partition(": ")[0])


def _read_headers(headers: Mapping[str, bytes], source_id: SourceId, provider: ProviderId) -> _Announced:
    if not headers.keys() >= _REQUIRED:
        raise _Unusable("missing header")
    if headers["provider"] != provider.encode("ascii"):
        raise _Unusable("source id of another provider")
    return _Announced(
        id=source_id,
        provider=provider,
        title=_read_title(headers["title"]),
        mime_type=_read_mime_type(headers["type"]),
        modified=_read_modified(headers["modified"]),
        user_ids=_read_user_ids(headers["userids"]),
        size=_read_number(headers["content-length"]) if "content-length" in headers else None,
    )


def _read_title(value: bytes) -> str:
    return _LINE_BREAKING.sub(" ", value.decode("utf-8", errors="replace"))[:MAX_TITLE_CHARS]


def _read_mime_type(value: bytes) -> str:
    mime_type = value.partition(b";")[0].strip().lower()
    if not _MIME_TYPE.fullmatch(mime_type):
        raise _Unusable("invalid type")
    return mime_type.decode("ascii")


def _read_modified(value: bytes) -> int:
    if _TIME.fullmatch(value) is None or abs(int(value)) > MAX_MODIFIED:
        raise _Unusable("invalid number")
    return int(value)


def _read_number(value: bytes) -> int:
    if _NUMBER.fullmatch(value) is None:
        raise _Unusable("invalid number")
    return int(value)


def _read_user_ids(value: bytes) -> frozenset[UserId]:
    """Never repairs an id: that could make it the id of somebody else."""
    try:
        joined = value.decode("utf-8")
    except UnicodeDecodeError:
        raise _Unusable("invalid user ids") from None
    if _CONTROL.search(joined):
        raise _Unusable("invalid user ids")
    return frozenset(UserId(user_id) for user_id in joined.split(",") if user_id.strip())
