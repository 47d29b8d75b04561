"""ROUGE-L: how much of an answer's words are those of another one, in the same order (Lin 2004, section 3.1)."""

import re
from collections.abc import Sequence

_UNSPACED = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
"""Words; single characters in scripts that put no blanks between them."""


def rouge_l(reference: str, answer: str) -> float:
    """F1 of the longest common subsequence of words, regardless of case; 0 if either has none."""
    expected, given = (_TOKEN.findall(text.casefold()) for text in (reference, answer))
    if not expected or not given:
        return 0.0
    return 2 * _longest_common(expected, given) / (len(expected) + len(given))


def _longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """The length of their longest common subsequence."""
    lengths = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for column, other in enumerate(second, start=1):
            above = lengths[column]
            lengths[column] = diagonal + 1 if word == other else max(above, lengths[column - 1])
            diagonal = above
    return lengths[-1]
