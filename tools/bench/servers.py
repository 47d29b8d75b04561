"""Servers to compare the gateway with, in a process of their own: `python -m tools.bench.servers noop|bare`."""
# ruff: noqa: ARG002 - the driver uses none of its arguments

import sys
from collections.abc import AsyncIterator, Sequence, Set

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from context_chat_backend.contract import (
    AccessOp,
    BaseDriver,
    Hit,
    Outcome,
    ProviderId,
    Query,
    Source,
    SourceId,
    Stored,
    UserId,
)
from context_chat_backend.gateway import plan_gateway
from context_chat_backend.http.app import create_app
from context_chat_backend.http.server import GatewayServer, open_listener
from context_chat_backend.logs import set_up_logging
from context_chat_backend.settings import Settings, environment
from context_chat_backend.toolkit.settings import read_settings

HITS = [
    Hit(
        source_id=SourceId(f"files__default: {number}"),
        title=f"files/{number}.txt",
        ordinal=0,
        heading="",
        text="",
        score=1 / (number + 1),
    )
    for number in range(20)
]


class NoopDriver(BaseDriver):
    """Does nothing, at once; a search finds as many sources as Nextcloud asks for."""

    identity = "noop"

    async def ping(self) -> None:
        return None

    async def upsert(self, source: Source) -> Outcome:
        return Outcome.CREATED

    async def delete(self, source_ids: Set[SourceId]) -> None:
        return None

    async def set_access(self, source_id: SourceId, user_ids: Set[UserId]) -> None:
        return None

    async def update_access(self, op: AccessOp, source_id: SourceId, user_ids: Set[UserId]) -> None:
        return None

    async def search(self, query: Query) -> Sequence[Hit]:
        return HITS

    async def find(self, *, provider: ProviderId | None = None, user_id: UserId | None = None) -> AsyncIterator[Stored]:
        no_sources: tuple[Stored, ...] = ()
        for stored in no_sources:
            yield stored


async def constant(request: Request) -> JSONResponse:
    """Reads the body, so that the client has sent all of it, and answers."""
    await request.body()
    return JSONResponse({"message": "ok"})


def bare_app() -> ASGIApp:
    """The least that a Python server does for a request."""
    return Starlette(routes=[Route("/{path:path}", constant, methods=["GET", "POST", "PUT"])])


def main() -> None:
    """Serve with the settings of the environment, as `ccbe serve` does."""
    variables = environment()
    settings = read_settings(Settings, variables)
    set_up_logging(settings)
    if sys.argv[1] == "noop":
        with open_listener(settings) as listener:
            GatewayServer(create_app(plan_gateway(settings, variables, NoopDriver()))).run([listener])
    else:
        uvicorn.run(
            bare_app(),
            host=settings.app_host,
            port=settings.app_port,
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            lifespan="on",
        )


if __name__ == "__main__":
    main()
