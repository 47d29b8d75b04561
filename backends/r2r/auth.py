"""How requests to R2R are authenticated."""

from collections.abc import AsyncGenerator

import anyio
import httpx

from context_chat_backend.contract import Misconfigured
from context_chat_backend.toolkit.http import json_model, translate_errors

from .settings import R2RSettings
from .wire import Login, Results

FRESH_SECONDS = 60.0
"""A refusal of a token that is younger than this is not about the token: R2R also answers 401 when its model provider
refuses R2R's key, and sending a document twice for that is expensive."""


class BearerOfLogin(httpx.Auth):
    """Logs in with user and password when there is no token, or when R2R no longer accepts it.

    Ten milliseconds of R2R's time per request, against 850 with an API key.
    """

    def __init__(self, login_url: str, user: str, password: str) -> None:
        self._url = login_url
        self._credentials = {"username": user, "password": password}
        self._token = ""
        self._since = float("-inf")
        self._one_login = anyio.Lock()

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        used = self._token
        if used:
            response = yield self._signed(request)
            fresh = anyio.current_time() - self._since < FRESH_SECONDS
            if response.status_code != httpx.codes.UNAUTHORIZED or fresh:
                return
        async with self._one_login:
            if self._token == used:  # otherwise another task has got a new one meanwhile
                response = yield httpx.Request("POST", self._url, data=self._credentials)
                await response.aread()
                self._remember(response)
        yield self._signed(request)

    def _signed(self, request: httpx.Request) -> httpx.Request:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def _remember(self, response: httpx.Response) -> None:
        with translate_errors(misconfigured={400, 401, 403, 404, 422}):
            if response.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.NOT_FOUND}:
                raise Misconfigured("R2R_USER, R2R_PASSWORD: R2R does not know this account or refuses its password")
            response.raise_for_status()
        self._token = json_model(response, Results[Login]).results.access_token.token
        self._since = anyio.current_time()


class Header(httpx.Auth):
    """A fixed header."""

    def __init__(self, name: str, value: str) -> None:
        self._name = name
        self._value = value

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        request.headers[self._name] = self._value
        yield request


def make_auth(settings: R2RSettings, login_url: str) -> httpx.Auth | None:
    """As the settings say; None for an R2R that asks for nothing."""
    if settings.user is not None and settings.password is not None:
        return BearerOfLogin(login_url, settings.user, settings.password.get_secret_value())
    if settings.api_token is not None:
        return Header("Authorization", f"Bearer {settings.api_token.get_secret_value()}")
    if settings.api_key is not None:
        return Header("X-API-Key", settings.api_key.get_secret_value())
    return None
