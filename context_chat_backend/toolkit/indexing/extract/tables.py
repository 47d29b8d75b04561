"""Tables: which row names the columns, and how rows are written. CSV, and JSON as lines of `name: value`."""

import csv
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, pairwise, repeat

from .decoding import decode
from .outline import HEADER_CHARS, Block, Table, one_line

Row = Sequence[str]

_LOOKED_AT = 200
"""Rows of a table in which its header is looked for, and by which it is told from data."""
_HEADER_WITHIN = 40
_COMPARED = 25
_HEADER_CELL_CHARS = 120
_NUMBERS_SHARE = 0.6
_BATCH = 500
_NUMBER_CHARS = 40
_STEP_DIGITS, _FEWEST_STEPS = 4, 3
_YEARS = range(1900, 2101)
_NUMBER = re.compile(r"[^\W\d_]{0,3}[^\w]*\d[\W\d_]*[^\W\d_]{0,3}\W*|[\W\d_]+")
"""Amounts with a unit, dates, times, phone numbers, and signs that stand for none of these."""


def row(cells: Row) -> str:
    """One line, empty at the end if need be; cells keep their place, so that they can be read by the header."""
    return " | ".join(one_line(cell) for cell in cells).rstrip(" |")


def tabular(rows: Iterable[Row]) -> Iterator[Block]:
    """Parts that blank rows separate, each below its own header, or below that of the part before."""
    header: Row = ()
    alone: Row = ()
    for part in _parts(rows):
        looked_at = list(islice(part, _LOOKED_AT))
        margin = min(map(_margin, looked_at))
        first: Sequence[Row] = [cells[margin:] for cells in looked_at]
        if len(first) == 1 and len(first[0]) != len(header):
            yield row(alone)
            alone, header = first[0], ()
            continue
        above, header, first = _divided(first, alone, header)
        yield _lines(above)
        yield from _written(header, chain(first, map(_without_margin, part, repeat(margin))))
        alone = ()
    yield row(alone)


def _divided(rows: Sequence[Row], alone: Row, before: Row) -> tuple[Sequence[Row], Row, Sequence[Row]]:
    """What is above the header, the header, what is below; `alone` is a row with a blank one between, `before` the
    header of the part before."""
    at = _header_at(rows)
    if at is not None:
        return [alone, *rows[:at]], rows[at], rows[at + 1 :]
    if len(alone) > 1 and len(alone) >= _width(rows) and _names_columns(alone, rows[:_COMPARED]):
        return [], alone, rows
    return [alone], before if len(before) == _width(rows) else (), rows


def _parts(rows: Iterable[Row]) -> Iterator[Iterator[Row]]:
    """Each is to be used up before the next one is asked for."""
    waiting = iter(rows)
    for first in waiting:
        if _is_filled(first):
            yield map(_trimmed, chain([first], _until_blank(waiting)))


def _until_blank(rows: Iterator[Row]) -> Iterator[Row]:
    for cells in rows:
        if not _is_filled(cells):
            return
        yield cells


def _written(header: Row, rows: Iterator[Row]) -> Iterator[Block]:
    names = row(header)
    if len(names) > HEADER_CHARS:  # of no use above each piece
        yield names
        names = ""
    if not names.strip():
        yield from iter(lambda: _lines(islice(rows, _BATCH)), "")
        return
    nothing = True
    while lines := _lines(islice(rows, _BATCH)):
        yield Table(names, lines)
        nothing = False
    if nothing:
        yield names


def _lines(rows: Iterable[Row]) -> str:
    return "\n".join(map(row, rows))


def _is_filled(cells: Row) -> bool:
    return any(cell and not cell.isspace() for cell in cells)


def _trimmed(cells: Row) -> Row:
    """Without the empty cells at its end."""
    length = len(cells)
    while length and not cells[length - 1].strip():
        length -= 1
    return cells[:length]


def _margin(cells: Row) -> int:
    return next(at for at, cell in enumerate(cells) if cell.strip())


def _without_margin(cells: Row, margin: int) -> Row:
    return cells if _is_filled(cells[:margin]) else cells[margin:]


def _width(rows: Sequence[Row]) -> int:
    """Columns of the widest rows of which there are several."""
    lengths = Counter(map(len, rows))
    return max((length for length, number in lengths.items() if number > 1), default=max(lengths, default=0))


def _header_at(rows: Sequence[Row]) -> int | None:
    """The first row that names the columns of those below it. What people write above a table is shorter."""
    width = _width(rows)
    if width <= 1:
        return None
    for at, cells in enumerate(rows[: min(_HEADER_WITHIN, len(rows) - 1)]):
        filled = [cell for cell in cells if cell.strip()]
        if len(filled) > width // 2 and len(cells) <= width and _names_columns(cells, rows[at + 1 :][:_COMPARED]):
            return at
    return None


