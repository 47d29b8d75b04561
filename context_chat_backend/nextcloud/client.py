"""Calls from the gateway to Nextcloud's OCS API, authenticated as an ExApp.

Why not nc_py_api is said in docs/adr/0005-own-ocs-client.md. The requests are those that it sends, byte for byte.
"""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from .. import __version__
from ..contract import Misconfigured
from ..settings import Settings
from ..toolkit.http import ANSWER_BYTES, limited_request, read_limited
from .errors import Failed, error_of_envelope, nextcloud_errors

OCS_OK = frozenset({100, 200, 201})
"""`ocs.meta.statuscode`: v1 says 100, v2 repeats the HTTP status."""

Parameters = Mapping[str, str | int]


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
                "Accept-Encoding": "identity",
                "EX-APP-ID": settings.app_id,
                "EX-APP-VERSION": settings.app_version,
                "AA-VERSION": settings.aa_version,
                "User-Agent": f"ExApp/{settings.app_id}/{settings.app_version} (context-chat-gateway/{__version__})",
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
        params: Parameters | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpx's own, per phase of the request
        limit: int = ANSWER_BYTES,
    ) -> Any:
        """`ocs.data` of the answer, asked for as `user_id`, or as nobody; None where there is no content. Raises
        `NextcloudError`s."""
        with nextcloud_errors():
            response = await limited_request(
                self._client,
                method,
                path,
                limit=limit,
                content=_body(json),
                params=_with_format(params),
                headers=self._headers(user_id, has_body=json is not None),
                timeout=timeout or httpx.USE_CLIENT_DEFAULT,
            )
            response.raise_for_status()
        return None if response.status_code == httpx.codes.NO_CONTENT else _data(response)

    @asynccontextmanager
    async def download(self, path: str, *, params: Parameters) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of an answer that is no OCS document, as they come. Raises `NextcloudError`s, also to the block."""
        with nextcloud_errors():
            async with self._client.stream(
                "GET", path, params=_with_format(params), headers=self._headers("", has_body=False)
            ) as response:
                if not response.is_success:
                    (await read_limited(response, ANSWER_BYTES)).raise_for_status()
                yield response.aiter_bytes()

    def _headers(self, user_id: str, *, has_body: bool) -> dict[str, str]:
        credentials = base64.b64encode(f"{user_id}:{self._secret.get_secret_value()}".encode()).decode()
        content_type = {"Content-Type": "application/json;charset=utf-8"} if has_body else {}
        return {"AUTHORIZATION-APP-API": credentials, **content_type}


def _body(value: object) -> bytes | None:
    return None if value is None else json.dumps(value).encode()


def _with_format(params: Parameters | None) -> dict[str, str | int]:
    """Nextcloud's errors come in an envelope that can be read only if it is asked for here."""
    return {**(params or {}), "format": "json"}


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
        case _:  # PHP failed while it wrote the answer: what was asked for may have been done
            raise Failed("Nextcloud's answer is not OCS")
