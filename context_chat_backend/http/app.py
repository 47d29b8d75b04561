"""The ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TypedDict

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI
from starlette.middleware import Middleware

from .. import __version__
from ..core.spool import open_spool, spool_problem
from ..doctor.setup_checks import SetupChecks
from ..gateway import Gateway, Plan, open_gateway
from ..metrics import Metrics
from ..nextcloud.appapi import AppAPIAuth
from ..storage import spool_folder
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


def create_app(plan: Plan, tunnel: Tunnel | None = None) -> FastAPI:
    """The gateway as an ASGI application. `tunnel` is the way in, where it takes one: without it nobody is served."""
    settings, metrics = plan.settings, Metrics()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[LifespanState]:
        spool = spool_folder(settings.app_persistent_storage)
        # a look at a storage that hangs is given up, and the thread with it
        look_at_spool = partial(
            to_thread.run_sync, spool_problem, spool, abandon_on_cancel=True, limiter=CapacityLimiter(1)
        )
        open_spool(spool)
        async with open_gateway(plan, metrics) as gateway:
            chat, at_once = gateway.chat, plan.layers.max_inflight_upserts
            async with Batches(chat, parallel=at_once, deadline=settings.load_deadline_secs) as batches:
                looks: list[Look] = [chat.problem, look_at_spool, gateway.state.problem]
                if tunnel is not None:
                    looks.append(tunnel.problem)
                readiness = Readiness(*looks)
                yield {
                    "gateway": gateway,
                    "batches": batches,
                    "readiness": readiness,
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
