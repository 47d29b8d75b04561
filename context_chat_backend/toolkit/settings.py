"""Reads settings classes so that a mistake is reported in the words of who made it: by the name of the variable."""

from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings

from ..contract import Misconfigured

S = TypeVar("S", bound=BaseSettings)


def read_settings(settings: type[S], *, prefix: str | None = None, **values: Any) -> S:
    """An instance from the environment. `prefix` replaces the one of the class, `values` win over the environment.

    Raises `Misconfigured` with a line per wrong variable and without the values, which may be secrets.
    """
    used = prefix if prefix is not None else settings.model_config.get("env_prefix", "")
    try:
        return settings(_env_prefix=used, **values)
    except ValidationError as error:
        lines = (_line(item, settings, used) for item in error.errors(include_input=False, include_context=False))
        raise Misconfigured("the settings are wrong: " + "; ".join(lines)) from None


def _line(item: ErrorDetails, settings: type[BaseSettings], prefix: str) -> str:
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "missing":
        message = "is required; set it in the environment or in .env"
    if not item["loc"]:
        return message
    name = str(item["loc"][0])  # the field, or its alias, which is the whole variable
    field = settings.model_fields.get(name)
    variable = prefix + name if field is not None and field.validation_alias is None else name
    return f"{variable.upper()}: {message}"
