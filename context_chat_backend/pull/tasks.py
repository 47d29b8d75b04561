"""Takes questions that users ask in Nextcloud, answers them, and reports the answers."""

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from typing import Annotated, Any

import anyio
from anyio.abc import TaskGroup
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..contract import DriverError, Query, SourceId, SourceScope, UserId
from ..core.admission import RETRY_AFTER, TooManyQuestions
from ..core.questions import ScopeError, clean_question, scope_of
from ..core.service import ContextChat, NothingFound
from ..core.state import State
from ..nextcloud.errors import Failed, Missing, NextcloudError, NotAccepted, Refused
from ..nextcloud.php import PhpIds
from ..nextcloud.queues import fault_of
from ..nextcloud.scopes import Scopes
from ..nextcloud.tasks import DEFAULT_LIMIT, Kind, TakenTask, TaskProvider
from ..toolkit.background import pause_after
from ..toolkit.concurrency import let_finish
from .streaming import Output, Show, shown_while_written

AT_ONCE = 8
"""Tasks that are answered at a time; most of their time they wait for a language model."""
TAKE_SECONDS = RETURN_SECONDS = 3.0
"""Grace when the gateway stops in the middle."""
QUESTION_LIMIT = 20
"""Chunks that an answer may be made of, as in the push contract."""
LARGEST_LIMIT = 1000
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
"""Seconds until a result that Nextcloud did not take is reported again, doubled each time."""
REFUSED_PAUSE = 900.0
"""Seconds, where Nextcloud does not accept this app: it locks out who comes too often."""
MOST_FAILURES = 10
"""Of Nextcloud with one result. It may fail forever, e.g. where the task type is gone."""

NOTHING_FOUND = "No documents retrieved, please index a few documents first"
INTERRUPTED = "The gateway was restarted before the question was answered. Please ask again."
NOT_NOW = "The question cannot be answered right now. Please ask again later."

log = logging.getLogger(__name__)


def _number(value: Any) -> Any:
    """Clients send numbers, numbers in texts, and nothing."""
    try:
        return max(1, min(int(float(value)), LARGEST_LIMIT))
    except (TypeError, ValueError, OverflowError):
        return DEFAULT_LIMIT


