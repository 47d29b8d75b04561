"""Rich Text Format, as its specification 1.9.1 says how to skip what one does not know."""

import codecs
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from .outline import Block, Heading
from .tables import Row, tabular

_TOKEN = re.compile(
    rb"\\(?P<word>[a-zA-Z]{1,32})(?P<number>-?\d{1,10})? ?|\\'(?P<hex>[0-9a-fA-F]{2})|\\(?P<sign>[^a-zA-Z])"
    rb"|(?P<brace>[{}])|(?P<text>[^\\{}\r\n]+)|[\r\n]+|\\",
    re.DOTALL,
)
_BRACE = re.compile(rb"\\bin(\d{1,10}) ?|\\[\\{}]|[{}]")
_SIGNS: Mapping[str, str] = MappingProxyType({
    "tab": "\t", "line": "\n", "lbr": "\n", "softline": "\n", "emdash": "—", "endash": "\u2013", "bullet": "•",
    "lquote": "\u2018", "rquote": "\u2019", "ldblquote": "“", "rdblquote": "”", "emspace": " ", "enspace": " ",
    "qmspace": " ", "~": "\xa0", "_": "-", "-": "", "\\": "\\", "{": "{", "}": "}", "\r": "\n", "\n": "\n",
})  # fmt: skip
_PARAGRAPH_ENDS = frozenset({"par", "sect", "page", "column", "\r", "\n"})
_LEFT_OUT = frozenset(
    word
    for words in (
        "colortbl info pict objdata objclass objname themedata colorschememapping datastore listtable",
        "listoverridetable list listoverride rsidtbl generator xmlnstbl latentstyles fldinst filetbl revtbl bkmkstart",
        "bkmkend nonshppict ftnsep ftnsepc ftncn aftnsep aftnsepc aftncn atnid atnauthor atnref atndate atrfstart",
        "atrfend sp shprslt xe tc tcn private background template docvar userprops pgptbl mmathPr wgrffmtfilter falt",
        "panose passwordhash htmltag mhtmltag datafield",
    )
    for word in words.split()
)
_BESIDE = frozenset({"footnote", "annotation", "shptxt"})
_MARGINS = frozenset({"header", "headerl", "headerr", "headerf", "footer", "footerl", "footerr", "footerf"})
_KNOWN_EXTENSIONS = _BESIDE | {"shpinst", "do", "dptxbxtext", "fldrslt", "pntext", "objemb"}
"""Read although they are marked as what may be skipped."""
_OUTER, _FONTS, _STYLES = "", "fonttbl", "stylesheet"
_CHARSETS: Mapping[int, str] = MappingProxyType({
    77: "mac-roman", 128: "cp932", 129: "cp949", 130: "johab", 134: "gb18030", 136: "big5hkscs", 161: "cp1253",
    162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874",
    238: "cp1250", 255: "cp850",
})  # fmt: skip
_OF_WORDS = MappingProxyType({"mac": "mac-roman", "pc": "cp437", "pca": "cp850"})
_HEADING = re.compile(r"heading ([1-9])", re.IGNORECASE)
_LEVELS = 9
_LAST_UNIT = 0x10000


def rtf(data: bytes) -> Iterator[Block]:
    """Headings, paragraphs and tables, with notes and text boxes where they belong, then headers and footers."""
    reader = _Reader(data)
    at: int | None = 0
    while at is not None:
        at = reader.take(at)
    yield from reader.end()


def _rest_of_group(data: bytes, start: int) -> int:
    """The number of bytes before the brace that ends the group around `start`, or before the end of the data."""
    depth, at = 1, start
    while token := _BRACE.search(data, at):
        at = token.end() + int(token[1] or 0)
        depth += (token[0] == b"{") - (token[0] == b"}")
        if depth == 0:
            return token.start() - start
    return len(data) - start


class _State(NamedTuple):
    """Of a group; the groups within begin with it."""

    destination: str = _OUTER
    is_deleted: bool = False
    is_instead_of_html: bool = False
    font: int = -1
    fallback_chars: int = 1
    """That follow a character in Unicode, for programs that know none."""


