"""Settings of the Pinecone backend, from the environment."""

import re
from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PositiveFloat, SecretStr
from pydantic_settings import SettingsConfigDict

from context_chat_backend.toolkit.settings import VariableSettings

MAX_INDEX_NAME = 45
"""https://docs.pinecone.io/reference/api/database-limits/operation-limits"""

# A blank or a line break, as from a file, would make a header that cannot be sent.
_HEADER_VALUE = re.compile(r"[\x21-\x7e]+")
_INDEX_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_REGION = re.compile(r"[a-z0-9-]+")


def _api_key(value: SecretStr) -> SecretStr:
    key = value.get_secret_value().strip()
    if not _HEADER_VALUE.fullmatch(key):
        raise ValueError("has to be one word of ASCII characters, as shown by Pinecone's console")
    return SecretStr(key)


def _index_name(value: str) -> str:
    if not _INDEX_NAME.fullmatch(value) or len(value) > MAX_INDEX_NAME:
        raise ValueError(
            f"has to be at most {MAX_INDEX_NAME} lower-case letters, digits and hyphens, no hyphen at either end"
        )
    return value


def _host(value: str) -> str:
    """With its scheme and nothing else."""
    address = value if "://" in value else f"https://{value}"
    try:
        parts = urlsplit(address)
        name, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("is not a host") from None
    extras = parts.username or parts.password or parts.query or parts.fragment or parts.path.strip("/")
    if parts.scheme not in {"http", "https"} or extras:
        raise ValueError("has to be a host as shown by Pinecone's console, e.g. context-chat-abc123.svc.pinecone.io")
    if "." not in name and name != "localhost":
        raise ValueError("has to be a full name with a dot: the SDK refuses others")
    if parts.scheme == "http" and not _is_near(name):
        raise ValueError("has to use https: the key and all texts would be sent in the clear")
    return f"{parts.scheme}://{name}" + (f":{port}" if port else "")


def _proxy(value: SecretStr) -> SecretStr:
    """Its password is percent-encoded where needed: the rest of it would be taken for the host, and shown."""
    scheme, _, rest = value.get_secret_value().strip().partition("://")
    credentials, _, host = rest.rpartition("@")
    if scheme not in {"http", "https"} or not host or any(character in credentials for character in "@/?#"):
        raise ValueError(
            "has to be a URL, e.g. http://user:password@proxy:3128, special characters of the password percent-encoded"
        )
    return value


def _is_near(name: str) -> bool:
    try:
        return ip_address(name).is_private
    except ValueError:
        return name == "localhost"


def _region(value: str) -> str:
    if not _REGION.fullmatch(value):
        raise ValueError("has to be the name of a region, e.g. us-east-1")
    return value


class PineconeSettings(VariableSettings):
    """Which index, with which key, and how long to wait for it."""

    model_config = SettingsConfigDict(env_prefix="PINECONE_")

    api_key: Annotated[SecretStr, AfterValidator(_api_key)] = Field(
        description="key of a Pinecone project; it has to allow reading and writing data, and making the index unless "
        "there is one",
        examples=["key"],
    )
    index: Annotated[str, AfterValidator(_index_name)] = Field(
        "context-chat", description="name of the index; made at the first start if there is none"
    )
    host: Annotated[str, AfterValidator(_host)] | None = Field(
        None,
        description="host of an existing index, instead of its name: then Pinecone's control plane is never used, and "
        "the key needs no rights on it",
    )
    cloud: Literal["aws", "gcp", "azure"] = Field("aws", description="where a new index is made")
    region: Annotated[str, AfterValidator(_region)] | None = Field(
        None,
        description="region of that cloud, e.g. `eu-central-1`; without one no index is made. An index cannot be moved "
        "later. The free plan allows `us-east-1` only",
    )
    create_timeout: PositiveFloat = Field(300, description="seconds until a new index has to be ready")
    http_timeout: PositiveFloat = Field(30, description="seconds for one request; the SDK repeats it up to three times")
    settle_seconds: PositiveFloat = Field(
        60, description="after this long everything written is assumed to be searchable"
    )
    changes_per_second: PositiveFloat = Field(
        4,
        description="updates and deletions per second; Pinecone allows 5 updates by filter per namespace. Share it "
        "out if several gateways use one namespace",
    )
    proxy_url: Annotated[SecretStr, AfterValidator(_proxy)] | None = Field(
        None, description="HTTP proxy on the way to Pinecone; the SDK does not look at `HTTPS_PROXY`"
    )
    controller_host: Annotated[str, AfterValidator(_host)] = Field(
        "https://api.pinecone.io", description="address of the control plane"
    )
