"""What a row of the actions queue asks for."""

from collections.abc import Collection
from typing import TypeVar

from pydantic import ValidationError

from ..contract import ProviderId, SourceId, UserId
from ..core.actions import (
    Action,
    DeleteProvider,
    DeleteSources,
    DeleteUser,
    SetAccess,
    UpdateAccess,
    UpdateProviderAccess,
)
from ..nextcloud.payloads import (
    Body,
    DeleteSourcesBody,
    DeleteUserBody,
    SetAccessBody,
    UpdateAccessBody,
    UpdateProviderAccessBody,
)
from ..nextcloud.php import PhpId
from ..nextcloud.queues import ActionRow, fault_of

T = TypeVar("T", bound=Collection[str])


class Unreadable(Exception):
    """The row asks for nothing that could ever be done; the message says why."""


class DeleteProviderBody(Body):
    """`delete_provider_id`. Up to 5.4 without the app in front: matches nothing."""

    provider_id: PhpId


def action_of(row: ActionRow) -> Action:
    """Raises `Unreadable`."""
    try:
        return _read(row)
    except ValidationError as error:
        raise Unreadable(fault_of(error)) from None


def _read(row: ActionRow) -> Action:
    payload = row.payload
    match row.type:
        case "delete_source_ids":
            ids = DeleteSourcesBody.model_validate(payload).source_ids
            return DeleteSources(frozenset(map(SourceId, _some("sourceIds", ids))))
        case "delete_provider_id":
            return DeleteProvider(ProviderId(DeleteProviderBody.model_validate(payload).provider_id))
        case "delete_user_id":
            return DeleteUser(UserId(DeleteUserBody.model_validate(payload).user_id))
        case "update_access_source_id":
            update = UpdateAccessBody.model_validate(payload)
            return UpdateAccess(update.op, _some("userIds", update.users()), SourceId(update.source_id))
        case "update_access_provider_id":
            wide = UpdateProviderAccessBody.model_validate(payload)
            return UpdateProviderAccess(wide.op, _some("userIds", wide.users()), ProviderId(wide.provider_id))
        case "update_access_decl_source_id":
            exact = SetAccessBody.model_validate(payload)
            return SetAccess(_some("userIds", exact.users()), SourceId(exact.source_id))
        case _:
            raise Unreadable("the type is not known to this version")


def _some(field: str, values: T) -> T:
    if not values:
        raise Unreadable(f"{field}: expected at least one id")
    return values
