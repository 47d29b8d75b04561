"""A `CatalogueDriver` between a real PostgreSQL and a store in memory, both of which fail on demand.

Its relays do nothing by themselves unless asked to.
"""

import zlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from pydantic import SecretStr
from tokenizers import Tokenizer

from context_chat_backend.conformance.kit import FileContent
from context_chat_backend.contract import (
    Hit,
    ProviderId,
    Query,
    Rejected,
    Scope,
    Source,
    SourceId,
    Unavailable,
    UserId,
)
from context_chat_backend.toolkit.catalogue import CatalogueDriver, ChunkRecord, DocumentKey, GroupKey
from context_chat_backend.toolkit.catalogue.catalogue import Catalogue
from context_chat_backend.toolkit.catalogue.outbox import OutboxRelay
from context_chat_backend.toolkit.catalogue.settings import CatalogueSettings
from context_chat_backend.toolkit.indexing.extract.extractor import Extractor, ExtractSettings
from context_chat_backend.toolkit.indexing.indexer import Indexer
from context_chat_backend.toolkit.indexing.section import Section
from context_chat_backend.toolkit.indexing.split import Chunk
from context_chat_backend.toolkit.indexing.words.terms import chunk_words
from context_chat_backend.toolkit.postgres.database import Database

from .memory_store import MemoryStore, nothing
from .test_schema import DIMENSION
from .test_schema import INVARIANTS as ACCESS_INVARIANTS

FILES, MAIL = ProviderId("files"), ProviderId("mail")
ALICE, BOB, CAROL = map(UserId, ("alice", "bob", "carol"))

INVARIANTS = {
    **{name: query for name, query in ACCESS_INVARIANTS.items() if "ccb.chunks" not in query},
    "a published document whose chunks carry an unknown group": """
        select count(*) from ccb.documents where group_id is not null and store_group is null""",
    "a removal of a document that is there": """
        select count(*) from ccb.removals join ccb.documents using (document_key)""",
    "more samples of a language than are kept": """
        select count(*) from (select language from ccb.samples group by language
         having count(*) > (select value::int from ccb.settings where key = 'samples')) l""",
    "a document of this version that is not found by its title": """
        select count(*) from ccb.documents where words_title is not null
           and not exists (select 1 from ccb.title_words w where w.doc_id = documents.doc_id)""",
    "a removal of nothing": "select count(*) from ccb.removals where chunk_count < 1",
}


class WordEmbedder:
    """Texts with common words have similar vectors."""

    def __init__(self, model_name: str = "words", dimension: int = DIMENSION) -> None:
        self.model_name = model_name
        self.dimension = dimension
        self.max_tokens: int | None = None
        self.tokenizer: Tokenizer | None = None

    async def __aenter__(self) -> "WordEmbedder":
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([await self.embed_query(text) for text in texts])

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        seeds = [zlib.crc32(word.encode("utf-8", "replace")) for word in text.split() or [""]]
        total = np.sum([np.random.default_rng(seed).standard_normal(self.dimension) for seed in seeds], axis=0)
        return np.asarray(total / np.linalg.norm(total), np.float32)


class LineIndexer(Indexer):
    """Each line that is not blank is a chunk."""

    def __init__(
        self, embedder: WordEmbedder | None = None, make_former: Callable[[str], WordEmbedder] | None = None
    ) -> None:
        super().__init__(Extractor(ExtractSettings()), embedder or WordEmbedder(), make_former)

    async def sections(self, source: Source) -> list[Section]:
        text = (await source.content.path()).read_text("utf-8")
        if not text.strip():
            raise Rejected("no text")
        return [Section(text)]

    def chunks(self, sections: Iterable[Section], title: str) -> Iterator[Chunk]:
        lines = (line for section in sections for line in section.text.splitlines())
        for ordinal, line in enumerate(filter(str.strip, lines)):
            yield Chunk(ordinal, f"above {line}", line)


class Wire:
    """Between drivers and their catalogue."""

    def __init__(self) -> None:
        self.before: Callable[[str], Awaitable[None]] = nothing
        """Gets the name of the function; what it raises is what the driver gets instead."""
        self.after: Callable[[str], Awaitable[None]] = nothing
        """The same, once the function has been carried out."""
        self.cut = False
        """Nothing gets through any more."""

    def must_be_whole(self) -> None:
        if self.cut:
            raise Unavailable("the wire is cut")


