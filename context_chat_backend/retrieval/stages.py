"""The stages that choose hits by nothing but themselves, and which stages there are for what."""

import re
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from anyio import CapacityLimiter, to_thread

from ..contract import Hit, Query, SourceId, SourceScope
from .pipeline import Search, Stage
from .settings import StageName

OVER_FETCH = 2
"""Stages that drop or move hits ask for so many times as many."""
ALIKE = 0.7
"""Share of their shingles that two near-duplicates have in common."""
SHINGLE = 3
"""Words."""
AT_A_TIME = 3
"""Hits of one source before others have their turn."""
DOCUMENTS = 3
"""Sources that are looked through a second time."""
FOLDED_AT_ONCE = 4
_WORD = re.compile(r"\w+")


class Fold:
    """Drops chunks that say nearly the same as a better one: versions of a file, quoted mails.

    Those with other numbers stay, as two invoices are not one, and those that say just the same: they take no room, and
    their sources are shown together."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._threads = CapacityLimiter(FOLDED_AT_ONCE)  # of its own: uploads use up the common ones while a disk hangs

    async def __call__(self, query: Query) -> Sequence[Hit]:
        hits = await self._search(replace(query, limit=OVER_FETCH * query.limit))
        return await to_thread.run_sync(_folded, hits, query.limit, limiter=self._threads)


class Diversify:
    """Has no source take all places: after some of its chunks others have their turn."""

    def __init__(self, search: Search) -> None:
        self._search = search

    async def __call__(self, query: Query) -> Sequence[Hit]:
        hits = await self._search(replace(query, limit=OVER_FETCH * query.limit))
        taken: Counter[SourceId] = Counter()
        rounds: dict[int, list[Hit]] = {}
        for hit in hits:
            rounds.setdefault(taken[hit.source_id] // AT_A_TIME, []).append(hit)
            taken[hit.source_id] += 1
        return [hit for number in sorted(rounds) for hit in rounds[number]][: query.limit]


class WholeDocuments:
    """Looks a second time, through the best sources only: what stands around a find is seldom found by itself."""

    def __init__(self, search: Search) -> None:
        self._search = search

    async def __call__(self, query: Query) -> Sequence[Hit]:
        hits = await self._search(query)
        best = list(dict.fromkeys(hit.source_id for hit in hits))[:DOCUMENTS]
        if not best:
            return hits
        inside = await self._search(replace(query, scope=SourceScope(frozenset(best))))
        return _alternating(hits, inside)[: query.limit]


CHOOSING: Mapping[StageName, Stage] = {"fold": Fold, "documents": WholeDocuments, "diversify": Diversify}
"""By the name in the settings."""


@dataclass(frozen=True, slots=True)
class Stages:
    """Those of each kind of search, from the first to the last."""

    of_answers: Sequence[Stage] = ()
    of_documents: Sequence[Stage] = ()


def stages_named(names: Sequence[StageName], ordering: Mapping[StageName, Stage]) -> Stages:
    """The one place where it is decided what a search passes through. An answer is written from what all of them leave.
    Whoever looks for documents is shown every one, so only the order is a matter of stages there. `ordering` has those
    of that kind that are named."""
    known = {**CHOOSING, **ordering}
    return Stages(
        of_answers=[known[name] for name in names],
        of_documents=[known[name] for name in names if name in ordering],
    )


def _folded(hits: Sequence[Hit], limit: int) -> list[Hit]:
    """Compares each with each: seconds for hundreds of them."""
    kept: dict[Hit, Print] = {}
    for hit in hits:
        fingerprint = print_of(hit.text)
        if not any(hit.text != other.text and alike(fingerprint, known) for other, known in kept.items()):
            kept[hit] = fingerprint
        if len(kept) == limit:
            break
    return list(kept)


def _alternating(first: Sequence[Hit], second: Sequence[Hit]) -> list[Hit]:
    """One of each in turn, each hit once."""
    merged: dict[tuple[SourceId, int], Hit] = {}
    waiting = deque(second)
    for hit in first:
        merged.setdefault((hit.source_id, hit.ordinal), hit)
        if waiting:
            other = waiting.popleft()
            merged.setdefault((other.source_id, other.ordinal), other)
    for hit in waiting:
        merged.setdefault((hit.source_id, hit.ordinal), hit)
    return list(merged.values())


@dataclass(frozen=True, slots=True)
class Print:
    """What a text is compared by."""

    shingles: frozenset[str]
    """Its runs of three words; of a short text its words, of one without blanks its runs of characters."""
    numbers: frozenset[str]
    """Its words with digits."""


def print_of(text: str) -> Print:
    """Of any text."""
    words = _WORD.findall(text.casefold())
    numbers = frozenset(word for word in words if any(map(str.isdecimal, word)))
    if len(words) < SHINGLE and len(text) > 4 * SHINGLE:
        words = list(text)
    if len(words) < SHINGLE:
        return Print(frozenset(words), numbers)
    runs = (" ".join(words[start : start + SHINGLE]) for start in range(len(words) - SHINGLE + 1))
    return Print(frozenset(runs), numbers)


def alike(one: Print, other: Print) -> bool:
    """Whether texts with these prints are near-duplicates."""
    common, all_ = one.shingles & other.shingles, one.shingles | other.shingles
    return one.numbers == other.numbers and len(common) >= ALIKE * len(all_)
