"""The index: found by its name or made, and looked at whether it can hold what the gateway stores."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
from pinecone import AsyncPinecone, IndexModel
from pinecone.async_client.indexes import AsyncIndexes
from pinecone.errors import ConflictError, NotFoundError
from pinecone.models.indexes.deployment import ManagedDeployment, PodDeployment
from pinecone.models.indexes.schema import DenseVectorField, SemanticTextField, SparseVectorField, StringField

from context_chat_backend.contract import Misconfigured

from .errors import pinecone_errors
from .rate import Sleep
from .records import EMBEDDING, TEXT
from .settings import PineconeSettings

METRIC = "cosine"
POLL_SECONDS = 2.0
_LOST = frozenset({"InitializationFailed", "Disabled"})
"""States that do not pass. `Terminating` does: then there is no index, and the next try makes one."""
_VECTORS_PLANE = frozenset({"_values", "_sparse_values"})
"""What an index of the older vectors API shows as its fields. No documents can be written to it, ever."""


def schema(dimension: int) -> Mapping[str, Any]:
    """What an index is made with. Without options full-text search takes words as they are, in any language."""
    return {
        "fields": {
            EMBEDDING: {"type": "dense_vector", "dimension": dimension, "metric": METRIC},
            TEXT: {"type": "string", "full_text_search": {}},
        }
    }


class ControlPlane:
    """What the gateway asks Pinecone's control plane. Raises `DriverError`s only."""

    def __init__(self, settings: PineconeSettings, sleep: Sleep) -> None:
        self._settings = settings
        self._sleep = sleep

    async def find(self) -> IndexModel | None:
        """The index of the settings; None where there is none."""
        async with self._indexes() as indexes:
            return await self._describe(indexes)

    async def find_or_create(self, dimension: int) -> IndexModel:
        """The index of the settings, ready. Raises `Misconfigured` where it does not fit vectors of this dimension."""
        async with self._indexes() as indexes:
            model = await self._describe(indexes)
            if model is None:
                await self._create(indexes, dimension)
                model = await self._describe(indexes)
            with pinecone_errors(f"the wait for the index {self._settings.index}"):
                with anyio.fail_after(self._settings.create_timeout):
                    model = await self._ready(indexes, model)
        require_fit(model, dimension)
        return model

    @asynccontextmanager
    async def _indexes(self) -> AsyncIterator[AsyncIndexes]:
        settings = self._settings
        async with AsyncPinecone(
            settings.api_key.get_secret_value(),
            host=settings.controller_host,
            proxy_url=settings.proxy_url.get_secret_value() if settings.proxy_url else None,
            timeout=settings.http_timeout,
        ) as client:
            yield client.indexes

    async def _describe(self, indexes: AsyncIndexes) -> IndexModel | None:
        with pinecone_errors(f"a look at the index {self._settings.index}"):
            try:
                return await indexes.describe(self._settings.index)
            except NotFoundError:
                return None

    async def _create(self, indexes: AsyncIndexes, dimension: int) -> None:
        settings = self._settings
        if settings.region is None:
            raise Misconfigured(
                f"there is no index {settings.index}: set PINECONE_REGION, and PINECONE_CLOUD, to have it made there "
                "for good, or PINECONE_INDEX to the name of one that exists"
            )
        deployment = {"deployment_type": "managed", "cloud": settings.cloud, "region": settings.region}
        refused = (
            "PINECONE_CLOUD and PINECONE_REGION have to name a region that the plan allows, and vectors may have up to "
            "20,000 dimensions"
        )
        with pinecone_errors(f"the creation of the index {settings.index}", refused=refused):
            try:
                await indexes.create(
                    name=settings.index, schema=dict(schema(dimension)), deployment=deployment, timeout=-1
                )
            except ConflictError:
                return  # another gateway was faster

    async def _ready(self, indexes: AsyncIndexes, model: IndexModel | None) -> IndexModel:
        while model is None or not model.status.ready or not model.host:
            if model is not None and model.status.state in _LOST:
                raise Misconfigured(
                    f"the index {model.name} is in the state {model.status.state}, which it does not leave by itself: "
                    "see Pinecone's console. Once removed there, it is made again; PINECONE_INDEX can name another one"
                )
            await self._sleep(POLL_SECONDS)
            model = await self._describe(indexes)
        return model


def require_fit(model: IndexModel, dimension: int) -> None:
    """Raise `Misconfigured` where the index cannot hold vectors of this dimension and their texts."""
    problems = list(_problems(model, dimension))
    if problems:
        raise Misconfigured(
            f"the index {model.name} {'; it '.join(problems)}. It has: {describe_fields(model)}. Needed: {EMBEDDING} "
            f"(dense_vector, {dimension}, {METRIC}), {TEXT} (string, full-text search). An index cannot be changed: "
            "name another one in PINECONE_INDEX, which the gateway then makes, or remove this one in Pinecone's console"
        )


def describe_fields(model: IndexModel) -> str:
    """The declared fields of an index in words."""
    return ", ".join(f"{name} ({_describe_field(field)})" for name, field in model.schema.fields.items())


def describe_place(model: IndexModel) -> str:
    """Where the data of an index is kept."""
    deployment = model.deployment
    if isinstance(deployment, ManagedDeployment):
        return f"{deployment.cloud} {deployment.region}"
    return deployment.environment


def _problems(model: IndexModel, dimension: int) -> Iterator[str]:
    fields = model.schema.fields
    if isinstance(model.deployment, PodDeployment):
        yield "runs on pods, which have no full-text search"
    if fields.keys() <= _VECTORS_PLANE:
        yield "was made for the older vectors API, which has no full-text search"
        return
    yield from _embedding_problems(fields.get(EMBEDDING), dimension)
    text = fields.get(TEXT)
    if not isinstance(text, StringField) or text.full_text_search is None:
        yield f"has no field {TEXT} with full-text search"
    others = sorted(name for name, field in fields.items() if name != EMBEDDING and _is_vector(field))
    if others:
        yield f"has vectors in {', '.join(others)}, which the gateway does not fill"


def _embedding_problems(field: object, dimension: int) -> Iterator[str]:
    if not isinstance(field, DenseVectorField):
        yield f"has no field {EMBEDDING} of dense vectors"
        return
    if field.dimension != dimension:
        yield f"holds vectors of {field.dimension} dimensions, the embedding model gives {dimension}"
    if field.metric != METRIC:
        yield f"compares vectors by {field.metric} instead of {METRIC}"


def _is_vector(field: object) -> bool:
    """Whether Pinecone stores vectors in it; documents may have to bring them."""
    if isinstance(field, StringField):
        return field.embed is not None or field.sparse_embed is not None
    return isinstance(field, DenseVectorField | SparseVectorField | SemanticTextField)


def _describe_field(field: object) -> str:
    match field:
        case DenseVectorField(dimension=dimension, metric=metric):
            return f"dense_vector, {dimension}, {metric}"
        case SparseVectorField():
            return "sparse_vector"
        case StringField(full_text_search=None):
            return "string"
        case StringField():
            return "string, full-text search"
        case _:
            return type(field).__name__
