"""What an evaluation found, and the file that keeps it."""

from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from ...contract import Misconfigured

KEPT = 10


class Store(StrEnum):
    """How long a store had its documents when it was searched: it may have learned something of them since."""

    FRESH = "fresh"
    KEPT = "kept"
    RESTED = "rested"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Asked(_Part):
    """A question that one user asked."""

    question: str
    kind: str
    reads: str
    """How much this user may read: `all` or `some`."""
    user: str
    seconds: float
    found: list[str]
    """Documents, best first; in a file the first ten."""
    values: dict[str, float]
    """By measure."""

    def shortened(self) -> Self:
        """With the best documents only."""
        return self.model_copy(update={"found": self.found[:KEPT]})


class Leak(_Part):
    """A user got what they may not read."""

    user: str
    question: str
    document: str


class SetResult(_Part):
    """All that was asked of one set."""

    name: str
    corpus: str
    """A digest of what was loaded: only results of the same corpus can be compared."""
    documents: int
    rejected: list[str]
    load_seconds: float
    store: Store
    asked: list[Asked]
    leaks: list[Leak]


class Results(_Part):
    """The contents of a file of `--out`."""

    version: str
    """Of the gateway."""
    backend: str
    changed: list[str]
    """Names of the variables that `--with` set; values may be secrets."""
    sets: list[SetResult]


def write_results(path: Path, results: Results) -> None:
    """Raises `Misconfigured`."""
    try:
        path.write_text(results.model_dump_json() + "\n", "utf-8")
    except OSError as error:
        raise Misconfigured(f"{path} cannot be written: {error.strerror}") from error


def read_results(path: Path) -> Results:
    """Raises `Misconfigured`."""
    try:
        return Results.model_validate_json(path.read_bytes())
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        item = error.errors(include_input=False, include_context=False, include_url=False)[0]
        place = ".".join(map(str, item["loc"]))
        raise Misconfigured(f"{path} is no file of `ccbe eval run --out`: {place}: {item['msg']}") from None
