"""`ccbe eval own`: whether the files of a folder are found by their names, sentences and identifiers."""

import mimetypes
import re
import sys
from argparse import Namespace
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path

import anyio

from ...contract import DriverError, Misconfigured
from ...toolkit.concurrency import gather
from ...toolkit.indexing.extract.extractor import Extractor, ExtractSettings
from ...toolkit.settings import read_settings
from ..command import FAILURE, SUCCESS, Variables
from .access import EVERYTHING
from .collection import Question, sample
from .results import Leak
from .sandbox import NO_MODEL, Sandbox, Upload, sandbox, temporary_storage, with_variables
from .texts import say, table
from .trial import SHOWN, forbidden, with_progress

MIME_TYPES = {
    ".md": "text/markdown",
    ".msg": "application/vnd.ms-outlook",
    ".org": "text/org",
    ".rst": "text/x-rst",
}
"""Not known to every version of Python and every system."""
NEAR = 10
"""Ranks that people look at."""
NAME, SENTENCE, IDENTIFIER = "name", "sentence", "identifier"
SHORTEST_SENTENCE, LONGEST_SENTENCE = 30, 300
"""In characters."""
SHORTEST_IDENTIFIER = 4

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])|\n+")
_WORD = re.compile(r"\w(?:[\w./-]*\w)?")
_BETWEEN_WORDS = re.compile(r"[\s_.-]+")


@dataclass(frozen=True, slots=True)
class File:
    """A file that could be read."""

    path: Path
    name: str
    """Its path below the folder."""
    mime_type: str
    text: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """A question, and where in the answer a right document was."""

    question: Question
    rank: int | None
    """From 1."""


def run(options: Namespace, variables: Variables) -> int:
    """Load the files, ask, print; fails if a user who may read nothing finds something."""
    changed = with_variables({**variables, **NO_MODEL}, options.with_)
    files = anyio.run(_read, _paths(options.folder), options.folder, changed)
    if not files:
        raise Misconfigured(f"{options.folder}: no file in it has a text that can be read")
    questions = [question for kind in KINDS for question in sample(list(KINDS[kind](files)), options.limit)]
    with temporary_storage() as storage, sandbox(changed, storage) as gateway:
        say(f"loading {len(files):,} files")
        loaded = gateway.load([_upload(number, file) for number, file in enumerate(files, start=1)])
        say(f"asking {len(questions):,} questions")
        attempts = [_attempt(gateway, question) for question in with_progress(questions)]
        leaks = list(forbidden(gateway, questions))
        gateway.clear()
    _print(attempts, loaded.rejected, leaks)
    return FAILURE if leaks else SUCCESS


# ---------------------------------------------------------------------- files


def _paths(folder: Path) -> list[Path]:
    """Raises `Misconfigured`."""
    if not folder.is_dir():
        raise Misconfigured(f"{folder} is no folder")
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


async def _read(paths: Sequence[Path], folder: Path, variables: Mapping[str, str]) -> list[File]:
    """What cannot be read is said, and left out."""
    async with Extractor(read_settings(ExtractSettings, variables)) as extractor:
        files = await gather(*(partial(_file, extractor, path, path.relative_to(folder)) for path in paths))
    return [file for file in files if file is not None]


async def _file(extractor: Extractor, path: Path, name: Path) -> File | None:
    mime_type = MIME_TYPES.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    try:
        return File(path, name.as_posix(), mime_type, await extractor.text(path, mime_type))
    except DriverError as error:
        say(f"{name} is left out: {error}")
        return None


def _upload(number: int, file: File) -> Upload:
    return Upload(
        id=file.name,
        number=number,
        title=f"files/{file.name}",
        read=file.path.read_bytes,
        readers=frozenset({EVERYTHING}),
        mime_type=file.mime_type,
    )


# ---------------------------------------------------------------------- questions


def names(files: Sequence[File]) -> Iterator[Question]:
    """The names of files as people write them, without folder and ending."""
    words = {file.name: _BETWEEN_WORDS.sub(" ", Path(file.name).stem).strip() for file in files}
    same = _holders((name, [spoken]) for name, spoken in words.items())
    for name, spoken in words.items():
        if spoken:
            yield _question(NAME, name, spoken, same[spoken])


