"""Where answers come from: a language model, or the documents themselves."""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Protocol

from ..contract import UserId
from .context import Excerpt, cut
from .models import TextModel
from .prompt import build_prompt


class Generator(Protocol):
    """Writes answers, in pieces as `TextModel` does. Raises `DriverError`s like a driver."""

    context_tokens: int
    """Estimated tokens of excerpts that it can use."""

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

    def __init__(self, model: TextModel) -> None:
        self.context_tokens = model.context_tokens
        self._model = model

    def answer(self, user_id: UserId, question: str, excerpts: Sequence[Excerpt]) -> AsyncGenerator[str, None]:
        return self._model.stream(user_id, build_prompt(question, excerpts))

    def chat(self, user_id: UserId, text: str) -> AsyncGenerator[str, None]:
        return self._model.stream(user_id, text)


class Extractive:
    """No model: shows the passages. Says so, because people expect a written answer."""

    NOTICE = "No language model is configured, so this is what your documents say:"
    NO_MODEL = (
        "No language model is configured, so questions can only be answered from documents. "
        "Ask an administrator to set CC_GENERATOR, or ask with context."
    )
    SENTENCES = 2
    PASSAGE_TOKENS = 200

    def __init__(self) -> None:
        self.context_tokens = 400  # two or three passages: more of them answer the question less and less

    async def answer(
        self,
        user_id: UserId,  # noqa: ARG002
        question: str,
        excerpts: Sequence[Excerpt],
    ) -> AsyncGenerator[str, None]:
        words = _words(question)
        yield "\n".join([self.NOTICE, "", *(self._line(excerpt, words) for excerpt in excerpts)])

    async def chat(self, user_id: UserId, text: str) -> AsyncGenerator[str, None]:  # noqa: ARG002
        yield self.NO_MODEL

    def _line(self, excerpt: Excerpt, words: set[str]) -> str:
        passage = _best_sentences(excerpt.text, words, self.SENTENCES)
        shown = cut(passage, self.PASSAGE_TOKENS)
        return f"- {excerpt.title or 'Untitled'}: {shown}{'' if shown == passage else '…'}"


_WORD = re.compile(r"\w{3,}")
_CJK_PAIR = re.compile(r"(?=([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{2}))")
"""Chinese, Japanese and Korean words are about two characters long and not separated."""
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])\s*|\n+")


def _words(text: str) -> set[str]:
    folded = text.casefold()
    return {*_WORD.findall(folded), *_CJK_PAIR.findall(folded)}


def _best_sentences(text: str, words: set[str], count: int) -> str:
    sentences = [" ".join(part.split()) for part in _SENTENCE_END.split(text) if part.strip()]
    ranked = sorted(range(len(sentences)), key=lambda i: (-len(words & _words(sentences[i])), i))
    return " ".join(sentences[i] for i in sorted(ranked[:count]))
