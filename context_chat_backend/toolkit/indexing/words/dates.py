"""Dates in their common spellings."""

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from functools import cache

from babel import Locale

from .fold import MARKS, without_accents

DAY = "@"
"""First character of a token for a date, or a month."""
_PIVOT = 70
"""A year of two digits is of this century if it is less."""

_YEAR_FIRST = re.compile(r"(?<!\d)(\d{4})([-./])(\d{1,2})\2(\d{1,2})(?!\d)")
_DAY_FIRST = re.compile(r"(?<![\d.])(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4}|\d{2})(?!\d|\.\d)")
_EITHER_FIRST = re.compile(r"(?<!\d)(\d{1,2})([-/])(\d{1,2})\2(\d{4}|\d{2})(?!\d)")
_CJK = re.compile(r"(\d{4})\s?[年년]\s?(\d{1,2})\s?[月월](?:\s?(\d{1,2})\s?[日일])?")
_YEAR = re.compile(r"(?<![\d.,])\d{4}(?!\d)")
_LETTERS = rf"((?:[^\W\d_]|[{MARKS}]){{2,12}})"
_DAY = r"(?<!\d)(\d{1,2})(?:st|nd|rd|th|er|o|\u00ba|\u00aa)?"
_BETWEEN = r"[.,]?\s?(?:(?:de|del|di|of)\s|d['\u2019])?"
_BEFORE_YEAR = re.compile(rf"(?:{_DAY}{_BETWEEN})?(?<![^\W\d_]){_LETTERS}(?:{_BETWEEN}{_DAY})?{_BETWEEN}$")
_AFTER_YEAR = re.compile(rf"\.?\s(?:m\.\s|gada\s)?(?:{_DAY}\.?\s)?{_LETTERS}(?:\.?\s{_DAY}(?!\d))?")
"""As in Hungarian, Latvian and Lithuanian."""
_BEFORE_CHARS = 40
LANGUAGES = (
    "ar", "bg", "ca", "cs", "da", "de", "el", "en", "es", "et", "fi", "fr", "hr", "hu", "id", "it", "lt", "lv", "nb",
    "nl", "pl", "pt", "ro", "ru", "sk", "sl", "sr", "sv", "tr", "uk",
)  # fmt: skip
"""Those that write the names of months with letters."""


def dates(text: str) -> Iterator[str]:
    """A token for each day and one for its month; both readings where day and month may be meant either way round,
    which is nowhere so with points between them.

    Takes a text in lower case.
    """
    for match in _YEAR_FIRST.finditer(text):
        yield from _tokens(match[1], match[3], match[4])
    for match in _DAY_FIRST.finditer(text):
        yield from list(_tokens(match[3], match[2], match[1])) or _tokens(match[3], match[1], match[2])
    for match in _EITHER_FIRST.finditer(text):
        yield from {*_tokens(match[4], match[3], match[1]), *_tokens(match[4], match[1], match[3])}
    for match in _CJK.finditer(text):
        yield from _tokens(match[1], match[2], match[3])
    for year in _YEAR.finditer(text):
        before = _BEFORE_YEAR.search(text, max(0, year.start() - _BEFORE_CHARS), year.start())
        for named in filter(None, (before, _AFTER_YEAR.match(text, year.end()))):
            for month in months().get(without_accents(named[2]), ()):
                yield from _tokens(year[0], str(month), named[1] or named[3])


def is_date(written: str) -> bool:
    """In numbers."""
    return any(pattern.fullmatch(written) for pattern in (_YEAR_FIRST, _DAY_FIRST, _EITHER_FIRST))


def is_day(token: str) -> bool:
    """And not just a month."""
    return token.count("-") > 1


def _tokens(year: str, month: str, day: str | None) -> Iterator[str]:
    number = int(year)
    if len(year) == len("24"):
        number += 1900 if number >= _PIVOT else 2000
    with suppress(ValueError):  # no such day
        named = date(number, int(month), int(day or 1)).isoformat()
        yield DAY + named[:7]
        if day is not None:
            yield DAY + named


@cache
def months() -> dict[str, set[int]]:
    """Names and abbreviations of the months, without accents, by the Unicode locale data. Listopad is October in
    Croatian and November in Polish."""
    names: defaultdict[str, set[int]] = defaultdict(set)
    for language in LANGUAGES:
        calendar = Locale(language).months
        for context in ("format", "stand-alone"):
            for width in ("abbreviated", "wide"):
                for number, name in calendar[context][width].items():
                    names[without_accents(name.casefold().strip("."))].add(number)
    return dict(names)
