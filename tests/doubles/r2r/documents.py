"""The routes about collections and documents."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any, Protocol
from uuid import UUID

from starlette.responses import Response

from tests.doubles.r2r import schemas
from tests.doubles.r2r.calls import Call, Entries, superuser_only
from tests.doubles.r2r.errors import failed, refused, wrong_driver
from tests.doubles.r2r.filters import Filter
from tests.doubles.r2r.ingestion import render
from tests.doubles.r2r.store import Account, Chunk, Clock, Collection, Document, Store, default_collection

SUCCESS = {"success": True}
EXPORT_COLUMNS = (
    "id",
    "collection_ids",
    "owner_id",
    "type",
    "metadata",
    "title",
    "summary",
    "version",
    "size_in_bytes",
    "ingestion_status",
    "extraction_status",
    "created_at",
    "updated_at",
    "total_tokens",
)


class Limits(Protocol):
    max_collections: int


def _page(everything: Sequence[dict[str, Any]], page: schemas.Page) -> Entries:
    """Past the end R2R knows no total."""
    entries = [*everything[page.offset : page.offset + page.limit]]
    return Entries(entries, len(everything) if entries else 0)


def _wanted(ids: Iterable[str], endpoint: str) -> set[UUID]:
    try:
        return {UUID(each) for each in ids}
    except ValueError as error:
        raise failed(endpoint, str(error), "ValueError") from error


class Collections:
    def __init__(self, store: Store, clock: Clock, limits: Limits) -> None:
        self._store = store
        self._clock = clock
        self._limits = limits

    def create(self, call: Call) -> dict[str, Any]:
        maximum = self._limits.max_collections
        if len(call.account.collection_ids) + 1 >= maximum:
            raise refused(400, f"User has reached the maximum number of collections allowed ({maximum}).")
        new = self._store.create_collection(call.account, call.body.name, call.body.description)
        shown = self._render(new)
        call.account.collection_ids.append(new.id)
        return shown

    def list(self, call: Call) -> Entries:
        wanted = _wanted(call.query.ids, "list_collections")
        found = reversed(self._store.collections.values())
        return _page(
            [self._render(each) for each in found if (not wanted or each.id in wanted) and self._shows(call, each)],
            call.query,
        )

    def _shows(self, call: Call, collection: Collection) -> bool:
        if call.query.owner_only:
            return collection.owner_id == call.account.id
        return call.account.is_superuser or collection.id in call.account.collection_ids

    def by_name(self, call: Call) -> dict[str, Any]:
        owner_id = call.query.owner_id if call.account.is_superuser else None
        found = self._store.collection_of(owner_id or call.account.id, call.name)
        if found is None:
            raise refused(404, "No collection found with the specified name")
        return self._render(found)

    def get(self, call: Call) -> dict[str, Any]:
        self._authorize(call, only_view=True)
        if call.id not in self._store.collections:
            raise refused(404, "The specified collection does not exist.")
        return self._render(self._store.collections[call.id])

    def delete(self, call: Call) -> dict[str, bool]:
        if call.id == default_collection(call.account.id):
            raise refused(400, "Cannot delete the default user collection.")
        self._authorize(call)
        self._store.delete_collection(call.id)
        return SUCCESS

    def documents(self, call: Call) -> Entries:
        """Each shows this collection only."""
        self._authorize(call, only_view=True)
        if call.id not in self._store.collections:
            raise refused(404, "Collection not found")
        changed = {"collection_ids": [str(call.id)], "total_tokens": None, "summary_embedding": None}
        members = self._store.members(call.id)
        return _page([render(each, self._clock, **changed) for each in members], call.query)

    def assign(self, call: Call) -> dict[str, str]:
        """The chunks get the id first, even when then there is no such collection."""
        self._authorize(call)
        self._store.assign_chunks(call.ids["document_id"], call.id)
        self._store.assign(call.ids["document_id"], call.id)
        return {"message": "Document assigned to collection successfully"}

    def remove(self, call: Call) -> dict[str, bool]:
        self._authorize(call)
        self._store.remove(call.ids["document_id"], call.id)
        return SUCCESS

    def _authorize(self, call: Call, *, only_view: bool = False) -> None:
        if call.account.is_superuser:
            return
        collection = self._store.collections.get(call.id)
        if collection is None:
            raise refused(404, "The specified collection does not exist.")
        if collection.owner_id == call.account.id:
            return
        if call.id not in call.account.collection_ids:
            raise refused(403, "You do not have access to this collection.")
        if not only_view:
            raise refused(403, "Insufficient permissions for this action.")

    def _render(self, collection: Collection) -> dict[str, Any]:
        return {
            "id": str(collection.id),
            "owner_id": str(collection.owner_id),
            "name": collection.name,
            "description": collection.description,
            "graph_cluster_status": "pending",
            "graph_sync_status": "pending",
            "created_at": self._clock.show(collection.created),
            "updated_at": self._clock.show(collection.created),
            "user_count": sum(collection.id in each.collection_ids for each in self._store.accounts),
            "document_count": collection.document_count,
        }


class Documents:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def list(self, call: Call) -> Entries:
        """Newest first."""
        wanted = _wanted(call.query.ids, "get_documents")
        hidden = {} if call.query.include_summary_embeddings else {"summary_embedding": None}
        found = [
            render(each, self._clock, **hidden)
            for each in sorted(self._store.documents.values(), key=lambda document: -document.created)
            if (not wanted or each.id in wanted)
            and _may_see(call.account, each)
            and (not call.query.owner_only or each.owner_id == call.account.id)
        ]
        return _page(found, call.query)

    def get(self, call: Call) -> dict[str, Any]:
        return render(self._found(call), self._clock)

    def _found(self, call: Call) -> Document:
        document = self._store.documents.get(call.id)
        if document is None or not _may_see(call.account, document):
            raise refused(404, "Document not found.")
        return document

    def chunks(self, call: Call) -> Entries:
        chunks = self._store.chunks_of(call.id)
        entries = _page([_chunk(each) for each in chunks], call.query)
        if not entries.entries:
            raise refused(404, "No chunks found for the given document ID.")
        document = self._store.documents.get(call.id)
        is_owner = chunks[0].owner_id == call.account.id
        if not is_owner and not (document is not None and _may_see(call.account, document)):
            superuser_only(call.account, "Not authorized to access this document's chunks.")
        return entries

    def patch(self, call: Call) -> dict[str, Any]:
        return self._change_metadata(call, {**self._own(call).metadata})

    def put(self, call: Call) -> dict[str, Any]:
        return self._change_metadata(call, {})

    def _change_metadata(self, call: Call, metadata: dict[str, Any]) -> dict[str, Any]:
        """Neither the chunks nor `updated_at` nor the title see the change."""
        document = self._own(call)
        if any({"key", "value"} == each.keys() for each in call.body):
            raise wrong_driver('the real server stores keys that are named "key" and "value"', "body")
        for each in call.body:
            metadata |= each
        document.metadata = metadata
        return render(document, self._clock)

    def _own(self, call: Call) -> Document:
        document = self._store.documents.get(call.id)
        if document is None or not (call.account.is_superuser or document.owner_id == call.account.id):
            raise refused(404, "Document not found.")
        return document

    def delete(self, call: Call) -> dict[str, bool]:
        owner_id = None if call.account.is_superuser else call.account.id

        def matches(chunk: Chunk) -> bool:
            return chunk.document_id == call.id and owner_id in {None, chunk.owner_id}

        self._store.delete_matching(matches, {call.id}, owner_id, "delete_document_by_id")
        return SUCCESS

    def delete_by_filter(self, call: Call) -> dict[str, bool]:
        """Finds documents by their chunks: those that have none stay, unless one is named by `$eq`."""
        condition = call.body.get("document_id")
        if call.body.keys() != {"document_id"} or not isinstance(condition, dict):
            raise wrong_driver("only a filter for document_id is modelled; an empty one deletes everything", "body")
        endpoint = "delete_document_by_filter"
        matches = Filter(endpoint).node(call.body)
        named = {Filter(endpoint).uuid(condition["$eq"])} if "$eq" in condition else set()
        owner_id = call.account.id
        self._store.delete_matching(
            lambda chunk: chunk.owner_id == owner_id and matches(chunk), named, owner_id, endpoint
        )
        return SUCCESS

    def delete_chunk(self, call: Call) -> dict[str, bool]:
        """Takes the document's row with it and leaves the other chunks."""
        chunk = self._store.chunks.get(call.id)
        if chunk is None:
            raise refused(404, f"Chunk with ID {call.id} not found")
        if not call.account.is_superuser and chunk.owner_id != call.account.id:
            raise wrong_driver("deleting another account's chunk is not modelled", "path", "id")
        self._store.delete_matching(lambda each: each is chunk, set(), None, "delete_chunk")
        return SUCCESS

    def export(self, call: Call) -> Response:
        superuser_only(call.account, "Only a superuser can export data.")
        columns = call.body.columns or EXPORT_COLUMNS
        if unknown := set(columns) - {*EXPORT_COLUMNS}:
            raise failed("export_documents", f"Invalid columns: {unknown}", "ValueError")
        file = io.StringIO()
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        if call.body.include_header:
            writer.writerow(columns)
        for document in reversed(self._store.documents.values()):
            row = self._row(document)
            if all(row[name] == condition["$eq"] for name, condition in call.body.filters.items()):
                writer.writerow([row[name] for name in columns])
        disposition = {"Content-Disposition": 'attachment; filename="documents_export.csv"'}
        return Response(file.getvalue(), media_type="text/csv", headers=disposition)

    def _row(self, document: Document) -> dict[str, Any]:
        shown = render(document, self._clock)
        return shown | {
            "type": document.document_type,
            "metadata": json.dumps(document.metadata, ensure_ascii=False),
            "collection_ids": "{" + ",".join(shown["collection_ids"]) + "}",
            "created_at": shown["created_at"][:19].replace("T", " "),
            "updated_at": shown["updated_at"][:19].replace("T", " "),
        }


def _may_see(account: Account, document: Document) -> bool:
    own = document.owner_id == account.id
    return account.is_superuser or own or not set(account.collection_ids).isdisjoint(document.collection_ids)


def _chunk(chunk: Chunk) -> dict[str, Any]:
    return {
        "id": str(chunk.id),
        "document_id": str(chunk.document_id),
        "owner_id": str(chunk.owner_id),
        "collection_ids": [str(each) for each in chunk.collection_ids],
        "text": chunk.text,
        "metadata": chunk.metadata,
        "vector": None,
    }
