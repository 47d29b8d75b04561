"""Calls from the gateway to Nextcloud's OCS API, authenticated as an ExApp.

nc_py_api is not used: its task calls turn every HTTP error into `{}`, so that a lost result looks like success.
"""

import base64
from typing import Any

import httpx

from ..contract import Busy, DriverError, Misconfigured, NotFound, Rejected, Unavailable
from ..settings import Settings
from ..toolkit.http import json_object, limited_request, translate_errors

OCS_OK = frozenset({100, 200, 201})
"""`ocs.meta.statuscode`: v1 says 100, v2 repeats the HTTP status."""


class OcsClient:
    """An async context manager around one connection pool."""

    def __init__(self, settings: Settings, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        if settings.nextcloud_url is None:
            raise Misconfigured("NEXTCLOUD_URL is not set")
        self.app_id = settings.app_id
        self._secret = settings.app_secret
        self._client = httpx.AsyncClient(
            base_url=settings.nextcloud_url,
            timeout=httpx.Timeout(30, connect=10),
            transport=transport,
            headers={
                "OCS-APIRequest": "true",
                "Accept": "application/json",
                "EX-APP-ID": settings.app_id,
                "EX-APP-VERSION": settings.app_version,
                "AA-VERSION": settings.aa_version,
            },
        )

    async def __aenter__(self) -> "OcsClient":
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.aclose()

    async def call(
        self,
        method: str,
        path: str,
        *,
        user_id: str = "",
        json: object = None,
        params: dict[str, str | int] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpx's own, per phase of the request
    ) -> Any:
        """`ocs.data` of the answer, asked for as `user_id`, or as nobody. Raises a `DriverError`: `Misconfigured` where
        Nextcloud does not accept this app, `Rejected` where it refuses what was sent."""
        credentials = f"{user_id}:{self._secret.get_secret_value()}".encode()
        # 412 "ExApp required": wrong secret, or the app is not enabled in Nextcloud
        with translate_errors(misconfigured={401, 412}, rejected={400}, not_found={404}):
            response = await limited_request(
                self._client,
                method,
                path,
                json=json,
                params={"format": "json", **(params or {})},
                headers={"AUTHORIZATION-APP-API": base64.b64encode(credentials).decode()},
                timeout=timeout or httpx.USE_CLIENT_DEFAULT,
            )
            response.raise_for_status()
        return _data(json_object(response))


def _data(body: dict[str, Any]) -> Any:
    match body:
        case {"ocs": {"meta": {"statuscode": int(code)}, "data": data}}:
            if code in OCS_OK:
                return data
            raise _error_of(code)
        case _:
            raise Unavailable("Nextcloud's answer is not OCS")


def _error_of(code: int) -> DriverError:
    # v1 answers HTTP 200 and hides the status in the envelope; 997 is its word for unauthorised, 998 for not found
    match code:
        case 400:
            return Rejected("Nextcloud refuses the request")
        case 401 | 403 | 997:
            return Misconfigured("Nextcloud does not accept this app: check APP_ID and APP_SECRET")
        case 404 | 998:
            return NotFound("Nextcloud does not know this route or object")
        case 412:
            return Misconfigured(
                "Nextcloud has no provider for this kind of task: install an app that provides it, or set CC_GENERATOR"
            )
        case 429:
            return Busy("Nextcloud limits the rate of requests")
        case _:
            return Unavailable(f"Nextcloud answered OCS status {code}")
