"""gRPC over HTTP/1.1, so that the kit's proxy, which knows only that, can stand between the driver and a server.

    driver -- gRPC -- `near_side` -- HTTP -- proxy of the kit -- HTTP -- `far_side` -- gRPC -- Milvus

What the proxy answers instead of a server reaches the driver as gRPC would have it.
"""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import grpc
import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

STATUSES: Mapping[int, grpc.StatusCode] = MappingProxyType(
    {
        HTTPStatus.BAD_REQUEST: grpc.StatusCode.INTERNAL,
        HTTPStatus.UNAUTHORIZED: grpc.StatusCode.UNAUTHENTICATED,
        HTTPStatus.FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
        HTTPStatus.NOT_FOUND: grpc.StatusCode.UNIMPLEMENTED,
        # not of the table: what a server answers to a message that is too large for it
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
        HTTPStatus.TOO_MANY_REQUESTS: grpc.StatusCode.UNAVAILABLE,
        HTTPStatus.BAD_GATEWAY: grpc.StatusCode.UNAVAILABLE,
        HTTPStatus.SERVICE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT: grpc.StatusCode.UNAVAILABLE,
    }
)
"""https://grpc.github.io/grpc/core/md_doc_http-grpc-status-mapping.html; others are UNKNOWN."""
STATUS, DETAILS = "grpc-status", "grpc-message"
HANDED_ON = frozenset({"authorization", "identifier", "dbname"})
THREADS = 64
PINGS = [("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000), ("grpc.keepalive_permit_without_calls", 1)]
"""As Milvus has it: its client asks every ten seconds whether the connection still stands."""
BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Any method of any service, its messages as they are."""

    def __init__(self, answer: Callable[[str, bytes, grpc.ServicerContext], bytes]) -> None:
        self._answer = answer

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = handler_call_details.method
        return grpc.unary_unary_rpc_method_handler(lambda body, context: self._answer(method, body, context))


@contextmanager
def near_side() -> Iterator[Callable[[str], str]]:
    """Gives for the address of a proxy the one at which a driver reaches what is behind it."""
    servers: list[grpc.Server] = []
    # how long to wait is for the driver to say
    with httpx.Client(timeout=None, limits=httpx.Limits(max_connections=None)) as client:

        def listen(proxy: str) -> str:
            server = grpc.server(ThreadPoolExecutor(THREADS), options=PINGS)
            server.add_generic_rpc_handlers([_Handler(lambda *call: _asked(client, proxy, *call))])
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            servers.append(server)
            return f"http://127.0.0.1:{port}"

        try:
            yield listen
        finally:
            for server in servers:
                server.stop(None).wait()


def _asked(client: httpx.Client, proxy: str, method: str, body: bytes, context: grpc.ServicerContext) -> bytes:
    headers = {key: value for key, value in context.invocation_metadata() if key in HANDED_ON}
    try:
        answer = client.post(proxy.rstrip("/") + method, content=body, headers=headers)
    except httpx.TransportError as error:
        context.abort(grpc.StatusCode.UNAVAILABLE, type(error).__name__)
    if answer.status_code != HTTPStatus.OK:
        context.abort(STATUSES.get(answer.status_code, grpc.StatusCode.UNKNOWN), answer.text)
    if STATUS in answer.headers:
        context.abort(BY_NUMBER[int(answer.headers[STATUS])], answer.headers.get(DETAILS, ""))
    return answer.content


@contextmanager
def far_side(url: str) -> Iterator[str]:
    """The address at which the server is reached by HTTP."""
    app = FastAPI(openapi_url=None)
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(url.removeprefix("http://"), options=options) as channel:

        @app.post("/{service}/{method}")
        async def handed_on(service: str, method: str, request: Request) -> Response:
            call: Any = channel.unary_unary(f"/{service}/{method}")
            metadata = [(key, value) for key, value in request.headers.items() if key in HANDED_ON]
            return await run_in_threadpool(_answered, call, await request.body(), metadata)

        with _served(app) as address:
            yield address


def _answered(call: Any, body: bytes, metadata: list[tuple[str, str]]) -> Response:
    try:
        return Response(call(body, metadata=metadata))
    except grpc.RpcError as error:
        headers = {STATUS: str(error.code().value[0]), DETAILS: ascii(error.details())}
        return Response(headers=headers)


@contextmanager
def _served(app: FastAPI) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, args=[[listener]])
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
