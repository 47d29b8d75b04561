"""From hits to an answer with its sources."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from ..contract import Answer, Hit, Query
from .context import choose_excerpts
from .generators import Generator


async def answers_from(hits: Sequence[Hit], query: Query, generator: Generator) -> AsyncGenerator[Answer, None]:
    """What the generator makes of as many hits as fit into its context, with the sources of those. There has to be one
    at least.

    The answer so far, each time there is more of it; the first has its sources only, the last is all of it.
    """
    excerpts = choose_excerpts(hits, generator.context_tokens)
    source_ids = dict.fromkeys(source_id for excerpt in excerpts for source_id in excerpt.source_ids)
    titles = {hit.source_id: hit.title for hit in hits if hit.source_id in source_ids}
    answer = Answer(text="", source_ids=tuple(source_ids), titles=titles)
    yield answer
    async with aclosing(generator.answer(query.user_id, query.text, excerpts)) as pieces:
        async for piece in pieces:
            answer = replace(answer, text=answer.text + piece)
            yield answer
