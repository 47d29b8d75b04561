"""What is loaded and asked of a set, and what becomes of the answers."""

import hashlib
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ... import __version__
from ...contract import Misconfigured
from ..command import FAILURE, SUCCESS, Variables
from ..progress import Progress
from .access import EVERYTHING, NOTHING, Access, access_lists
from .collection import Collection, Document, Question, cut, read_collection, sample
from .results import Asked, Leak, Results, SetResult, Store, write_results
from .sandbox import Loaded, Sandbox, Upload, kept_storage, sandbox, temporary_storage, with_variables
from .texts import say

ALL, SOME = "all", "some"
"""How much the user who asks may read."""
SHOWN = 10
"""Of a list that may be long."""
FORBIDDEN_QUESTIONS = 50
"""Of a set are asked by a user who may read nothing."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What is loaded and asked."""

    collection: Collection
    documents: Sequence[Document]
    questions: Sequence[Question]
    access: Access
    titles: str

    @property
    def uploads(self) -> list[Upload]:
        """The documents as they are sent."""
        return [upload_of(document, self.access, self.titles) for document in self.documents]

    def user(self, question: Question, reads: str) -> str:
        """Who asks it."""
        return EVERYTHING if reads == ALL else self.access.asker(question)


Ask = Callable[[Sandbox, Trial], Iterator[Asked]]
"""Asks the questions of a trial, once its documents are loaded."""
Print = Callable[[SetResult, Trial], None]


def evaluate(
    options: Namespace,
    variables: Variables,
    *,
    chosen: Callable[[Collection], Sequence[Question]],
    ask: Ask,
    print_: Print,
) -> int:
    """Ask the chosen questions of each set, print and write the results; fails if there was a leak.

    Nothing is started before all sets are read. Raises `Misconfigured`, `GatewayFailed`.
    """
    changed = with_variables(variables, options.with_)
    if options.out is not None and not options.out.parent.is_dir():
        raise Misconfigured(f"--out {options.out}: there is no such folder")
    trials = [trial_of(read_collection(folder, options.split), chosen, options) for folder in options.sets]
    _require_distinct([trial.collection.name for trial in trials])
    results: list[SetResult] = []
    for trial in trials:
        results.append(_carried_out(trial, changed, ask, options))
        if options.out is not None:
            write_results(options.out, _results(results, changed, options.with_))
        print_(results[-1], trial)
        _print_leaks(results[-1])
    return FAILURE if any(result.leaks for result in results) else SUCCESS


def grouped(result: SetResult, trial: Trial, reads: str) -> Iterator[tuple[str, str, list[Asked]]]:
    """How much the user may read, the kind of question if there are several, and what was asked: first all of it."""
    asked = [each for each in result.asked if each.reads == reads]
    share = ALL if reads == ALL else f"{trial.access.share():.0%}"
    yield share, "", asked
    kinds = sorted({each.kind for each in asked})
    for kind in kinds if len(kinds) > 1 else ():
        yield share, kind or "other", [each for each in asked if each.kind == kind]


def headline(result: SetResult, trial: Trial) -> str:
    """What was loaded and asked."""
    rejected = f"{len(result.rejected):,} documents were not indexed: {', '.join(result.rejected[:SHOWN])}\n"
    return (
        f"\n{result.name}: {result.documents:,} documents, loaded in {result.load_seconds:,.0f} s, "
        f"{result.store} store, "
        f"{len(trial.questions):,} questions\n{rejected if result.rejected else ''}"
    )


def with_progress(questions: Sequence[Question]) -> Iterator[Question]:
    """The questions, one after the other, while it is shown how far they are."""
    with Progress() as progress:
        progress.begin(total=len(questions))
        for question in questions:
            yield question
            progress.advance(1)


# ---------------------------------------------------------------------- before


def trial_of(collection: Collection, chosen: Callable[[Collection], Sequence[Question]], options: Namespace) -> Trial:
    """With the questions and documents that the options leave."""
    if collection.unknown:
        say(
            f"{collection.name}: {len(collection.unknown):,} judgements are left out, as they name questions or "
            f"documents that the set does not have, the first at {collection.unknown[0]}"
        )
    questions = sample(chosen(collection), options.limit)
    documents = cut(collection.documents, questions, options.documents)
    return Trial(
        collection, documents, questions, access_lists(documents, collection.judged, options.share), options.titles
    )


