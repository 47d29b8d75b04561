"""Settings of the answers."""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from ..toolkit.http import HttpAddress
from ..toolkit.settings import VariableSettings

GeneratorName = Literal["auto", "nextcloud", "openai", "extractive"]


class AnswerSettings(VariableSettings):
    """Read from variables that begin with `CC_`."""

    model_config = SettingsConfigDict(env_prefix="CC_")

    generator: GeneratorName = Field(
        "auto",
        description="who writes answers: nextcloud (its text-to-text provider), openai (CC_LLM_*), extractive (no "
        "model, shows passages); auto: openai with CC_LLM_BASE_URL, else nextcloud with NEXTCLOUD_URL, else extractive",
    )
    llm_base_url: HttpAddress | None = Field(
        None, description="OpenAI-compatible server, e.g. http://localhost:8000/v1"
    )
    llm_api_key: SecretStr | None = Field(None, description="sent to that server as bearer token")
    llm_model: str = Field("default", description="model name sent to that server")
    context_tokens: PositiveInt = Field(4000, description="room for excerpts in the prompt, in estimated tokens")
    answer_tokens: NonNegativeInt = Field(
        1000,
        description="longest answer asked of an OpenAI-compatible server, in tokens; 0 sends no limit, for models that "
        "refuse max_tokens",
    )
    timeout: PositiveFloat = Field(
        1500, description="seconds to wait for a generated answer", validation_alias="CC_LLM_TIMEOUT"
    )

    @model_validator(mode="after")
    def _openai_needs_a_server(self) -> "AnswerSettings":
        if self.generator == "openai" and not self.llm_base_url:
            raise ValueError("CC_GENERATOR=openai needs CC_LLM_BASE_URL")
        return self

    def writer(self, *, with_nextcloud: bool) -> Literal["nextcloud", "openai", "extractive"]:
        """What `generator` comes to."""
        if self.generator != "auto":
            return self.generator
        if self.llm_base_url is not None:
            return "openai"
        return "nextcloud" if with_nextcloud else "extractive"
