"""The control plane: one project with room for one index, because the double's address can be that of one only."""

from dataclasses import dataclass
from typing import Any, Literal

from tests.doubles.pinecone.errors import invalid, not_modelled, refused
from tests.doubles.pinecone.limits import MAX_FIELD_NAME_BYTES, Clock
from tests.doubles.pinecone.schemas import DenseField, NewIndex, Schema, TextField

RESERVED_DENSE, RESERVED_SPARSE = "_values", "_sparse_values"


@dataclass(frozen=True)
class Index:
    name: str
    plane: Literal["documents", "vectors"]
    schema: Schema
    """Of the vectors plane: one reserved dense field."""
    deployment: dict[str, str]
    protected: bool
    tags: dict[str, str] | None
    ready_at: float

    @property
    def dense_fields(self) -> dict[str, DenseField]:
        return {name: each for name, each in self.schema.fields.items() if isinstance(each, DenseField)}

    @property
    def text_fields(self) -> frozenset[str]:
        return frozenset(name for name, each in self.schema.fields.items() if isinstance(each, TextField))

    @property
    def dimension(self) -> int | None:
        return next((each.dimension for each in self.dense_fields.values()), None)


class Indexes:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._index: Index | None = None
        self.url = ""
        self.ready_after = 0.0
        """Seconds from the creation of an index until it can be used."""

    def create(self, body: NewIndex) -> dict[str, Any]:
        if self._index is not None and self._index.name == body.name:
            raise refused(409, "Resource already exists.")
        if self._index is not None:
            raise refused(403, "Increase your quota or upgrade to create more indexes.")
        check_schema(body.schema_)
        self.put(
            Index(
                body.name,
                "documents",
                body.schema_,
                body.deployment.model_dump(),
                body.deletion_protection == "enabled",
                body.tags,
                self._clock.now() + self.ready_after,
            )
        )
        return self.describe(body.name)

    def put(self, index: Index) -> None:
        """In place of the one that there was."""
        self._index = index

    def list(self) -> dict[str, Any]:
        return {"indexes": [] if self._index is None else [self._render(self._index)]}

    def describe(self, name: str) -> dict[str, Any]:
        return self._render(self._found(name))

    def delete(self, name: str) -> None:
        """At once; Pinecone takes its time and shows the index as `Terminating`."""
        if self._found(name).protected:
            problem = "Deletion protection is enabled for this index. Disable deletion protection before retrying."
            raise refused(403, problem)
        self._index = None

    def usable(self) -> Index:
        """The one that the data plane serves. What Pinecone answers for a missing one is not recorded."""
        if self._index is None:
            raise refused(404, "No index is served at this address.")
        if self._clock.now() < self._index.ready_at:
            raise refused(404, f"Index {self._index.name} is not ready.")
        return self._index

    def _found(self, name: str) -> Index:
        if self._index is None or self._index.name != name:
            raise refused(404, f"Index {name} not found.")
        return self._index

    def _render(self, index: Index) -> dict[str, Any]:
        ready = self._clock.now() >= index.ready_at
        return {
            "name": index.name,
            "host": self.url,
            "status": {"ready": ready, "state": "Ready" if ready else "Initializing"},
            "deployment": {**index.deployment, "environment": "double"},
            "read_capacity": {"mode": "OnDemand", "status": {"state": "Ready"}},
            "schema": {"fields": _render_fields(index)},
            "tags": index.tags,
            "deletion_protection": "enabled" if index.protected else "disabled",
        }


def _render_fields(index: Index) -> dict[str, Any]:
    fields = {name: each.model_dump() for name, each in index.schema.fields.items()}
    if index.plane == "vectors":
        # those always show both
        fields[RESERVED_SPARSE] = {"type": "sparse_vector", "description": None}
    return fields


def check_schema(schema: Schema) -> None:
    if not schema.fields:
        raise invalid("schema.fields must declare at least one field")
    for name in schema.fields:
        if name in {RESERVED_DENSE, RESERVED_SPARSE}:
            raise not_modelled("an index of the vectors plane is preset, not created")
        check_field_name(name)
    if sum(isinstance(each, DenseField) for each in schema.fields.values()) > 1:
        raise invalid("schema.fields must declare at most one dense_vector field")


def check_field_name(name: str) -> None:
    if not 1 <= len(name.encode()) <= MAX_FIELD_NAME_BYTES:
        raise invalid(f"Field name {name!r} must be 1 to {MAX_FIELD_NAME_BYTES} bytes long")
    if name[0] in "_$":
        raise invalid(f"Field name {name!r} must not start with '_' or '$'")