class Stage:
    """Makes drivers over one store and one catalogue, and knows what both hold."""

    def __init__(self, uri: str, folder: Path) -> None:
        self.uri = uri
        self.folder = folder
        self.store = MemoryStore()
        self.wire = Wire()
        self.relays: list[OutboxRelay] = []
        """Of all drivers so far."""
        self.relays_run = False
        self.failure: Exception | None = None
        """The last one of a relay."""
        self._files = 0

    # ------------------------------------------------------------------ drivers

    def make(self, store: MemoryStore | None = None, indexer: LineIndexer | None = None) -> CatalogueDriver:
        settings = CatalogueSettings(catalogue_url=SecretStr(self.uri))
        indexer = indexer or LineIndexer()
        return CatalogueDriver("memory", store or self.store, indexer, settings, self.folder)

    @asynccontextmanager
    async def driver(self, **parts: Any) -> AsyncIterator[CatalogueDriver]:
        async with self.make(**parts) as driver:
            yield driver

    def catalogue(self, driver: CatalogueDriver) -> Catalogue:
        return driver._documents

    async def deliver(self, relay: OutboxRelay | None = None) -> bool:
        """By the relay of the newest driver. Whether all of it could be done."""
        try:
            await (relay or self.relays[-1]).deliver()
        except Exception as error:  # noqa: BLE001 - as the loop of the relay does
            self.failure = error
            return False
        return True

    def crash(self) -> None:
        """What was under way ends here: neither store nor catalogue hear any more of it."""
        self.wire.cut = True
        self.store.before_call = _refuse

    def restart(self) -> None:
        """A new process may reach both again."""
        self.wire.cut = False
        self.wire.before = self.wire.after = nothing
        self.store.before_call = self.store.after_call = lambda name: None

    # ------------------------------------------------------------------ sources and searches

    def source(
        self,
        item: int | str,
        readers: Iterable[str] = (ALICE,),
        text: str = "the whale",
        modified: int = 1000,
        provider: ProviderId = FILES,
        **more: Any,
    ) -> Source:
        self._files += 1
        file = self.folder / str(self._files)
        file.write_text(text, "utf-8")
        values: dict[str, Any] = {
            "id": SourceId(f"{provider}: {item}"),
            "provider": provider,
            "title": f"title {item}",
            "mime_type": "text/plain",
            "modified": modified,
            "user_ids": frozenset(UserId(reader) for reader in readers),
            "content": FileContent(file),
        }
        return Source(**{**values, **more})

    async def hits(
        self, driver: CatalogueDriver, user: str, text: str = "the whale", limit: int = 1000, scope: Scope = None
    ) -> Sequence[Hit]:
        return await driver.search(Query(user_id=UserId(user), text=text, limit=limit, scope=scope))

    async def found(self, driver: CatalogueDriver, user: str, **query: Any) -> set[str]:
        """Ids of sources."""
        return {hit.source_id for hit in await self.hits(driver, user, **query)}

    async def seed(self, documents: int, readers: Sequence[str] = (ALICE,), chunks: int = 1) -> None:
        """Sources `files: 1` and so on, stored long ago, with all their chunks in the store."""
        first = self.sql("select coalesce(max(doc_id), 0) from ccb.documents")
        group = self.sql("select ccb.group_for('files', ccb.user_numbers(%s, true))", list(readers))
        self.sql(
            "insert into ccb.documents (source_id, provider, group_id, store_group, title, doc_type, modified,"
            " content_hash, chunk_count, words_title)"
            " select 'files: ' || n, 'files', %s, %s, 'title', 'text/plain', 1000, 'hash', %s, 'title'"
            " from generate_series(1, %s) n",
            *(group, group, chunks, documents),
        )
        self.sql("insert into ccb.title_words select doc_id, '{}' from ccb.documents where doc_id > %s", first)
        embedding = await WordEmbedder().embed_query("the whale")
        for key, source in self.rows("select document_key, source_id from ccb.documents where doc_id > %s", first):
            for ordinal in range(chunks):
                chunk = ChunkRecord(
                    document=DocumentKey(key),
                    ordinal=ordinal,
                    group=GroupKey(str(group)),
                    heading="",
                    text=f"{source} {ordinal}",
                    embedding=embedding,
                    words=chunk_words("title", "", f"{source} {ordinal}"),
                )
                self.store.accepted[chunk.id] = chunk

    # ------------------------------------------------------------------ what is where

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.uri, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def sql(self, query: str, *parameters: object) -> Any:
        rows = self.rows(query, *parameters)
        return rows[0][0] if rows else None

    def make_due(self) -> None:
        """As if it were a day and some minutes later."""
        self.sql("update ccb.documents set created_at = created_at - interval '2 days' where group_id is null")
        self.sql("select ccb_collect_garbage()")
        self.sql("update ccb.removals set due = now()")

    def stored(self) -> dict[str, tuple[set[str], set[int]]]:
        """Groups and ordinals of each document, as the store has them."""
        documents: defaultdict[str, tuple[set[str], set[int]]] = defaultdict(lambda: (set(), set()))
        for chunk in self.store.accepted.values():
            documents[chunk.document][0].add(chunk.group)
            documents[chunk.document][1].add(chunk.ordinal)
        return dict(documents)

    def wanted(self) -> dict[str, tuple[set[str], set[int]]]:
        """The same, as the catalogue wants it."""
        rows = self.rows(
            "select document_key, group_id::text, chunk_count from ccb.documents"
            " where group_id is not null and chunk_count > 0"
        )
        return {key: ({group}, set(range(chunks))) for key, group, chunks in rows}

    def violations(self) -> dict[str, int]:
        """Broken promises of the tables. Leave no upload behind."""
        self.sql("select ccb_collect_garbage()")
        counts = {name: self.sql(query) for name, query in INVARIANTS.items()}
        return {name: count for name, count in counts.items() if count}


def _refuse(name: str) -> None:
    raise Unavailable("the store is out of reach")


@contextmanager
def set_up(uri: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A stage over this catalogue. Ends with a look at the tables."""
    stage = Stage(uri, folder)

    class WatchedDatabase(Database):
        async def call(self, function: str, /, **arguments: object) -> Any:
            stage.wire.must_be_whole()
            await stage.wire.before(function)
            stage.wire.must_be_whole()
            value = await super().call(function, **arguments)
            await stage.wire.after(function)
            return value

    class HeldRelay(OutboxRelay):
        def __init__(self, *parts: Any) -> None:
            super().__init__(*parts)
            stage.relays.append(self)

        async def run(self) -> None:
            if stage.relays_run:
                await super().run()
            await anyio.sleep_forever()

    monkeypatch.setattr("context_chat_backend.toolkit.catalogue.driver.Database", WatchedDatabase)
    monkeypatch.setattr("context_chat_backend.toolkit.catalogue.driver.OutboxRelay", HeldRelay)
    yield stage
    assert stage.violations() == {}
