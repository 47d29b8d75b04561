"""What is told on a terminal."""

import sys
from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]], *, text_columns: int = 1) -> str:
    """Columns as wide as their contents; the first ones are text, the others are aligned at their right ends."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(f"{_line(row, widths, text_columns)}\n" for row in rows)


def say(text: str) -> None:
    """A line about the progress, on stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _line(row: Sequence[str], widths: Sequence[int], text_columns: int) -> str:
    cells = [
        cell.ljust(width) if column < text_columns else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
