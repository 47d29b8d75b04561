"""Nobody gets an answer from the cache that they would not get without it."""

import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from inspect import iscoroutinefunction
from pathlib import Path

import anyio
import pytest

from context_chat_backend.conformance.kit import Kit
from context_chat_backend.conformance.reference import ReferenceDriver
from context_chat_backend.contract import (
    AccessOp,
    Answer,
    Driver,
    Outcome,
    ProviderScope,
    Query,
    Scope,
    Source,
    SourceScope,
    Unavailable,
    UserId,
)
from context_chat_backend.core.actions import (
    Action,
    DeleteProvider,
    DeleteSources,
    DeleteUser,
    SetAccess,
    UpdateAccess,
    UpdateProviderAccess,
)
from context_chat_backend.core.admission import Admissions
from context_chat_backend.core.ledger import Ledger
from context_chat_backend.core.marks import Marks
from context_chat_backend.core.ordering import Order
from context_chat_backend.core.rules import Rules
from context_chat_backend.core.service import ContextChat, NothingFound
from context_chat_backend.core.state import State
from context_chat_backend.layers.writes import READING, UNSURE_SECONDS, Writes
from context_chat_backend.metrics import Metrics
from context_chat_backend.retrieval.answer_cache import LARGEST, AnswerCache
from context_chat_backend.retrieval.context import Excerpt
from context_chat_backend.retrieval.relevance import EVERYTHING
from context_chat_backend.retrieval.tokens import EstimatedTokens, Tokens
from tests.gateway import make_settings

pytestmark = pytest.mark.anyio

SECONDS, MOST = 100.0, 3


class Reader:
    """A model that says what it was given to read."""

    context_tokens = 100_000
    tokens: Tokens = EstimatedTokens()
    bar = EVERYTHING

    def __init__(self) -> None:
        self.asked = 0
        self.in_the_middle: Callable[[], Awaitable[None]] | None = None

    async def answer(self, user_id: UserId, question: str, excerpts: Sequence[Excerpt]) -> AsyncGenerator[str, None]:
        self.asked += 1
        yield f"{user_id}, {question}: "
        if self.in_the_middle is not None:
            await self.in_the_middle()
        yield " | ".join(sorted(excerpt.text for excerpt in excerpts))

    async def chat(self, user_id: UserId, text: str) -> AsyncGenerator[str, None]:
        self.asked += 1
        yield f"{user_id} {text}"


