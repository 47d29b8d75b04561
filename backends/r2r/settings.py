"""Settings of the R2R backend, from the environment."""

import uuid
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    model_validator,
)
from pydantic_settings import NoDecode, SettingsConfigDict

from context_chat_backend.toolkit.http import http_url
from context_chat_backend.toolkit.settings import VariableSettings


def _base_url(value: str) -> str:
    return http_url(value).removesuffix("/v3")


def _namespace(value: SecretStr) -> SecretStr:
    try:
        uuid.UUID(value.get_secret_value())
    except ValueError:
        raise ValueError("has to be a UUID, e.g. from `python3 -c 'import uuid; print(uuid.uuid4())'`") from None
    return value


def _extensions(value: object) -> object:
    if not isinstance(value, str):
        return value
    return frozenset("." + part.strip().lower().removeprefix(".") for part in value.split(",") if part.strip(" ."))


class R2RSettings(VariableSettings):
    """Which R2R, as whom, and how documents go there and are searched."""

    model_config = SettingsConfigDict(env_prefix="R2R_")

    base_url: Annotated[str, AfterValidator(_base_url)] = Field(
        description="address of R2R, e.g. `http://r2r:7272`", examples=["http://r2r:7272"]
    )
    user: str | None = Field(None, description="e-mail address of the gateway's account in R2R, preferably a superuser")
    password: SecretStr | None = Field(None, description="its password")
    api_key: SecretStr | None = Field(
        None, description="instead of user and password: sent as X-API-Key. Costs R2R most of a second per request"
    )
    api_token: SecretStr | None = Field(None, description="instead of user and password: sent as bearer token")
    http_timeout: PositiveFloat = Field(
        300, description="seconds for one request to R2R; a document is given up as stuck after twice this time"
    )
    namespace: Annotated[SecretStr, AfterValidator(_namespace)] | None = Field(
        None,
        description="secret UUID from which the ids of documents are made. Unset: made once and kept in the persistent "
        "storage. Set the same one for several gateways of one Nextcloud; the upsert cache is off then",
    )
    upload: Literal["original", "text"] = Field(
        "original",
        description="`original`: R2R gets the files and reads them with its own parsers, and gets text where they "
        "fail; `text`: it always gets the text that the gateway extracts",
    )
    ingestion_mode: Literal["fast", "hi-res", "ocr", "custom"] = Field(
        "fast", description="R2R's ingestion mode; all but `fast` call a language model for each document"
    )
    max_text_bytes: PositiveInt = Field(
        2_000_000,
        description="longer texts are cut to this, with a warning; R2R's own limit, `max_upload_size_by_type.txt`",
    )
    exclude_exts: Annotated[frozenset[str], NoDecode, BeforeValidator(_extensions)] = Field(
        frozenset(), description="extensions of files that are never sent to R2R, e.g. `.xls,.xlsx,.png`"
    )
    run_with_orchestration: bool = Field(
        True, description="let R2R queue documents if it has Hatchet, and retry once if it has not"
    )
    use_generated_answer: bool = Field(
        True, description="R2R writes the answers of /query; off: the gateway does, from what R2R finds"
    )
    search_mode: Literal["hybrid", "semantic"] = Field(
        "hybrid", description="`hybrid`: by meaning and by words; `semantic`: by meaning only"
    )
    hybrid_semantic_weight: NonNegativeFloat = Field(5.0, description="weight of the search by meaning")
    hybrid_full_text_weight: NonNegativeFloat = Field(1.0, description="weight of the search by words")
    graph_search: bool = Field(
        False, description="let R2R's answers use the graphs that you built of users' collections"
    )
    upsert_cache_path: Path | None = Field(
        None,
        description="JSON cache of the earlier fork, for `ccbe cache import`; default: `r2r_upsert_cache.json` in the "
        "persistent storage",
    )

    @model_validator(mode="after")
    def _one_kind_of_credentials(self) -> Self:
        kinds = [
            self.user is not None or self.password is not None,
            self.api_key is not None,
            self.api_token is not None,
        ]
        if sum(kinds) > 1:
            raise ValueError("set only one of R2R_USER with R2R_PASSWORD, R2R_API_KEY, R2R_API_TOKEN: R2R refuses two")
        if (self.user is None) != (self.password is None):
            raise ValueError("R2R_USER and R2R_PASSWORD belong together")
        return self

    @property
    def credentials(self) -> str:
        """The variables that hold them; empty where none are set."""
        if self.user is not None:
            return "R2R_USER with R2R_PASSWORD"
        if self.api_token is not None:
            return "R2R_API_TOKEN"
        return "R2R_API_KEY" if self.api_key is not None else ""
