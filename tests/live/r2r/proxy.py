"""A proxy in front of R2R that counts."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.doubles.nextcloud import serving


class CountingProxy:
    """Hands requests on, and counts the new documents that R2R is at work on."""

    def __init__(self, target: str) -> None:
        self.url = ""
        self.uploads = 0
        self.most_at_once = 0
        self._target = target
        self._at_once = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        with self._counted(request):
            answer = await self._hand_on(request, await request.body())
        kind = answer.headers.get("content-type")
        await Response(answer.content, answer.status_code, media_type=kind)(scope, receive, send)

    @contextmanager
    def _counted(self, request: Request) -> Iterator[None]:
        upload = int((request.method, request.url.path) == ("POST", "/v3/documents"))
        self.uploads += upload
        self._at_once += upload
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            self._at_once -= upload

    async def _hand_on(self, request: Request, body: bytes) -> httpx.Response:
        url = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        headers = {name: request.headers[name] for name in ("authorization", "content-type") if name in request.headers}
        async with httpx.AsyncClient(base_url=self._target, timeout=120, trust_env=False) as client:
            return await client.request(request.method, url, content=body, headers=headers)


@contextmanager
def counting_proxy(target: str) -> Iterator[CountingProxy]:
    """Serves in a thread until the block ends."""
    proxy = CountingProxy(target)
    with serving(proxy) as proxy.url:
        yield proxy
