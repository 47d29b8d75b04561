"""Asks a gateway, and counts what it finds first."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.gateway import Nextcloud

from .languages import GERMAN_FORMS, SENTENCES
from .office import NOTES, Invoice, Technical, Text, named_files
from .questions import BY_INVOICE, TECHNICAL, by_file_name

SHARE = 0.95
"""Of the questions of a kind find what is meant first, or all but one where they are few."""
SHOWN = 10
BATCH = 10
READER = "alice"


@dataclass(slots=True)
class Asked:
    """Questions of one kind."""

    first: int = 0
    missed: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        return self.first / (self.first + len(self.missed))


class Office:
    """Documents in a gateway."""

    def __init__(self, nextcloud: Nextcloud) -> None:
        self._nextcloud = nextcloud
        self.kinds: dict[str, Asked] = {}

    def load(self, texts: Sequence[Text]) -> None:
        for start in range(0, len(texts), BATCH):
            batch = texts[start : start + BATCH]
            answer = self._nextcloud.load(*(text.part for text in batch)).json()
            assert sorted(answer["loaded_sources"]) == sorted(text.source_id for text in batch), answer
        self._nextcloud.wait_for_meaning()

    def found(self, question: str) -> list[str]:
        """Ids of sources, best first."""
        response = self._nextcloud.post("/docSearch", userId=READER, query=question, ctxLimit=SHOWN)
        assert response.status_code == 200, response.text
        return [hit["source_id"] for hit in response.json()]

    def ask(self, kind: str, question: str, meant: str) -> None:
        asked = self.kinds.setdefault(kind, Asked())
        found = self.found(question)
        if found[:1] == [meant]:
            asked.first += 1
        else:
            rank = found.index(meant) + 1 if meant in found else None
            asked.missed.append(f"{question!r} at rank {rank}")

    def ask_all(self, questions: Iterable[tuple[str, str, str]]) -> None:
        for kind, question, meant in questions:
            self.ask(kind, question, meant)

    def too_rarely_first(self) -> dict[str, list[str]]:
        return {
            kind: asked.missed for kind, asked in self.kinds.items() if len(asked.missed) > 1 and asked.share < SHARE
        }


def questions(invoices: Iterable[Invoice], technicals: Iterable[Technical]) -> Iterator[tuple[str, str, str]]:
    """Of which kind, what is typed, and the id of what is meant."""
    for invoice in invoices:
        for kind, typed in BY_INVOICE.items():
            yield from ((kind, question, invoice.source_id) for question in typed(invoice))
    for technical in technicals:
        for kind, spelled in TECHNICAL.items():
            yield from ((kind, question, technical.source_id) for question in spelled(technical))
    for file in named_files():
        yield from (("name of a file", question, file.source_id) for question in by_file_name(file))
    for language, (word, text) in sentences():
        yield f"word in {language}", word, text.source_id


def sentences() -> list[tuple[str, tuple[str, Text]]]:
    """The language, what is typed, and the text that has it."""
    pairs = [(language, pair) for language, words in SENTENCES.items() for pair in words.items()]
    return [
        (language, (word, Text(f"{NOTES}: {8000 + number}", "Notiz", sentence)))
        for number, (language, (word, sentence)) in enumerate(pairs)
    ]


def german_forms() -> list[tuple[str, Text]]:
    """What is typed, and the text that has another form of it."""
    return [
        (word, Text(f"{NOTES}: {9000 + number}", "Notiz", sentence))
        for number, (word, sentence) in enumerate(GERMAN_FORMS.items())
    ]
