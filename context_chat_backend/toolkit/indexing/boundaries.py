"""Where a text may be cut."""

# ruff: noqa: RUF001 - punctuation of many scripts

import re
from collections.abc import Callable
from itertools import takewhile

_INK = re.compile(r"\S")
_FENCE = re.compile(r"^ {0,3}(```|~~~)", re.MULTILINE)
_QUOTE = re.compile(r"^[> \t]*", re.MULTILINE)
_CLOSING = "[\"'»”’)\\]」』）]*"
BOUNDARIES = tuple(
    map(
        re.compile,
        (
            r"\n[ \t\r]*\n",  # paragraphs
            rf"[.!?…]{_CLOSING}\s(?!\s*[a-z])|[。！？｡؟।॥]{_CLOSING}",  # sentences
            r"\n",
            r"[,;:]\s|[、，；：،]",
            r"\s",
        ),
    )
)
"""The strongest first; a cut is behind what matches. Sentences of Thai end at a blank."""

LOOKAHEAD = 16
"""Characters behind a limit that may tell what is there."""

Boundary = Callable[[str, int, int], int]
"""Of a text, the start and the limit of a piece: where to end it, behind the start and not behind the limit."""


def strongest(text: str, start: int, limit: int) -> int:
    """The last of the strongest boundaries in the second half, else the limit. A change from one mail of a thread to
    another may come earlier."""
    if (change := _quote_change(text, start + (limit - start) // 4, limit)) is not None:
        return change
    middle = start + (limit - start) // 2
    for pattern in BOUNDARIES:
        cut = 0
        for found in takewhile(lambda found: found.start() <= limit, pattern.finditer(text, middle, limit + LOOKAHEAD)):
            if found.end() <= limit or text[limit : found.end()].isspace():  # blanks behind a piece are not part of it
                cut = min(found.end(), limit)
        if cut > start:
            return cut
    return limit


def _quote_change(text: str, start: int, limit: int) -> int | None:
    """Where a line of a mail is quoted more or less often than the one before."""
    if text.find("\n>", start, limit) < 0:
        return None
    place = None
    depth: int | None = None
    for line in _QUOTE.finditer(text, text.rfind("\n", 0, start) + 1, limit):
        found = line[0].count(">")
        if depth is not None and found != depth and line.start() > start:
            place = line.start()
        depth = found
    return place


def behind_row(text: str, start: int, limit: int) -> int:
    """Behind the last row that fits; a boundary in the first one where it does not."""
    cut = text.rfind("\n", start, limit + 1)
    return cut if cut > start else strongest(text, start, limit)


def ink(text: str, start: int) -> int:
    """The next place that is not blank, else the end."""
    found = _INK.search(text, start)
    return found.start() if found else len(text)


def between_words(text: str, place: int) -> bool:
    """Whether a cut there leaves all words whole."""
    return place in {0, len(text)} or text[place].isspace() or text[place - 1].isspace()


def fences(text: str) -> list[tuple[int, int]]:
    """Where blocks of code begin and end."""
    found: list[tuple[int, int]] = []
    opening: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opening is None:
            opening = fence
        elif fence[1] == opening[1]:
            found.append((opening.start(1), fence.end()))
            opening = None
    return found
