"""Chooses what of the hits goes into the prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from ..contract import Hit, SourceId
from .tokens import Tokens

TITLE_TOKENS = 50
"""Titles are cut to this: a mail's subject may be longer than its text."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A passage with the sources that hold it: more than one where documents share it."""

    title: str
    """One line; may be empty."""
    text: str
    source_ids: tuple[SourceId, ...]
    heading: str = ""
    """The headings above it, outermost first."""


def choose_excerpts(hits: Sequence[Hit], token_budget: int, tokens: Tokens) -> list[Excerpt]:
    """The best hits that fit into the budget, in the order of their best one; those that follow each other in their
    document are one excerpt. Hits are taken whole, only the very best one is cut to size if it must be."""
    chosen: list[Hit] = []
    left = token_budget
    holders: dict[str, dict[SourceId, None]] = {}
    """Of each text that is in, in the order in which they were found."""
    shown: dict[str, str] = {}
    """The texts that are in, as they were found, and as they are."""
    for hit in hits:
        if hit.text in shown:
            holders[shown[hit.text]].setdefault(hit.source_id)
            continue
        fitting = _shortened(hit, tokens) if chosen else _cut_to_size(_shortened(hit, tokens), token_budget, tokens)
        size = sum(map(tokens.count, (fitting.title, fitting.heading, fitting.text)))
        if size <= left:
            chosen.append(fitting)
            shown[hit.text] = fitting.text
            holders.setdefault(fitting.text, {}).setdefault(hit.source_id)
            left -= size
    return [_excerpt(run, holders) for run in _neighbours(chosen)]


def _shortened(hit: Hit, tokens: Tokens) -> Hit:
    return replace(hit, title=tokens.cut(" ".join(hit.title.split()), TITLE_TOKENS))


def _cut_to_size(hit: Hit, budget: int, tokens: Tokens) -> Hit:
    title, heading = tokens.cut(hit.title, budget // 4), tokens.cut(hit.heading, budget // 4)
    left = budget - tokens.count(title) - tokens.count(heading)
    return replace(hit, title=title, heading=heading, text=tokens.cut(hit.text, left))


def _neighbours(hits: Sequence[Hit]) -> list[list[Hit]]:
    """Runs of hits that follow each other in their document, in the order of the first found of each."""
    runs: dict[Hit, list[Hit]] = {}
    previous: Hit | None = None
    for hit in sorted(hits, key=lambda hit: (hit.source_id, hit.ordinal)):
        run = runs[previous] if previous is not None and _follows(hit, previous) else []
        run.append(hit)
        runs[hit] = run
        previous = hit
    return list({id(runs[hit]): runs[hit] for hit in hits}.values())


def _follows(hit: Hit, other: Hit) -> bool:
    return (hit.source_id, hit.ordinal) == (other.source_id, other.ordinal + 1)


def _excerpt(run: Sequence[Hit], holders: Mapping[str, Mapping[SourceId, None]]) -> Excerpt:
    sources = dict.fromkeys([run[0].source_id, *(source_id for hit in run for source_id in holders[hit.text])])
    return Excerpt(run[0].title, _joined(run), tuple(sources), run[0].heading)


def _joined(run: Sequence[Hit]) -> str:
    """A heading that changes on the way is shown where it does."""
    parts: list[str] = []
    for heading, part in groupby(run, key=lambda hit: hit.heading):
        text = "\n".join(hit.text for hit in part)
        parts.append(f"{heading}\n{text}" if parts and heading else text)
    return "\n\n".join(parts)
