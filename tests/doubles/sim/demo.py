"""The demo by hand: documents, questions when they are acknowledged, and the same question after a change of access."""

import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tests.doubles.sim.corpus import ANNA, BJOERN, CARLA, DAVID, FIRST_MTIME, LAMP_FILE, SALARIES, Document, numbered
from tests.doubles.sim.model import DAY
from tests.doubles.sim.ocs import OcsError
from tests.doubles.sim.sim import Sim
from tests.doubles.sim.tasks import SUCCESSFUL

QUESTION_TYPE = "context_chat:context_chat"
LONGEST_INDEXING = 1800.0
LONGEST_ANSWER = 180.0
REPORT_SECONDS = 5.0
STANDSTILL_SECONDS = 60.0
SHOWN_SOURCES = 5
NO_ANSWER = "I do not find that in your documents."


@dataclass(frozen=True)
class Question:
    user: str
    text: str
    source: str
    """The end of the label of the document that has the answer."""
    readable: bool = True
    """Whether the user may read it."""

    def is_leaked(self, labels: Sequence[str]) -> bool:
        """Whether these sources have what the user may not read."""
        return not self.readable and self._found(labels)

    def is_missed(self, labels: Sequence[str]) -> bool:
        return self.readable and not self._found(labels)

    def _found(self, labels: Sequence[str]) -> bool:
        return any(label.endswith(self.source) for label in labels)


RED_LAMP = Question(BJOERN, "The red lamp of the coffee machine blinks, what does it mean?", "Coffee machine.md")
SALARY = Question(BJOERN, "How many euros does Carla earn a month?", "Salaries.md", readable=False)
QUESTIONS = (
    Question(ANNA, "How many kilograms does a blue whale weigh?", "Blue whale.md"),
    RED_LAMP,
    Question(CARLA, "Combien de kilogrammes pèse une baleine bleue adulte ?", "Baleine bleue.md"),
    Question(DAVID, "¿Cuántos metros mide la ballena azul de adulto?", "Ballena azul.md"),
    Question(ANNA, "When do we meet the guests from Lisbon?", "Lunch with the guests from Lisbon"),
    Question(DAVID, "Wer hat zwei Völker für unser Dach zugesagt?", "Bienenkästen aufstellen"),
    Question(ANNA, "How many euros does Carla earn a month?", "Salaries.md"),
    SALARY,
)


