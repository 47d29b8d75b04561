"""Where embeddings come from. The names are those of the upstream app, so that admins keep their settings."""

from pathlib import Path
from typing import Literal, Self

from pydantic import (
    AliasChoices,
    Field,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    model_validator,
)
from pydantic_settings import SettingsConfigDict

from context_chat_backend.toolkit.http import HttpAddress, HttpKey
from context_chat_backend.toolkit.settings import VariableSettings


class EmbedSettings(VariableSettings):
    """`CC_EM_*`. With `base_url` texts are embedded by that server, otherwise in process by `model_path` or `model`."""

    model_config = SettingsConfigDict(env_prefix="CC_EM_", frozen=True)

    base_url: HttpAddress | None = Field(
        default=None,
        description="OpenAI-compatible embedding server, e.g. `http://ollama:11434/v1`; unset: a model in process",
    )
    model: Literal["all-minilm-l6-v2", "multilingual-e5-small"] = Field(
        default="multilingual-e5-small",
        description="Model in process: `multilingual-e5-small` for a hundred languages, or `all-minilm-l6-v2` for "
        "English, faster and smaller. A store that was filled with another one goes on with that",
    )
    model_path: Path | None = Field(
        default=None,
        description="Folder with another model for the gateway's own process, as sentence-transformers exports it to "
        "ONNX: `tokenizer.json`, and `onnx/model.onnx` or `model.onnx`",
    )
    api_key: HttpKey | None = Field(
        default=None,
        validation_alias=AliasChoices("CC_EM_APIKEY", "CC_EM_API_KEY"),
        description="Sent as bearer token; wins over username and password",
    )
    username: str | None = Field(default=None, description="User for basic authentication")
    password: SecretStr | None = Field(default=None, description="Password for basic authentication")
    model_name: str | None = Field(
        default=None,
        description="Model that the server at `CC_EM_BASE_URL` is asked for, by its name there; unset: the server's "
        "own choice",
    )
    batch_size: PositiveInt = Field(default=32, description="Texts per request to the server")
    timeout: PositiveFloat = Field(default=120.0, description="Seconds the server may take for one request")
    dimension: PositiveInt | None = Field(
        default=None, description="Length of the server's vectors; unset: found out by a request at start"
    )
    former_base_url: HttpAddress | None = Field(
        default=None,
        description="Server of the model that stored vectors are of, while those of another one are made; unset: that "
        "of `CC_EM_BASE_URL`",
    )
    former_model_path: Path | None = Field(default=None, description="The same for a model in a folder, if it was one")
    threads: PositiveInt | None = Field(
        default=None, description="CPU threads of the model in process; unset: all that the gateway may use"
    )

    @model_validator(mode="after")
    def _username_with_password(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("CC_EM_USERNAME and CC_EM_PASSWORD have to be set together")
        return self

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.base_url is not None and self.model_path is not None:
            raise ValueError("only one of CC_EM_BASE_URL and CC_EM_MODEL_PATH can be set")
        return self
