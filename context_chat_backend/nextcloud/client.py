"""Calls from the gateway to Nextcloud's OCS API, authenticated as an ExApp.

nc_py_api is not used: its task calls turn every HTTP error into `{}`, so that a lost result looks like success.
"""

import base64
from typing import Any

import httpx

from ..contract import Misconfigured
from ..settings import Settings
from ..toolkit.http import limited_request
from .errors import TryLater, error_of_envelope, nextcloud_errors

OCS_OK = frozenset({100, 200, 201})
"""`ocs.meta.statuscode`: v1 says 100, v2 repeats the HTTP status."""


class NextcloudClient:
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

    async def __aenter__(self) -> "NextcloudClient":
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
        """`ocs.data` of the answer, asked for as `user_id`, or as nobody. Raises `NextcloudError`s."""
        credentials = f"{user_id}:{self._secret.get_secret_value()}".encode()
        with nextcloud_errors():
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
        return _data(response)


def _data(response: httpx.Response) -> Any:
    try:
        body = response.json()
    except ValueError:
        body = None
    match body:
        case {"ocs": {"meta": {"statuscode": int(code)}, "data": data}}:
            if code in OCS_OK:
                return data
            raise error_of_envelope(code)
        case _:
            raise TryLater("Nextcloud's answer is not OCS")
