"""JSON bodies of the push contract, as the PHP client of context_chat 4.0 to 5.3 writes them."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt
from pydantic.config import JsonDict

from ...contract import Query, UserId
from ...core.questions import clean_question, scope_of
from ...nextcloud.payloads import Body
from ...nextcloud.php import PhpId, PhpIds

DEFAULT_LIMIT = 20
LARGEST_LIMIT = 200
"""Asking for more is not an error; the answer is just no longer than this."""


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    return value


Question = Annotated[str, AfterValidator(_not_blank), Field(json_schema_extra={"pattern": r"\S"})]
_SCOPE_NEEDS_A_LIST: JsonDict = {
    "if": {"required": ["scopeType"], "properties": {"scopeType": {"enum": ["provider", "source"]}}},
    "then": {"required": ["scopeList"], "properties": {"scopeList": {"not": {"type": "null"}}}},
}


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
        """The question."""
        return clean_question(self.query)

    def to_query(self) -> Query:
        """Raises `ScopeError`."""
        return Query(
            user_id=UserId(self.user_id),
            text=self.text,
            limit=min(self.ctx_limit, LARGEST_LIMIT),
            scope=scope_of(self.scope_type, self.scope_list),
        )


class QueryBody(SearchBody):
    """`POST /query`."""

    use_context: bool = True


class DeleteProviderBody(Body):
    """`POST /deleteProvider`."""

    provider_key: PhpId


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
