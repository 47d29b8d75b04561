"""`ContextChat`: what the gateway does, whichever front end asks. The only place with decisions."""

import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from enum import Enum
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from ..contract import (
    Answer,
    Driver,
    DriverError,
    Hit,
    Misconfigured,
    NotFound,
    ProviderId,
    Query,
    Rejected,
    Source,
    SourceId,
    TransientError,
    Unavailable,
    UserId,
)
from ..metrics import Metrics
from ..retrieval.answerer import Answerer
from .actions import (
    Action,
    DeleteProvider,
    DeleteSources,
    DeleteUser,
    Reach,
    SetAccess,
    UpdateAccess,
    UpdateProviderAccess,
    as_after,
    reach_of,
)
from .contents import NoContent
from .ordering import ActionLog, HeldActions, SourceLocks

FILES = ProviderId("files__default")
MOST_HITS = 1_000
"""Chunks fetched at the most to find enough distinct sources."""

log = logging.getLogger(__name__)


class NothingFound(Exception):
    """No document that the user may read has anything to do with the question."""


class Verdict(Enum):
    """What became of a source."""

    LOADED = "loaded"
    RETRY = "retry"
    """To be sent again: something passing went wrong."""
    REJECTED = "rejected"
    """Never to be sent again as it is."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """Distinct source ids in the order of the request; each in exactly one of the lists."""

    loaded: tuple[SourceId, ...]
    retry: tuple[SourceId, ...]
    rejected: tuple[SourceId, ...]


@dataclass(frozen=True, slots=True)
class FoundSource:
    """A source found by a search."""

    source_id: SourceId
    title: str


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


class ContextChat:
    """An async context manager; enter it inside of the entered driver and state."""

    def __init__(
        self,
        driver: Driver,
        *,
        held: HeldActions,
        answerer: Answerer,
        metrics: Metrics,
        parallel_loads: int,
        load_deadline: float,
        action_wait: float,
    ) -> None:
        self._driver = driver
        self._held = held
        self._answerer = answerer
        self._metrics = metrics
        self._parallel_loads = parallel_loads
        self._load_deadline = load_deadline
        self._action_wait = action_wait
        self._locks = SourceLocks()
        self._log = ActionLog()
        self._loading: set[SourceId] = set()
        self._action_turn = anyio.Lock()  # Nextcloud sends one at a time; others take turns in the order of their marks
        self._background: TaskGroup

    async def __aenter__(self) -> Self:
        self._background = anyio.create_task_group()
        await self._background.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._background.cancel_scope.cancel()
        await self._background.__aexit__(None, None, None)

    # ------------------------------------------------------------------ indexing

    @property
    def max_source_bytes(self) -> int | None:
        """Larger sources are rejected whatever they hold, so a front end need not keep their bytes."""
        return self._driver.capabilities.max_source_bytes

    def arrival(self) -> AbstractContextManager[int]:
        """Enter it before sources begin to arrive and leave it after `load_sources`, which gets its value: actions
        that are carried out in between then apply to those sources, too."""
        return self._log.arrival()

    async def load_sources(self, sources: Sequence[Source], arrival: int) -> LoadReport:
        """Index sources and answer within the deadline. Takes over their contents and releases them.

        What the deadline cuts off is reported for retry. A source that is under way then goes on in the background,
        so that one which takes longer than the deadline is found done when it comes again. A source without readers
        is not indexed, and what was stored of it is removed.
        """
        batch = _Batch.of(sources, arrival)
        if not batch.order:
            return batch.report()
        try:
            for _ in range(min(self._parallel_loads, len(batch.order))):
                self._background.start_soon(self._work_off, batch)
            with anyio.move_on_after(self._load_deadline):
                await batch.finished.wait()
        finally:
            batch.give_back()
        report = batch.report()
        log.info("loaded %d, to retry %d, rejected %d", len(report.loaded), len(report.retry), len(report.rejected))
        return report

    async def _work_off(self, batch: _Batch) -> None:
        with self._log.arrival(batch.arrival):
            while (group := batch.next_group()) is not None:
                try:
                    verdict = await self._load_group(group, batch.arrival)
                finally:
                    _release(group)
                self._metrics.sources.labels(verdict.value).inc()
                batch.record(group[0].id, verdict)

    async def _load_group(self, group: Sequence[Source], arrival: int) -> Verdict:
        """Index what one request says of one source id, in its order; one part that failed for a passing reason
        brings the id back."""
        source_id = group[0].id
        if source_id in self._loading:  # by another request: do not pile up behind it
            return Verdict.RETRY
        self._loading.add(source_id)
        try:
            verdicts = [await self._load(source, arrival) for source in group]
        finally:
            self._loading.remove(source_id)
        return Verdict.RETRY if Verdict.RETRY in verdicts else verdicts[-1]

    async def _load(self, source: Source, arrival: int) -> Verdict:
        try:
            async with self._locks.sources([source.id]):
                await self._held.check(_reach_of_load(source))
                await self._index(self._as_now(source, arrival))
        except Rejected as error:
            log.info("%s (%s) is not indexed: %s", source.id, source.mime_type, error)
            return Verdict.REJECTED
        except (TransientError, Misconfigured) as error:
            log.warning("%s has to be sent again: %s", source.id, error)
            return Verdict.RETRY
        except Exception:  # a bug, here or in the driver, must not lose a source or fail its batch
            log.exception("indexing %s failed", source.id)
            return Verdict.RETRY
        return Verdict.LOADED

    def _as_now(self, source: Source, arrival: int) -> Source:
        current = as_after(source, self._log.since(arrival))
        if current is None:
            raise Rejected("deleted while it was on its way in")
        if source.user_ids and not current.user_ids:
            raise Unavailable("its readers changed while it was on its way in")
        return current

    async def _index(self, source: Source) -> None:
        if not source.user_ids:
            await self._driver.delete({source.id})
            raise Rejected("nobody may read it")
        if reason := self._refusal(source):
            source = replace(source, content=NoContent(reason))  # for the driver to remove an older version
        await self._driver.upsert(source)

    def _refusal(self, source: Source) -> str | None:
        capabilities = self._driver.capabilities
        if capabilities.mime_types is not None and source.mime_type not in capabilities.mime_types:
            return "the type is not supported"
        if capabilities.max_source_bytes is not None and source.content.size > capabilities.max_source_bytes:
            return f"larger than {capabilities.max_source_bytes} bytes"
        return None

    # ------------------------------------------------------------------ access changes and deletions

    async def apply(self, action: Action, caller_waits: Callable[[], Awaitable[bool]] | None = None) -> None:
        """Carry out an access change or a deletion; an unknown source, provider or user is success.

        Raises a `DriverError` when it was not carried out. Then, and also when it was but `caller_waits` says that
        nobody will hear of it, the action will come again: until then later ones on the same sources are refused
        (see `HeldActions`).
        """
        # marked before it is begun: a crash in the middle must not let a later action overtake its repetition
        await self._held.hold(action)
        try:
            await self._apply_in_order(action, caller_waits)
        except (TransientError, Misconfigured):
            self._count(action, "failed")
            raise
        except Exception:  # refused, or a bug that may well fail for ever: nothing waits for it
            await self._held.release(action)
            self._count(action, "refused")
            raise
        self._count(action, "applied")

    async def hold(self, action: Action) -> None:
        """Mark an action that is turned away and will come again."""
        await self._held.hold(action)

    async def _apply_in_order(self, action: Action, caller_waits: Callable[[], Awaitable[bool]] | None) -> None:
        reach = reach_of(action)
        wide = not reach.sources
        with anyio.move_on_after(self._action_wait) as waiting:
            async with self._action_turn, self._locks.everything() if wide else self._locks.sources(reach.sources):
                waiting.deadline = float("inf")
                await self._held.check(reach, action)
                await self._carry_out(action)
                self._log.record(action)
                if caller_waits is None or await caller_waits():
                    await self._held.release(action)
        if waiting.cancelled_caught:
            raise Unavailable("the sources are being indexed", retry_after=self._action_wait)

    async def _carry_out(self, action: Action) -> None:
        try:
            await self._dispatch(action)
        except NotFound:
            return  # nothing to change, and nothing that could be found

    async def _dispatch(self, action: Action) -> None:
        driver = self._driver
        match action:
            case DeleteSources(source_ids):
                await driver.delete(source_ids)
            case DeleteProvider(provider):
                await driver.delete_provider(provider)
            case DeleteUser(user_id):
                await driver.delete_user(user_id)
            case UpdateAccess(op, user_ids, source_id):
                await driver.update_access(op, source_id, user_ids)
            case UpdateProviderAccess(op, user_ids, provider):
                await driver.update_provider_access(op, provider, user_ids)
            case SetAccess(user_ids, source_id):
                await driver.set_access(source_id, user_ids)

    def _count(self, action: Action, outcome: str) -> None:
        self._metrics.actions.labels(type(action).__name__, outcome).inc()

    # ------------------------------------------------------------------ questions

    async def query(self, query: Query) -> Answer:
        """Answer a question from what the user may read. Raises `NothingFound`."""
        if self._driver.capabilities.answers:
            answer = await self._driver.answer(query)
            if not answer.source_ids:
                raise NothingFound
            return answer
        hits = await self._driver.search(query)
        if not hits:
            raise NothingFound
        return await self._answerer.answer(query, hits)

    async def chat(self, user_id: UserId, text: str) -> str:
        """Let the generator answer without any document."""
        return await self._answerer.chat(user_id, text)

    async def search(self, query: Query) -> Sequence[FoundSource]:
        """Distinct sources, best first, at most `query.limit`."""
        wanted = query.limit
        limit = wanted
        while True:
            limit = min(limit * 3, MOST_HITS)
            hits = await self._driver.search(_with_limit(query, limit))
            found = _distinct(hits)
            if len(found) >= wanted or len(hits) < limit or limit >= MOST_HITS:
                return found[:wanted]

    async def count(self) -> Mapping[ProviderId, int]:
        """Stored sources per provider. Always has the files' provider: context_chat >= 4.5 throws without it."""
        return {FILES: 0, **await self._driver.count()}

    async def problem(self) -> DriverError | None:
        """Why the backend cannot serve requests now, or None."""
        try:
            await self._driver.ping()
        except DriverError as error:
            return error
        return None


def _reach_of_load(source: Source) -> Reach:
    return Reach(sources=frozenset({source.id}), users=source.user_ids)


def _release(group: Sequence[Source]) -> None:
    for source in group:
        source.content.release()


def _with_limit(query: Query, limit: int) -> Query:
    return Query(user_id=query.user_id, text=query.text, limit=limit, scope=query.scope)


def _distinct(hits: Sequence[Hit]) -> list[FoundSource]:
    titles = {hit.source_id: hit.title for hit in reversed(hits)}
    return [FoundSource(source_id, titles[source_id]) for source_id in dict.fromkeys(hit.source_id for hit in hits)]
