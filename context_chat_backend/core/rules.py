"""What the admin wants to be indexed: a file of rules, of which the first that fits a source decides.

    [[rule]]
    index = false
    path = ["Archive/*", "*/node_modules/*"]
    type = "image/*"
    larger_than = "20 MiB"

A rule fits when all its conditions do, a condition with several patterns when one of them does. `*` stands for any
characters, also for `/`. What no rule fits is indexed.
"""

import hashlib
import tomllib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, ValidationError

from ..contract import Misconfigured, ProviderId, UserId

FILES_FOLDER = "files/"
"""In front of the path of each file, in the title that Nextcloud sends."""


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _without_folder(patterns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(pattern.removeprefix(FILES_FOLDER) for pattern in patterns)


Patterns = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]
Paths = Annotated[Patterns, AfterValidator(_without_folder)]
"""As a user sees them, or as `ccbe sources list` prints them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What rules look at."""

    provider: ProviderId
    title: str
    mime_type: str
    size: int
    """Bytes."""
    user_ids: Collection[UserId] | None
    """The readers; None where nobody knows them."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules say of a source."""

    index: bool | None
    """None where nobody can tell without its readers."""
    reason: str
    """Which rule decides."""


class Rule(BaseModel):
    """One rule of the file. Conditions that are not set fit everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    index: bool
    path: Paths | None = None
    type: Patterns | None = None
    provider: Patterns | None = None
    larger_than: ByteSize | None = None
    smaller_than: ByteSize | None = None
    readers: Patterns | None = None
    """Every reader has to fit one of these."""

    def fits(self, source: Described) -> bool | None:
        """None where only the readers could tell, and nobody knows them."""
        conditions = (
            _all_fit([source.title.removeprefix(FILES_FOLDER)], self.path),
            _all_fit([source.mime_type], self.type),
            _all_fit([source.provider], self.provider),
            self.larger_than is None or source.size > self.larger_than,
            self.smaller_than is None or source.size < self.smaller_than,
        )
        if not all(conditions):
            return False
        if self.readers is None:
            return True
        return None if source.user_ids is None else _all_fit(source.user_ids, self.readers)


SIZE = 'expected a number of bytes, or a text such as "20 MiB"'
PATTERNS = "expected a pattern, or a list of patterns"
EXPECTED = {
    "index": "expected true or false",
    "path": PATTERNS,
    "type": PATTERNS,
    "provider": PATTERNS,
    "readers": PATTERNS,
    "larger_than": SIZE,
    "smaller_than": SIZE,
}
CONDITIONS = ", ".join(field for field in EXPECTED if field != "index")


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rule: tuple[Rule, ...] = ()


class Rules:
    """Of one installation."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules = rules

    @property
    def digest(self) -> str:
        """Equal for equal rules."""
        return hashlib.sha256(repr(self._rules).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self._rules)

    def decide(self, source: Described) -> Decision:
        """Whether a source is to be indexed."""
        for number, rule in enumerate(self._rules, start=1):
            match rule.fits(source):
                case True:
                    return Decision(rule.index, f"rule {number} of the admin")
                case None:
                    return Decision(None, f"rule {number} of the admin")
                case False:
                    continue
        return Decision(True, "no rule of the admin")


def read_rules(path: Path) -> Rules:
    """Raises `Misconfigured`, with the number of the rule and the field."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return Rules(_File.model_validate(content).rule)
    except OSError as error:
        raise Misconfigured(f"INDEX_RULES: {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misconfigured(f"INDEX_RULES: {path} is not TOML: {error}") from error
    except ValidationError as error:
        raise Misconfigured(f"INDEX_RULES: {path}: {_first_fault(error)}") from error


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    match fault["loc"]:
        case ("rule", int(number), str(field), *_):
            where = f"rule {number + 1}, {field}"
            return f"{where}: {EXPECTED.get(field, f'there is no such condition; there are {CONDITIONS}')}"
        case _:
            return "each rule begins with a line [[rule]], and nothing else stands beside rules"


def _all_fit(values: Iterable[str], patterns: Sequence[str] | None) -> bool:
    """Whether each value fits one of the patterns."""
    return patterns is None or all(any(_fits(value, pattern) for pattern in patterns) for value in values)


def _fits(value: str, pattern: str) -> bool:
    return fnmatchcase(value, pattern.replace("[", "[[]"))