def say(text: str = "") -> None:
    """A line to the user, between those of the requests."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class _Progress:
    def __init__(self) -> None:
        self._waiting, self._since = -1, 0.0

    def has_stopped(self, waiting: int, now: float) -> bool:
        """Whether the number has not changed for a while. Then the while begins again."""
        if waiting == self._waiting and now < self._since + STANDSTILL_SECONDS:
            return False
        changed = waiting != self._waiting
        self._waiting, self._since = waiting, now
        return not changed


class Demo:
    def __init__(self, nextcloud: Sim) -> None:
        self._nextcloud = nextcloud
        self._file_ids: dict[str, int] = {}

    def load(self) -> None:
        """Everything is put into the queues."""
        self._nextcloud.text2text.reply = quoted
        for number, document in numbered():
            if document.kind == "file":
                self._load_file(number, document)
            else:
                self._load_item(number, document)
        rows, _ = self._nextcloud.pending()
        say(f"{sum(rows.values())} documents of {len(self._nextcloud.users)} users are waiting")

    def run(self) -> bool:
        """Whether everything was indexed and answered, with the documents that each may read."""
        if not self._wait_until_indexed() or not self._wait_until_registered():
            return False
        before = [self._ask(question) for question in QUESTIONS]
        say("\nBjörn loses the page about the coffee machine, and Anna shares the salaries with him\n")
        self._nextcloud.share(self._file_ids[LAMP_FILE], remove=[BJOERN])
        self._nextcloud.share(self._file_ids[SALARIES], add=[BJOERN])
        changed = self._wait_until_indexed()
        after = [self._ask(replace(RED_LAMP, readable=False)), self._ask(replace(SALARY, readable=True))]
        careless = self._nextcloud.stats()["violations"] or "nothing was seen"
        say(f"The demo is over. What a careful client does not do: {careless}")
        return changed and all(before + after)

    # ------------------------------------------------------------------ documents

    def _load_file(self, file_id: int, document: Document) -> None:
        owner, *others = document.readers
        mtime = FIRST_MTIME + file_id
        self._nextcloud.add_file(
            file_id, owner, document.title, document.mime, document.text, mtime=mtime, users=others
        )
        self._nextcloud.enqueue_file(file_id)
        self._file_ids[document.title] = file_id

    def _load_item(self, number: int, document: Document) -> None:
        app = document.kind
        modified = FIRST_MTIME + number
        self._nextcloud.add_users(*document.readers)
        self._nextcloud.enqueue_item(
            app, app, str(number), document.title, document.text, document.mime, modified, document.readers
        )

    def _wait_until_indexed(self) -> bool:
        end, next_report = time.monotonic() + LONGEST_INDEXING, 0.0
        progress = _Progress()
        while waiting := sum(self._nextcloud.pending()[0].values()):
            now = time.monotonic()
            if now > end:
                say(f"{waiting} documents or actions are still not acknowledged")
                return False
            if now > next_report:
                say(f"--- {waiting} documents and actions are not acknowledged yet")
                next_report = now + REPORT_SECONDS
            if progress.has_stopped(waiting, now) and self._has_faults:
                say("--- a day passes: what was handed out in an answer that got lost comes back")
                self._nextcloud.travel(DAY + 1)
            time.sleep(0.1)
        say("--- all documents and actions are acknowledged")
        return True

    # ------------------------------------------------------------------ questions

    def _wait_until_registered(self) -> bool:
        end = time.monotonic() + LONGEST_ANSWER
        while QUESTION_TYPE not in self._nextcloud.tasks.types():
            if time.monotonic() > end:
                say(f"The gateway has registered no provider of {QUESTION_TYPE}")
                return False
            time.sleep(0.1)
        return True

    def _ask(self, question: Question) -> bool:
        """Whether it is answered from the right documents. While requests fail, an answer may be missing."""
        given = {"prompt": question.text, "scopeType": "none", "scopeList": [], "scopeListMeta": ""}
        try:
            number = self._nextcloud.schedule(question.user, QUESTION_TYPE, given)
        except OcsError as error:
            say(f"The question is refused: {error.data}")
            return False
        task = self._nextcloud.wait_task(number, LONGEST_ANSWER)
        if task["status"] != SUCCESSFUL:
            say(f"\n    {question.user} asks: {question.text}\n    {task['status']}: {task['errorMessage']}\n")
            return self._has_faults
        labels = [json.loads(source)["label"] for source in task["output"]["sources"]]
        say(_shown(question, task["output"]["output"], labels))
        return not question.is_leaked(labels) and (self._has_faults or not question.is_missed(labels))

    @property
    def _has_faults(self) -> bool:
        """Whether a request was made to fail."""
        return bool(self._nextcloud.statistics.faults)


def _shown(question: Question, answer: str, labels: list[str]) -> str:
    lines = [f"\n    {question.user} asks: {question.text}", *(f"      {line}" for line in answer.splitlines())]
    more = f" and {len(labels) - SHOWN_SOURCES} more" if len(labels) > SHOWN_SOURCES else ""
    lines.append(f"    sources: {'; '.join(labels[:SHOWN_SOURCES])}{more}")
    if question.is_leaked(labels):
        lines.append(f"    LEAK: {question.user} may not read {question.source}")
    if question.is_missed(labels):
        lines.append(f"    NOT FOUND: {question.source}")
    return "\n".join([*lines, ""])


# ---------------------------------------------------------------------- Nextcloud's text model


def quoted(prompt: str) -> str:
    """What the text model of the demo writes: the sentence of the prompt that has most words of the question.

    It understands nothing, but shows what the gateway has found, and no model has to be installed.
    """
    before, _, question = prompt.rpartition("Question: ")
    wanted = _words(question)
    best = max(_sentences(before), key=lambda sentence: len(wanted & _words(sentence)), default="")
    return best if wanted & _words(best) else NO_ANSWER


def _sentences(prompt: str) -> Iterator[str]:
    """Of the excerpts, without the lines around them, headings, heads of mails and what they quote."""
    _, _, excerpts = prompt.partition("\n\n")
    for line in excerpts.splitlines():
        if line and not line.startswith(("[", "#", ">", "From:", "To:")):
            yield from re.split(r"(?<=[.!?]) ", line.strip())


def _words(text: str) -> set[str]:
    """The longer ones."""
    return {word for word in re.findall(r"\w+", text.lower()) if len(word) > 3}
