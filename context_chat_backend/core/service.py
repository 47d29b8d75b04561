"""`ContextChat`: what the gateway does, whichever front end asks. The only place with decisions."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, suppress
from dataclasses import replace
from enum import Enum
from functools import partial

import anyio

from ..contract import (
    Answer,
    BeyondReader,
    Content,
    Driver,
    DriverError,
    Misconfigured,
    NotFound,
    Outcome,
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
from ..retrieval.answer_cache import AnswerCache
from ..retrieval.answerer import answers_from
from ..retrieval.generators import Generator, whole
from ..retrieval.pipeline import compose
from ..retrieval.sources import FoundSource, find_sources
from ..retrieval.stages import Stages
from ..toolkit.concurrency import gather
from .actions import (
    Action,
    DeleteProvider,
    DeleteSources,
    DeleteUser,
    Reach,
    SetAccess,
    UpdateAccess,
    UpdateProviderAccess,
    reach_of,
)
from .admission import Admissions
from .coalescing import Round, Segment, segments
from .contents import NoContent, NotRead
from .ledger import Ledger
from .ordering import Listener, Order, Place
from .rules import Described, Rules
from .sources import Entry, Stage

FILES = ProviderId("files__default")
IDS_PER_CALL = 1000
"""The most sources that a driver is asked to delete at once: databases hold few locks, and URLs are short."""

PLAIN_TEXT = "text/plain"
LOOK_SECONDS = 1.0
WANTED_AGAIN = "the rules want it now: it is indexed when Nextcloud sends it again"

log = logging.getLogger(__name__)


class NothingFound(Exception):
    """No document that the user may read has anything to do with the question."""


class Unwanted(Rejected):
    """A rule of the admin says that it is not to be indexed."""


class Deleted(Rejected):
    """It is not there any more."""


class Verdict(Enum):
    """What became of a source."""

    LOADED = "loaded"
    RETRY = "retry"
    """To be sent again: something passing went wrong."""
    UNREAD = "unread"
    """To be handed in again when its text is there."""
    REJECTED = "rejected"
    """Never to be sent again as it is."""


class ContextChat:
    """Call `open` before anything else, and use it while driver and state are entered."""

    def __init__(
        self,
        driver: Driver,
        *,
        order: Order,
        ledger: Ledger,
        rules: Rules,
        generator: Generator,
        metrics: Metrics,
        admissions: Admissions,
        stages: Stages | None = None,
        cache: AnswerCache | None = None,
    ) -> None:
        """`stages` are those that found chunks pass through; by default none."""
        stages = stages or Stages()
        self._driver = driver
        self._retrieve = compose(driver.search, stages.of_answers)
        self._order_documents = compose(driver.search, stages.of_documents)
        self._order = order
        self._ledger = ledger
        self._rules = rules
        self._generator = generator
        self._metrics = metrics
        self._admissions = admissions
        self._cache = cache
        order.add_listener(ledger.note_action)

    async def open(self) -> None:
        """Resume the order from before a restart."""
        await self._order.open()

    async def close(self) -> None:
        """Have the order survive a restart; call it after everything else, and before the state is closed."""
        await self._order.close()
        await self._ledger.write()

    # ------------------------------------------------------------------ indexing

    @property
    def max_source_bytes(self) -> int | None:
        """Larger sources are rejected whatever they hold, so a front end need not keep their bytes."""
        return self._driver.capabilities.max_source_bytes

    def arrival(self, number: int | None = None) -> AbstractContextManager[int]:
        """Enter it before sources begin to arrive and leave it after the last `load`, which gets its value: actions
        that are carried out in between then apply to those sources, too. With a number it keeps an earlier arrival
        open."""
        return self._order.arrival(number)

    def note_received(self, source: Source) -> None:
        """It waits for its `load`."""
        self._ledger.note(source, Stage.WAITING)

    def note_next_try(self, source_id: SourceId, seconds: float) -> None:
        """Its `load` failed, and comes again after so many seconds."""
        self._ledger.note_next_try(source_id, seconds)

    def note_failed(self, source: Source, error: Exception) -> None:
        """It could not even be handed in, for a reason that passes or is a bug."""
        if isinstance(error, TransientError | Misconfigured):
            log.warning("%s is not indexed yet and comes again: %s", source.id, error)
            self._ledger.note(source, Stage.FAILING, str(error))
        else:
            log.error("indexing %s failed", source.id, exc_info=error)
            self._ledger.note(source, Stage.FAILING, f"{type(error).__name__}, a bug: the log says more")

    async def write_ledger(self) -> None:
        """Have what became of sources survive a crash, as far as the disk allows."""
        await self._ledger.write()

    async def load(self, source: Source, arrival: int, *, exact: bool = False, text: Content | None = None) -> Verdict:
        """Index a source; its contents stay with the caller. Raises nothing.

        A source without readers is not indexed, and what was stored of it is removed. One that is stored and was not
        modified since gets further readers. With `exact`, for a sender who knows all readers and has the version of
        now, it gets exactly these, and an older version takes the place of a newer one. `text` is what the content
        says, as plain text: it takes its place where the backend does not read such content itself.
        """
        verdict = await self._load(source, arrival, exact=exact, text=text)
        self._metrics.sources.labels(verdict.value).inc()
        return verdict

    async def _load(self, source: Source, arrival: int, *, exact: bool, text: Content | None) -> Verdict:
        async def index_current(current: Source | None) -> None:
            self._ledger.note(source, Stage.INDEXING)
            wanted = _still_wanted(source, current)
            outcome = await (self._index_exactly if exact else self._index)(wanted, text)
            self._ledger.note(source, Stage.INDEXED, is_stored=outcome is not Outcome.UNCHANGED)

        try:
            await self._order.load(source, arrival, index_current)
        except Deleted:
            self._ledger.forget([source.id])
            return Verdict.REJECTED
        except Rejected as error:
            self._note_rejected(source, error)
            return Verdict.REJECTED
        except NotRead as error:
            self._ledger.note(source, Stage.WAITING, str(error))
            return Verdict.UNREAD
        except Exception as error:  # noqa: BLE001 - a bug, too, here or in the driver, must not lose a source
            self.note_failed(source, error)
            return Verdict.RETRY
        return Verdict.LOADED

    def _note_rejected(self, source: Source, error: Rejected) -> None:
        log.info("%s (%s) is not indexed: %s", source.id, source.mime_type, error)
        match error:
            case Unwanted():
                self._ledger.note(source, Stage.SKIPPED, str(error))
            case BeyondReader(reader=reader):
                self._ledger.note(source, Stage.UNFIT, str(error), reader=reader)
            case _:
                self._ledger.note(source, Stage.UNFIT, str(error))

    async def _index(self, source: Source, text: Content | None) -> Outcome:
        if not source.user_ids:
            await self._driver.delete({source.id})
            raise Rejected("nobody may read it")
        decision = self._rules.decide(_described(source))
        if decision.index is False:
            await self._driver.delete({source.id})
            raise Unwanted(decision.reason)
        if text is not None and not self._reads(source.mime_type):
            source = replace(source, mime_type=PLAIN_TEXT, content=text)
        if (refused := self._refused(source)) is not None:
            source = replace(source, content=refused)  # for the driver to remove an older version
        return await self._driver.upsert(source)

    async def _index_exactly(self, source: Source, text: Content | None) -> Outcome:
        """For a sender who has the version of now, which may be an older one that was restored, and all readers."""
        outcome = await self._index(source, text)
        if outcome is not Outcome.UNCHANGED:
            return outcome
        if await self._stored_is_newer(source):
            await self._driver.delete({source.id})  # drivers keep the newer one
            return await self._index(source, text)
        await self._make_exact(source)
        return outcome

    async def _stored_is_newer(self, source: Source) -> bool:
        known = await self._ledger.known({source.id})
        return any(entry.modified is not None and entry.modified > source.modified for entry in known)

    async def _make_exact(self, source: Source) -> None:
        try:
            await self._driver.set_access(source.id, source.user_ids)
        except NotFound as error:  # what vouched for it has forgotten it by now
            raise Unavailable("it is not stored any more") from error

    def _refused(self, source: Source) -> Content | None:
        capabilities = self._driver.capabilities
        if not self._reads(source.mime_type):
            return NoContent("the type is not supported", BeyondReader)
        if capabilities.max_source_bytes is not None and source.content.size > capabilities.max_source_bytes:
            return NoContent(f"larger than {capabilities.max_source_bytes} bytes")
        return None

    def _reads(self, mime_type: str) -> bool:
        types = self._driver.capabilities.mime_types
        return types is None or mime_type in types

    async def apply_rules(self, source_ids: frozenset[SourceId]) -> None:
        """Have the rules of now decide about sources, a thousand at most, that those of another time decided about.

        Raises a `TransientError` or `Misconfigured` where it was not done.
        """
        async with self._order.turn(Reach(sources=source_ids)):
            known = [(entry, self._rules.decide(_known(entry))) for entry in await self._ledger.known(source_ids)]
            unwanted = [(entry, d) for entry, d in known if entry.stage is Stage.INDEXED and d.index is False]
            if unwanted:
                await self._driver.delete({entry.source_id for entry, _ in unwanted})
            for entry, decision in unwanted:
                self._ledger.note_stage(entry, Stage.SKIPPED, decision.reason)
            for entry, decision in known:
                if entry.stage is Stage.SKIPPED and decision.index:
                    self._ledger.note_stage(entry, Stage.SKIPPED, WANTED_AGAIN)

    # ------------------------------------------------------------------ access changes and deletions

    @asynccontextmanager
    async def apply(self, action: Action) -> AsyncIterator[Place]:
        """Carry out an access change or a deletion, then run the block; an unknown source, provider or user is success.

        The block settles the action once whoever sent it knows that it is done. Until then it will come again, and
        later ones on the same sources are refused; see `Marks`. Raises a `DriverError` when it was not carried out.
        """
        outcome = "failed"
        try:
            async with self._order.place(action) as place:
                try:
                    await self._carry_out(action)
                except (TransientError, Misconfigured):
                    raise
                except Exception:  # refused, or a bug that may well fail forever: nothing waits for it
                    outcome = "refused"
                    await place.settle()
                    raise
                outcome = "applied"
                yield place
        finally:
            self._count(action, outcome)

    def _count(self, action: Action, outcome: str) -> None:
        self._metrics.actions.labels(type(action).__name__, outcome).inc()

    async def apply_all(self, actions: Iterable[Action]) -> None:
        """Carry out many actions with the result that they have one after the other, in as few calls as that takes.

        For a sender who repeats all of them, in their order, until this returns. Raises a `TransientError` or
        `Misconfigured` where some may not have been carried out. One that is refused for good is logged and costs no
        other.
        """
        for part in segments(actions):
            if isinstance(part, Segment):
                await self._apply_segment(part)
            else:
                async with self._order.turn(reach_of(part)):
                    await self._carry_out_or_log(part)

    async def _apply_segment(self, segment: Segment) -> None:
        """Sources that are being indexed hold up no others."""
        busy = self._order.busy(segment.steps)
        parts = [segment.part(busy), segment.part(frozenset(segment.steps) - busy)]
        await gather(*(partial(self._apply_part, part) for part in parts if part.actions))

    async def _apply_part(self, segment: Segment) -> None:
        async with self._order.turn(segment.reach):
            try:
                for step in segment.rounds():
                    await self._make(step)
            except (TransientError, Misconfigured):
                raise
            except Exception:  # one of them is refused, or a bug: find out which
                log.exception("%d actions cannot be carried out together", len(segment.actions))
                for action in segment.actions:
                    await self._carry_out_or_log(action)
            else:
                for action in segment.actions:
                    self._order.record(action)
                    self._count(action, "applied")

    async def _make(self, step: Round) -> None:
        if step.deleted:
            await self._driver.delete(step.deleted)
        if step.changes:
            await self._driver.change_access(step.changes)

    async def _carry_out_or_log(self, action: Action) -> None:
        try:
            await self._carry_out(action)
        except (TransientError, Misconfigured):
            raise
        except Exception:
            log.exception("an action is refused: %s", type(action).__name__)
            self._count(action, "refused")
        else:
            self._count(action, "applied")

    async def keep_order(self, action: Action) -> None:
        """Keep the place of an action that is turned away and will come again."""
        await self._order.keep(action)

    def add_listener(self, listener: Listener) -> None:
        """Call it with each action that was carried out, before anything else happens to the sources: for whoever keeps
        sources that are still to be loaded."""
        self._order.add_listener(listener)

    async def forget_marks(self) -> None:
        """Hold nothing back any more: from now on actions come from a sender who repeats them in their order."""
        await self._order.forget_marks()

    async def _carry_out(self, action: Action) -> None:
        with suppress(NotFound):  # nothing to change, and nothing that could be found
            await self._dispatch(action)
        self._order.record(action)

    async def _dispatch(self, action: Action) -> None:
        driver = self._driver
        match action:
            case DeleteSources(source_ids):
                await self._delete(sorted(source_ids))
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

    async def _delete(self, source_ids: Sequence[SourceId]) -> None:
        for start in range(0, len(source_ids), IDS_PER_CALL):
            await self._driver.delete(frozenset(source_ids[start : start + IDS_PER_CALL]))

    # ------------------------------------------------------------------ questions

    async def query(self, query: Query) -> Answer:
        """Answer a question from what the user may read. Raises `NothingFound`, and `TooManyQuestions` like all that
        questions ask for."""
        async with aclosing(self.stream(query)) as answers:
            async for so_far in answers:
                answer = so_far
        return answer

    def stream(self, query: Query) -> AsyncGenerator[Answer, None]:
        """The same answer while it is written: as far as it goes, each time there is more of it. To be closed.

        All of them have the same sources, and the last one is the answer. The first one has no text yet, unless it is
        the last one, too: of a backend that answers by itself, and of the cache.
        """
        return self._write(query) if self._cache is None else self._cache.stream(query, self._write)

    async def _write(self, query: Query) -> AsyncGenerator[Answer, None]:
        if self._driver.capabilities.answers:
            async with self._admissions.answers.place(query.user_id):
                answer = await self._driver.answer(query)
            if not answer.source_ids:
                raise NothingFound
            yield answer
            return
        async with self._admissions.searches.place(query.user_id):
            hits = await self._retrieve(query)
        if not hits:
            raise NothingFound
        async with (
            self._admissions.answers.place(query.user_id),
            aclosing(answers_from(hits, query, self._generator)) as answers,
        ):
            async for answer in answers:
                yield answer

    async def chat(self, user_id: UserId, text: str) -> str:
        """Let the generator answer without any document."""
        async with self._admissions.answers.place(user_id):
            return await whole(self._generator.chat(user_id, text))

    async def search(self, query: Query) -> Sequence[FoundSource]:
        """Distinct sources, best first, at most `query.limit`."""
        async with self._admissions.searches.place(query.user_id):
            return await find_sources(self._order_documents, self._driver.search, query)

    async def count(self) -> Mapping[ProviderId, int]:
        """Stored sources per provider. Always has the files' provider: context_chat >= 4.5 throws without it."""
        return {FILES: 0, **await self._driver.count()}

    async def until_usable(self) -> None:
        """Wait until the backend can serve requests."""
        while await self.problem() is not None:  # noqa: ASYNC110 - drivers tell only who asks
            await anyio.sleep(LOOK_SECONDS)

    async def problem(self) -> DriverError | None:
        """Why the backend cannot serve requests now, or None."""
        try:
            await self._driver.ping()
        except DriverError as error:
            return error
        except Exception as error:
            log.exception("the driver failed")
            return Unavailable(f"the driver failed: {type(error).__name__}")
        return None


def _still_wanted(source: Source, current: Source | None) -> Source:
    """The source as it is to be stored, after what was done while it was on its way in."""
    if current is None:
        raise Deleted("deleted while it was on its way in")
    if source.user_ids and not current.user_ids:
        raise Unavailable("its readers changed while it was on its way in")
    return current


def _described(source: Source) -> Described:
    return Described(
        provider=source.provider,
        title=source.title,
        mime_type=source.mime_type,
        size=source.content.size,
        user_ids=source.user_ids,
    )


def _known(entry: Entry) -> Described:
    return Described(
        provider=entry.provider, title=entry.title, mime_type=entry.mime_type, size=entry.size, user_ids=None
    )
