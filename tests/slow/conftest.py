from collections.abc import Iterator

import pytest

from .tools import Database, EmbeddingServer, database, embedding_server


@pytest.fixture
def external() -> Iterator[Database]:
    """A database of its own, running and empty."""
    with database() as server:
        yield server


@pytest.fixture
def embeddings() -> Iterator[EmbeddingServer]:
    """An embedding server of its own."""
    with embedding_server() as server:
        yield server
