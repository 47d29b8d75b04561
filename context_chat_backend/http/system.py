"""Routes that AppAPI, probes and admins use."""

import hmac
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from ..contract import Misconfigured
from ..logs import LOG_FILE
from ..storage import logs_folder
from .dependencies import CurrentGateway, CurrentReadiness
from .errors import error
from .openapi import content, problems

BLOCK_BYTES = 64 * 1024

router = APIRouter()
FAILURES = problems(401, 500)


@router.get("/", responses=FAILURES)
async def about(gateway: CurrentGateway) -> dict[str, str]:
    """What is running here."""
    settings = gateway.plan.settings
    return {"message": settings.app_display_name, "version": settings.app_version, "backend": settings.rag_backend}


@router.get("/heartbeat")
async def heartbeat() -> dict[str, str]:
    """The process is alive. AppAPI waits for exactly this before it goes on."""
    return {"status": "ok"}


@router.post("/init", responses=FAILURES)
async def init(gateway: CurrentGateway) -> dict[str, str]:
    """Begin to report the start of the backend to Nextcloud."""
    gateway.lifecycle.start_init()
    return {}


@router.get("/enabled", responses=FAILURES)
async def is_enabled(gateway: CurrentGateway) -> dict[str, bool]:
    """Whether data requests are served."""
    return {"enabled": gateway.lifecycle.enabled}


@router.put("/enabled", responses=problems(401, 422, 500, 503))
async def set_enabled(gateway: CurrentGateway, enabled: Annotated[bool, Query()]) -> dict[str, str]:
    """Enable or disable the app. A text in `error` would make AppAPI disable it again."""
    await gateway.lifecycle.set_enabled(enabled)
    return {"error": ""}


@router.post("/trigger", responses=FAILURES)
async def trigger() -> dict[str, str]:
    """Nextcloud >= 33 announces a waiting task; with the push contract there is nothing to fetch."""
    return {}


@router.get("/health/live")
async def live() -> dict[str, str]:
    """The process serves requests."""
    return {"status": "ok"}


class Ready(BaseModel):
    """The backend serves requests."""

    status: Literal["ok"]


class NotReady(BaseModel):
    """`misconfigured` is for an admin to fix."""

    status: Literal["misconfigured", "unavailable"]
    backend: str


@router.get("/health/ready", response_model=Ready, responses={503: {"model": NotReady, "description": "It does not"}})
async def ready(gateway: CurrentGateway, readiness: CurrentReadiness) -> JSONResponse:
    """200 when the backend serves requests, else 503 and whether an admin has to fix it."""
    problem = await readiness.problem()
    if problem is None:
        return JSONResponse({"status": "ok"})
    # the route is open to everybody: the kind of problem only, the log has its text
    kind = "misconfigured" if isinstance(problem, Misconfigured) else "unavailable"
    return JSONResponse({"status": kind, "backend": gateway.plan.settings.rag_backend}, status_code=503)


@router.get(
    "/metrics",
    response_class=Response,
    responses=content(CONTENT_TYPE_LATEST, "Metrics") | problems(401),
)
async def metrics(request: Request, gateway: CurrentGateway) -> Response:
    """Prometheus metrics, behind METRICS_TOKEN if that is set."""
    token = gateway.plan.settings.metrics_token
    if token is not None:
        expected = f"Bearer {token.get_secret_value()}"
        authorization = request.headers.get("authorization", "")
        if not hmac.compare_digest(authorization.encode(), expected.encode()):
            return error(401, "METRICS_TOKEN is set: send it as bearer token", {"WWW-Authenticate": "Bearer"})
    return Response(generate_latest(gateway.metrics.registry), media_type=CONTENT_TYPE_LATEST)


@router.get(
    "/downloadLogs", response_class=StreamingResponse, responses=content("application/zip", "The archive") | FAILURES
)
async def download_logs(gateway: CurrentGateway) -> StreamingResponse:
    """The log files as one zip."""
    archive = await to_thread.run_sync(_zip_logs, logs_folder(gateway.plan.settings.app_persistent_storage))
    return StreamingResponse(
        _blocks(archive),
        media_type="application/zip",
        headers={"Content-Disposition": 'attachment; filename="context_chat_backend_logs.zip"'},
    )


def _zip_logs(folder: Path) -> BinaryIO:
    archive = tempfile.TemporaryFile()  # noqa: SIM115 - closed by whoever streams it
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for path in sorted(folder.glob(f"{LOG_FILE}*")):
            target.write(path, arcname=path.name)
    archive.seek(0)
    return archive


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while block := file.read(BLOCK_BYTES):
            yield block
