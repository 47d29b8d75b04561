"""What there is to read documents with, so that it is known when what could not be read may be readable."""

from dataclasses import dataclass
from typing import Literal

from .formats import READER_VERSION

Shortage = Literal["MiB of memory", "s of CPU time", "Tesseract"]


@dataclass(frozen=True, slots=True)
class Reader:
    """One that gives up on a document is named by its version and, where it was short of something, by how much of that
    it had: `"2"`, `"2, MiB of memory: 1024"`, `"2, Tesseract: eng+deu"`."""

    memory_mb: int
    cpu_seconds: int
    ocr_languages: frozenset[str]
    """As Tesseract names them; none where pictures are not read."""

    def name(self, short_of: Shortage | None = None) -> str:
        """Of this one, where it gives up."""
        match short_of:
            case None:
                return str(READER_VERSION)
            case "MiB of memory":
                had = str(self.memory_mb)
            case "s of CPU time":
                had = str(self.cpu_seconds)
            case "Tesseract":
                had = "+".join(sorted(self.ocr_languages))
        return f"{READER_VERSION}, {short_of}: {had}"

    def may_read_what(self, other: str) -> bool:
        """The one of this name gave up on. An empty name is nobody's: nothing knew the type. Of one that does not name
        itself like this nobody knows."""
        version, _, shortage = other.partition(", ")
        if not version.isdecimal():
            return not other
        if int(version) < READER_VERSION:
            return True
        match shortage.partition(": "):
            case "MiB of memory", _, had:
                return self.memory_mb > int(had)
            case "s of CPU time", _, had:
                return self.cpu_seconds > int(had)
            case "Tesseract", _, had:
                return not self.ocr_languages <= set(had.split("+"))
            case _:
                return False
