"""Chooses what of the hits goes into the prompt."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..contract import Hit, SourceId

BYTES_PER_TOKEN = 3
"""Low on purpose: English has about 4 bytes per token, CJK about 3, so that the estimate is rarely too small."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A passage with the sources that hold it: more than one where documents share it."""

    title: str
    text: str
    source_ids: tuple[SourceId, ...]


def estimate_tokens(text: str) -> int:
    """Upper estimate of the tokens of a text for the usual language models."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def choose_excerpts(hits: Sequence[Hit], token_budget: int) -> list[Excerpt]:
    """The best hits that fit into the budget, best first; the very best one is cut to size if it must be."""
    by_text: dict[str, Excerpt] = {}
    left = token_budget
    for hit in hits:
        if (same := by_text.get(hit.text)) is not None:
            source_ids = tuple(dict.fromkeys((*same.source_ids, hit.source_id)))
            by_text[hit.text] = Excerpt(same.title, same.text, source_ids)
            continue
        text = hit.text if by_text else cut(hit.text, token_budget)
        if (cost := estimate_tokens(hit.title + text)) > left and by_text:
            continue
        by_text[hit.text] = Excerpt(hit.title, text, (hit.source_id,))
        left -= cost
    return list(by_text.values())


def cut(text: str, tokens: int) -> str:
    """The beginning of a text, at most this many estimated tokens."""
    return cut_bytes(text, tokens * BYTES_PER_TOKEN)


def cut_bytes(text: str, size: int) -> str:
    """The beginning of a text, at most this many bytes as UTF-8."""
    return text.encode("utf-8", "replace")[:size].decode("utf-8", "ignore")
