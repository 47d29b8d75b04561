"""Answers that were given already, for as long as nobody could get another one."""

import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from ..contract import Answer, ProviderScope, Query, SourceScope
from ..metrics import Metrics

LARGEST = 64 * 1024
"""Characters of a question with its scope, answer and sources. What is longer is not kept."""

Write = Callable[[Query], AsyncGenerator[Answer, None]]
"""The answer to a question while it is written: the last one is all of it."""


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: Answer
    good_until: float


class AnswerCache:
    """By everything that a question consists of: user, text, scope, limit. Settings and prompt are those of the
    process, and it is empty when that starts.

    An answer is kept and given only while `version` stays what it was before its documents were searched: a change of
    access or a document, whoever they concern, costs all that is kept. So it can neither show what was taken away nor
    hide what is new.
    """

    def __init__(
        self,
        version: Callable[[], int | None],
        metrics: Metrics,
        *,
        most: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`version` is that of everything that can be read; None where it is not known. `most` is how many answers are
        kept, `seconds` for how long: a model may change, and nobody tells."""
        self._version = version
        self._metrics = metrics
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._kept: OrderedDict[Query, _Kept] = OrderedDict()
        """The one that was asked for last at the end."""
        self._kept_version: int | None = None

    async def stream(self, query: Query, write: Write) -> AsyncGenerator[Answer, None]:
        """As `write` gives it, or in one piece where it is kept. To be closed."""
        version = self._version()
        kept = None if version is None else self._find(query, version)
        self._metrics.answer_cache.labels("miss" if kept is None else "hit").inc()
        if kept is not None:
            yield kept
            return
        answer: Answer | None = None
        async with aclosing(write(query)) as answers:
            async for answer in answers:
                yield answer
        # not reached with one that failed, or that nobody waited for
        if answer is not None and version is not None and version == self._version():
            self._keep(query, answer)

    def _find(self, query: Query, version: int) -> Answer | None:
        if version != self._kept_version:
            self._kept.clear()
            self._kept_version = version
        kept = self._kept.get(query)
        if kept is None or self._clock() >= kept.good_until:
            return None
        self._kept.move_to_end(query)
        return kept.answer

    def _keep(self, query: Query, answer: Answer) -> None:
        if _characters(query, answer) > LARGEST:
            return
        self._kept[query] = _Kept(answer, self._clock() + self._seconds)
        self._kept.move_to_end(query)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)


def _characters(query: Query, answer: Answer) -> int:
    match query.scope:
        case ProviderScope(ids) | SourceScope(ids):
            scope = sum(map(len, ids))
        case None:
            scope = 0
    return len(query.text) + scope + len(answer.text) + sum(map(len, (*answer.source_ids, *answer.titles.values())))
