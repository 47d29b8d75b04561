"""Text files, and the marks by which people write headings in them."""

import re
from collections.abc import Iterator

from .decoding import decode
from .outline import Block, Heading

_LINE_CHARS = 1000
"""No longer line is a heading."""
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n.*?^(?:---|\.\.\.)[ \t]*$", re.DOTALL | re.MULTILINE)
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*\Z")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*\Z")
_NO_PARAGRAPH = re.compile(r"\s*\Z| {4}|\t| {0,3}(?:[-*+>|]|\d{1,9}[.)]\s)")
"""What a line of signs does not make a heading of: nothing, code, items of lists, quotations, tables."""
_ENDS_PARAGRAPH = re.compile(rf"\s*\Z|{_FENCE.pattern}")
_ORG = re.compile(r"(\*+)[ \t]+(.*?)(?:[ \t]+:[\w@#%:]+:)?[ \t]*\Z")
_ORG_BLOCK = re.compile(r"[ \t]*#\+(begin|end)_", re.IGNORECASE)
_ORG_TITLE = re.compile(r"#\+title:[ \t]*(.+)", re.IGNORECASE)
_RST_RULE = re.compile(r"([!-/:-@\[-`{-~])\1+[ \t]*\Z")


def text(data: bytes) -> Iterator[Block]:
    yield decode(data)


def markdown(data: bytes) -> Iterator[Block]:
    """Headings in both styles of CommonMark; not those in fenced code and in front matter."""
    source = decode(data)
    matter = _FRONT_MATTER.match(source)
    if matter:
        yield matter[0]
    lines: list[str] = []
    fence = ""
    for line in source[matter.end() if matter else 0 :].splitlines():
        mark = _FENCE.match(line)
        if fence or mark:
            fence = _fence_after(fence, line, mark)
        elif heading := _markdown_heading(line, lines):
            yield "\n".join(lines)
            yield heading
            lines = []
            continue
        lines.append(line)
    yield "\n".join(lines)


def _fence_after(fence: str, line: str, mark: re.Match[str] | None) -> str:
    if not fence:
        return mark[1] if mark else ""
    return "" if mark and mark[1].startswith(fence) and not line.strip("`~ \t") else fence


def _markdown_heading(line: str, before: list[str]) -> Heading | None:
    """Takes the paragraph before a line of signs for the heading that it is; only if it is one line."""
    if match := _ATX.match(line) if len(line) < _LINE_CHARS else None:
        return Heading(len(match[1]), match[2]) if match[2] else None
    match = _SETEXT.match(line)
    is_one_line = len(before) == 1 or (len(before) > 1 and _ENDS_PARAGRAPH.match(before[-2]))
    if match and is_one_line and not _NO_PARAGRAPH.match(before[-1]):
        return Heading(1 if match[1][0] == "=" else 2, before.pop())
    return None


def org(data: bytes) -> Iterator[Block]:
    """Stars at the start of a line, but within blocks of code and examples."""
    lines: list[str] = []
    in_block = False
    for line in decode(data).splitlines():
        if block := _ORG_BLOCK.match(line):
            in_block = block[1].lower() == "begin"
        if not in_block and (heading := _org_heading(line)):
            yield "\n".join(lines)
            yield heading
            lines = []
        else:
            lines.append(line)
    yield "\n".join(lines)


def _org_heading(line: str) -> Heading | None:
    if title := _ORG_TITLE.match(line):
        return Heading(0, title[1])
    match = _ORG.match(line) if len(line) < _LINE_CHARS else None
    return Heading(len(match[1]), match[2]) if match else None


def rst(data: bytes) -> Iterator[Block]:
    """A line of signs below a title, or one below and one above: levels are in the order in which they come."""
    source = decode(data).splitlines()
    levels: list[str] = []
    start = at = 0
    while at < len(source):
        style, title, used = _rst_title(source, at)
        if style:
            yield "\n".join(source[start:at])
            levels += [] if style in levels else [style]
            yield Heading(levels.index(style), title)
            start = at + used
        at += used
    yield "\n".join(source[start:])


def _rst_title(source: list[str], at: int) -> tuple[str, str, int]:
    """Its style, the title and the number of lines; an empty style where there is none."""
    line, below, far_below = [*source[at : at + 3], "", ""][:3]
    rule, title = line.strip(), below.strip()
    if _RST_RULE.match(line) and rule == far_below.strip() and 0 < len(title) <= len(rule):
        return f"{line[0]} above", title, 3
    is_paragraph = (at == 0 or not source[at - 1].strip()) and line[:1].strip() and not _RST_RULE.match(line)
    if is_paragraph and _RST_RULE.match(below) and len(title) >= len(rule):
        return below[0], line, 2
    return "", "", 1
