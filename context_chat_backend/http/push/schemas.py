"""JSON bodies of the push contract, as the PHP client of context_chat 4.0 to 5.3 writes them."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from ...contract import AccessOp, ProviderId, ProviderScope, Query, Scope, SourceId, SourceScope, UserId
from ...nextcloud.php import PhpId, PhpIds
from .ids import PROVIDER_ID, SOURCE_ID

DEFAULT_LIMIT = 20
LARGEST_LIMIT = 200
"""Asking for more is not an error; the answer is just no longer than this."""


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    return value


Question = Annotated[str, AfterValidator(_not_blank), Field(json_schema_extra={"pattern": r"\S"})]
SentSourceId = Annotated[PhpId, WithJsonSchema({"type": "string", "pattern": f"^{SOURCE_ID.pattern}$"})]
SentProviderId = Annotated[PhpId, WithJsonSchema({"type": "string", "pattern": f"^{PROVIDER_ID.pattern}$"})]

MAX_QUESTION_BYTES = 512_000
"""Nextcloud lets no more through. What is longer is answered from its beginning."""

_SCOPE_NEEDS_A_LIST: JsonDict = {
    "if": {"required": ["scopeType"], "properties": {"scopeType": {"enum": ["provider", "source"]}}},
    "then": {"required": ["scopeList"], "properties": {"scopeList": {"not": {"type": "null"}}}},
}


class ScopeError(ValueError):
    """A scope type without anything in its list."""


class Body(BaseModel):
    """Unknown keys are ignored: newer clients may send more."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True, hide_input_in_errors=True)


class SearchBody(Body):
    """`POST /docSearch`."""

    model_config = ConfigDict(json_schema_extra=_SCOPE_NEEDS_A_LIST)

    query: Question
    user_id: PhpId
    scope_type: Literal["none", "provider", "source"] | None = None
    scope_list: PhpIds | None = None
    ctx_limit: PositiveInt = DEFAULT_LIMIT

    @property
    def text(self) -> str:
        """The question, cut where it is too long, and without half surrogate pairs, which cannot be sent anywhere."""
        return self.query.strip().encode("utf-8", "replace")[:MAX_QUESTION_BYTES].decode("utf-8", "ignore")

    def to_query(self) -> Query:
        """Raises `ScopeError`."""
        return Query(
            user_id=UserId(self.user_id),
            text=self.text,
            limit=min(self.ctx_limit, LARGEST_LIMIT),
            scope=self._scope(),
        )

    def _scope(self) -> Scope:
        if self.scope_type in {None, "none"}:
            return None
        ids = self.scope_list
        if not ids:
            raise ScopeError(f"scopeType is {self.scope_type!r}, so scopeList must name at least one")
        if self.scope_type == "provider":
            return ProviderScope(frozenset(map(ProviderId, ids)))
        return SourceScope(frozenset(map(SourceId, ids)))


class QueryBody(SearchBody):
    """`POST /query`."""

    use_context: bool = True


class _Users(Body):
    user_ids: PhpIds

    def users(self) -> frozenset[UserId]:
        return frozenset(map(UserId, self.user_ids))


class UpdateAccessBody(_Users):
    """`POST /updateAccess`."""

    op: AccessOp
    source_id: SentSourceId


class SetAccessBody(_Users):
    """`POST /updateAccessDeclarative`."""

    source_id: SentSourceId


class UpdateProviderAccessBody(_Users):
    """`POST /updateAccessProvider`."""

    op: AccessOp
    provider_id: SentProviderId


class DeleteSourcesBody(Body):
    """`POST /deleteSources`."""

    source_ids: PhpIds


class DeleteProviderBody(Body):
    """`POST /deleteProvider`."""

    provider_key: PhpId


class DeleteUserBody(Body):
    """`POST /deleteUser`."""

    user_id: PhpId


class LoadedSources(BaseModel):
    """Answer to `PUT /loadSources`. An id in neither list is dropped from Nextcloud's queue for good."""

    loaded_sources: list[str]
    sources_to_retry: list[str]


class QueryAnswer(BaseModel):
    """Answer to `POST /query`."""

    output: str
    sources: list[str]


class FoundDocument(BaseModel):
    """An item of the answer to `POST /docSearch`."""

    source_id: str
    title: str


class Message(BaseModel):
    """Answer to an action."""

    message: str