class Asked(BaseModel):
    """The input of a task."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    prompt: str
    scope_type: str | None = Field(None, alias="scopeType")
    scope_list: PhpIds | None = Field(None, alias="scopeList")
    limit: Annotated[int, BeforeValidator(_number)] = DEFAULT_LIMIT


def _show_nobody(_: Output) -> None:
    """For tasks whose result is all that is wanted."""


class Unanswerable(Exception):
    """The task can never be answered; the message is for whoever asked."""


class Tasks:
    """A task that was taken is never left running: it is remembered before it is begun, and reported as failed when the
    gateway ends in the middle, by this one or the next."""

    def __init__(self, provider: TaskProvider, scopes: Scopes, chat: ContextChat, state: State) -> None:
        self._provider = provider
        self._scopes = scopes
        self._chat = chat
        self._state = state
        self._registered = False
        self._running = 0
        self._unwritten: Sequence[TakenTask] = ()
        """Taken, and refused by the disk."""
        self._freed = anyio.Event()
        self._workers: TaskGroup

    async def begin(self, workers: TaskGroup) -> None:
        """Report what was left over by an earlier gateway, and answer in this task group from now on."""
        self._workers = workers
        self._registered = False
        for number, result in await self._state.fetch("select number, result from taken_tasks"):
            kept = None if result is None else json.loads(str(result))
            workers.start_soon(self._report, int(str(number)), {"error": INTERRUPTED} if kept is None else kept)

    async def take(self) -> bool:
        """Begin as many as there are places for. Whether there were any."""
        if not self._registered:
            await self._provider.register()
            self._registered = True
        while self._running >= AT_ONCE:
            await self._freed.wait()
        async with let_finish(TAKE_SECONDS):
            if not self._unwritten:
                self._unwritten = await self._provider.take(AT_ONCE - self._running)
            taken = self._unwritten
            await self._state.execute_many(
                "insert or replace into taken_tasks values (?, null)", [(task.number,) for task in taken]
            )
            for task in taken:
                self._running += 1
                self._workers.start_soon(self._answer_and_report, task)
            self._unwritten = ()
        return bool(taken)

    async def _answer_and_report(self, task: TakenTask) -> None:
        try:
            result = await self._result(task)
            await self._remember("update taken_tasks set result = ? where number = ?", json.dumps(result), task.number)
        finally:  # whatever becomes of the report, others can be answered
            self._running -= 1
            self._freed.set()
            self._freed = anyio.Event()
        await self._report(task.number, result)

    async def _remember(self, statement: str, *values: object) -> None:
        """As far as the disk allows: what it refuses costs only what a crash would lose."""
        try:
            await self._state.execute(statement, *values)
        except DriverError as error:
            log.warning("the state of a task would not survive a crash now: %s", error)

    async def _result(self, task: TakenTask) -> dict[str, Any]:
        """`{"output": …}`, or `{"error": …}` with what is to be told."""
        try:
            return {"output": await self._output_in_its_turn(task)}
        except anyio.get_cancelled_exc_class():
            await self._return(task)
            raise
        except NothingFound:
            return {"error": NOTHING_FOUND}
        except (Unanswerable, ScopeError) as error:
            return {"error": str(error)}
        except DriverError as error:  # the reason may name addresses: it is for the log only
            log.warning("task %d cannot be answered: %s", task.number, error)
        except NextcloudError as error:
            log.warning("task %d cannot be answered: %s", task.number, error)
        except Exception:  # a bug must not leave the task running
            log.exception("task %d cannot be answered", task.number)
        return {"error": NOT_NOW}

    async def _return(self, task: TakenTask) -> None:
        """The gateway stops. If there is no time to say so, the next one does."""
        with anyio.move_on_after(RETURN_SECONDS, shield=True):
            try:
                await self._provider.fail(task.number, INTERRUPTED, for_user=INTERRUPTED)
            except NextcloudError as error:
                log.warning("task %d is reported by the next gateway: %s", task.number, error)
            else:
                await self._remember("delete from taken_tasks where number = ?", task.number)

    async def _output_in_its_turn(self, task: TakenTask) -> Mapping[str, object]:
        """However long that takes: a task is no request that somebody could repeat, and no more than `AT_ONCE` wait."""
        while True:
            try:
                return await self._output(task)
            except TooManyQuestions:
                await anyio.sleep(RETRY_AFTER)

    async def _output(self, task: TakenTask) -> Mapping[str, object]:
        query = await self._query(task)
        match task.kind:
            case Kind.QUESTION:
                return await self._answer(task, query)
            case Kind.SEARCH:
                found = [(source.source_id, source.title) for source in await self._chat.search(query)]
                return {"sources": await self._described(found, query.user_id)}
            case _:
                raise Unanswerable("This kind of task is not known.")

    async def _answer(self, task: TakenTask, query: Query) -> Mapping[str, object]:
        async with aclosing(self._chat.stream(query)) as answers:
            answer = await anext(answers)
            sources = await self._described(
                [(id_, answer.titles.get(id_, "")) for id_ in answer.source_ids], query.user_id
            )
            async with self._shown(task) as show:
                async for answer in answers:
                    show({"output": answer.text, "sources": sources})
        return {"output": answer.text, "sources": sources}

    def _shown(self, task: TakenTask) -> AbstractAsyncContextManager[Show]:
        """To whoever asked, if they want to read along."""
        if task.prefers_streaming:
            return shown_while_written(self._provider, task.number)
        return nullcontext(_show_nobody)

    async def _query(self, task: TakenTask) -> Query:
        if not task.user_id:
            raise Unanswerable("The task has no user, so nobody's documents can be searched.")
        try:
            asked = Asked.model_validate(task.input)
        except ValidationError as error:
            raise Unanswerable(f"The task cannot be read: {fault_of(error)}") from None
        text = clean_question(asked.prompt)
        if not text:
            raise Unanswerable("The question is empty.")
        scope = scope_of(asked.scope_type, asked.scope_list)
        if isinstance(scope, SourceScope):
            resolved = await self._scopes.resolve(sorted(scope.sources), task.user_id)
            scope = SourceScope(frozenset(map(SourceId, resolved)))
        limit = asked.limit if task.kind == Kind.SEARCH else QUESTION_LIMIT
        return Query(user_id=UserId(task.user_id), text=text, limit=limit, scope=scope)

    async def _described(self, sources: list[tuple[SourceId, str]], user_id: UserId) -> list[str]:
        """What clients show; nothing where Nextcloud does not say, because that must not cost the answer."""
        try:
            return await self._scopes.describe(sources, user_id)
        except NextcloudError as error:
            log.warning("an answer is reported without its sources: %s", error)
            return []

    async def _report(self, number: int, result: Mapping[str, Any]) -> None:
        """Again and again until Nextcloud takes it: the result is the same each time, so none is lost or overwritten.
        Where Nextcloud refuses it, or fails with it for long, the task is failed instead: it must not stay running."""
        failures = 0
        while True:
            try:
                await self._send(number, result)
                break
            except Missing:  # deleted by its user
                break
            except NextcloudError as error:
                failures += 1
                log.warning("Nextcloud did not take the result of task %d: %s", number, error)
                if isinstance(error, Refused) or (isinstance(error, Failed) and failures == MOST_FAILURES):
                    if "output" not in result:
                        break
                    result = {"error": NOT_NOW}
                pause = REFUSED_PAUSE if isinstance(error, NotAccepted) else FIRST_PAUSE
            await anyio.sleep(max(pause, pause_after(failures, FIRST_PAUSE, LONGEST_PAUSE)))
        await self._remember("delete from taken_tasks where number = ?", number)

    async def _send(self, number: int, result: Mapping[str, Any]) -> None:
        if "output" not in result:
            await self._provider.fail(number, result["error"], for_user=result["error"])
        elif not await self._provider.succeed(number, result["output"]):
            log.warning("Nextcloud did not accept the result of task %d, or it was cancelled", number)
