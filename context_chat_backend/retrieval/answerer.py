"""From hits to an answer with its sources."""

from collections.abc import Sequence

from ..contract import Answer, Hit, Query, UserId
from .context import choose_excerpts
from .generators import Generator


class Answerer:
    """Fits hits into a generator's context and cites the sources of what it was given."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator

    async def answer(self, query: Query, hits: Sequence[Hit]) -> Answer:
        """Answer from hits, of which there is at least one."""
        excerpts = choose_excerpts(hits, self._generator.context_tokens)
        text = await self._generator.answer(query.user_id, query.text, excerpts)
        source_ids = dict.fromkeys(source_id for excerpt in excerpts for source_id in excerpt.source_ids)
        return Answer(text=text, source_ids=tuple(source_ids))

    async def chat(self, user_id: UserId, text: str) -> str:
        """Answer without documents."""
        return await self._generator.chat(user_id, text)
