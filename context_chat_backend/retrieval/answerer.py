"""From hits to an answer with its sources."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from ..contract import Answer, Hit, Query, SourceScope
from .context import choose_excerpts
from .generators import Generator
from .notices import NOTHING_FITS, notice


async def answers_from(hits: Sequence[Hit], query: Query, generator: Generator) -> AsyncGenerator[Answer, None]:
    """What the generator makes of as many hits as fit into its context, with the sources of those, in the order in
    which it is to use them; that nothing fits, without any source, where none is relevant enough. Sources that the
    question is limited to always are: somebody chose them.

    The answer so far, each time there is more of it; the first has its sources only, the last is all of it.
    """
    fitting = hits if isinstance(query.scope, SourceScope) else generator.bar.passed(hits)
    if not fitting:
        yield Answer(text=notice(NOTHING_FITS, query.text), source_ids=())
        return
    excerpts = choose_excerpts(fitting, generator.context_tokens, generator.tokens)
    source_ids = dict.fromkeys(source_id for excerpt in excerpts for source_id in excerpt.source_ids)
    titles = {hit.source_id: hit.title for hit in hits if hit.source_id in source_ids}
    answer = Answer(text="", source_ids=tuple(source_ids), titles=titles)
    yield answer
    async with aclosing(generator.answer(query.user_id, query.text, excerpts)) as pieces:
        async for piece in pieces:
            answer = replace(answer, text=answer.text + piece)
            yield answer
