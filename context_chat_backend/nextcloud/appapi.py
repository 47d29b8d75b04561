"""Authenticates requests from Nextcloud's AppAPI."""

import base64
import hmac
import logging

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ..settings import Settings

log = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/heartbeat", "/health/live", "/health/ready", "/metrics"})
"""AppAPI sends no credentials with the heartbeat; the others are for probes and Prometheus, and reveal no data."""


class AppAPIAuth:
    """ASGI middleware. The user named in the header is whoever is logged in, if anyone; it never selects data."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._app_id = settings.app_id
        self._secret = settings.app_secret.get_secret_value().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS and not self._is_authentic(Headers(scope=scope)):
            log.warning("refused a request without valid AppAPI credentials")
            response = JSONResponse({"error": "AppAPI authentication failed"}, status_code=401)
            return await response(scope, receive, send)
        return await self._app(scope, receive, send)

    def _is_authentic(self, headers: Headers) -> bool:
        secret = _secret_of(headers.get("authorization-app-api", ""))
        known_app = headers.get("ex-app-id") == self._app_id and bool(headers.get("ex-app-version"))
        return hmac.compare_digest(secret, self._secret) and known_app


def _secret_of(authorization: str) -> bytes:
    """The secret in `base64(user ":" secret)`; empty where the header is not of that form."""
    try:
        user_and_secret = base64.b64decode(authorization, validate=True)
    except ValueError:  # not base64, or not even ASCII
        return b""
    return user_and_secret.partition(b":")[2]
