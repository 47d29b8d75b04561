"""From hits to an answer with its sources."""

from collections.abc import Sequence

from ..contract import Answer, Hit, Query
from .context import choose_excerpts
from .generators import Generator


async def answer_from(hits: Sequence[Hit], query: Query, generator: Generator) -> Answer:
    """What the generator makes of as many hits as fit into its context, with the sources of those. There has to be one
    at least."""
    excerpts = choose_excerpts(hits, generator.context_tokens)
    text = await generator.answer(query.user_id, query.text, excerpts)
    source_ids = dict.fromkeys(source_id for excerpt in excerpts for source_id in excerpt.source_ids)
    titles = {hit.source_id: hit.title for hit in hits if hit.source_id in source_ids}
    return Answer(text=text, source_ids=tuple(source_ids), titles=titles)
