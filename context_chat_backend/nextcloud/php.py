"""Ids and lists of ids as PHP writes them into JSON.

PHP turns the key `"1001"` of an array into the number 1001, and a list with gaps (`array_unique`, `array_filter`) into
an object. Nextcloud drops an action that is refused, revocations included, so one odd entry must not cost the others.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

_USABLE = {"anyOf": [{"type": "string", "pattern": r"\S"}, {"type": "integer"}]}


def _digits(value: Any) -> Any:
    """An integer as the digits that it was before PHP took it for a number; anything else unchanged."""
    return str(value) if type(value) is int else value  # not isinstance: True is an int


def _is_text(value: str) -> bool:
    """JSON can spell half a surrogate pair, which can be stored or sent nowhere."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _require_id(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    if not _is_text(value):
        raise ValueError("must not hold half a surrogate pair")
    return value


def _usable(values: Any) -> Any:
    """The entries that can be an id. A fraction, a truth value, null or a list was never the id of anybody, so leaving
    it out takes access from nobody and gives it to nobody."""
    if isinstance(values, dict):
        values = list(values.values())
    if not isinstance(values, list):
        return values
    return [id_ for id_ in map(_digits, values) if isinstance(id_, str) and id_.strip() and _is_text(id_)]


PhpId = Annotated[str, BeforeValidator(_digits), AfterValidator(_require_id), WithJsonSchema(_USABLE)]
"""One id, never blank."""

PhpIds = Annotated[
    list[str],
    BeforeValidator(_usable),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "contains": _USABLE},
                {"type": "object", "additionalProperties": _USABLE, "minProperties": 1},
            ],
            "description": "An object stands for the list of its values, and an integer for its digits. "
            "Entries that cannot be ids are ignored.",
        }
    ),
]
"""Ids, none of them blank; empty where nothing usable was sent."""