class Slow(ReferenceDriver):
    """Its writes do what the test says, before or after they are done."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Callable[[], Awaitable[None]] | None = None
        self.after: Callable[[], Awaitable[None]] | None = None

    async def upsert(self, source: Source) -> Outcome:
        if self.before is not None:
            await self.before()
        outcome = await super().upsert(source)
        if self.after is not None:
            await self.after()
        return outcome

    async def update_access(self, op: AccessOp, source_id: object, user_ids: object) -> None:
        if self.before is not None:
            await self.before()
        await super().update_access(op, source_id, user_ids)  # type: ignore[arg-type]
        if self.after is not None:
            await self.after()


@dataclass
class Stage:
    """A service with a cache, and a clock that the test sets."""

    chat: ContextChat
    driver: Slow
    kit: Kit
    model: Reader
    metrics: Metrics
    now: float = 0.0

    def query(self, user: str = "alice", text: str = "whale", scope: Scope = None, limit: int = 20) -> Query:
        return Query(user_id=self.kit.user(user), text=text, limit=limit, scope=scope)

    async def ask(self, user: str = "alice", text: str = "whale", scope: Scope = None, limit: int = 20) -> str:
        return (await self.chat.query(self.query(user, text, scope, limit))).text

    async def load(self, source: Source) -> None:
        with self.chat.arrival() as arrival:
            await self.chat.load(source, arrival)

    async def apply(self, action: Action) -> None:
        async with self.chat.apply(action) as place:
            await place.settle()

    def counted(self) -> Mapping[str, float | None]:
        return {
            outcome: self.metrics.registry.get_sample_value("ccb_answer_cache_total", {"outcome": outcome})
            for outcome in ("hit", "miss")
        }


@asynccontextmanager
async def open_stage(folder: Path, *, most: int = MOST) -> AsyncIterator[Stage]:
    driver, model, metrics = Slow(), Reader(), Metrics()
    async with State(folder / "state.db") as state:
        writes = Writes(driver, clock=lambda: opened.now)
        cache = AnswerCache(lambda: writes.version, metrics, most=most, seconds=SECONDS, clock=lambda: opened.now)
        chat = ContextChat(
            writes,
            order=Order(Marks(state, 3600), patience=600),
            ledger=Ledger(state, metrics),
            rules=Rules(),
            generator=model,
            cache=cache,
            metrics=metrics,
            admissions=Admissions.of(make_settings(folder), Metrics()),
        )
        await chat.open()
        opened = Stage(chat, driver, Kit(driver, folder), model, metrics)
        yield opened


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path) as stage:
        yield stage


@pytest.fixture
async def asked(stage: Stage) -> Stage:
    """Alice and Bob may read a whale, and each has got an answer, twice: the second time from the cache."""
    await stage.load(stage.kit.source(1, users=("alice", "bob"), text="old whale"))
    for user in ("alice", "bob"):
        assert await stage.ask(user) == await stage.ask(user)
    assert stage.model.asked == 2
    return stage


# ---------------------------------------------------------------------- what the cache gives


async def test_the_same_question_of_the_same_user_is_written_once(asked: Stage) -> None:
    first = [answer async for answer in asked.chat.stream(asked.query())]
    assert [answer.text for answer in first] == [await asked.ask()], "in one piece"
    assert first[0].source_ids == (asked.kit.id(1),)
    assert first[0].titles == {asked.kit.id(1): "files/whale.md"}
    assert asked.model.asked == 2
    assert asked.counted() == {"hit": 4, "miss": 2}


async def test_another_user_scope_limit_or_text_is_another_question(asked: Stage) -> None:
    provider = ProviderScope(frozenset({asked.kit.provider()}))
    source = SourceScope(asked.kit.ids(1))
    others = (
        asked.query(text="Whale"),
        asked.query(scope=provider),
        asked.query(scope=source),
        asked.query(limit=1),
    )
    for number, query in enumerate(others, start=3):
        await asked.chat.query(query)
        assert asked.model.asked == number
    with pytest.raises(NothingFound):
        await asked.ask("mallory")
    with pytest.raises(NothingFound):
        await asked.ask(scope=SourceScope(asked.kit.ids(2)))


async def test_nothing_is_kept_of_no_documents_of_a_failure_and_of_what_nobody_waited_for(stage: Stage) -> None:
    for _ in range(2):
        with pytest.raises(NothingFound):
            await stage.ask()
    await stage.load(stage.kit.source(1))

    async def fail() -> None:
        raise Unavailable("the model is away")

    stage.model.in_the_middle = fail
    with pytest.raises(Unavailable):
        await stage.ask()
    stage.model.in_the_middle = None
    async with aclosing(stage.chat.stream(stage.query())) as answers:
        async for answer in answers:
            if answer.text:
                break
    assert answer.text.endswith(": ")
    assert (await stage.ask()).endswith("sea.")
    assert stage.model.asked == 3


async def test_an_answer_is_given_for_so_long_and_no_longer(asked: Stage) -> None:
    asked.now = SECONDS - 1
    await asked.ask()
    assert asked.model.asked == 2
    asked.now = SECONDS
    await asked.ask()
    assert asked.model.asked == 3
    asked.now = 2 * SECONDS - 1
    await asked.ask()
    assert asked.model.asked == 3


async def test_the_answer_that_was_not_asked_for_longest_makes_room(asked: Stage) -> None:
    await asked.ask(text="third")
    await asked.ask("alice")
    await asked.ask(text="fourth")  # in the place of Bob's
    assert asked.model.asked == 4
    for user, text in (("alice", "whale"), ("alice", "third"), ("alice", "fourth")):
        await asked.ask(user, text)
    assert asked.model.asked == 4
    await asked.ask("bob")
    assert asked.model.asked == 5


@pytest.mark.parametrize("where", ["question", "document", "scope"])
async def test_what_is_too_long_is_not_kept(stage: Stage, where: str) -> None:
    await stage.load(stage.kit.source(1, text="whale " * (LARGEST // 6 if where == "document" else 1)))
    scope = (
        SourceScope(stage.kit.ids(1, *("x" * 63 + str(n) for n in range(LARGEST // 63)))) if where == "scope" else None
    )
    text = "whale" + "?" * (LARGEST if where == "question" else 0)
    for number in (1, 2):
        await stage.ask(text=text, scope=scope)
        assert stage.model.asked == number


async def test_questions_without_documents_are_not_kept(asked: Stage) -> None:
    for number in (3, 4):
        await asked.chat.chat(asked.kit.user("alice"), "Tell me a joke")
        assert asked.model.asked == number


# ---------------------------------------------------------------------- what takes answers away

Change = Callable[[Stage], Awaitable[None]]


def action(make: Callable[[Kit], Action]) -> Change:
    async def apply(stage: Stage) -> None:
        await stage.apply(make(stage.kit))

    return apply


def together(make: Callable[[Kit], Action]) -> Change:
    async def apply(stage: Stage) -> None:
        await stage.chat.apply_all([make(stage.kit)])

    return apply


async def new_version(stage: Stage) -> None:
    await stage.load(stage.kit.source(1, users=("bob",), text="new whale", modified=1_800_000_000))


async def empty_version(stage: Stage) -> None:
    await stage.load(stage.kit.source(1, users=("alice", "bob"), text="", modified=1_800_000_000))


async def without_readers(stage: Stage) -> None:
    await stage.load(stage.kit.source(1, users=()))


DENY: Mapping[str, Callable[[Kit], Action]] = {
    "deny": lambda kit: UpdateAccess(AccessOp.DENY, kit.users("alice"), kit.id(1)),
    "set readers": lambda kit: SetAccess(kit.users("bob"), kit.id(1)),
    "deny everywhere": lambda kit: UpdateProviderAccess(AccessOp.DENY, kit.users("alice"), kit.provider()),
    "delete": lambda kit: DeleteSources(kit.ids(1)),
    "delete provider": lambda kit: DeleteProvider(kit.provider()),
    "delete user": lambda kit: DeleteUser(kit.user("alice")),
}
TAKING: Mapping[str, Change] = {
    **{name: action(make) for name, make in DENY.items()},
    **{f"{name}, pulled": together(make) for name, make in DENY.items()},
    "a version for others": new_version,
    "a version without text": empty_version,
    "no readers": without_readers,
}


@pytest.mark.parametrize("take", TAKING.values(), ids=TAKING)
async def test_what_may_not_be_read_any_more_is_not_answered_from(asked: Stage, take: Change) -> None:
    await take(asked)
    with pytest.raises(NothingFound):
        await asked.ask("alice")


@pytest.mark.parametrize("take", TAKING.values(), ids=TAKING)
async def test_what_is_taken_away_while_an_answer_is_written_is_gone_for_the_next(stage: Stage, take: Change) -> None:
    await stage.load(stage.kit.source(1, users=("alice", "bob"), text="old whale"))

    async def taken() -> None:
        stage.model.in_the_middle = None
        await take(stage)
        with suppress(NothingFound):
            await stage.ask("bob")  # from now on answers are kept again

    stage.model.in_the_middle = taken
    assert "old whale" in await stage.ask("alice"), "it was begun before"
    with pytest.raises(NothingFound):
        await stage.ask("alice")


async def test_a_new_document_is_in_the_next_answer_also_when_it_came_while_one_was_written(asked: Stage) -> None:
    kit = asked.kit
    await asked.load(kit.source(2, users=("alice",), text="second whale"))
    assert "second whale" in await asked.ask("alice")

    async def another() -> None:
        asked.model.in_the_middle = None
        await asked.load(kit.source(3, users=("alice",), text="third whale"))

    asked.model.in_the_middle = another
    assert "third whale" not in await asked.ask("alice", "What is there?")
    assert "third whale" in await asked.ask("alice", "What is there?")
    await asked.apply(UpdateAccess(AccessOp.ALLOW, kit.users("bob"), kit.id(3)))
    assert "third whale" in await asked.ask("bob")
    await asked.load(kit.source(2, users=("bob",), text="not newer, but for Bob, too"))
    assert "second whale" in await asked.ask("bob")


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_nothing_is_given_or_kept_while_something_is_written(asked: Stage, moment: str) -> None:
    """A backend may have done it long before it says so, or not have begun."""
    seen: list[int] = []

    async def ask() -> None:
        for _ in range(2):
            await asked.ask("bob")
            seen.append(asked.model.asked)

    setattr(asked.driver, moment, ask)
    await asked.apply(UpdateAccess(AccessOp.DENY, asked.kit.users("alice"), asked.kit.id(1)))
    assert seen == [3, 4]
    setattr(asked.driver, moment, None)
    await asked.ask("bob")
    assert asked.model.asked == 5


async def test_an_answer_that_is_written_while_a_write_ends_is_not_kept(asked: Stage) -> None:
    begun, go_on = anyio.Event(), anyio.Event()

    async def wait() -> None:
        begun.set()
        await go_on.wait()

    async def let_go_on() -> None:
        asked.model.in_the_middle = None
        go_on.set()
        await anyio.wait_all_tasks_blocked()

    asked.driver.before = wait
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(asked.load, asked.kit.source(2, users=("alice",), text="second whale"))
        await begun.wait()
        asked.model.in_the_middle = let_go_on
        assert "second whale" not in await asked.ask("alice")
    assert "second whale" in await asked.ask("alice")


@pytest.mark.parametrize("ends", ["failed", "cancelled"])
async def test_a_write_that_failed_may_still_be_carried_out(asked: Stage, ends: str) -> None:
    async def fail() -> None:
        if ends == "failed":
            raise Unavailable("no answer")
        scope.cancel()
        await anyio.sleep_forever()

    asked.driver.before = fail
    with anyio.CancelScope() as scope:
        if ends == "failed":
            with pytest.raises(Unavailable):
                await asked.apply(UpdateAccess(AccessOp.DENY, asked.kit.users("alice"), asked.kit.id(1)))
        else:
            await asked.apply(UpdateAccess(AccessOp.DENY, asked.kit.users("alice"), asked.kit.id(1)))
    assert "old whale" in await asked.ask("alice")
    await asked.driver.set_access(asked.kit.id(1), asked.kit.users("bob"))  # now the backend does it
    with pytest.raises(NothingFound):
        await asked.ask("alice")
    asked.now += UNSURE_SECONDS
    assert await asked.ask("bob") == await asked.ask("bob")
    assert asked.model.asked == 4


async def test_where_writes_are_seen_later_answers_are_kept_later(
    asked: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    settling = replace(asked.driver.capabilities, settle_seconds=7)
    monkeypatch.setattr(Slow, "capabilities", settling)
    await asked.apply(DeleteSources(asked.kit.ids(99)))
    for number in (3, 4):
        await asked.ask()
        assert asked.model.asked == number
    asked.now = 7
    for _ in range(2):
        await asked.ask()
    assert asked.model.asked == 5


def test_every_operation_that_is_not_known_to_read_counts_as_writing() -> None:
    operations = {name for name, value in vars(Driver).items() if iscoroutinefunction(value) and name[0] != "_"}
    assert operations > READING
    assert operations - READING == {
        "upsert",
        "delete",
        "set_access",
        "update_access",
        "change_access",
        "update_provider_access",
        "delete_provider",
        "delete_user",
    }


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_an_answer_is_that_of_now(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    users, items = ("alice", "bob"), (1, 2, 3)
    async with open_stage(tmp_path, most=5) as stage:
        kit = stage.kit
        for step in range(400):
            item, some = rng.choice(items), frozenset(rng.sample(users, rng.randint(0, 2)))
            some_users = kit.users(*some)
            match rng.randrange(25):
                case 0:
                    await stage.load(
                        kit.source(item, users=some, text=f"whale {step}", modified=rng.randrange(step + 1))
                    )
                case 1 if some:
                    await stage.apply(UpdateAccess(rng.choice(list(AccessOp)), some_users, kit.id(item)))
                case 2:
                    await stage.chat.apply_all([SetAccess(some_users, kit.id(item)), DeleteSources(kit.ids(9))])
                case 3 if step % 10 == 0:
                    await stage.apply(DeleteUser(kit.user(rng.choice(users))))
                case _:
                    scope = rng.choice([None, SourceScope(kit.ids(item))])
                    query = stage.query(rng.choice(users), "whale", scope)
                    stored = [hit.text for hit in await stage.driver.search(query)]
                    fresh = f"{query.user_id}, {query.text}: {' | '.join(sorted(stored))}"
                    try:
                        found: Answer | None = await stage.chat.query(query)
                    except NothingFound:
                        found = None
                    assert (found.text if found is not None else "") == (fresh if stored else "")
        hits = stage.counted()["hit"]
        assert hits is not None
        assert hits > 10, "else this proves nothing"
