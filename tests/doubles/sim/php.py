"""PHP as seen from outside: how it reads queries, converts arguments, and writes JSON and XML.

From nextcloud/server: `Dispatcher::executeController` (conversion by `settype`), `OCSController` and `BaseResponse`
(JSON and XML), each compared with the real code over HTTP.
"""

import json
import math
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

_NUMBER = r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?"


class PhpError(Exception):
    """Any Throwable that reaches ocs/v?.php: 500, 'Internal Server Error'."""


class EmptyAnswer(Exception):
    """json_encode fails while an answer is rendered: the TypeError escapes every catch, PHP answers with nothing."""


class Object(dict[str, Any]):
    """A PHP object: in JSON a map also when it is empty, in XML nothing at all."""


# ------------------------------------------------------------------ arrays


def query(text: str) -> dict[str, Any]:
    """`a=1&b[]=2&c[x]=3` as PHP reads it, with one level of brackets."""
    found: dict[str, Any] = {}
    for part in text.split("&") if text else []:
        name, _, value = part.partition("=")
        _set(found, urllib.parse.unquote_plus(name), urllib.parse.unquote_plus(value))
    return {name: as_array(value) if isinstance(value, dict) else value for name, value in found.items()}


def _set(found: dict[str, Any], name: str, value: str) -> None:
    bracketed = re.fullmatch(r"([^\[]+)\[([^\]]*)\]", name)
    if not bracketed:
        found[name] = value
        return
    entries = found.setdefault(bracketed[1], {})
    if not isinstance(entries, dict):
        entries = found[bracketed[1]] = {}
    entries[bracketed[2] if bracketed[2] != "" else str(len(entries))] = value


def as_array(entries: dict[str, Any]) -> list[Any] | dict[str, Any]:
    """A list if the keys are 0, 1, 2 …"""
    counted = [str(index) for index in range(len(entries))]
    return list(entries.values()) if list(entries) == counted else entries


def values(array: Any) -> list[Any]:
    return list(array.values()) if isinstance(array, dict) else list(array)


def decoded_and_encoded(value: Any) -> Any:
    """json_decode($value, true) and json_encode again: `{}` becomes `[]`, and {"0": …, "1": …} a list."""
    if isinstance(value, dict):
        entries = {key: decoded_and_encoded(entry) for key, entry in value.items()}
        return as_array(entries) if entries else []
    return [decoded_and_encoded(entry) for entry in value] if isinstance(value, list) else value


# ------------------------------------------------------------------ conversion


def integer(value: Any) -> int:
    """settype($value, 'int')."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return int(value) if math.isfinite(value) else 0
    if isinstance(value, str):
        number = re.match(rf"\s*({_NUMBER})", value)
        return int(float(number[1])) if number else 0
    return 1 if value else 0  # arrays


def is_numeric(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        return re.fullmatch(rf"\s*{_NUMBER}\s*", value) is not None
    return isinstance(value, int | float)


class Arguments:
    """What a controller's method is called with. Null counts as missing; a missing one without default is an error."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def integer(self, name: str, default: int | None = None) -> int:
        value = self._value(name, default)
        return integer(value)

    def number(self, name: str) -> float:
        value = self._value(name, None)
        return float(value) if is_numeric(value) else float(integer(value))

    def text(self, name: str, default: str | None = None) -> str:
        value = self._value(name, default)
        if isinstance(value, list | dict):
            raise PhpError(f"argument {name} must be of type string")
        if isinstance(value, bool):
            return "1" if value else ""
        return str(value)

    def array(self, name: str) -> list[Any] | dict[str, Any]:
        value = self._value(name, None)
        if not isinstance(value, list | dict):
            raise PhpError(f"argument {name} must be of type array")
        return value

    def text_or_none(self, name: str) -> str | None:
        return None if self._given.get(name) is None else self.text(name)

    def array_or_none(self, name: str) -> list[Any] | dict[str, Any] | None:
        return None if self._given.get(name) is None else self.array(name)

    def flag(self, name: str) -> bool:
        """False when it is missing; settype($value, 'bool')."""
        value = self._given.get(name)
        return bool(value) and value != "0"

    def _value(self, name: str, default: object) -> Any:
        value = self._given.get(name)
        if value is None:
            value = default
        if value is None:
            raise PhpError(f"argument {name} missing")
        return value


# ------------------------------------------------------------------ answers


def to_json(value: Any) -> bytes:
    """json_encode($value, JSON_HEX_TAG): ASCII, with `\\/` and `\\u003C`."""
    try:
        text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), default=_database_text)
    except UnicodeDecodeError as error:
        raise EmptyAnswer from error
    return text.replace("/", "\\/").replace("<", "\\u003C").replace(">", "\\u003E").encode()


def _database_text(value: Any) -> str:
    """Bytes stand for text of a database that is perhaps not UTF-8."""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    raise TypeError(type(value))


def to_xml(value: Any) -> str:
    return "".join(_element(key, entry) for key, entry in _entries(value))


def _entries(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, Object):
        return ()
    return value.items() if isinstance(value, dict) else enumerate(value)


def _element(key: Any, value: Any) -> str:
    name = "element" if isinstance(key, int) or str(key).isdigit() else str(key)
    if isinstance(value, dict | list):
        inner = to_xml(value)
        return f"<{name}>\n{inner}</{name}>\n" if inner else f"<{name}/>\n"
    if value is None:
        return f"<{name}/>\n"
    return f"<{name}>{_escaped(_xml_text(value))}</{name}>\n"


def _xml_text(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
