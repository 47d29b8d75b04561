"""What Nextcloud says of an access change or a deletion: the bodies of the push contract, the payloads of the pull
contract."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, WithJsonSchema
from pydantic.alias_generators import to_camel

from ..contract import AccessOp, UserId
from .ids import PROVIDER_ID, SOURCE_ID
from .php import PhpId, PhpIds

SentSourceId = Annotated[PhpId, WithJsonSchema({"type": "string", "pattern": f"^{SOURCE_ID.pattern}$"})]
SentProviderId = Annotated[PhpId, WithJsonSchema({"type": "string", "pattern": f"^{PROVIDER_ID.pattern}$"})]


class Body(BaseModel):
    """Unknown keys are ignored: newer clients may send more."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True, hide_input_in_errors=True)


class _Users(Body):
    user_ids: PhpIds

    def users(self) -> frozenset[UserId]:
        return frozenset(map(UserId, self.user_ids))


class UpdateAccessBody(_Users):
    """`POST /updateAccess`, `update_access_source_id`."""

    op: AccessOp
    source_id: SentSourceId


class SetAccessBody(_Users):
    """`POST /updateAccessDeclarative`, `update_access_decl_source_id`."""

    source_id: SentSourceId


class UpdateProviderAccessBody(_Users):
    """`POST /updateAccessProvider`, `update_access_provider_id`."""

    op: AccessOp
    provider_id: SentProviderId


class DeleteSourcesBody(Body):
    """`POST /deleteSources`, `delete_source_ids`."""

    source_ids: PhpIds


class DeleteUserBody(Body):
    """`POST /deleteUser`, `delete_user_id`."""

    user_id: PhpId
