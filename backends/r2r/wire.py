"""What R2R answers, as far as the driver reads it. Found by running R2R 3.6.6; unknown keys are ignored."""

from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, Field, ValidationError

from context_chat_backend.contract import ProviderId, SourceId

T = TypeVar("T")

FINAL = frozenset({"success", "failed"})
"""All other values of `ingestion_status` mean that R2R is still working on it, or was killed while it did."""


class Results(BaseModel, Generic[T]):
    """The envelope of an answer."""

    results: T


class Page(Results[list[T]], Generic[T]):
    """The envelope of a list. Past the end `total_entries` is 0."""

    total_entries: int


class Token(BaseModel):
    token: str


class Login(BaseModel):
    access_token: Token


class Account(BaseModel):
    is_superuser: bool


class Collection(BaseModel):
    id: UUID
    name: str
    document_count: int = 0


class Metadata(BaseModel):
    """What the driver puts beside a document. Chunks keep it as it was when they were made."""

    source_id: SourceId
    provider: ProviderId
    sha256: str
    """Of the content."""
    modified: int
    cc_title: str
    """Not `title`, from which R2R would take the type of the document."""
    cc_type: str
    cc_upload: str
    """Tells one upload from a later one under the same id."""


def storable(text: str) -> str:
    """A text as it comes back from R2R."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def as_metadata(values: object) -> Metadata | None:
    """None for what the driver did not write."""
    try:
        return Metadata.model_validate(values)
    except ValidationError:
        return None


class Document(BaseModel):
    id: UUID
    collection_ids: list[UUID]
    metadata: dict[str, Any]
    ingestion_status: str
    updated_at: datetime
    total_tokens: int | None = None
    """0 where R2R found no text, or has not got as far as counting."""

    @property
    def own_metadata(self) -> Metadata | None:
        """None for a document that the driver did not make."""
        return as_metadata(self.metadata)

    @property
    def is_final(self) -> bool:
        """R2R will not change it any more on its own."""
        return self.ingestion_status in FINAL

    @property
    def is_searchable(self) -> bool:
        """Ingested, as far as R2R says."""
        return self.ingestion_status == "success"

    @property
    def failed_to_be_read(self) -> bool:
        """R2R's parser failed at it: the next step would have been to count its text."""
        return self.ingestion_status == "failed" and not self.total_tokens


class Chunk(BaseModel):
    id: UUID
    document_id: UUID
    collection_ids: list[UUID]
    score: float
    text: str
    metadata: dict[str, Any]

    @property
    def own_metadata(self) -> Metadata | None:
        """None for a chunk of a document that the driver did not make."""
        return as_metadata(self.metadata)

    @property
    def order(self) -> int:
        """Its place in the document, from 0; 0 where R2R does not tell."""
        order = self.metadata.get("chunk_order")
        return order if isinstance(order, int) else 0


class SearchResults(BaseModel):
    chunk_search_results: list[Chunk] = Field(default_factory=list)


class Generated(BaseModel):
    """The answer of /retrieval/rag."""

    generated_answer: str
    search_results: SearchResults


class AppSettings(BaseModel):
    default_max_collections_per_user: int | None = None
    default_max_upload_size: int | None = None


class IngestionSettings(BaseModel):
    provider: str = ""
    excluded_parsers: list[str] = Field(default_factory=list)


class EmbeddingSettings(BaseModel):
    base_model: str = ""
    base_dimension: int | None = None


class OrchestrationSettings(BaseModel):
    provider: str = ""


class Configuration(BaseModel):
    app: AppSettings = Field(default_factory=AppSettings)
    ingestion: IngestionSettings = Field(default_factory=IngestionSettings)
    embedding: EmbeddingSettings = Field(default_factory=EmbeddingSettings)
    orchestration: OrchestrationSettings = Field(default_factory=OrchestrationSettings)


class ServerSettings(BaseModel):
    """Of /system/settings, which also holds a password in the clear: nothing but this is kept of it."""

    config: Configuration
