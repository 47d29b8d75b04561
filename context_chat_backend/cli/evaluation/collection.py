"""Test collections: documents, questions about them, and which documents answer which question.

docs/evaluation.md describes the files of a set.
"""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from ...contract import Misconfigured
from .chance import drawn

CORPUS_FILES = ("corpus.jsonl", "corpus.json")
QUESTION_FILES = ("queries.jsonl", "queries.json", "MultiHopRAG.json")
"""The first that exists is read, also with `.gz` behind it."""
JUDGEMENT_COLUMNS = 3


@dataclass(frozen=True, slots=True)
class Document:
    """A document of a set."""

    id: str
    title: str
    text: str
    number: int
    """Its place in the corpus, from 1."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a set."""

    id: str
    text: str
    kind: str = ""
    """`question_type`, by which results are grouped."""
    answer: str | None = None
    """What a correct answer says."""
    grades: Mapping[str, int] = field(default_factory=dict)
    """Document id to grade; the relevant ones only, so all are positive."""


@dataclass(frozen=True, slots=True)
class Collection:
    """A set as it was read."""

    name: str
    documents: Mapping[str, Document]
    questions: Sequence[Question]
    """All of them, in the order of the file, whether judged or not."""
    unknown: Sequence[str] = ()
    """Judgements that name a question or a document that the set does not have, as `file:line`."""

    @property
    def judged(self) -> list[Question]:
        """The questions that have a relevant document."""
        return [question for question in self.questions if question.grades]


def read_collection(folder: Path, split: str | None = None) -> Collection:
    """Read a set. With a `split`, the questions and judgements of that name.

    Raises `Misconfigured` that names the file and the line of what is wrong.
    """
    corpus = _existing(folder, CORPUS_FILES)
    if corpus is None:
        raise Misconfigured(f"{folder}: a set has a file {' or '.join(CORPUS_FILES)}, which may end with .gz")
    documents = _documents(corpus)
    asked = _asked(_questions_file(folder, split))
    judgements = _judgements_file(folder, split)
    if judgements is not None:
        grades, unknown = _judged(judgements, asked, documents)
    else:
        grades, unknown = _evidence(asked, documents)
    return Collection(
        name=folder.resolve().name,
        documents=documents,
        questions=[_question(id_, record, grades.get(id_, {})) for id_, record in asked.records.items()],
        unknown=unknown,
    )


def sample(questions: Sequence[Question], count: int | None) -> list[Question]:
    """So many of them, always the same, in their order; all without a `count`."""
    if count is None:
        return list(questions)
    chosen = set(sorted((question.id for question in questions), key=lambda id_: drawn("question", id_))[:count])
    return [question for question in questions if question.id in chosen]


def cut(documents: Mapping[str, Document], questions: Iterable[Question], count: int | None) -> list[Document]:
    """So many documents, always the same, in their order: all that are relevant to the questions, and others."""
    if count is None:
        return list(documents.values())
    relevant = {id_ for question in questions for id_ in question.grades}
    others = sorted(documents.keys() - relevant, key=lambda id_: drawn("document", id_))
    kept = relevant.union(others[: max(0, count - len(relevant))])
    return [document for id_, document in documents.items() if id_ in kept]


# ---------------------------------------------------------------------- records


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True, hide_input_in_errors=True)


class _DocumentRecord(_Record):
    id: str = Field(validation_alias=AliasChoices("_id", "id", "url"), min_length=1)
    title: str | None = None
    text: str = Field(validation_alias=AliasChoices("text", "body"))


class _Evidence(_Record):
    document: str = Field(validation_alias=AliasChoices("_id", "id", "url", "title"), min_length=1)
    """Its id, or its title."""


class _QuestionRecord(_Record):
    id: str | None = Field(None, validation_alias=AliasChoices("_id", "id"), min_length=1)
    text: str = Field(validation_alias=AliasChoices("text", "query", "question"), pattern=r"\S")
    kind: str = Field("", validation_alias="question_type")
    answer: str | None = None
    evidence: tuple[_Evidence, ...] = Field((), validation_alias="evidence_list")


R = TypeVar("R", bound=_Record)


@dataclass(frozen=True, slots=True)
class _Asked:
    records: Mapping[str, _QuestionRecord]
    places: Mapping[str, str]
    """Question id to `file:line`."""


def _documents(path: Path) -> dict[str, Document]:
    documents: dict[str, Document] = {}
    for place, record in _records(path, _DocumentRecord):
        if record.id in documents:
            raise Misconfigured(f"{place}: there is a document {record.id!r} already")
        documents[record.id] = Document(record.id, record.title or "", record.text, len(documents) + 1)
    if not documents:
        raise Misconfigured(f"{path}: no documents")
    return documents


