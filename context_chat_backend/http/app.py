"""The ASGI application."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypedDict

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI
from starlette.middleware import Middleware

from .. import __version__
from ..core.spool import open_spool, spool_problem
from ..doctor.setup_checks import SetupChecks
from ..gateway import Gateway, Plan, open_gateway
from ..lifecycle import Lifecycle
from ..metrics import Metrics
from ..nextcloud.appapi import AppAPIAuth
from ..storage import spool_folder
from ..toolkit.background import run_in_background
from ..toolkit.concurrency import Toggle
from ..tunnel import Tunnel
from . import system
from .errors import install_error_handlers
from .middleware import BodyLimit, ErrorBoundary, RequestId, RequestMetrics, StripPrefix
from .push import routes
from .push.batch import Batches
from .readiness import Look, Readiness

MAX_JSON_BYTES = 16 * 1024 * 1024
"""A hundred thousand user ids of 64 letters are 7 MB."""


class LifespanState(TypedDict):
    """What `request.state` has."""

    gateway: Gateway
    batches: Batches
    readiness: Readiness
    setup_checks: SetupChecks


@dataclass(frozen=True, slots=True)
class Serving:
    """What the application shares with the server that runs it."""

    tunnel: Tunnel | None = None
    """The way in, where it takes one: without it nobody is served."""
    stopping: Toggle = field(default_factory=lambda: Toggle(False))
    """Whether the server takes no more requests; those that are under way are still answered."""


def create_app(plan: Plan, serving: Serving | None = None) -> FastAPI:
    """The gateway as an ASGI application. `serving` is for the server that runs it, where that is ours."""
    settings, metrics, shared = plan.settings, Metrics(), serving or Serving()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[LifespanState]:
        spool = spool_folder(settings.app_persistent_storage)
        # a look at a storage that hangs is given up, and the thread with it
        look_at_spool = partial(
            to_thread.run_sync, spool_problem, spool, abandon_on_cancel=True, limiter=CapacityLimiter(1)
        )
        open_spool(spool)
        async with open_gateway(plan, metrics) as gateway:
            chat, at_once = gateway.chat, plan.upserts_at_once
            async with Batches(chat, parallel=at_once, deadline=settings.load_deadline_secs) as batches:
                looks: list[Look] = [chat.problem, look_at_spool, gateway.state.problem]
                if shared.tunnel is not None:
                    looks.append(shared.tunnel.problem)
                async with AsyncExitStack() as stack:
                    await run_in_background(stack, partial(_stop_working, gateway.lifecycle, shared.stopping))
                    yield {
                        "gateway": gateway,
                        "batches": batches,
                        "readiness": Readiness(*looks),
                        "setup_checks": SetupChecks(gateway),
                    }

    app = FastAPI(
        title="Context Chat gateway",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # Nextcloud follows redirects and would turn a POST into a GET
        middleware=[
            Middleware(RequestId),
            Middleware(StripPrefix, app_id=settings.app_id),
            Middleware(RequestMetrics, metrics=metrics),
            Middleware(ErrorBoundary),
            Middleware(AppAPIAuth, settings=settings),
            Middleware(BodyLimit, limit=MAX_JSON_BYTES, exempt={"/loadSources"}),
        ],
    )
    install_error_handlers(app)
    app.include_router(system.router)
    app.include_router(routes.router)
    return app


async def _stop_working(lifecycle: Lifecycle, stopping: Toggle) -> None:
    await stopping.wait_for(True)
    lifecycle.stop_working()
