"""Calls SQL functions of a Supabase project over HTTPS, by the official SDK."""

import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from contextvars import ContextVar
from typing import Any, Self

import anyio
import httpx
from supabase import AsyncClientOptions, create_async_client
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from context_chat_backend.contract import Rejected

from .errors import Refusal, is_passing, supabase_errors, value_of
from .settings import SupabaseSettings, is_jwt

ATTEMPTS = 4
LONGEST_WAIT = 10.0
"""Seconds. Somebody who is asked to wait longer is told so instead."""
CONNECT_SECONDS = 10.0
KEEP_ALIVE = 30.0
"""Seconds. Less than what servers and proxies allow, because a call on a connection that is being closed is lost."""

_backoff = wait_random_exponential(multiplier=0.2, max=2)
_value: ContextVar[Any] = ContextVar("value of the call that is being made")


class SupabaseFunctions:
    """`Functions` over HTTPS. An async context manager; entering does not call Supabase yet.

    Calls that fail for a passing reason are repeated a few times. That is done here and not in a layer, because a
    repeated `upsert` would extract and embed the text again.
    """

    def __init__(self, settings: SupabaseSettings) -> None:
        self._settings = settings
        self._resources = AsyncExitStack()
        self._retrying = AsyncRetrying(
            retry=retry_if_exception(_worth_repeating),
            # no attempt after a call's time is up: one timeout is waited for, not four
            stop=stop_after_attempt(ATTEMPTS) | stop_after_delay(settings.http_timeout),
            wait=_wait,
            sleep=anyio.sleep,
            reraise=True,
        )

    async def __aenter__(self) -> Self:
        settings, key = self._settings, self._settings.key.get_secret_value()
        async with AsyncExitStack() as resources:
            http = httpx.AsyncClient(
                timeout=httpx.Timeout(settings.http_timeout, connect=CONNECT_SECONDS),
                limits=httpx.Limits(
                    max_connections=settings.max_connections,
                    max_keepalive_connections=settings.max_connections,
                    keepalive_expiry=KEEP_ALIVE,
                ),
                event_hooks={"request": [] if is_jwt(key) else [_drop_authorization], "response": [_read_value]},
            )
            await resources.enter_async_context(http)  # ours, because the SDK's client cannot be closed
            options = AsyncClientOptions(auto_refresh_token=False, persist_session=False, httpx_client=http)
            self._client = await create_async_client(settings.url, key, options)
            self._resources = resources.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        with anyio.CancelScope(shield=True):
            await self._resources.aclose()

    async def call(self, function: str, /, **arguments: object) -> Any:
        """See `Functions`. Raises `Rejected` for arguments that JSON cannot hold, as NaN."""
        with supabase_errors(function):
            return await self._retrying.copy()(self._post, function, arguments)  # it has a state

    async def _post(self, function: str, arguments: Mapping[str, object]) -> Any:
        try:
            await self._client.rpc(function, dict(arguments)).execute()
        except ValueError:
            if _fit_json(arguments):
                raise
            raise Rejected(f"{function}: an argument holds a number or a character that JSON cannot hold") from None
        return _value.get()


async def _drop_authorization(request: httpx.Request) -> None:
    """A key that is no token: hosted gateways ignore it in this header, older self-hosted ones refuse it.

    https://github.com/supabase/supabase-py/issues/1228
    """
    del request.headers["Authorization"]


async def _read_value(response: httpx.Response) -> None:
    """Looks at answers before the SDK does, which hides statuses and headers, takes a page of a proxy for a text, and
    an empty body for a list."""
    await response.aread()
    _value.set(value_of(response))


def _fit_json(arguments: Mapping[str, object]) -> bool:
    try:
        json.dumps(arguments, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        return False
    return True


def _worth_repeating(error: BaseException) -> bool:
    return is_passing(error) and _asked_wait(error) <= LONGEST_WAIT


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return max(_asked_wait(error), _backoff(state))


def _asked_wait(error: BaseException | None) -> float:
    return (error.retry_after or 0.0) if isinstance(error, Refusal) else 0.0
