"""What happens to hits between a search and an answer."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from context_chat_backend.contract import Hit, Query, SourceId, SourceScope, UserId
from context_chat_backend.retrieval.pipeline import Search, compose
from context_chat_backend.retrieval.stages import Diversify, Fold, WholeDocuments, alike, print_of

pytestmark = pytest.mark.anyio


def hit(source: str, ordinal: int = 0, text: str | None = None) -> Hit:
    shown = f"{source} {ordinal}" if text is None else text
    return Hit(source_id=SourceId(source), title=source, ordinal=ordinal, heading="", text=shown, score=0.0)


def asked(limit: int) -> Query:
    return Query(user_id=UserId("alice"), text="whale", limit=limit)


class Found:
    """A search that finds what the test says, and notes what it was asked."""

    def __init__(self, *hits: Hit) -> None:
        self.hits = hits
        self.queries: list[Query] = []

    async def __call__(self, query: Query) -> Sequence[Hit]:
        self.queries.append(query)
        scope = query.scope
        readable = [each for each in self.hits if not isinstance(scope, SourceScope) or each.source_id in scope.sources]
        return readable[: query.limit]


def names(hits: Sequence[Hit]) -> list[str]:
    return [f"{each.source_id}{each.ordinal}" for each in hits]


LETTER = (
    "Dear Anna, the whale museum opens on Monday at nine o'clock, and every visitor gets a free ticket for the boat."
)
OTHER = "The budget for next year has room for two more boats and a larger pier on the southern side of the harbour."


async def test_a_near_duplicate_gives_its_place_to_others() -> None:
    search = Found(hit("a", text=LETTER), hit("b", text=LETTER.replace("nine", "ten")), hit("c", text=OTHER))
    assert names(await Fold(search)(asked(2))) == ["a0", "c0"]


async def test_equal_texts_stay_since_their_sources_are_shown_together() -> None:
    search = Found(hit("a", text=LETTER), hit("b", text=LETTER), hit("c", text=OTHER))
    assert names(await Fold(search)(asked(3))) == ["a0", "b0", "c0"]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (LETTER, LETTER.upper(), True),
        (LETTER, OTHER, False),
        ("RE-1", "RE-2", False),
        ("yes", "yes!", True),
        (
            "鲸鱼博物馆周一上午九点开门,每位参观者都有免费船票。",
            "鲸鱼博物馆周一上午十点开门,每位参观者都有免费船票。",
            True,
        ),
        (
            "鲸鱼博物馆周一上午九点开门,每位参观者都有免费船票。",
            "明年的预算足够再买两条船,还可以扩建南边的码头。",
            False,
        ),
        (f"Invoice RE-2024-0801. {LETTER}", f"Invoice RE-2024-0802. {LETTER}", False),
        ("", "", True),
    ],
)
def test_texts_are_near_duplicates_by_their_runs_of_words(one: str, other: str, *, expected: bool) -> None:
    assert alike(print_of(one), print_of(other)) is expected


async def test_one_source_does_not_take_all_places() -> None:
    search = Found(*[hit("a", number) for number in range(5)], hit("b"), hit("c"))
    assert names(await Diversify(search)(asked(5))) == ["a0", "a1", "a2", "b0", "c0"]


async def test_a_source_that_is_alone_keeps_its_places() -> None:
    search = Found(*[hit("a", number) for number in range(8)])
    assert names(await Diversify(search)(asked(7))) == [f"a{number}" for number in range(7)]


async def test_the_best_documents_are_looked_through_a_second_time() -> None:
    class Second(Found):
        async def __call__(self, query: Query) -> Sequence[Hit]:
            found = await super().__call__(query)
            return found if query.scope is None else [hit("a", 7), *found]

    search = Second(hit("a"), hit("b"), hit("c"), hit("d"))
    assert names(await WholeDocuments(search)(asked(4))) == ["a0", "a7", "b0", "c0"]
    assert search.queries[1] == replace(asked(4), scope=SourceScope(frozenset(map(SourceId, "abc"))))


async def test_where_nothing_is_found_nobody_looks_again() -> None:
    search = Found()
    assert await WholeDocuments(search)(asked(4)) == []
    assert len(search.queries) == 1


async def test_stages_are_passed_from_the_first_to_the_last() -> None:
    def named(name: str) -> type:
        class Named:
            def __init__(self, search: Search) -> None:
                self._search = search

            async def __call__(self, query: Query) -> Sequence[Hit]:
                return [*await self._search(query), hit(name)]

        return Named

    composed = compose(Found(hit("found")), [named("first"), named("second")])
    assert names(await composed(asked(9))) == ["found0", "first0", "second0"]
