"""How the capabilities of a driver are shown: in docs/capabilities.md, and at the end of the kit's table."""

from ..contract import Capabilities

CAPABILITY_HEADER = (
    "| driver | writes answers | a write is searchable | largest source | types |\n|---|---|---|---|---|\n"
)
"""The head of the table in Markdown, with a line break at its end."""

MIB = 2**20


def capability_row(name: str, declared: Capabilities) -> str:
    """The row of a driver in that table, with a line break at its end."""
    settles = f"within {declared.settle_seconds:g} s" if declared.settle_seconds else "at once"
    types = ", ".join(sorted(declared.mime_types)) if declared.mime_types is not None else "any"
    answers = "yes" if declared.answers else "no, the gateway does"
    return f"| {name} | {answers} | {settles} | {_size(declared.max_source_bytes)} | {types} |\n"


def _size(limit: int | None) -> str:
    if limit is None:
        return "any"
    return f"{limit // MIB} MiB" if limit % MIB == 0 else f"{limit} bytes"
