"""Loading: sources that have not changed, and documents for the first time."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence

import psycopg

from context_chat_backend.contract import ProviderId
from context_chat_backend.nextcloud.push_client import part

from .corpus import Corpus
from .processes import Client, Server
from .report import Table
from .scale import Scale
from .timing import compared, rate

BATCH = 25
SMALL_CHARS, DOCUMENT_CHARS = 400, 3000
TYPES = ("text/plain", "text/markdown", "text/html")
NOTES, FILES = ProviderId("notes__notes"), ProviderId("files__bench")


def measure_unchanged(gateway: Server, corpus: Corpus, scale: Scale) -> Table:
    """Sources per second the first and the second time that they are sent."""
    numbers = itertools.count()

    def round_() -> tuple[float, float]:
        sources = [_note(corpus, next(numbers)) for _ in range(scale.small_sources)]
        with gateway.connect() as client:
            first = rate(len(sources), lambda: _load(client, sources))
            client.wait_for_meaning()
            return first, rate(len(sources), lambda: _load(client, sources))

    first, again, ratio = compared([round_() for _ in range(scale.rounds)])
    head = ("", "first load, sources/s", "unchanged, sources/s", "ratio")
    return Table(
        "unchanged", head, [(f"sources of {SMALL_CHARS} bytes", f"{first:.0f}", f"{again:.0f}", f"{ratio:.0f}")]
    )


def measure_first_load(
    gateway: Server, database: str, corpus: Corpus, embed: Callable[[Sequence[str]], object], scale: Scale
) -> Table:
    """Chunks per second, by the embedder alone and by the gateway: until they are found by words, and by meaning."""
    numbers = itertools.count()

    def round_() -> tuple[float, float, float]:
        sources = [_document(corpus, next(numbers)) for _ in range(scale.documents)]
        known = _chunks(database)
        with gateway.connect() as client:
            client.wait_for_meaning()  # of what was loaded before
            start = time.perf_counter()
            _load(client, sources)
            stored = time.perf_counter()
            client.wait_for_meaning()
            end = time.perf_counter()
        chunks = _chunks(database)[len(known) :]
        return rate(len(chunks), lambda: embed(chunks)), len(chunks) / (stored - start), len(chunks) / (end - start)

    rounds = [round_() for _ in range(scale.rounds)]
    alone, words, words_ratio = compared([(alone, words) for alone, words, _ in rounds])
    _, meaning, meaning_ratio = compared([(alone, meaning) for alone, _, meaning in rounds])
    head = ("", "embedder alone, chunks/s", "gateway, chunks/s", "ratio")
    size = f"documents of {DOCUMENT_CHARS / 1000:g} KB"
    return Table(
        "first-load",
        head,
        [
            (f"{size}, found by words", f"{alone:.1f}", f"{words:.1f}", f"{words_ratio:.2f}"),
            (f"{size}, found by meaning", f"{alone:.1f}", f"{meaning:.1f}", f"{meaning_ratio:.2f}"),
        ],
    )


def _load(client: Client, sources: Sequence[bytes]) -> None:
    for batch in _batches(sources):
        answer = client.load(batch)
        if len(answer["loaded_sources"]) != len(batch):
            raise RuntimeError(f"not all sources were loaded: {answer}")


def _batches(sources: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(sources), BATCH):
        yield sources[start : start + BATCH]


def _note(corpus: Corpus, number: int) -> bytes:
    text = corpus.text(number, SMALL_CHARS)
    return part(f"{NOTES}: {number}", text.encode(), title=f"Note {number}", mime_type="text/plain")


def _document(corpus: Corpus, number: int) -> bytes:
    mime_type = TYPES[number % len(TYPES)]
    text = _marked_up(corpus.text(number, DOCUMENT_CHARS), mime_type)
    return part(f"{FILES}: {number}", text.encode(), title=f"files/{number}", mime_type=mime_type)


def _marked_up(text: str, mime_type: str) -> str:
    paragraphs = text.split("\n\n")
    match mime_type:
        case "text/markdown":
            return "\n\n".join(f"## Part {number}\n\n{text}" for number, text in enumerate(paragraphs))
        case "text/html":
            return "<html><body>" + "".join(f"<p>{text}</p>" for text in paragraphs) + "</body></html>"
        case _:
            return text


def _chunks(database: str) -> list[str]:
    """The texts of all chunks of the documents, oldest first."""
    query = (
        "select content from ccb.chunks join ccb.documents using (doc_id) where provider = %s order by doc_id, ordinal"
    )
    with psycopg.connect(database) as connection:
        return [text for (text,) in connection.execute(query, [FILES])]
