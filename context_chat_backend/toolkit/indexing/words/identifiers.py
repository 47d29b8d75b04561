"""Codes, file names and numbers: written in one way, and typed in others.

What stands between the parts of an identifier does not count: `RE-2024-0815` and `re 2024 0815` are one.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from .dates import is_date
from .fold import MARKS, visible, without_accents, without_umlauts

MARK = "#"
"""First character of a token that stands for an identifier."""
NAME = "="
"""First character of the token for the name of a document."""
LONGEST = 64
"""Characters of an identifier; longer ones are encoded data."""
TITLES_KEPT = 32
"""A document has many chunks."""
MOST_FOLDERS = 4
"""Folders above a document that its path is found from."""
MOST_PARTS = 8
"""What has more parts is found as a whole and by its single parts only."""
DIVIDED = 3
"""Parts of what may be written as one word, as in `e-mail`."""
MOST_GROUPS = 9
"""Groups that blanks separate within one identifier: an IBAN has no more."""
QUESTION_GROUPS = 4
"""Words of a question that are tried as one identifier."""
NAME_PARTS = range(2, 10)
"""A document with a name of one word is no more likely to be meant by that word than others."""
TELLING_PARTS = 3
"""Two words are a phrase that many questions have, unless one is a number."""
NAMING_PARTS = 50
"""The rest of a longer question hardly names a document."""
SHORT_NUMBER = 2
"""Digits of a part that says nothing without the others."""
DISTINCTIVE_DIGITS, DISTINCTIVE_NUMBER = 3, 4
"""With letters, and without. What has fewer is a quantity, a version, a chapter: many texts have it that have nothing
to do with each other."""
TELEPHONE_DIGITS = 7
"""Numbers as long are found with zeros before them and without: a country's code takes the place of the first."""
NAME_LETTERS = 5
"""Longest name in capitals that is taken for the beginning of the digits after it, as in `INV 4711 22`."""

UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af]+"
)
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese, which have no blanks between words, and Korean, which writes several
together."""
_SIGN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af]")
_COMPOUND = re.compile(
    rf"[^\W_](?:[^\W_]|[{MARKS}])*(?:[-\u2010-\u2015./_:@+\\'\u2019&,]{{1,3}}[^\W_](?:[^\W_]|[{MARKS}])*)*"
)
_PART = re.compile(rf"\d+|[^\W\d_](?:[^\W\d_]|[{MARKS}])*")
_YEAR = re.compile("(?:19|20)[0-9]{2}")
_FILE = re.compile(r"(?:.*[/\\])?([^/\\]+?)(?:\.[A-Za-z]\w{0,7})?", re.DOTALL)
_ADDRESS = re.compile(r"\w{2,}(?:[.@]\w+)*")
_ADDRESS_END = re.compile(r"[^\W\d_]{2}$")
_FOLDER = re.compile(r"[/\\]+")
_SEPARATOR = re.compile("[._@]")
_CAMEL = re.compile("(?<=[a-z])(?=[A-Z])")


class Compound(NamedTuple):
    """What stands between blanks, without the punctuation around it."""

    parts: tuple[str, ...]
    """Runs of letters or of digits, in lower case."""
    has_digits: bool
    is_name: bool
    """Short and in capitals."""
    is_address: bool
    """Of a file, a mailbox, a host, or a name in a program."""
    is_date: bool
    """Its parts say nothing without the others."""
    follows: bool
    """Nothing but a blank is between it and the one before."""

    @property
    def words(self) -> list[str]:
        """What is no number, and as one word what a hyphen or the like divides."""
        if not self.has_digits:
            whole = ["".join(self.parts)] if 1 < len(self.parts) <= DIVIDED else []
            return [*self.parts, *whole]
        return [part for part in self.parts if not part.isdecimal()]

    def distinctive(self) -> Iterator[str]:
        """The token of all of it, if that shows which text is meant."""
        if not self.is_date and (self.has_digits or self.is_address):
            yield from (token for token in join(self.parts) if self.is_address or is_distinctive(token))

    def identifiers(self) -> Iterator[str]:
        """The tokens of all that may be typed for it, or for a part of it, longest first."""
        count = len(self.parts)
        if count == 1 and not self.has_digits:
            return
        yield from join(self.parts)
        if count == 1 or not self.has_digits or self.is_date:
            return
        for length in range(count - 1, 1, -1) if count <= MOST_PARTS else ():
            for start in range(count - length + 1):
                some = self.parts[start : start + length]
                if any(part.isdecimal() for part in some):
                    yield from join(some)
        yield from (MARK + part for part in self.parts if part.isdecimal() and len(part) > SHORT_NUMBER)


def join(parts: Sequence[str]) -> Iterator[str]:
    """The token of an identifier with these parts, if it is not too long for one."""
    joined = _folded(parts)
    if joined.isdecimal() and len(joined) >= TELEPHONE_DIGITS:
        joined = joined.lstrip("0")
    if 0 < len(joined) <= LONGEST:
        yield MARK + joined


def name(title: str) -> Iterator[str]:
    """The token for the name that a title is, without folders and extension."""
    file = _FILE.fullmatch(visible(title))
    parts = [part for compound in compounds(file[1]) for part in compound.parts] if file else []
    if len(parts) in NAME_PARTS:
        yield from _name(parts)


@lru_cache(TITLES_KEPT)
def paths(title: str) -> tuple[str, ...]:
    """The tokens of what may be typed for a document in folders: its file, and that with some of its folders."""
    folders = _FOLDER.split(visible(title))
    ends = ("/".join(folders[start:]) for start in range(max(1, len(folders) - MOST_FOLDERS), len(folders)))
    written = (compound for end in ends for found in [compounds(end)] for compound in (*found[:1], *found[-1:]))
    return tuple(dict.fromkeys(token for compound in written for token in compound.identifiers()))


def names(found: Sequence[Compound], stop_words: Collection[str]) -> Iterator[str]:
    """What may be the name of a document in a question, longest first."""
    parts = [part for compound in found for part in compound.parts][:NAMING_PARTS]
    for length in reversed(NAME_PARTS):
        for start in range(len(parts) - length + 1):
            some = parts[start : start + length]
            telling = [part for part in some if part not in stop_words]
            if len(telling) >= TELLING_PARTS or (len(telling) > 1 and any(map(str.isdecimal, telling))):
                yield from _name(some)


def _name(parts: Sequence[str]) -> Iterator[str]:
    joined = _folded(parts)
    if len(joined) <= LONGEST:
        yield NAME + joined


def _folded(parts: Sequence[str]) -> str:
    return without_umlauts(without_accents("".join(parts)))


def compounds(text: str) -> list[Compound]:
    """Of a visible text, with its capitals."""
    if not text.isascii():
        text = UNSPACED.sub(r" \g<0> ", text)
    found: list[Compound] = []
    end = 0
    for match in _COMPOUND.finditer(text):
        found.append(_compound(match[0], follows=text[end : match.start()] == " "))
        end = match.end()
    return found


def signs(text: str) -> list[str]:
    """Characters that may be words: Chinese ones, which Japanese has, too, and syllables of Korean."""
    return [] if text.isascii() else _SIGN.findall(text)


def _compound(written: str, *, follows: bool) -> Compound:
    if written.isalpha() and (written.islower() or (len(written) > 1 and written.istitle())):
        # most are: saves a third of the time
        return Compound((written.lower(),), False, False, False, False, follows)
    parts = tuple(_PART.findall(_CAMEL.sub("_", written).lower()))
    return Compound(
        parts,
        has_digits=any(part.isdecimal() for part in parts),
        is_name=len(written) <= NAME_LETTERS and written.isupper(),
        is_address=_is_address(_FOLDER.split(written)[-1]),
        is_date=is_date(written),
        follows=follows,
    )


def _is_address(written: str) -> bool:
    """In steps none of which can read a character twice: texts are hostile."""
    end = _ADDRESS_END.search(written, len(written) - 2)
    return (
        end is not None and _SEPARATOR.search(written, 2, end.start()) is not None and bool(_ADDRESS.fullmatch(written))
    )


def is_distinctive(token: str) -> bool:
    """Whether who types this number, code or name wants the text that has it. A year says too little."""
    if token.startswith(NAME):
        return True
    written = token.removeprefix(MARK)
    digits = "".join(filter(str.isdecimal, written))
    least = DISTINCTIVE_DIGITS if len(digits) < len(written) else DISTINCTIVE_NUMBER
    return len(digits) >= least and not _YEAR.fullmatch(digits)


def separated(found: Sequence[Compound]) -> Iterator[str]:
    """Identifiers whose parts single blanks separate: groups that all have digits, perhaps with a name before them.
    Also without the first ones: a telephone number has several beginnings."""
    run: list[Compound] = []
    for compound in found:
        if compound.has_digits and run and compound.follows and len(run) < MOST_GROUPS:
            run.append(compound)
        else:
            yield from _of_run(run)
            run = [compound] if compound.has_digits or compound.is_name else []
    yield from _of_run(run)


def _of_run(run: Sequence[Compound]) -> Iterator[str]:
    for start in range(len(run) - 1):
        yield from join([part for compound in run[start:] for part in compound.parts])


def windows(found: Sequence[Compound]) -> Iterator[str]:
    """What may be an identifier in a question, longest first."""
    for length in range(QUESTION_GROUPS, 1, -1):
        for start in range(len(found) - length + 1):
            some = found[start : start + length]
            if any(compound.has_digits for compound in some):
                yield from join([part for compound in some for part in compound.parts])
