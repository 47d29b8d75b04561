"""Settings of the Supabase backend, from the environment."""

import base64
import ipaddress
import json
from typing import Annotated, Any

from pydantic import AfterValidator, AliasChoices, Field, HttpUrl, PositiveFloat, PositiveInt, SecretStr, TypeAdapter
from pydantic import ValidationError as InvalidUrl
from pydantic_settings import SettingsConfigDict

from context_chat_backend.toolkit.settings import VariableSettings

_URL = TypeAdapter(HttpUrl)
_PUBLIC_ROLES = frozenset({"anon", "authenticated"})


def _project_url(value: str) -> str:
    try:
        url = _URL.validate_python(value.strip())
    except InvalidUrl:
        raise ValueError("has to be the address of a Supabase project, e.g. https://abc.supabase.co") from None
    if "@" in str(url) or url.query or url.fragment:
        raise ValueError("has to be an address without user, query and fragment, e.g. https://abc.supabase.co")
    if url.scheme != "https" and not _is_private(url.host or ""):
        raise ValueError("has to begin with https://, because the secret key is sent there")
    return str(url).rstrip("/").removesuffix("/rest/v1")


def _is_private(host: str) -> bool:
    """On this machine or in a private network: an address, or a name without a dot as in Docker."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return "." not in host
    return address.is_private


def _secret_key(value: SecretStr) -> SecretStr:
    key = value.get_secret_value().strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("the key (or SUPABASE_SERVICE_ROLE_KEY) holds characters that no key has")
    if key.startswith("sb_publishable_") or _claimed_role(key) in _PUBLIC_ROLES:
        raise ValueError(
            "the key (or SUPABASE_SERVICE_ROLE_KEY) is one for browsers, which may not read documents; use the "
            "secret key, sb_secret_…, or the one of the role service_role: see API Keys in the Supabase dashboard"
        )
    return SecretStr(key)


class SupabaseSettings(VariableSettings):
    """Which Supabase project, and how it is called."""

    model_config = SettingsConfigDict(env_prefix="SUPABASE_")

    url: Annotated[str, AfterValidator(_project_url)] = Field(
        description="address of the project, e.g. `https://abc.supabase.co`", examples=["https://abc.supabase.co"]
    )
    key: Annotated[SecretStr, AfterValidator(_secret_key)] = Field(
        validation_alias=AliasChoices("SUPABASE_KEY", "SUPABASE_SERVICE_ROLE_KEY"),
        description="secret key of the project (`sb_secret_…`), or its older key of the role service_role",
        examples=["sb_secret_key"],
    )
    http_timeout: PositiveFloat = Field(
        60.0, description="seconds for one call; Supabase itself ends statements after 60 at most"
    )
    max_connections: PositiveInt = Field(10, description="largest number of connections to Supabase at a time")


def is_jwt(key: str) -> bool:
    """Whether a key is a token, as the older ones are: the new ones are not."""
    return key.count(".") == 2  # noqa: PLR2004 - header, payload, signature


def _claimed_role(key: str) -> object:
    """What a token says about itself; None for anything else."""
    if not is_jwt(key):
        return None
    payload = key.split(".")[1]
    try:
        claims: Any = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except ValueError:
        return None
    return claims.get("role") if isinstance(claims, dict) else None
