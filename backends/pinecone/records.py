"""The form of a chunk in Pinecone, within its limits.

https://docs.pinecone.io/reference/api/database-limits/operation-limits
https://docs.pinecone.io/guides/search/full-text-search/text-processing
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pinecone import Document

from context_chat_backend.toolkit.catalogue.store import Candidates, ChunkRecord, DocumentKey, GroupKey, Match
from context_chat_backend.toolkit.indexing.words.languages import UNKNOWN
from context_chat_backend.toolkit.indexing.words.terms import words_in

Record = dict[str, Any]

EMBEDDING, TEXT = "embedding", "text"
"""Fields that are declared in the index."""
HEADING, LANGUAGE, IDENTIFIERS = "head", "lang", "ids"
"""Left out where they are empty, and by earlier versions."""
DOCUMENT, GROUP, ORDINAL = "doc", "acl", "ord"
"""Indexed for filters as they come, like those above."""

REQUEST_RECORDS = 1000
REQUEST_BYTES = 1_800_000
"""Of the 2 MB that are allowed."""
FILTER_VALUES = 10_000
"""The most values of one `$in`."""

DECIMALS = 7
"""Of each component of a unit vector. The error is 5e-8 at most, that of a float32 near 1, and the JSON is half as
long."""
_COMPONENT_BYTES = len("-0.1234567,")
_FRAME_BYTES = 30
"""For the name of the embedding and the punctuation around it."""

TEXT_CHARACTERS = 19_999
"""A text is cut to this. It then has 10,000 words at most, since each but the last needs a character after it, and less
than 100 KB. Chunks have about 1,000 characters."""
MOST_IDENTIFIERS = 500
"""Of a chunk: 40 KB of metadata are allowed."""
HEADING_CHARACTERS = 300
"""A heading is cut to this, so that the answer to a search stays small."""
WORD_BYTES, WORD_CHARACTERS = 256, 40
"""Words of a text may be of so many bytes; the analyzer cuts them to so many characters, also in questions."""
QUESTION_BYTES = 10_000
"""The most text of a search; the rest of a longer question is not looked for."""

JOINT: Final = "\u200a"
"""A hair space. It divides what would be too long for one word; taken out again when a text is shown."""

_ORDINAL = re.compile("[0-9]{1,9}")
_SURROGATES = re.compile("[\ud800-\udfff]")
_LONG = re.compile(rf"\S{{{WORD_BYTES // 4 + 1},}}")  # UTF-8 has at most four bytes for a character


def to_record(chunk: ChunkRecord) -> Record:
    """A chunk as it is stored. Takes a millisecond, to find the identifiers that are not just in the title: for a
    thread."""
    language = chunk.words.language
    identifiers = words_in(language, "", chunk.heading, chunk.text).distinctive[:MOST_IDENTIFIERS]
    left_out_if_empty = {
        HEADING: stored_heading(chunk.heading),
        LANGUAGE: language,
        IDENTIFIERS: list(map(str, identifiers)),
    }
    return {
        "_id": chunk.id,
        EMBEDDING: components(chunk.embedding),
        TEXT: stored_text(chunk.text),
        **{name: value for name, value in left_out_if_empty.items() if value},
        DOCUMENT: chunk.document,
        GROUP: chunk.group,
        ORDINAL: chunk.ordinal,
    }


def to_match(found: Document, similarity: float | None) -> Match | None:
    """What a search found; None for what is no chunk of a gateway."""
    document, _, ordinal = str(found.get("_id")).partition("#")
    text, heading, language = found.get(TEXT), found.get(HEADING), found.get(LANGUAGE)
    if not _ORDINAL.fullmatch(ordinal) or not isinstance(text, str):
        return None
    return Match(
        document=DocumentKey(document),
        ordinal=int(ordinal),
        heading=heading if isinstance(heading, str) else "",
        text=shown_text(text),
        language=language if isinstance(language, str) else UNKNOWN,
        similarity=similarity,
    )


def components(embedding: NDArray[np.float32]) -> list[float]:
    """Rounded, so that they are short in JSON."""
    rounded: list[float] = np.round(embedding.astype(np.float64), DECIMALS).tolist()
    return rounded


def batches(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """The records in order, in as few requests as their sizes allow."""
    begin, size = 0, 0
    for end, record in enumerate(records):
        needed = record_bytes(record)
        if end > begin and (size + needed > REQUEST_BYTES or end - begin == REQUEST_RECORDS):
            yield records[begin:end]
            begin, size = end, 0
        size += needed
    if begin < len(records):
        yield records[begin:]


def record_bytes(record: Record) -> int:
    """The most bytes that a record has in a request."""
    others = {name: value for name, value in record.items() if name != EMBEDDING}
    return (
        _FRAME_BYTES + len(json.dumps(others, ensure_ascii=False).encode()) + _COMPONENT_BYTES * len(record[EMBEDDING])
    )


def stored_text(text: str) -> str:
    """A text that Pinecone takes, whatever is in it.

    Words of more than 256 bytes are over a limit. The page of limits does not say what becomes of them; that the
    analyzer cuts them, so that their rest is not found, is said in github.com/pinecone-io/skills. Languages written
    without blanks have such "words", too. They are divided by joints.
    """
    plain = _SURROGATES.sub("\ufffd", text).replace(JOINT, " ")
    return _LONG.sub(_divided, plain)[:TEXT_CHARACTERS]


def stored_heading(heading: str) -> str:
    """A heading that Pinecone takes."""
    return _SURROGATES.sub("\ufffd", heading)[:HEADING_CHARACTERS]


def shown_text(text: str) -> str:
    """A stored text without its joints."""
    return text.replace(JOINT, "")


def question_words(text: str) -> str:
    """The words of a question and nothing else, so that none of it can be taken for syntax; empty if it has none."""
    words = "".join(character if _in_word(character) else " " for character in text).split()
    question = " ".join(_divided_word(word, " ") for word in words if any(map(str.isalnum, word)))
    return question.encode()[:QUESTION_BYTES].decode(errors="ignore").rstrip()


def candidates_filter(candidates: Candidates, identifiers: Sequence[int] = ()) -> dict[str, Any]:
    """Keeps a search to its candidates, and to those with one of the identifiers if there are any. Pinecone refuses the
    filter of none, rather than finding everything."""
    identified = {IDENTIFIERS: {"$in": list(map(str, identifiers))}} if identifiers else {}
    reached = [*_one_of(GROUP, candidates.groups), *_one_of(DOCUMENT, candidates.documents)]
    clauses = [{**clause, **identified} for clause in reached]
    return clauses[0] if len(clauses) == 1 else {"$or": clauses}


def _one_of(field: str, values: Sequence[GroupKey] | Sequence[DocumentKey]) -> Iterator[Mapping[str, Any]]:
    for begin in range(0, len(values), FILTER_VALUES):
        yield {field: {"$in": list(values[begin : begin + FILTER_VALUES])}}


def _divided(run: re.Match[str]) -> str:
    return "".join(_divided_word("".join(part)) for _, part in groupby(run[0], _is_punctuation))


def _divided_word(word: str, joint: str = JOINT) -> str:
    if len(word.encode()) <= WORD_BYTES:
        return word
    return joint.join(word[begin : begin + WORD_CHARACTERS] for begin in range(0, len(word), WORD_CHARACTERS))


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character).startswith("P")


def _in_word(character: str) -> bool:
    # marks and joiners are parts of words in many scripts, but not alphanumeric to Python
    return character.isalnum() or unicodedata.category(character) in {"Mn", "Mc", "Cf"}
