"""How documents are ranked. The search for neighbours is exact, unlike Pinecone's."""

import math
import operator
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from tests.doubles.pinecone.errors import not_modelled
from tests.doubles.pinecone.limits import MAX_TOKEN_BYTES

K1, B = 1.2, 0.75


def tokens(text: str) -> list[str]:
    """Words in lower case, without stemming and stop words; a long one is cut off."""
    return [_cut(word) for word in re.findall(r"\w+", text.lower())]


def _cut(word: str) -> str:
    return word.encode()[:MAX_TOKEN_BYTES].decode(errors="ignore")


def similarity(metric: str, query: Sequence[float], vector: Sequence[float]) -> float:
    product = math.fsum(map(operator.mul, query, vector))
    if metric == "dotproduct":
        return product
    if metric != "cosine":
        raise not_modelled(f"search by the metric {metric}")
    return product / (math.hypot(*query) * math.hypot(*vector))


def bm25(query: str, texts: Mapping[str, str]) -> dict[str, float]:
    """By document; those with none of the words have no score. `texts` are all of the namespace."""
    words = {id_: tokens(text) for id_, text in texts.items()}
    average = sum(map(len, words.values())) / max(1, len(words))
    scores: dict[str, float] = defaultdict(float)
    for word in set(tokens(query)):
        holders = {id_: found.count(word) for id_, found in words.items() if word in found}
        rarity = math.log(1 + (len(words) - len(holders) + 0.5) / (len(holders) + 0.5))
        for id_, times in holders.items():
            length = len(words[id_]) / average
            scores[id_] += rarity * times * (K1 + 1) / (times + K1 * (1 - B + B * length))
    return dict(scores)
