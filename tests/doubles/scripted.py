"""What the doubles of servers have in common that are asked for one thing after the other."""

from collections import deque
from dataclasses import dataclass, field

from fastapi import FastAPI, Response
from fastapi.exceptions import RequestValidationError
from starlette.types import Receive, Scope, Send


@dataclass(kw_only=True)
class Scripted:
    """An ASGI app. `script` answers the next requests in the stead of `_app`, which a subclass makes."""

    script: deque[Response] = field(default_factory=deque)
    _app: FastAPI = field(init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.script:
            await self.script.popleft()(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def problems(exc: Exception) -> str:
    """What is wrong with a body, in one line."""
    assert isinstance(exc, RequestValidationError)
    return "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors())
