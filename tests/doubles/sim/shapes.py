"""Shapes: which fields a task has, and of which types.

From nextcloud/server `EShapeType`, and from app_api stable33
`TaskProcessingService::validateTaskProcessingProvider`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.doubles.sim.php import is_numeric, values

NUMBER, TEXT, IMAGE, AUDIO, VIDEO, FILE, NUMBERS, TEXTS = 0, 1, 2, 3, 4, 5, 10, 11
LIST_OF_FILES = 15
FILE_TYPES = {IMAGE: "Image", AUDIO: "Audio", VIDEO: "Video", FILE: "File"}
LONGEST_TEXT = 512_000

Shape = Mapping[str, int]
"""The type of each field."""

_NAMES = {
    NUMBER: "Number",
    TEXT: "Text",
    **FILE_TYPES,
    6: "Enum",
    NUMBERS: "ListOfNumbers",
    TEXTS: "ListOfTexts",
    LIST_OF_FILES: "ListOfFiles",
}
_PROVIDER_FIELDS: dict[str, type] = {"id": str, "name": str, "task_type": str, "expected_runtime": int}
_OPTIONAL_SHAPES = ("optional_input_shape", "optional_output_shape")
_ENUMS = (
    "input_shape_enum_values",
    "optional_input_shape_enum_values",
    "output_shape_enum_values",
    "optional_output_shape_enum_values",
)
_DEFAULTS = ("input_shape_defaults", "optional_input_shape_defaults")
_SHAPE_KEYS = {"name", "description", "shape_type"}
_ENUM_KEYS = {"name", "value"}


def described(shape: Shape) -> dict[str, Any]:
    """As the list of task types shows it."""
    return {
        name: {"name": name, "description": name, "type": _NAMES.get(type_, "Text")} for name, type_ in shape.items()
    }


def type_error(type_: int, value: Any) -> str | None:
    """EShapeType::validateNonFileType."""
    match type_:
        case 1 if not isinstance(value, str):
            return "Non-text item provided for Text slot"
        case 11 if not _is_array(value) or not all(isinstance(entry, str) for entry in values(value)):
            return "Non-text list item provided for ListOfTexts slot"
        case 0 if not is_numeric(value):
            return "Non-numeric item provided for Number slot"
        case 10 if not _is_array(value) or not all(is_numeric(entry) for entry in values(value)):
            return "Non-numeric list item provided for ListOfNumbers slot"
    return None


def input_error(type_: int, value: Any) -> str | None:
    """The same, and texts have a limit."""
    if error := type_error(type_, value):
        return error
    if type_ == TEXT and len(value.encode()) > LONGEST_TEXT:
        return "Text is too long"
    if type_ in FILE_TYPES and not is_numeric(value):
        return f"Non-{FILE_TYPES[type_].lower()} item provided for {FILE_TYPES[type_]} slot"
    if type_ == LIST_OF_FILES and (not _is_array(value) or not all(is_numeric(entry) for entry in values(value))):
        return "Non-file list item provided for ListOfFiles slot"
    return None


def file_ids(shape: Shape, given: Mapping[str, Any]) -> list[int]:
    """Those that a valid input names."""
    lists = [values(given[name]) for name, type_ in shape.items() if type_ == LIST_OF_FILES and name in given]
    single = [given[name] for name, type_ in shape.items() if type_ in FILE_TYPES and name in given]
    return [int(value) for value in [*single, *(entry for each in lists for entry in each)]]


def output_error(shape: Shape, output: Any) -> str | None:
    """What the first wrong field is."""
    for name, type_ in shape.items():
        value = output.get(name) if isinstance(output, dict) else None
        error = f'Missing key: "{name}"' if value is None else type_error(type_, value)
        if error:
            return error
    return None


def provider_error(provider: Any, task_type: Any) -> str:
    """What AppAPI refuses. Empty: nothing."""
    if not isinstance(provider, dict):
        return "list"
    return next(_provider_errors(provider, task_type), "")


def _provider_errors(provider: Mapping[str, Any], task_type: Any) -> Iterator[str]:
    if _is_array(task_type) and not _is_of_type(provider, task_type):
        yield "Task type and custom task type must be the same if custom task type is provided"
    for name, type_ in _PROVIDER_FIELDS.items():
        if not isinstance(provider.get(name), type_) or isinstance(provider.get(name), bool):
            yield f'"{name}" key must be {type_.__name__}'
    for name in _OPTIONAL_SHAPES:
        if not _is_list_of(provider.get(name), _SHAPE_KEYS):
            yield f'"{name}" should be an array of name, description, shape_type'
    yield from (
        f'"{name}" should be a map of lists of name, value' for name in _ENUMS if not _is_enum_map(provider.get(name))
    )
    yield from (f'"{name}" key must be an array' for name in _DEFAULTS if not _is_array(provider.get(name)))


def _is_array(value: Any) -> bool:
    return isinstance(value, list | dict)


def _is_of_type(provider: Mapping[str, Any], task_type: Any) -> bool:
    return isinstance(task_type, dict) and bool(provider.get("task_type") == task_type.get("id"))


def _is_list_of(value: Any, keys: set[str]) -> bool:
    return _is_array(value) and all(isinstance(entry, dict) and keys <= set(entry) for entry in values(value))


def _is_enum_map(value: Any) -> bool:
    if isinstance(value, list):
        return not value
    return isinstance(value, dict) and all(_is_list_of(entry, _ENUM_KEYS) for entry in value.values())
