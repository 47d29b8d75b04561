"""Numbers of spreadsheets as people see them, in the format of their cell, but for what depends on their language."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

_DATES = {
    **dict.fromkeys(range(14, 18), "yyyy-mm-dd"),
    **dict.fromkeys((*range(27, 32), 36, *range(50, 59)), "yyyy-mm-dd"),
    **dict.fromkeys((18, 19, 20, 21, 32, 33, 34, 35), "hh:mm"),
    22: "yyyy-mm-dd hh:mm",
    45: "mm:ss",
    46: "[h]:mm:ss",
    47: "mm:ss",
}
_NUMBERS = {1: "0", 2: "0.00", 3: "0", 4: "0.00", 9: "0%", 10: "0.00%", 37: "0", 38: "0", 39: "0.00", 40: "0.00"}
_BUILTIN = {str(id_): code for id_, code in (_DATES | _NUMBERS).items()}
"""Number formats that files do not spell out, without what depends on the language of the program:
https://learn.microsoft.com/dotnet/api/documentformat.openxml.spreadsheet.numberingformat"""

_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|\[\$(?P<currency>[^\]-]*)[^\]]*\]|(?P<elapsed>\[[hms]+\])|\[[^\]]*\]'
    r"|[_*].|(?P<general>general)|(?P<ampm>am/pm|a/p)|(?P<date>y+|m+|d+|h+|s+)(?P<fraction>\.0+)?"
    r"|(?P<digits>[0#?][0#?.,]*|\.[0#?]+)|(?P<other>.)",
    re.IGNORECASE | re.DOTALL,
)
_DAY_SECONDS = 86_400
_EPOCH, _EPOCH_1904 = datetime(1899, 12, 30), datetime(1904, 1, 1)  # noqa: DTZ001 - dates of a file have no zone
_LAST_DAY = 2_950_000
"""In both counts of days, which end with the year 9999."""
_EXACT_DIGITS = 15
_SHOWN_DIGITS = 11
_MOST_DECIMALS = 15
_MOST_CODE_CHARS = 255
"""Excel takes no longer codes."""


@dataclass(frozen=True, slots=True)
class _Decoration:
    """What a format adds to a number; thousands are not marked, for languages differ in that."""

    before: str
    after: str
    decimals: int
    factor: int
    is_exact: bool
    """Numbers are rounded by hundreds, or written as fractions and powers: they are given as they are."""

    @classmethod
    def of(cls, tokens: Sequence[re.Match[str]]) -> Self | None:
        first = next((at for at, token in enumerate(tokens) if token["digits"]), None)
        if first is None:
            return None
        digits = "".join(token["digits"] or "" for token in tokens)
        signs = {token["other"] for token in tokens}
        is_exact = digits.endswith(",") or not signs.isdisjoint({"/", "E", "e"})
        parts = list(map(_literal, tokens))
        return cls(
            before="".join(parts[:first]).strip(),
            after="" if is_exact else "".join(parts[first:]).rstrip(),
            decimals=min(len(digits.partition(".")[2]), _MOST_DECIMALS),
            factor=100 if "%" in signs else 1,
            is_exact=is_exact,
        )


@dataclass(frozen=True, slots=True)
class Format:
    tokens: Sequence[re.Match[str]]
    """Of the part for positive numbers."""
    is_date: bool
    decoration: _Decoration | None
    epoch: datetime

    @classmethod
    def of(cls, number_format: str, code: str | None, *, from_1904: bool) -> Self:
        """By its id, and the code that the file has for it."""
        if code is None:
            code = _BUILTIN.get(number_format, "")
        code = re.split(r';(?=(?:[^"]*"[^"]*")*[^"]*\Z)', code[:_MOST_CODE_CHARS], maxsplit=1)[0]
        tokens = tuple(_TOKEN.finditer(code))
        is_date = any(token["date"] or token["elapsed"] for token in tokens)
        return cls(tokens, is_date, _Decoration.of(tokens), _EPOCH_1904 if from_1904 else _EPOCH)


def number(value: str, shown: Format | None) -> str:
    """`value` as the file has it, in the given format."""
    try:
        amount = float(value)
    except ValueError:
        return value
    if not math.isfinite(amount):
        return value
    if shown is not None and shown.is_date:
        return _date(amount, shown.tokens, shown.epoch) or _general(amount)
    if shown is not None and shown.decoration is not None:
        return _decorated(amount, shown.decoration)
    return _general(amount)


def _general(amount: float) -> str:
    if amount.is_integer() and abs(amount) < 10**_EXACT_DIGITS:
        return str(int(amount))
    return f"{amount:.{_SHOWN_DIGITS}g}"


def _decorated(amount: float, added: _Decoration) -> str:
    scaled = abs(amount) * added.factor
    written = _general(scaled) if added.is_exact else f"{scaled:.{added.decimals}f}"
    return ("-" if amount < 0 else "") + added.before + written + added.after


def _literal(token: re.Match[str]) -> str:
    return token["quoted"] or token["escaped"] or token["currency"] or (token["other"] or "").strip("()-+") or ""


def _date(serial: float, tokens: Sequence[re.Match[str]], epoch: datetime) -> str:
    if not 0 <= serial <= _LAST_DAY:
        return ""
    if any(token["elapsed"] for token in tokens):
        minutes, seconds = divmod(round(serial * _DAY_SECONDS), 60)
        return f"{minutes // 60}:{minutes % 60:02}" + (f":{seconds:02}" if seconds else "")
    moment = epoch + timedelta(seconds=round(serial * _DAY_SECONDS))
    letters = {token["date"][0].lower() for token in tokens if token["date"]}
    has_time, has_day = bool(letters & {"h", "s"}), bool(letters & {"y", "d"}) or letters == {"m"}
    if has_day and _is_numeric(tokens):
        return _as_written(moment, tokens)
    day = moment.strftime("%Y-%m-%d") if has_day else ""
    clock = moment.strftime("%H:%M:%S" if moment.second else "%H:%M") if has_time else ""
    return f"{day} {clock}".strip()


def _is_numeric(tokens: Sequence[re.Match[str]]) -> bool:
    """Whether it needs no names of months and days, which would be in a language that the file does not tell."""
    dates = [token["date"].lower() for token in tokens if token["date"]]
    return not any(token["ampm"] for token in tokens) and all(len(date) <= 2 or date[0] == "y" for date in dates)  # noqa: PLR2004


def _as_written(moment: datetime, tokens: Sequence[re.Match[str]]) -> str:
    parts: list[str] = []
    before = ""
    for token in tokens:
        if date := (token["date"] or "").lower():
            minutes = date[0] == "m" and before in {"h", "s"}
            parts.append(_field(moment, "n" * len(date) if minutes else date))
            before = date[0]
        else:
            parts.append(token["quoted"] or token["escaped"] or token["other"] or "")
    return "".join(parts).strip()


def _field(moment: datetime, field: str) -> str:
    values = {
        "y": moment.year if len(field) > 2 else moment.year % 100,  # noqa: PLR2004
        "m": moment.month,
        "d": moment.day,
        "h": moment.hour,
        "n": moment.minute,
        "s": moment.second,
    }
    return f"{values[field[0]]:0{len(field)}}"
