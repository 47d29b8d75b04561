"""Settings of the builtin backend, from the environment."""

from typing import Annotated

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, AliasChoices, Field, NonNegativeFloat, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _libpq_url(url: SecretStr) -> SecretStr:
    """Drop SQLAlchemy's driver name (`postgresql+psycopg://`), check the rest. The error never repeats the value."""
    scheme, separator, rest = url.get_secret_value().strip().partition("://")
    plain = scheme.partition("+")[0] + separator + rest
    if not _is_valid(plain):
        raise ValueError(
            "CCB_DB_URL (or EXTERNAL_DB) is not a valid PostgreSQL URL, expected postgresql://user:password@host:port/name"
            " with special characters of the password percent-encoded"
        )
    return SecretStr(plain)


def _is_valid(url: str) -> bool:
    try:
        parameters = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return False
    # A password with an unencoded "/" or "@" spills into these, and from there into error messages.
    ports, hosts = str(parameters.get("port", "")), str(parameters.get("host", ""))
    return "@" not in hosts and all(port.isdecimal() for port in ports.split(",") if port)


class BuiltinSettings(BaseSettings):
    """Where the builtin backend keeps its documents. Without a URL it runs a PostgreSQL of its own."""

    # A validation error would else print the URL with its password.
    model_config = SettingsConfigDict(
        env_ignore_empty=True, hide_input_in_errors=True, populate_by_name=True, extra="ignore"
    )

    db_url: Annotated[SecretStr, AfterValidator(_libpq_url)] | None = Field(
        default=None,
        validation_alias=AliasChoices("CCB_DB_URL", "EXTERNAL_DB"),
        description="URL of a PostgreSQL 15 or later with pgvector 0.8 or later, also in SQLAlchemy's form "
        "(`postgresql+psycopg://…`). Empty: an embedded PostgreSQL under the persistent storage.",
    )
    pool_size: PositiveInt = Field(
        default=8,
        validation_alias="BUILTIN_POOL_SIZE",
        description="Most connections to the database that one gateway opens.",
    )
    prepare: bool = Field(
        default=True,
        validation_alias="BUILTIN_PREPARE",
        description="False for poolers that share a connection between transactions (PgBouncer, port 6543 of "
        "Supabase): no prepared statements and no session settings.",
    )
    statement_timeout: NonNegativeFloat = Field(
        default=60.0,
        validation_alias="BUILTIN_STATEMENT_TIMEOUT",
        description="Seconds after which the database gives up a statement; 0 for no limit. Not set if BUILTIN_PREPARE "
        "is false.",
    )