def _asked(path: Path) -> _Asked:
    records: dict[str, _QuestionRecord] = {}
    places: dict[str, str] = {}
    for number, (place, record) in enumerate(_records(path, _QuestionRecord), start=1):
        id_ = str(number) if record.id is None else record.id
        if id_ in records:
            raise Misconfigured(f"{place}: there is a question {id_!r} already")
        records[id_], places[id_] = record, place
    return _Asked(records, places)


def _question(id_: str, record: _QuestionRecord, grades: Mapping[str, int]) -> Question:
    return Question(id_, record.text, record.kind, record.answer, grades)


def _records(path: Path, kind: type[R]) -> Iterator[tuple[str, R]]:
    """Each with its place: the line of a `.jsonl`, the item of a `.json`."""
    for place, value in _values(path):
        try:
            yield place, kind.model_validate(value)
        except ValidationError as error:
            details = error.errors(include_input=False, include_context=False, include_url=False)
            wrong = "; ".join(": ".join([*map(str, item["loc"]), item["msg"]]) for item in details)
            raise Misconfigured(f"{place}: {wrong}") from None


def _values(path: Path) -> Iterator[tuple[str, Any]]:
    if ".jsonl" in path.suffixes:
        for place, line in _lines(path):
            yield place, _parsed(place, line)
        return
    items = _parsed(str(path), "\n".join(line for _, line in _lines(path)))
    if not isinstance(items, list):
        raise Misconfigured(f"{path}: expected a list")
    yield from ((f"{path}: item {number}", item) for number, item in enumerate(items, start=1))


def _parsed(place: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Misconfigured(f"{place}: not JSON: {error}") from None


# ---------------------------------------------------------------------- judgements

Grades = dict[str, dict[str, int]]
"""Question id to document id to grade."""


def _judged(path: Path, asked: _Asked, documents: Mapping[str, Document]) -> tuple[Grades, list[str]]:
    """Of a file of judgements. Those with grade 0 say the same as none."""
    grades: Grades = {}
    unknown = []
    for place, question, document, grade in _judgement_lines(path):
        if question not in asked.records or document not in documents:
            unknown.append(place)
        elif grade > 0 and grades.setdefault(question, {}).setdefault(document, grade) != grade:
            raise Misconfigured(f"{place}: this document was given another grade above")
    return grades, unknown


def _judgement_lines(path: Path) -> Iterator[tuple[str, str, str, int]]:
    for number, (place, line) in enumerate(_lines(path)):
        columns = line.split("\t")
        if len(columns) != JUDGEMENT_COLUMNS:
            raise Misconfigured(f"{place}: expected question, document and grade, separated by tabs")
        try:
            grade = int(columns[2])
        except ValueError:
            if number == 0:
                continue  # the names of the columns
            raise Misconfigured(f"{place}: the grade is no whole number") from None
        yield place, columns[0], columns[1], grade


def _evidence(asked: _Asked, documents: Mapping[str, Document]) -> tuple[Grades, list[str]]:
    """Of questions that name their documents themselves."""
    if not any(record.evidence for record in asked.records.values()):
        raise Misconfigured("no judgements: the set has no qrels file, and no question has an evidence_list")
    by_title = {document.title: id_ for id_, document in documents.items() if document.title}
    grades: Grades = {}
    unknown = []
    for id_, record in asked.records.items():
        for each in record.evidence:
            document = each.document if each.document in documents else by_title.get(each.document)
            if document is None:
                unknown.append(asked.places[id_])
            else:
                grades.setdefault(id_, {})[document] = 1
    return grades, unknown


# ---------------------------------------------------------------------- files


def _questions_file(folder: Path, split: str | None) -> Path:
    of_split = () if split is None else (f"queries_{split}.jsonl",)
    path = _existing(folder, (*of_split, *QUESTION_FILES))
    if path is None:
        raise Misconfigured(f"{folder}: a set has a file {' or '.join((*of_split, *QUESTION_FILES))}")
    return path


def _judgements_file(folder: Path, split: str | None) -> Path | None:
    """Ours, or BEIR's. Only a set whose questions name their documents needs none."""
    names = ("qrels.tsv", "qrels/test.tsv") if split is None else (f"qrels_{split}.tsv", f"qrels/{split}.tsv")
    path = _existing(folder, names)
    if path is None and split is not None:
        raise Misconfigured(f"{folder}: --split {split} needs a file {' or '.join(names)}")
    return path


def _existing(folder: Path, names: Iterable[str]) -> Path | None:
    paths = (folder / f"{name}{ending}" for name in names for ending in ("", ".gz"))
    return next((path for path in paths if path.is_file()), None)


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines that are not blank, each with its place."""
    try:
        with _opened(path) as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield f"{path}:{number}", line.rstrip("\r\n")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path} cannot be read: {error}") from error


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig")
    return path.open(encoding="utf-8-sig")