def _names_columns(cells: Row, below: Sequence[Row]) -> bool:
    """Whether it is of another kind than what is below: a wrong guess would repeat a row of data above all others."""
    names = [one_line(cell) for cell in cells if cell.strip()]
    if len(set(names)) < len(names) or any(len(name) > _HEADER_CELL_CHARS for name in names):
        return False
    if any(tell(names) and not any(map(tell, below)) for tell in (_are_years, _are_steps)):
        return True
    against = 0
    in_favour = 0
    for column, name in enumerate(cells):
        others = [other[column].strip() for other in below if column < len(other) and other[column].strip()]
        numbers = sum(map(_is_number, others)) > len(others) * _NUMBERS_SHARE
        if name.strip() and (_is_number(name) or name.strip() in others):
            against += bool(others) and (numbers or name.strip() in others)
        elif name.strip() and numbers:
            in_favour += 1
    is_full = len(names) == len(cells) >= max(map(len, below))
    return in_favour > against or (against == 0 and is_full and not any(map(_is_number, names)))


def _are_years(cells: Row) -> bool:
    """Two or more, and no other numbers."""
    numbers = [cell.strip() for cell in cells if _is_number(cell)]
    return len(numbers) > 1 and all(number.isdecimal() and int(number) in _YEARS for number in numbers)


def _are_steps(cells: Row) -> bool:
    """Three or more numbers that follow each other, as months and days do."""
    names = [cell.strip() for cell in cells if cell.strip()]
    numbers = [int(name) for name in names if name.isdecimal() and len(name) <= _STEP_DIGITS]
    steps = {later - earlier for earlier, later in pairwise(numbers)}
    return len(numbers) >= max(_FEWEST_STEPS, len(names) - 2) and steps in ({1}, {-1})


def _is_number(cell: str) -> bool:
    text = cell.strip()
    return len(text) <= _NUMBER_CHARS and bool(_NUMBER.fullmatch(text))


# ---------------------------------------------------------------------- CSV

_DELIMITERS = "\t;|,"
"""The likeliest first: commas are in numbers and sentences as well."""
_SAMPLE_CHARS = 64_000
_SAMPLE_ROWS = 200
_NEARLY = 0.8
_SEP = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)


def csv_rows(data: bytes) -> Iterator[Block]:
    """Also what banks and office programs write: lines above the header, `sep=;`, blank lines, tabs."""
    csv.field_size_limit(sys.maxsize)
    text = decode(data)
    if declared := _SEP.match(text):
        delimiter, text = declared[1], text[declared.end() :]
    else:
        delimiter = _delimiter(text[:_SAMPLE_CHARS])
    # newline="": as lines are read, a cell may hold breaks of lines, and other characters break none
    yield from tabular(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def _delimiter(sample: str) -> str:
    """The one by which most rows have the same number of cells. Takes linear time, unlike `csv.Sniffer`."""
    shares = {delimiter: _share(sample, delimiter) for delimiter in _DELIMITERS}
    best = max(shares.values())
    return next(delimiter for delimiter, share in shares.items() if share >= best * _NEARLY) if best else ","


def _share(sample: str, delimiter: str) -> float:
    if delimiter not in sample:
        return 0
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
    lengths = [len(cells) for cells in islice(reader, _SAMPLE_ROWS) if cells]
    several = Counter(length for length in lengths if length > 1)
    return several.most_common(1)[0][1] / len(lengths) if several else 0


# ---------------------------------------------------------------------- JSON


def json_lines(data: bytes) -> Iterator[Block]:
    """`author.name: Jane` per value, a blank line between the items of a list; nulls and blank strings left out.

    What is not JSON (several documents in one file, comments) or nested too deeply is read as plain text.
    """
    text = decode(data)
    try:
        # Pairs, for a dict would lose the first of two equal keys; numbers as they are written.
        document = json.loads(text, object_pairs_hook=_Members, parse_int=str, parse_float=str)
        yield from ["\n".join(_values(item, "")) for item in _items(document)]
    except (ValueError, RecursionError, MemoryError):
        yield text


class _Members(list[tuple[str, object]]):
    """The members of a JSON object."""


def _items(document: object) -> list[object]:
    return document if isinstance(document, list) and not isinstance(document, _Members) else [document]


def _values(value: object, path: str) -> Iterator[str]:
    if isinstance(value, _Members):
        for key, member in value:
            yield from _values(member, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for item in value:
            yield from _values(item, path)
            if isinstance(item, _Members):
                yield ""
    elif value is not None and (line := _scalar(value)):
        yield f"{path}: {line}" if path else line


def _scalar(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).strip()
