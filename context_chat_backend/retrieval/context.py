"""Chooses what of the hits goes into the prompt."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..contract import Hit, SourceId

BYTES_PER_TOKEN = 3
"""Low on purpose: English has about 4 bytes per token, CJK about 3, so that the estimate is rarely too small."""
TITLE_TOKENS = 50
"""Titles are cut to this: a mail's subject may be longer than its text."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A passage with the sources that hold it: more than one where documents share it."""

    title: str
    """One line; may be empty."""
    text: str
    source_ids: tuple[SourceId, ...]

    @property
    def tokens(self) -> int:
        """Estimated."""
        return estimate_tokens(self.title) + estimate_tokens(self.text)


def estimate_tokens(text: str) -> int:
    """Upper estimate of the tokens of a text for the usual language models."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def choose_excerpts(hits: Sequence[Hit], token_budget: int) -> list[Excerpt]:
    """The best hits that fit into the budget, best first; the very best one is cut to size if it must be."""
    chosen: list[Excerpt] = []
    left = token_budget
    for excerpt in _merge_equal_texts(hits):
        fitting = excerpt if chosen else _cut_excerpt(excerpt, token_budget)
        if fitting.tokens <= left:
            chosen.append(fitting)
            left -= fitting.tokens
    return chosen


def cut(text: str, tokens: int) -> str:
    """The beginning of a text, at most this many estimated tokens."""
    return text.encode("utf-8", "replace")[: tokens * BYTES_PER_TOKEN].decode("utf-8", "ignore")


def _merge_equal_texts(hits: Sequence[Hit]) -> list[Excerpt]:
    by_text: dict[str, Excerpt] = {}
    for hit in hits:
        known = by_text.get(hit.text) or Excerpt(cut(" ".join(hit.title.split()), TITLE_TOKENS), hit.text, ())
        source_ids = dict.fromkeys((*known.source_ids, hit.source_id))
        by_text[hit.text] = replace(known, source_ids=tuple(source_ids))
    return list(by_text.values())


def _cut_excerpt(excerpt: Excerpt, tokens: int) -> Excerpt:
    title = cut(excerpt.title, tokens // 4)
    return replace(excerpt, title=title, text=cut(excerpt.text, tokens - estimate_tokens(title)))
