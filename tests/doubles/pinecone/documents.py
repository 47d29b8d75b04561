"""The operations of the documents plane.

Consistency is modelled on the pessimistic side. Searches, fetches, lists and statistics see only what is indexed. So do
updates and deletions by filter: they pick the ids of the *indexed* documents that match, report the number of those as
`matched_records`, and miss what is still on its way. What happens to the picked ids happens in the order of the
writes: if one of them was rewritten meanwhile, the new version is hit, whether it matches or not. Operations by id need
no index: they are applied in the order of the writes.
"""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.doubles.pinecone.calls import Answer, Request
from tests.doubles.pinecone.control import Index
from tests.doubles.pinecone.errors import invalid, not_modelled
from tests.doubles.pinecone.fields import check_id, check_vector, stored_fields
from tests.doubles.pinecone.filters import FilterParser, Predicate, everything
from tests.doubles.pinecone.limits import MAX_QUERY_BYTES, MAX_RESPONSE_BYTES, Name, Rates
from tests.doubles.pinecone.schemas import DenseScoring, TextScoring
from tests.doubles.pinecone.scoring import bm25, similarity
from tests.doubles.pinecone.store import Change, Documents, Store, clear, patch, put, remove

USAGE = {"read_units": 1}
ALL = ["*"]


class DocumentOperations:
    def __init__(self, store: Store, rates: Rates) -> None:
        self._store = store
        self._rates = rates

    # ------------------------------------------------------------------ writes

    def upsert(self, request: Request) -> Answer:
        self._spend(request, {"upsert requests": 1, "upsert bytes": request.size})
        documents = [_document(request.index, position, each) for position, each in enumerate(request.body.documents)]
        _check_unique(document["_id"] for document in documents)
        return self._write(request, put(documents), {"upserted_count": len(documents)})

    def update(self, request: Request) -> Answer:
        body = request.body
        by_filter = body.filter is not None or body.set_fields or body.remove_fields
        if (body.documents is not None) == bool(by_filter):
            raise invalid("Provide per-document patches in 'documents', or a 'filter' with a change")
        return self._update_by_filter(request) if by_filter else self._update_by_id(request)

    def _update_by_id(self, request: Request) -> Answer:
        documents = request.body.documents
        self._spend(request, {"update requests": 1, "update records": len(documents)})
        removed = {check_id(each.get("_id")): _removed(each) for each in documents}
        _check_unique(each["_id"] for each in documents)
        changes = {each["_id"]: _patch(request.index, each, removed[each["_id"]]) for each in documents}
        return self._write(request, patch(changes, removed), {})

    def _update_by_filter(self, request: Request) -> Answer:
        self._spend(request, {"update requests": 1, "update by filter": 1, "update by filter of the index": 1})
        body = request.body
        removed = frozenset(body.remove_fields)
        if body.filter is None or not (body.set_fields or removed):
            raise invalid("A document update by 'filter' must have a filter and change something")
        if declared := (body.set_fields.keys() | removed) & request.index.schema.fields.keys():
            raise invalid(f"A document update by 'filter' changes metadata only, not {sorted(declared)}")
        changed = _patch(request.index, body.set_fields, removed)
        ids = self._picked(request)
        change = patch(dict.fromkeys(ids, changed), dict.fromkeys(ids, removed))
        return self._write(request, change, {"matched_records": len(ids)})

    def delete(self, request: Request) -> Answer:
        body = request.body
        if [body.ids is not None, body.filter is not None, body.delete_all].count(True) != 1:
            raise invalid("Provide exactly one of 'ids', 'filter', or 'delete_all'.")
        if body.delete_all:
            self._spend(request, {"delete requests": 1})
            return self._write(request, clear, {})
        if body.ids is not None:
            records = len(body.ids)
            self._spend(
                request, {"delete requests": 1, "delete records": records, "delete records of the index": records}
            )
            return self._write(request, remove(body.ids), {})
        self._spend(request, {"delete requests": 1, "delete by filter": 1, "delete by filter of the index": 1})
        ids = self._picked(request)
        return self._write(request, remove(ids), {"matched_records": len(ids)})

    def _picked(self, request: Request) -> list[str]:
        """By a filter, out of what is indexed."""
        matches = FilterParser(request.index, text_matches=False).parse(request.body.filter)
        return [id_ for id_, document in self._indexed(request).items() if matches(document)]

    def _write(self, request: Request, change: Change, body: dict[str, Any]) -> Answer:
        lsn = self._store.write(request.namespace, change)
        return Answer(202, body, {"x-pinecone-request-lsn": str(lsn)})

    # ------------------------------------------------------------------ reads

    def search(self, request: Request) -> Answer:
        self._spend(request, {"search requests": 1})
        body = request.body
        namespace = self._store.namespace(request.namespace)
        matches = _predicate(request)
        scores = _scores(request.index, body.score_by, namespace.indexed)
        candidates = ((id_, score) for id_, score in scores.items() if matches(namespace.indexed[id_]))
        best = sorted(candidates, key=lambda each: (-each[1], each[0]))[: body.top_k]
        shown = [
            {"_id": id_, "_score": score, **_show(namespace.indexed[id_], body.include_fields)} for id_, score in best
        ]
        return _limited(
            {"matches": shown, "namespace": request.namespace, "usage": USAGE},
            {"x-pinecone-max-indexed-lsn": str(namespace.indexed_lsn)},
        )

    def fetch(self, request: Request) -> Answer:
        body = request.body
        if (body.ids is None) == (body.filter is None):
            raise invalid("Provide exactly one of 'ids' and 'filter' in document fetch requests.")
        documents = self._indexed(request)
        if body.ids is not None:
            self._spend(request, {"fetch requests": 1})
            if body.pagination_token is not None:
                raise invalid("The 'pagination_token' field is only valid together with 'filter'")
            return _limited(_fetched(request, [id_ for id_ in body.ids if id_ in documents], documents))
        self._spend(request, {"fetch requests": 1, "fetch by filter": 1})
        matches = _predicate(request)
        page = _page("fetch", (id_ for id_, document in documents.items() if matches(document)), body)
        return _limited(_fetched(request, page.ids, documents) | page.pagination)

    def list(self, request: Request) -> Answer:
        self._spend(request, {"list requests": 1})
        ids = (id_ for id_ in self._indexed(request) if id_.startswith(request.body.prefix))
        page = _page("list", ids, request.body)
        shown = [{"_id": id_} for id_ in page.ids]
        return Answer(200, {"documents": shown, "namespace": request.namespace, "usage": USAGE} | page.pagination)

    def _indexed(self, request: Request) -> Documents:
        return self._store.namespace(request.namespace).indexed

    def _spend(self, request: Request, costs: Mapping[Name, float]) -> None:
        self._rates.spend(request.index.name, request.namespace, costs)


