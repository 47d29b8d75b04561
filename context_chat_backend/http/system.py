"""Routes that AppAPI, probes and admins use."""

import hmac
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Annotated, Literal, cast

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from ..contract import Finding, Level, Misconfigured
from ..logs import LOG_FILE
from ..nextcloud.webhooks import PATH as WEBHOOK_PATH
from ..storage import logs_folder
from .dependencies import CurrentGateway, CurrentReadiness, CurrentSetupChecks
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
    return {"enabled": gateway.lifecycle.enabled.value}


@router.put("/enabled", responses=problems(401, 422, 500, 503))
async def set_enabled(gateway: CurrentGateway, enabled: Annotated[bool, Query()]) -> dict[str, str]:
    """Enable or disable the app. A text in `error` would make AppAPI disable it again."""
    await gateway.lifecycle.set_enabled(enabled)
    return {"error": ""}


@router.post("/trigger", responses=FAILURES)
async def trigger(gateway: CurrentGateway) -> dict[str, str]:
    """Nextcloud >= 33 announces a waiting task."""
    if gateway.intake is not None:
        gateway.intake.hurry()
    return {}


@router.post(f"{WEBHOOK_PATH}/{{name}}", responses=problems(401, 422, 500))
async def task_is_done(gateway: CurrentGateway, name: str) -> dict[str, str]:
    """Nextcloud >= 33 says that a task of its language model is done. The body is not read; an unknown name is no
    error."""
    gateway.webhooks.call(name)
    return {}


@router.get("/health/live")
async def live() -> dict[str, str]:
    """The process serves requests."""
    return {"status": "ok"}


class SetupCheck(BaseModel):
    """An entry in Nextcloud's list of setup checks."""

    status: Literal["warning", "error"]
    text: str


@router.get("/setup_checks", responses=FAILURES)
async def setup_checks(checks: CurrentSetupChecks) -> dict[str, SetupCheck]:
    """What an admin should mend. Nextcloud 35 asks every ten minutes and shows it among its own setup checks."""
    return _listed(await checks.findings())


def _listed(findings: Sequence[Finding]) -> dict[str, SetupCheck]:
    """By an id, made of the subject and, where it has several findings, a number."""
    numbers: Counter[str] = Counter()
    entries = {}
    for finding in findings:
        subject = re.sub(r"[^a-z0-9]+", "_", finding.subject.lower())
        numbers[subject] += 1
        id_ = subject if numbers[subject] == 1 else f"{subject}_{numbers[subject]}"
        status: Literal["warning", "error"] = "error" if finding.level is Level.ERROR else "warning"
        entries[id_] = SetupCheck(status=status, text=f"{finding.subject}: {finding.text}. {finding.remedy}")
    return entries


class Ready(BaseModel):
    """Requests can be served."""

    status: Literal["ok"]


class NotReady(BaseModel):
    """`misconfigured` is for an admin to fix."""

    status: Literal["misconfigured", "unavailable"]
    backend: str


@router.get("/health/ready", response_model=Ready, responses={503: {"model": NotReady, "description": "They cannot"}})
async def ready(gateway: CurrentGateway, readiness: CurrentReadiness) -> JSONResponse:
    """200 when the backend answers and the disk takes uploads, else 503 and whether an admin has to fix it."""
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
    return StreamingResponse(
        _zipped(logs_folder(gateway.plan.settings.app_persistent_storage)),
        media_type="application/zip",
        headers={"Content-Disposition": 'attachment; filename="context_chat_backend_logs.zip"'},
    )


class _Pieces:
    """A file for `ZipFile` to write to, which is emptied again and again."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        return None

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def _zipped(folder: Path) -> Iterator[bytes]:
    """An archive that is in no file: the logs are needed most when the disk is full. A file that is gone, because the
    logs were rotated, is left out."""
    pieces = _Pieces()
    with zipfile.ZipFile(cast("IO[bytes]", pieces), "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.glob(f"{LOG_FILE}*")):
            with suppress(FileNotFoundError), path.open("rb") as log:
                info = zipfile.ZipInfo.from_file(path, path.name)
                info.compress_type = zipfile.ZIP_DEFLATED
                with archive.open(info, "w") as entry:
                    while block := log.read(BLOCK_BYTES):
                        entry.write(block)
                        yield pieces.take()
    yield pieces.take()
