"""One part of an upload while it is read."""

from dataclasses import replace
from pathlib import Path

from ...contract import Content, Source, SourceId
from ...core.contents import NoContent
from ...core.spool import SpooledContent, SpoolFile
from .part_headers import KNOWN, Unusable, read_length, read_source, read_source_id

_HEADER_IN_CONTENT = b'\r\nContent-Disposition: form-data; name="sources"; filename="'


class SendAgain(Exception):
    """The source was not received as it should be; sent again, it may be."""

    def __init__(self, source_id: SourceId) -> None:
        super().__init__()
        self.source_id = source_id


class Part:
    """Takes headers, then content; stores nothing more once it has a fault. Blocks on the disk."""

    def __init__(self, spool: Path, max_bytes: int | None) -> None:
        self.fault: str | None = None
        self.source_id: SourceId | None = None
        """Set when the headers have ended, if they name one."""
        self._source: Source
        """Set when the headers have ended, unless there is a fault."""
        self._announced: int | None = None
        self._postponed = False
        self._spool = spool
        self._max_bytes = max_bytes
        self._headers: dict[str, bytes] = {}
        self._size = 0
        self._tail = b""
        self._file: SpoolFile | None = None

    def add_header(self, name: str, value: bytes) -> None:
        # The genuine Content-Length comes last; one in a title would make its part look broken off forever.
        forged = name == "content-length" and "content-disposition" not in self._headers
        if forged or name not in KNOWN:
            return
        if name in self._headers:
            self.fail("repeated header")
        self._headers[name] = value if name == "userids" else value.lstrip(b" ")

    def end_headers(self) -> None:
        if self.fault is not None:
            return
        try:
            self.source_id = read_source_id(self._headers)
            self._source = read_source(self._headers, self.source_id)
            self._announced = read_length(self._headers)
        except Unusable as unusable:
            self.fail(unusable.reason)

    def postpone(self) -> None:
        """Store nothing of it: it has to be sent again."""
        self._postponed = True

    def write(self, data: bytes) -> None:
        if self.fault is not None or self._postponed:
            return
        self._size += len(data)
        self._look_for_headers(data)
        if self._too_large:
            self.discard()
        elif self.fault is None:
            self._store(data)

    @property
    def _too_large(self) -> bool:
        return self._max_bytes is not None and self._size > self._max_bytes

    def _store(self, data: bytes) -> None:
        if self._file is None:
            self._file = SpoolFile(self._spool)
        self._file.write(data)

    def _look_for_headers(self, data: bytes) -> None:
        """A title that ends the headers early can forge all of them; the genuine ones are then part of the content."""
        seen = self._tail + data
        if _HEADER_IN_CONTENT in seen:
            self.fail("headers in the content")
        self._tail = seen[-len(_HEADER_IN_CONTENT) :]

    def close(self) -> Source:
        """The whole source. Raises `Unusable` or `SendAgain`, and no file is left then."""
        if self.fault is not None:
            raise Unusable(self.fault)
        if self._postponed or self._announced not in (None, self._size):
            self.discard()
            raise SendAgain(self._source.id)
        return replace(self._source, content=self._content())

    def _content(self) -> Content:
        """A source without content is one all the same: what is stored of it is out of date."""
        if self._too_large:
            return NoContent("larger than the limit")
        if self._file is None:
            return NoContent("no content")
        return self._spooled(self._file)

    def _spooled(self, file: SpoolFile) -> SpooledContent:
        content = file.content()
        self._file = None
        return content

    def fail(self, reason: str) -> None:
        self.fault = self.fault or reason
        self.discard()

    def discard(self) -> None:
        if self._file is not None:
            self._file.discard()
            self._file = None
