"""The URL of a database, as settings hold it."""

from typing import Annotated

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, SecretStr


def _libpq_url(url: SecretStr) -> SecretStr:
    """Drop SQLAlchemy's driver name (`postgresql+psycopg://`), check the rest. The error never repeats the value."""
    scheme, separator, rest = url.get_secret_value().strip().partition("://")
    plain = scheme.partition("+")[0] + separator + rest
    if not _is_valid(plain):
        raise ValueError(
            "this is not a valid PostgreSQL URL, expected postgresql://user:password@host:port/name"
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


DatabaseUrl = Annotated[SecretStr, AfterValidator(_libpq_url)]
"""For libpq, also if it was given in SQLAlchemy's form."""
