"""JSON and CSV as lines of `name: value`, so that a chunk from the middle still says what its values are."""

import csv
import json
import sys
from collections.abc import Iterator

from .decoding import decode

_SNIFFED_CHARS = 64_000
_DELIMITERS = ",;\t|"


def json_lines(data: bytes) -> Iterator[str]:
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


def csv_rows(data: bytes) -> Iterator[str]:
    """Every row, the first one included; with a header, the others as lines of `header: value`.

    The labels cost some length, but a row found by a search is understood without the top of the table.
    """
    csv.field_size_limit(sys.maxsize)
    text = decode(data)
    rows = csv.reader(text.splitlines(keepends=True), delimiter=_delimiter(text[:_SNIFFED_CHARS]))
    first = next(rows, [])
    header = first if _is_header(first) else []
    yield _joined(first)
    for row in rows:
        yield _labelled(row, header) if header else _joined(row)


def _delimiter(sample: str) -> str:
    try:
        return csv.Sniffer().sniff(sample, delimiters=_DELIMITERS).delimiter
    except csv.Error:
        return ","


def _is_header(row: list[str]) -> bool:
    """Names and nothing else; a wrong guess would repeat a row of data in every other one."""
    names = {name.strip() for name in row}
    return len(row) > 1 and len(names) == len(row) and all(name and not _is_number(name) for name in names)


def _is_number(cell: str) -> bool:
    return not any(char.isalpha() for char in cell)


def _joined(row: list[str]) -> str:
    return ", ".join(cell.strip() for cell in row if cell.strip())


def _labelled(row: list[str], header: list[str]) -> str:
    labels = [name.strip() + ": " for name in header] + [""] * (len(row) - len(header))
    return "\n".join(label + cell.strip() for label, cell in zip(labels, row, strict=False) if cell.strip())
