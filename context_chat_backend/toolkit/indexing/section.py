"""What reading a document gives, and splitting takes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of a document that stands under the same headings."""

    text: str
    """Not blank. In a table a line is a row."""
    headings: tuple[str, ...] = ()
    """Those above it, outermost first, a line each."""
    header: str = ""
    """The line with the names of the columns where `text` is the rows of a table: rows are not understood without."""
