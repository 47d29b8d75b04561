"""What a language model wrote when it was asked for other wordings of a question."""

import re
from collections.abc import Sequence

from ..contract import Unavailable

LONGEST = 300
"""Characters of a wording, or three times those of the question: more is an answer, or a remark."""
_THOUGHTS = re.compile(r".*</think>", re.DOTALL)
"""What models that think aloud put before what was asked for."""
_BULLET = re.compile(r"^\s*(?:[-*\u2022\u2013]\s+|\(?\d{1,2}[.):\uff0e\u3001](?!\d)\s*)")
_QUOTES = " \t*_`\"'\u00ab\u00bb\u201c\u201d\u201e\u2018\u2019\u300c\u300d"
_WORD = re.compile(r"\w")
_UNSEARCHABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
"""Control characters and halves of characters: no database takes them."""


def wordings_in(text: str, question: str, most: int) -> Sequence[str]:
    """The lines that may be wordings, each once and none like the question. Raises `Unavailable` if there are none."""
    known = {_folded(question)}
    wordings = []
    for line in _THOUGHTS.sub("", text).splitlines():
        wording = _BULLET.sub("", _UNSEARCHABLE.sub(" ", line)).strip(_QUOTES)
        if _may_be_one(wording, question) and _folded(wording) not in known:
            known.add(_folded(wording))
            wordings.append(wording)
    if not wordings:
        raise Unavailable("the language model wrote no other wording of the question")
    return wordings[:most]


def _may_be_one(line: str, question: str) -> bool:
    """Lines that end with a colon announce what follows."""
    longest = max(LONGEST, 3 * len(question))
    return bool(_WORD.search(line)) and len(line) <= longest and not line.endswith((":", "\uff1a"))


def _folded(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
