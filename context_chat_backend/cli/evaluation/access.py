"""Who may read which document of a set, and who asks which question."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .chance import drawn
from .collection import Document, Question

EVERYTHING, NOTHING = "reads-everything", "reads-nothing"
READERS = 8
MARK = 8
"""Characters of a digest in the name of a reader."""


@dataclass(frozen=True, slots=True)
class Access:
    """The access lists of a set. One user may read all of it: that one's figures can be compared with published ones.
    The others may read a random share, and whatever is relevant to the questions that they ask.

    Other lists have other names for these: a store that is kept only ever gets further readers for a source that has
    not changed, and nobody is to have the rights of an earlier run.
    """

    names: Sequence[str]
    """Of the others."""
    readers: Mapping[str, frozenset[str]]
    """By document id."""

    def may_read(self, user: str, document: str) -> bool:
        """Also false for what is no document of the set."""
        return user in self.readers.get(document, ())

    def asker(self, question: Question) -> str:
        """Which of the others asks it."""
        return self.names[_asker(question)]

    def share(self) -> float:
        """Of the set that one of the others may read, on average."""
        return sum(len(users) - 1 for users in self.readers.values()) / (len(self.names) * len(self.readers))


def access_lists(documents: Iterable[Document], questions: Sequence[Question], share: float) -> Access:
    """For all questions of a set, whichever of them are asked: a store that is kept needs no changes for others."""
    names = [f"reader-{number}-{_mark(questions, share)}" for number in range(READERS)]
    granted: dict[str, set[str]] = {document.id: {EVERYTHING} for document in documents}
    for question in questions:
        for document in question.grades.keys() & granted.keys():
            granted[document].add(names[_asker(question)])
    for document, users in granted.items():
        users.update(name for number, name in enumerate(names) if drawn("reader", str(number), document) < share)
    return Access(names, {document: frozenset(users) for document, users in granted.items()})


def _asker(question: Question) -> int:
    return int(drawn("asker", question.id) * READERS)


def _mark(questions: Sequence[Question], share: float) -> str:
    """Of whatever the lists depend on besides the document."""
    granted = sorted((question.id, *sorted(question.grades)) for question in questions)
    return hashlib.sha256(repr((share, granted)).encode()).hexdigest()[:MARK]
