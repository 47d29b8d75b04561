"""The words of the chunks of a document."""

from collections.abc import Sequence

from ..split import Chunk
from .terms import Words, chunk_words


def words_of_chunks(title: str, chunks: Sequence[Chunk], language: str) -> list[Words]:
    """Of consecutive chunks. `language` is that of the text before: those that are too short to tell are in the same
    one as what comes before them."""
    made: list[Words] = []
    for chunk in chunks:
        made.append(chunk_words(title, chunk.heading, chunk.text, language=made[-1].language if made else language))
    return made
