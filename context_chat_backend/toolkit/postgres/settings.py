"""The URL of a database, as settings hold it."""

import re
from typing import Annotated

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, SecretStr

_DRIVER = re.compile(r"^(postgres(?:ql)?)\+\w+://")


def _libpq_url(url: SecretStr) -> SecretStr:
    """Drop SQLAlchemy's driver name (`postgresql+psycopg://`), check the rest. The error never repeats the value."""
    plain = _DRIVER.sub(r"\1://", url.get_secret_value().strip())
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
    ports = str(parameters.get("port", "")).split(",")
    return all(port.isdecimal() for port in ports if port) and not _spills(url)


def _spills(url: str) -> bool:
    """Whether a password with an unencoded "@" or "/" would reach the host or the name, and from there messages."""
    _, _, rest = url.partition("://")
    before, at, after = rest.partition("@")
    return "@" in after or (bool(at) and "/" in before)


DatabaseUrl = Annotated[SecretStr, AfterValidator(_libpq_url)]
"""For libpq, also if it was given in SQLAlchemy's form."""
