"""What both planes have: statistics and namespaces."""

import json
from typing import Any

from tests.doubles.pinecone.calls import Answer, Request
from tests.doubles.pinecone.documents import decode_token, encode_token
from tests.doubles.pinecone.errors import invalid, refused
from tests.doubles.pinecone.limits import Rates
from tests.doubles.pinecone.store import Namespace, Store

MAX_PAGE = 100


class NamespaceOperations:
    def __init__(self, store: Store, rates: Rates) -> None:
        self._store = store
        self._rates = rates

    def stats(self, request: Request) -> Answer:
        """A namespace shows up with its first indexed write."""
        self._rates.spend(request.index.name, "", {"stats requests": 1})
        if request.body.filter:
            raise invalid(
                "Serverless and Starter indexes do not support describing index stats with metadata filtering"
            )
        counts = {name: len(each.indexed) for name, each in self._store.namespaces.items() if each.indexed_lsn}
        return Answer(
            200,
            {
                "namespaces": {name: {"vectorCount": count} for name, count in counts.items()},
                "dimension": request.index.dimension,
                "indexFullness": 0,
                "totalVectorCount": sum(counts.values()),
            },
        )

    def list(self, request: Request) -> Answer:
        if unknown := request.query.keys() - {"prefix", "limit", "paginationToken"}:
            raise invalid(f"Unknown query parameters {sorted(unknown)}")
        limit = _limit(request.query.get("limit", str(MAX_PAGE)))
        namespaces = self._store.namespaces
        names = sorted(name for name in namespaces if name.startswith(request.query.get("prefix", "")))
        token = request.query.get("paginationToken")
        rest = [name for name in names if token is None or name > decode_token("namespaces", token)]
        shown = [_render(name, namespaces[name]) for name in rest[:limit]]
        body: dict[str, Any] = {"namespaces": shown, "total_count": len(names)}
        if len(rest) > limit:
            body["pagination"] = {"next": encode_token("namespaces", rest[limit - 1])}
        return Answer(200, body)

    def describe(self, request: Request) -> Answer:
        return Answer(200, _render(request.namespace, self._found(request)))

    def delete(self, request: Request) -> Answer:
        """With all that was written to it, at once."""
        self._found(request)
        self._store.drop(request.namespace)
        return Answer(200, {})

    def _found(self, request: Request) -> Namespace:
        namespace = self._store.namespaces.get(request.namespace)
        if namespace is None:
            raise refused(404, f"Namespace {request.namespace} not found")
        return namespace


def _limit(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_PAGE:
        raise invalid(f"limit must be between 1 and {MAX_PAGE}")
    return int(text)


def _render(name: str, namespace: Namespace) -> dict[str, Any]:
    """Numbers of 64 bits are strings here."""
    size = len(json.dumps(namespace.indexed).encode())
    return {"name": name, "record_count": str(len(namespace.indexed)), "size_bytes": str(size)}
