"""The sources of one upload, indexed side by side and answered for within a deadline."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

import anyio
from anyio.abc import TaskGroup

from ...contract import Source, SourceId
from ...core.service import ContextChat, Verdict

MOST_UPLOADS = 16
"""Received or indexed at a time: each may take 200 MB of the disk. Nextcloud sends two, and one for a question about
single files."""

log = logging.getLogger(__name__)


class TooManyUploads(Exception):
    """The disk is not to be filled with what cannot be indexed soon."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """Distinct source ids in the order of the request; each in exactly one of the lists."""

    loaded: tuple[SourceId, ...]
    retry: tuple[SourceId, ...]
    rejected: tuple[SourceId, ...]


@dataclass
class _Batch:
    """The sources of one request, grouped by id, with what is known of them so far."""

    arrival: int
    waiting: dict[SourceId, list[Source]]
    order: tuple[SourceId, ...]
    verdicts: dict[SourceId, Verdict] = field(default_factory=dict)
    finished: anyio.Event = field(default_factory=anyio.Event)

    @classmethod
    def of(cls, sources: Sequence[Source], arrival: int) -> "_Batch":
        groups: dict[SourceId, list[Source]] = defaultdict(list)
        for source in sources:
            groups[source.id].append(source)
        return cls(arrival=arrival, waiting=groups, order=tuple(groups))

    def next_group(self) -> list[Source] | None:
        return self.waiting.pop(next(iter(self.waiting))) if self.waiting else None

    def record(self, source_id: SourceId, verdict: Verdict) -> None:
        self.verdicts[source_id] = verdict
        if len(self.verdicts) == len(self.order):
            self.finished.set()

    def give_back(self) -> None:
        """Drop what was not begun; what is under way goes on."""
        while (group := self.next_group()) is not None:
            _release(group)

    def report(self) -> LoadReport:
        def ids(wanted: Verdict) -> tuple[SourceId, ...]:
            return tuple(id_ for id_ in self.order if self.verdicts.get(id_, Verdict.RETRY) is wanted)

        return LoadReport(loaded=ids(Verdict.LOADED), retry=ids(Verdict.RETRY), rejected=ids(Verdict.REJECTED))


class Batches:
    """An async context manager; enter it inside the gateway. Leaving it cancels what is under way."""

    def __init__(self, chat: ContextChat, *, parallel: int, deadline: float) -> None:
        """`parallel` sources of a batch are indexed at a time; `deadline` in seconds."""
        self._chat = chat
        self._parallel = parallel
        self._deadline = deadline
        self._loading: set[SourceId] = set()
        self._uploads = 0
        self._background: TaskGroup

    async def __aenter__(self) -> Self:
        self._background = anyio.create_task_group()
        await self._background.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._background.cancel_scope.cancel()
        await self._background.__aexit__(None, None, None)

    @contextmanager
    def upload(self) -> Iterator[None]:
        """Around receiving and loading one. Raises `TooManyUploads`."""
        if self._uploads >= MOST_UPLOADS:
            raise TooManyUploads
        self._uploads += 1
        try:
            yield
        finally:
            self._uploads -= 1

    async def load(self, sources: Sequence[Source], arrival: int) -> LoadReport:
        """Index sources and answer within the deadline. Takes over their contents and releases them.

        What the deadline cuts off is reported for retry. A source that is under way then goes on in the background, so
        that one which takes longer than the deadline is found done when it comes again.
        """
        batch = _Batch.of(sources, arrival)
        if not batch.order:
            return batch.report()
        for source in sources:
            self._chat.note_received(source)
        try:
            for _ in range(min(self._parallel, len(batch.order))):
                self._background.start_soon(self._work_off, batch)
            with anyio.move_on_after(self._deadline):
                await batch.finished.wait()
        finally:
            batch.give_back()
        await self._chat.write_ledger()
        report = batch.report()
        log.info("loaded %d, to retry %d, rejected %d", len(report.loaded), len(report.retry), len(report.rejected))
        return report

    async def _work_off(self, batch: _Batch) -> None:
        with self._chat.arrival(batch.arrival):
            while (group := batch.next_group()) is not None:
                try:
                    verdict = await self._load_group(group, batch.arrival)
                finally:
                    _release(group)
                batch.record(group[0].id, verdict)

    async def _load_group(self, group: Sequence[Source], arrival: int) -> Verdict:
        """Index what one request says of one source id, in its order; one part that failed for a passing reason brings
        the id back."""
        source_id = group[0].id
        if source_id in self._loading:  # by another request: do not pile up behind it
            return Verdict.RETRY
        self._loading.add(source_id)
        try:
            verdicts = [await self._chat.load(source, arrival) for source in group]
        finally:
            self._loading.remove(source_id)
        return Verdict.RETRY if Verdict.RETRY in verdicts else verdicts[-1]


def _release(group: Sequence[Source]) -> None:
    for source in group:
        source.content.release()