# ---------------------------------------------------------------------- what is written


def _document(index: Index, position: int, document: dict[str, Any]) -> dict[str, Any]:
    id_ = check_id(document.get("_id"))
    fields = {name: value for name, value in document.items() if name != "_id"}
    if not fields.keys() & index.schema.fields.keys():
        raise invalid(f"Document at position {position} has no field of the index's schema")
    return {"_id": id_, **stored_fields(index, f"Document {id_}", fields)}


def _check_unique(ids: Iterable[str]) -> None:
    seen: set[str] = set()
    for id_ in ids:
        if id_ in seen:
            raise invalid(f"Duplicate '_id' {id_!r}")
        seen.add(id_)


def _removed(document: Mapping[str, Any]) -> frozenset[str]:
    names = document.get("_remove_fields", [])
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise invalid("_remove_fields must be a list of field names")
    return frozenset(names)


def _patch(index: Index, fields: Mapping[str, Any], removed: frozenset[str]) -> dict[str, Any]:
    fields = {name: value for name, value in fields.items() if name not in {"_id", "_remove_fields"}}
    if "_id" in removed or removed & fields.keys():
        raise invalid("A field cannot be both set and removed, and '_id' cannot be removed")
    return stored_fields(index, "Patch", fields)


# ---------------------------------------------------------------------- what is read


