"""The ASGI application."""

import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import FastAPI
from starlette.middleware import Middleware

from .. import __version__
from ..gateway import Gateway, Plan, open_gateway
from ..metrics import Metrics
from ..nextcloud.appapi import AppAPIAuth
from . import system as lifecycle_routes
from .dependencies import spool_folder
from .errors import install_error_handlers
from .middleware import ErrorBoundary, RequestId, RequestMetrics, StripPrefix
from .push import routes
from .push.batch import Batches
from .push.multipart import clean_spool

log = logging.getLogger(__name__)


class LifespanState(TypedDict):
    """What `request.state` has."""

    gateway: Gateway
    batches: Batches


def create_app(plan: Plan) -> FastAPI:
    """The gateway as an ASGI application."""
    settings, metrics = plan.settings, Metrics()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[LifespanState]:
        spool = spool_folder(settings)
        spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        clean_spool(spool)
        try:
            async with open_gateway(plan, metrics) as gateway:
                layers = plan.layers
                batches = Batches(
                    gateway.chat, parallel=layers.max_inflight_upserts, deadline=settings.load_deadline_secs
                )
                async with batches:
                    yield {"gateway": gateway, "batches": batches}
        except Exception:  # a background task failed in a way nobody foresaw
            log.critical("the gateway cannot go on", exc_info=True)
            signal.raise_signal(signal.SIGTERM)  # the server would go on without its background: have it restarted
            raise

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
        ],
    )
    install_error_handlers(app)
    app.include_router(lifecycle_routes.router)
    app.include_router(routes.router)
    return app
