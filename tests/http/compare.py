"""Plays one conversation with a gateway of each backend and shows where one answers unlike the reference.

    python -m tests.http.compare [BACKEND ...]

Ends with 1 if there is a difference.
"""

import argparse
import http.client
import json
import logging
import re
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile, zip_longest
from pathlib import Path
from typing import Any

import httpx

from tests.gateway import Nextcloud, Reply
from tests.postgres import stop_server

from .backends import BACKENDS, REFERENCE, gateway_of
from .conversation import Step, conversation

Transcript = Sequence[str]
"""What was answered to each step of `conversation`."""

COMPARED_HEADERS = ("content-type", "cc-retry", "retry-after")
"""Those that Nextcloud acts on."""

COLUMNS = (36, 56, 56)
"""Widths in characters: the step, the reference, the other one."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A step that was answered in two ways."""

    step: str
    reference: str
    other: str


def transcript_of(backend: str, folder: Path) -> Transcript:
    """Of a gateway with this backend on a new storage."""
    with gateway_of(backend, folder) as nextcloud:
        return play(nextcloud)


def play(nextcloud: Nextcloud) -> Transcript:
    """Of a gateway whose index is empty."""
    return [_answer(step, nextcloud) for step in conversation()]


def differences(reference: Transcript, other: Transcript) -> list[Difference]:
    """The steps that were not answered alike, in order."""
    steps = [step.name for step in conversation()]
    lines = zip(steps, reference, other, strict=True)
    return [Difference(step, first, second) for step, first, second in lines if first != second]


# ---------------------------------------------------------------------- one answer in one line


def _answer(step: Step, nextcloud: Nextcloud) -> str:
    try:
        return describe(step.send(nextcloud))
    except (httpx.TransportError, http.client.HTTPException, OSError) as error:
        return f"no answer: {type(error).__name__}"


def describe(reply: Reply) -> str:
    """Status, headers and body, without what two good backends may answer differently."""
    sent = [reply.headers[name] for name in COMPARED_HEADERS if name in reply.headers]
    return " ".join([str(reply.status), *sent, _body(reply)])


def _body(reply: Reply) -> str:
    if not reply.headers.get("content-type", "").startswith("application/json"):
        return "(not JSON)"  # metrics and logs: what a gateway did, not what it answers to Nextcloud
    try:
        return json.dumps(_comparable(reply.json()), ensure_ascii=False, sort_keys=True)
    except ValueError:
        return f"(broken JSON) {reply.body!r}"


def _comparable(body: Any) -> Any:
    match body:
        case {"output": str(), "sources": list(sources)}:
            # the text is generated; its sources come in the order of their passages
            return {**body, "output": "(text)", "sources": sorted(sources)}
        case [{"source_id": str()}, *_]:
            # sources that fit equally well come in any order; steps with ctxLimit 1 ask for the best one
            return sorted(body, key=lambda hit: str(hit["source_id"]))
        case {"error": str(text)}:
            # the id of the request is another one each time
            return {**body, "error": re.sub(r"\b[0-9a-f]{32}\b", "(request id)", text)}
        case {"backend": str()}:
            # only `GET /` says it, and only admins ask
            return {**body, "backend": "(name)"}
        case _:
            return body


# ---------------------------------------------------------------------- side by side


def table(found: Sequence[Difference], other: str) -> str:
    """The differences side by side."""
    rows = [("step", REFERENCE, other), *((each.step, *_around(each.reference, each.other)) for each in found)]
    line = "-+-".join("-" * width for width in COLUMNS)
    return f"\n{line}\n".join(_row(row) for row in rows)


def _around(first: str, second: str) -> tuple[str, str]:
    """Both texts near the place where they part."""
    equal = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))
    begin = max(0, equal - COLUMNS[1]) if equal > 3 * COLUMNS[1] else 0
    return _cut(first, begin), _cut(second, begin)


def _cut(text: str, begin: int, most: int = 6 * COLUMNS[1]) -> str:
    shown = text[begin : begin + most]
    return f"{'…' if begin else ''}{shown}{'…' if len(text) > begin + most else ''}"


def _row(cells: Sequence[str]) -> str:
    wrapped = [textwrap.wrap(cell, width) for cell, width in zip(cells, COLUMNS, strict=True)]
    lines = zip_longest(*wrapped, fillvalue="")
    return "\n".join(" | ".join(map(str.ljust, line, COLUMNS)).rstrip() for line in lines)


# ---------------------------------------------------------------------- command line


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.http.compare", description=__doc__.partition("\n")[0])
    others = [name for name in BACKENDS if name != REFERENCE]
    parser.add_argument("backends", metavar="BACKEND", nargs="*", help=f"default: {', '.join(others)}")
    names = [name for name in parser.parse_args(arguments).backends if name != REFERENCE] or others
    if unknown := set(names) - BACKENDS.keys():
        parser.error(f"not in tests/http/backends.py: {', '.join(sorted(unknown))}")
    logging.basicConfig(handlers=[logging.NullHandler()])  # the gateways warn of every bad request
    reference = _transcript_in_new_folder(REFERENCE)
    found = {name: differences(reference, _transcript_in_new_folder(name)) for name in names}
    for name in names:
        if found[name]:
            sys.stdout.write(table(found[name], name) + "\n\n")
    sys.stdout.write(summary(found))
    return int(any(found.values()))


def _transcript_in_new_folder(backend: str) -> Transcript:
    with tempfile.TemporaryDirectory(prefix="ccb-test-") as folder:
        Path(folder).chmod(0o755)  # a PostgreSQL that the gateway embeds may run as another user
        return transcript_of(backend, Path(folder))


def summary(found: dict[str, list[Difference]]) -> str:
    """One line about all backends that were compared."""
    steps = conversation()
    requests = {step.capture for step in steps if step.capture}
    checks = len(steps) - len(requests)
    result = ", ".join(f"{len(each)} differences with {name}" for name, each in found.items() if each)
    backends = ", ".join([REFERENCE, *found])
    return f"{len(requests)} requests and {checks} checks through {backends}: {result or 'no difference'}\n"


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    finally:
        stop_server()
