"""Where answers come from: a language model, or the documents themselves."""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Protocol

from ..contract import UserId
from ..toolkit.indexing.words.fold import visible
from ..toolkit.indexing.words.languages import language_of
from ..toolkit.indexing.words.terms import QUESTION_CHARS
from ..toolkit.indexing.words.tokens import text_tokens
from .context import Excerpt
from .models import TextModel
from .notices import PASSAGES, notice
from .prompt import build_prompt, document_numbers
from .relevance import FOR_A_MODEL, FOR_PEOPLE, RelevanceBar
from .tokens import EstimatedTokens, Tokens


class Generator(Protocol):
    """Writes answers, in pieces as `TextModel` does. Raises `DriverError`s like a driver."""

    context_tokens: int
    """Tokens of excerpts that it can use."""
    tokens: Tokens
    """What counts them."""
    bar: RelevanceBar
    """For what it is given."""

    def answer(self, user_id: UserId, question: str, excerpts: Sequence[Excerpt]) -> AsyncGenerator[str, None]:
        """Answer from the excerpts."""

    def chat(self, user_id: UserId, text: str) -> AsyncGenerator[str, None]:
        """Answer without any document."""


async def whole(pieces: AsyncGenerator[str, None]) -> str:
    """The text that the pieces make up."""
    async with aclosing(pieces):
        return "".join([piece async for piece in pieces])


class Prompted:
    """Has a language model write the answer."""

    def __init__(self, model: TextModel, tokens: Tokens, bar: RelevanceBar = FOR_A_MODEL) -> None:
        self.context_tokens = model.context_tokens
        self.tokens = tokens
        self.bar = bar
        self._model = model

    def answer(self, user_id: UserId, question: str, excerpts: Sequence[Excerpt]) -> AsyncGenerator[str, None]:
        return self._model.stream(user_id, build_prompt(question, excerpts))

    def chat(self, user_id: UserId, text: str) -> AsyncGenerator[str, None]:
        return self._model.stream(user_id, text)


class Extractive:
    """No model: shows the passages. Says so, because people expect a written answer."""

    NO_MODEL = (
        "No language model is configured, so questions can only be answered from documents. "
        "Ask an administrator to set CC_GENERATOR, or ask with context."
    )
    SENTENCES = 2
    PASSAGE_TOKENS = 200

    def __init__(self, bar: RelevanceBar = FOR_PEOPLE) -> None:
        self.context_tokens = 400  # two or three passages: more of them answer the question less and less
        self.tokens: Tokens = EstimatedTokens()
        self.bar = bar

    async def answer(
        self,
        user_id: UserId,  # noqa: ARG002
        question: str,
        excerpts: Sequence[Excerpt],
    ) -> AsyncGenerator[str, None]:
        words = _words(question)
        numbers = document_numbers(excerpts)
        lines = [self._line(number, excerpt, words) for number, excerpt in zip(numbers, excerpts, strict=True)]
        yield "\n".join([notice(PASSAGES, question), "", *lines])

    async def chat(self, user_id: UserId, text: str) -> AsyncGenerator[str, None]:  # noqa: ARG002
        yield self.NO_MODEL

    def _line(self, number: int, excerpt: Excerpt, words: frozenset[str]) -> str:
        passage = _best_sentences(excerpt.text, words, self.SENTENCES)
        shown = self.tokens.cut(passage, self.PASSAGE_TOKENS)
        return f"- {excerpt.title or 'Untitled'}: {shown}{'' if shown == passage else '…'} [{number}]"


_NO_END = r"(?<!\b\d\.)(?<!\b\d\d\.)(?<!\b[^\W\d_]\.)(?<!\b(?:Dr|No|Nr|St|Mr|Ms)\.)(?<!\b(?:Mrs|bzw|Tel|Art|Abs)\.)"
"""Days and ordinals, initials and what is abbreviated before a name or a number."""
_SENTENCE_END = re.compile(rf"(?<=[.!?]){_NO_END}\s+|(?<=[\u3002\uff01\uff1f])\s*|\n+")


def _words(text: str) -> frozenset[str]:
    """Those that tell what a text is about, in all their forms; of a long one those at its beginning."""
    shown = visible(text[:QUESTION_CHARS])[:QUESTION_CHARS]
    tokens = text_tokens("", shown, language_of(shown))
    return frozenset([*tokens.words, *tokens.identifiers])


def _best_sentences(text: str, words: frozenset[str], count: int) -> str:
    sentences = [" ".join(part.split()) for part in _SENTENCE_END.split(text) if part.strip()]
    ranked = sorted(range(len(sentences)), key=lambda i: (-len(words & _words(sentences[i])), i))
    return " ".join(sentences[i] for i in sorted(ranked[:count]))
