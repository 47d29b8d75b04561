"""The bodies that the double accepts: those of the API version 2026-07, less what no driver here needs.

Unknown names and other types are refused, as Pinecone refuses them.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Id = Annotated[str, Field(pattern=r"^[\x01-\x7F]+$", min_length=1, max_length=512)]
Ids = Annotated[list[Id], Field(min_length=1, max_length=1000)]
Filter = Annotated[dict[str, Any], Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


# ---------------------------------------------------------------------- data plane


class Upsert(_Strict):
    documents: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=1000)]


class _Scoring(_Strict):
    fields: Annotated[list[str], Field(min_length=1)] | None = None
    field: str | None = None
    """Deprecated."""


class DenseScoring(_Scoring):
    type: Literal["dense_vector"]
    values: list[float]


class TextScoring(_Scoring):
    type: Literal["text"]
    query: str


Scoring = Annotated[DenseScoring | TextScoring, Field(discriminator="type")]


class Search(_Strict):
    score_by: Annotated[list[Scoring], Field(min_length=1, max_length=100)]
    top_k: Annotated[int, Field(ge=1, le=10_000)]
    include_fields: list[str] = Field(default_factory=list)
    filter: Filter | None = None
    """Pinecone takes an empty one and searches everything; whoever filters by access must not come to that."""


class Fetch(_Strict):
    ids: Ids | None = None
    filter: Filter | None = None
    include_fields: list[str] = Field(default_factory=list)
    pagination_token: str | None = None
    limit: Annotated[int, Field(ge=1, le=10_000)] = 100


class Update(_Strict):
    documents: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=1000)] | None = None
    filter: Filter | None = None
    set_fields: dict[str, Any] = Field(default_factory=dict)
    remove_fields: list[str] = Field(default_factory=list)


class Delete(_Strict):
    ids: Ids | None = None
    filter: Filter | None = None
    delete_all: bool = False


class ListDocuments(_Strict):
    prefix: Annotated[str, Field(pattern=r"^[\x01-\x7F]*$", max_length=512)] = ""
    limit: Annotated[int, Field(ge=1, le=100)] = 100
    pagination_token: str | None = None


class Stats(_Strict):
    filter: dict[str, Any] = Field(default_factory=dict)


# ---------------------------------------------------------------------- control plane


class DenseField(_Strict):
    type: Literal["dense_vector"]
    dimension: Annotated[int, Field(ge=1, le=20_000)]
    metric: Literal["cosine", "dotproduct", "euclidean"]
    description: Annotated[str, Field(max_length=256)] | None = None


class FullTextSearch(_Strict):
    language: str = "en"
    stemming: bool = False
    stop_words: bool = False


class TextField(_Strict):
    type: Literal["string"]
    full_text_search: FullTextSearch
    description: Annotated[str, Field(max_length=256)] | None = None


class Schema(_Strict):
    fields: dict[str, Annotated[DenseField | TextField, Field(discriminator="type")]]


class Deployment(_Strict):
    deployment_type: Literal["managed"]
    cloud: Literal["aws", "gcp", "azure"]
    region: str


class NewIndex(_Strict):
    schema_: Schema = Field(alias="schema")
    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=45)]
    """Pinecone makes one up when it is missing; a driver has to find its index again."""
    deployment: Deployment = Deployment(deployment_type="managed", cloud="aws", region="us-east-1")
    deletion_protection: Literal["enabled", "disabled"] = "disabled"
    tags: Annotated[dict[str, str], Field(min_length=1, max_length=20)] | None = None
