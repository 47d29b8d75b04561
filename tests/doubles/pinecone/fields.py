"""What a document may hold, and what Pinecone makes of it."""

import json
import math
from array import array
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tests.doubles.pinecone.control import Index, check_field_name
from tests.doubles.pinecone.errors import invalid
from tests.doubles.pinecone.limits import MAX_METADATA_BYTES, MAX_TEXT_BYTES, MAX_TEXT_TOKENS, MIN_MAGNITUDE
from tests.doubles.pinecone.schemas import Id
from tests.doubles.pinecone.scoring import tokens

ID = TypeAdapter(Id)


def check_id(value: object) -> str:
    try:
        return ID.validate_python(value, strict=True)
    except ValidationError:
        raise invalid(f"_id must be 1 to 512 ASCII characters without NUL, got {str(value)[:80]!r}") from None


def stored_fields(index: Index, what: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those without `_id`, as Pinecone keeps them: integers come back as floats, vectors in single precision."""
    stored = {name: _stored(index, f"{what}: field '{name}'", name, value) for name, value in fields.items()}
    size = sum(_size(name, value) for name, value in fields.items() if name not in index.schema.fields)
    if size > MAX_METADATA_BYTES:
        raise invalid(f"{what}: metadata size is {size} bytes, which exceeds the limit of {MAX_METADATA_BYTES} bytes")
    return stored


def _stored(index: Index, where: str, name: str, value: Any) -> Any:
    check_field_name(name)
    if value is None:
        raise invalid(f"{where} must not be null")
    if name in index.dense_fields:
        return _vector(where, index.dense_fields[name].dimension, value)
    if name in index.text_fields:
        return _text(where, value)
    return _metadata(where, value)


def _vector(where: str, dimension: int, value: Any) -> list[float]:
    check_vector(where, dimension, value)
    return array("f", value).tolist()


def check_vector(where: str, dimension: int, value: Any) -> None:
    if not isinstance(value, list) or any(
        isinstance(each, bool) or not isinstance(each, int | float) for each in value
    ):
        raise invalid(f"{where} must be an array of numbers")
    if len(value) != dimension:
        raise invalid(f"{where}: vector dimension {len(value)} does not match the dimension of the index {dimension}")
    if not all(map(math.isfinite, value)):
        raise invalid(f"{where} must hold finite numbers")
    if all(abs(each) < MIN_MAGNITUDE for each in value):
        raise invalid(f"{where}: dense vectors must contain at least one non-zero value")


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise invalid(f"{where} must be a string")
    if len(value.encode()) > MAX_TEXT_BYTES:
        raise invalid(f"{where} exceeds {MAX_TEXT_BYTES} bytes")
    if len(tokens(value)) > MAX_TEXT_TOKENS:
        raise invalid(f"{where} exceeds {MAX_TEXT_TOKENS} tokens")
    return value


def _metadata(where: str, value: Any) -> Any:
    if isinstance(value, str | bool):
        return value
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value
    raise invalid(f"{where}: Metadata value must be a string, number, boolean or list of strings")


def _size(name: str, value: Any) -> int:
    return len(name.encode()) + len(json.dumps(value, ensure_ascii=False).encode())