@dataclass(slots=True)
class _Flow:
    """A sequence of paragraphs: the body, or what stands beside it."""

    blocks: list[Block] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    beside: list[Block] = field(default_factory=list)
    """What the paragraph refers to."""
    cells: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    is_in_table: bool = False
    level: int | None = None

    def end_paragraph(self) -> None:
        if self.is_in_table:
            self.text.append("\n")
            return
        self.end_table()
        text = "".join(self.text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if text.strip():
            self.blocks.append(text if self.level is None else Heading(self.level, text))
        self.blocks += self.beside
        self.text, self.beside = [], []

    def end_cell(self) -> None:
        self.cells.append("".join(self.text).encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
        self.text = []

    def end_row(self) -> None:
        if self.cells:
            self.rows.append(self.cells)
        self.cells = []

    def end_table(self) -> None:
        self.end_row()
        if self.rows:
            self.blocks += tabular(self.rows)
        self.rows = []

    def end(self) -> list[Block]:
        self.is_in_table = False
        self.end_paragraph()
        return self.blocks


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._state = _State()
        self._around: list[_State] = []
        self._is_first_word = False
        self._is_extension = False
        self._bytes = bytearray()
        """Not decoded yet: a character may be half an escape and half a letter."""
        self._skipped_chars = 0
        self._flows = [_Flow()]
        self._margins: list[Block] = []
        self._code_page = "cp1252"
        self._default_font = -1
        self._fonts: dict[int, str] = {}
        self._levels: dict[int, int] = {}
        self._style = 0
        self._style_name = ""
        self._words: Mapping[str, Callable[[int | None], int | None]] = {
            **dict.fromkeys(_PARAGRAPH_ENDS, self._end_paragraph),
            "pard": self._plain_paragraph,
            "intbl": self._in_table,
            "cell": lambda _: self._flow.end_cell(),
            "nestcell": lambda _: self._flow.end_cell(),
            "row": lambda _: self._flow.end_row(),
            "nestrow": lambda _: self._flow.end_row(),
            "outlinelevel": self._outline_level,
            "s": self._styled,
            "f": lambda number: self._set(font=number or 0),
            "deff": self._take_default_font,
            "plain": lambda _: self._set(font=self._default_font, is_deleted=False),
            "fcharset": self._charset,
            "ansicpg": self._ansi_code_page,
            "uc": lambda number: self._set(fallback_chars=1 if number is None else max(number, 0)),
            "u": self._unicode,
            "deleted": lambda number: self._set(is_deleted=number != 0),
            "htmlrtf": lambda number: self._set(is_instead_of_html=number != 0),
            "bin": lambda number: max(number or 0, 0),
        }

    @property
    def _flow(self) -> _Flow:
        return self._flows[-1]

    def take(self, at: int) -> int | None:
        """Up to bytes that are none of the text: returns where they end. None at the end of the data."""
        for token in _TOKEN.finditer(self._data, at):
            if skipped := self._take(token):
                return token.end() + skipped
        return None

    def _take(self, token: re.Match[bytes]) -> int:
        """Returns the number of bytes behind it that are none of the text."""
        kind = token.lastgroup
        if kind in {"word", "number"}:
            number = token["number"]
            return self._take_word(token["word"].decode(), None if number is None else int(number), token.end())
        if kind == "text":
            self._take_bytes(token["text"])
        elif kind == "hex":
            self._take_bytes(bytes([int(token["hex"], 16)]))
        elif kind == "brace":
            self._decode()
            self._open() if token["brace"] == b"{" else self._close()
        elif kind == "sign":
            return self._take_word(token["sign"].decode("latin-1"), None, token.end())
        return 0

    def end(self) -> Iterator[Block]:
        self._decode()
        while len(self._flows) > 1:
            self._close_flow(self._state.destination)
        yield from self._flow.end()
        yield Heading(0, "")
        yield from dict.fromkeys(block.text if isinstance(block, Heading) else block for block in self._margins)

    # ------------------------------------------------------------------ groups

    def _open(self) -> None:
        self._around.append(self._state)
        self._is_first_word, self._is_extension = True, False
        self._skipped_chars = 0

    def _close(self) -> None:
        if not self._around:
            return
        closed, self._state = self._state, self._around.pop()
        self._is_first_word = False
        if closed.destination == _STYLES and self._state.destination == _STYLES:
            self._name_style()
        if closed.destination != self._state.destination and closed.destination in _BESIDE | _MARGINS:
            self._close_flow(closed.destination)

    def _close_flow(self, destination: str) -> None:
        blocks = self._flows.pop().end()
        if destination in _MARGINS:
            self._margins += blocks
        else:
            self._flow.beside += blocks

    def _begin(self, word: str) -> bool:
        """Whether the first word of a group says what the group is for."""
        if word in {_FONTS, _STYLES}:
            self._set(destination=word)
        elif word in _BESIDE | _MARGINS:
            self._set(destination=word)
            self._flows.append(_Flow())
        else:
            return False
        return True

    # ------------------------------------------------------------------ text

    def _take_bytes(self, data: bytes) -> None:
        skipped = min(self._skipped_chars, len(data))
        self._skipped_chars -= skipped
        self._is_first_word = False
        self._bytes += data[skipped:]

    def _decode(self) -> None:
        if not self._bytes:
            return
        text = self._bytes.decode(self._fonts.get(self._state.font, self._code_page), "replace")
        self._bytes.clear()
        self._write(text)

    def _write(self, text: str) -> None:
        if self._state.is_deleted or self._state.is_instead_of_html:
            return
        if self._state.destination == _STYLES:
            self._style_name += text
        elif self._state.destination != _FONTS:
            self._flow.text.append(text)

    def _take_word(self, word: str, number: int | None, end: int) -> int:
        if word == "*":
            self._is_extension = self._is_first_word
            return 0
        self._decode()
        is_first, self._is_first_word = self._is_first_word, False
        if is_first and (word in _LEFT_OUT or (self._is_extension and word not in _KNOWN_EXTENSIONS)):
            return _rest_of_group(self._data, end)
        if is_first and self._begin(word):
            return 0
        if word in self._words:
            return self._words[word](number) or 0
        if word in _OF_WORDS:
            self._code_page = _OF_WORDS[word]
        elif word in _SIGNS:
            self._write(_SIGNS[word])
        return 0

    # ------------------------------------------------------------------ words

    def _set(self, **changes: object) -> None:
        self._state = self._state._replace(**changes)  # type: ignore[arg-type]

    def _is_shown(self) -> bool:
        return self._state.destination not in {_FONTS, _STYLES}

    def _end_paragraph(self, _: int | None) -> None:
        if self._is_shown():
            self._flow.end_paragraph()

    def _plain_paragraph(self, _: int | None) -> None:
        if self._is_shown():
            self._flow.is_in_table, self._flow.level = False, None

    def _in_table(self, _: int | None) -> None:
        if self._is_shown():
            self._flow.is_in_table = True

    def _outline_level(self, number: int | None) -> None:
        level = None if number is None or not 0 <= number < _LEVELS else number + 1
        if self._state.destination == _STYLES and level is not None:
            self._levels[self._style] = level
        elif self._is_shown():
            self._flow.level = level

    def _styled(self, number: int | None) -> None:
        if self._state.destination == _STYLES:
            self._style, self._style_name = number or 0, ""
        elif self._is_shown():
            self._flow.level = self._levels.get(number or 0)

    def _name_style(self) -> None:
        if heading := _HEADING.fullmatch(self._style_name.strip().rstrip(";")):
            self._levels.setdefault(self._style, int(heading[1]))
        self._style_name = ""

    def _take_default_font(self, number: int | None) -> None:
        self._default_font = number or 0
        self._set(font=self._default_font)

    def _charset(self, number: int | None) -> None:
        if self._state.destination == _FONTS and (code_page := _CHARSETS.get(number or 0)):
            self._fonts[self._state.font] = code_page

    def _ansi_code_page(self, number: int | None) -> None:
        try:
            self._code_page = codecs.lookup(f"cp{number}").name
        except LookupError:
            return

    def _unicode(self, number: int | None) -> None:
        self._write(chr((number or 0) % _LAST_UNIT))
        self._skipped_chars = self._state.fallback_chars
