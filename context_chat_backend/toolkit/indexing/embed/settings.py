"""Where embeddings come from. The names are those of the upstream app, so that admins keep their settings."""

from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    Field,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    model_validator,
)
from pydantic_settings import SettingsConfigDict

from context_chat_backend.toolkit.http import HttpAddress
from context_chat_backend.toolkit.settings import VariableSettings


def _header_value(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value().strip()
    if not (value.isascii() and value.isprintable()):
        raise ValueError("only printable ASCII characters can be sent")
    return SecretStr(value)


class EmbedSettings(VariableSettings):
    """`CC_EM_*`. With `base_url` texts are embedded by that server, otherwise in process."""

    model_config = SettingsConfigDict(env_prefix="CC_EM_", frozen=True)

    base_url: HttpAddress | None = Field(
        default=None,
        description="OpenAI-compatible embedding server, e.g. `http://ollama:11434/v1`; "
        "unset: all-MiniLM-L6-v2 in process",
    )
    api_key: Annotated[SecretStr, AfterValidator(_header_value)] | None = Field(
        default=None,
        validation_alias=AliasChoices("CC_EM_APIKEY", "CC_EM_API_KEY"),
        description="Sent as bearer token; wins over username and password",
    )
    username: str | None = Field(default=None, description="User for basic authentication")
    password: SecretStr | None = Field(default=None, description="Password for basic authentication")
    model_name: str | None = Field(default=None, description="Model to ask for; unset: the server's own choice")
    batch_size: PositiveInt = Field(default=32, description="Texts per request to the server")
    timeout: PositiveFloat = Field(default=120.0, description="Seconds the server may take for one request")
    dimension: PositiveInt | None = Field(
        default=None, description="Length of the server's vectors; unset: found out by a request at start"
    )
    threads: PositiveInt | None = Field(
        default=None, description="CPU threads of the model in process; unset: all that the gateway may use"
    )

    @model_validator(mode="after")
    def _username_with_password(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("CC_EM_USERNAME and CC_EM_PASSWORD have to be set together")
        return self
