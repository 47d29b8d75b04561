"""Answers that Pinecone would give if something was wrong with it, not with the request."""

import math
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.responses import JSONResponse, PlainTextResponse, Response

from tests.doubles.pinecone.errors import CODES


@dataclass
class Fault:
    path: re.Pattern[str]
    status: int
    times: float
    retry_after: float | None
    body: object
    drop: bool
    applied: bool

    def response(self) -> Response:
        headers = {} if self.retry_after is None else {"Retry-After": f"{self.retry_after:g}"}
        if isinstance(self.body, str):
            return PlainTextResponse(self.body, self.status, headers)
        error = {"code": CODES.get(self.status, "UNKNOWN"), "message": "injected fault"}
        body = {"status": self.status, "error": error} if self.body is None else self.body
        return JSONResponse(body, self.status, headers)


class Faults:
    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._faults_lock = threading.Lock()

    def fail_next(
        self,
        status: int = 503,
        n: float = 1,
        *,
        retry_after: float | None = None,
        body: object = None,
        drop: bool = False,
        applied: bool = False,
        path: str = ".*",
    ) -> Fault:
        """The next `n` requests whose whole path matches fail, before anything else looks at them.

        `body` is Pinecone's error if it is None, plain text if it is a string, and JSON otherwise. With `drop` the
        connection breaks instead of an answer. With `applied` the request takes effect all the same.
        """
        fault = Fault(re.compile(path, re.DOTALL), status, n, retry_after, body, drop, applied)
        with self._faults_lock:
            self._faults.append(fault)
        return fault

    @contextmanager
    def fail_all(
        self,
        status: int = 503,
        *,
        retry_after: float | None = None,
        body: object = None,
        drop: bool = False,
        applied: bool = False,
        path: str = ".*",
    ) -> Iterator[None]:
        """Like `fail_next`, until the block ends."""
        fault = self.fail_next(
            status, math.inf, retry_after=retry_after, body=body, drop=drop, applied=applied, path=path
        )
        try:
            yield
        finally:
            with self._faults_lock:
                self._faults.remove(fault)

    def _due(self, path: str) -> Fault | None:
        with self._faults_lock:
            for fault in self._faults:
                if fault.times > 0 and fault.path.fullmatch(path):
                    fault.times -= 1
                    return fault
            return None
