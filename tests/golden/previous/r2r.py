"""The double of R2R as text and back."""

from dataclasses import dataclass

from pydantic import TypeAdapter

from tests.doubles.r2r import FakeR2R
from tests.doubles.r2r.store import Account, Chunk, Collection
from tests.doubles.r2r.store import Document as Row

from .documents import Document

AT_WORK = Document(id="files__default: 20", title="files/late.md", text="Late in the harbour.", readers=("dora",))
DELETED_AT_WORK = Document(
    id="files__default: 21", title="files/deleted.md", text="Deleted in the harbour.", readers=("dora",)
)


@dataclass
class Contents:
    """All that R2R stores."""

    accounts: list[Account]
    collections: list[Collection]
    documents: list[Row]
    chunks: list[Chunk]


_CONTENTS = TypeAdapter(Contents)


def contents_of(double: FakeR2R) -> str:
    store = double.store
    contents = Contents(
        store.accounts, [*store.collections.values()], [*store.documents.values()], [*store.chunks.values()]
    )
    return _CONTENTS.dump_json(contents, indent=1).decode() + "\n"


def fill(double: FakeR2R, text: str) -> None:
    """In place of what it has."""
    contents, store = _CONTENTS.validate_json(text), double.store
    store.accounts[:] = contents.accounts
    store.collections = {each.id: each for each in contents.collections}
    store.documents = {each.id: each for each in contents.documents}
    store.chunks = {each.id: each for each in contents.chunks}
    double.superuser, double.ordinary = contents.accounts
