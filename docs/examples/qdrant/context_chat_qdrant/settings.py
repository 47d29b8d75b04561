"""Settings of the Qdrant backend, from the environment."""

from typing import Annotated

from pydantic import AfterValidator, Field, PositiveInt, SecretStr
from pydantic_settings import SettingsConfigDict

from context_chat_backend.toolkit.settings import VariableSettings


def _header(key: SecretStr) -> SecretStr:
    value = key.get_secret_value()
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("has to be printable ASCII without blanks")
    return key


class QdrantSettings(VariableSettings):
    """Which Qdrant, and with which key."""

    model_config = SettingsConfigDict(env_prefix="QDRANT_")

    url: str = Field(
        pattern=r"^(https?://[^@]+|[^:]+|:memory:)$",
        description="address of a server, e.g. `https://qdrant.example.org`; port 6333 if it names none. To try things "
        "out without a server: a folder, or `:memory:`, which forgets everything",
    )
    api_key: Annotated[SecretStr, AfterValidator(_header)] | None = Field(None, description="a key that may write")
    timeout: PositiveInt = Field(60, description="seconds for one request")

    @property
    def is_server(self) -> bool:
        """Whether there is a server, and not the local mode of qdrant-client."""
        return self.url.startswith("http")