def sentences(files: Sequence[File]) -> Iterator[Question]:
    """Of each file the sentence that is nearest to its middle, among those of a sensible length."""
    split = {file.name: [part.strip() for part in _SENTENCE_END.split(file.text)] for file in files}
    same = _holders(split.items())
    for name, parts in split.items():
        if sentence := _middle(parts):
            yield _question(SENTENCE, name, sentence, same[sentence])


def identifiers(files: Sequence[File]) -> Iterator[Question]:
    """Of each file the longest word with a digit that no other file has, those with letters first."""
    words = {file.name: set(filter(_is_identifier, _WORD.findall(file.text))) for file in files}
    same = _holders(words.items())
    for name, found in words.items():
        rare = [word for word in found if len(same[word]) == 1]
        if rare:
            best = max(rare, key=lambda word: (any(map(str.isalpha, word)), len(word), word))
            yield _question(IDENTIFIER, name, best, [name])


KINDS: Mapping[str, Callable[[Sequence[File]], Iterator[Question]]] = {
    NAME: names,
    SENTENCE: sentences,
    IDENTIFIER: identifiers,
}


def _question(kind: str, name: str, text: str, right: Sequence[str]) -> Question:
    return Question(f"{kind} of {name}", text, kind, grades=dict.fromkeys(right, 1))


def _holders(texts: Iterable[tuple[str, Iterable[str]]]) -> dict[str, list[str]]:
    """Which files have a text."""
    holders: dict[str, list[str]] = defaultdict(list)
    for name, parts in texts:
        for part in set(parts):
            holders[part].append(name)
    return holders


def _middle(parts: Sequence[str]) -> str | None:
    ends = list(accumulate(map(len, parts)))
    usable = [index for index, part in enumerate(parts) if SHORTEST_SENTENCE <= len(part) <= LONGEST_SENTENCE]
    if not usable:
        return None
    return parts[min(usable, key=lambda index: abs(ends[index] - len(parts[index]) / 2 - ends[-1] / 2))]


def _is_identifier(word: str) -> bool:
    return len(word) >= SHORTEST_IDENTIFIER and any(map(str.isdigit, word))


# ---------------------------------------------------------------------- answers


def _attempt(gateway: Sandbox, question: Question) -> Attempt:
    found = gateway.search(EVERYTHING, question.text).documents
    ranks = (rank for rank, document in enumerate(found, start=1) if document in question.grades)
    return Attempt(question, next(ranks, None))


def _print(attempts: Sequence[Attempt], rejected: Sequence[str], leaks: Sequence[Leak]) -> None:
    if rejected:
        sys.stdout.write(f"not indexed: {', '.join(rejected)}\n")
    head = ("asked for", "questions", "at rank 1", f"in the first {NEAR}")
    sys.stdout.write("\n" + table([head, *(_row(kind, attempts) for kind in KINDS)]))
    failures = [attempt for attempt in attempts if attempt.rank is None or attempt.rank > NEAR]
    for attempt in failures:
        place = "not found" if attempt.rank is None else f"at rank {attempt.rank}"
        sys.stdout.write(f"{place}: {attempt.question.id}: {attempt.question.text}\n")
    for leak in leaks[:SHOWN]:
        sys.stdout.write(f"LEAK: {leak.user} may not read {leak.document} and got it for the {leak.question}\n")
    sys.stdout.write(f"{len(leaks):,} leaks\n")


def _row(kind: str, attempts: Sequence[Attempt]) -> tuple[str, ...]:
    ranks = [attempt.rank for attempt in attempts if attempt.question.kind == kind]
    first = sum(rank == 1 for rank in ranks)
    near = sum(rank is not None and rank <= NEAR for rank in ranks)
    return kind, f"{len(ranks):,}", _of(first, len(ranks)), _of(near, len(ranks))


def _of(count: int, total: int) -> str:
    return f"{count / total:.1%}" if total else "-"
