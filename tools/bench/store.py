"""Fills the gateway's own database, past the gateway: embedding 100,000 texts would take an hour."""

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import anyio
import numpy as np
import psycopg
from psycopg import sql

from context_chat_backend.conformance.kit import FileContent
from context_chat_backend.contract import ProviderId, Source, SourceId, UserId
from context_chat_backend.toolkit.indexing.embed.shipped import DIMENSION, minilm
from context_chat_backend.toolkit.indexing.split import Chunk
from context_chat_backend.toolkit.postgres.database import Database
from context_chat_backend.toolkit.postgres.document_store import DocumentStore
from context_chat_backend.toolkit.postgres.migrations import Edition

from .corpus import Corpus, Document

ALL, HUNDREDTH, SINGLE, NOBODY = "all", "hundredth", "single", "nobody"
"""Users, by what they may read."""
TEAM_DOCUMENTS = 25
"""Consecutive documents have the same readers, as those of a shared folder."""
WRITERS = 3
PUT_VECTORS = """
update ccb.vectors v set embedding = made.embedding::halfvec
  from unnest(%s::text[]) with ordinality made (embedding, place), ccb.documents d, ccb.chunks c
 where d.source_id = %s and c.doc_id = d.doc_id and c.ordinal = made.place - 1 and v.chunk_id = c.chunk_id"""
NO_FILE = FileContent(Path(os.devnull))


def readers(number: int) -> frozenset[UserId]:
    """Who may read a document."""
    names = [ALL, f"team {number // TEAM_DOCUMENTS}"]
    names += [HUNDREDTH] if number % 100 == 0 else []
    names += [SINGLE] if number == 1 else []
    return frozenset(map(UserId, names))


async def fill(uri: str, corpus: Corpus, numbers: range) -> None:
    """Add documents with the functions of the store, and leave the database as its daily maintenance would."""
    dimension = DIMENSION
    async with Database(uri, Edition.STORE, dimension=dimension) as database:
        store = DocumentStore(database)
        await store.open(dimension=dimension, model=minilm().name)
        with psycopg.connect(uri, autocommit=True) as connection, _without_search_indexes(connection):
            todo = iter(numbers)
            async with anyio.create_task_group() as writers:
                for _ in range(WRITERS):
                    writers.start_soon(_write, store, uri, corpus, todo)
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute("vacuum (analyze)")
            connection.execute("checkpoint")
        await store.collect_garbage()


@contextmanager
def _without_search_indexes(connection: psycopg.Connection) -> Iterator[None]:
    """Filling them row by row takes five times as long as building them in the end."""
    indexes = connection.execute(
        "select schemaname, indexname, indexdef from pg_indexes"
        " where schemaname = 'ccb' and indexdef ~ ' using (hnsw|gin) '"
    ).fetchall()
    for schema, name, _ in indexes:
        connection.execute(sql.SQL("drop index {}").format(sql.Identifier(schema, name)))
    yield
    for _, _, definition in indexes:
        connection.execute(definition.encode())


async def _write(store: DocumentStore, uri: str, corpus: Corpus, numbers: Iterator[int]) -> None:
    async with await psycopg.AsyncConnection.connect(uri, autocommit=True) as connection:
        for number in numbers:
            document = corpus.document(number)
            source = _source(number, document)
            await store.publish(source, f"{number}", _pages(document))
            # the gateway would have to embed the texts
            vectors = [np.array2string(vector, separator=",", threshold=len(vector)) for vector in document.vectors]
            await connection.execute(PUT_VECTORS, (vectors, source.id))


def _source(number: int, document: Document) -> Source:
    return Source(
        id=SourceId(f"files__default: {number}"),
        provider=ProviderId("files__default"),
        title=document.title,
        mime_type="text/plain",
        modified=1_700_000_000,
        user_ids=readers(number),
        content=NO_FILE,
    )


async def _pages(document: Document) -> AsyncIterator[Sequence[Chunk]]:
    yield [Chunk(ordinal, "", text) for ordinal, text in enumerate(document.texts)]


def versions(uri: str) -> str:
    """What the database is."""
    query = "select current_setting('server_version'), extversion from pg_extension where extname = 'vector'"
    with psycopg.connect(uri) as connection:
        ((postgres, pgvector),) = connection.execute(query)
    return f"PostgreSQL {postgres}, pgvector {pgvector}"
