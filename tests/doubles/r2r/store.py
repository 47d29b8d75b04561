"""What R2R keeps in PostgreSQL, with the rules of its statements. Chunks know their collections on their own."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import NAMESPACE_DNS, UUID, uuid4, uuid5

from tests.doubles.r2r.errors import failed, refused

Status = Literal["parsing", "embedding", "success", "failed"]


def default_collection(account_id: UUID) -> UUID:
    return uuid5(NAMESPACE_DNS, f"default collection of {account_id}")


class Clock:
    """Moving it makes everything older: what was written before is shown with an earlier time."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def advance(self, seconds: float) -> None:
        self._ahead += seconds

    def now(self) -> float:
        return time.time() + self._ahead

    def show(self, moment: float) -> str:
        return datetime.fromtimestamp(moment - self._ahead, UTC).isoformat(timespec="microseconds")[:-6] + "Z"


@dataclass
class Account:
    email: str
    password: str
    is_superuser: bool
    id: UUID = field(default_factory=uuid4)
    api_key: str = field(default_factory=lambda: f"key_{uuid4().hex}.{uuid4().hex}")
    collection_ids: list[UUID] = field(default_factory=list)
    created: float = 0.0


@dataclass
class Collection:
    id: UUID
    owner_id: UUID
    name: str
    description: str | None
    created: float
    document_count: int = 0


@dataclass
class Document:
    id: UUID
    owner_id: UUID
    collection_ids: list[UUID]
    document_type: str
    metadata: dict[str, Any]
    title: str
    size: int
    status: Status
    created: float
    updated: float
    summary: str | None = None
    summary_embedding: list[float] | None = None
    total_tokens: int = 0


@dataclass
class Chunk:
    id: UUID
    document_id: UUID
    owner_id: UUID
    collection_ids: list[UUID]
    text: str
    metadata: dict[str, Any]


class Store:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.accounts: list[Account] = []
        self.collections: dict[UUID, Collection] = {}
        self.documents: dict[UUID, Document] = {}
        self.chunks: dict[UUID, Chunk] = {}

    def add_account(self, account: Account) -> Account:
        account.created = self._clock.now()
        self.accounts.append(account)
        default = self.create_collection(account, "Default", None, default_collection(account.id))
        account.collection_ids.append(default.id)
        return account

    # ------------------------------------------------------------------ collections

    def create_collection(
        self, owner: Account, name: str, description: str | None, collection_id: UUID | None = None
    ) -> Collection:
        """The pair of owner and name is unique, and so is the id."""
        name = name or "Default"
        taken = self.collection_of(owner.id, name) is not None
        if taken or collection_id in self.collections:
            raise refused(409, "Collection with this ID already exists")
        new = Collection(collection_id or uuid4(), owner.id, name, description, self._clock.now())
        self.collections[new.id] = new
        return new

    def collection_of(self, owner_id: UUID, name: str) -> Collection | None:
        found = (each for each in self.collections.values() if (each.owner_id, each.name) == (owner_id, name))
        return next(found, None)

    def members(self, collection_id: UUID) -> list[Document]:
        """Newest first."""
        return [each for each in reversed(self.documents.values()) if collection_id in each.collection_ids]

    def assign(self, document_id: UUID, collection_id: UUID) -> None:
        """The row of the document first, as an ingestion does it."""
        if collection_id not in self.collections:
            raise refused(404, "Collection not found")
        if document_id not in self.documents:
            raise refused(404, "Document not found")
        if collection_id in self.documents[document_id].collection_ids:
            raise refused(409, "Document is already assigned to the collection")
        self.documents[document_id].collection_ids.append(collection_id)
        self.collections[collection_id].document_count += 1
        self.assign_chunks(document_id, collection_id)

    def assign_chunks(self, document_id: UUID, collection_id: UUID) -> None:
        for chunk in self.chunks_of(document_id):
            if collection_id not in chunk.collection_ids:
                chunk.collection_ids.append(collection_id)

    def remove(self, document_id: UUID, collection_id: UUID) -> None:
        if collection_id not in self.collections:
            raise refused(404, "Collection not found")
        document = self.documents.get(document_id)
        if document is None or collection_id not in document.collection_ids:
            raise refused(404, "Document not found in the specified collection")
        document.collection_ids.remove(collection_id)
        self.collections[collection_id].document_count -= 1
        for chunk in self.chunks_of(document_id):
            if collection_id in chunk.collection_ids:
                chunk.collection_ids.remove(collection_id)

    def delete_collection(self, collection_id: UUID) -> None:
        """Takes the chunks of all its documents with it, whoever else may read them; their rows stay as they are."""
        if collection_id not in self.collections:
            raise refused(404, "Collection not found")
        del self.collections[collection_id]
        for ids in (each.collection_ids for holders in (self.accounts, self.documents.values()) for each in holders):
            if collection_id in ids:
                ids.remove(collection_id)
        self.chunks = {id_: each for id_, each in self.chunks.items() if collection_id not in each.collection_ids}

    # ------------------------------------------------------------------ documents

    def write(self, document: Document) -> None:
        """Replaces the whole row; makes it again if somebody has deleted it."""
        row = replace(document, collection_ids=[*document.collection_ids], metadata={**document.metadata})
        if document.id in self.documents:
            row.created = self.documents[document.id].created
        self.documents[document.id] = row

    def chunks_of(self, document_id: UUID) -> list[Chunk]:
        return [each for each in self.chunks.values() if each.document_id == document_id]

    def delete_matching(
        self, matches: Callable[[Chunk], bool], document_ids: set[UUID], owner_id: UUID | None, endpoint: str
    ) -> None:
        """Chunks first, then the documents that they belonged to and those named; not atomic."""
        found = [each for each in self.chunks.values() if matches(each)]
        if len(found) == 1000:
            raise failed(endpoint, "'offset'", "KeyError")
        for chunk in found:
            del self.chunks[chunk.id]
        affected = document_ids | {chunk.document_id for chunk in found}
        for document_id in affected:
            self._prepare_deletion(document_id, owner_id)
        for document_id in affected:
            del self.documents[document_id]

    def _prepare_deletion(self, document_id: UUID, owner_id: UUID | None) -> None:
        """The counts go down before R2R knows whether it will delete anything."""
        if document_id not in self.documents:
            raise refused(404, "Document not found")
        document = self.documents[document_id]
        for collection_id in document.collection_ids:
            if collection_id in self.collections:
                self.collections[collection_id].document_count -= 1
        if owner_id is not None and document.owner_id != owner_id:
            raise refused(404, "Document not found or insufficient permissions")
