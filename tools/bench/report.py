"""Tables, and the place in the documentation where they belong."""

import os
import platform
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
PACKAGES = ("context-chat-gateway", "uvicorn", "starlette", "fastapi", "psycopg", "onnxruntime")


@dataclass(frozen=True, slots=True)
class Table:
    """A table with the name of its place in the document."""

    name: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1
    """The first ones, before the numbers."""

    def markdown(self) -> str:
        """One line per row."""
        rule = ["---"] * self.text_columns + ["---:"] * (len(self.head) - self.text_columns)
        return "".join(f"| {' | '.join(row)} |\n" for row in (self.head, rule, *self.rows))


def environment(database: str) -> Table:
    """When, where and with what it was measured."""
    rows = [
        ("date", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
        ("command", f"`{' '.join(['python -m tools.bench', *sys.argv[1:]])}`"),
        ("machine", f"{_cpu_model()}, {len(os.sched_getaffinity(0))} cores, {_memory_gib():.0f} GiB"),
        ("load average", f"{os.getloadavg()[1]:.1f} over the last 5 minutes, of this run and of everything else"),
        ("system", f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"),
        ("database", database),
        ("packages", ", ".join(f"{name} {version(name)}" for name in PACKAGES)),
    ]
    return Table("environment", ("", ""), rows, text_columns=2)


def write(tables: Iterable[Table]) -> None:
    """Replace the tables of the document. Raises `LookupError` when it has no place for one."""
    text = DOCUMENT.read_text("utf-8")
    for table in tables:
        text = _replaced(text, table)
    DOCUMENT.write_text(text, "utf-8")


def _replaced(text: str, table: Table) -> str:
    start, end = f"<!-- bench: {table.name} -->\n", "<!-- bench end -->"
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(text):
        raise LookupError(f"{DOCUMENT} has no place {start.strip()}")
    return pattern.sub(lambda _: f"{start}{table.markdown()}{end}", text)


def _cpu_model() -> str:
    match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
    return match[1] if match else platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
