"""Settings classes, read from variables that are handed in: nothing looks into the environment of the process.

    class MySettings(VariableSettings):
        model_config = SettingsConfigDict(env_prefix="MY_")
        url: HttpUrl = Field(description="address of the server")

    settings = driver_settings(MySettings, config)

A mistake is reported in the words of whoever made it: by the name of the variable.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources.utils import parse_env_vars

from ..contract import DriverConfig, Misconfigured


class VariableSettings(BaseSettings):
    """Base of all settings classes. An empty variable counts as not set; error messages never quote a value."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", hide_input_in_errors=True, populate_by_name=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is that of pydantic-settings
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


S = TypeVar("S", bound=VariableSettings)


def driver_settings(settings: type[S], config: DriverConfig, *, prefix: str | None = None) -> S:
    """`read_settings` for a driver: from its variables, those whose names begin with `config.prefix`."""
    return read_settings(settings, config.variables, prefix=prefix, scope=config.prefix)


def read_settings(
    settings: type[S], variables: Mapping[str, str], *, prefix: str | None = None, scope: str = "", **values: Any
) -> S:
    """An instance from variables, whose names may be in any case. `prefix` replaces that of the class, `values` win.
    With a `scope` only variables that begin with it are read.

    Raises `Misconfigured` with a line per wrong variable and without the values, which may be secrets.
    """
    used = prefix if prefix is not None else settings.model_config.get("env_prefix", "")
    inside = {name[len(scope) :]: value for name, value in variables.items() if name.startswith(scope)}
    try:
        return settings(**{**_Variables(settings, inside, used)(), **values})
    except ValidationError as error:
        details = error.errors(include_input=False, include_context=False)
        lines = "; ".join(_line(item, settings, used, scope) for item in details)
        raise Misconfigured(f"the settings are wrong: {lines}") from None


class _Variables(EnvSettingsSource):
    """As pydantic-settings reads the environment, but from a mapping."""

    def __init__(self, settings: type[BaseSettings], variables: Mapping[str, str], prefix: str) -> None:
        self._variables = variables
        super().__init__(settings, env_prefix=prefix)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return parse_env_vars(self._variables, self.case_sensitive, self.env_ignore_empty, self.env_parse_none_str)


def _line(item: ErrorDetails, settings: type[BaseSettings], prefix: str, scope: str) -> str:
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "missing":
        message = "is required; set it in the environment or in .env"
    if not item["loc"]:
        return message
    name = str(item["loc"][0])  # the field, or its alias, which is the whole variable
    field = settings.model_fields.get(name)
    variable = prefix + name if field is not None and field.validation_alias is None else name
    return f"{scope}{variable.upper()}: {message}"
