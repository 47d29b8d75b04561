"""R2R's filter language, cut down to what a driver needs; whatever R2R would misunderstand is refused."""

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

from tests.doubles.r2r.errors import Refusal, failed, wrong_driver
from tests.doubles.r2r.store import Chunk

Predicate = Callable[[Chunk], bool]


def never(chunk: Chunk) -> bool:
    """`$in` and `$overlap` of nothing."""
    return False


def search_filter(filters: dict[str, Any], endpoint: str) -> Predicate:
    if "collection_ids" in filters:
        raise _wrong(
            "collection_ids at the top level: for an account that is no superuser the real server takes it out and "
            "adds everything that the account owns; wrap it in $and"
        )
    return Filter(endpoint).node(filters)


class Filter:
    """`endpoint` is the name of R2R's handler, which its errors mention."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def node(self, node: object) -> Predicate:
        if not isinstance(node, dict):
            raise _wrong(f"{node!r} is not a condition; the real server ignores it silently")
        if not node:
            raise _wrong("an empty filter matches everything on the real server")
        terms = [self._term(key, value) for key, value in node.items()]
        return terms[0] if len(terms) == 1 else lambda chunk: all(term(chunk) for term in terms)

    def _term(self, key: str, value: Any) -> Predicate:
        if key in {"$and", "$or"}:
            return self._logical(key, value)
        operator, operand = self._condition(key, value)
        if key == "collection_ids":
            return self._collections(operator, operand)
        if key == "document_id":
            return self._document(operator, operand)
        if re.fullmatch(r"metadata\.[a-z_][a-z0-9_]*", key):
            return self._metadata(key.removeprefix("metadata."), operator, operand)
        raise _wrong(f"{key}: the real server takes it for a key of the metadata, unescaped; write metadata.<name>")

    def _logical(self, key: str, value: Any) -> Predicate:
        if not isinstance(value, list):
            raise failed(self._endpoint, f"'{key}' value must be a list of filter dictionaries.", "FilterError")
        if not value:
            raise _wrong(f"{key} of nothing: the real server matches everything for $and")
        terms = [self.node(each) for each in value]
        if key == "$and":
            return lambda chunk: all(term(chunk) for term in terms)
        if all(term is never for term in terms):
            raise _wrong("$or of terms that match nothing matches everything on the real server")
        return lambda chunk: any(term(chunk) for term in terms)

    def _condition(self, key: str, value: Any) -> tuple[str, Any]:
        if not isinstance(value, dict) or len(value) != 1:
            raise _wrong(f"{key}: one operator with its value is wanted, not a shorthand")
        [(operator, operand)] = value.items()
        return operator, operand

    def _collections(self, operator: str, operand: Any) -> Predicate:
        if operator != "$overlap":
            raise _unknown("collection_ids", operator)
        if not isinstance(operand, list):
            raise failed(self._endpoint, "'$overlap' requires a list of UUIDs", "FilterError")
        try:
            wanted = {UUID(each) for each in operand}
        except (ValueError, AttributeError, TypeError) as error:
            message = f"Invalid UUID format in list for 'collection_ids' filter: {error}"
            raise failed(self._endpoint, message, "FilterError") from error
        return (lambda chunk: not wanted.isdisjoint(chunk.collection_ids)) if wanted else never

    def _document(self, operator: str, operand: Any) -> Predicate:
        if operator == "$eq":
            wanted = {self.uuid(operand)}
        elif operator == "$in" and isinstance(operand, list):
            wanted = {self.uuid(each) for each in operand}
        else:
            raise _unknown("document_id", operator)
        return (lambda chunk: chunk.document_id in wanted) if wanted else never

    def uuid(self, value: object) -> UUID:
        try:
            return UUID(str(value))
        except ValueError as error:
            message = f"invalid input for query argument $2: {value!r} (invalid UUID {value!r})"
            raise failed(self._endpoint, message, "DataError") from error

    def _metadata(self, name: str, operator: str, operand: Any) -> Predicate:
        if operator == "$eq" and isinstance(operand, str):
            wanted = {operand}
        elif operator == "$in" and isinstance(operand, list) and all(isinstance(each, str) for each in operand):
            wanted = set(operand)
        else:
            raise _unknown(f"metadata.{name}", operator)
        return (lambda chunk: chunk.metadata.get(name) in wanted) if wanted else never


def _unknown(key: str, operator: str) -> Refusal:
    return _wrong(f"{key}: {operator} with such a value is not modelled; the real server may match everything or fail")


def _wrong(message: str) -> Refusal:
    return wrong_driver(message, "body", "filters")
