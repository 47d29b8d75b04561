"""Settings of the Milvus backend, from the environment."""

from pydantic import Field, PositiveInt, SecretStr
from pydantic_settings import SettingsConfigDict

from context_chat_backend.toolkit.settings import VariableSettings


class MilvusSettings(VariableSettings):
    """Which Milvus, and as whom."""

    model_config = SettingsConfigDict(env_prefix="MILVUS_")

    # not MILVUS_URI: pymilvus reads that by itself, when it is imported
    url: str = Field(
        pattern=r"^https?://[^@/]+/?$",
        description="address of a server or of the proxies of a cluster, e.g. `http://milvus.example.org:19530`",
    )
    token: SecretStr | None = Field(
        None, description="`user:password` or an API key, of a user who may create collections"
    )
    database: str = Field("default", pattern=r"^\w+$", description="a database that exists")
    collection_prefix: str = Field(
        "", pattern=r"^([A-Za-z_][A-Za-z0-9_]{0,199})?$", description="beginning of the name of the collection"
    )
    timeout: PositiveInt = Field(60, description="seconds for one request")
