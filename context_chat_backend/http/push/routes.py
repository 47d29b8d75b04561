"""Routes of the push contract: parse, ask the service, render. docs/contract.md says what Nextcloud makes of it."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import JSONResponse

from ...contract import ProviderId, SourceId, UserId
from ...core.actions import (
    Action,
    DeleteProvider,
    DeleteSources,
    DeleteUser,
    SetAccess,
    UpdateAccess,
    UpdateProviderAccess,
)
from ...core.service import ContextChat
from ...gateway import Gateway
from ...nextcloud.ids import is_provider_id, is_source_id, survives_enrichment
from ...nextcloud.payloads import (
    DeleteSourcesBody,
    DeleteUserBody,
    SetAccessBody,
    UpdateAccessBody,
    UpdateProviderAccessBody,
)
from ...storage import spool_folder
from ..connections import client_waits, while_client_waits
from ..dependencies import CurrentBatches, CurrentGateway, EnabledGateway
from ..errors import RETRY_AFTER, BadRequest, Disabled, ReadOnly, error
from ..openapi import UPLOAD, problems
from .batch import MOST_UPLOADS, LoadReport, TooManyUploads
from .multipart import MalformedUpload, ParsedUpload, SkippedPart, UploadNotKept, read_upload
from .schemas import (
    DeleteProviderBody,
    FoundDocument,
    LoadedSources,
    Message,
    QueryAnswer,
    QueryBody,
    SearchBody,
)

log = logging.getLogger(__name__)
router = APIRouter(responses=problems(401, 500, 503))
REFUSALS = problems(400, 413, 422, 501)

MOST_LINES = 100
"""Logged about the parts of one request."""


async def _chat(gateway: EnabledGateway) -> ContextChat:
    return gateway.chat


Chat = Annotated[ContextChat, Depends(_chat)]
AppApiVersion = Annotated[str, Header(alias="AA-VERSION")]


# ---------------------------------------------------------------------- indexing


@router.put("/loadSources", response_model=LoadedSources, responses=problems(400), openapi_extra=UPLOAD)
async def load_sources(
    request: Request, gateway: EnabledGateway, batches: CurrentBatches
) -> LoadedSources | JSONResponse:
    """Index the sources of a multipart body (see `multipart.py`)."""
    _require_writing(gateway)
    try:
        with batches.upload(), gateway.chat.arrival() as arrival:
            upload = await _read(request, gateway)
            report = await batches.load(upload.sources, arrival)
    except TooManyUploads:
        log.warning("an upload is to be sent again: %d others are under way", MOST_UPLOADS)
        return _repeat("too many uploads at once")
    except UploadNotKept as problem:
        log.error("an upload cannot be kept on the disk: %s", problem)  # noqa: TRY400 - the reason says it all
        return _repeat("uploads cannot be kept right now; the log of the gateway says why")
    if not upload.complete:
        return _repeat("the request body ended early")
    return _render(report, upload)


def _require_writing(gateway: Gateway) -> None:
    if not gateway.plan.duties.writes:
        raise ReadOnly


def _repeat(reason: str) -> JSONResponse:
    """Have Nextcloud send the whole request again: it forgets what an answer does not list."""
    return error(503, reason, {"cc-retry": "true", "Retry-After": str(RETRY_AFTER)})


async def _read(request: Request, gateway: Gateway) -> ParsedUpload:
    try:
        upload = await read_upload(
            request.stream(),
            request.headers.get("content-type", ""),
            spool_folder(gateway.plan.settings.app_persistent_storage),
            max_part_bytes=gateway.chat.max_source_bytes,
        )
    except MalformedUpload as exc:
        raise BadRequest(str(exc)) from exc
    _log_skipped(upload.skipped)
    return upload


def _log_skipped(parts: Sequence[SkippedPart]) -> None:
    for part in parts[:MOST_LINES]:
        log.info("%s is skipped: %s", part.source_id or "a part of an upload", part.reason)
    if len(parts) > MOST_LINES:
        log.info("%d more parts of the upload are skipped", len(parts) - MOST_LINES)


def _render(report: LoadReport, upload: ParsedUpload) -> LoadedSources:
    retry = dict.fromkeys([*report.retry, *upload.retry])
    loaded = [source_id for source_id in report.loaded if source_id not in retry]
    return LoadedSources(loaded_sources=list(loaded), sources_to_retry=list(retry))


@router.post("/countIndexedDocuments")
async def count_indexed_documents(chat: Chat) -> dict[str, int]:
    """Number of sources per provider."""
    return {str(provider): count for provider, count in (await chat.count()).items()}


# ---------------------------------------------------------------------- questions


@router.post("/query", responses=REFUSALS)
async def query(request: Request, body: QueryBody, chat: Chat, aa_version: AppApiVersion = "") -> QueryAnswer:
    """Answer a question, with the ids of the sources behind the answer."""
    if not body.use_context:
        output = await while_client_waits(request, partial(chat.chat, UserId(body.user_id), body.text))
        return QueryAnswer(output=output, sources=[])
    answer = await while_client_waits(request, partial(chat.query, body.to_query()))
    sources = [source_id for source_id in answer.source_ids if survives_enrichment(source_id, aa_version)]
    return QueryAnswer(output=answer.text, sources=list(sources))


@router.post("/docSearch", responses=REFUSALS)
async def doc_search(
    request: Request, body: SearchBody, chat: Chat, aa_version: AppApiVersion = ""
) -> list[FoundDocument]:
    """Find sources, best first."""
    found = await while_client_waits(request, partial(chat.search, body.to_query()))
    return [
        FoundDocument(source_id=source.source_id, title=source.title)
        for source in found
        if survives_enrichment(source.source_id, aa_version)
    ]


# ---------------------------------------------------------------------- access changes and deletions

ACCESS_UPDATED = Message(message="Access updated")
SOURCES_DELETED = Message(message="All valid sources deleted")
USER_DELETED = Message(message="User deleted")


async def _applier(request: Request, gateway: CurrentGateway) -> Callable[[Action], Awaitable[None]]:
    """Carries out an action, and keeps its place in the order whenever Nextcloud will repeat it."""

    async def apply(action: Action) -> None:
        _require_writing(gateway)
        if not gateway.lifecycle.enabled.value:
            await gateway.chat.keep_order(action)
            raise Disabled
        async with gateway.chat.apply(action) as place:
            if await client_waits(request):
                await place.settle()

    return apply


Apply = Annotated[Callable[[Action], Awaitable[None]], Depends(_applier)]


@router.post("/updateAccess", responses=REFUSALS)
async def update_access(body: UpdateAccessBody, apply: Apply) -> Message:
    """Add or remove readers of a source."""
    await apply(UpdateAccess(body.op, _users(body.users()), _source_id(body.source_id)))
    return ACCESS_UPDATED


@router.post("/updateAccessDeclarative", responses=REFUSALS)
async def set_access(body: SetAccessBody, apply: Apply) -> Message:
    """Replace the readers of a source."""
    await apply(SetAccess(_users(body.users()), _source_id(body.source_id)))
    return ACCESS_UPDATED


@router.post("/updateAccessProvider", responses=REFUSALS)
async def update_provider_access(body: UpdateProviderAccessBody, apply: Apply) -> Message:
    """Add or remove readers of every source of a provider."""
    if not is_provider_id(body.provider_id):
        raise BadRequest("providerId: expected the form appId__providerId")
    await apply(UpdateProviderAccess(body.op, _users(body.users()), ProviderId(body.provider_id)))
    return ACCESS_UPDATED


@router.post("/deleteSources", responses=REFUSALS)
async def delete_sources(body: DeleteSourcesBody, apply: Apply) -> Message:
    """Remove sources; unknown ones are no error."""
    if not body.source_ids:
        raise BadRequest("sourceIds: expected at least one")
    await apply(DeleteSources(frozenset(map(SourceId, body.source_ids))))
    return SOURCES_DELETED


@router.post("/deleteProvider", responses=REFUSALS)
async def delete_provider(body: DeleteProviderBody, apply: Apply) -> Message:
    """Remove every source of a provider. A bare provider id, which a listener of the app sends, matches nothing."""
    await apply(DeleteProvider(ProviderId(body.provider_key)))
    return SOURCES_DELETED


@router.post("/deleteUser", responses=REFUSALS)
async def delete_user(body: DeleteUserBody, apply: Apply) -> Message:
    """Remove a user everywhere."""
    await apply(DeleteUser(UserId(body.user_id)))
    return USER_DELETED


def _users(users: frozenset[UserId]) -> frozenset[UserId]:
    if not users:
        raise BadRequest("userIds: expected at least one")
    return users


def _source_id(text: str) -> SourceId:
    if not is_source_id(text):
        raise BadRequest("sourceId: expected the form appId__providerId: itemId")
    return SourceId(text)