def _predicate(request: Request) -> Predicate:
    if request.body.filter is None:
        return everything
    return FilterParser(request.index, text_matches=True).parse(request.body.filter)


def _scores(index: Index, clauses: Sequence[DenseScoring | TextScoring], documents: Documents) -> dict[str, float]:
    if len(clauses) > 1:
        raise not_modelled("more than one clause in score_by")
    clause = clauses[0]
    if (clause.field is None) == (clause.fields is None):
        raise invalid("A clause of score_by needs 'fields', or the deprecated 'field', but not both")
    fields = clause.fields or [clause.field or ""]
    if isinstance(clause, DenseScoring):
        return _dense_scores(index, fields, clause.values, documents)
    return _text_scores(index, fields, clause.query, documents)


def _dense_scores(index: Index, fields: list[str], query: list[float], documents: Documents) -> dict[str, float]:
    if len(fields) != 1:
        raise invalid("dense_vector scoring requires exactly one field")
    field = index.dense_fields.get(fields[0])
    if field is None:
        raise invalid(f"Scoring field '{fields[0]}' is no dense_vector field of the schema")
    check_vector("The query", field.dimension, query)
    return {
        id_: similarity(field.metric, query, document[fields[0]])
        for id_, document in documents.items()
        if fields[0] in document
    }


def _text_scores(index: Index, fields: list[str], query: str, documents: Documents) -> dict[str, float]:
    if not query.strip() or len(query.encode()) > MAX_QUERY_BYTES:
        raise invalid(f"The query must not be empty and not exceed {MAX_QUERY_BYTES} bytes")
    if unknown := set(fields) - index.text_fields:
        raise invalid(f"Scoring fields {sorted(unknown)} are no full-text-search fields of the schema")
    found = [bm25(query, _texts(field, documents)) for field in fields]
    return {id_: sum(each.get(id_, 0.0) for each in found) for each in found for id_ in each}


def _texts(field: str, documents: Documents) -> dict[str, str]:
    return {id_: document[field] for id_, document in documents.items() if field in document}


def _show(document: Mapping[str, Any], fields: list[str]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "_id" and (fields == ALL or name in fields)}


def _fetched(request: Request, ids: Sequence[str], documents: Documents) -> dict[str, Any]:
    """All fields unless some are named: the other way round than a search."""
    fields = request.body.include_fields or ALL
    shown = {id_: {"_id": id_, **_show(documents[id_], fields)} for id_ in ids}
    return {"documents": shown, "namespace": request.namespace, "usage": USAGE}


def _limited(body: dict[str, Any], headers: Mapping[str, str] | None = None) -> Answer:
    """What Pinecone says about a larger result is not recorded."""
    size = len(json.dumps(body).encode())
    if size > MAX_RESPONSE_BYTES:
        raise invalid(f"The result of {size} bytes exceeds the maximum of {MAX_RESPONSE_BYTES} bytes")
    return Answer(200, body, headers or {})


@dataclass(frozen=True)
class Page:
    ids: list[str]
    pagination: dict[str, Any]
    """For the answer; empty after the last page."""


def _page(operation: str, ids: Iterable[str], body: Any) -> Page:
    after = "" if body.pagination_token is None else decode_token(operation, body.pagination_token)
    rest = sorted(id_ for id_ in ids if id_ > after)
    page, more = rest[: body.limit], len(rest) > body.limit
    return Page(page, {"pagination": {"next": encode_token(operation, page[-1])}} if more else {})


def encode_token(operation: str, last: str) -> str:
    return base64.b64encode(f"{operation} {last}".encode()).decode()


def decode_token(operation: str, token: str) -> str:
    """A token goes with the operation that made it."""
    try:
        made_by, _, last = base64.b64decode(token, validate=True).decode().partition(" ")
    except (binascii.Error, UnicodeDecodeError):
        made_by, last = "", ""
    if made_by != operation:
        raise invalid("Invalid pagination token")
    return last
