"""Pinecone's filter language. Metadata takes comparisons, full-text fields take text matches, vectors take neither."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.doubles.pinecone.control import Index, check_field_name
from tests.doubles.pinecone.errors import invalid, not_modelled
from tests.doubles.pinecone.limits import MAX_IN_VALUES, MAX_MATCH_TOKENS
from tests.doubles.pinecone.scoring import tokens

Document = Mapping[str, Any]
Predicate = Callable[[Document], bool]
Test = Callable[[Any], bool]
"""Of one field's value, which is None where the document has no such field."""

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "$gt": lambda value, operand: value > operand,
    "$gte": lambda value, operand: value >= operand,
    "$lt": lambda value, operand: value < operand,
    "$lte": lambda value, operand: value <= operand,
}
TEXT_MATCHES: Mapping[str, Callable[[list[str], list[str]], bool]] = {
    "$match_phrase": lambda words, wanted: any(
        words[start : start + len(wanted)] == wanted for start in range(len(words))
    ),
    "$match_all": lambda words, wanted: set(wanted) <= set(words),
    "$match_any": lambda words, wanted: not set(wanted).isdisjoint(words),
}


def everything(document: Document) -> bool:
    return True


class FilterParser:
    def __init__(self, index: Index, *, text_matches: bool) -> None:
        """`text_matches` says whether the operation takes them: search and fetch do, update and delete do not."""
        self._text_fields = index.text_fields
        self._dense_fields = frozenset(index.dense_fields)
        self._text_matches = text_matches

    def parse(self, node: object) -> Predicate:
        if not isinstance(node, dict) or not node:
            raise invalid("A filter must be an object with at least one condition")
        terms = [self._term(key, value) for key, value in node.items()]
        return lambda document: all(term(document) for term in terms)

    def _term(self, key: str, value: object) -> Predicate:
        if key in {"$and", "$or"}:
            return self._logical(key, value)
        if key.startswith("$"):
            raise invalid(f"Operator {key} is not allowed at this level of a filter")
        check_field_name(key)
        test = self._condition(key, value)
        return lambda document: test(document.get(key))

    def _logical(self, key: str, value: object) -> Predicate:
        if not isinstance(value, list) or not value:
            raise invalid(f"{key} requires a non-empty array of filters")
        terms = [self.parse(each) for each in value]
        if key == "$and":
            return lambda document: all(term(document) for term in terms)
        return lambda document: any(term(document) for term in terms)

    def _condition(self, field: str, condition: object) -> Test:
        operators = condition if isinstance(condition, dict) else {"$eq": condition}
        if not operators:
            raise invalid(f"The condition for field '{field}' is empty")
        tests = [self._operator(field, name, operand) for name, operand in operators.items()]
        return lambda value: all(test(value) for test in tests)

    def _operator(self, field: str, name: str, operand: Any) -> Test:
        if name == "$not":
            test = self._condition(field, operand)
            return lambda value: not test(value)
        if name in TEXT_MATCHES:
            return self._text_match(field, name, operand)
        if field in self._text_fields | self._dense_fields:
            raise invalid(f"Operator {name} cannot be used on field '{field}', which the schema declares")
        return _metadata(name, operand)

    def _text_match(self, field: str, name: str, operand: Any) -> Test:
        if not self._text_matches:
            raise invalid(f"Text-match operator {name} is not supported in this operation")
        if field not in self._text_fields:
            raise invalid(f"Text-match operator {name} requires a full-text-search field, '{field}' is none")
        if not isinstance(operand, str) or not 1 <= len(tokens(operand)) <= MAX_MATCH_TOKENS:
            raise invalid(f"{name} requires a string of 1 to {MAX_MATCH_TOKENS} tokens")
        wanted, matches = tokens(operand), TEXT_MATCHES[name]
        return lambda value: matches(tokens(value or ""), wanted)


def _metadata(name: str, operand: Any) -> Test:
    if name in {"$eq", "$ne"}:
        return _equality(name, operand)
    if name in {"$in", "$nin"}:
        return _membership(name, operand)
    if name in COMPARISONS:
        return _comparison(name, operand)
    if name == "$exists" and isinstance(operand, bool):
        return lambda value: (value is not None) == operand
    raise invalid(f"Invalid filter operator {name} with the operand {operand!r}")


def _equality(name: str, operand: Any) -> Test:
    """Of a list any element may be equal. That `$ne` finds documents without the field is not recorded."""
    if not isinstance(operand, str | bool | int | float):
        raise invalid(f"{name} requires a string, a number or a boolean")
    wanted = _key(operand)
    if name == "$eq":
        return lambda value: wanted in _keys(value)
    return lambda value: wanted not in _keys(value)


def _membership(name: str, operand: Any) -> Test:
    if not isinstance(operand, list):
        raise invalid(f"{name} requires an array")
    if len(operand) > MAX_IN_VALUES:
        raise invalid(f"The {name} operator accepts at most {MAX_IN_VALUES} values, got {len(operand)}")
    if any(isinstance(each, bool) or not isinstance(each, str | int | float) for each in operand):
        raise invalid(f"{name} requires strings or numbers")
    if not operand:
        raise not_modelled(f"{name} of nothing: what Pinecone makes of it is not recorded")
    wanted = {_key(each) for each in operand}
    if name == "$in":
        return lambda value: not wanted.isdisjoint(_keys(value))
    return lambda value: wanted.isdisjoint(_keys(value))


def _comparison(name: str, operand: Any) -> Test:
    if not _is_number(operand):
        raise invalid(f"{name} requires a number")
    compare = COMPARISONS[name]
    return lambda value: _is_number(value) and compare(value, operand)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _key(value: object) -> tuple[str, object]:
    """True is not 1, and 1 is 1.0."""
    return ("number", float(value)) if isinstance(value, int | float) and _is_number(value) else ("other", value)


def _keys(value: object) -> set[tuple[str, object]]:
    if value is None:
        return set()
    return {_key(each) for each in value} if isinstance(value, list) else {_key(value)}
