"""What `search` promises besides isolation."""

from ..kit import Kit
from .base import case, expect


@case("search")
async def a_limit_is_kept(kit: Kit) -> None:
    """A search returns at most `limit` hits, best first.

    If this fails: sort by score before you apply the limit; a higher score is better.
    """
    for item in range(5):
        await kit.driver.upsert(kit.source(item, text=f"Whale number {item} sings."))
    await kit.expect("alice", kit.ids(*range(5)))
    hits = await kit.hits("alice", limit=3)
    expect(len(hits) == 3, f"limit 3 gave {len(hits)} hits")  # noqa: PLR2004
    scores = [hit.score for hit in hits]
    expect(scores == sorted(scores, reverse=True), f"scores are not in order: {scores}")


@case("search")
async def the_fitting_source_comes_first(kit: Kit) -> None:
    """A question about one of several sources finds that one first.

    If this fails: questions and documents are embedded by different models or with the wrong prefixes, or the order
    of the hits is reversed.
    """
    texts = {
        "recipe": "Bake the apple cake for forty minutes. Flour, butter, apples and cinnamon are needed.",
        "budget": "The marketing budget for next year is 50,000 euros, the travel budget is 10,000 euros.",
        "holiday": "The office is closed between Christmas and New Year. Holiday requests go to Carol.",
    }
    for item, text in texts.items():
        await kit.driver.upsert(kit.source(item, text=text, title=f"files/{item}.md"))
    await kit.expect("alice", kit.ids(*texts))
    for question, item in {"how long to bake the apple cake": "recipe", "marketing budget": "budget"}.items():
        hits = await kit.hits("alice", text=question, limit=3)
        expect(hits[0].source_id == kit.id(item), f"{question!r} found {hits[0].source_id} first")


@case("search")
async def odd_questions_do_no_harm(kit: Kit) -> None:
    """Questions with quotes, operators, control characters or no words at all raise nothing.

    If this fails: pass the question as a parameter, never as part of a query language; remove what your backend does
    not accept, such as NUL.
    """
    await kit.driver.upsert(kit.source(1))
    for text in ("'; drop table x; --", '"', "a & b | !c <-> d:*", "😀", "?!", "\x00 whale \x01", "whale " * 2000):
        await kit.hits("alice", text=text, limit=3)
