"""What the double accepts: less than R2R, which ignores every name that it does not know."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, Json


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


class Nothing(_Strict):
    pass


class Page(_Strict):
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    offset: Annotated[int, Field(ge=0)] = 0


class CollectionPage(Page):
    ids: list[str] = Field(default_factory=list)
    owner_only: bool = False


class DocumentPage(Page):
    ids: list[str] = Field(default_factory=list)
    owner_only: bool = False
    include_summary_embeddings: bool = False


class Owner(_Strict):
    owner_id: UUID | None = None


class Credentials(_Strict):
    username: str
    password: str


class NewCollection(_Strict):
    name: str
    description: str | None = None


@dataclass(frozen=True)
class Upload:
    filename: str
    content: bytes


class IngestionConfig(_Strict):
    skip_document_summary: bool = False
    chunk_size: Annotated[int, Field(ge=1)] = 1024


class NewDocument(_Strict):
    file: Upload | None = None
    raw_text: str | None = None
    chunks: Json[list[str]] | None = None
    id: UUID | None = None
    metadata: Json[dict[str, Any]] = Field(default_factory=dict)
    collection_ids: Json[list[UUID]] | None = None
    ingestion_mode: Literal["custom", "fast"] = "custom"
    ingestion_config: Json[IngestionConfig] = Field(default_factory=IngestionConfig)
    run_with_orchestration: bool = True


class Export(_Strict):
    columns: list[str] | None = None
    filters: dict[Literal["id", "owner_id", "ingestion_status"], dict[Literal["$eq"], str]] = Field(
        default_factory=dict
    )
    """R2R ignores every other column and operator of a filter, and then exports everything."""
    include_header: bool = True


class HybridSettings(_Strict):
    full_text_weight: float = 1.0
    semantic_weight: float = 5.0
    full_text_limit: int = 200
    rrf_k: int = 50


class GraphSettings(_Strict):
    enabled: bool = True


class SearchSettings(_Strict):
    limit: Annotated[int, Field(ge=1, le=1000)] = 10
    offset: Annotated[int, Field(ge=0)] = 0
    use_semantic_search: bool = True
    use_hybrid_search: bool = False
    include_scores: bool = True
    filters: dict[str, Any] = Field(default_factory=dict)
    hybrid_settings: HybridSettings = Field(default_factory=HybridSettings)
    graph_settings: GraphSettings = Field(default_factory=GraphSettings)


class Search(_Strict):
    query: str
    search_mode: Literal["custom", "basic"] = "custom"
    """`advanced` pays a call of the language model for every search."""
    search_settings: SearchSettings = Field(default_factory=SearchSettings)


class Generation(_Strict):
    model: str | None = None
    temperature: float | None = None
    max_tokens_to_sample: int | None = None
    stream: Literal[False] = False


class Rag(Search):
    rag_generation_config: Generation = Field(default_factory=Generation)
    task_prompt: str | None = None
    include_title_if_available: bool = False
    include_web_search: Literal[False] = False