def upload_of(document: Document, access: Access, titles: str) -> Upload:
    """A text file, with the title of the document as its name (`name`), as its first line (`text`), or as both."""
    title = document.title.strip()
    name = title if title and titles != "text" else str(document.number)
    parts = (title if titles != "name" else "", document.text)
    return Upload(
        id=document.id,
        number=document.number,
        title=f"files/{name}.txt",
        read=lambda: "\n\n".join(filter(None, parts)).encode("utf-8", "replace"),
        readers=access.readers[document.id],
    )


def _require_distinct(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise Misconfigured("the folders of the sets need different names, by which they are reported")


# ---------------------------------------------------------------------- meanwhile


def _carried_out(trial: Trial, variables: Variables, ask: Ask, options: Namespace) -> SetResult:
    name = trial.collection.name
    keeping = kept_storage(options.keep / name) if options.keep is not None else temporary_storage()
    seconds = 0.0
    with keeping as storage:
        if options.rest:
            with sandbox(variables, storage) as gateway:
                seconds = load(gateway, trial).seconds
                say(f"{name}: resting for {options.rest} s")
                time.sleep(options.rest)
        with sandbox(variables, storage) as gateway:
            result = ask_all(gateway, trial, ask)
            if options.keep is None:
                gateway.clear()
    if not options.rest:
        return result
    return result.model_copy(update={"load_seconds": round(result.load_seconds + seconds, 1), "store": Store.RESTED})


def load(gateway: Sandbox, trial: Trial) -> Loaded:
    """Have the gateway hold the documents. Raises `GatewayFailed`."""
    say(f"{trial.collection.name}: loading {len(trial.documents):,} documents")
    return gateway.load(trial.uploads, highest=len(trial.collection.documents))


def ask_all(gateway: Sandbox, trial: Trial, ask: Ask) -> SetResult:
    """Load the documents and ask the questions. Raises `GatewayFailed`."""
    loaded = load(gateway, trial)
    say(f"{trial.collection.name}: asking {len(trial.questions):,} questions")
    asked = list(ask(gateway, trial))
    return SetResult(
        name=trial.collection.name,
        corpus=_digest(trial),
        documents=len(trial.documents),
        rejected=list(loaded.rejected),
        load_seconds=round(loaded.seconds, 1),
        store=Store.FRESH if loaded.into_empty else Store.KEPT,
        asked=[each.shortened() for each in asked],
        leaks=[*_leaks(asked, trial.access), *forbidden(gateway, trial.questions)],
    )


def forbidden(gateway: Sandbox, questions: Iterable[Question]) -> Iterator[Leak]:
    """What a user finds who may read nothing."""
    for question in list(questions)[:FORBIDDEN_QUESTIONS]:
        for document in gateway.search(NOTHING, question.text).documents:
            yield Leak(user=NOTHING, question=question.id, document=document)


def _leaks(asked: Iterable[Asked], access: Access) -> Iterator[Leak]:
    for each in asked:
        for document in each.found:
            if not access.may_read(each.user, document):
                yield Leak(user=each.user, question=each.question, document=document)


# ---------------------------------------------------------------------- afterwards


def _results(sets: list[SetResult], variables: Variables, assignments: Sequence[str]) -> Results:
    changed = sorted({assignment.partition("=")[0] for assignment in assignments})
    backend = variables.get("RAG_BACKEND") or "builtin"
    return Results(version=__version__, backend=backend, changed=changed, sets=sets)


def _digest(trial: Trial) -> str:
    digest = hashlib.sha256()
    for document in trial.documents:
        readers = ",".join(sorted(trial.access.readers[document.id]))
        parts = (document.id, document.title, document.text, readers)
        digest.update("\0".join(parts).encode("utf-8", "replace") + b"\1")
    return digest.hexdigest()


def _print_leaks(result: SetResult) -> None:
    for leak in result.leaks[:SHOWN]:
        sys.stdout.write(f"LEAK: {leak.user} may not read {leak.document} and got it for question {leak.question}\n")
    sys.stdout.write(f"{len(result.leaks):,} leaks\n")
    sys.stdout.flush()
