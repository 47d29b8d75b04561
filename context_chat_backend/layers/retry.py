"""Repeats operations that failed for a passing reason, with a time limit for each try."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from ..contract import Driver, Overtaken, TransientError, Unavailable
from .layer import Layer
from .settings import LayerSettings

T = TypeVar("T")

LONGEST_WAIT = 30.0
"""Seconds. A backend that asks for more is not waited for: the caller has its own queue to retry from."""

log = logging.getLogger(__name__)


class Retry(Layer):
    """Inside the gate, so that an upload that is being repeated keeps its place."""

    def __init__(self, inner: Driver, settings: LayerSettings) -> None:
        super().__init__(inner)
        self._attempts = settings.attempts
        self._timeouts = {
            "ping": settings.search_timeout,
            "search": settings.search_timeout,
            "count": settings.search_timeout,
            "answer": settings.answer_timeout,
            "upsert": settings.upsert_timeout,
        }
        self._action_timeout = settings.action_timeout
        self._backoff = wait_random_exponential(multiplier=0.2, max=5)

    async def around(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        # a ping reports the present state; repeating it would only report it later
        attempts = 1 if operation == "ping" else self._attempts
        retrying = AsyncRetrying(
            retry=retry_if_exception(_worth_repeating),
            stop=stop_after_attempt(attempts),
            wait=self._wait,
            sleep=anyio.sleep,
            before_sleep=_log_retry(operation),
            reraise=True,
        )
        return await retrying(self._attempt, operation, call)

    async def _attempt(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        seconds = self._timeouts.get(operation, self._action_timeout)
        try:
            with anyio.fail_after(seconds):
                return await call()
        except TimeoutError as error:
            raise Unavailable(f"{operation} took longer than {seconds:g} s") from error

    def _wait(self, state: RetryCallState) -> float:
        error = _error_of(state)
        asked = error.retry_after if isinstance(error, TransientError) else None
        return max(asked or 0.0, self._backoff(state))


def _worth_repeating(error: BaseException) -> bool:
    if not isinstance(error, TransientError) or isinstance(error, Overtaken):
        return False
    return (error.retry_after or 0.0) <= LONGEST_WAIT


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _log_retry(operation: str) -> Callable[[RetryCallState], None]:
    def log_retry(state: RetryCallState) -> None:
        log.warning("%s failed on try %d, trying again: %s", operation, state.attempt_number, _error_of(state))

    return log_retry
