"""Server-sent events, the form in which language models stream their answers.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from collections.abc import Iterator

MEDIA_TYPE = "text/event-stream"


class EventStream:
    """Takes a stream in pieces that may end anywhere, and gives the data of its events."""

    def __init__(self) -> None:
        self._line: list[bytes] = []
        """The beginning of a line whose end has not come."""
        self._after_return = False
        """The last byte was a carriage return: it has ended a line, and a line feed after it ends no other one."""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> Iterator[str]:
        """The data of the events that end in this piece. An event that the stream breaks off in is never given."""
        for line in self._lines(piece):
            field, _, value = line.partition(":")
            if field == "data":
                self._data.append(value.removeprefix(" "))
            elif not line and self._data:
                yield "\n".join(self._data)
                self._data.clear()

    def _lines(self, piece: bytes) -> Iterator[str]:
        """Those that end in this piece. Not as text: that has line ends of its own, such as U+2028, inside of JSON."""
        if not piece:
            return
        rest = piece.removeprefix(b"\n") if self._after_return else piece
        self._after_return = piece.endswith(b"\r")
        for part in rest.splitlines(keepends=True):
            self._line.append(part)
            if part.endswith((b"\r", b"\n")):
                line = b"".join(self._line).rstrip(b"\r\n")
                self._line.clear()
                yield line.decode("utf-8-sig", "replace")
