"""Settings of the answers."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode, SettingsConfigDict

from ..toolkit.http import HttpAddress, HttpKey
from ..toolkit.settings import VariableSettings

Relevance = Annotated[float, Field(ge=0, le=1)]
NO_STAGES = "none"
"""In place of names: an empty variable counts as not set, which stands for the default."""

GeneratorName = Literal["auto", "nextcloud", "openai", "extractive"]
StageName = Literal["fold", "documents", "diversify", "rerank", "questions"]
RerankApi = Literal["jina", "cohere", "tei"]
MOST_CANDIDATES = 1000
"""Cohere advises against more in one request: https://docs.cohere.com/reference/rerank"""


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
    context_tokens: PositiveInt = Field(4000, description="room for excerpts in the prompt, in tokens")
    llm_tokenizer: Path | None = Field(
        None,
        description="`tokenizer.json` of the language model, to count tokens as it does; unset: they are estimated",
    )
    least_relevance: Relevance | None = Field(
        None,
        description="how likely a passage must be to have to do with a question, 0 to 1, to take part in its answer, "
        "if the backend can tell; where none is, the answer is that nothing fits. Sources that a question is limited "
        "to always take part. 0: all do. Unset: 0.03 where a language model writes answers, else 0.5 and nine tenths "
        "of the best",
    )
    answer_tokens: NonNegativeInt = Field(
        1000,
        description="longest answer asked of an OpenAI-compatible server, in tokens; 0 sends no limit, for models that "
        "refuse max_tokens",
    )
    timeout: PositiveFloat = Field(
        1500, description="seconds to wait for a generated answer", validation_alias="CC_LLM_TIMEOUT"
    )
    answer_cache: NonNegativeInt = Field(
        0,
        description="answers that are kept in memory and given again to the same question of the same user, until "
        "anything is indexed, deleted or made readable for somebody else; 0 keeps none. Only where the gateway has its "
        "store to itself; see docs/operations.md",
    )
    answer_cache_seconds: PositiveFloat = Field(3600, description="how long such an answer is given at most")

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


def _names(value: object) -> object:
    if isinstance(value, str):
        if value.strip() == NO_STAGES:
            return ()
        return tuple(name for part in value.split(",") if (name := part.strip()))
    return value


class RetrievalSettings(VariableSettings):
    """Which stages the chunks that a search found pass through. Read from variables that begin with `CC_`."""

    model_config = SettingsConfigDict(env_prefix="CC_")

    stages: Annotated[tuple[StageName, ...], NoDecode, BeforeValidator(_names)] = Field(
        ("fold", "diversify"),
        description="what happens to the chunks that were found, in this order. Before an answer is written: fold "
        "(near-duplicates are dropped), documents (the best documents are looked through a second time), diversify (no "
        "document takes all places). Before that and for searches of documents: rerank (CC_RERANK_*), questions (the "
        "language model words the question in other ways, which are searched, too). `none` for nothing",
    )
    questions: PositiveInt = Field(3, description="other wordings of a question that the stage questions searches")
    questions_timeout: PositiveFloat = Field(
        20, description="seconds that the language model may take for them; then the question is searched alone"
    )

    @field_validator("stages")
    @classmethod
    def _each_once(cls, stages: tuple[StageName, ...]) -> tuple[StageName, ...]:
        if len(set(stages)) < len(stages):
            raise ValueError("a stage is named twice")
        return stages


class RerankSettings(VariableSettings):
    """What the stage rerank computes its scores with: a server or a model in process. Read from variables that begin
    with `CC_RERANK_`."""

    model_config = SettingsConfigDict(env_prefix="CC_RERANK_")

    base_url: HttpAddress | None = Field(
        None,
        description="server with a route `/rerank` below this address, e.g. https://api.jina.ai/v1, "
        "https://api.cohere.com/v2, http://localhost:8080 (TEI). It is sent questions and texts of documents",
    )
    api: RerankApi = Field(
        "jina",
        description="how that server is spoken to: jina (also vLLM, Infinity, llama.cpp), cohere (version 2), "
        "tei (Text Embeddings Inference of Hugging Face)",
    )
    api_key: HttpKey | None = Field(None, description="sent to that server as bearer token")
    model: str | None = Field(None, description="model name sent to that server; required unless it is tei")
    batch_size: PositiveInt | None = Field(
        None,
        description="texts per request to that server; unset: 32 for tei, which refuses more unless it is told "
        "otherwise (--max-client-batch-size), and all of them for the others",
    )
    model_path: Path | None = Field(
        None,
        description="folder with a cross-encoder for the gateway's own process, exported to ONNX: `tokenizer.json`, "
        "and `onnx/model.onnx` or `model.onnx`",
    )
    threads: PositiveInt | None = Field(
        None, description="CPU threads of the model in process; unset: all that the gateway may use"
    )
    candidates: PositiveInt = Field(50, le=MOST_CANDIDATES, description="how many of the best chunks are reordered")
    timeout: PositiveFloat = Field(10, description="seconds that this may take; then the order stays as it was found")

    @property
    def is_set(self) -> bool:
        """Whether there is anything to compute scores with."""
        return self.base_url is not None or self.model_path is not None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.base_url is not None and self.model_path is not None:
            raise ValueError("only one of CC_RERANK_BASE_URL and CC_RERANK_MODEL_PATH can be set")
        return self

    @model_validator(mode="after")
    def _servers_with_many_models_are_told_which(self) -> Self:
        if self.base_url is not None and self.api != "tei" and self.model is None:
            raise ValueError(f"CC_RERANK_API={self.api} needs CC_RERANK_MODEL")
        return self
