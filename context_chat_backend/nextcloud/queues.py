"""The queues of Context Chat 5.4 and later: what is to be indexed, and what has happened to what is.

A row that is asked for is *leased*: it is handed out again after 24 hours unless it is acknowledged. Answers hold rows
by their numbers. Each row is read on its own: one that cannot be read costs no other.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from .client import NextcloudClient
from .errors import Failed
from .php import PhpId, PhpIds

APP = "/ocs/v2.php/apps/context_chat"
LEASED_SECONDS = 24 * 3600
"""A row that is not acknowledged comes back then, and before any newer one that waits with it."""
LEASE_GRACE_SECONDS = 3.0
"""Grace for a lease under way when the gateway stops: rows whose answer is dropped come back after 24 hours only."""
LARGEST_ANSWER = 512 * 2**20
"""Bytes. Rows of apps bring their text with them, of up to 100 MB each; actions bring lists of thousands of users."""


MOST = 2**53


class Queue(StrEnum):
    """The two kinds of documents that wait, by their name in requests and answers."""

    FILES = "files"
    """Their content is fetched."""
    ITEMS = "content_providers"
    """What apps hand in; their content comes with the row."""


def _text(value: Any) -> Any:
    """Null is an empty text; half a surrogate pair, which JSON can spell and nothing can store, a question mark."""
    if value is None:
        return ""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _whole(value: Any) -> Any:
    """Null is 0; PHP has fractions and, for what does not fit into 64 bits, exponents."""
    if value is None:
        return 0
    return int(max(-MOST, min(value, MOST))) if isinstance(value, float | int) else value


Text = Annotated[str, BeforeValidator(_text)]
Whole = Annotated[int, BeforeValidator(_whole)]


class Document(BaseModel):
    """What a row says of a source."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    user_ids: PhpIds = Field(alias="userIds")
    """Without blank ones."""
    reference: PhpId
    """The source id."""
    title: Text
    content: str | None = None
    modified: Whole
    type: Text
    provider: PhpId
    size: Whole = 0


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A leased row; without a document where `fault` says why it cannot be read."""

    queue: Queue
    number: int
    document: Document | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class ActionRow:
    """A leased row. Its payload may be anything."""

    number: int
    type: str
    payload: object


class Queues:
    """Methods raise `NextcloudError`s."""

    def __init__(self, nextcloud: NextcloudClient) -> None:
        self._nextcloud = nextcloud

    async def require(self) -> None:
        """Return if there are queues. Leases nothing. Raises `NoRoute` where Context Chat is older, or not there."""
        await self._actions(0)

    async def lease_documents(self, number: int) -> list[DocumentRow]:
        """At most so many of each kind, so up to twice as many."""
        data = await self._nextcloud.call("GET", f"{APP}/queues/documents", params={"n": number}, limit=LARGEST_ANSWER)
        return [_document_row(queue, number, value) for queue in Queue for number, value in _rows(_member(data, queue))]

    async def acknowledge_documents(self, rows: Iterable[tuple[Queue, int]]) -> None:
        """They are done, or never can be. Unknown numbers are fine."""
        numbers: dict[str, list[int]] = {queue.value: [] for queue in Queue}  # both have to be there, also empty
        for queue, number in rows:
            numbers[queue.value].append(number)
        await self._nextcloud.call("DELETE", f"{APP}/queues/documents/", json=numbers)

    async def lease_actions(self, number: int) -> list[ActionRow]:
        """At most so many, in the order in which they are to be carried out."""
        rows = _rows(_member(await self._actions(number), "actions"))
        return [_action_row(number, value) for number, value in sorted(rows, key=lambda row: row[0])]

    async def acknowledge_actions(self, numbers: Sequence[int]) -> None:
        """They are done, or never can be. Unknown numbers are fine."""
        await self._nextcloud.call("DELETE", f"{APP}/queues/actions/", json={"actions": list(numbers)})

    def file(self, file_id: int, user_id: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes of a file, read as this user. A stream that breaks off ends without an error: compare its length.

        Raises `Missing` where it is not there for this user, `Refused` where it cannot be opened, and `Failed` for
        anything else, also an unknown user.
        """
        return self._nextcloud.download(f"{APP}/files/{file_id}", params={"userId": user_id})

    async def _actions(self, number: int) -> Any:
        slash = "" if number else "/"  # as the official library asks
        path = f"{APP}/queues/actions{slash}"
        return await self._nextcloud.call("GET", path, params={"n": number}, limit=LARGEST_ANSWER)


def _member(data: Any, name: str) -> Any:
    match data:
        case dict() if name in data:
            return data[name]
        case _:
            raise Failed(f"Nextcloud's answer has no {name}")


def _rows(rows: Any) -> list[tuple[int, object]]:
    """By number. PHP may write an empty map as a list."""
    if rows == []:
        return []
    if not isinstance(rows, dict):
        raise Failed("Nextcloud's answer has no map of rows")
    return [(int(number), value) for number, value in rows.items() if number.isdecimal()]


def _document_row(queue: Queue, number: int, value: object) -> DocumentRow:
    try:
        return DocumentRow(queue, number, Document.model_validate(value))
    except ValidationError as error:
        return DocumentRow(queue, number, None, fault_of(error))


def _action_row(number: int, value: object) -> ActionRow:
    match value:
        case {"type": str(kind), "payload": payload}:
            return ActionRow(number, kind, payload)
        case _:
            return ActionRow(number, "", None)


def fault_of(error: ValidationError) -> str:
    """Which fields are wrong, and what was expected; nothing of what was sent."""
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'it'}: {item['msg']}" for item in error.errors())
