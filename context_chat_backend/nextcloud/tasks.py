"""Questions as tasks of Nextcloud's TaskProcessing, which this app provides.

A task that is taken is *running* until its result is reported: nobody else gets it, and Nextcloud announces no other of
its type meanwhile. A second result replaces the first, an error too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from .client import NextcloudClient
from .errors import Failed, Missing, NoRoute
from .optional import OptionalRoute
from .queues import LARGEST_ANSWER

REGISTRATION = "/ocs/v1.php/apps/app_api/api/v1/ai_provider/task_processing"
PROVIDER_ROUTES = "/ocs/v2.php/taskprocessing/tasks_provider"
SUCCESSFUL = "STATUS_SUCCESSFUL"
EXPECTED_SECONDS = 30
DEFAULT_LIMIT = 10
"""Of a search, filled in by Nextcloud."""

TEXT, TEXTS, NUMBER = 1, 11, 0
"""Nextcloud's numbers for the types of fields."""


class Kind(StrEnum):
    """What can be asked, by the id of its task type."""

    QUESTION = "context_chat:context_chat"
    SEARCH = "context_chat:context_chat_search"


@dataclass(frozen=True, slots=True)
class Provider:
    """How a task type is offered."""

    id: str
    name: str
    description: str
    defaults: Mapping[str, int]
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


_ASKED = {"prompt": TEXT, "scopeType": TEXT, "scopeList": TEXTS, "scopeListMeta": TEXT}
PROVIDERS: Mapping[Kind, Provider] = MappingProxyType(
    {
        Kind.QUESTION: Provider(
            "context_chat-context_chat",
            "Context Chat",
            "Ask a question about your data.",
            {},
            _ASKED,
            {"output": TEXT, "sources": TEXTS},
        ),
        Kind.SEARCH: Provider(
            "context_chat-context_chat_search",
            "Context Chat search",
            "Search with Context Chat.",
            {"limit": DEFAULT_LIMIT},
            {**_ASKED, "limit": NUMBER},
            {"sources": TEXTS},
        ),
    }
)
"""The ids are those of the upstream backend: the Assistant and others ask for them."""


@dataclass(frozen=True, slots=True)
class TakenTask:
    """Ours to answer."""

    number: int
    kind: str
    user_id: str | None
    input: Mapping[str, object]
    prefers_streaming: bool


class TaskProvider:
    """Methods raise `NextcloudError`s."""

    def __init__(self, nextcloud: NextcloudClient) -> None:
        self._nextcloud = nextcloud
        self._batches = OptionalRoute()
        self._streams = OptionalRoute()

    async def register(self) -> None:
        """Offer both task types. May be repeated."""
        for kind, provider in PROVIDERS.items():
            await self._nextcloud.call("POST", REGISTRATION, json=_registration(kind, provider))

    async def unregister(self) -> None:
        """Offer them no more. Finish what is running before: only errors are accepted afterwards."""
        for provider in PROVIDERS.values():
            try:
                await self._nextcloud.call("DELETE", REGISTRATION, params={"name": provider.id})
            except Missing:
                continue

    async def take(self, number: int) -> list[TakenTask]:
        """At most so many, the oldest first."""
        wanted = {"providerIds": [provider.id for provider in PROVIDERS.values()], "taskTypeIds": list(PROVIDERS)}
        if self._batches.may_be_there:
            try:
                data = await self._nextcloud.call(
                    "GET",
                    f"{PROVIDER_ROUTES}/next_batch",
                    json={**wanted, "numberOfTasks": number},
                    limit=LARGEST_ANSWER,
                )
            except NoRoute:  # Nextcloud 32 and earlier
                self._batches.was_missing()
            else:
                return [_task(each) for each in _tasks(data)]
        data = await self._nextcloud.call("GET", f"{PROVIDER_ROUTES}/next", json=wanted, limit=LARGEST_ANSWER)
        return [] if data is None else [_task(data)]

    async def succeed(self, number: int, output: Mapping[str, object]) -> bool:
        """Report a result. False if Nextcloud does not take it: the task has failed then, or was cancelled."""
        body = {"taskId": number, "output": output, "errorMessage": None, "userFacingErrorMessage": None}
        return await self._report(number, body)

    async def fail(self, number: int, reason: str, *, for_user: str | None = None) -> None:
        """Report that there will be no result."""
        body = {"taskId": number, "output": None, "errorMessage": reason, "userFacingErrorMessage": for_user}
        await self._report(number, body)

    async def stream(self, number: int, output: Mapping[str, object]) -> bool:
        """Show the output so far of a task that is not done. False where this Nextcloud cannot show it."""
        if self._streams.may_be_there:
            try:
                await self._nextcloud.call("POST", f"{PROVIDER_ROUTES}/{number}/stream-result", json={"output": output})
            except NoRoute:  # Nextcloud 34 and earlier
                self._streams.was_missing()
        return self._streams.may_be_there

    async def _report(self, number: int, body: Mapping[str, object]) -> bool:
        data = await self._nextcloud.call("POST", f"{PROVIDER_ROUTES}/{number}/result", json=body)
        match data:
            case {"task": {"status": status}}:
                return bool(status == SUCCESSFUL)
            case _:
                raise Failed("Nextcloud's answer to the result of a task has no task")


def _registration(kind: Kind, provider: Provider) -> dict[str, object]:
    return {
        "provider": {
            "id": provider.id,
            "name": "Context Chat",
            "task_type": kind.value,
            "expected_runtime": EXPECTED_SECONDS,
            "optional_input_shape": [],
            "optional_output_shape": [],
            "input_shape_enum_values": {},
            "input_shape_defaults": dict(provider.defaults),
            "optional_input_shape_enum_values": {},
            "optional_input_shape_defaults": {},
            "output_shape_enum_values": {},
            "optional_output_shape_enum_values": {},
        },
        "customTaskType": {
            "id": kind.value,
            "name": provider.name,
            "description": provider.description,
            "input_shape": _shape(provider.inputs),
            "output_shape": _shape(provider.outputs),
        },
    }


def _shape(fields: Mapping[str, int]) -> list[dict[str, object]]:
    return [{"name": name, "description": name, "shape_type": type_} for name, type_ in fields.items()]


def _tasks(data: Any) -> list[Any]:
    match data:
        case {"tasks": list(tasks)}:
            return tasks
        case _:
            raise Failed("Nextcloud's answer has no tasks")


def _task(data: Any) -> TakenTask:
    match data:
        case {"task": {"id": int(number), "type": str(kind), **task}}:
            user_id, given = task.get("userId"), task.get("input")
            return TakenTask(
                number,
                kind,
                str(user_id) if user_id is not None else None,
                given if isinstance(given, dict) else {},
                prefers_streaming=task.get("preferStreaming") is True,
            )
        case _:
            raise Failed("Nextcloud's answer has a task without a number")
